"""headway settle RUN JOB"""

from typing import Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.listing import run_and_job
from headway.doors.cli.stores import opened
from headway.doors.cli.words import printable
from headway.ports.store import short_id


@click.command(short_help="Answer for a job in doubt.")
@click.argument("run", metavar="[RUN]")
@click.argument("job", metavar="JOB", required=False)
@click.option("--done", "how", flag_value="done", help="Its Run did what it should.")
@click.option("--again", "how", flag_value="again", help="It did not: run it again.")
@click.option("--failed", "how", flag_value="failed", help="It did not: take it as failed.")
@click.option("--why", default="", metavar="TEXT", help="Kept with the answer.")
@options.reading
@click.pass_context
def command(
    ctx: click.Context, /, run: str, job: str | None, how: str | None, **arguments: Any
) -> int:
    """Say what became of JOB, whose Run began and whose end nobody saw.

    RUN may be left out: the last one is meant.
    """
    from headway.runtime import asking, ownership

    if how is None:
        ctx.fail("say how: --done, --again or --failed")
    with opened(arguments) as store:
        record, plan, key = run_and_job(store, run, job)
        short, name = short_id(record.id), printable(plan.names[key])
        if record.core or ownership.lives(record):
            answer = asking.asked(
                store, record, "settle", {"key": key, "how": how, "why": arguments["why"]}
            )
            click.echo(printable(answer))
            return exits.DONE
        state = asking.settle(store, record, key, how, arguments["why"])
    click.echo(f"{name} is settled: {how}")
    if state == "in doubt":
        click.echo(f"others are still in doubt: headway show {short}")
    else:
        click.echo(f"headway resume {short} goes on")
    return exits.DONE
