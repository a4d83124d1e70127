"""Hears what workers say of themselves on a real broker."""

import queue
from collections.abc import Iterator
from contextlib import closing, contextmanager

from headway.adapters.bus_address import parse_bus_url
from headway.ports.bus import Binding, Bus, Delivery, Exchange, Queue, QueueKind, Settlement
from headway.runtime.buses import make_bus
from headway.runtime.worker import Worker
from headway.wire import names
from headway.wire.messages import Presence

DEADLINE_S = 30.0


def often(*workers: Worker) -> None:
    """From their next step on they say often that they are there: nobody has to listen for long."""
    for worker in workers:
        worker._service.connection.presence._interval_s = 0.05


class Watch:
    """What was said, in order."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._said: queue.SimpleQueue[Presence] = queue.SimpleQueue()

    def take(self, delivery: Delivery) -> None:
        self.bus.settle(delivery, Settlement.ACK)
        self._said.put(Presence.decode(delivery.message.body))

    def next(self) -> Presence:
        return self._said.get(timeout=DEADLINE_S)


@contextmanager
def watching_presence(url: str) -> Iterator[Watch]:
    """From before the block begins."""
    bus = make_bus(parse_bus_url(url))
    bus.open(DEADLINE_S)
    with closing(bus):
        watch = Watch(bus)
        bound = (Binding(names.EXCHANGE, names.PRESENCE),)
        own = Queue("watch", QueueKind.CLASSIC, bound, durable=False, exclusive=True)
        bus.declare(Exchange(names.EXCHANGE), own)
        bus.consume(own.name, watch.take, prefetch=100, inline=True)
        yield watch
