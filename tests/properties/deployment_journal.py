"""Reads the journal of a deployment as it is committed, and finds whether it can be true."""

from headway.jobs.events import (
    Event,
    RunEnded,
    RunIntended,
    RunRetried,
    Settled,
    StepClaimed,
    StepGivenBack,
    TryEnded,
)
from headway.jobs.outcomes import Ending, Phase
from headway.jobs.plan import Plan
from headway.jobs.standing import SUCCEEDED, Standing
from headway.jobs.states import JobState, RunState

Place = tuple[int, int]  # the key of a node and the number of a try


class Committed:
    """All that is written of one run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.standing = Standing(plan)
        self.intended: dict[Place, str] = {}  # the last attempt of each
        self.places: dict[str, Place] = {}  # by attempt
        self.claimed: dict[str, str | None] = {}  # by attempt: who has it
        self.started: set[str] = set()  # attempts of workers that claim nothing, and said so
        self.ends: dict[Place, TryEnded] = {}
        self.person: dict[int, int] = {}  # by key: how often somebody decided what becomes of it

    @property
    def under_way(self) -> set[Place]:
        """Where a step itself was dispatched, and it is not written how that ended."""
        return self.intended.keys() - self.ends.keys()

    def read(self, event: Event) -> None:
        states = self.standing.states
        match event:
            case RunIntended():
                self._may_begin(event)
                place = event.key, event.number
                self.intended[place] = event.attempt
                self.places[event.attempt] = place
            case StepClaimed():
                place = event.key, event.number
                assert self.intended[place] == event.attempt, "the attempt that was given up"
                assert place not in self.ends, "claimed after its end"
                holder = self.claimed.get(event.attempt)
                assert holder in (None, event.worker), "two workers have it"
                self.claimed[event.attempt] = event.worker
                if not event.address:
                    self.started.add(event.attempt)
            case StepGivenBack():
                assert self.claimed[event.attempt] == event.worker, "another has it"
                self.claimed[event.attempt] = None
            case TryEnded():
                self._may_end(event)
                self.ends[event.key, event.number] = event
            case Settled():
                assert states[event.key] is JobState.IN_DOUBT
                self._is_decided(event.key)
            case RunRetried():
                assert not self.under_way, "its last lap is going on"
                for key in event.keys:
                    self._is_decided(key)
            case RunEnded():
                self._may_be_over(event)
            case _:
                pass
        self.standing.apply(event)

    def _is_decided(self, key: int) -> None:
        self.person[key] = self.person.get(key, 0) + 1

    def _may_begin(self, event: RunIntended) -> None:
        key, place, states = event.key, (event.key, event.number), self.standing.states
        rules = self.plan.rules[key]
        assert event.attempt not in self.places, "an attempt has a name of its own"
        assert states[key] in (JobState.PENDING, JobState.WAITING), "it has ended"
        assert self.has_what_it_needs(key), "it starts before what it needs succeeded"
        if place in self.intended:
            assert rules.has_check or rules.on_lost == "rerun", "begun again, unasked"
        else:
            assert event.number == 1 + max((n for k, n in self.ends if k == key), default=0)
        if self.standing.cancelled:
            assert key in self.plan.closings, "it starts in a run that was cancelled"

    def _may_end(self, event: TryEnded) -> None:
        key, place = event.key, (event.key, event.number)
        assert place not in self.ends, "two ends"
        assert not event.executed or place in self.intended, "an end without a beginning"
        assert self.standing.tries[key] < self.plan.rules[key].tries, "too many tries"
        assert self.has_what_it_needs(key)
        if event.ending in (Ending.IN_DOUBT, Ending.OVERDUE):
            assert place in self.intended
        if self.intended.get(place) in self.started and event.phase is Phase.RUN:
            told = event.failure.type if event.failure is not None else ""
            assert told != "Rejected", "taken back from who has it"
            assert told != "TimeoutError" or event.ending is Ending.OVERDUE, "who has it goes on"

    def _may_be_over(self, event: RunEnded) -> None:
        states = self.standing.states
        assert not self.under_way, "the run is over, and a try of it is not"
        if event.state is RunState.SUCCEEDED:
            assert all(state in SUCCEEDED for state in states)
        assert (event.state is RunState.IN_DOUBT) == (JobState.IN_DOUBT in states)
        assert event.state is not RunState.CANCELLED or self.standing.cancelled

    def has_what_it_needs(self, key: int) -> bool:
        states = self.standing.states
        return all(states[need] in SUCCEEDED for need in self.plan.needs[key])
