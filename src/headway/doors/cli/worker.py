"""headway worker TARGET"""

from typing import Any

import click

from headway.doors.cli import brokers, exits, options
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.step import loaded_worker

NOWHERE = """\
without --mq or --bus a worker would serve the bus of this process alone, where nobody else could \
send it anything.
Try it out with:  headway step COMMAND:SUBCOMMAND --worker {target}
Or serve it in one process with everything else:  headway up
Or name a broker:  {either}"""


@click.command(short_help="Serve a worker class.")
@options.target
@brokers.named
@click.option("-w", "--worker-config", metavar="FILE", help="JSON for the worker.")
@click.option(
    "--concurrency", type=click.IntRange(1, 1000), default=1, metavar="N",
    help="Steps at once, each with a worker object of its own.  [default: 1]",
)  # fmt: skip
@click.option(
    "--stop-limit", type=click.FloatRange(0), metavar="S",
    help="Seconds that a step in hand has when told to stop.  [default: 60]",
)  # fmt: skip
@click.option("--log-stdout", is_flag=True, help="Log to standard output, not standard error.")
@options.debug
def command(target: str, mq: str | None, bus: str | None, **arguments: Any) -> int:
    """Serve the worker class TARGET until told to stop (Ctrl-C, SIGTERM).

    TARGET is FILE.py:Class, package.module:Class, or the name of a stock worker: noop, sleep,
    shell, httprequest, notify, output.
    """
    import sys

    from headway.adapters.bus_address import MemoryAddress

    if isinstance(brokers.address_of(mq, bus), MemoryAddress):
        raise Mistyped(NOWHERE.format(target=target, either=brokers.EITHER))
    worker_class = loaded_worker(target)

    from headway.runtime.worker_config import read_config
    from headway.runtime.worker_log import process_logger
    from headway.runtime.worker_runner import serve

    stream = sys.stdout if arguments["log_stdout"] else sys.stderr
    serve(
        worker_class,
        read_config(mq) if mq else brokers.url_of({"bus": bus}),
        arguments["worker_config"],
        process_logger(worker_class.__name__, stream),
        arguments["concurrency"],
        arguments["stop_limit"],
    )
    return exits.DONE
