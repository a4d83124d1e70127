"""Who is shown a run while it is carried out: nobody, a reader of lines, a program."""

import os
import sys
import threading
from typing import IO, Protocol, cast

import click

from headway.doors.cli.telling import line_of
from headway.doors.cli.words import as_json, printable
from headway.jobs.events import CleanupEnded, Event, Live, PhaseEnded
from headway.jobs.plan import Plan
from headway.jobs.progress import Progress


class View(Protocol):
    """Shows a run. Called by one thread at a time."""

    wants_phases: bool  # whether it tells of each phase's end

    def heard(self, event: Event | Live, progress: Progress) -> None:
        """An event, already applied to ``progress``."""

    def tick(self, progress: Progress) -> None:
        """Called some twenty times a second."""

    def close(self) -> None:
        """The run is over: put the terminal in order."""

    def wipe(self) -> None:
        """Take off the terminal what is only there for now. A signal's handler may call it."""

    def calmed(self) -> "View":
        """The run is being stopped: what goes on showing it."""


class Silent:
    """Shows nothing."""

    wants_phases = False

    def heard(self, event: Event | Live, progress: Progress) -> None:
        pass

    def tick(self, progress: Progress) -> None:
        pass

    def close(self) -> None:
        pass

    def wipe(self) -> None:
        pass

    def calmed(self) -> View:
        return self


class Lines(Silent):
    """A line for each job ending that matters; with ``verbose`` for each ending and output."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose

    def heard(self, event: Event | Live, progress: Progress) -> None:
        line = line_of(event, progress, verbose=self._verbose)
        if line is not None:
            click.echo(line)


class JsonLines(Silent):
    """An object a line, for a program."""

    wants_phases = True

    def heard(self, event: Event | Live, progress: Progress) -> None:
        from headway.doors.cli.documents import event_document

        click.echo(as_json(event_document(event, progress.plan)))


class Watching:
    """Keeps the progress of a run and lets a view show it.

    A view that fails (nobody reads any more, the terminal is gone) is dropped: to look on must
    never hold up the run.
    Threads: any may call.
    """

    def __init__(self, plan: Plan, view: View, *, phases_to: IO[str] | None = None) -> None:
        """``phases_to``: where a line for each phase is written, if anywhere."""
        self.progress = Progress(plan)
        self._view = view
        self._calm = False
        self._lock = threading.RLock()
        self._phases = None
        if phases_to is not None:
            from headway.runtime.dojobber import verbose_lines

            self._phases = verbose_lines(plan, cast(IO[str], _Shown(phases_to)), debug=True)

    def heard(self, event: Event | Live) -> None:
        with self._lock:
            self.progress.apply(event)
            try:
                if self._phases is not None and isinstance(event, PhaseEnded | CleanupEnded):
                    self._phases(event)
                self._current().heard(event, self.progress)
            except (OSError, ValueError):
                self._drop()

    def tick(self) -> None:
        with self._lock:
            try:
                self._current().tick(self.progress)
            except (OSError, ValueError):
                self._drop()

    def close(self) -> None:
        with self._lock:
            self._current().close()
            self._view = Silent()

    def calm(self) -> None:
        """The run is being stopped. For a signal's handler: waits for nobody."""
        self._calm = True
        self._view.wipe()

    def _current(self) -> View:
        if self._calm:
            self._calm = False
            self._view = self._view.calmed()
        return self._view

    def _drop(self) -> None:
        self._view = Silent()
        self._phases = None


class _Shown:
    """A stream whose lines do no harm to a terminal."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if self._stream.isatty():
            text = "".join(printable(line) + "\n" for line in text.splitlines())
        self._stream.write(text)
        self._stream.flush()
        return len(text)


def is_terminal(stream: IO[str]) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def view_for(*, quiet: bool, as_json: bool, verbose: bool, plain: bool) -> View:
    """The view that was asked for; live on a terminal, and only then is rich imported."""
    if quiet:
        return Silent()
    if as_json:
        return JsonLines()
    if plain or not is_terminal(sys.stdout):
        return Lines(verbose=verbose)
    from headway.doors.cli.live import LiveView

    return LiveView(verbose=verbose)
