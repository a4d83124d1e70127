"""Carries a run out at the terminal: shows it, obeys signals, sums it up."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from headway.doors.cli import exits
from headway.doors.cli.entry import complain
from headway.doors.cli.options import Decorator, together
from headway.doors.cli.views import Watching, view_for
from headway.doors.cli.waiting import LockTeller
from headway.doors.cli.words import as_json
from headway.jobs.plan import Plan
from headway.jobs.states import RunState

if TYPE_CHECKING:
    from headway.jobs.progress import Progress
    from headway.ports.store import Store
    from headway.runtime.launching import Undecided, Watch
    from headway.runtime.runner import Runner

showing: Decorator = together(
    click.option("--verbose", "-v", is_flag=True, help="A line for each phase, and the output."),
    click.option("--quiet", "-q", is_flag=True, help="Say nothing if all goes well."),
    click.option("--plain", is_flag=True, help="Lines only, no live view."),
    click.option("--json", "as_json", is_flag=True, help="A JSON object for each event."),
    click.option("--debug", is_flag=True, help="Show tracebacks, of jobs and of errors."),
)


@dataclass(frozen=True, slots=True)
class Show:
    """What somebody wants to see of a run."""

    verbose: bool = False
    quiet: bool = False
    plain: bool = False
    as_json: bool = False
    debug: bool = False

    @classmethod
    def chosen(cls, arguments: dict[str, Any]) -> "Show":
        return cls(**{name: arguments[name] for name in cls.__slots__})


class Signals:
    """Ctrl-C, TERM and HUP stop the run; a second one leaves at once."""

    WANTED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.first: int | None = None
        self.leave: Callable[[], None] = lambda: None  # puts the terminal in order
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        for number in self.WANTED:
            # What the shell ignores for us (nohup, a script's background job) stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.first is not None:
            self.leave()
            os.write(2, b"headway: left at once; headway resume goes on\n")
            os._exit(128 + number)
        self.first = number
        self.leave()
        os.write(2, b"stopping: what runs is asked to end (once more leaves at once)\n")
        raise KeyboardInterrupt

    @property
    def code(self) -> int:
        return 128 + (self.first or signal.SIGINT)


class Report(NamedTuple):
    """How a run was carried out, as far as it was this time."""

    progress: "Progress"
    state: RunState
    code: int
    run: str
    place: str
    took_s: float
    repairs: int  # Runs entered
    cleanups: int  # Cleanups carried out
    core: bool = False  # a core carried it out


def carried_out(
    store: "Store",
    plan: Plan,
    show: Show,
    make: "Callable[[Watching, Watch], Runner]",
    *,
    carry_out: "Callable[[Runner], RunState] | None" = None,
    told: Callable[[Report], list[str]] | None = None,
) -> int:
    """Carry out the run that ``make`` makes, to its end unless told otherwise; the exit code.

    ``told``: the last lines, if not those of a run's end.
    """
    from headway.runtime import launching

    began_s = time.monotonic()
    view = view_for(quiet=show.quiet, as_json=show.as_json, verbose=show.verbose, plain=show.plain)
    watching = Watching(plan, view, phases_to=sys.stderr if _tells_phases(show) else None)
    with Signals() as signals:
        signals.leave = watching.calm
        watch = launching.Watch(
            phases=view.wants_phases or _tells_phases(show),
            trace=show.debug,
            ticked=watching.tick,
            waits=LockTeller(show).told,
        )
        try:
            runner = make(watching, watch)
        except launching.Undecided as error:
            return _undecided(error, show)
        _catch_up(watching, store, runner.run_id)
        repairs, cleaned = watching.progress.repairs, watching.progress.cleaned
        try:
            state = (carry_out or launching.carry_out)(runner)
            code = exits.OF_STATE[state]
        except KeyboardInterrupt:
            state, code = runner.left or RunState.INTERRUPTED, signals.code
        finally:
            watching.close()
    progress = watching.progress
    report = Report(
        progress,
        state,
        code,
        runner.run_id,
        store.place,
        time.monotonic() - began_s,
        progress.repairs - repairs,
        progress.cleaned - cleaned,
    )
    sum_up(report, show, told)
    return code


def _catch_up(watching: Watching, store: "Store", run: str) -> None:
    """Let the progress begin where the run's journal ends."""
    from headway.jobs.events import decode
    from headway.jobs.progress import Progress

    events = (decode(entry.row) for entry in store.journal(run))
    watching.progress = Progress(watching.progress.plan, events)


def _undecided(error: "Undecided", show: Show) -> int:
    """A person must say what became of jobs before the run can go on."""
    complain(str(error))
    if show.as_json:
        document = {
            "event": "summary",
            "run": error.run,
            "state": RunState.IN_DOUBT,
            "in_doubt": error.jobs,
            "exit": exits.UNDECIDED,
        }
        click.echo(as_json(document))
    return exits.UNDECIDED


def _tells_phases(show: Show) -> bool:
    return (show.verbose or show.debug) and not show.as_json


def sum_up(report: Report, show: Show, told: Callable[[Report], list[str]] | None = None) -> None:
    """Say how it went, as it was asked for."""
    from headway.doors.cli.summary import summary

    if show.as_json:
        document = {
            "event": "summary",
            "run": report.run,
            "state": report.state,
            "counts": report.progress.counts(living=False),
            "nothing_to_do": report.state is RunState.SUCCEEDED and not report.repairs,
            "exit": report.code,
            "store": report.place,
        }
        click.echo(as_json(document))
    elif not show.quiet or report.code:
        for line in (told or summary)(report):
            click.echo(line)
