"""Writes down which workers are there, for whoever asks the store: beside a core that leads.

What workers say is only put aside where it comes in; a thread with a store of its own looks at it
once a second and writes what is new together, so that the core never waits for it. That a worker
is still there, and nothing else, is written every few seconds.

Nothing depends on it: what cannot be heard or written is logged, and workers say it again.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from headway.errors import HeadwayError, Refused, WireError
from headway.ports.bus import Binding, Bus, Delivery, Exchange, Queue, QueueKind, Settlement
from headway.ports.store import Store
from headway.ports.workers import WorkerRecord
from headway.releases.presences import MOST, Presences, Seen, says_more
from headway.runtime import clocks
from headway.wire import names
from headway.wire.messages import Presence

_LOG = logging.getLogger("headway.core")
WRITE_S = 1.0  # how often what is new is written
TOUCH_S = 3.0  # how often, at most, that a worker is still there and says nothing else
WAITING = 5_000  # messages that wait to be looked at; beyond, the oldest are dropped
LONGEST_BYTES = 64 * 2**10  # of a message that is looked at
_Key = tuple[str, str]  # worker, queue


class Roster:
    """What was heard, and how much of it is written. For one thread, but for ``put_aside``."""

    def __init__(self) -> None:
        self._arrived: deque[bytes] = deque(maxlen=WAITING)
        self._presences = Presences()
        self._written: dict[_Key, Seen] = {}
        self._due: dict[_Key, Seen] = {}  # heard and not written

    def put_aside(self, body: bytes) -> None:
        """A message, to be looked at later. Any thread."""
        self._arrived.append(body)

    def due(self, now_us: int) -> Sequence[WorkerRecord]:
        """What is to be written now: all that is new since it was ``written``."""
        while self._arrived:
            self._hear(self._arrived.popleft(), now_us)
        return [
            WorkerRecord(one.presence, max(0, now_us - one.heard_us) / 1e6)
            for one in self._due.values()
        ]

    def written(self, now_us: int) -> None:
        """The store has what was due."""
        self._written |= self._due
        self._due.clear()
        if len(self._written) > MOST:
            self._written = {
                key: one for key, one in self._written.items() if now_us <= one.lost_at_us
            }

    def _hear(self, body: bytes, now_us: int) -> None:
        if len(body) > LONGEST_BYTES:
            return
        try:
            presence = Presence.decode(body)
        except WireError as error:
            _LOG.debug("what a worker says of itself cannot be read: %s", error)
            return
        seen = self._presences.hear(presence, now_us)
        if isinstance(seen, Seen) and self._is_due(seen):
            self._due[presence.worker, presence.queue] = seen

    def _is_due(self, seen: Seen) -> bool:
        key = seen.presence.worker, seen.presence.queue
        before = self._written.get(key)
        if before is None or key in self._due or says_more(before.presence, seen.presence):
            return True
        # One that says it more often is lost sooner, too.
        patience_s = min(TOUCH_S, seen.presence.interval_s)
        return seen.heard_us - before.heard_us >= patience_s * 1e6


@contextmanager
def roster_kept(
    open_store: Callable[[], Store], bus: Bus, write_s: float = WRITE_S
) -> Iterator[None]:
    """Hear and write for as long as the block lasts. The bus is open."""
    roster, over = Roster(), threading.Event()
    try:
        _listen(bus, roster)
    except Refused as error:
        _LOG.warning("which workers are there is not written down: %s", error)
        yield
        return
    thread = threading.Thread(
        target=_keep, args=(roster, open_store, over, write_s), name="headway-roster", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _listen(bus: Bus, roster: Roster) -> None:
    """Raises: Refused, Unavailable."""

    def heard(delivery: Delivery) -> None:
        bus.settle(delivery, Settlement.ACK)
        roster.put_aside(delivery.message.body)

    own = Queue(
        f"core.workers.{clocks.new_id()}",
        QueueKind.CLASSIC,
        (Binding(names.EXCHANGE, names.PRESENCE),),
        durable=False,
        exclusive=True,
    )
    bus.declare(Exchange(names.EXCHANGE), own)
    bus.consume(own.name, heard, prefetch=1_000, inline=True)


def _keep(
    roster: Roster, open_store: Callable[[], Store], over: threading.Event, write_s: float
) -> None:
    store: Store | None = None
    told = ""
    while not over.wait(write_s):
        now_us = clocks.now_us()
        heard = roster.due(now_us)
        if not heard:
            continue
        try:
            store = store or open_store()
            store.note_workers(heard)
            roster.written(now_us)
            told = ""
        except HeadwayError as error:
            if str(error) != told:
                told = str(error)
                _LOG.warning("which workers are there cannot be written down now: %s", error)
    if store is not None:
        store.close()
