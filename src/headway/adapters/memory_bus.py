"""The bus in one process: ``memory://NAME``."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

from headway.adapters.handlers import HandlerThread, call_handler
from headway.adapters.memory_broker import Link, MemoryBroker
from headway.adapters.memory_queues import Taker
from headway.adapters.message_rules import no_room, refusal
from headway.adapters.publications import Publication
from headway.adapters.settling import NEEDS_NONE, SETTLED_BEFORE, VOID
from headway.errors import Conflict, DefinitionError, HeadwayError, Unavailable
from headway.jobs.schedule import Ignored
from headway.ports.bus import (
    DIRECT_REPLY_TO,
    Closed,
    ConsumerBack,
    ConsumerLost,
    Counts,
    Declared,
    Delivery,
    Exchange,
    Limits,
    Message,
    News,
    Opened,
    Queue,
    Settlement,
)

_LOG = logging.getLogger("headway.bus")


class MemoryBus:
    """One party's connection to an in-memory broker."""

    def __init__(
        self, broker: MemoryBroker, user: str = "headway", limits: Limits | None = None
    ) -> None:
        self._broker = broker
        self.user = user
        self._limits = limits or Limits()
        self._link: Link | None = None
        self._wanted = False  # between open and close
        self._listeners: list[Callable[[News], object]] = []
        self._declared: dict[str, Exchange | Queue] = {}
        self._consumers: list[MemoryConsumer] = []
        self._channels: dict[int, Taker] = {}  # by epoch
        self._unconfirmed: set[Publication] = set()
        self._unconfirmed_bytes = 0
        self._counts = Counts(0, 0, 0, 0, 0, 0, 0, 0)

    @property
    def place(self) -> str:
        return f"memory://{self._broker.name}"

    @property
    def is_open(self) -> bool:
        return self._link is not None

    def open(self, timeout_s: float | None = 15.0) -> None:
        broker = self._broker
        with broker.lock:
            if self._wanted:
                raise DefinitionError(f"the bus {self.place} was opened before")
            self._wanted = True
            while not broker.running:
                if broker.by_hand or not broker.started.wait(timeout_s) or not self._wanted:
                    self._wanted = False
                    raise Unavailable(f"the in-memory broker {broker.name!r} is stopped")
        self._connect()

    def close(self, timeout_s: float = 5.0) -> None:
        # Nothing stays unconfirmed here, unless the broker blocks, and then waiting is no use.
        with self._broker.acting():
            if not self._wanted:
                return
            self._wanted = False
            self._broker.started.notify_all()
            consumers, self._consumers = self._consumers, []
            self._declared.clear()
            link, self._link = self._link, None
            if link is not None:
                self._broker.detach(link)
            self._void("it was closed")
            self._broker.later(self, lambda: self.tell(Closed("it was closed", None)))
        for consumer in consumers:
            consumer.stop()

    def listen(self, listener: Callable[[News], object]) -> None:
        self._listeners.append(listener)

    def declare(self, *parts: Exchange | Queue) -> Sequence[Declared]:
        with self._broker.acting():
            made = []
            for part in parts:
                made.append(self._broker.declare(self._connected(), part))
                self._declared[part.name] = part
            return made

    def delete(self, queue: str) -> None:
        with self._broker.acting():
            self._broker.delete(self._connected(), queue)
            self._declared.pop(queue, None)

    def exists(self, queue: str) -> bool:
        with self._broker.lock:
            self._connected()
            return self._broker.exists(queue)

    def publish(self, message: Message, routing_key: str, exchange: str = "") -> Publication:
        publication = Publication(message, routing_key, exchange)
        error: HeadwayError | None = refusal(message, routing_key, exchange, self._limits)
        with self._broker.acting():
            self._count(published=1)
            link = self._link
            if link is None:
                error = error or Unavailable(f"not connected to {self.place}")
            error = error or no_room(self._limits, len(self._unconfirmed), self._unconfirmed_bytes)
            self._unconfirmed.add(publication)
            self._unconfirmed_bytes += len(message.body)
            publication.then(lambda _: self._ended(publication))
            if error is not None or link is None:
                publication.end(error)
            else:
                self._broker.publish(link, publication)
        return publication

    def consume(
        self,
        queue: str,
        handler: Callable[[Delivery], object],
        *,
        prefetch: int = 1,
        inline: bool = False,
    ) -> "MemoryConsumer":
        with self._broker.acting():
            self._connected()
            if queue == DIRECT_REPLY_TO and any(c.queue == queue for c in self._consumers):
                raise Conflict(f"this bus consumes from {DIRECT_REPLY_TO} already")
            consumer = MemoryConsumer(self, self._broker, queue, handler, prefetch, inline)
            self.start_consumer(consumer)
            self._consumers.append(consumer)
        return consumer

    def settle(self, delivery: Delivery, settlement: Settlement) -> Ignored | None:
        epoch, number = delivery.tag
        with self._broker.acting():
            if number == 0:
                return NEEDS_NONE
            taker = self._channels.get(epoch)
            if taker is None or not self._broker.settle(taker, number, settlement):
                self._count(ignored=1)
                return VOID if taker is None else SETTLED_BEFORE
            self._count(settled=1)
            self.forget_channel(taker)
            return None

    def holds(self, delivery: Delivery) -> bool:
        epoch, number = delivery.tag
        with self._broker.lock:
            return epoch in self._channels and number in self._channels[epoch].unsettled

    def counts(self) -> Counts:
        return self._counts

    # What the broker calls.

    def tell(self, news: News) -> None:
        for listener in list(self._listeners):
            try:
                listener(news)
            except Exception:
                _LOG.exception("a listener failed on %r", news)

    def lost(self, reason: str) -> None:
        with self._broker.acting():
            self._link = None
            self._void(reason)
            if self._wanted:
                self._broker.later(self, lambda: self.tell(Closed(reason, 0.0)))
                self._broker.later(self, self._connect)

    def consumer_lost(self, taker: Taker, queue: str, reason: str) -> None:
        with self._broker.acting():
            self._count(void=taker.voided)
            self._channels.pop(taker.epoch, None)
            consumer = next((one for one in self._consumers if one.taker is taker), None)
            if consumer is not None:
                self._broker.later(self, lambda: self.tell(ConsumerLost(queue, reason, 0.0)))
                self._broker.later(self, lambda: self._resume(consumer))

    # Under the broker's lock.

    def start_consumer(self, consumer: "MemoryConsumer") -> None:
        taker = self._broker.consume(
            self._connected(), consumer.queue, consumer.prefetch, consumer.give
        )
        self._channels[taker.epoch] = consumer.taker = taker
        self._broker.begin(taker)

    def forget_consumer(self, consumer: "MemoryConsumer") -> None:
        if consumer in self._consumers:
            self._consumers.remove(consumer)
        if consumer.taker is not None:
            self.forget_channel(consumer.taker)

    def forget_channel(self, taker: Taker) -> None:
        """A cancelled consumer's channel lasts until what it was given is settled."""
        if taker.cancelled and not taker.unsettled:
            self._channels.pop(taker.epoch, None)

    def count_delivered(self) -> None:
        self._count(delivered=1)

    def _connect(self) -> None:
        with self._broker.acting():
            if not self._wanted or self._link is not None:
                return
            try:
                self._link = self._broker.attach(self)
            except Unavailable:
                self._broker.hope(self, self._connect)
                return
            self._count(connections=1)
            self._broker.later(self, lambda: self.tell(Opened(self._counts.connections)))
            for part in self._declared.values():
                try:
                    self._broker.declare(self._link, part)
                except HeadwayError as error:
                    _LOG.warning("%s: %s", self.place, error)
            for consumer in self._consumers:
                self._resume(consumer, news=False)

    def _resume(self, consumer: "MemoryConsumer", news: bool = True) -> None:
        with self._broker.acting():
            if self._link is None or consumer not in self._consumers:
                return
            if consumer.taker is not None and consumer.taker.epoch in self._channels:
                return
            try:
                if part := self._declared.get(consumer.queue):
                    self._broker.declare(self._link, part)
                self.start_consumer(consumer)
            except HeadwayError:
                self._broker.hope(self, lambda: self._resume(consumer))
                return
            if news:
                self._broker.later(self, lambda: self.tell(ConsumerBack(consumer.queue)))

    def _connected(self) -> Link:
        if self._link is None:
            raise Unavailable(f"not connected to {self.place}")
        return self._link

    def _void(self, reason: str) -> None:
        self._count(void=sum(taker.voided for taker in self._channels.values()))
        self._channels.clear()
        for publication in list(self._unconfirmed):
            error = Unavailable(
                f"{reason} before a message to {publication.destination} was confirmed:"
                " whether it arrived is unknown"
            )
            self._broker.later(self, partial(publication.end, error))

    def _ended(self, publication: Publication) -> None:
        with self._broker.lock:
            self._unconfirmed.discard(publication)
            self._unconfirmed_bytes -= len(publication.message.body)
            self._count(confirmed=int(not publication.error), failed=int(bool(publication.error)))

    def _count(self, **more: int) -> None:
        counts = self._counts
        self._counts = counts._replace(**{k: getattr(counts, k) + n for k, n in more.items()})


class MemoryConsumer:
    """A handler that is given a queue's deliveries."""

    def __init__(
        self,
        bus: MemoryBus,
        broker: MemoryBroker,
        queue: str,
        handler: Callable[[Delivery], object],
        prefetch: int,
        inline: bool,
    ) -> None:
        self.queue = queue
        self.prefetch = prefetch
        self.taker: Taker | None = None
        self._bus = bus
        self._broker = broker
        self._handler = handler
        self._cancelled = False
        here = inline or broker.by_hand
        self._thread = None if here else HandlerThread(bus, queue, handler)

    def give(self, delivery: Delivery) -> None:
        self._bus.count_delivered()
        if self._thread is not None:
            self._thread.put(delivery)
        else:
            self._broker.later(self, lambda: self._call(delivery))

    def cancel(self, timeout_s: float | None = None) -> bool:
        with self._broker.acting():
            if self.taker is not None and not self._cancelled:
                self._broker.cancel(self.taker)
            self._bus.forget_consumer(self)
            self.stop()
        return self._thread is None or self._thread.join(timeout_s)

    def stop(self) -> None:
        self._cancelled = True
        if self._thread is not None:
            self._thread.stop()

    def _call(self, delivery: Delivery) -> None:
        if self._cancelled:
            self._bus.settle(delivery, Settlement.REQUEUE)
        elif delivery.tag[1] == 0 or self._bus.holds(delivery):
            call_handler(self._bus, self._handler, delivery)
