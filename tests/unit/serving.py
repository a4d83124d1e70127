"""A worker served on a bus, in memory unless another is given, and whoever sends it steps."""

import json
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus
from headway.ports.bus import (
    Binding,
    Bus,
    Consumer,
    Delivery,
    Exchange,
    Message,
    Queue,
    QueueKind,
    Settlement,
)
from headway.runtime.worker import Worker
from headway.runtime.worker_connection import WorkerConnection
from headway.wire import names

DEADLINE_S = 20.0
REPLIES = "replies"
CLAIMS = "claims"


class Log(logging.Handler):
    """What a worker's application log says."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()}")

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def logger_to(log: Log) -> logging.Logger:
    logger = logging.Logger("test", logging.DEBUG)
    logger.addHandler(log)
    return logger


class Desk:
    """Sends steps, and reads what comes back: replies, output, notices, dead letters, claims."""

    def __init__(self, make_bus: Callable[[], Bus] | None = None) -> None:
        self.broker = MemoryBroker("test")
        self._make_bus = make_bus or (lambda: MemoryBus(self.broker))
        self.bus = self._make_bus()
        self.bus.open()
        self.log = Log()
        self.connections: list[WorkerConnection] = []
        self._heard: dict[str, queue.SimpleQueue[Delivery]] = {}
        self._consumers: dict[str, Consumer] = {}
        self.bus.declare(Exchange(names.EXCHANGE))
        self.listen(REPLIES)
        self.listen(CLAIMS)
        self.listen("dead-watch", names.DEAD)
        self.listen("output-watch", names.OUTPUT)

    def listen(self, name: str, *keys: str) -> None:
        """Read a queue; keys are of the exchange, ``dead`` is the queue itself."""
        heard: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        queue_name = names.DEAD if keys == (names.DEAD,) else name
        bound = () if queue_name == names.DEAD else keys
        bindings = tuple(Binding(names.EXCHANGE, key) for key in bound)
        self.bus.declare(Queue(queue_name, QueueKind.CLASSIC, bindings))

        def take(delivery: Delivery) -> None:
            self.bus.settle(delivery, Settlement.ACK)
            heard.put(delivery)

        self._consumers[name] = self.bus.consume(queue_name, take, prefetch=100, inline=True)
        self._heard[name] = heard

    def unlisten(self, name: str) -> None:
        """Leave what comes there to somebody else."""
        self._consumers.pop(name).cancel()

    def next(self, name: str = REPLIES) -> Delivery:
        return self._heard[name].get(timeout=DEADLINE_S)

    def reply(self) -> Any:
        return json.loads(self.next().message.body)

    def output(self) -> Any:
        return json.loads(self.next("output-watch").message.body)

    def is_silent(self, name: str = REPLIES) -> bool:
        return self._heard[name].empty()

    def send(self, body: Any, key: str = "worker.frob", **properties: Any) -> None:
        """Send a step; bytes go as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        known = {"correlation_id": "run-1", "reply_to": REPLIES, "message_id": "attempt-1"}
        message = Message(content, **{**known, **properties})
        self.bus.publish(message, key, names.EXCHANGE).wait(DEADLINE_S)

    def connection(self, **kwargs: Any) -> WorkerConnection:
        connection = WorkerConnection(self._make_bus(), **kwargs)
        self.connections.append(connection)
        return connection

    def make(self, worker_class: type[Worker], **kwargs: Any) -> Worker:
        arguments = {"logger": logger_to(self.log), **kwargs}
        mq_config = arguments.pop("mq_config", None) or self.connection()
        return worker_class(mq_config, **arguments)

    @contextmanager
    def serving(self, *workers: Worker) -> Iterator[None]:
        """They run in threads; in the end each has finished what it had in hand."""
        threads = [threading.Thread(target=worker.run_forever) for worker in workers]
        for worker, thread in zip(workers, threads, strict=True):
            worker._service.begin()
            thread.start()
        try:
            yield
        finally:
            for worker in workers:
                worker.stop()
            for thread in threads:
                thread.join(DEADLINE_S)
                assert not thread.is_alive()

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
        self.bus.close()


@contextmanager
def desk(make_bus: Callable[[], Bus] | None = None) -> Iterator[Desk]:
    with ExitStack() as stack:
        made = Desk(make_bus)
        stack.callback(made.close)
        yield made


def step(subcommand: str = "frob", **more: Any) -> dict[str, Any]:
    """A step message's body."""
    parameters = {"command": "frob", "subcommand": subcommand, "hosts": ["localhost"]}
    return {"parameters": parameters, "group": "", "dynamic": {}, "notify": {}, **more}


def worker(process: Callable[..., Any], **attributes: Any) -> type[Worker]:
    """A worker class that serves ``frob``."""
    return type("FrobWorker", (Worker,), {"process": process, **attributes})


def typed(directory: Path, path: str, text: str) -> Path:
    """A file as somebody typed it."""
    file = directory / path
    file.parent.mkdir(parents=True)
    (file.parent.parent / "__init__.py").touch()
    file.write_text(text)
    return file
