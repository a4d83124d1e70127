"""Who is ahead of a run for the locks that it wants, and whether its turn has come.

The store says which ticket is the smallest; to wait for it is the part of whoever has the run.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from headway.errors import Rejected
from headway.jobs.states import RunState
from headway.ports.leases import CORE, LeaseRecord
from headway.ports.store import RunRecord, Store
from headway.runtime import ownership


class Ahead(NamedTuple):
    """A run that has a lock which another one wants."""

    tag: str
    run: str
    who: str  # who began it
    target: str
    state: RunState  # as it is now
    core: bool  # a core carries it out, whichever is there


def ahead_of(store: Store, run: str) -> list[Ahead]:
    """Who has each lock that a run waits for, by tag; none: it may go on."""
    holders: dict[str, str] = {}
    for lock in store.ahead_of(run):
        holders.setdefault(lock.tag, lock.run)
    found = (_ahead(store, tag, holder) for tag, holder in holders.items())
    return [one for one in found if one is not None]


def _ahead(store: Store, tag: str, run: str) -> Ahead | None:
    try:
        record = store.find(run)
    except Rejected:
        return None  # it ended, and was forgotten, meanwhile
    return Ahead(tag, run, *standing(record))


def standing(record: RunRecord) -> tuple[str, str, RunState, bool]:
    """What is told of a run that has a lock, or waits for one."""
    launch = record.launch
    return launch.who, launch.target, ownership.state_now(record), record.core


class Turn:
    """Whether the turn of one run has come. Threads: one."""

    def __init__(
        self, store: Store, run: str, told: Callable[[Sequence[Ahead]], object] | None = None
    ) -> None:
        """``told`` is called with who is ahead whenever that, or where one stands, is another;
        with nobody once the turn of a run that had to wait has come."""
        self._store = store
        self._run = run
        self._told = told
        self._ahead: list[Ahead] = []

    def has_come(self) -> bool:
        """Raises: Unavailable."""
        ahead = ahead_of(self._store, self._run)
        if ahead != self._ahead:
            self._ahead = ahead
            if self._told is not None:
                self._told(ahead)
        return not ahead


def leading(store: Store) -> LeaseRecord | None:
    """The lease of the core that leads a store; None when none does, or none lives any more."""
    lease = store.lease_of(CORE)
    if lease is None or lease.seen_s >= ownership.LEASE_S:
        return None
    is_here = lease.owner.host == ownership.this_process().host
    return None if is_here and not ownership.is_there(lease.owner) else lease
