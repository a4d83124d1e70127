"""Workers under many messages, hostile ones, and answers that nobody takes."""

import gc
import json
import os
import queue
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from headway.ports.bus import (
    Blocked,
)
from headway.runtime.worker_connection import WorkerConnection
from headway.runtime.worker_targets import load_worker
from headway.testing import buses
from headway.wire import names
from tests.faults.granting import DEADLINE_S, BusMaker, Granting, Steps, running
from tests.services.rabbitmq import RabbitMQ
from tests.unit.megafrobber import FILE, PATH
from tests.unit.serving import Desk, Log, logger_to, step, typed, worker

pytestmark = pytest.mark.services


# Answers and dead letters that nobody takes


def test_an_answer_whose_queue_is_gone_is_kept_until_it_is_back_or_too_late(
    at: Desk, make_bus: BusMaker, caplog: pytest.LogCaptureFixture
) -> None:
    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        self.send(props.reply_to, props.correlation_id, {"status": "started"}, "")
        self.send(props.reply_to, props.correlation_id, {"status": "completed"}, "")

    connection = WorkerConnection(make_bus())
    deadline = {names.DEADLINE: time.time_ns() // 1000 + 2_000_000}
    with running(worker(process)(connection)):
        at.send(step(), reply_to="late", headers=deadline)
        at.send(step(), reply_to="back")
        at.send(step(), correlation_id="run-2")  # nobody else waits for them
        assert [at.next().message.correlation_id for _ in range(2)] == ["run-2"] * 2
        assert connection.answers.kept == 4
        at.listen("back")
        said = [json.loads(at.next("back").message.body)["status"] for _ in range(2)]
        assert said == ["started", "completed"]
        buses_wait = time.monotonic() + DEADLINE_S
        while connection.answers.lost < 2:
            assert time.monotonic() < buses_wait
    assert connection.answers.lost == 2
    lost = [record.getMessage() for record in caplog.records if "is lost" in record.getMessage()]
    assert len(lost) == 2
    assert all("there is no queue 'late'" in line for line in lost)


def test_a_rejection_that_cannot_be_kept_for_now_is_delivered_again_until_it_can(
    rabbitmq: RabbitMQ, at: Desk, make_bus: BusMaker, tmp_path: Path
) -> None:
    given: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        given.put(deliver.redelivered)
        self.reject(deliver)

    connection = WorkerConnection(make_bus(), confirm_s=0.2)
    news = buses.Heard(connection.bus)
    # Without output, for whose confirmation settling would wait.
    (tmp_path / "quiet.json").write_text('{"OUTPUT_LEVEL": "CRITICAL"}')
    refusing = worker(process, answers_later=True)(connection, tmp_path / "quiet.json")
    at.send(step())
    rabbitmq.block()
    try:
        with running(refusing):
            assert given.get(timeout=DEADLINE_S) is False
            news.wait_for(Blocked)
            assert given.get(timeout=DEADLINE_S) is True
            rabbitmq.unblock()
            letter = at.next("dead-watch").message
            assert letter.headers[names.REASON] == "rejected by process"
            # Settled in the end: the next step is the next delivery.
            at.send(step(), correlation_id="run-2")
            while given.get(timeout=DEADLINE_S):
                pass
    finally:
        rabbitmq.unblock()


# Claims


def test_a_claim_is_asked_again_repeated_to_its_holder_and_refused_to_another(
    granting: Granting, make_bus: BusMaker, tmp_path: Path
) -> None:
    steps = Steps()
    connections = [WorkerConnection(make_bus(), ask_again_s=0.2) for _ in range(2)]
    (tmp_path / "other.json").write_text('{"queue": "other"}')
    first = steps.worker_class(connections[0])
    second = steps.worker_class(connections[1], tmp_path / "other.json")
    granting.deaf_to = {"attempt"}
    with running(first):
        granting.send("attempt")
        granting.wait_until(lambda g: g.asked["attempt"] == 3)
        granting.deaf_to = set()
        steps.wait_inside()
        asked = granting.asked["attempt"]
        # Its holder, once more, and a copy of the step at another's.
        connections[0].claims.connected()
        granting.wait_until(lambda g: g.asked["attempt"] == asked + 1)
        assert granting.refused["attempt"] == 0
        with running(second):
            granting.send_copy("attempt", "worker.other")
            granting.wait_until(lambda g: g.refused["attempt"] == 1)
        steps.go_on.set()
        granting.wait_until(Granting.all_ended)
    assert granting.answers == {"attempt": ["started", "completed"]}
    assert steps.begun == {"attempt": 1}


def test_a_step_whose_sender_has_gone_is_kept_with_the_reason_and_the_worker_goes_on(
    at: Desk, make_bus: BusMaker
) -> None:
    steps = Steps()
    connection = WorkerConnection(make_bus(), no_granter_s=0.1)
    with running(steps.worker_class(connection)):
        at.send(step(), headers={names.CLAIMS: "nowhere"})
        reason = at.next("dead-watch").message.headers[names.REASON]
        assert reason == "nobody grants attempt attempt-1: there is no queue 'nowhere'"
        steps.go_on.set()
        at.send(step(), message_id="attempt-2")
        assert at.next().message.message_id == "attempt-2"
    assert steps.begun == {"attempt-2": 1}


# Many


def test_a_thousand_calls_of_the_channel_under_a_heartbeat_of_a_second(
    at: Desk, make_bus: BusMaker
) -> None:
    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        answer = json.dumps({"status": "completed"}).encode()
        channel.basic_publish("", props.reply_to, answer, props)
        channel.basic_ack(deliver.delivery_tag)

    connection = WorkerConnection(make_bus(heartbeat_s=1))
    with running(worker(process)(connection)):
        for number in range(1000):
            at.send(step(), correlation_id=f"run-{number}")
        answered = [at.next().message.correlation_id for _ in range(1000)]
        at.send(step(), correlation_id="last")
        assert at.next().message.correlation_id == "last"
    assert answered == [f"run-{number}" for number in range(1000)]
    counts = connection.bus.counts()
    assert (counts.settled, counts.ignored, counts.connections) == (1001, 0, 1)


def test_eight_objects_over_500_interleaved_deployments_mix_nothing_up(
    at: Desk, make_bus: BusMaker, tmp_path: Path
) -> None:
    file = typed(tmp_path, PATH, FILE)
    megafrobber: Any = load_worker(f"{file}:MegafrobberWorker")
    met = threading.Barrier(8, timeout=DEADLINE_S)

    class MegafrobberWorker(megafrobber):  # type: ignore[misc]
        def process(self, channel: Any, deliver: Any, props: Any, body: Any, output: Any) -> Any:
            if body["parameters"]["meet"]:
                met.wait()  # all eight are inside at once
            return super().process(channel, deliver, props, body, output)

        def _frob(self) -> int:
            return int(self.corr_id.removeprefix("run-"))

    connection = WorkerConnection(make_bus())
    queues = [f"reply-{number}" for number in range(5)]
    for name in queues:
        at.listen(name)
    with running(*(MegafrobberWorker(connection, logger=logger_to(Log())) for _ in range(8))):
        for number in range(500):
            body = step()
            body["parameters"]["meet"] = number < 8
            at.send(
                body,
                "worker.megafrobber",
                correlation_id=f"run-{number}",
                reply_to=queues[number % 5],
                message_id=f"a-{number}",
            )
        heard: dict[int, list[tuple[str, str]]] = {}
        for name in queues * 200:
            message = at.next(name).message
            number = int(str(message.correlation_id).removeprefix("run-"))
            assert queues[number % 5] == name
            assert message.message_id == f"a-{number}"
            answer = json.loads(message.body)
            heard.setdefault(number, []).append((answer["status"], answer.get("message", "")))
    assert sorted(heard) == list(range(500))
    for number, ((started, _), (status, said)) in heard.items():
        assert (started, status) == ("started", "failed" if number % 2 else "completed")
        assert said.endswith(f": {number}")


def test_starting_and_stopping_from_ten_threads_leaves_nothing_behind_and_loses_no_step(
    rabbitmq: RabbitMQ, at: Desk, make_bus: BusMaker
) -> None:
    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        self.send(props.reply_to, props.correlation_id, {"status": "completed"}, "")

    frob = worker(process)
    frob(WorkerConnection(bus := make_bus()))._service.connection.close()
    assert not bus.is_open
    gc.collect()
    threads_before, files_before = set(threading.enumerate()), open_files()
    failed: list[BaseException] = []

    def come_and_go(number: int) -> None:
        try:
            for at_ in range(4):
                one = frob(rabbitmq.url, logger=logger_to(Log()))
                serving = [threading.Thread(target=one.run_forever) for _ in range(2)]
                for thread in serving[: 1 + at_ % 2]:
                    thread.start()
                if at_ % 3:
                    at.send(step(), correlation_id=f"run-{number}-{at_}")
                stopping = [threading.Thread(target=one.stop) for _ in range(3)]
                for thread in stopping:
                    thread.start()
                for thread in [*stopping, *serving[: 1 + at_ % 2]]:
                    thread.join(DEADLINE_S)
                    assert not thread.is_alive()
        except BaseException as error:
            failed.append(error)

    coming = [threading.Thread(target=come_and_go, args=(number,)) for number in range(10)]
    for thread in coming:
        thread.start()
    for thread in coming:
        thread.join(2 * DEADLINE_S)
    assert failed == []
    gc.collect()
    assert set(threading.enumerate()) <= threads_before
    assert open_files() <= files_before
    # Who comes last does what the others left.
    sent = {f"run-{number}-{at_}" for number in range(10) for at_ in (1, 2)}
    answered: set[str] = set()
    with running(frob(WorkerConnection(make_bus()))):
        while answered != sent:
            answered.add(str(at.next().message.correlation_id))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
