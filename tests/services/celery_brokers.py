"""The brokers that Celery is tried on, each empty, and Celery workers as processes on them."""

import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Exchange, Queue

from tests.services.rabbitmq import RabbitMQ
from tests.services.redis_server import RedisServer
from tests.services.sqs import Sqs
from tests.services.worker_process import WorkerProcess, worker_process

BROKERS = ("rabbitmq", "redis", "sqs")
SQS_OPTIONS = {
    "region": "us-west-2",
    "queue_name_prefix": "dev-",
    "polling_interval": 0.05,
    "wait_time_seconds": 0,
}
PROJECT = """
import json, os
from celery import Celery
from cadasta.workertoolbox.conf import Config

app = Celery("proj")
app.config_from_object(Config(**json.loads(os.environ["SETTINGS"])))

@app.task(name="export.note", shared=False)
def note(word):
    with open("notes", "a") as notes:
        notes.write(word + "\\n")
    return word

@app.task(name="export.join", shared=False)
def join(words):
    return note("+".join(words))

@app.task(name="export.again", bind=True, shared=False, default_retry_delay=0)
def again(self, word):
    if self.request.retries == 0:
        raise self.retry()
    return note(word)
"""


@dataclass(frozen=True)
class Broker:
    """A broker with nothing on it; ``left`` says what there is on it."""

    name: str
    url: str
    left: Callable[[], Sequence[str]]
    options: Mapping[str, Any] = field(default_factory=dict)
    connections: Callable[[], int] = lambda: 0  # that it took so far; of RabbitMQ and Redis

    @property
    def settings(self) -> dict[str, Any]:
        options = {"broker_transport_options": dict(self.options)} if self.options else {}
        return {"broker_url": self.url, **options}

    def taken(self, queue: str, key: str) -> Iterator[Mapping[str, Any]]:
        """The headers of all messages in a queue, which are taken out of it."""
        with Connection(self.url, transport_options=dict(self.options)) as connection:
            exchange = Exchange("task_exchange", type="topic")
            bound = Queue(queue, exchange, routing_key=key)(connection.channel())
            bound.declare()
            while (message := bound.get()) is not None:
                message.ack()
                yield message.headers


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> Broker:
    return broker_of(request, request.param)


def broker_of(request: pytest.FixtureRequest, name: str) -> Broker:
    match name:
        case "rabbitmq":
            rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
            taken = rabbitmq.node.connections_taken
            return Broker(name, rabbitmq.url, lambda: _of_rabbitmq(rabbitmq), connections=taken)
        case "redis":
            url: str = request.getfixturevalue("redis_url")
            server: RedisServer = request.getfixturevalue("redis_server")
            taken = server.connections_taken
            return Broker(name, url, lambda: _of_redis(url), connections=taken)
        case _:
            sqs: Sqs = request.getfixturevalue("sqs")
            return Broker(name, sqs.url, sqs.queues, SQS_OPTIONS)


def _of_rabbitmq(rabbitmq: RabbitMQ) -> list[str]:
    """Its queues, and its exchanges but those that every virtual host has."""
    vhost = f'<<"{rabbitmq.vhost}">>'
    queues = f"[Q || {{resource, _, queue, Q}} <- rabbit_amqqueue:list_names({vhost})]"
    exchanges = (
        "[X || {resource, _, exchange, X} <-"
        f" [element(2, E) || E <- rabbit_exchange:list({vhost})],"
        ' X =/= <<>>, binary:match(X, <<"amq.">>) =:= nomatch]'
    )
    joined = f"[[One, $\\s] || One <- {queues} ++ {exchanges}]"
    return sorted(
        rabbitmq.node.tell(f"binary_to_list(iolist_to_binary({joined})).").strip('"[]').split()
    )


def _of_redis(url: str) -> list[str]:
    import redis

    with redis.Redis.from_url(url) as client:
        keys: Any = client.keys("*")
        return sorted(key.decode() for key in keys)


@contextmanager
def celery_worker(place: Path, settings: Mapping[str, Any], *words: str) -> Iterator[WorkerProcess]:
    """A Celery worker of the project in PLACE that is ready for tasks; ended in good order."""
    (place / "proj.py").write_text(PROJECT)
    command = ["-m", "celery", "-A", "proj", "worker", "-P", "solo", "-l", "INFO"]
    command += ["--without-gossip", "--without-mingle", *words]
    environment = {"SETTINGS": json.dumps(settings)}
    with worker_process(*command, cwd=place, more_env=environment) as worker:
        worker.wait_for(" ready.")
        yield worker
        worker.end(signal.SIGTERM)
