"""The words for where a task and a family of tasks stand. Worked out once, here."""

from collections.abc import Mapping
from enum import StrEnum


class TaskState(StrEnum):
    """Where one task stands."""

    UNKNOWN = "unknown"  # nobody has heard of it; that says nothing of whether it was sent
    SENT = "sent"
    RECEIVED = "received"  # a Celery worker has it
    STARTED = "started"
    RETRYING = "retrying"  # an attempt failed, the next one was sent or will be
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REVOKED = "revoked"
    REJECTED = "rejected"  # its worker wanted nothing of it


# How much a final state weighs: tasks may be delivered twice, and a success stays one.
FINALITY: Mapping[TaskState, int] = {
    TaskState.REJECTED: 1,
    TaskState.REVOKED: 2,
    TaskState.FAILED: 3,
    TaskState.SUCCEEDED: 4,
}
BY_FINALITY: Mapping[int, TaskState] = {rank: state for state, rank in FINALITY.items()}

# Celery's own words, which its users type.
CELERYS: Mapping[str, TaskState] = {
    "PENDING": TaskState.UNKNOWN,
    "RECEIVED": TaskState.RECEIVED,
    "STARTED": TaskState.STARTED,
    "RETRY": TaskState.RETRYING,
    "SUCCESS": TaskState.SUCCEEDED,
    "FAILURE": TaskState.FAILED,
    "REVOKED": TaskState.REVOKED,
    "REJECTED": TaskState.REJECTED,
}


def state_called(word: str) -> TaskState | None:
    """By our word or Celery's, in whatever letters; None for neither."""
    known = CELERYS.get(word.upper())
    if known is not None:
        return known
    try:
        return TaskState(word.lower())
    except ValueError:
        return None
