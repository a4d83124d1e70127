"""A feed in memory, whose broker is played by the test."""

import threading
from collections.abc import Sequence

from headway.errors import Unavailable
from headway.ports.tracking import Reach
from headway.tracking.heard import Heard

REACH = Reach(True, True, ["hears what the test sends"])


class MemoryFeed:
    """Brings what was ``sent``; keeps what is not settled, and brings it again after a loss."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []  # who was asked to tell
        self.opened = 0
        self.refuses: list[Exception] = []  # by the next attempts to open it
        self._waiting: list[Heard] = []
        self._brought: list[Heard] = []
        self._connected = False
        self._woken = False
        self._changed = threading.Condition()

    @property
    def unsettled(self) -> Sequence[Heard]:
        """All that the broker still has."""
        with self._changed:
            return [*self._brought, *self._waiting]

    def send(self, *heard: Heard) -> None:
        with self._changed:
            self._waiting += heard
            self._changed.notify_all()

    def lose(self) -> None:
        """The connection; what was brought and not settled comes again."""
        with self._changed:
            self._connected = False
            self._changed.notify_all()

    def wait_until_settled(self, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not (self._brought or self._waiting), timeout_s)

    def wait_until_brought(self, count: int, timeout_s: float) -> bool:
        """So many are in hand."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._brought) >= count, timeout_s)

    def open(self) -> Reach:
        with self._changed:
            self.opened += 1
            if self.refuses:
                raise self.refuses.pop(0)
            self._waiting = self._brought + self._waiting
            self._brought = []
            self._connected = True
            return REACH

    def fetch(self, most: int, wait_s: float) -> Sequence[Heard]:
        with self._changed:
            self._changed.wait_for(
                lambda: self._waiting or self._woken or not self._connected, wait_s
            )
            self._woken = False
            self._require_connected()
            brought, self._waiting = self._waiting[:most], self._waiting[most:]
            self._brought += brought
            self._changed.notify_all()
            return brought

    def settle(self, count: int) -> None:
        with self._changed:
            if self._connected:
                del self._brought[:count]
                self._changed.notify_all()

    def enable_events(self, workers: Sequence[str] = ()) -> None:
        with self._changed:
            self._require_connected()
            self.asked.append(list(workers))

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        self.lose()

    def _require_connected(self) -> None:
        if not self._connected:
            raise Unavailable("the connection was lost")
