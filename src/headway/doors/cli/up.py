"""headway up"""

import sys
import threading
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.api import api_beside
from headway.doors.cli.settings import environments_settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.ports.bus import Bus
    from headway.ports.store import Store
    from headway.runtime.serving_core import CoreService

LISTEN = "127.0.0.1:8320"
STOP_LIMIT_S = 10.0  # for the steps in hand when it is told to stop
LEADS_S = 2.0  # to lead before it says that it serves; later if another core leads
NO_WEB = "no API: that needs FastAPI and uvicorn (pip install 'headway[web]')"


@click.command(short_help="Core, API, workers and bus in one process.")
@click.option(
    "--listen", "place", metavar="HOST:PORT", default=LISTEN, show_default=True,
    help="Where the API is; beyond this machine only when there are tokens.",
)  # fmt: skip
@click.option(
    "--worker", "workers", metavar="TARGET[=FILE]", multiple=True,
    help="Serve this worker, too: FILE.py:Class or a stock worker, and its configuration.",
)  # fmt: skip
@click.option(
    "--concurrency", type=click.IntRange(1, 16), default=4, metavar="N", show_default=True,
    help="Steps of one worker at once.",
)  # fmt: skip
@options.surroundings
@options.durable
@options.reading
def command(place: str, workers: tuple[str, ...], concurrency: int, **arguments: Any) -> int:
    """Carry out deployments without any server: everything in one process.

    A core, the API, the stock workers and those named, and a bus between them. What is deployed
    goes on where it stood when this is started again. Runs until SIGTERM or Ctrl-C.
    """
    from headway.adapters.memory_broker import MemoryBroker
    from headway.adapters.memory_bus import MemoryBus
    from headway.doors.cli.core import log_of_core, opener
    from headway.doors.cli.hands import stock_worker
    from headway.doors.cli.targets import surroundings_chosen
    from headway.runtime.core import CoreRules
    from headway.runtime.serving_core import CoreService
    from headway.runtime.step_workers import workers_served
    from headway.runtime.worker_runner import stopped_by_signals
    from headway.workers.catalogue import STOCK

    open_store = opener(arguments)
    open_store().close()  # which makes it, or says at once why it cannot be had
    log_of_core(sys.stderr)
    broker = MemoryBroker("up")

    def new_bus(name: str = "headway up") -> "Bus":
        return MemoryBus(broker)

    rules = CoreRules(
        surroundings=surroundings_chosen(arguments), environments=environments_settled(Path.cwd())
    )
    service = CoreService(open_store, new_bus, rules)
    over = threading.Event()
    with ExitStack() as stack:
        if find_spec("fastapi") and find_spec("uvicorn"):
            beside = api_beside(place, open_store, rules.surroundings, service.wake)
            stack.enter_context(beside)
        else:
            click.echo(f"{NO_WEB}; store {_place(open_store)}")
        stock = [one.name for one in STOCK if one.takes_steps and not one.needs_config]
        serving = workers_served(workers, stock, stock_worker, concurrency, new_bus, STOP_LIMIT_S)
        core = threading.Thread(target=_serve, args=(service, over), name="headway-core")
        with stopped_by_signals(over.set):
            # The workers come before the core, which may have steps for them at once, and leave
            # before it.
            stack.callback(_end, service, core)
            served = stack.enter_context(serving)
            core.start()
            service.leads.wait(LEADS_S)  # so that who reads this finds a core
            click.echo(f"workers {', '.join(served)}")
            sys.stdout.flush()
            over.wait()
            service.drain()  # and then the workers leave, before the core that records it
            click.echo(f"stopping: steps in hand have {STOP_LIMIT_S:g} s; once more leaves at once")
            sys.stdout.flush()
    return exits.DONE


def _serve(service: "CoreService", over: threading.Event) -> None:
    try:
        service.serve()
    finally:
        over.set()  # without a core nothing would ever be done


def _end(service: "CoreService", core: threading.Thread) -> None:
    service.stop()
    if core.ident is not None:  # else a worker could not be had
        core.join()


def _place(open_store: "Callable[[], Store]") -> str:
    from contextlib import closing

    with closing(open_store()) as store:
        return store.place
