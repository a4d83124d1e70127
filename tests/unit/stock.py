"""Stock workers, served on the bus in memory, and steps for them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headway.runtime.worker import Worker
from headway.wire import names
from headway.workers.catalogue import stock_worker
from tests.unit.serving import Desk, desk

RUN = "0123456789abcdef01234567"


def made(at: Desk, name: str, config: Any = None, **attributes: Any) -> Worker:
    """A stock worker with a configuration; attributes take the place of its class's."""
    worker_class = stock_worker(name)
    assert worker_class is not None
    if attributes:
        worker_class = type(worker_class.__name__, (worker_class,), attributes)
    return at.make(worker_class, config_file=None if config is None else config)


def config_file(directory: Path, config: Any) -> Path:
    file = directory / "worker.json"
    file.write_text(json.dumps(config))
    return file


@contextmanager
def serving(name: str, directory: Path, config: Any = None, **attributes: Any) -> Iterator[Desk]:
    with desk() as at:
        file = None if config is None else config_file(directory, config)
        with at.serving(made(at, name, file, **attributes)):
            yield at


def send(at: Desk, step: str, parameters: Any = None, **more: Any) -> None:
    """Send ``command:Subcommand``; what follows goes into the message's properties or body."""
    command, _, subcommand = step.partition(":")
    own = {"command": command, "subcommand": subcommand, "hosts": ["web-1"]}
    body = {"parameters": {**own, **(parameters or {})}, "group": "", "notify": {}}
    body["dynamic"] = more.pop("dynamic", {})
    known = {"correlation_id": RUN, **more}
    at.send(body, names.worker_key(command), **known)


def answered(at: Desk, step: str, parameters: Any = None, **more: Any) -> Any:
    """The final answer to a step; ``started`` came before one that completed."""
    send(at, step, parameters, **more)
    first = at.reply()
    if first["status"] == "failed":
        return first
    assert first == {"status": "started"}
    return at.reply()


def refusal(at: Desk, step: str, parameters: Any = None, **more: Any) -> str:
    """Why a step is answered ``failed`` before it was started."""
    send(at, step, parameters, **more)
    answer = at.reply()
    assert answer["status"] == "failed", answer
    return str(answer["data"])


def lines(at: Desk) -> list[str]:
    """What steps have said so far, without the library's own."""
    found = []
    while not at.is_silent("output-watch"):
        said = at.output()
        if said["level"] != "debug":
            found.append(said["message"])
    return found
