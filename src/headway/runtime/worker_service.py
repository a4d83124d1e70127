"""Serves a queue for one worker object: from a delivery to its answer and settlement.

A delivery goes through these, in this order; each can end it:

    understood   its JSON can be read, is an object or a list, has the dynamic inputs
    granted      its attempt was claimed, where the message asks for that; then acknowledged
    worked on    ``process``
    answered     if ``process`` did not, failed
    settled      if ``process`` did not, acknowledged; rejected if it raised

One object is never given two at once: a consumer of its own hands it one after another.
"""

import logging
import threading
import time
from collections import OrderedDict
from typing import Any, Protocol

from headway.adapters.message_rules import refusal
from headway.errors import DefinitionError, HeadwayError, Unavailable, WireError
from headway.ports.bus import Binding, Consumer, Delivery, Limits, Message, Queue, Settlement
from headway.runtime.worker_channel import given
from headway.runtime.worker_connection import CONFIRM_S, WorkerConnection
from headway.runtime.worker_output import Output
from headway.runtime.worker_step import PATIENCE_S, StepInHand
from headway.wire import messages, names, strict_json

_LIMITS = Limits()
_LATER = 10_000  # steps that are answered after process has ended
_OUTPUT_CHARACTERS = 100_000  # in one message


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
    ) -> None:
        self.connection = connection
        self.queue = queue
        self.name = type(worker).__name__
        self.returned: Any = None  # by the last process
        self.stopping = threading.Event()
        self._worker = worker
        self._output_level = output_level
        self._consumer: Consumer | None = None
        self._lock = threading.Lock()
        self._step: StepInHand | None = None
        self._by_tag: dict[int, StepInHand] = {}
        self._later: OrderedDict[tuple[str | None, str | None], StepInHand] = OrderedDict()

    # From start to stop

    def connect(self) -> None:
        """Raises: Refused when the broker does not accept us or lets us have no queue."""
        self.connection.open()
        (declared,) = self.connection.bus.declare(self.queue)
        for binding in declared.unsure:
            self._log.warning(
                "we may not bind queue %s with key %s: see that the administrator has done it",
                self.queue.name,
                binding.key,
            )

    def begin(self) -> None:
        """Consume. Again does nothing."""
        with self._lock:
            if self._consumer is None and not self.stopping.is_set():
                self._consumer = self.connection.bus.consume(self.queue.name, self._handle)

    def end(self, timeout_s: float | None) -> bool:
        """Take no more, and wait for the step in hand. Whether it has ended."""
        self.stopping.set()
        self.connection.wake()
        with self._lock:
            consumer, self._consumer = self._consumer, None
        return consumer is None or consumer.cancel(timeout_s)

    # A delivery

    def _handle(self, delivery: Delivery) -> None:
        step = StepInHand(delivery, next(self.connection.tags))
        self._step = step
        self._by_tag[step.tag] = step
        try:
            if self._understood(step) and self._granted(step):
                self._worked_on(step)
            self._settle_rest(step)
        finally:
            self._step = None
            del self._by_tag[step.tag]

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
        wanted = self._worker.dynamic
        names_ = [wanted] if isinstance(wanted, str) else list(wanted or ())
        found = body.get("dynamic") if isinstance(body, dict) else None
        return [name for name in names_ if not isinstance(found, dict) or name not in found]

    def _refuse(self, step: StepInHand, why: str) -> bool:
        self._log.error("%s - %s", step.run, why)
        self._fail(step, why)
        self._settle(step, Settlement.REJECT, why)
        return False

    def _granted(self, step: StepInHand) -> bool:
        if step.claims is None or step.attempt is None:
            return True
        grant = self.connection.ask(step.claims, step.attempt, self.stopping.is_set)
        if grant is None:
            self._settle(step, Settlement.REQUEUE)
            return False
        why = grant.reason
        if grant.granted:
            if self.connection.begin(step.attempt):
                step.granted = True
                self._settle_at_broker(step, Settlement.ACK)
                return True
            why = "it was begun in this process before"
        self._log.info("%s - attempt %s is not ours: %s", step.run, step.attempt, why)
        self._settle(step, Settlement.ACK)
        return False

    def _worked_on(self, step: StepInHand) -> None:
        worker = self._worker
        output = Output(self._say, self._output_level)
        worker.output = output
        channel, deliver, properties = given(
            self.connection.bus.place, self, step.delivery, step.tag
        )
        output.debug(f"Starting {self.name}.{step.run} - {_now()}")
        try:
            self.returned = worker.process(channel, deliver, properties, step.body, output)
            self._log.debug("%s - process returned %r", step.run, self.returned)
            self._answer_rest(step)
        except (Exception, SystemExit) as error:
            self._failed(step, error)
        finally:
            output.debug(f"Finished {self.name}.{step.run} - {_now()}\n\n")

    def _failed(self, step: StepInHand, error: BaseException) -> None:
        self._log.error("%s - process failed", step.run, exc_info=error)
        if isinstance(error, KeyError):
            needs = f"; it needs {', '.join(self._worker.dynamic)}" if self._worker.dynamic else ""
            why = f"{self.name} failed due to missing key: {error}{needs}"
        else:
            why = f"{self.name} failed: {type(error).__name__}: {error}"
        if not step.is_answered:
            self._fail(step, why)
        self._settle(step, Settlement.REJECT, why)

    def _answer_rest(self, step: StepInHand) -> None:
        if step.is_answered or step.decision is Settlement.REQUEUE:
            return
        if not self._worker.answers_later:
            self._fail(step, f"{self.name} ended without an answer")
            return
        with self._lock:
            self._later[step.run, step.reply_to] = step
            if len(self._later) > _LATER:
                self._later.popitem(last=False)

    def _fail(self, step: StepInHand, why: str) -> None:
        if step.reply_to is None:
            return
        try:
            self.send(step.reply_to, step.run, {"status": "failed", "data": why}, "", names.LOG)
        except HeadwayError as error:
            self._log.error("%s - the failure cannot be reported: %s", step.run, error)

    # Settling

    def settle_tag(self, delivery_tag: int, settlement: Settlement) -> None:
        """The author's decision. A second one, or one that comes too late, changes nothing."""
        step = self._step if delivery_tag == 0 else self._by_tag.get(delivery_tag)
        if step is None:
            self._log.warning("delivery %s cannot be settled any more", delivery_tag)
            return
        reason = "rejected by process" if settlement is Settlement.REJECT else ""
        self._settle(step, settlement, reason)

    def _settle(self, step: StepInHand, settlement: Settlement, reason: str = "") -> None:
        with self._lock:
            if step.decision is not None:
                self._log.debug("%s - it was settled before: %s", step.run, step.decision.value)
                return
            step.decision = settlement
        at_broker = settlement
        if settlement is Settlement.REJECT:
            error = self.connection.bury(step.delivery, reason)
            if isinstance(error, Unavailable):
                at_broker = Settlement.REQUEUE  # rejected it would be lost; later it may be kept
        if not step.granted:
            self._settle_at_broker(step, at_broker)
        elif settlement is Settlement.REQUEUE:
            self._give_back(step)

    def _settle_rest(self, step: StepInHand) -> None:
        if step.decision is None:
            self._settle(step, Settlement.ACK)

    def _settle_at_broker(self, step: StepInHand, settlement: Settlement) -> None:
        step.wait_until_confirmed()
        ignored = self.connection.bus.settle(step.delivery, settlement)
        if ignored is not None:
            self._log.info("%s - %s", step.run, ignored.reason)

    def _give_back(self, step: StepInHand) -> None:
        if step.claims is None or step.attempt is None:
            return
        try:
            self.connection.give_back(step.claims, step.attempt)
        except HeadwayError as error:
            self._log.error("%s - the attempt could not be given back: %s", step.run, error)

    # Sending

    def send(
        self, topic: str | None, corr_id: Any, struct: Any, exchange: str | None, reply_to: str
    ) -> None:
        """Raises: WireError for what JSON cannot hold; Rejected; Refused and Unavailable where
        the message has to be served by somebody."""
        body = strict_json.encode(struct, "what was to be sent")
        message = self._message(body, corr_id, reply_to)
        self._publish(message, topic, exchange or "", struct)

    def publish_raw(self, message: Message, routing_key: str, exchange: str) -> None:
        """What is published through the channel, which has its properties already."""
        struct = None
        if not exchange:
            try:
                struct = strict_json.parse(message.body)
            except WireError:
                pass
        self._publish(message, routing_key, exchange, struct)

    def _publish(self, message: Message, topic: str | None, exchange: str, struct: Any) -> None:
        step = self._step_of(message.correlation_id, topic)
        if topic is None:
            if step is not None:
                step.note_answer(None, struct)
            self._log.debug("%s - nobody asked for an answer", message.correlation_id)
            return
        if step is not None and not exchange and step.note_answer(topic, struct):
            message = self._as_answer(message, step)
        problem = refusal(message, topic, exchange, _LIMITS)
        if problem is not None:
            raise problem
        sent = None
        if not exchange and topic != names.LOG:
            patience_s = PATIENCE_S if step is None else step.patience_s
            sent = self.connection.answers.send(topic, message, patience_s)
        elif exchange == names.EXCHANGE and _is_for_whoever_listens(topic):
            sent = self.connection.tell(message, topic)
        elif exchange:
            self.connection.bus.publish(message, topic, exchange).wait(CONFIRM_S)
        if step is not None:
            step.sent(sent)

    def _as_answer(self, message: Message, step: StepInHand) -> Message:
        headers = {**message.headers, names.WORKER: self.connection.worker}
        if step.is_answered:
            headers[names.NOTICES] = list(step.notices)
            with self._lock:
                self._later.pop((step.run, step.reply_to), None)
        return message._replace(headers=headers, message_id=step.attempt or message.message_id)

    def _step_of(self, run: str | None, topic: str | None) -> StepInHand | None:
        """The step that something is sent for: the one in hand, or one answered later."""
        step = self._step
        if step is not None and run in (step.run, None):
            return step
        return self._later.get((run, topic)) or step

    def notify(self, slug: Any, message: Any, phase: str, corr_id: Any, exchange: str) -> None:
        """Tell whom the step names for this phase, on each transport that it names."""
        step = self._step_of(_text(corr_id), None)
        if step is None:
            return
        for transport, targets in step.noticed(phase).items():
            try:
                body = messages.Notification(
                    slug=_sendable(slug)[: messages.SLUG_LONGEST],
                    message=_sendable(message),
                    phase=phase,
                    target=targets,
                ).encode()
                what = self._message(body, corr_id, names.LOG)
                key = names.notify_key(transport)
                if exchange == names.EXCHANGE:
                    step.sent(self.connection.tell(what, key))
                else:
                    self.connection.bus.publish(what, key, exchange)
            except HeadwayError as error:
                self._log.warning("%s - a notification cannot be sent: %s", step.run, error)
                continue
            step.notices.append(f"{phase}.{transport}")

    def _say(self, level: str, text: str) -> None:
        step = self._step
        run = step.run if step is not None else None
        text = _sendable(text)
        for start in range(0, len(text) or 1, _OUTPUT_CHARACTERS):
            part = text[start : start + _OUTPUT_CHARACTERS]
            body = messages.Output(message=part, level=level).encode()
            sent = self.connection.tell(self._message(body, run, names.LOG), names.OUTPUT)
            if step is not None:
                step.sent(sent)

    def _message(self, body: bytes, corr_id: Any, reply_to: str) -> Message:
        return Message(
            body,
            names.JSON,
            correlation_id=_text(corr_id),
            reply_to=reply_to,
            app_id=self.name.lower(),
        )

    @property
    def _log(self) -> logging.Logger:
        return self._worker.app_logger


def queue_for(class_name: str, config: Any) -> Queue:
    """The queue that a worker consumes: its command's, or the one that its configuration names.

    Raises: DefinitionError for a configuration that names it wrongly.
    """
    named = config.get("queue")
    if named is not None and not (isinstance(named, str) and named):
        raise DefinitionError(f'the configuration\'s "queue" is {named!r}: it must be a name')
    more = config.get("bindings", [])
    if not isinstance(more, list) or not all(isinstance(key, str) for key in more):
        raise DefinitionError(f'the configuration\'s "bindings" is {more!r}: it must list keys')
    name = names.worker_key(named or names.command_of(class_name))
    keys = dict.fromkeys([name, *more])
    return Queue(name, bindings=tuple(Binding(names.EXCHANGE, key) for key in keys))


def _is_for_whoever_listens(topic: str) -> bool:
    return topic in (names.OUTPUT, names.PRESENCE) or topic.startswith(names.notify_key(""))


def _text(corr_id: Any) -> str | None:
    return None if corr_id is None else str(corr_id)


def _sendable(value: Any) -> str:
    """Its text, with a question mark for what UTF-8 cannot hold."""
    return str(value).encode("utf-8", "replace").decode()


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
