"""Sends one step by hand, grants its claim, and tells what is heard of it."""

import queue
from collections.abc import Iterator
from typing import NamedTuple

from headway.errors import WireError
from headway.jobs.schedule import Ignored
from headway.ports.bus import (
    Binding,
    Bus,
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


class SentStep:
    """One attempt, from here. The bus is open; what is declared on it goes with it."""

    def __init__(self, bus: Bus, command: str, message: StepMessage) -> None:
        self.run = clocks.new_id()
        self.attempt = clocks.new_id()
        self._bus = bus
        self._command = command
        self._message = message
        self._claims = Claims()
        self._heard: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._replies = f"re.step.{self.run}"
        self._requests = f"{self._replies}.claims"
        self._watch = f"{self._replies}.watch"

    def send(self) -> None:
        """Raises: Rejected, at once, when nobody serves the command; Refused; Unavailable."""
        watched = [names.OUTPUT, names.notify_key("#")]
        bindings = tuple(Binding(names.EXCHANGE, key) for key in watched)
        self._bus.declare(
            Exchange(names.EXCHANGE),
            _own(self._replies),
            _own(self._requests),
            _own(self._watch, bindings),
        )
        for name in (self._replies, self._requests, self._watch):
            self._bus.consume(name, self._on_delivery, prefetch=100, inline=True)
        self._claims.offer(self.attempt, self.run, self._replies)
        message = Message(
            self._message.encode(),
            names.JSON,
            {names.CLAIMS: self._requests},
            correlation_id=self.run,
            reply_to=self._replies,
            message_id=self.attempt,
        )
        key = names.worker_key(self._command)
        self._bus.publish(message, key, names.EXCHANGE).wait(CONFIRM_S)

    def heard(self) -> Iterator[Heard]:
        """What comes, as it comes, up to the final answer or the return of the attempt."""
        while True:
            news = self._told(self._heard.get())
            if news is not None:
                yield news
            match news:
                case GivenBack():
                    return
                case Answered(response) if response.is_final:
                    return

    def rest(self) -> Iterator[Heard]:
        """What has come since."""
        while not self._heard.empty():
            news = self._told(self._heard.get())
            if news is not None:
                yield news

    def _on_delivery(self, delivery: Delivery) -> None:
        self._bus.settle(delivery, Settlement.ACK)
        self._heard.put(delivery)

    def _told(self, delivery: Delivery) -> Heard | None:
        try:
            if delivery.queue == self._requests:
                return self._on_claim(delivery.message)
            if delivery.message.correlation_id != self.run:
                return None  # another step's
            if delivery.queue == self._replies:
                return self._on_response(delivery.message)
            if delivery.routing_key == names.OUTPUT:
                output = Output.decode(delivery.message.body)
                level = output.level if isinstance(output.level, str) else "info"
                return Line(level, output.message)
            notice = Notification.decode(delivery.message.body)
            return Notified(delivery.routing_key.removeprefix(names.notify_key("")), notice)
        except WireError as error:
            return Overheard(str(error))

    def _on_claim(self, message: Message) -> Heard:
        claim = Claim.decode(message.body)
        answer = self._claims.claim(claim)
        if isinstance(answer, Ignored):
            return Overheard(answer.reason)
        if isinstance(answer, Attempt):
            return GivenBack(claim.worker)
        if message.reply_to is None:
            return Overheard("a claim without reply address")
        self._bus.publish(Message(answer.encode(), names.JSON), message.reply_to)
        return Granted(claim.worker) if answer.granted else Overheard(answer.reason)

    def _on_response(self, message: Message) -> Heard:
        response = Response.decode(message.body)
        worker = message.headers.get(names.WORKER, "")
        counted = self._claims.answer(
            response, str(worker), message.message_id, self.run, self._replies
        )
        if isinstance(counted, Attempt):
            return Answered(response)
        return Overheard(f"{response.status}: {counted.reason}")


def _own(name: str, bindings: tuple[Binding, ...] = ()) -> Queue:
    return Queue(name, QueueKind.CLASSIC, bindings, durable=False, exclusive=True)
