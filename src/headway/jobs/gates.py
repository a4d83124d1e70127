"""At which gates a run waits for a person, by its journal alone: the fold that all share."""

from collections.abc import Iterable

from headway.jobs.events import (
    Event,
    GateAnswered,
    GateReached,
    Live,
    RunCancelled,
    RunRetried,
    TryEnded,
)
from headway.jobs.outcomes import Ending, Failure, Outcome, Phase

APPROVE, REJECT = "approve", "reject"
DECISIONS = (APPROVE, REJECT)
DONE = {APPROVE: "approved", REJECT: "rejected"}


class Gates:
    """The gates that were reached, after the events applied so far.

    One that waited when its run was cut off waits on: nobody is told again, and its time counts
    from when it was first reached. A run that was cancelled, or begins another lap, waits nowhere.
    """

    __slots__ = ("answered", "waiting")

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.waiting: dict[int, GateReached] = {}  # by key
        self.answered: dict[int, GateAnswered] = {}  # by key, the last answer of each
        for event in events:
            self.apply(event)

    def apply(self, event: Event | Live) -> None:
        if isinstance(event, GateReached):
            self.waiting[event.key] = event
        elif isinstance(event, GateAnswered):
            self.waiting.pop(event.key, None)
            self.answered[event.key] = event
        elif isinstance(event, TryEnded):
            self.waiting.pop(event.key, None)
        elif isinstance(event, RunRetried):
            self.waiting.clear()
            for key in event.keys:
                self.answered.pop(key, None)
        elif isinstance(event, RunCancelled):
            self.waiting.clear()

    def answer_to(self, key: int, number: int) -> GateAnswered | None:
        """What was answered to that try, whether or not its end was written."""
        answer = self.answered.get(key)
        return answer if answer is not None and answer.number == number else None


def outcome_of(answer: GateAnswered) -> Outcome:
    """How the try ends that was answered so."""
    if answer.decision == APPROVE:
        return Outcome(Ending.REPAIRED, phase=Phase.RUN)
    why = f": {answer.why}" if answer.why else ""
    failure = Failure("Rejected", f"{answer.who or 'somebody'} rejected it{why}")
    return Outcome(Ending.FAILED, failure=failure, phase=Phase.RUN, final=True)


def unanswered(timeout_s: float) -> Outcome:
    """How the try ends to which nobody answered in time."""
    failure = Failure("TimeoutError", f"nobody answered within {timeout_s:g} s")
    return Outcome(Ending.FAILED, failure=failure, phase=Phase.RUN, final=True)
