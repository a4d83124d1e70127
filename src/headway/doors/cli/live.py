"""The live view: what ended scrolls by, below it what runs, what waits, and how far it is.

What jobs print themselves goes to the same terminal, and nobody tells when. So the cursor is left
where the next such text belongs, and the view is drawn in the lines below it and put right ten
times a second. What Python prints is given the lines below free of the view first; what a command
writes past Python may for a moment stand on what was drawn there. Nothing is captured: a job
finds the terminal as it would without a view, and may ask a question on it.
"""

import os
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any, TextIO, cast

from rich.console import Console
from rich.text import Text

from headway.doors.cli.telling import failure_line, line_of
from headway.doors.cli.views import Lines, Silent
from headway.doors.cli.words import duration, printable, symbol
from headway.jobs.events import Event, Live
from headway.jobs.progress import Progress
from headway.jobs.states import JobState

REDRAW_S = 0.1
MOST_LINES = 8  # of jobs; the rest is counted
_ERASE_BELOW = "\x1b[J"
_SAVE, _RESTORE = "\x1b7", "\x1b8"
_INDEX = "\x1bD"  # one line down, the screen scrolling if it must, in the same column
_NEXT = "\x1b[B\r"  # the start of the line below


class LiveView(Silent):
    """Draws on a terminal. ``verbose``: also jobs that passed at once, and output."""

    wants_phases = True

    def __init__(self, stream: TextIO | None = None, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._stream = stream or sys.stdout
        self._console = Console(file=self._stream, highlight=False, markup=False, emoji=False)
        self._began_s = time.monotonic()
        self._drawn_s = 0.0
        self._drawn = False
        self._lock = threading.RLock()
        self._replaced = [_Beside(self, sys.stdout), _Beside(self, sys.stderr)]
        sys.stdout, sys.stderr = cast(list[TextIO], self._replaced)

    def heard(self, event: Event | Live, progress: Progress) -> None:
        line = line_of(event, progress, verbose=self._verbose)
        if line is not None:
            self._draw(progress, self._rendered(Text.from_ansi(line), cut=False) + "\r\n")

    def tick(self, progress: Progress) -> None:
        if time.monotonic() - self._drawn_s >= REDRAW_S:
            self._draw(progress)

    def wipe(self) -> None:
        if self._drawn:
            self._drawn = False
            self._write(_ERASE_BELOW)

    def close(self) -> None:
        with self._lock:
            self.wipe()
        if sys.stdout is self._replaced[0]:
            sys.stdout, sys.stderr = (beside.stream for beside in self._replaced)

    def calmed(self) -> Lines:
        self.close()
        return Lines(verbose=self._verbose)

    def printed(self, stream: TextIO, text: str) -> int:
        """Something else is printed on the same terminal: make room for it."""
        with self._lock:
            self.wipe()
            count = stream.write(text)
            stream.flush()
        return count

    def _draw(self, progress: Progress, above: str = "") -> None:
        """Print ``above`` where the cursor is, and the view below it."""
        with self._lock:
            self._drawn_over(progress, above)

    def _drawn_over(self, progress: Progress, above: str) -> None:
        lines = [self._rendered(line) for line in self._lines(progress)]
        room = f"{_INDEX * len(lines)}\x1b[{len(lines)}A"
        below = "".join(f"{_NEXT}{line}\x1b[K" for line in lines)
        self._write(f"{_ERASE_BELOW}{above}{room}{_SAVE}{below}{_RESTORE}")
        self._drawn = True
        self._drawn_s = time.monotonic()

    def _write(self, text: str) -> None:
        """At once and past every buffer: a signal's handler may come in between."""
        data = text.encode(errors="replace")
        while data:
            data = data[os.write(self._stream.fileno(), data) :]

    def _rendered(self, text: Text, *, cut: bool = True) -> str:
        """Text with the terminal's own sequences; ``cut`` to its width."""
        with self._console.capture() as captured:
            self._console.print(
                text,
                end="",
                no_wrap=cut,
                overflow="ellipsis" if cut else "fold",
                crop=cut,
                soft_wrap=not cut,
            )
        return captured.get().replace("\n", "\r\n")

    def _lines(self, progress: Progress) -> list[Text]:
        now_s = time.time()
        most = max(1, min(MOST_LINES, self._console.height - 4))
        going = [_going(progress, key, now_s) for key in list(progress.going)[:most]]
        waiting = progress.waiting
        waits = [_waits(progress, key, now_s) for key in waiting[: most - len(going)]]
        hidden = len(progress.going) + len(waiting) - len(going) - len(waits)
        return [*going, *waits, self._counts(progress, len(waiting), hidden)]

    def _counts(self, progress: Progress, waiting: int, hidden: int) -> Text:
        counts = progress.quick_counts
        done = counts[JobState.PASSED] + counts[JobState.REPAIRED]
        parts = [f"{done} of {len(progress.plan)} done"]
        if progress.going:
            parts.append(f"{len(progress.going)} running")
        if waiting:
            parts.append(f"{waiting} waiting")
        for state in (JobState.FAILED, JobState.OVERDUE, JobState.IN_DOUBT):
            if counts[state]:
                parts.append(f"{counts[state]} {state}")
        if hidden:
            parts.append(f"{hidden} not shown")
        if progress.paused:
            parts.append("paused: nothing new starts")
        if progress.cancelled:
            parts.append("cancelled: what runs is asked to end")
        took = duration(time.monotonic() - self._began_s)
        return Text(f"{', '.join(parts)} – {took}", style="dim")


class _Beside:
    """A standard stream, as long as a view is on its terminal."""

    def __init__(self, view: LiveView, stream: TextIO) -> None:
        self.stream = stream
        self._view = view
        self._process = os.getpid()

    def write(self, text: str) -> int:
        # A child process has no part in the view, and perhaps another terminal.
        if not self.stream.isatty() or os.getpid() != self._process:
            return self.stream.write(text)
        return self._view.printed(self.stream, text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _going(progress: Progress, key: int, now_s: float) -> Text:
    going = progress.going[key]
    rules = progress.plan.rules[key]
    line = Text(f"{symbol(JobState.RUNNING)} ", style="blue")
    line.append(printable(progress.plan.names[key]), style="bold")
    awaited = progress.awaited(key)
    if awaited is not None:
        since = duration(now_s - awaited.at_us / 1e6)
        line.append(f"  waits for an answer since {since}: headway approve")
        return line
    line.append(f"  {going.phase} {duration(now_s - going.since_us / 1e6)}")
    tries = progress.tries_in_lap(key) + 1
    if tries > 1:
        line.append(f", try {tries} of {rules.tries}")
    last = progress.last_line.get(key, "").strip()
    if last:
        line.append(f"  {printable(last.expandtabs())}", style="dim")
    return line


def _waits(progress: Progress, key: int, now_s: float) -> Text:
    last = progress.last_try(key)
    line = Text(f"{symbol(JobState.WAITING)} ", style="yellow")
    line.append(printable(progress.plan.names[key]), style="bold")
    if last is None:
        return line
    tries = progress.plan.rules[key].tries
    left_s = max(0.0, last.waits_us / 1e6 - now_s)
    line.append(f"  try {progress.tries_in_lap(key) + 1} of {tries} in {duration(left_s)}")
    line.append(f", waits since {duration(now_s - last.ended_us / 1e6)}")
    if last.failure is not None:
        line.append(f"  {failure_line(last.failure)}", style="dim")
    return line
