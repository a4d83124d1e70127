"""The clocks and the chance that outside rooms hand to the inside ones."""

import os
import time
from collections.abc import Callable
from typing import NamedTuple

monotonic = time.monotonic  # for waits within this process


def now_us() -> int:
    """Microseconds of UTC since 1970: for records, and waits that outlive the process."""
    return time.time_ns() // 1000


class Clock(NamedTuple):
    """What time it is, for whoever drives a run."""

    monotonic: Callable[[], float] = monotonic
    now_us: Callable[[], int] = now_us


SYSTEM = Clock()


def new_id() -> str:
    """24 lower-case hex digits: 8 of time (seconds), 16 of chance. Sorts by age."""
    return f"{int(time.time()):08x}{os.urandom(8).hex()}"
