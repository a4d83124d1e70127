"""headway cancel RUN"""

from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.carrying import showing
from headway.doors.cli.resume import one_at_a_time, taken_up
from headway.doors.cli.stores import found_run, opened
from headway.doors.cli.words import as_json, printable
from headway.errors import DefinitionError, Rejected
from headway.jobs.states import OVER, RunState
from headway.ports.store import short_id

if TYPE_CHECKING:
    from headway.ports.store import RunRecord, Store


@click.command(short_help="Stop a run.")
@options.run
@click.option("--why", default="", metavar="TEXT", help="Kept with the run.")
@click.option("--no-cleanup", is_flag=True, help="End an interrupted run without its Cleanups.")
@options.workers
@options.secrets
@showing
@options.db
def command(run: str | None, why: str, no_cleanup: bool, **arguments: Any) -> int:
    """Stop RUN (the last one, if left out): nothing new starts, Cleanups run.

    A run that nobody works on any more is ended here and now; a core ends those of its own.
    """
    from headway.runtime import asking, ownership

    with opened(arguments) as store:
        record = found_run(store, run)
        state = ownership.state_now(record)
        short = short_id(record.id)
        if _is_asked_for(store, record, state, no_cleanup=no_cleanup):
            answer = asking.asked(store, record, "cancel", {"why": why})
            if arguments["as_json"]:
                click.echo(as_json({"run": record.id, "answer": answer}))
            else:
                said = printable(answer)
                click.echo(f"run {short}: {said}; headway logs {short} -f follows its end")
            return exits.DONE
        if state not in (RunState.QUEUED, RunState.INTERRUPTED, RunState.IN_DOUBT):
            raise Rejected(f"run {short} is over already: it is {state}")
        if no_cleanup or state is RunState.QUEUED:
            asking.close(store, record, why)
            how = "its Cleanups were not run"
            if state is RunState.QUEUED:
                how = "before its turn came"
            click.echo(f"run {short} is cancelled, {how}")
            return exits.DONE
        code = _ended_here(store, record, why, arguments)
    return exits.DONE if code == exits.CANCELLED else code


def _is_asked_for(
    store: "Store", record: "RunRecord", state: RunState, *, no_cleanup: bool
) -> bool:
    """Whether somebody else ends it. Where no core leads, a core's run is ended here if nothing
    is to be put away."""
    from headway.runtime.turns import leading

    if not record.core:
        return state is RunState.RUNNING
    if state in OVER:
        return False
    return leading(store) is not None or not (state is RunState.QUEUED or no_cleanup)


def _ended_here(store: "Store", record: "RunRecord", why: str, arguments: dict[str, Any]) -> int:
    """Take a run without an owner up only to end it: Cleanups, then cancelled."""
    from headway.runtime import clocks
    from headway.runtime.launching import reload, who

    short = short_id(record.id)
    try:
        target, _ = reload(store, record, options.read_again(arguments))
    except DefinitionError as error:
        raise DefinitionError(
            f"{error}\nIts Cleanups cannot be run so."
            f" headway cancel {short} --no-cleanup ends it without them"
        ) from error
    chosen = one_at_a_time(record, arguments)
    store.ask(record.id, "cancel", {"why": why}, who(), clocks.now_us())
    return taken_up(store, record, target, chosen, arguments)
