"""Workers when something goes wrong: a step granted runs once, ends once, and its reply arrives."""

import queue
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from headway.adapters.bus_address import RabbitAddress, parse_bus_url
from headway.adapters.dispatching import Answered, Claimed, Heard, Lost
from headway.adapters.rabbitmq.bus import RabbitBus
from headway.ports.bus import (
    Bus,
    Closed,
    Delivery,
    Limits,
    Message,
    Opened,
    Queue,
    QueueKind,
    Settlement,
)
from headway.releases.claims import Attempt, Claims
from headway.runtime.sending import StepSender
from headway.runtime.worker import Worker
from headway.runtime.worker_connection import WorkerConnection
from headway.testing import buses
from headway.wire import names
from headway.wire.messages import Claim, Grant, Response, StepMessage
from tests.services import frobbing
from tests.services.forwarder import Forwarder
from tests.services.frobbing import Holding
from tests.services.rabbitmq import RabbitMQ
from tests.services.worker_process import worker_process, write_mq_config
from tests.unit.serving import CLAIMS, Desk, desk, step, worker

pytestmark = pytest.mark.services

DEADLINE_S = 60.0
FROB = "worker.frob"
BusMaker = Callable[..., RabbitBus]


@pytest.fixture
def make_bus(rabbitmq: RabbitMQ) -> BusMaker:
    """Makes buses, not yet open, by a forwarder or directly."""

    def make(via: Forwarder | None = None, heartbeat_s: int = 10) -> RabbitBus:
        url = rabbitmq.url_at(via.port) if via else rabbitmq.url
        address = parse_bus_url(f"{url}?heartbeat={heartbeat_s}")
        assert isinstance(address, RabbitAddress)
        return RabbitBus(address, Limits(first_wait_s=0.02, longest_wait_s=0.2))

    return make


@pytest.fixture
def at(make_bus: BusMaker) -> Iterator[Desk]:
    with desk(make_bus) as made:
        yield made


@pytest.fixture
def network(rabbitmq: RabbitMQ) -> Iterator[Forwarder]:
    with Forwarder(rabbitmq.node.port) as forwarder:
        yield forwarder


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[Holding]:
    made = Holding(tmp_path)
    yield made
    made.close()


class Sent:
    """A step under a claim, and what is heard of it, read by a thread."""

    def __init__(self, bus: Bus, parameters: dict[str, Any], **kwargs: Any) -> None:
        own = {"command": "frob", "subcommand": "frob", "hosts": ["localhost"]}
        self._sender = StepSender(bus, **kwargs)
        self._sender.open()
        self.step = self._sender.send("frob", StepMessage(parameters={**parameters, **own}))
        self._changed = threading.Condition()
        self.heard: list[tuple[Heard, float]] = []
        self.step.wait_until_taken()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def wait_for(self, kind: type[Any], status: str | None = None) -> float:
        """When it was heard."""

        def found() -> float | None:
            for news, heard_at in self.heard:
                if isinstance(news, kind) and status in (None, status_of(news)):
                    return heard_at
            return None

        with self._changed:
            assert self._changed.wait_for(lambda: found() is not None, DEADLINE_S), self.heard
            return found() or 0.0

    def end(self) -> list[str]:
        """Returns the answers that counted, when the step has ended."""
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), self.heard
        self.close()
        return [status_of(news) for news, _ in self.heard if isinstance(news, Answered)]

    def close(self) -> None:
        self._sender.close()

    def counts(self, kind: type[Any]) -> int:
        return sum(isinstance(news, kind) for news, _ in self.heard)

    def _listen(self) -> None:
        for news in self.step.heard():
            with self._changed:
                self.heard.append((news, time.monotonic()))
                self._changed.notify_all()


def status_of(news: Any) -> str:
    return news.response.status if isinstance(news, Answered) else ""


class Steps:
    """What a worker's process does with steps: notes them, and waits where it is told to."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()  # by attempt, or run
        self.ended: Counter[str] = Counter()
        self.go_on = threading.Event()
        self.inside: queue.SimpleQueue[str] = queue.SimpleQueue()
        steps = self

        def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
            name = props.message_id or props.correlation_id
            steps.begun[name] += 1
            self.ack(deliver)
            self.send(props.reply_to, props.correlation_id, {"status": "started"}, "")
            out.info("at work")
            steps.inside.put(name)
            if body["parameters"].get("waits", True):
                assert steps.go_on.wait(DEADLINE_S)
            steps.ended[name] += 1
            self.send(props.reply_to, props.correlation_id, {"status": "completed"}, "")

        self.worker_class = worker(process)

    def wait_inside(self) -> str:
        return self.inside.get(timeout=DEADLINE_S)


class Granting:
    """Grants the claims of a desk's steps, and knows which answers count."""

    def __init__(self, at: Desk, workers: set[str] | None = None) -> None:
        self.claims = Claims()
        self.asked: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.answers: dict[str, list[str]] = {}  # that counted, by attempt
        self.is_deaf = False  # to claims
        self._at = at
        self._changed = threading.Condition()
        at.bus.consume(CLAIMS, self._on_claim, prefetch=100, inline=True)
        at.bus.consume("granted-replies", self._on_answer, prefetch=100, inline=True)

    def send(self, attempt: str, key: str = FROB, **parameters: Any) -> None:
        self.claims.offer(attempt, attempt, "granted-replies")
        body = step()
        body["parameters"] |= parameters
        self._at.send(
            body,
            key,
            headers={names.CLAIMS: CLAIMS},
            correlation_id=attempt,
            message_id=attempt,
            reply_to="granted-replies",
        )

    def wait_until(self, true: Callable[["Granting"], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: true(self), DEADLINE_S), (
                self.answers,
                self.asked,
                self.refused,
            )

    def all_ended(self) -> bool:
        return all("completed" in self.answers.get(one, ()) for one in self.claims.attempts)

    def _on_claim(self, delivery: Delivery) -> None:
        self._at.bus.settle(delivery, Settlement.ACK)
        claim = Claim.decode(delivery.message.body)
        with self._changed:
            answer = None if self.is_deaf else self.claims.claim(claim)
            self.asked[claim.attempt] += 1
            if isinstance(answer, Grant):
                self.refused[claim.attempt] += not answer.granted
                reply_to = delivery.message.reply_to
                assert reply_to is not None
                self._at.bus.publish(Message(answer.encode()), reply_to)
            self._changed.notify_all()

    def _on_answer(self, delivery: Delivery) -> None:
        self._at.bus.settle(delivery, Settlement.ACK)
        message = delivery.message
        response = Response.decode(message.body)
        with self._changed:
            counted = self.claims.answer(
                response,
                str(message.headers.get(names.WORKER, "")),
                message.message_id,
                str(message.correlation_id),
                "granted-replies",
            )
            if isinstance(counted, Attempt):
                self.answers.setdefault(counted.id, []).append(response.status)
            self._changed.notify_all()


@pytest.fixture
def granting(at: Desk) -> Granting:
    at.bus.declare(Queue("granted-replies", QueueKind.CLASSIC))
    at.unlisten(CLAIMS)
    return Granting(at)


# A worker killed


def test_a_worker_killed_in_its_step_is_missed_within_seconds_and_nobody_runs_it_again(
    rabbitmq: RabbitMQ, make_bus: BusMaker, tmp_path: Path, holding: Holding
) -> None:
    mq = write_mq_config(tmp_path, rabbitmq.url)
    with (
        worker_process(frobbing.__file__, mq) as doomed,
        worker_process(frobbing.__file__, mq) as other,
        ExitStack() as stack,
    ):
        for one in (doomed, other):
            one.wait_for("serving")
        bus = make_bus()
        bus.open(DEADLINE_S)
        stack.callback(bus.close)
        sent = Sent(bus, holding.parameters())
        held = holding.held()
        sent.wait_for(Answered, "started")
        holder = next(news.worker for news, _ in sent.heard if isinstance(news, Claimed))
        pid = int(holder.split(".")[-2])
        killed = doomed if doomed.process.pid == pid else other
        killed_at = time.monotonic()
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait(DEADLINE_S)
        noticed_s = sent.wait_for(Lost) - killed_at
        held.close()
        # The other is there and well, and has not been given it.
        again = Sent(bus, holding.parameters())
        holding.held().close()
        assert again.end() == ["started", "completed"]
        assert holding.noted() == [
            f"begin {sent.step.run}",
            f"begin {again.step.run}",
            f"end {again.step.run}",
        ]
        assert noticed_s < 5  # about one, on a machine that is not busy
        assert sent.counts(Answered) == 1
        sent.close()


# The network


def test_a_step_whose_workers_connection_is_cut_again_and_again_ends_once_and_is_answered(
    make_bus: BusMaker, network: Forwarder
) -> None:
    steps, connection, bus = Steps(), WorkerConnection(make_bus(network)), make_bus()
    frob = steps.worker_class(connection)
    news = buses.Heard(connection.bus)
    bus.open(DEADLINE_S)
    with running(frob):
        sent = Sent(bus, {}, lost_after_s=DEADLINE_S)
        steps.wait_inside()
        for _ in range(3):
            network.cut()
            news.wait_for(Opened)
        steps.go_on.set()
        assert sent.end() == ["started", "completed"]
        quick = Sent(bus, {"waits": False}, lost_after_s=DEADLINE_S)
        assert quick.end() == ["started", "completed"]
    assert list(steps.begun.values()) == [1, 1]
    assert sent.counts(Lost) == 0
    bus.close()


def test_a_cut_before_the_grant_leaves_one_of_two_that_wait_for_it_to_begin(
    granting: Granting, make_bus: BusMaker, network: Forwarder
) -> None:
    # Of two objects on one connection, one asks; the connection goes, and the broker gives the
    # step to the other, as often as not, which asks for the same attempt.
    steps = Steps()
    steps.go_on.set()
    connection = WorkerConnection(make_bus(network))
    frobs = [steps.worker_class(connection) for _ in range(2)]
    news = buses.Heard(connection.bus)
    attempts = [f"attempt-{number}" for number in range(8)]
    with running(*frobs):
        for attempt in attempts:
            granting.is_deaf = True
            granting.send(attempt)
            granting.wait_until(lambda g, attempt=attempt: g.asked[attempt] == 1)  # type: ignore[misc]
            network.cut()
            news.wait_for(Opened)
            granting.is_deaf = False
            granting.wait_until(Granting.all_ended)
    assert steps.begun == dict.fromkeys(attempts, 1)
    assert granting.answers == {one: ["started", "completed"] for one in attempts}


def test_a_stalled_connection_is_replaced_and_the_step_ends_once_and_is_answered(
    make_bus: BusMaker, network: Forwarder
) -> None:
    steps, connection = Steps(), WorkerConnection(make_bus(network, heartbeat_s=1))
    bus = make_bus()
    frob = steps.worker_class(connection)
    news = buses.Heard(connection.bus)
    bus.open(DEADLINE_S)
    with running(frob):
        sent = Sent(bus, {}, lost_after_s=DEADLINE_S)
        steps.wait_inside()
        network.stall()
        news.wait_for(Closed)
        steps.go_on.set()  # the answer is given while there is nobody to take it
        network.flow()
        news.wait_for(Opened)
        assert sent.end() == ["started", "completed"]
    assert list(steps.begun.values()) == [1]
    bus.close()


class running:
    """Workers run in threads for as long as the block lasts."""

    def __init__(self, *workers: Worker) -> None:
        self._workers = workers
        self._threads = [threading.Thread(target=one.run_forever) for one in workers]

    def __enter__(self) -> None:
        for one, thread in zip(self._workers, self._threads, strict=True):
            one._service.begin()
            thread.start()

    def __exit__(self, *_: object) -> None:
        for one in self._workers:
            one.stop()
        for thread in self._threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive()
        for connection in {one._service.connection for one in self._workers}:
            connection.close()
