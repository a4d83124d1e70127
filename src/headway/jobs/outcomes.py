"""How a try ended, as a value that can cross a thread, a process or a bus."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from headway.jobs.shared import Changes, encode

LONGEST_REPR = 10_000  # characters of a result that JSON cannot carry


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
    diff: str = ""  # what the job's Diff says, where that was asked for


PASSED = Outcome(Ending.PASSED)  # the commonest one, made once


def outcome_to_json(outcome: Outcome) -> str:
    """An outcome as JSON text. The job and the exception stay behind.

    A result that JSON would change or cannot carry goes as its repr.
    """
    parts = {
        "ending": outcome.ending,
        "phase": outcome.phase,
        "executed": outcome.executed,
        "final": outcome.final,
        "failure": outcome.failure and failure_to_plain(outcome.failure),
        "shared": outcome.shared and changes_to_plain(outcome.shared),
        "storage": outcome.storage and changes_to_plain(outcome.storage),
        "result": _carried(outcome.result),
        "diff": outcome.diff or None,
    }
    return json.dumps({name: part for name, part in parts.items() if part is not None})


def outcome_from_json(text: str | bytes) -> Outcome:
    """Read back what ``outcome_to_json`` wrote."""
    parts = json.loads(text)
    if "failure" in parts:
        parts["failure"] = failure_from_plain(parts["failure"])
    for name in ("shared", "storage"):
        if name in parts:
            parts[name] = changes_from_plain(parts[name])
    parts["ending"] = Ending(parts["ending"])
    parts["phase"] = Phase(parts["phase"])
    return Outcome(**parts)


def failure_to_plain(failure: Failure) -> dict[str, Any]:
    """A failure as a JSON object, without its exception and what says nothing."""
    parts = zip(_FAILURE, failure, strict=False)
    return {name: part for name, part in parts if part or name == "type"}


def failure_from_plain(parts: Mapping[str, Any]) -> Failure:
    return Failure(**{"message": "", **parts})


def changes_to_plain(changes: Changes) -> dict[str, Any]:
    """Changes to a storage as a JSON object, without what is empty."""
    return {name: part for name, part in changes._asdict().items() if part}


def changes_from_plain(parts: Mapping[str, Any]) -> Changes:
    return Changes(parts.get("set", {}), tuple(parts.get("deleted", ())), parts.get("opaque", {}))


_FAILURE = ("type", "message", "trace", "looks_broken")


def _carried(result: Any) -> Any:
    try:
        encode("result", result)
    except ValueError:
        try:
            return repr(result)[:LONGEST_REPR]
        except Exception:
            return f"<{type(result).__name__}>"
    return result
