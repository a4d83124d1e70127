"""Listens for a while to who is there on a bus."""

import queue
from collections.abc import Callable, Sequence
from typing import NamedTuple

from headway.errors import Refused, WireError
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
from headway.ports.workers import WorkerRecord
from headway.releases.presences import Presences, Seen
from headway.runtime import clocks
from headway.runtime.worker_presence import INTERVAL_S
from headway.wire import names
from headway.wire.messages import Presence

LISTEN_S = INTERVAL_S + 1.0  # each worker says within its interval that it is there


class Heard(NamedTuple):
    """Who was heard of."""

    workers: Sequence[Seen]
    at_us: int  # when the listening ended
    flawed: int  # messages that could not be read


def seen_of(record: WorkerRecord, now_us: int) -> Seen:
    """What a store has of a worker, by the clock of whoever asks."""
    return Seen(record.presence, now_us - round(record.seen_s * 1e6))


def listen(bus: Bus, listen_s: float = LISTEN_S) -> Heard:
    """Who says within so many seconds that it is there. The bus is open.

    Raises: Refused for a user who may not listen; Unavailable.
    """
    arrived: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def take(delivery: Delivery) -> None:
        bus.settle(delivery, Settlement.ACK)
        arrived.put(delivery.message)

    _listen_with(bus, f"re.workers.{clocks.new_id()}", take)
    presences, flawed = Presences(), 0
    until = clocks.monotonic() + listen_s
    while (left_s := until - clocks.monotonic()) > 0:
        try:
            presences.hear(Presence.decode(arrived.get(timeout=left_s).body), clocks.now_us())
        except queue.Empty:
            break
        except WireError:
            flawed += 1
    now_us = clocks.now_us()
    return Heard(presences.there(now_us), now_us, flawed)


def _listen_with(bus: Bus, name: str, take: Callable[[Delivery], object]) -> None:
    own = Queue(
        name,
        QueueKind.CLASSIC,
        (Binding(names.EXCHANGE, names.PRESENCE),),
        durable=False,
        exclusive=True,
    )
    try:
        bus.declare(Exchange(names.EXCHANGE), own)
        bus.consume(name, take, prefetch=100, inline=True)
    except Refused as error:
        raise Refused(
            "whoever lists workers needs a queue of its own: permission to configure, write and"
            f" read queues re.workers.*, and to read the exchange {names.EXCHANGE} ({error})"
        ) from error
