"""Carries a run out at the terminal: shows it, obeys signals, sums it up."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits
from headway.doors.cli.options import Decorator, together
from headway.doors.cli.views import Watching, view_for
from headway.doors.cli.words import as_json
from headway.jobs.plan import Plan
from headway.jobs.states import RunState

if TYPE_CHECKING:
    from headway.ports.store import Store
    from headway.runtime.launching import Watch
    from headway.runtime.runner import Runner

showing: Decorator = together(
    click.option("--verbose", "-v", is_flag=True, help="A line for each phase, and the output."),
    click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors."),
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
    """Ctrl-C, TERM and HUP stop the run; the second one leaves at once."""

    WANTED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self, leave: Callable[[], None]) -> None:
        """``leave`` puts the terminal in order."""
        self.first: int | None = None
        self._leave = leave
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
            self._leave()
            os.write(2, b"\nheadway: left at once; headway resume goes on\n")
            os._exit(128 + number)
        self.first = number
        os.write(2, b"\nstopping: what runs is asked to end (once more leaves at once)\n")
        raise KeyboardInterrupt

    @property
    def code(self) -> int:
        return 128 + (self.first or signal.SIGINT)


def carried_out(
    store: "Store",
    plan: Plan,
    show: Show,
    make: "Callable[[Watching, Watch], Runner]",
) -> int:
    """Carry out the run that ``make`` makes; the exit code."""
    from headway.jobs.events import decode
    from headway.jobs.progress import Progress
    from headway.runtime.launching import Watch, carry_out

    began_s = time.monotonic()
    view = view_for(quiet=show.quiet, as_json=show.as_json, verbose=show.verbose, plain=show.plain)
    watching = Watching(plan, view, phases_to=sys.stderr if _tells_phases(show) else None)
    watch = Watch(phases=not show.quiet, trace=show.debug, ticked=watching.tick)
    runner = make(watching, watch)
    watching.progress = Progress(
        plan, (decode(entry.row) for entry in store.journal(runner.run_id))
    )
    repairs = watching.progress.repairs
    with Signals(watching.close) as signals:
        try:
            state = carry_out(runner)
            code = exits.OF_STATE[state]
        except KeyboardInterrupt:
            state, code = RunState.INTERRUPTED, signals.code
        finally:
            watching.close()
    took_s = time.monotonic() - began_s
    _sum_up(watching.progress, state, code, store, runner.run_id, show, took_s, repairs)
    return code


def _tells_phases(show: Show) -> bool:
    return (show.verbose or show.debug) and not show.as_json


def _sum_up(
    progress: Any,
    state: RunState,
    code: int,
    store: "Store",
    run: str,
    show: Show,
    took_s: float,
    repairs: int,
) -> None:
    from headway.doors.cli.summary import summary

    done = progress.repairs - repairs
    if show.as_json:
        document = {
            "event": "summary",
            "run": run,
            "state": state,
            "counts": progress.counts(living=False),
            "nothing_to_do": state is RunState.SUCCEEDED and not done,
            "exit": code,
            "store": store.place,
        }
        click.echo(as_json(document))
    elif not show.quiet:
        for line in summary(progress, state, run, store.place, took_s, done):
            click.echo(line)
