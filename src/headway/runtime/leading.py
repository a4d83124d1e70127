"""One process leads at a time; the others wait, and one takes over when it is not heard of.

The lead is a lease in the store, renewed again and again over a connection of its own, so that a
slow statement does not cost it. Each lead has a number, its term. What a process that led goes on
writing for a run is refused by the run's own epoch, which whoever takes the run over has raised;
it learns here that it leads no longer.

Threads: one of its own renews.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from headway.errors import Conflict, HeadwayError
from headway.ports.leases import CORE, LeaseRecord
from headway.ports.store import Owner, Store
from headway.runtime import clocks, ownership

_LOG = logging.getLogger("headway.core")
LEASE_S = 10.0  # a leader not heard of for so long, by the store's clock, leads no longer
RENEW_S = 1.0
LOOK_S = 0.5  # how often who waits looks


class Lead:
    """This process as one that leads, or waits to."""

    def __init__(
        self,
        open_store: Callable[[], Store],
        owner: Owner,
        *,
        name: str = CORE,
        lease_s: float = LEASE_S,
    ) -> None:
        self._open_store = open_store
        self._owner = owner
        self._name = name
        self._lease_s = lease_s
        self._renewed_at = 0.0
        self._lost: Conflict | None = None

    def awaited(self, store: Store, stopping: threading.Event) -> int | None:
        """Wait until this process leads; the term. None: it was told to stop first.

        Raises: Unavailable.
        """
        told: Owner | None = None
        while not stopping.is_set():
            holder = store.lease_of(self._name)
            try:
                asked_at = clocks.monotonic()
                term = store.lease(self._name, self._owner, self._patience(holder))
            except Conflict as error:
                if holder is not None and holder.owner != told:
                    told = holder.owner
                    _LOG.info("waiting: %s", error)
                stopping.wait(LOOK_S)
                continue
            self._renewed_at, self._lost = asked_at, None
            return term
        return None

    @contextmanager
    def kept(self, term: int) -> Iterator[None]:
        """Renew for as long as the block lasts, then leave the lead to others."""
        over = threading.Event()
        thread = threading.Thread(
            target=self._keep, args=(term, over), name="headway-lead", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._leave(term)

    def require(self) -> None:
        """Raises: Conflict when this process leads no longer, or may not any more, as nobody
        could be told that it does."""
        if self._lost is not None:
            raise Conflict(str(self._lost)) from self._lost
        if clocks.monotonic() - self._renewed_at > self._lease_s:
            raise Conflict("the lead could not be renewed in time")

    def _patience(self, holder: LeaseRecord | None) -> float:
        """How long the leader must not have been heard of. One of this machine that is dead for
        sure is not waited for."""
        return 0.0 if holder is not None and _is_dead(holder) else self._lease_s

    def _keep(self, term: int, over: threading.Event) -> None:
        store: Store | None = None
        while not over.wait(RENEW_S):
            try:
                store = store or self._open_store()
                asked_at = clocks.monotonic()
                store.renew(self._name, term)
                self._renewed_at = asked_at
            except Conflict as error:
                self._lost = error
                break
            except HeadwayError as error:
                _LOG.warning("the lead cannot be renewed now: %s", error)
        if store is not None:
            store.close()

    def _leave(self, term: int) -> None:
        if self._lost is not None:
            return
        try:
            with closing(self._open_store()) as store:
                store.leave(self._name, term)
        except HeadwayError as error:
            _LOG.info("the lead ends by itself in %g s: %s", self._lease_s, error)


def _is_dead(record: LeaseRecord) -> bool:
    is_here = record.owner.host == ownership.this_process().host
    return is_here and not ownership.is_there(record.owner)
