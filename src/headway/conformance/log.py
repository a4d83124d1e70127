"""All that was seen of a worker, in order: by the tap, by the desk, of its process."""

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple, TypeVar

from headway.adapters.traffic import Heard, Traffic
from headway.ports.bus import Delivery


class Answered(NamedTuple):
    """Something came to a step's reply queue."""

    at: float
    delivery: Delivery


class Asked(NamedTuple):
    """A claim came to the desk."""

    at: float
    delivery: Delivery


class Granted(NamedTuple):
    """The desk answered a claim."""

    at: float
    attempt: str
    granted: bool


class Overheard(NamedTuple):
    """An output line, a notification, a word of presence."""

    at: float
    delivery: Delivery


class Ended(NamedTuple):
    """The worker's process is over."""

    at: float
    life: int  # the first one started, the second, ...
    code: int


Event = Traffic | Answered | Asked | Granted | Overheard | Ended
E = TypeVar("E", bound=Event)


class Log:
    """Thread-safe."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._events: list[Event] = []
        self._beats: dict[int, list[float]] = {}
        self._changed = threading.Condition()

    def note(self, event: Event) -> None:
        with self._changed:
            if isinstance(event, Heard):
                self._beats.setdefault(event.connection, []).append(event.at)
                return
            self._events.append(event)
            self._changed.notify_all()

    def until(self, seen: Callable[[], object], timeout_s: float) -> bool:
        """Whether it came to be so, within the time; asked again whenever there is news."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(seen()), timeout_s)

    def everything(self) -> list[Event]:
        with self._changed:
            return list(self._events)

    def all(self, kind: type[E], since: float = 0.0) -> Iterator[E]:
        return (one for one in self.everything() if isinstance(one, kind) and one.at >= since)

    def last(self, kind: type[E], since: float = 0.0) -> E | None:
        found = list(self.all(kind, since))
        return found[-1] if found else None

    def silence_s(self, connection: int, since: float, until: float) -> float:
        """The longest time between two signs of life of a connection, in a span of time."""
        with self._changed:
            beats = [at for at in self._beats.get(connection, []) if since <= at <= until]
        moments = [since, *beats, until]
        return max(later - one for one, later in pairwise(moments))
