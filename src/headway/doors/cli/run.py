"""headway run TARGET"""

from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import options
from headway.doors.cli.carrying import Show, carried_out, showing
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.hands import bus_shown, ready_for
from headway.doors.cli.stores import opened
from headway.doors.cli.targets import loaded

if TYPE_CHECKING:
    from headway.runtime.launching import Options


@click.command(short_help="Carry a target out.")
@options.target
@options.inputs
@click.option("-j", "slots", metavar="N", type=click.IntRange(min=1), help="How many at once; default: 1 job, any number of a playbook's steps, or on Celery.")  # noqa: E501  # fmt: skip
@options.workers
@options.surroundings
@options.on
@click.option("--limit", "limits", metavar="TAG=N", multiple=True, help="How many jobs with a tag may run at once.")  # noqa: E501  # fmt: skip
@click.option("--default-tries", metavar="N", type=click.IntRange(min=1), help="Tries of jobs without TRIES (3; 1 in a playbook).")  # noqa: E501  # fmt: skip
@click.option("--default-retry-delay", metavar="S", type=click.FloatRange(min=0), help="Seconds between tries of jobs without RETRY_DELAY (1).")  # noqa: E501  # fmt: skip
@click.option("--no-cleanup", is_flag=True, help="Leave Cleanups to headway cleanup.")
@click.option("--strict", is_flag=True, help="Stop at a Check that looks broken.")
@showing
@options.db
@options.durable
def command(target: str, **arguments: Any) -> int:
    """Carry out what TARGET names, and what it needs, in the right order.

    TARGET is file.py, file.py:Root or package.module:Root, where Root is a job class or a
    function that is given the inputs and returns one; or a playbook, file.yaml or file.json, or
    a stored one, playbook:ID or playbook:ID@VERSION.
    """
    from headway.runtime.launching import begin

    options.require_app(arguments["on"], arguments["app"])
    inputs = options.read_inputs(arguments["texts"], arguments["values"])
    target_ = loaded(target, inputs, _policy(arguments), arguments=arguments)
    chosen = _options(arguments)
    with (
        opened(arguments, make=True) as store,
        ready_for(target_, chosen, arguments) as ready,
    ):
        return carried_out(
            store,
            target_.plan,
            Show.chosen(arguments),
            lambda watching, watch: begin(
                store, target_, ready.executor, chosen, [watching.heard], watch, ready.announce
            ),
        )


def _policy(arguments: dict[str, Any]) -> dict[str, Any]:
    """What the policy of its notation is changed to."""
    said = {
        "default_tries": arguments["default_tries"],
        "default_retry_delay_s": arguments["default_retry_delay"],
        "limits": _limits(arguments["limits"]),
    }
    return {name: value for name, value in said.items() if value not in (None, {})}


def _options(arguments: dict[str, Any]) -> "Options":
    from headway.runtime.launching import Options

    return Options(
        cleanup=not arguments["no_cleanup"],
        strict=arguments["strict"],
        slots=arguments["slots"],
        on=arguments["on"] or "",
        app=arguments["app"] or "",
        limits=_limits(arguments["limits"]),
        workers=arguments["workers"],
        bus=bus_shown(arguments),
    )


def _limits(pairs: tuple[str, ...]) -> dict[str, int]:
    found = {}
    for pair in pairs:
        tag, _, count = pair.rpartition("=")
        if not tag or not count.isdecimal() or int(count) < 1:
            raise Mistyped(f"--limit {pair!r}: write --limit TAG=N, N being 1 or more")
        found[tag] = int(count)
    return found
