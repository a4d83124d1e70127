"""Which workers are there: a fold over their presence messages. Pure: values in, values out.

A worker process is known by its id and the queue that it serves. It goes

    (unknown) --heard--> IDLE <--heard--> BUSY --heard--> LEAVING --heard--> LEFT
                          any of them but LEFT, not heard of for a while: LOST

LOST is worked out from the time and ends with the next message. Each message takes the place of
the one before, so that a store can keep one row for each worker and queue. Repeated and late
messages are Ignored: a process counts those it sends.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple

from headway.jobs.schedule import Ignored
from headway.wire.messages import Presence

MISSED = 3  # intervals without a message, and a worker is taken for lost
LONGEST_INTERVAL_S = 300  # whatever a message says: how long it can be missed
MOST = 10_000  # workers that are remembered


class WorkerState(StrEnum):
    """How a worker process stands, as far as was heard."""

    IDLE = "idle"
    BUSY = "busy"
    LEAVING = "leaving"  # it only finishes what it has in hand
    LEFT = "left"
    LOST = "lost"


class Seen(NamedTuple):
    """The last that was heard of a worker process on one queue."""

    presence: Presence
    heard_us: int  # UTC, by the clock of whoever heard it

    @property
    def lost_at_us(self) -> int:
        """When it is lost, unless it is heard of before."""
        return self.heard_us + lost_after_us(self.presence)

    def state(self, now_us: int) -> WorkerState:
        if self.presence.state == "left":
            return WorkerState.LEFT
        if now_us > self.lost_at_us:
            return WorkerState.LOST
        if self.presence.state == "leaving":
            return WorkerState.LEAVING
        return WorkerState.BUSY if self.presence.doing else WorkerState.IDLE


def lost_after_us(presence: Presence) -> int:
    """For how long whoever said this is not lost, although nothing more is heard of it."""
    return MISSED * min(max(presence.interval_s, 1), LONGEST_INTERVAL_S) * 1_000_000


def says_more(before: Presence, after: Presence) -> bool:
    """Whether a message tells anything beside that its worker is still there."""
    return replace(before, number=0) != replace(after, number=0)


def heard(before: Seen | None, presence: Presence, now_us: int) -> Seen | Ignored:
    """What a message makes of what was known of its worker on its queue."""
    # Who does not count sends 0, and is believed.
    if before is not None and 0 < presence.number <= before.presence.number:
        return Ignored("a later one was heard before")
    return Seen(presence, now_us)


class Presences:
    """Everybody who was heard of."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], Seen] = {}

    def hear(self, presence: Presence, now_us: int) -> Seen | Ignored:
        key = (presence.worker, presence.queue)
        before = self._seen.get(key)
        if before is None and len(self._seen) >= MOST:
            self.forget(now_us)
            if len(self._seen) >= MOST:
                return Ignored(f"{MOST} workers are known already")
        after = heard(before, presence, now_us)
        if isinstance(after, Seen):
            self._seen[key] = after
        return after

    def there(self, now_us: int) -> Sequence[Seen]:
        """Who has not left, the lost among them; by what they serve, then where they run."""
        there = [one for one in self._seen.values() if one.state(now_us) is not WorkerState.LEFT]
        return sorted(there, key=_place)

    def forget(self, now_us: int) -> None:
        """Those that left or were lost, once no late message of theirs is to be expected."""
        self._seen = {key: one for key, one in self._seen.items() if now_us <= one.lost_at_us}


def _place(seen: Seen) -> tuple[str, str, str, int, str]:
    one = seen.presence
    return one.command, one.queue, one.host, one.pid, one.worker
