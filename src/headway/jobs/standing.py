"""Where the jobs of a run stand by its journal alone: the fold that all readers of it share."""

from collections.abc import Iterable, Sequence

from headway.jobs.chains import Acted
from headway.jobs.events import (
    Event,
    RunCancelled,
    RunEnded,
    RunIntended,
    RunPaused,
    RunResumed,
    RunRetried,
    RunUnpaused,
    Settled,
    TryEnded,
)
from headway.jobs.outcomes import Ending
from headway.jobs.plan import Plan, Policy
from headway.jobs.states import OVER, JobState, RunState

SUCCEEDED = (JobState.PASSED, JobState.REPAIRED)
LOST = (JobState.FAILED, JobState.OVERDUE, JobState.IN_DOUBT)  # nothing that needs it can start
FINAL = (JobState.FAILED, JobState.OVERDUE)  # lost, and nothing to be settled about it
HOPELESS = (JobState.FAILED, JobState.OVERDUE, JobState.BLOCKED, JobState.CANCELLED)
UNTOUCHED = (JobState.BLOCKED, JobState.CANCELLED)
STATE_OF = {
    Ending.PASSED: JobState.PASSED,
    Ending.REPAIRED: JobState.REPAIRED,
    Ending.IN_DOUBT: JobState.IN_DOUBT,
    Ending.OVERDUE: JobState.OVERDUE,
}
SETTLED = {"done": JobState.REPAIRED, "again": JobState.PENDING, "failed": JobState.FAILED}


class Standing:
    """Where each job stands after the events applied so far.

    A try whose end was never written is not counted: its job stands as it did before it. Nor is
    one in doubt that somebody wants made again.
    """

    __slots__ = (
        "_begun",
        "acted",
        "cancelled",
        "counts",
        "ended",
        "ended_us",
        "paused",
        "plan",
        "states",
        "tries",
    )

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.states: list[JobState] = [JobState.PENDING] * len(plan)
        self.counts = dict.fromkeys(JobState, 0)  # of ``states``
        self.counts[JobState.PENDING] = len(plan)
        self.tries: list[int] = [0] * len(plan)  # ended ones, since the last retry
        self.ended_us: dict[int, int] = {}  # of jobs that wait: when their last try ended
        self.cancelled = False
        self.paused = False  # until it is told otherwise, cancelled, tried anew or over
        self.ended: RunState | None = None  # how the run ended, if it is over
        self.acted = Acted(plan.closings)
        self._begun: set[int] = set()  # whose Run began, and whose end is not written yet

    def apply(self, event: Event) -> None:
        if isinstance(event, TryEnded):
            self._try_ended(event)
        elif isinstance(event, Settled):
            self._settled(event.key, event.how)
        elif isinstance(event, RunRetried):
            self.cancelled, self.paused, self.ended = False, False, None
            for key in event.keys:
                self._set(key, JobState.PENDING)
                self.tries[key] = 0
                self.ended_us.pop(key, None)
        elif isinstance(event, RunIntended):
            if self.plan.closings:
                self._begun.add(event.key)
        elif isinstance(event, RunResumed):
            for key in self._begun:
                self.acted.maybe(key)
            self._begun.clear()
            if self.ended is RunState.CANCELLED:  # taken up again: that was a change of mind
                self.cancelled = False
            self.ended = None
        elif isinstance(event, RunCancelled):
            self.cancelled, self.paused = True, False
        elif isinstance(event, RunPaused):
            self.paused = not self.cancelled
        elif isinstance(event, RunUnpaused):
            self.paused = False
        elif isinstance(event, RunEnded):
            self.ended = event.state
            self.cancelled = self.cancelled or event.state is RunState.CANCELLED
            self.paused = self.paused and event.state not in OVER

    def _settled(self, key: int, how: str) -> None:
        if self.states[key] is JobState.IN_DOUBT:
            self._set(key, SETTLED[how])
            if how == "again":
                self.tries[key] -= 1
            elif how == "done":
                self.acted.put_away(key)

    def _try_ended(self, event: TryEnded) -> None:
        key = event.key
        self.tries[key] += 1
        self.ended_us.pop(key, None)
        if self.plan.closings:
            self._begun.discard(key)
            self.acted.ended(key, event.ending, executed=event.executed)
        if event.ending is not Ending.FAILED:
            self._set(key, STATE_OF[event.ending])
        elif event.final or self.tries[key] >= self.plan.rules[key].tries:
            self._set(key, JobState.FAILED)
        else:
            self._set(key, JobState.WAITING)
            self.ended_us[key] = event.at_us

    def _set(self, key: int, state: JobState) -> None:
        self.counts[self.states[key]] -= 1
        self.counts[state] += 1
        self.states[key] = state

    @property
    def stopped(self) -> bool:
        """Whether the plan's policy starts nothing new, because a job was lost."""
        if self.plan.policy.on_failure != "stop":
            return False
        stops_at = self.plan.stops_at
        return any(s in LOST and stops_at(key) for key, s in enumerate(self.states))


def states_shown(
    plan: Plan, states: Sequence[JobState], acted: Acted, *, cancelled: bool, stopped: bool
) -> list[JobState]:
    """By key, where each job stands, told for a reader.

    A job that waits for one that failed is blocked; one that could not start any more because
    the run was cancelled is cancelled.
    """
    shown = list(states)
    rules, closings = plan.rules, plan.closings
    for key, state in enumerate(shown):
        if state is JobState.PENDING or state is JobState.WAITING:
            if key in closings:
                of = closings[key].of
                if of in acted.keys or shown[of] is JobState.RUNNING:
                    continue
                if shown[of] in UNTOUCHED:
                    shown[key] = shown[of]  # there will be nothing to put away
                elif cancelled or stopped:
                    shown[key] = when_stopped(state, cancelled=cancelled)
            elif cancelled:
                shown[key] = JobState.CANCELLED
            elif any(shown[need] in HOPELESS for need in plan.needs[key]):
                shown[key] = JobState.BLOCKED
            elif stopped and not rules[key].finally_:
                shown[key] = when_stopped(state, cancelled=cancelled)
    return shown


def when_stopped(state: JobState, *, cancelled: bool) -> JobState:
    """Where a job stands for a reader, that would start if the run had not been stopped."""
    if cancelled:
        return JobState.CANCELLED
    return JobState.FAILED if state is JobState.WAITING else JobState.BLOCKED


# Of a journal, all that whether it is paused follows from.
PAUSING = (RunPaused, RunUnpaused, RunCancelled, RunResumed, RunRetried, RunEnded)


def is_paused(events: Iterable[Event]) -> bool:
    """Whether a run is paused, by those of its events that are PAUSING."""
    standing = Standing(Plan((), (), (), (), Policy()))
    for event in events:
        standing.apply(event._replace(keys=()) if isinstance(event, RunRetried) else event)
    return standing.paused
