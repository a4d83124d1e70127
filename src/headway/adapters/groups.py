"""Process groups: asking them to end, ending them, seeing that they have."""

import os
import signal
import time

GRACE_S = 5.0  # between TERM and KILL
_LOOK_S = 0.05


def signal_group(pid: int, number: int) -> None:
    """Signal every process of a group; nothing, if there is none."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def group_lives(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end_group(pid: int) -> None:
    """End a group of somebody else's children: TERM, then KILL for what is left after the grace."""
    signal_group(pid, signal.SIGTERM)
    give_up_at = time.monotonic() + GRACE_S
    while group_lives(pid):
        if time.monotonic() >= give_up_at:
            signal_group(pid, signal.SIGKILL)
            return
        time.sleep(_LOOK_S)


def end_watch(pid: int) -> int | None:
    """A descriptor that can be read once the process has ended; None where there is no such."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def how_ended(code: int) -> str:
    """``ended with code 3``, ``was ended by SIGKILL``; ``code`` as subprocess gives it."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
