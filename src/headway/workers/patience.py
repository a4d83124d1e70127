"""How long a step may go on: up to its deadline, and not for long once its worker is to leave."""

import threading
import time
from typing import Any

from headway.runtime import clocks
from headway.workers.keys import StepFailed

# How much of the time that a worker waits for the step in hand before it leaves the step may use;
# the rest is for ending it and for its answer.
FINISH_SHARE = 0.75
_LONGEST_S = 366 * 86_400.0


class Patience:
    """Of one step. Moments are monotonic."""

    def __init__(
        self, stopping: threading.Event, deadline_us: Any = None, finish_s: float = 0.0
    ) -> None:
        """``deadline_us``: microseconds of UTC since 1970; anything but a number is no deadline.

        ``finish_s``: how long it may go on once the worker is to leave.
        """
        self._stopping = stopping
        self._finish_s = finish_s
        self._stop_at: float | None = None
        self._deadline: float | None = None
        if isinstance(deadline_us, int) and not isinstance(deadline_us, bool):
            left_s = (deadline_us - clocks.now_us()) / 1e6
            self._deadline = clocks.monotonic() + min(max(left_s, 0.0), _LONGEST_S)

    def ends_at(self) -> float | None:
        """When it is over; None: no end is known yet. Asked again it may be sooner."""
        if self._stop_at is None and self._stopping.is_set():
            self._stop_at = clocks.monotonic() + self._finish_s
        known = [moment for moment in (self._deadline, self._stop_at) if moment is not None]
        return min(known, default=None)

    def why(self) -> str:
        """What to say of a step that was ended."""
        if self._stop_at is not None and self.ends_at() == self._stop_at:
            return "the worker is being stopped"
        return "the step's deadline is over"

    def pause(self, seconds: float) -> None:
        """Raises: StepFailed when it is over before."""
        until = clocks.monotonic() + seconds
        while (now := clocks.monotonic()) < until:
            end = self.ends_at()
            if end is not None and now >= end:
                raise StepFailed(f"it was given up: {self.why()}")
            wait_s = min(until, until if end is None else end) - now
            if self._stop_at is None:
                self._stopping.wait(min(wait_s, threading.TIMEOUT_MAX))
            else:
                time.sleep(wait_s)
