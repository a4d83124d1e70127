"""Who may use a connection: one thread at a time, and one process ever.

A process that was forked from ours has a copy of the connection. Two at one end would ruin what
they say, so the copy is refused there. It cannot be closed there for good either: what the driver
does when the copy is thrown away must find nothing half done. So a fork waits until no
transaction is under way.
"""

import os
import threading
from functools import cache
from types import TracebackType
from weakref import WeakSet

from headway.errors import Refused

LONGEST_FORK_WAIT_S = 30.0  # for transactions of other threads, whose own waits are shorter


class ExclusiveUse:
    """A lock that a thread may take again and that no forked process gets."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._pid = os.getpid()
        _watch_forks().add(self)

    @property
    def was_forked(self) -> bool:
        """Whether this is a copy, in another process."""
        return os.getpid() != self._pid

    def __enter__(self) -> None:
        if self.was_forked:  # asked first: the lock is held here by whoever forked
            raise Refused(
                f"this store was opened by process {self._pid}, from which process"
                f" {os.getpid()} was forked: let it open the store anew"
            )
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()


@cache
def _watch_forks() -> "WeakSet[ExclusiveUse]":
    """The uses that a fork waits for; hooks cannot be taken back, so there is one for all."""
    uses: WeakSet[ExclusiveUse] = WeakSet()
    forking = threading.local()

    def wait() -> None:
        in_order = sorted(uses, key=id)  # the same for every thread that forks
        forking.held = [use for use in in_order if use._lock.acquire(timeout=LONGEST_FORK_WAIT_S)]

    def go_on() -> None:
        for use in reversed(forking.held):
            use._lock.release()

    os.register_at_fork(before=wait, after_in_parent=go_on)
    return uses
