"""One worker and one step, in this process, over a bus that is nobody else's."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus
from headway.errors import DefinitionError, HeadwayError
from headway.ports.bus import Bus
from headway.runtime.worker import Worker
from headway.runtime.worker_connection import WorkerConnection


def bus_pair(name: str = "step") -> tuple[Bus, Bus]:
    """Two parties on one broker in memory; both are open."""
    broker = MemoryBroker(name)
    pair = MemoryBus(broker), MemoryBus(broker)
    for bus in pair:
        bus.open()
    return pair


@contextmanager
def served(
    worker_class: type[Worker],
    bus: Bus,
    config_file: str | None = None,
    logger: logging.Logger | None = None,
    *,
    stop_limit_s: float | None = None,
) -> Iterator[Worker]:
    """The worker runs, in a thread, until the block ends; so does the step in hand.

    ``stop_limit_s``: how long that is waited for then, if not as long as the worker itself says.
    Raises: DefinitionError when the worker cannot be made.
    """
    connection = WorkerConnection(bus)
    arguments: dict[str, Any] = {"config_file": config_file}
    if logger is not None:
        arguments["logger"] = logger
    try:
        worker = worker_class(connection, **arguments)
    except HeadwayError:
        raise
    except Exception as error:
        raise DefinitionError(
            f"{worker_class.__name__} cannot be made: {type(error).__name__}: {error}"
        ) from error
    if stop_limit_s is not None:
        worker._service.stop_limit_s = stop_limit_s
    worker._service.begin()
    thread = threading.Thread(target=worker.run_forever, name="headway-worker", daemon=True)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join()
        connection.close()
