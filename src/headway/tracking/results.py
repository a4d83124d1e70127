"""A task as it is shown: the record, and the result that its worker stored, if there is one.

Results lie in Celery's own table, in which neither the monitor nor this writes. A result may be
there before its task was heard of, or without it ever being.
"""

import json
from typing import NamedTuple

from headway.tracking.states import CELERYS, FINALITY, TaskState
from headway.tracking.task import JSON, Task

RESULT_BYTES = 65_536  # a larger result is not read
# Of a task, when something was heard of it.
MOMENTS = (
    *("sent_us", "heard_us", "received_us", "started_us", "retried_us", "revoked_us"),
    *("worker_us", "ended_us"),
)


class Result(NamedTuple):
    """A row of ``celery_taskmeta``. Nothing in it was ever unpickled."""

    status: str  # Celery's word, or one of the task's own
    done_us: int | None
    value: str | None = None  # JSON
    form: str | None = None  # JSON, or why the value is not here
    trace: str | None = None

    @property
    def state(self) -> TaskState:
        """A status of the task's own making tells that it is at work."""
        return CELERYS.get(self.status, TaskState.STARTED)


class Seen(NamedTuple):
    """What is known of a task. Nothing at all: its state is *unknown*."""

    task: Task
    result: Result | None = None

    @property
    def state(self) -> TaskState:
        """Of two ends the weightier, else the end; else the later of what is no end."""
        task, result = self.task, self.result
        if result is None or result.state is TaskState.UNKNOWN:
            return task.state
        told = result.state
        if FINALITY.get(told, 0) or task.finality:
            return told if FINALITY.get(told, 0) >= task.finality else task.state
        at_us, state = task.progress
        if result.done_us is None:
            return told if state in _BEFORE_WORK else state
        return told if result.done_us >= at_us else state

    @property
    def is_over(self) -> bool:
        """Whether its end is known."""
        return self.state in FINALITY

    @property
    def last_us(self) -> int:
        """When anything of it was last heard, by whose clock ever; 0: never."""
        task, done_us = self.task, self.result.done_us if self.result is not None else None
        heard: list[int | None] = [done_us, *(getattr(task, name) for name in MOMENTS)]
        return max((at_us for at_us in heard if at_us is not None), default=0)

    @property
    def finished_after_revoke(self) -> bool:
        return self.task.revoked_us is not None and self.state is not TaskState.REVOKED


_BEFORE_WORK = (TaskState.UNKNOWN, TaskState.SENT, TaskState.RECEIVED)


def read_value(stored: bytes | str | None, size: int) -> tuple[str | None, str | None]:
    """(value, form) of what the column ``result`` holds: JSON in bytes or text, or a pickle.

    Celery has written pickles there, and since 5.7 JSON. A pickle is never opened.
    """
    if stored is None:
        return (None, None) if not size else (None, f"too large: {size:,} bytes")
    try:
        text = stored if isinstance(stored, str) else bytes(stored).decode()
        json.loads(text)
    except UnicodeDecodeError:
        return None, f"not opened: pickled, {size:,} bytes"
    except ValueError:
        return None, f"not opened: no JSON, {size:,} bytes"
    except RecursionError:
        return None, f"not opened: nested too deep, {size:,} bytes"
    return text, JSON
