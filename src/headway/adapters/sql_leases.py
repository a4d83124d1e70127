"""Leases in a store over SQL."""

from typing import Any

from headway.adapters import statements
from headway.adapters.sql_part import SqlPart
from headway.errors import Conflict
from headway.ports.leases import LeaseRecord
from headway.ports.playbooks import require_short
from headway.ports.store import Owner, storable


class SqlLeases(SqlPart):
    """The part of a store that keeps leases."""

    def lease(self, name: str, owner: Owner, lease_s: float) -> int:
        require_short(name, what="names of leases")
        with self._use, self._database.transaction():
            rows = self._database.query(
                statements.LEASE,
                name=storable(name),
                lease_us=int(lease_s * 1e6),
                **stored_owner(owner),
            )
        if not rows:
            raise self._held_by_another(name)
        return int(rows[0][0])

    def renew(self, name: str, epoch: int) -> None:
        if not self._change(statements.RENEW_LEASE, name=storable(name), epoch=epoch):
            raise self._held_by_another(name)

    def leave(self, name: str, epoch: int) -> None:
        self._change(statements.LEAVE_LEASE, name=storable(name), epoch=epoch)

    def lease_of(self, name: str) -> LeaseRecord | None:
        rows = self._query(statements.LEASE_OF, name=storable(name))
        if not rows:
            return None
        host, pid, started, boot, epoch, seen_us = rows[0]
        return LeaseRecord(Owner(host, pid, started, boot), epoch, seen_us / 1e6)

    def _held_by_another(self, name: str) -> Conflict:
        return not_ours(name, self.lease_of(name))


def not_ours(name: str, record: LeaseRecord | None) -> Conflict:
    """Why a lease cannot be had, or was lost, in words."""
    if record is None:
        return Conflict(f"the lease {name!r} is ours no longer: it was given up")
    return Conflict(
        f"the lease {name!r} is held by {record.owner}, heard of {record.seen_s:.1f} s ago"
    )


def stored_owner(owner: Owner) -> dict[str, Any]:
    """An owner as the columns that name one."""
    return {
        name: storable(value) if isinstance(value, str) else value
        for name, value in owner._asdict().items()
    }
