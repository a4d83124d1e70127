"""headway retry RUN"""

from typing import Any

import click

from headway.doors.cli import options
from headway.doors.cli.carrying import showing
from headway.doors.cli.listing import Seen, looked_at
from headway.doors.cli.resume import (
    asked_of_core,
    changing,
    chosen_options,
    taken_up,
    tell_taken_up,
)
from headway.doors.cli.stores import found_run, opened
from headway.errors import Rejected
from headway.jobs.standing import SUCCEEDED
from headway.ports.store import short_id


@click.command(short_help="Try again what failed in a run.")
@options.run
@click.option("--from", "from_job", metavar="JOB", help="Do JOB anew, and all that needs it.")
@changing
@showing
@options.db
@options.durable
def command(run: str | None, from_job: str | None, **arguments: Any) -> int:
    """Try again what failed in RUN (the last one, if left out), with all its tries.

    What succeeded is not touched, unless --from JOB says so.
    """
    from headway.jobs.events import decode
    from headway.runtime.launching import (
        reload,
        require_over,
        require_unowned,
        retry_keys,
    )

    with opened(arguments) as store:
        record = found_run(store, run)
        if not record.core:
            require_unowned(record)
        require_over(store, record)
        found = looked_at(store, record)
        events = [decode(entry.row) for entry in store.journal(record.id)]
        keys = retry_keys(found.progress.plan, events, from_job)
        _require_worthwhile(found, keys, from_job)
        if record.core:
            return asked_of_core(store, record, "retry", {"job": from_job}, arguments)
        target, changed = reload(store, record, options.read_again(arguments))
        tell_taken_up(record, changed, arguments)
        chosen = chosen_options(record, arguments)
        return taken_up(store, record, target, chosen, arguments, retry=keys)


def _require_worthwhile(found: Seen, keys: list[int], from_job: str | None) -> None:
    """Something would be done. Raises: Rejected."""
    plan, states = found.progress.plan, found.states
    short = short_id(found.record.id)
    if from_job is None and not keys:
        raise Rejected(
            f"nothing failed in run {short}. headway retry {short} --from JOB does JOB anew,"
            " and all that needs it"
        )
    if from_job is not None:
        for need in plan.needs[plan.key_of(from_job)]:
            if states[need] not in SUCCEEDED:
                raise Rejected(
                    f"{from_job} needs {plan.names[need]}, which is {states[need]}:"
                    f" headway retry {short} tries that again first"
                )
