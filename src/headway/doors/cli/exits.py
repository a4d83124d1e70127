"""The codes a command ends with, and the error that means: typed wrongly."""

import signal
import threading

from headway.errors import HeadwayError, Rejected, Unavailable
from headway.jobs.states import RunState

DONE = 0  # done, or nothing to do
FAILED = 1  # a job failed, or an error that no other code tells
CHANGES = 2  # `plan` found changes
CANCELLED = 3
UNDECIDED = 4  # a person must decide
MISTYPED = 64
UNAVAILABLE = 69
INTERRUPTED = 130  # Ctrl-C
TERMINATED = 143  # SIGTERM

OF_STATE = {
    RunState.SUCCEEDED: DONE,
    RunState.FAILED: FAILED,
    RunState.CANCELLED: CANCELLED,
    RunState.INTERRUPTED: CANCELLED,
    RunState.IN_DOUBT: UNDECIDED,
    RunState.RUNNING: FAILED,
    RunState.QUEUED: FAILED,
}


class Mistyped(Rejected):
    """What was typed names what is not there, or is written wrongly."""


def leave_when_terminated() -> None:
    """Have SIGTERM end the command as Ctrl-C does: what it began is ended on the way out."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, frame: object) -> None:
    raise SystemExit(TERMINATED)


def code_of(error: HeadwayError) -> int:
    """The code for an error that ends a command."""
    if isinstance(error, Mistyped):
        return MISTYPED
    return UNAVAILABLE if isinstance(error, Unavailable) else FAILED
