"""headway pause RUN"""

from typing import Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.stores import found_run, opened
from headway.doors.cli.words import as_json, printable
from headway.errors import Rejected
from headway.jobs.states import RunState
from headway.ports.store import short_id


@click.command(short_help="Have a run start nothing new for now.")
@options.run
@click.option("--why", default="", metavar="TEXT", help="Kept with the run.")
@options.reading_json
def command(run: str | None, why: str, **arguments: Any) -> int:
    """Pause RUN (the last one, if left out): what runs ends, and nothing new starts.

    headway resume goes on with it, headway cancel ends it.
    """
    from headway.runtime import asking, ownership

    with opened(arguments) as store:
        record = found_run(store, run)
        state, short = ownership.state_now(record), short_id(record.id)
        # A core's run, while there is no core: whoever takes it up answers.
        is_kept = record.core and state in (RunState.INTERRUPTED, RunState.IN_DOUBT)
        if state is not RunState.RUNNING and not is_kept:
            raise Rejected(f"run {short} is {state}: nothing of it starts")
        answer = asking.asked(store, record, "pause", {"why": why})
    if arguments["as_json"]:
        click.echo(as_json({"run": record.id, "answer": answer}))
    else:
        click.echo(f"run {short}: {printable(answer)}; headway resume {short} goes on")
    return exits.DONE
