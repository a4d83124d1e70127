"""Serves a queue for one worker object: from a delivery to its answer and settlement.

A delivery goes through these, in this order; each can end it:

    understood   its JSON can be read, is an object or a list, has the dynamic inputs
    granted      its attempt was claimed, where the message asks for that; then acknowledged
    worked on    ``process``
    answered     if ``process`` did not, failed
    settled      if ``process`` did not, acknowledged; rejected if it raised

What the library itself fails at on the way is answered and rejected like a step that raises.

One object is never given two at once: a consumer of its own hands it one after another.
"""

import logging
import random
import threading
import time
from typing import Any, Protocol

from headway.adapters.waits import wait_s
from headway.errors import HeadwayError, Unavailable, WireError
from headway.ports.bus import (
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    Binding,
    Consumer,
    Delivery,
    Queue,
    Settlement,
)
from headway.runtime import clocks
from headway.runtime.worker_channel import given
from headway.runtime.worker_config import STOP_LIMIT_S
from headway.runtime.worker_connection import WorkerConnection
from headway.runtime.worker_output import Output
from headway.runtime.worker_sending import Sender
from headway.runtime.worker_settling import Settler
from headway.runtime.worker_step import StepInHand, Steps
from headway.wire import strict_json

BEGUN = "it was begun in this process before"


class Served(Protocol):
    """What a worker is to its service."""

    app_logger: logging.Logger
    output: Any
    answers_later: bool
    dynamic: Any

    def process(
        self, channel: Any, basic_deliver: Any, properties: Any, body: Any, output: Any
    ) -> Any: ...


class WorkerService:
    """What a worker does besides ``process``."""

    def __init__(
        self,
        worker: Served,
        connection: WorkerConnection,
        queue: Queue,
        output_level: str | int,
        stop_limit_s: float = STOP_LIMIT_S,
    ) -> None:
        self.stop_limit_s = stop_limit_s
        self.connection = connection
        self.queue = queue
        self.name = type(worker).__name__
        self._steps = Steps()
        self.sender = Sender(connection, self._steps, self.name, lambda: worker.app_logger)
        self.stopping = threading.Event()
        self._woken = threading.Event()  # stopping, or connected anew
        self.settler = Settler(
            connection, self._steps, lambda: worker.app_logger, self.stopping.wait
        )
        self.returned: Any = None  # by the last process
        self._worker = worker
        self._output_level = output_level
        self._stop_at: float | None = None  # monotonic: when the step in hand is given up
        self._consumer: Consumer | None = None
        self._takes_no_more = threading.Event()
        self._looked_at: StepInHand | None = None
        self._made_way: threading.Event | None = None  # set when nothing more is given to us
        self._lock = threading.Lock()
        self._unsure: tuple[Binding, ...] = ()  # of which we have said so

    # From start to stop

    def connect(self) -> None:
        """Raises: Refused when the broker does not accept us or lets us have no queue."""
        self.connection.open()
        bus = self.connection.bus
        (declared,) = self.connection.insist(lambda: bus.declare(self.queue), self._is_stopping)
        unsure = [binding for binding in declared.unsure if binding not in self._unsure]
        self._unsure = declared.unsure
        for binding in unsure:
            self._log.warning(
                "we may not bind queue %s with key %s: see that the administrator has done it",
                self.queue.name,
                binding.key,
            )

    def begin(self) -> bool:
        """Consume; whether that has begun just now. Again does nothing."""
        with self._lock:
            if self._consumer is None and not self._is_stopping():
                self._consumer = self._consume()
                self.connection.watch.add(self._make_way)
                self.connection.connected_anew.append(self._woken.set)
                self.connection.presence.serving(self.queue, self.name)
                return True
        return False

    def _consume(self) -> Consumer:
        bus = self.connection.bus
        return self.connection.insist(
            lambda: bus.consume(self.queue.name, self._handle), self._is_stopping
        )

    def is_connected_anew(self) -> bool:
        """Wait until the connection was lost and made again; False: told to stop before."""
        self._woken.wait()
        self._woken.clear()
        return not self.stopping.is_set()

    def stop(self) -> None:
        """Begin nothing more. The step in hand has this long from now on; again does nothing."""
        if self._stop_at is None:
            self._stop_at = clocks.monotonic() + self.stop_limit_s
        self.stopping.set()
        self._woken.set()
        self.connection.claims.wake()

    def end(self) -> bool:
        """Stop, and wait for the step in hand. Whether it has ended."""
        self.stop()
        self.connection.watch.remove(self._make_way)
        with self._lock:
            consumer, self._consumer = self._consumer, None
        if consumer is None:
            return True
        assert self._stop_at is not None
        left_s = max(0.0, self._stop_at - clocks.monotonic())
        with self.connection.presence.leaving(self.queue):
            consumer.cancel(0.0)
            self._takes_no_more.set()
            return consumer.cancel(left_s)

    def _leave_to_others(self, step: StepInHand) -> None:
        """Told to leave: have it delivered again, but not to us, as long as we are still there."""
        self._takes_no_more.wait(self.stop_limit_s)
        self.settler.settle(step, Settlement.REQUEUE)

    def _make_way(self) -> None:
        """Called once a second: leave what comes to others while an acknowledged step lasts."""
        step = self._steps.in_hand
        lasts, self._looked_at = step is not None and step is self._looked_at, step
        if step is None or not lasts or self.connection.bus.holds(step.delivery):
            return
        with self._lock:
            consumer = self._consumer
            if consumer is None or self._made_way is not None or self._steps.in_hand is not step:
                return
            made_way = self._made_way = threading.Event()
        try:
            consumer.cancel(0.0)
        finally:
            made_way.set()

    def _take_again(self) -> None:
        """The step that lasted has ended."""
        with self._lock:
            made_way = self._made_way
        if made_way is None:
            return
        made_way.wait()  # else this consumer would hand on the next, beside the new one
        with self._lock:
            self._made_way = None
        failures = 0
        while not self._is_stopping():
            try:
                self.connect()  # the queue may have gone meanwhile
                with self._lock:
                    if self._consumer is not None and not self._is_stopping():
                        self._consumer = self._consume()
            except Unavailable:
                return  # told to stop meanwhile
            except HeadwayError as error:
                # Nobody else would notice: it is as if a consumer had been lost.
                failures += 1
                again_s = wait_s(failures, FIRST_WAIT_S, LONGEST_WAIT_S, random.random)
                self._log.warning("no longer served: %s; again in %.1f s", error, again_s)
                self.stopping.wait(again_s)
            else:
                if failures:
                    self._log.info("served again: %s", self.queue.name)
                return

    def _is_stopping(self) -> bool:
        return self.stopping.is_set()

    # A delivery

    def _handle(self, delivery: Delivery) -> None:
        step = StepInHand(delivery, next(self.connection.tags))
        self._steps.in_hand = step
        try:
            self._carried_through(step)
        except Exception as error:
            self._broke(step, error)
        finally:
            self._steps.in_hand = None
            if step.attempt is not None and not self._steps.is_for_later(step):
                self.connection.claims.let_go(step.attempt)
            self._take_again()

    def _carried_through(self, step: StepInHand) -> None:
        if self._is_stopping():
            self._leave_to_others(step)
        elif self._understood(step) and self._granted(step):
            with self.connection.presence.working(self.queue, step):
                self._worked_on(step)
        self.settler.settle_rest(step)

    def _broke(self, step: StepInHand, error: Exception) -> None:
        """It was not ``process`` that failed. Whoever sent the step must not wait for ever."""
        self._log.error("%s - the library failed", step.run, exc_info=error)
        if step.is_answered:
            self.settler.settle_rest(step)
            return
        why = f"{self.name} could not be given the step: {type(error).__name__}: {error}"
        self.sender.fail(step, why)
        self.settler.settle(step, Settlement.REJECT, why)

    def _understood(self, step: StepInHand) -> bool:
        flaw = step.delivery.flaw
        try:
            if flaw is not None:
                raise WireError(f"the message {flaw}")
            step.body = strict_json.parse(step.delivery.message.body)
            if not isinstance(step.body, (dict, list)):
                raise WireError("the message is a bare value: it must be an object or a list")
        except WireError as error:
            return self._refuse(step, f"{self.name} cannot read it: {error}")
        if missing := self._missing(step.body):
            listed = ", ".join(missing)
            return self._refuse(step, f"{self.name} lacks the dynamic inputs {listed}")
        return True

    def _missing(self, body: Any) -> list[str]:
        found = body.get("dynamic") if isinstance(body, dict) else None
        return [name for name in self._wanted() if not isinstance(found, dict) or name not in found]

    def _wanted(self) -> list[str]:
        """The dynamic inputs that the class names; a single one may stand by itself."""
        wanted = self._worker.dynamic
        return [wanted] if isinstance(wanted, str) else [str(name) for name in wanted or ()]

    def _refuse(self, step: StepInHand, why: str) -> bool:
        self._log.error("%s - %s", step.run, why)
        self.sender.fail(step, why)
        self.settler.settle(step, Settlement.REJECT, why)
        return False

    def _granted(self, step: StepInHand) -> bool:
        if step.claims is None or step.attempt is None:
            return True
        claims, why = self.connection.claims, BEGUN
        if not claims.has_begun(step.attempt):
            try:
                grant = claims.ask(step.claims, step.attempt, self._is_stopping)
            except HeadwayError as error:
                # Not answered either: whoever may grant it after all would take that for the end.
                why = f"nobody grants attempt {step.attempt}: {error}"
                self._log.error("%s - %s", step.run, why)
                self.settler.settle(step, Settlement.REJECT, why)
                return False
            if grant is None:
                self._leave_to_others(step)
                return False
            if grant.granted and claims.begin(step.attempt, step.claims):
                self.settler.granted(step)
                return True
            why = grant.reason or BEGUN
        self._log.info("%s - attempt %s is not ours: %s", step.run, step.attempt, why)
        self.settler.settle(step, Settlement.ACK)
        return False

    def _worked_on(self, step: StepInHand) -> None:
        worker = self._worker
        output = Output(self.sender.say, self._output_level)
        worker.output = step.output = output
        channel, deliver, properties = given(
            self.connection.bus.place, self.settler, self.sender, step.delivery, step.tag
        )
        output.debug(f"Starting {self.name}.{step.run} - {_now()}")
        try:
            self.returned = worker.process(channel, deliver, properties, step.body, output)
            self._log.debug("%s - process returned %r", step.run, self.returned)
            self._answer_rest(step)
        except BaseException as error:  # it would end this thread, and nobody would notice
            self._failed(step, error)
        finally:
            self._say_last(step)

    def _say_last(self, step: StepInHand) -> None:
        if step.is_closing:
            self.sender.say("debug", f"Finished {self.name}.{step.run} - {_now()}\n\n", closes=True)
        step.output = None

    def _failed(self, step: StepInHand, error: BaseException) -> None:
        self._log.error("%s - process failed", step.run, exc_info=error)
        if isinstance(error, KeyError):
            wanted = ", ".join(self._wanted())
            needs = f"; it needs {wanted}" if wanted else ""
            why = f"{self.name} failed due to missing key: {error}{needs}"
        else:
            why = f"{self.name} failed: {type(error).__name__}: {error}"
        if not step.is_answered:
            self.sender.fail(step, why)
        self.settler.settle(step, Settlement.REJECT, why)

    def _answer_rest(self, step: StepInHand) -> None:
        if step.is_answered or step.decision is Settlement.REQUEUE:
            return
        if not self._worker.answers_later:
            self.sender.fail(step, f"{self.name} ended without an answer")
            return
        self._steps.answer_later(step)

    @property
    def _log(self) -> logging.Logger:
        return self._worker.app_logger


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
