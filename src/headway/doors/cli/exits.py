"""The codes a command ends with, and the error that means: typed wrongly."""

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
}


class Mistyped(Rejected):
    """What was typed names what is not there, or is written wrongly."""


def code_of(error: HeadwayError) -> int:
    """The code for an error that ends a command."""
    if isinstance(error, Mistyped):
        return MISTYPED
    return UNAVAILABLE if isinstance(error, Unavailable) else FAILED
