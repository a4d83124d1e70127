"""The child processes of an executor, and the loop that serves them."""

import os
import selectors
import time
from collections.abc import Callable

from headway.adapters.child import Child

_LOOK_S = 0.02  # how often, where the system cannot tell that a child has ended
_KILLED_S = 5.0  # how long a killed child is waited for


class Children:
    """Those that are alive. Whoever adds one calls ``turn`` until it is over.

    ``ended`` is called with each that is over, and reaped.
    """

    def __init__(self, ended: Callable[[Child], None]) -> None:
        self.alive: set[Child] = set()
        self.stopping = False  # may be set by any thread, which then wakes the loop
        self._ended = ended
        self._selector = selectors.DefaultSelector()
        self._wakes, self._wake = os.pipe()
        for fd in (self._wakes, self._wake):
            os.set_blocking(fd, False)
        self._selector.register(self._wakes, selectors.EVENT_READ, None)

    def descriptors(self) -> list[int]:
        """All that a new child must not hold open."""
        fds = [self._wakes, self._wake]
        # An epoll or kqueue has a descriptor, a mere poll or select has none.
        if hasattr(self._selector, "fileno"):
            fds.append(self._selector.fileno())
        for child in self.alive:
            fds += child.fork.descriptors()
        return fds

    def add(self, child: Child) -> None:
        self.alive.add(child)
        for fd in child.fork.descriptors():
            self._selector.register(fd, selectors.EVENT_READ, child)

    def turn(self, until: float | None) -> bool:
        """Wait until something happens and deal with it; whether that was a call of ``wake``.

        ``until``: monotonic, the end of the wait. Raises: what the run's callbacks raise, after
        the child that it was about was killed.
        """
        woken = False
        for item, _ in self._selector.select(self._left_s(until)):
            child: Child | None = item.data
            if child is None:
                woken = True
                os.read(item.fd, 4096)
            elif item.fd != child.fork.end and not child.take(item.fd):
                self._selector.unregister(item.fd)
        now = time.monotonic()
        for child in list(self.alive):
            try:
                child.heed()
                child.bound(now, stopping=self.stopping)
                if child.reap():
                    self._forget(child)
            except BaseException:
                child.given_up = True
                child.kill()
                raise
        return woken

    def _left_s(self, until: float | None) -> float | None:
        now = time.monotonic()
        moments = [] if until is None else [until]
        for child in self.alive:
            moments += child.moments
            if child.fork.end is None:
                moments.append(now + _LOOK_S)
        return max(0.0, min(moments) - now) if moments else None

    def _forget(self, child: Child) -> None:
        self.alive.discard(child)
        for fd in child.fork.descriptors():
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
        child.fork.close()
        self._ended(child)

    def wake(self) -> None:
        """Make ``turn`` return. Any thread."""
        try:
            os.write(self._wake, b"\0")
        except BlockingIOError:
            pass  # it is full of calls that were not heard yet

    def end(self, grace_s: float) -> None:
        """Give up all: TERM, KILL after the grace. Then let go of everything."""
        try:
            for child in self.alive:
                child.given_up = True
                child.ask_to_end()
            self._turn_until(time.monotonic() + grace_s)
            for child in self.alive:
                child.kill()
            self._turn_until(time.monotonic() + _KILLED_S)
        finally:
            for child in self.alive:  # the system holds on to it, or a person was impatient
                child.kill()
                child.fork.close()
            self.alive.clear()
            self._selector.close()
            os.close(self._wakes)
            os.close(self._wake)

    def _turn_until(self, moment: float) -> None:
        while self.alive and time.monotonic() < moment:
            self.turn(moment)
