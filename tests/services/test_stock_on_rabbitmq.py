"""Stock workers on RabbitMQ, as ``headway step`` asks them: claimed, worked on, answered."""

import json
import queue
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest

from headway.adapters.bus_address import RabbitAddress, parse_bus_url
from headway.adapters.dispatching import Answered
from headway.adapters.rabbitmq.bus import RabbitBus
from headway.errors import Rejected
from headway.ports.bus import Bus, Delivery, Message, Settlement
from headway.runtime.sending import SentStep, StepSender
from headway.runtime.worker import Worker
from headway.runtime.worker_trial import served
from headway.wire import names
from headway.wire.messages import StepMessage
from headway.workers.catalogue import stock_worker
from tests.services.rabbitmq import RabbitMQ

pytestmark = pytest.mark.services

DEADLINE_S = 30.0


def bus_at(url: str) -> RabbitBus:
    address = parse_bus_url(url)
    assert isinstance(address, RabbitAddress)
    return RabbitBus(address)


@pytest.fixture
def bus(rabbitmq: RabbitMQ) -> Iterator[Bus]:
    made = bus_at(rabbitmq.url)
    made.open(DEADLINE_S)
    yield made
    made.close()


@contextmanager
def serving(url: str, directory: Path, **configs: Any) -> Iterator[list[Worker]]:
    """Stock workers by name, each with its configuration."""
    with ExitStack() as stack:
        workers = []
        for name, config in configs.items():
            worker_class = stock_worker(name)
            assert worker_class is not None
            file = directory / f"{name}.json"
            file.write_text(json.dumps(config))
            workers.append(stack.enter_context(served(worker_class, bus_at(url), str(file))))
        yield workers


def asked(bus: Bus, step: str, **parameters: Any) -> tuple[SentStep, list[Any]]:
    """Send a step; its answers, up to the final one."""
    command, _, subcommand = step.partition(":")
    own = {"command": command, "subcommand": subcommand, "hosts": ["localhost"]}
    sender = StepSender(bus)
    sender.open()
    sent = sender.send(command, StepMessage(parameters={**parameters, **own}))
    sent.wait_until_taken()
    answers = [one.response.to_plain() for one in sent.heard() if isinstance(one, Answered)]
    sender.close()
    return sent, answers


STARTED = {"status": "started"}


def test_noop_and_sleep_do_their_steps(rabbitmq: RabbitMQ, bus: Bus, tmp_path: Path) -> None:
    with serving(rabbitmq.url, tmp_path, noop={}, sleep={}):
        assert asked(bus, "noop:Ok")[1] == [STARTED, {"status": "completed"}]
        failed = {"status": "failed", "data": "noop:Fail always fails"}
        assert asked(bus, "noop:Fail")[1] == [STARTED, failed]
        slept = {"status": "completed", "data": 0.01}
        assert asked(bus, "sleep:Seconds", seconds="0.01")[1] == [STARTED, slept]
        _, (refused,) = asked(bus, "sleep:Seconds", seconds=-1)
        assert refused["status"] == "failed"


def test_a_stock_worker_conforms_to_the_contract_of_the_bus(rabbitmq: RabbitMQ) -> None:
    headway = Path(sys.executable).parent / "headway"
    step = ["sleep:Seconds", "--param", "seconds=0", "--bus", rabbitmq.url]
    done = subprocess.run(
        [headway, "conform", *step, "--", headway, "worker", "sleep", "--mq", "{mq}"],
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("sleep:Seconds conforms")


def test_what_a_command_says_arrives_in_the_file_of_the_run(
    rabbitmq: RabbitMQ, bus: Bus, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    program = "for n in range(500): print('blåbær', n)\nprint('password=x')"
    commands = {"Say": {"argv": [sys.executable, "-ISXutf8", "-c", program]}}
    output = {"output_dir": str(kept), "redactions": ["password="]}
    with serving(rabbitmq.url, tmp_path, shell={"commands": commands}, output=output):
        sent, answers = asked(bus, "shell:Say")
        assert answers[1]["data"]["code"] == 0
        wait_until_kept(bus)
    lines = (kept / f"{sent.run}.log").read_text("utf-8").splitlines()
    own = [line for line in lines if line and not line.startswith(("Starting", "Finished"))]
    assert own == [f"blåbær {n}" for n in range(500)] + ["[redacted]"]


def wait_until_kept(bus: Bus) -> None:
    """All output that was sent before has been kept: what is none is put aside in its turn."""
    dead: queue.SimpleQueue[Delivery] = queue.SimpleQueue()

    def take(delivery: Delivery) -> None:
        bus.settle(delivery, Settlement.ACK)
        dead.put(delivery)

    consumer = bus.consume(names.DEAD, take, inline=True)
    message = Message(b'{"message": "the end"}', names.JSON, correlation_id="no run")
    bus.publish(message, names.OUTPUT, names.EXCHANGE).wait(DEADLINE_S)
    assert dead.get(timeout=DEADLINE_S).message.body == message.body
    consumer.cancel(DEADLINE_S)


def test_a_full_queue_of_output_lets_the_oldest_go_and_holds_nobody_up(
    rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    with serving(rabbitmq.url, tmp_path, output={"output_dir": str(kept)}):
        pass  # it has declared its queue, and left
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for _ in range(80):  # of a mebibyte each, where there is room for 64
            channel.basic_publish("re", "output", b"x" * (1 << 20), mandatory=True)
        depth = channel.queue_declare("worker.output", passive=True).method.message_count
        channel.queue_purge("worker.output")
    assert 60 <= depth <= 64


def test_steps_are_never_led_to_the_output_worker(
    rabbitmq: RabbitMQ, bus: Bus, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    with (
        serving(rabbitmq.url, tmp_path, output={"output_dir": str(kept)}),
        pytest.raises(Rejected, match=r"worker\.output"),
    ):
        asked(bus, "output:Anything")


def test_the_output_worker_is_content_with_few_rights(
    rabbitmq: RabbitMQ, bus: Bus, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    config = {"output_dir": str(kept)}
    with serving(rabbitmq.url, tmp_path, output=config):
        pass  # as the operator does once
    least = rabbitmq.make_user("output", "^$", r"^(amq\.default|re)$", r"^worker\.output$")
    run = "0" * 24
    with serving(least, tmp_path, output=config):
        message = Message(b'{"message": "kept"}', names.JSON, correlation_id=run)
        bus.publish(message, names.OUTPUT, names.EXCHANGE).wait(DEADLINE_S)
        wait_until_kept(bus)
    assert (kept / f"{run}.log").read_text() == "kept\n"
