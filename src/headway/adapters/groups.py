"""Process groups: asking them to end, ending them, seeing that they have."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

GRACE_S = 5.0  # between TERM and KILL
_LOOK_S = 0.05


def signal_group(pid: int, number: int) -> None:
    """Signal every process of a group; nothing, if there is none."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def group_lives(pid: int) -> bool:
    """Whether a process of a group lives; one that has ended may be there until it is reaped."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    found = list(processes())
    return not found or any(one.group == pid for one in map(stat, found) if one)


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


class Stat(NamedTuple):
    """What Linux tells of a living process."""

    parent: int
    group: int
    session: int
    started: str  # in ticks since the system's start


def stat(pid: int) -> Stat | None:
    """What /proc tells of a living process; None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, parent, group, session, *rest = text[text.rindex(")") + 2 :].split()
    # A dead process that nobody has waited for still has a place in /proc.
    return None if state in ("Z", "X") else Stat(int(parent), int(group), int(session), rest[15])


def processes() -> Iterator[int]:
    """The ids of all processes that /proc shows; nothing where there is no /proc."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    yield from (int(name) for name in names if name.isdigit())
