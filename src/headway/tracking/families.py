"""A family: a task and all that were sent because of it, however far down. They share a root."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headway.tracking.results import Seen
from headway.tracking.states import TaskState

# The first of these that a member is in is where the family stands: what is unfinished goes
# before what is over, and of that the worst before the best.
_ORDER = (
    TaskState.STARTED,
    TaskState.RETRYING,
    TaskState.RECEIVED,
    TaskState.SENT,
    TaskState.FAILED,
    TaskState.REJECTED,
    TaskState.REVOKED,
    TaskState.SUCCEEDED,
)


class Family(NamedTuple):
    """``members`` are in the order in which they were sent."""

    root: str
    members: Sequence[Seen]
    is_whole: bool = True  # False: there are more than were asked for

    @property
    def counts(self) -> Mapping[TaskState, int]:
        counted = Counter(one.state for one in self.members)
        return {state: counted[state] for state in _ORDER if counted[state]}

    @property
    def state(self) -> TaskState:
        """*unknown* when nobody has heard of any of them."""
        return next(iter(self.counts), TaskState.UNKNOWN)

    @property
    def is_over(self) -> bool:
        """Whether every member that was heard of has ended."""
        return bool(self.members) and self.state in _ORDER[4:]

    def children(self) -> Mapping[str | None, Sequence[Seen]]:
        """By the id of who sent them; under None those whose sender is not among the members."""
        known = {one.task.id for one in self.members}
        found: dict[str | None, list[Seen]] = {}
        for one in self.members:
            parent = one.task.parent
            found.setdefault(parent if parent in known else None, []).append(one)
        return found
