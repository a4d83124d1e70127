"""headway cleanup RUN"""

from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import options
from headway.doors.cli.carrying import Report, showing
from headway.doors.cli.resume import one_at_a_time, taken_up
from headway.doors.cli.stores import found_run, opened
from headway.doors.cli.words import listed, number
from headway.errors import Rejected
from headway.ports.store import short_id

if TYPE_CHECKING:
    from headway.jobs.states import RunState
    from headway.runtime.runner import Runner


@click.command(short_help="Run the Cleanups that a run left out.")
@options.run
@options.workers
@options.secrets
@showing
@options.db
def command(run: str | None, **arguments: Any) -> int:
    """Run the Cleanups that RUN (the last one, if left out) has not run, last first.

    So after headway run --no-cleanup, or for a run that was cut off and is not to go on.
    """
    from headway.runtime import ownership
    from headway.runtime.launching import reload, require_unowned, unwind

    with opened(arguments) as store:
        record = found_run(store, run)
        if record.core:
            raise Rejected(
                f"run {short_id(record.id)} is a core's, which puts away what it has to:"
                f" headway cancel {short_id(record.id)} has it end the run so"
            )
        require_unowned(record)
        state = ownership.state_now(record)
        target, _ = reload(store, record, options.read_again(arguments))
        chosen = one_at_a_time(record, arguments)

        def carry_out(runner: "Runner") -> "RunState":
            return unwind(runner, state)

        return taken_up(store, record, target, chosen, arguments, carry_out=carry_out, told=_told)


def _told(report: Report) -> list[str]:
    short = short_id(report.run)
    if not report.cleanups:
        return [f"nothing to clean up: run {short} left no Cleanup out"]
    failed = [key for key, failure in report.progress.cleanups.items() if failure is not None]
    lines = [f"{number(report.cleanups, 'Cleanup')} of run {short} ran"]
    if failed:
        names = listed([report.progress.plan.names[key] for key in failed])
        lines[0] += f", but not well: {names} (headway show {short} --job JOB)"
    return lines
