"""headway core"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import brokers, exits, options
from headway.doors.cli.api import api_beside
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.settings import environments_settled
from headway.doors.cli.targets import surroundings_chosen

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from headway.ports.bus import Bus
    from headway.ports.store import Store

NOWHERE = """\
without --mq or --bus a core would send steps on the bus of this process alone, where nobody \
serves them.
Serve them in one process with everything else:  headway up
Or name a broker:  {either}"""


@click.command(short_help="Accept deployments and drive them.")
@brokers.named
@click.option(
    "--step-timeout", type=click.FloatRange(min=0, min_open=True), metavar="S",
    help="Seconds for each phase of a step that says nothing of it.  [default: 3600]",
)  # fmt: skip
@options.surroundings
@click.option("--listen", metavar="HOST:PORT", help="Serve the API there, too, as headway api.")
@click.option("--log-stdout", is_flag=True, help="Log to standard output, not standard error.")
@options.db
@options.durable
@options.debug
def command(mq: str | None, bus: str | None, **arguments: Any) -> int:
    """Drive the deployments of a store until told to stop (Ctrl-C, SIGTERM).

    Takes requests from the bus (job.create) and from the store, sends steps to workers, and takes
    up whatever an earlier core left, however that ended. A second core waits for the first one's
    place.
    """
    import sys
    from contextlib import ExitStack
    from dataclasses import replace

    from headway.adapters.bus_address import MemoryAddress
    from headway.runtime.buses import make_bus
    from headway.runtime.core import CoreRules
    from headway.runtime.serving_core import CoreService
    from headway.runtime.worker_runner import stopped_by_signals

    address = brokers.address_of(mq, bus)
    if isinstance(address, MemoryAddress):
        raise Mistyped(NOWHERE.format(either=brokers.EITHER))
    open_store = opener(arguments)
    open_store().close()  # which makes it, or says at once why it cannot be had
    rules = CoreRules(
        surroundings=surroundings_chosen(arguments), environments=environments_settled(Path.cwd())
    )
    if arguments["step_timeout"]:
        rules = replace(rules, step_timeout_s=arguments["step_timeout"])
    log_of_core(sys.stdout if arguments["log_stdout"] else sys.stderr)

    def new_bus() -> "Bus":
        return make_bus(address, name="headway core")

    service = CoreService(open_store, new_bus, rules)
    with ExitStack() as stack:
        if arguments["listen"]:
            beside = api_beside(arguments["listen"], open_store, rules.surroundings, service.wake)
            stack.enter_context(beside)
        stack.enter_context(stopped_by_signals(service.stop))
        service.serve()
    return exits.DONE


def log_of_core(stream: "TextIO") -> None:
    """What a core says of its work goes there."""
    from headway.runtime.worker_log import process_logger

    process_logger("headway.core", stream)


def opener(arguments: dict[str, Any]) -> "Callable[[], Store]":
    """What opens the store again and again."""
    import os

    from headway.doors.cli.settings import settled
    from headway.doors.cli.stores import make_home, open_store

    settings = settled(arguments, os.environ, Path.cwd())
    if not settings.db_from:
        make_home(Path(settings.db).parent)

    def opened() -> "Store":
        return open_store(settings)

    return opened
