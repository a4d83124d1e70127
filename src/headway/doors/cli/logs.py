"""headway logs RUN [-f]"""

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.documents import line_document
from headway.doors.cli.listing import key_of
from headway.doors.cli.stores import found_run, opened
from headway.doors.cli.words import as_json, coloured, faint, number, printable
from headway.ports.store import NO_JOB, short_id

if TYPE_CHECKING:
    from headway.jobs.plan import Plan
    from headway.ports.store import Line, RunRecord, Store

LOOK_S = 0.2  # how often -f looks for more
_COLOURS = {"err": "waiting", "warning": "waiting", "error": "failed"}


@click.command(short_help="Show what the jobs of a run wrote.")
@options.run
@click.option("--follow", "-f", is_flag=True, help="Go on until the run is over.")
@click.option("--job", "-J", metavar="JOB", help="Only what this job wrote.")
@options.reading_json
def command(run: str | None, follow: bool, job: str | None, **arguments: Any) -> int:
    """Show what the jobs of RUN (the last one, if left out) wrote."""
    from headway.jobs.plan import Plan

    with opened(arguments) as store:
        record = found_run(store, run)
        plan = Plan.from_json(store.plan(record.id))
        key = None if job is None else key_of(plan, job)
        lines = _followed(store, record, key) if follow else _written(store, record.id, key)
        some = False
        for line in lines:
            some = True
            if arguments["as_json"]:
                click.echo(as_json(line_document(line, plan)))
            else:
                _print(line, plan, alone=job is not None)
        if not some and sys.stdout.isatty():
            click.echo(faint(f"no job of run {short_id(record.id)} wrote anything"), err=True)
    return exits.DONE


def _written(store: "Store", run: str, key: int | None, after: int = 0) -> "Iterator[Line]":
    while lines := store.output(run, key, after):
        yield from lines
        after = lines[-1].id


def _followed(store: "Store", record: "RunRecord", key: int | None) -> "Iterator[Line]":
    """The lines there are, then those that come, until the run is over and all are told."""
    from headway.jobs.states import RunState
    from headway.runtime import ownership

    after = 0
    while True:
        state = ownership.state_now(store.find(record.id))
        over = state not in (RunState.RUNNING, RunState.QUEUED)
        for line in _written(store, record.id, key, after):
            after = line.id
            yield line
        if over:
            return
        time.sleep(LOOK_S)


def _print(line: "Line", plan: "Plan", *, alone: bool) -> None:
    """Safe on a terminal; into a file or a pager the text goes as it was written."""
    terminal = sys.stdout.isatty()
    whose = "" if line.key == NO_JOB else f"{printable(plan.names[line.key])} "
    before = "" if alone else f"{whose}| "
    text = f"({number(line.lost, 'line')} more, not kept)" if line.lost else line.text
    if not terminal:
        click.echo(before + text, color=True)
    elif line.lost:
        click.echo(faint(before + text))
    else:
        shown = coloured(printable(text.expandtabs()), _COLOURS.get(line.stream, ""))
        click.echo((faint(before) if before else "") + shown)
