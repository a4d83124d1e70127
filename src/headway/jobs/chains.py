"""When what a chain left is put away: a plan's closings, as its schedule comes to them.

A chain is *over* when none of its nodes runs or is in doubt, and none is going to start: all have
ended, or the plan was stopped for good, by a failure or a cancellation. A job in doubt stops a
plan, too, but not for good: once it is settled, the other chains may go on. What closes a chain
goes one after another, each once the one before has ended, however that went.

Cost: O(nodes + closings) for a whole run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headway.jobs.outcomes import Ending
from headway.jobs.plan import Closing, Plan
from headway.jobs.states import JobState

_PENDING, _RUNNING, _WAITING = JobState.PENDING, JobState.RUNNING, JobState.WAITING


@dataclass(slots=True)
class Acted:
    """The nodes that did something which nobody has put away since; of those that have a closing.

    Over all resumes and retries: what a try did stays until its closing has succeeded.
    """

    closings: Mapping[int, Closing]
    keys: set[int] = field(default_factory=set)

    _of: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self._of = {closing.of for closing in self.closings.values()}

    def ended(self, key: int, ending: Ending, *, executed: bool) -> None:
        if key in self._of:
            if executed or ending is Ending.REPAIRED or ending is Ending.IN_DOUBT:
                self.keys.add(key)
        elif ending is Ending.PASSED or ending is Ending.REPAIRED:
            self.put_away(key)

    def maybe(self, key: int) -> None:
        """Its Run began, and what came of it was not seen."""
        if key in self._of:
            self.keys.add(key)

    def put_away(self, key: int) -> None:
        """What puts away has done so, if the node is one of these."""
        closing = self.closings.get(key)
        if closing is not None:
            self.keys.discard(closing.of)


@dataclass(slots=True)
class _Chain:
    open: int = 0  # of its nodes, those that have not ended and do not run
    held: int = 0  # those that run or are in doubt
    closers: list[int] = field(default_factory=list)  # in the order they go
    turn: int = 0  # whose it is
    has_gone: bool = False  # whether that one was let go


class Chains:
    """Those of one plan; told how its nodes move."""

    def __init__(self, plan: Plan, states: Sequence[JobState], acted: Acted) -> None:
        """``states``, ``acted``: the schedule's own, which it goes on changing."""
        self._closings = plan.closings
        self._states = states
        self._acted = acted
        self._chains: dict[tuple[int, int], _Chain] = {}
        self._of: dict[int, _Chain] = {}  # by key of nodes and of what closes them
        self._nodes: set[int] = set()
        for key, closing in sorted(plan.closings.items()):
            chain = self._chains.get(closing[1:])
            if chain is None:
                chain = self._chains[closing[1:]] = _Chain()
                for node in range(closing.first, closing.last + 1):
                    self._of[node] = chain
                    self._nodes.add(node)
                    chain.open += _is_open(states[node])
                    chain.held += _is_held(states[node])
            chain.closers.append(key)
            self._of[key] = chain

    def moved(self, key: int, was: JobState, now: JobState) -> None:
        """A node stands elsewhere."""
        if key in self._nodes:
            chain = self._of[key]
            chain.open += _is_open(now) - _is_open(was)
            chain.held += _is_held(now) - _is_held(was)

    def next(self, key: int, *, for_good: bool) -> int | None:
        """What may go now to close the chain of a node, or of what closes it; told once.

        ``for_good``: whether the plan was stopped so.
        """
        chain = self._of.get(key)
        return None if chain is None else self._next(chain, for_good)

    def all_next(self, *, for_good: bool) -> list[int]:
        """The same for all chains."""
        found = (self._next(chain, for_good) for chain in self._chains.values())
        return [key for key in found if key is not None]

    def _next(self, chain: _Chain, for_good: bool) -> int | None:
        if chain.held or (chain.open and not for_good):
            return None
        while chain.turn < len(chain.closers):
            key = chain.closers[chain.turn]
            state = self._states[key]
            if state is _PENDING or state is _WAITING:
                # What follows a chain that is done waits also for what has nothing to put away.
                if not for_good or self._closings[key].of in self._acted.keys:
                    if chain.has_gone:
                        return None
                    chain.has_gone = True
                    return key
            elif state is _RUNNING:
                return None
            chain.turn += 1
            chain.has_gone = False
        return None


def _is_open(state: JobState) -> bool:
    return state is _PENDING or state is _WAITING


def _is_held(state: JobState) -> bool:
    return state is _RUNNING or state is JobState.IN_DOUBT
