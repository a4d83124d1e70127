"""Leases in plain dictionaries: the part of the store in memory that keeps them."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from headway.errors import Conflict
from headway.ports.leases import LeaseRecord
from headway.ports.playbooks import require_short
from headway.ports.store import Owner, storable


@dataclass(slots=True)
class _Lease:
    epoch: int
    owner: Owner | None  # None: it was given up
    seen_us: int


class MemoryLeases:
    """Keeps leases in memory."""

    _lock: threading.RLock

    def __init__(self, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._leases: dict[str, _Lease] = {}

    def lease(self, name: str, owner: Owner, lease_s: float) -> int:
        require_short(name, what="names of leases")
        with self._lock:
            now_us = self._now_us()
            found = self._leases.setdefault(storable(name), _Lease(0, None, now_us))
            expired = now_us - found.seen_us >= int(lease_s * 1e6)
            if found.owner is not None and found.owner != kept_owner(owner) and not expired:
                raise Conflict(f"the lease {name!r} is held by {found.owner}")
            found.epoch += 1
            found.owner, found.seen_us = kept_owner(owner), now_us
            return found.epoch

    def renew(self, name: str, epoch: int) -> None:
        with self._lock:
            found = self._leases.get(storable(name))
            if found is None or found.owner is None or found.epoch != epoch:
                holder = found and found.owner
                raise Conflict(f"the lease {name!r} is ours no longer: {holder or 'nobody'} has it")
            found.seen_us = self._now_us()

    def leave(self, name: str, epoch: int) -> None:
        with self._lock:
            found = self._leases.get(storable(name))
            if found is not None and found.epoch == epoch:
                found.owner = None

    def lease_of(self, name: str) -> LeaseRecord | None:
        with self._lock:
            found = self._leases.get(storable(name))
            if found is None or found.owner is None:
                return None
            return LeaseRecord(found.owner, found.epoch, (self._now_us() - found.seen_us) / 1e6)


def kept_owner(owner: Owner) -> Owner:
    """An owner as every store keeps it."""
    host, pid, started, boot = owner
    return Owner(storable(host), pid, storable(started), storable(boot))
