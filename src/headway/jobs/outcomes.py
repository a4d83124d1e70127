"""How a try ended, as a value that can cross a thread, a process or a bus."""

from enum import StrEnum
from typing import Any, NamedTuple

from headway.jobs.shared import Changes


class Ending(StrEnum):
    """How a try ended."""

    PASSED = "passed"  # Check passed, nothing was done
    REPAIRED = "repaired"  # Recheck passed after Run (or a run-only job's Run returned)
    FAILED = "failed"
    OVERDUE = "overdue"  # given up at its deadline while its code goes on; never tried again
    IN_DOUBT = "in doubt"  # its Run began, and nobody can know how it ended


class Phase(StrEnum):
    """A part of a try."""

    CHECK = "check"
    RUN = "run"
    RECHECK = "recheck"
    CLEANUP = "cleanup"


class Failure(NamedTuple):
    """Why a phase failed: the exception as data."""

    type: str  # the exception's class name
    message: str  # str() of it, as it stands
    trace: str | None = None  # the traceback as text, where it was asked for
    looks_broken: bool = False  # a slip in the job's own file, not a state of the world
    exception: BaseException | None = None  # where it never left this process

    def as_exception(self) -> BaseException:
        """The exception itself, or one that says what it said."""
        return self.exception or RemoteFailure(self.type, self.message)

    def line(self) -> str:
        """One line for a reader."""
        first = self.message.strip().splitlines()[0] if self.message.strip() else ""
        return first or self.type


class RemoteFailure(Exception):
    """Stands for an exception that was raised in another process."""

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(message)
        self.type = type_

    def __repr__(self) -> str:
        return f"{self.type}({str(self)!r})"


class Outcome(NamedTuple):
    """How one try ended, and what it left behind."""

    ending: Ending
    result: Any = None  # what the passing Check or Recheck (run-only: Run) returned
    failure: Failure | None = None  # of the last phase that failed
    phase: Phase = Phase.CHECK  # the last one entered
    executed: bool = False  # whether Run was entered
    final: bool = False  # do not try again, though tries may be left
    shared: Changes | None = None  # to global_storage, since the last report
    storage: Changes | None = None  # of the job's own, whole, where a Cleanup may want it
    job: Any = None  # the object itself, where it never left this process and has a Cleanup


PASSED = Outcome(Ending.PASSED)  # the commonest one, made once
