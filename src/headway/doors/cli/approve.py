"""headway approve RUN"""

from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.stores import found_run, opened
from headway.doors.cli.words import as_json, printable
from headway.errors import Rejected
from headway.jobs.states import RunState
from headway.ports.store import short_id

if TYPE_CHECKING:
    from headway.ports.store import RunRecord, Store


@click.command(short_help="Answer at a gate, where a run waits.")
@options.run
@click.argument("job", metavar="[JOB]", required=False)
@click.option("--reject", is_flag=True, help="It fails, and with it the release stops.")
@click.option("--why", default="", metavar="TEXT", help="Kept with the answer.")
@options.reading_json
def command(run: str | None, job: str | None, reject: bool, why: str, **arguments: Any) -> int:
    """Approve the gate JOB, at which RUN waits; the only one that waits, if left out.

    RUN may be left out, if JOB is: the last one is meant. A run that nobody works on takes the
    answer when it goes on.
    """
    from headway.jobs.gates import APPROVE, REJECT
    from headway.runtime import asking, ownership

    args = {"job": job, "decision": REJECT if reject else APPROVE, "why": why}
    with opened(arguments) as store:
        record = found_run(store, run)
        if ownership.lives(record):
            answer = asking.asked(store, record, "approve", args)
        else:
            answer = _left(store, record, args)
    if arguments["as_json"]:
        click.echo(as_json({"run": record.id, "answer": answer}))
    else:
        click.echo(f"run {short_id(record.id)}: {printable(answer)}")
    return exits.DONE


def _left(store: "Store", record: "RunRecord", args: dict[str, Any]) -> str:
    """Leave the answer with a run that nobody works on. Raises: Rejected where nobody waits."""
    from headway.runtime import asking, ownership

    state, short = ownership.state_now(record), short_id(record.id)
    if state is RunState.QUEUED:
        raise Rejected(f"run {short} is queued, and has not come to a gate yet")
    if state not in (RunState.INTERRUPTED, RunState.IN_DOUBT):
        raise Rejected(f"run {short} is over: it is {state}")
    answer = asking.left_at_gate(store, record, args)
    then = "a core" if record.core else f"headway resume {short}"
    return f"{answer}, once the run goes on ({then} takes the answer)"
