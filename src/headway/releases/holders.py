"""Whether the workers that hold attempts are still there. Pure: told what was found, and when.

A claim carries an address that lasts as long as its worker's connection. Who grants looks now and
then whether it exists, and says here what it found:

    THERE --not found--> MISSING --not found for LOST_AFTER_S--> LOST
      ^                     |                                     |
      +---- found again, or claimed again from another address ---+

A worker whose connection was lost claims again what it holds when it has another. Who grants
learns nothing while it is not connected itself; everybody then has BACK_WITHIN_S to be back too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LOST_AFTER_S = 1.0
BACK_WITHIN_S = 15.0


@dataclass(slots=True)
class _Holder:
    address: str
    missing_since_s: float | None = None
    is_lost: bool = False


class Holders:
    """Times are seconds of one monotonic clock."""

    def __init__(
        self, lost_after_s: float = LOST_AFTER_S, back_within_s: float = BACK_WITHIN_S
    ) -> None:
        self._lost_after_s = lost_after_s
        self._back_within_s = back_within_s
        self._patient_until_s = float("-inf")
        self._holders: dict[str, _Holder] = {}

    @property
    def addresses(self) -> Mapping[str, str]:
        """Of each worker that is to be looked for."""
        return {worker: one.address for worker, one in self._holders.items()}

    def claimed(self, worker: str, address: str) -> None:
        """It has been heard of, and is to be found there."""
        self._holders[worker] = _Holder(address)

    def found(self, worker: str, is_there: bool, now_s: float) -> bool:
        """Whether the worker is lost by that: said once, until it is back."""
        holder = self._holders.get(worker)
        if holder is None:
            return False
        if is_there:
            holder.missing_since_s, holder.is_lost = None, False
            return False
        if holder.missing_since_s is None:
            holder.missing_since_s = now_s
        gone_s = now_s - holder.missing_since_s
        if holder.is_lost or gone_s < self._lost_after_s or now_s < self._patient_until_s:
            return False
        holder.is_lost = True
        return True

    def was_away(self, now_s: float) -> None:
        """Who grants was not connected until now."""
        self._patient_until_s = now_s + self._back_within_s
        for holder in self._holders.values():
            holder.missing_since_s = None

    def forget(self, worker: str) -> None:
        """It holds nothing any more."""
        self._holders.pop(worker, None)
