"""How attempts end: as their worker says, or as it is to be taken where none says a thing."""

from collections.abc import Callable

from headway.adapters.celery_tries.absent import Absent
from headway.adapters.celery_tries.attempts import Attempt
from headway.adapters.celery_tries.reports import Reports
from headway.adapters.celery_tries.run_line import RunLine
from headway.errors import DefinitionError, HeadwayError, Unavailable
from headway.jobs.job import Rules
from headway.jobs.outcomes import Ending, Failure, Outcome, Phase
from headway.ports.executor import Ended, Late

AskAgain = Callable[[Attempt, Outcome], bool]  # its Check, of another worker; whether it is asked
_STOPPED = Failure("Rejected", "the run was stopped before a Celery worker took it")


class Endings:
    """Those that the runner was not told yet. Threads: the runner's."""

    def __init__(self, line: RunLine, reports: Reports, ask_again: AskAgain) -> None:
        self.tries: list[Ended | Late] = []
        # Of Checks and Cleanups that are waited for: how they ended, or why nobody asked them.
        self.waited_for: dict[str, Outcome | HeadwayError] = {}
        self._line = line
        self._reports = reports
        self._ask_again = ask_again

    def ended(self, attempt: Attempt, outcome: Outcome) -> None:
        """Its holder told its end."""
        self._reports.merge(outcome)
        if attempt.settles is not None:
            outcome = _settled(attempt.settles, outcome)
        self._line.leave(attempt)
        self._tell(attempt, outcome)

    def ended_late(self, attempt: Attempt) -> None:
        """The same, when its end had been told."""
        if attempt.what == "try":
            late = "ended after its worker was taken for lost"
            self.tries.append(Late(attempt.key, attempt.number, late))

    def refused(self, attempt: Attempt, text: str) -> None:
        """The job is not where its Celery worker is."""
        if attempt.what == "check" and attempt.settles is None:
            self._not_asked(attempt, DefinitionError, text)
        else:
            failure = Failure("DefinitionError", text)
            self.ended(attempt, Outcome(Ending.FAILED, failure=failure, final=True))

    def withdrawn(self, attempt: Attempt) -> None:
        """Nobody had it, and the run was stopped."""
        self._line.leave(attempt)
        self._tell(attempt, Outcome(Ending.FAILED, failure=_STOPPED, phase=attempt.phase))

    def not_begun(self, absent: Absent) -> None:
        """No Celery worker ever had it."""
        attempt = absent.attempt
        if attempt.what == "check" and attempt.settles is None:
            error = DefinitionError if absent.final else Unavailable
            self._not_asked(attempt, error, absent.text)
            return
        failure = Failure(absent.type, absent.text)
        outcome = Outcome(Ending.FAILED, failure=failure, phase=attempt.phase, final=absent.final)
        self._line.leave(attempt)
        self._tell(attempt, attempt.settles or outcome)

    def lost(self, attempt: Attempt, rules: Rules, how: str) -> None:
        """Its worker is gone, and nobody knows how far it came."""
        self._line.give_up(attempt)
        outcome = attempt.settles or attempt.lost(rules, how)
        # Its Run may have done all: only its Check knows, and another worker can ask that.
        asks = attempt.executed and rules.has_check and attempt.what == "try"
        if not (asks and self._ask_again(attempt, outcome)):
            self._tell(attempt, outcome)

    def _not_asked(self, attempt: Attempt, error: type[HeadwayError], text: str) -> None:
        self._line.leave(attempt)
        self.waited_for[attempt.id] = error(
            f"the Check of {attempt.name} could not be asked on Celery: {text}"
        )

    def _tell(self, attempt: Attempt, outcome: Outcome) -> None:
        if attempt.what == "try" or attempt.settles is not None:
            self.tries.append(Ended(attempt.key, attempt.number, outcome))
        else:
            self.waited_for[attempt.id] = outcome


def _settled(lost: Outcome, check: Outcome) -> Outcome:
    """How a try ends whose worker was lost: as its Check says."""
    if check.ending is not Ending.PASSED:
        return lost
    return lost._replace(
        ending=Ending.REPAIRED,
        result=check.result,
        failure=None,
        phase=Phase.RECHECK,
        shared=check.shared,
    )
