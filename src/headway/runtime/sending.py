"""Sends one step by hand, grants its claim, and tells what is heard of it."""

import logging
import queue
import threading
from collections.abc import Iterator
from typing import NamedTuple

from headway.errors import HeadwayError, WireError
from headway.jobs.schedule import Ignored
from headway.ports.bus import (
    Binding,
    Bus,
    Consumer,
    Delivery,
    Exchange,
    Message,
    News,
    Opened,
    Queue,
    QueueKind,
    Settlement,
)
from headway.releases.claims import Attempt, Claims
from headway.releases.holders import LOST_AFTER_S, Holders
from headway.runtime import clocks
from headway.wire import names
from headway.wire.messages import (
    Claim,
    Grant,
    Notification,
    Output,
    Response,
    StepMessage,
)

_LOG = logging.getLogger("headway.sending")
CONFIRM_S = 15.0
LOOK_S = 0.5  # how often it is looked whether the worker is still there
KEPT_S = 3600  # how long the broker keeps the queues of a sender that has gone


class Granted(NamedTuple):
    """A worker claimed the attempt, and has it."""

    worker: str


class GivenBack(NamedTuple):
    """The worker does not want it."""

    worker: str


class Lost(NamedTuple):
    """The worker has gone: whether the step was carried out is unknown. It may be heard of yet."""

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


Heard = Granted | GivenBack | Lost | Answered | Line | Notified | Overheard


class SentStep:
    """One attempt, from here. The bus is open.

    Replies and claims have durable queues, so that what the broker confirmed to a worker arrives
    here even if the broker is killed in between; ``close`` removes them.

    Threads: one that iterates. Claims are answered whether it does or not.
    """

    def __init__(
        self, bus: Bus, command: str, message: StepMessage, *, lost_after_s: float = LOST_AFTER_S
    ) -> None:
        """``lost_after_s``: how long a worker that cannot be found is waited for."""
        self.run = clocks.new_id()
        self.attempt = clocks.new_id()
        self._bus = bus
        self._command = command
        self._message = message
        self._claims = Claims()
        self._holders = Holders(lost_after_s)
        self._consumers: list[Consumer] = []
        self._was_away = threading.Event()
        self._look_at = 0.0  # monotonic
        self._heard: queue.SimpleQueue[Delivery | Heard] = queue.SimpleQueue()
        self._lock = threading.Lock()  # of claims and holders
        self._replies = f"re.step.{self.run}"
        self._requests = f"{self._replies}.claims"
        self._watch = f"{self._replies}.watch"

    def send(self) -> None:
        """Raises: Rejected, at once, when nobody serves the command; Refused; Unavailable."""
        watched = [names.OUTPUT, names.notify_key("#")]
        bindings = tuple(Binding(names.EXCHANGE, key) for key in watched)
        self._bus.declare(
            Exchange(names.EXCHANGE),
            _kept(self._replies),
            _kept(self._requests),
            Queue(self._watch, QueueKind.CLASSIC, bindings, durable=False, exclusive=True),
        )
        self._bus.listen(self._on_news)
        for name in (self._replies, self._requests, self._watch):
            consumer = self._bus.consume(name, self._on_delivery, prefetch=100, inline=True)
            self._consumers.append(consumer)
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
            news = self._next()
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

    def close(self) -> None:
        """Nothing more is wanted."""
        for consumer in self._consumers:
            consumer.cancel()
        for name in (self._replies, self._requests):
            try:
                self._bus.delete(name)
            except HeadwayError as error:
                _LOG.info("queue %s stays for %d s: %s", name, KEPT_S, error)

    def _next(self) -> Heard | None:
        wait_s = self._look_at - clocks.monotonic()
        if wait_s > 0:
            try:
                return self._told(self._heard.get(timeout=wait_s))
            except queue.Empty:
                pass
        self._look_at = clocks.monotonic() + LOOK_S
        return self._look()

    def _look(self) -> Lost | None:
        """Whether the worker that holds the attempt is still there."""
        with self._lock:
            if not self._claims.attempts[self.attempt].is_held:
                return None
            if self._was_away.is_set():
                self._was_away.clear()
                self._holders.was_away(clocks.monotonic())
                self._grant_again()
            addresses = self._holders.addresses
        for worker, address in addresses.items():
            try:
                is_there = self._bus.exists(address)
            except HeadwayError as error:
                _LOG.debug("worker %s cannot be looked for: %s", worker, error)
                continue
            with self._lock:
                if self._holders.addresses.get(worker) != address:
                    continue  # it claimed again meanwhile
                if self._holders.found(worker, is_there, clocks.monotonic()):
                    self._claims.lost(worker)
                    return Lost(worker)
        return None

    def _grant_again(self) -> None:
        """A grant may have gone with our connection; the worker would ask again much later."""
        for worker, address in self._holders.addresses.items():
            grant = Grant(attempt=self.attempt, worker=worker, granted=True)
            self._bus.publish(Message(grant.encode(), names.JSON), address)

    def _on_news(self, news: News) -> None:
        if isinstance(news, Opened):
            self._was_away.set()

    def _on_delivery(self, delivery: Delivery) -> None:
        self._bus.settle(delivery, Settlement.ACK)
        if delivery.queue != self._requests:
            self._heard.put(delivery)
            return
        try:
            claim = Claim.decode(delivery.message.body)
        except WireError as error:
            self._heard.put(Overheard(str(error)))
            return
        with self._lock:
            news, grant = self._claimed(claim, delivery.message.reply_to)
        self._heard.put(news)  # before anything can come of the grant
        if grant is not None and delivery.message.reply_to is not None:
            self._bus.publish(Message(grant.encode(), names.JSON), delivery.message.reply_to)

    def _told(self, delivery: Delivery | Heard) -> Heard | None:
        if not isinstance(delivery, Delivery):
            return delivery
        try:
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

    def _claimed(self, claim: Claim, reply_to: str | None) -> tuple[Heard, Grant | None]:
        """In the bus's thread. What is to be sent back, if anything."""
        held_before = self._claims.attempts[self.attempt].is_held
        answer = self._claims.claim(claim)
        if isinstance(answer, Ignored):
            return Overheard(answer.reason), None
        if isinstance(answer, Attempt):
            self._holders.forget(claim.worker)
            return GivenBack(claim.worker), None
        if not answer.granted:
            return Overheard(f"a claim: {answer.reason}"), answer
        if reply_to is not None:
            self._holders.claimed(claim.worker, reply_to)
        if held_before:
            return Overheard(f"{claim.worker} claimed again what it has"), answer
        return Granted(claim.worker), answer

    def _on_response(self, message: Message) -> Heard:
        response = Response.decode(message.body)
        worker = message.headers.get(names.WORKER, "")
        with self._lock:
            counted = self._claims.answer(
                response, str(worker), message.message_id, self.run, self._replies
            )
        if isinstance(counted, Attempt):
            return Answered(response)
        return Overheard(f"{response.status}: {counted.reason}")


def _kept(name: str) -> Queue:
    return Queue(name, QueueKind.CLASSIC, arguments={"x-expires": KEPT_S * 1000})
