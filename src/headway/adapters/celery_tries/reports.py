"""What a try says while it goes on, carried over into its run."""

from typing import Any

from headway.adapters.celery_tries.attempts import Attempt
from headway.adapters.celery_tries.messages import Said
from headway.adapters.celery_tries.run_line import RunLine
from headway.jobs.outcomes import Outcome, Phase, failure_from_plain, outcome_from_json
from headway.ports.executor import Work


class Reports:
    """Takes them, and says which were acted on. Threads: the runner's."""

    def __init__(self, work: Work, line: RunLine) -> None:
        self._work = work
        self._line = line

    def take(self, attempt: Attempt, heard: Said) -> None:
        work, key, number, value = self._work, attempt.key, attempt.number, heard.value
        match heard.kind:
            case "wrote":
                for stream, text in value:
                    work.wrote(key, number, stream, text)
            case "phase":
                self._phase_ended(attempt, Phase(value[0]), value[1])
            case "intends":
                self._intends(attempt, outcome_from_json(value))
                self._acted_on(attempt, heard)
            case "process":
                work.started_process(key, number, value)
                self._acted_on(attempt, heard)
            case "over":
                work.process_ended(key, number, value)
            case _:
                pass  # of a newer Headway

    def merge(self, outcome: Outcome) -> None:
        """What it changed in the shared storage."""
        if outcome.shared is not None:
            self._work.shared.apply(outcome.shared)

    def _phase_ended(self, attempt: Attempt, phase: Phase, failure: Any) -> None:
        attempt.follow(phase)
        if self._work.watches_phases and attempt.what == "try":
            told = failure and failure_from_plain(failure)
            self._work.phase_ended(attempt.key, attempt.number, phase, told)

    def _intends(self, attempt: Attempt, outcome: Outcome) -> None:
        self.merge(outcome)
        self._work.intends(attempt.key, attempt.number, outcome, attempt.id)
        attempt.intended, attempt.executed, attempt.phase = outcome, True, Phase.RUN

    def _acted_on(self, attempt: Attempt, heard: Said) -> None:
        """Who said it waits for that."""
        attempt.written = heard.number
        self._line.tell(attempt)
