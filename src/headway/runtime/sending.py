"""Sends steps by hand, grants their claims, and tells what is heard of each."""

import queue
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from headway.errors import WireError
from headway.jobs.schedule import Ignored
from headway.ports.bus import (
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
from headway.releases.claims import Attempt, Claims
from headway.runtime import clocks
from headway.wire import names
from headway.wire.messages import (
    Claim,
    Notification,
    Output,
    Response,
    StepMessage,
)

CONFIRM_S = 15.0


class Granted(NamedTuple):
    """A worker claimed the attempt, and has it."""

    worker: str


class GivenBack(NamedTuple):
    """The worker does not want it."""

    worker: str


class Answered(NamedTuple):
    """A response that counts."""

    response: Response


class Line(NamedTuple):
    """Of the step's output."""

    level: str
    text: str


class Notified(NamedTuple):
    """A notice on its way to people."""

    transport: str
    notice: Notification


class Overheard(NamedTuple):
    """Something that counts for nothing, and why."""

    reason: str


Heard = Granted | GivenBack | Answered | Line | Notified | Overheard


class StepSender:
    """Where steps are sent from: its queues, and the claims that it grants. Thread-safe.

    The bus is open; what is declared on it goes with it. Claims are granted where they arrive,
    whatever becomes of the news.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._claims = Claims()
        self._lock = threading.Lock()  # over the claims, and the steps
        self._steps: dict[str, SentStep] = {}  # by attempt
        self._runs: dict[str, SentStep] = {}
        self._replies = f"re.step.{clocks.new_id()}"
        self._requests = f"{self._replies}.claims"
        self._watch = f"{self._replies}.watch"

    def open(self) -> None:
        """Raises: Refused, Unavailable."""
        watched = [names.OUTPUT, names.notify_key("#")]
        bindings = tuple(Binding(names.EXCHANGE, key) for key in watched)
        self._bus.declare(
            Exchange(names.EXCHANGE),
            _own(self._replies),
            _own(self._requests),
            _own(self._watch, bindings),
        )
        told = {
            self._replies: self._on_response,
            self._requests: self._on_claim,
            self._watch: self._on_watched,
        }
        for name, tell in told.items():
            self._bus.consume(name, partial(self._on_delivery, tell), prefetch=100, inline=True)

    def send(self, command: str, message: StepMessage) -> "SentStep":
        """Hand a step over: one attempt, of a run of its own. Does not wait for the broker."""
        body = message.encode()
        step = SentStep()
        with self._lock:
            self._claims.offer(step.attempt, step.run, self._replies)
            self._steps[step.attempt] = self._runs[step.run] = step
        sent = Message(
            body,
            names.JSON,
            {names.CLAIMS: self._requests},
            correlation_id=step.run,
            reply_to=self._replies,
            message_id=step.attempt,
        )
        step.confirmation = self._bus.publish(sent, names.worker_key(command), names.EXCHANGE)
        return step

    def forget(self, step: "SentStep") -> None:
        """What still comes of it is not heard."""
        with self._lock:
            self._claims.forget(step.attempt)
            self._steps.pop(step.attempt, None)
            self._runs.pop(step.run, None)

    def _on_delivery(self, tell: Callable[[Message, str], None], delivery: Delivery) -> None:
        self._bus.settle(delivery, Settlement.ACK)
        try:
            tell(delivery.message, delivery.routing_key)
        except WireError as error:
            message = delivery.message
            step = self._runs.get(message.correlation_id or "") or self._steps.get(
                message.message_id or ""
            )
            if step is not None:
                step.told(Overheard(str(error)))

    def _on_claim(self, message: Message, key: str) -> None:
        claim = Claim.decode(message.body)
        with self._lock:
            answer = self._claims.claim(claim)
            step = self._steps.get(claim.attempt)
        news: Heard
        if isinstance(answer, Ignored):
            news = Overheard(answer.reason)
        elif isinstance(answer, Attempt):
            news = GivenBack(claim.worker)
        elif message.reply_to is None:
            news = Overheard("a claim without reply address")
        else:
            self._bus.publish(Message(answer.encode(), names.JSON), message.reply_to)
            news = Granted(claim.worker) if answer.granted else Overheard(answer.reason)
        if step is not None:
            step.told(news)

    def _on_response(self, message: Message, key: str) -> None:
        step = self._runs.get(message.correlation_id or "")
        if step is None:
            return
        response = Response.decode(message.body)
        worker = str(message.headers.get(names.WORKER, ""))
        with self._lock:
            counted = self._claims.answer(
                response, worker, message.message_id, step.run, self._replies
            )
        if isinstance(counted, Attempt):
            step.told(Answered(response))
        else:
            step.told(Overheard(f"{response.status}: {counted.reason}"))

    def _on_watched(self, message: Message, key: str) -> None:
        step = self._runs.get(message.correlation_id or "")
        if step is None:
            return
        if key == names.OUTPUT:
            output = Output.decode(message.body)
            step.told(
                Line(output.level if isinstance(output.level, str) else "info", output.message)
            )
        else:
            notice = Notification.decode(message.body)
            step.told(Notified(key.removeprefix(names.notify_key("")), notice))


class SentStep:
    """One attempt, and what is heard of it."""

    confirmation: Confirmation

    def __init__(self) -> None:
        self.run = clocks.new_id()
        self.attempt = clocks.new_id()
        self._heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self.told = self._heard.put

    def wait_until_taken(self) -> None:
        """Raises: Rejected, at once, when nobody serves the command; Refused; Unavailable."""
        self.confirmation.wait(CONFIRM_S)

    def heard(self) -> Iterator[Heard]:
        """What comes, as it comes, up to the final answer or the return of the attempt."""
        while True:
            news = self._heard.get()
            yield news
            match news:
                case GivenBack():
                    return
                case Answered(response) if response.is_final:
                    return

    def rest(self) -> Iterator[Heard]:
        """What has come since."""
        while not self._heard.empty():
            yield self._heard.get()


def _own(name: str, bindings: tuple[Binding, ...] = ()) -> Queue:
    return Queue(name, QueueKind.CLASSIC, bindings, durable=False, exclusive=True)
