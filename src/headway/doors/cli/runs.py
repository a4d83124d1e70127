"""headway runs"""

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from headway.doors.cli import exits, options
from headway.doors.cli.documents import run_document
from headway.doors.cli.stores import opened
from headway.doors.cli.words import as_json, coloured, moment, printable, table, took
from headway.jobs.states import OVER, RunState

if TYPE_CHECKING:
    from headway.ports.store import RunRecord


class Told(NamedTuple):
    """A run, and how it stands now."""

    record: "RunRecord"
    state: RunState
    paused: bool


@click.command(short_help="List the runs.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1, 10**9), default=20, help="How many (20)."
)
@options.reading_json
def command(limit: int, **arguments: Any) -> int:
    """List the newest runs, newest first."""
    from headway.runtime import ownership

    with opened(arguments) as store:
        records = store.runs(limit)
        paused = store.paused([one.id for one in records if one.state not in OVER])
        found = [Told(one, ownership.state_now(one), one.id in paused) for one in records]
        if arguments["as_json"]:
            click.echo(as_json([run_document(*told[:2], paused=told.paused) for told in found]))
        elif not found:
            click.echo(f"{store.place} holds no run yet: headway run TARGET makes the first")
        else:
            for line in _lines(found):
                click.echo(line)
    return exits.DONE


def _lines(found: list[Told]) -> list[str]:
    from headway.ports.store import short_id

    rows = [
        (
            short_id(record.id),
            f"{state}, paused" if paused else str(state),
            moment(record.began_us),
            took(record.began_us, record.ended_us or 0),
            str(record.jobs),
            printable(record.launch.who),
            printable(_target(record)),
        )
        for record, state, paused in found
    ]
    lines = table(rows, ("RUN", "STATE", "BEGAN", "TOOK", "JOBS", "WHO", "TARGET"))
    for place, (_, state, _) in enumerate(found, 1):
        shown = "failed" if state == "failed" else state
        lines[place] = lines[place].replace(str(state), coloured(str(state), shown), 1)
    return lines


def _target(record: "RunRecord") -> str:
    inputs = "".join(f" {name}={value}" for name, value in record.launch.inputs.items())
    return record.launch.target + inputs
