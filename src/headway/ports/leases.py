"""What says which process does a thing that only one may do at a time."""

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from headway.ports.store import Owner

CORE = "core"  # the lease of the process that carries out the runs of the core


class LeaseRecord(NamedTuple):
    """Who holds a lease."""

    owner: "Owner"
    epoch: int  # how often the lease was taken; who renews it says it
    seen_s: float  # seconds since it was last renewed, by the store's clock


class Leases(Protocol):
    """Leases by name. Each has one holder at most; all moments are by the store's clock.

    Raises, in every method, what ``Store`` does; Rejected for a name that is too long.
    """

    def lease(self, name: str, owner: "Owner", lease_s: float) -> int:
        """Become the holder; the new epoch.

        It can be taken when nobody holds it, when it was not renewed for ``lease_s``, and anew by
        the process that holds it. Raises: Conflict naming who holds it and when it was last heard
        of.
        """

    def renew(self, name: str, epoch: int) -> None:
        """Say that the holder lives. Raises: Conflict when it is no longer ours."""

    def leave(self, name: str, epoch: int) -> None:
        """Give it up. Nothing happens when it is ours no longer."""

    def lease_of(self, name: str) -> LeaseRecord | None:
        """Who holds it, living or not; None when it was given up or never taken."""
