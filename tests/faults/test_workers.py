"""Workers when something goes wrong: a step granted runs once, ends once, and its reply arrives."""

import json
import logging
import queue
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from headway.adapters.dispatching import Answered, Claimed, Lost
from headway.errors import Rejected
from headway.ports.bus import (
    Binding,
    Closed,
    ConsumerBack,
    ConsumerLost,
    Opened,
    Queue,
    QueueKind,
)
from headway.runtime.worker_connection import WorkerConnection
from headway.testing import buses
from headway.wire import names
from tests.faults.granting import DEADLINE_S, FROB, BusMaker, Granting, Sent, Steps, running
from tests.services import frobbing
from tests.services.forwarder import Forwarder
from tests.services.frobbing import Holding
from tests.services.rabbitmq import RabbitMQ
from tests.services.worker_process import worker_process, write_mq_config
from tests.unit.serving import Desk, Log, logger_to, step, worker

pytestmark = pytest.mark.services


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
            granting.deaf_to = {attempt}
            granting.send(attempt)
            granting.wait_until(lambda g, attempt=attempt: g.asked[attempt] == 1)  # type: ignore[misc]
            network.cut()
            news.wait_for(Opened)
            granting.deaf_to = set()
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


# The broker


def test_a_broker_killed_and_restarted_loses_no_step_and_has_none_run_twice(
    rabbitmq: RabbitMQ,
    at: Desk,
    granting: Granting,
    make_bus: BusMaker,
    tmp_path: Path,
    holding: Holding,
) -> None:
    """On a classic and on a quorum queue, killed right after acknowledgements.

    One worker stays; one is killed with the broker, and another of its kind is there afterwards.
    """
    began_at = time.monotonic()
    classic = Queue(FROB, QueueKind.CLASSIC, (Binding(names.EXCHANGE, FROB),))
    doomed_queue = Queue(
        "worker.doomed", QueueKind.CLASSIC, (Binding(names.EXCHANGE, "worker.doomed"),)
    )
    at.bus.declare(classic, doomed_queue)
    steps, config = Steps(), {}
    for queue_name in ("frob", "quorum", "doomed"):
        config[queue_name] = tmp_path / f"{queue_name}.json"
        config[queue_name].write_text(json.dumps({"queue": queue_name}))
    frob, quorum = (
        steps.worker_class(WorkerConnection(make_bus(), no_granter_s=0.2), config[name])
        for name in ("frob", "quorum")
    )
    doomed_steps = Steps()
    news = [buses.Heard(one._service.connection.bus) for one in (frob, quorum)]
    words = (frobbing.__file__, write_mq_config(tmp_path, rabbitmq.url), "-w", config["doomed"])
    with running(frob, quorum), worker_process(*words) as doomed:
        doomed.wait_for("serving")
        step_bus = make_bus()
        step_bus.open(DEADLINE_S)
        # RabbitMQ does not survive the kill with a quorum queue younger than a second or two.
        number = 0
        while time.monotonic() < began_at + 4 or number < 100:
            for key in (FROB, "worker.quorum"):
                granting.send(f"quick-{number}", key, waits=False)
                number += 1
            granting.wait_until(Granting.all_ended)
        granting.send("doomed", "worker.doomed", **holding.parameters())
        held = holding.held()
        for _ in range(number):
            steps.wait_inside()
        granting.send("long-quorum", "worker.quorum")
        sent = Sent(step_bus, {})  # on the classic queue
        for _ in range(2):
            steps.wait_inside()
        rabbitmq.kill()
        doomed.process.send_signal(signal.SIGKILL)
        for one in news:
            one.wait_for(Closed)
        rabbitmq.start()
        for one in news:
            one.wait_for(Opened)
        steps.go_on.set()
        granting.wait_until(lambda g: "completed" in g.answers.get("long-quorum", ()))
        assert sent.end() == ["started", "completed"]
        # Acknowledgements that the broker forgot come again, and are asked for again. It forgets
        # those of the last moments; so that this one is among them, it is sent again by us, too.
        granting.send_copy("doomed", "worker.doomed", **holding.parameters())
        other = doomed_steps.worker_class(WorkerConnection(make_bus()), config["doomed"])
        with running(other):
            granting.wait_until(lambda g: g.refused["doomed"] > 0)
            for key in (FROB, "worker.quorum", "worker.doomed"):
                granting.send(f"after on {key}", key, waits=False)
            granting.wait_until(lambda g: g.all_ended(but="doomed"))
        held.close()
    begun = steps.begun + doomed_steps.begun
    assert set(begun.values()) == {1}
    assert len(begun) == number + 5
    assert steps.ended + doomed_steps.ended == begun
    assert holding.noted() == ["begin doomed"]
    ended = {one: said for one, said in granting.answers.items() if one != "doomed"}
    assert len(ended) == number + 4
    assert set(map(tuple, ended.values())) <= {("started", "completed"), ("completed",)}
    assert sent.counts(Lost) == 0
    assert granting.asked["doomed"] > 1
    step_bus.close()


# Long steps


@pytest.mark.parametrize("claimed", [True, False])
def test_nothing_waits_behind_a_long_step_that_somebody_else_could_do(
    at: Desk, granting: Granting, make_bus: BusMaker, claimed: bool
) -> None:
    steps = Steps()
    busy, idle = (steps.worker_class(WorkerConnection(make_bus())) for _ in range(2))
    sent = [f"short-{number}" for number in range(8)]

    def send(attempt: str, **parameters: Any) -> None:
        if claimed:
            granting.send(attempt, **parameters)
        else:
            body = step()
            body["parameters"] |= parameters
            at.send(body, correlation_id=attempt, message_id=attempt)

    with running(busy):
        send("long")
        steps.wait_inside()
        with running(idle):
            for attempt in sent:
                send(attempt, waits=False)
            assert {steps.wait_inside() for _ in sent} == set(sent)  # while the long one lasts
            assert steps.ended["long"] == 0
            steps.go_on.set()
        # And it takes more when it has ended, as before.
        send("last", waits=False)
        assert steps.wait_inside() == "last"
    assert set(steps.begun.values()) == {1}
    assert steps.ended == steps.begun


class Saying(Log):
    """A log that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        self._said.put(record.getMessage())

    def wait_for(self, words: str) -> None:
        while words not in self._said.get(timeout=DEADLINE_S):
            pass


def test_a_worker_that_may_not_consume_when_a_long_step_has_ended_tries_again_until_it_may(
    rabbitmq: RabbitMQ, granting: Granting
) -> None:
    def url(read: str) -> str:
        return rabbitmq.make_user("frob", "^worker.frob$", ".*", read)

    steps, log = Steps(), Saying()
    frob = steps.worker_class(url(".*"), logger=logger_to(log))
    with running(frob):
        granting.send("long")
        steps.wait_inside()
        for _ in range(2):  # as the watch does once a second
            frob._service._make_way()
        url("^$")
        steps.go_on.set()
        log.wait_for("no longer served: user")
        url(".*")
        log.wait_for("served again")
        granting.send("next")
        granting.wait_until(Granting.all_ended)
    assert steps.ended == {"long": 1, "next": 1}


def test_a_worker_whose_queue_was_deleted_during_a_long_step_makes_it_again(
    at: Desk, granting: Granting, make_bus: BusMaker
) -> None:
    steps = Steps()
    frob = steps.worker_class(WorkerConnection(make_bus()))
    with running(frob):
        granting.send("long")
        steps.wait_inside()
        for _ in range(2):  # as the watch does once a second
            frob._service._make_way()
        at.bus.delete(frob.serves)
        steps.go_on.set()
        give_up_at = time.monotonic() + DEADLINE_S
        while True:
            try:
                granting.send("next")
                break
            except Rejected:  # not bound yet; the broker answers each time
                assert time.monotonic() < give_up_at
        granting.wait_until(Granting.all_ended)
    assert steps.ended == {"long": 1, "next": 1}


def test_a_step_may_take_six_heartbeats_and_one_under_a_claim_longer_than_the_broker_waits(
    rabbitmq: RabbitMQ, at: Desk, granting: Granting, make_bus: BusMaker
) -> None:
    steps = Steps()
    connection = WorkerConnection(make_bus(heartbeat_s=1))
    frob = steps.worker_class(connection)
    rabbitmq.be_patient(1000)
    try:
        with running(frob):
            granting.send("long")
            steps.wait_inside()
            assert not steps.go_on.wait(6.0)  # six heartbeats; nobody sets it
            steps.go_on.set()
            granting.wait_until(Granting.all_ended)
            granting.send("next")
            granting.wait_until(Granting.all_ended)
    finally:
        rabbitmq.be_patient()
    assert granting.answers == {one: ["started", "completed"] for one in ("long", "next")}
    assert steps.begun == {"long": 1, "next": 1}
    assert granting.asked == {"long": 1, "next": 1}
    assert connection.bus.counts().connections == 1
    assert connection.bus.counts().void == 0


def test_without_a_claim_a_step_acknowledged_too_late_is_done_again_and_one_in_time_is_not(
    rabbitmq: RabbitMQ, at: Desk, make_bus: BusMaker
) -> None:
    begun: Counter[str] = Counter()
    go_on = threading.Event()

    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        begun[props.correlation_id] += 1
        if body["parameters"]["early"]:
            self.ack(deliver)
        self.send(props.reply_to, props.correlation_id, {"status": "started"}, "")
        assert go_on.wait(DEADLINE_S)
        self.send(props.reply_to, props.correlation_id, {"status": "completed"}, "")

    connection = WorkerConnection(make_bus())
    news = buses.Heard(connection.bus)
    rabbitmq.be_patient(1000)
    try:
        with running(worker(process)(connection)):
            for early in (False, True):
                go_on.clear()
                body = step()
                body["parameters"]["early"] = early
                at.send(body, correlation_id=f"early {early}", message_id=None)
                assert at.reply() == {"status": "started"}
                if early:
                    assert not go_on.wait(2.5)  # the broker looks twice a second; nobody sets it
                else:
                    assert "timed out" in news.wait_for(ConsumerLost).reason
                    news.wait_for(ConsumerBack)
                go_on.set()
                assert at.reply() == {"status": "completed"}
                if not early:
                    assert [at.reply()["status"] for _ in range(2)] == ["started", "completed"]
    finally:
        rabbitmq.be_patient()
    assert begun == {"early False": 2, "early True": 1}
