"""A run's steps and its jobs, carried out over a bus; and workers that do as the test says."""

import json
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

from headway.adapters.dispatching import Dispatcher
from headway.adapters.steps import Steps
from headway.errors import HeadwayError, Unavailable
from headway.jobs.job import Rules
from headway.jobs.outcomes import Outcome, Phase
from headway.jobs.shared import SharedStorage
from headway.ports.bus import (
    DIRECT_REPLY_TO,
    Binding,
    Bus,
    Confirmation,
    Delivery,
    Exchange,
    Message,
    Queue,
    QueueKind,
    Settlement,
)
from headway.ports.executor import Ended, Executor, Late, Work
from headway.releases.steps import Call, StepNode
from headway.runtime import clocks
from headway.runtime.worker import Worker
from headway.runtime.worker_trial import served
from headway.wire import names
from headway.wire.messages import Claim

DEADLINE_S = 20.0
SOON_S = 0.02
AGAIN_S = 0.05
MakeBus = Callable[[], Bus]
_numbers = count(1)


def call(step: str, **more: Any) -> Call:
    name = names.parse_step(step)
    return Call(name.command, name.subcommand, **more)


def node(
    run: str = "frob:Do",
    check: str | None = None,
    *,
    name: str = "",
    cleanup: str | None = None,
    notify: Mapping[str, Any] | None = None,
    expected: Any = None,
    **rules: Any,
) -> StepNode:
    return StepNode(
        name or f"{run}@h1",
        "h1",
        "orchard",
        Rules(**{"tries": 1, "has_check": check is not None, **rules}),
        call(run, notify=notify or {}, expected=expected),
        None if check is None else call(check),
        None if cleanup is None else call(cleanup),
    )


class Hand:
    """A worker's hand: takes step messages, and does with them what the test says."""

    def __init__(self, bus: Bus, command: str = "frob") -> None:
        self.bus = bus
        self.name = f"hand-{next(_numbers)}"
        self._steps: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._grants: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        key = names.worker_key(command)
        bus.declare(
            Exchange(names.EXCHANGE),
            Queue(key, QueueKind.CLASSIC, (Binding(names.EXCHANGE, key),)),
        )
        self._consumer = bus.consume(key, self._take, prefetch=100, inline=True)
        bus.consume(DIRECT_REPLY_TO, self._granted, inline=True)

    def _take(self, delivery: Delivery) -> None:
        self.bus.settle(delivery, Settlement.ACK)
        self._steps.put(delivery)

    def _granted(self, delivery: Delivery) -> None:
        self._grants.put(json.loads(delivery.message.body))

    def next(self) -> Delivery:
        """The next step message."""
        return self._steps.get(timeout=DEADLINE_S)

    @property
    def is_idle(self) -> bool:
        return self._steps.empty()

    @property
    def is_told(self) -> bool:
        return not self._grants.empty()

    def ask(self, step: Delivery, *, give_back: bool = False) -> None:
        """Claim the attempt, or give it back."""
        attempt = step.message.message_id or ""
        body = Claim(attempt=attempt, worker=self.name, give_back=give_back).encode()
        message = Message(body, names.JSON, reply_to=DIRECT_REPLY_TO, message_id=attempt)
        self.bus.publish(message, str(step.message.headers[names.CLAIMS])).wait(DEADLINE_S)

    def grant(self) -> bool:
        """Whether the claim was granted."""
        return bool(self._grants.get(timeout=DEADLINE_S)["granted"])

    def say(
        self,
        step: Delivery,
        status: str,
        *,
        echo: bool = True,
        notices: Iterable[str] = (),
        attempt: str | None = None,
        closing: bool = False,
        **more: Any,
    ) -> None:
        """Answer; without ``echo`` as a worker does that knows nothing of attempts.

        ``closing``: and a last line follows.
        """
        sent = step.message
        known = {names.WORKER: self.name, names.NOTICES: list(notices)} if echo else {}
        headers = {**known, names.CLOSING: True} if closing else known
        message = Message(
            json.dumps({"status": status, **more}).encode(),
            names.JSON,
            headers,
            correlation_id=sent.correlation_id,
            message_id=(attempt or sent.message_id) if echo else None,
        )
        assert sent.reply_to is not None
        self.bus.publish(message, sent.reply_to).wait(DEADLINE_S)

    def write(self, step: Delivery, text: str, *, named: bool = True, closes: bool = False) -> None:
        """A line of output; ``closes``: the last."""
        sent = step.message
        message = Message(
            json.dumps({"message": text}).encode(),
            names.JSON,
            {names.CLOSING: True} if closes else {},
            correlation_id=sent.correlation_id,
            message_id=sent.message_id if named else None,
        )
        self.bus.publish(message, names.OUTPUT, names.EXCHANGE).wait(DEADLINE_S)


class Stage:
    """Steps of one run, opened, and all that they told."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        definitions: list[Any],
        rules: list[Rules],
        inner: Executor | None,
        work: dict[str, Any],
        executor: dict[str, Any],
    ) -> None:
        self.dispatcher = dispatcher
        self.intended: list[tuple[int, int, str]] = []
        self.claimed: list[tuple[int, str]] = []
        self.lines: list[tuple[int, str]] = []
        self.phases: list[tuple[Phase, bool]] = []
        self.notices: list[tuple[int, str, str]] = []
        self.late: list[Late] = []
        self.ends: dict[int, list[Outcome]] = {}
        self.steps = Steps(
            dispatcher,
            clocks.new_id,
            clocks.now_us,
            inner,
            **{"again_s": AGAIN_S, **executor},
        )
        told: dict[str, Any] = {
            "run": clocks.new_id(),
            "watches_phases": True,
            "intends": self._intends,
            "claimed": lambda key, number, attempt, worker, address: self.claimed.append(
                (key, worker)
            ),
            "notifies": self._notifies,
            "wrote": lambda key, number, stream, text: self.lines.append((key, text)),
            "phase_ended": lambda key, number, phase, failure: self.phases.append(
                (phase, failure is None)
            ),
        }
        shared = SharedStorage(threading.get_ident)
        self.steps.open(Work(definitions, rules, shared, **{**told, **work}))

    def _intends(
        self, key: int, number: int, outcome: Outcome, attempt: str = "", replies: str = ""
    ) -> None:
        self.intended.append((key, number, attempt))

    def _notifies(self, key: int, number: int, notice: str, transport: str) -> bool:
        told = (key, notice, transport)
        if told in self.notices:
            return False
        self.notices.append(told)
        return True

    def start(self, key: int = 0, number: int = 1) -> None:
        outcome = self.steps.start(key, number)
        if outcome is not None:
            self.ends.setdefault(key, []).append(outcome)

    def turn(self, timeout_s: float = SOON_S) -> None:
        for news in self.steps.wait(timeout_s):
            if isinstance(news, Ended):
                self.ends.setdefault(news.key, []).append(news.outcome)
            else:
                self.late.append(news)

    def until(self, condition: Callable[[], object]) -> None:
        """Serve the steps until something is so."""
        give_up_at = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < give_up_at, "it did not come to that"
            self.turn()

    def end(self, key: int = 0) -> Outcome:
        """How a try ends; it ends once."""
        self.until(lambda: self.ends.get(key))
        (outcome,) = self.ends.pop(key)
        return outcome

    def grants(self, hand: Hand, step: Delivery) -> bool:
        """Whether a hand that claims a step is granted it."""
        hand.ask(step)
        self.until(lambda: hand.is_told)
        return hand.grant()

    @contextmanager
    def served(self) -> Iterator[None]:
        """Beside: the steps are served by a thread, as long as the block lasts."""
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                self.turn()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(DEADLINE_S)
            assert not thread.is_alive()


class Network:
    """A broker, and all who are connected to it in a test."""

    def __init__(self, make_bus: MakeBus) -> None:
        self.make_bus = make_bus
        self._stack = ExitStack()

    def bus(self) -> Bus:
        bus = self.make_bus()
        bus.open()
        self._stack.callback(bus.close)
        return bus

    def hand(self, command: str = "frob") -> Hand:
        return Hand(self.bus(), command)

    def serve(self, worker_class: type[Worker], *, times: int = 1) -> None:
        for _ in range(times):
            self._stack.enter_context(served(worker_class, self.bus(), stop_limit_s=5.0))

    def stage(
        self,
        *definitions: Any,
        inner: Executor | None = None,
        bus: Bus | None = None,
        work: dict[str, Any] | None = None,
        **executor: Any,
    ) -> Stage:
        rules = [one.rules if isinstance(one, StepNode) else Rules(tries=1) for one in definitions]
        name = f"re.test.{clocks.new_id()}"
        dispatcher = Dispatcher(bus or self.bus(), name, lost_after_s=0.0)
        dispatcher.open()
        self._stack.callback(dispatcher.close)
        stage = Stage(dispatcher, list(definitions), rules, inner, work or {}, executor)
        self._stack.callback(stage.steps.close)
        return stage

    def close(self) -> None:
        self._stack.close()


class Known:
    """What became of a message."""

    done = True

    def __init__(self, error: HeadwayError | None) -> None:
        self.error = error

    def wait(self, timeout_s: float | None) -> None:
        if self.error is not None:
            raise self.error

    def then(self, call: Callable[[Confirmation], object]) -> None:
        call(self)


class LosesConfirmations:
    """A bus whose connection is lost before a broker's word on some messages arrives."""

    def __init__(self, bus: Bus, times: int, *, arrives: bool) -> None:
        """``times``: of messages to workers; ``arrives``: whether the broker has them."""
        self._bus = bus
        self._times = times
        self._arrives = arrives

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    def publish(self, message: Message, routing_key: str, exchange: str = "") -> Confirmation:
        if not routing_key.startswith(names.worker_key("")) or self._times == 0:
            return self._bus.publish(message, routing_key, exchange)
        self._times -= 1
        if self._arrives:
            self._bus.publish(message, routing_key, exchange).wait(DEADLINE_S)
        return Known(Unavailable("the connection was lost"))
