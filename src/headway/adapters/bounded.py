"""A try whose phases are bounded by TIMEOUT: in a thread of its own, or in a process of its own.

The bound is looked at where Python code can be left: between phases. Code that goes on beyond it
is for whoever waits for the try to deal with.
"""

import time
from typing import Protocol

from headway.adapters.explain import explain
from headway.adapters.tools import Tools
from headway.jobs.job import Job
from headway.jobs.outcomes import Ending, Failure, Outcome, Phase
from headway.jobs.shared import Changes
from headway.jobs.trycycle import carry_out, storage_of
from headway.ports.executor import Work


class Teller(Protocol):
    """Carries the news of a try to whoever waits for it."""

    def entering(self, phase: Phase, ends_at: float | None) -> None:
        """A phase begins, and is to be over then (monotonic; None: no bound)."""

    def intends(self, outcome: Outcome) -> None:
        """Run is about to start: returns once that is safely written."""

    def phase_ended(self, phase: Phase, failure: Failure | None) -> None: ...


class _TimedOut(BaseException):
    """Raised between phases: the last one took too long."""

    def __init__(self, shared: Changes | None) -> None:
        super().__init__()
        self.shared = shared  # what it did to global_storage


class BoundedTry:
    """One try; its own watcher."""

    def __init__(self, work: Work, tools: Tools, teller: Teller) -> None:
        self.tools = tools
        self.watches_phases = work.watches_phases
        self.phase = Phase.CHECK if work.rules[tools.key].has_check else Phase.RUN
        self.executed = False
        self.job: Job | None = None
        self._rules = work.rules[tools.key]
        self._work = work
        self._teller = teller

    def carried_out(self) -> Outcome:
        """Carry it out, on a fresh object. KeyboardInterrupt is let through."""
        work, tools = self._work, self.tools
        try:
            self._enter(self.phase)
            self.job = job = work.definitions[tools.key]()
            job._tools = tools
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return Outcome(Ending.FAILED, failure=explain(None, error, trace=work.trace))
        try:
            outcome = carry_out(
                job, self._rules, work.shared, work.args, work.kwargs, self, self._explain, work.act
            )
            if self._is_late():
                raise _TimedOut(outcome.shared)
        except _TimedOut as late:
            outcome = self.timed_out()._replace(shared=late.shared)
        finally:
            tools.ends_at = None
            tools.finish()
        return outcome

    def timed_out(self) -> Outcome:
        """The outcome of a try whose last phase took too long; what it shared is not in it."""
        keep = self.executed and self._rules.has_cleanup
        return Outcome(
            Ending.FAILED,
            failure=too_long(self.phase, self._rules.timeout_s),
            phase=self.phase,
            executed=self.executed,
            storage=storage_of(self.job) if keep and self.job else None,
            job=self.job if keep else None,
        )

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        if self._rules.timeout_s is not None:
            self.tools.ends_at = time.monotonic() + self._rules.timeout_s
        self._teller.entering(phase, self.tools.ends_at)

    def _is_late(self) -> bool:
        ends_at = self.tools.ends_at
        return ends_at is not None and time.monotonic() >= ends_at

    def _explain(self, job: Job, error: BaseException) -> Failure:
        return explain(job, error, trace=self._work.trace)

    # What the try cycle tells

    def entering(self, job: Job, phase: Phase) -> None:
        if self._is_late():
            raise _TimedOut(self._work.shared.changes())
        self._enter(phase)

    def intends(self, job: Job, outcome: Outcome) -> None:
        if self._is_late():
            raise _TimedOut(outcome.shared)
        self.tools.ends_at = None  # the time it takes to write is not the job's
        self._teller.intends(outcome._replace(job=job))
        self.executed = True

    def phase_ended(self, job: Job, phase: Phase, failure: Failure | None) -> None:
        self._teller.phase_ended(phase, failure)


def too_long(phase: Phase, timeout_s: float | None) -> Failure:
    return Failure("TimedOut", f"its {phase} took longer than {timeout_s or 0:g} s")
