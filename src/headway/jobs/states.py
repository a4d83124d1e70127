"""The words for where a job and a run stand. Worked out once, here; doors only show them."""

from enum import StrEnum


class JobState(StrEnum):
    """Where one job of a run stands."""

    PENDING = "pending"  # something it needs is not done yet, or its turn has not come
    RUNNING = "running"  # a try is under way
    WAITING = "waiting"  # a try failed; the next one waits for its delay
    PASSED = "passed"  # its Check passed before anything was done
    REPAIRED = "repaired"  # its Recheck passed after Run
    FAILED = "failed"  # no try is left
    BLOCKED = "blocked"  # it will not start: something it needs failed
    OVERDUE = "overdue"  # given up at its deadline, its code still running
    IN_DOUBT = "in doubt"  # its Run began and nobody knows how it ended
    CANCELLED = "cancelled"  # not started, or stopped, because the run was cancelled


class Verdict(StrEnum):
    """What a plan says of one job, from the job's own Check."""

    DONE = "done"  # its Check passes
    WILL_RUN = "will run"  # its Check fails and all it needs is done
    UNKNOWN = "unknown"  # something it needs is not done, so its Check was not asked
    NOT_CHECKABLE = "not checkable"  # it has no Check


def shown_as(state: JobState, *, has_check: bool) -> JobState | Verdict:
    """How a state is told. What has no Check was done; nobody found it amiss before."""
    return Verdict.DONE if state is JobState.REPAIRED and not has_check else state


class RunState(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"  # nothing of it has begun, or begun anew: it waits for a core, or for a lock
    RUNNING = "running"  # its owner lives and works on it
    INTERRUPTED = "interrupted"  # unfinished and without a living owner: resume it
    IN_DOUBT = "in doubt"  # a person must say what became of a job: settle, then resume
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


OVER = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
