"""Workers as their users run them: a file, a command line, a RabbitMQ."""

import json
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headway.adapters.bus_address import RabbitAddress, parse_bus_url
from headway.adapters.rabbitmq.bus import RabbitBus
from headway.doors.cli.entry import headway_command
from headway.ports.bus import Binding, Bus, Queue, QueueKind
from headway.testing.buses import Inbox
from headway.wire import names
from tests.services import frobbing
from tests.services.frobbing import Holding
from tests.services.rabbitmq import RabbitMQ
from tests.services.worker_process import (
    DEADLINE_S,
    WorkerProcess,
    worker_process,
    write_mq_config,
)
from tests.unit.megafrobber import FILE, PATH
from tests.unit.serving import Desk, desk, step, typed

pytestmark = pytest.mark.services

KEY = "worker.megafrobber"


def bus_maker(rabbitmq: RabbitMQ) -> Callable[[], Bus]:
    def make() -> Bus:
        address = parse_bus_url(rabbitmq.url)
        assert isinstance(address, RabbitAddress)
        return RabbitBus(address)

    return make


@pytest.fixture
def at(rabbitmq: RabbitMQ) -> Iterator[Desk]:
    with desk(bus_maker(rabbitmq)) as made:
        yield made


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[Holding]:
    made = Holding(tmp_path)
    yield made
    made.close()


@pytest.fixture
def start() -> Iterator[Callable[..., WorkerProcess]]:
    with ExitStack() as stack:

        def make(*words: object, **kwargs: Any) -> WorkerProcess:
            return stack.enter_context(worker_process(*words, **kwargs))

        yield make


def sent_by_headway(*words: str) -> tuple[int, list[str]]:
    done = CliRunner().invoke(headway_command, ["step", *words], standalone_mode=False)
    assert done.exception is None, done.output
    return done.return_value, done.stdout.splitlines()


# The tutorial


def test_the_tutorials_worker_runs_unchanged_on_rabbitmq(
    rabbitmq: RabbitMQ, at: Desk, start: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    file = typed(tmp_path, PATH, FILE)
    top = tmp_path / "re-worker-megafrobber"
    write_mq_config(top, rabbitmq.url)
    worker = start(file.relative_to(top), "mqconf.json", cwd=top)
    worker.wait_for(f"serving {KEY} at amqp://")

    # Steps of headway step, which grants their claims.
    ended: set[int] = set()
    while ended != {0, 1}:
        code, lines = sent_by_headway("megafrobber:frob", "--bus", rabbitmq.url)
        ended.add(code)
        assert lines[0].startswith("megafrobber:frob on localhost, sent as ")
        assert "started" in lines
        word = "failed" if code else "completed"
        assert [line for line in lines if line.startswith(f"notice of {word} to ")]
    code, lines = sent_by_headway("megafrobber:forb", "--bus", rabbitmq.url)
    assert (code, lines[-1]) == (1, "failed: invalid subcommand requested: forb")
    assert at.next("dead-watch").message.headers[names.REASON] == "rejected by process"

    # And by hand, without a claim: ack and reject go to the broker.
    at.listen("notices", "notify.irc")
    at.send(step(notify={"failed": {"irc": ["#a"]}, "completed": {"irc": ["#a"]}}), KEY)
    assert at.reply() == {"status": "started"}
    answer = at.reply()
    notice = json.loads(at.next("notices").message.body)
    assert (answer["status"], answer["message"]) == (notice["phase"], notice["message"])
    at.send(step("forb"), KEY, correlation_id="run-2")
    assert at.reply() == {"status": "failed", "message": "invalid subcommand requested: forb"}
    assert at.next("dead-watch").message.correlation_id == "run-2"
    said = worker.wait_for("run-2 - Rejecting message, invalid subcommand requested: forb")
    assert " - MegafrobberWorker - ERROR - " in said

    assert worker.end(signal.SIGTERM) == 0
    # It has left nothing unsettled: that would come before what is sent now.
    left = Inbox()
    at.send(step(), KEY, correlation_id="last")
    at.bus.consume(KEY, left)
    assert left.get().message.correlation_id == "last"


def test_without_a_claim_ack_goes_to_the_broker_when_it_is_called(
    rabbitmq: RabbitMQ,
    at: Desk,
    start: Callable[..., WorkerProcess],
    tmp_path: Path,
    holding: Holding,
) -> None:
    # Of a classic queue the broker knows at any moment how many messages it has.
    bindings = (Binding(names.EXCHANGE, "worker.frob"),)
    at.bus.declare(Queue("worker.frob", QueueKind.CLASSIC, bindings))
    worker = start(frobbing.__file__, write_mq_config(tmp_path, rabbitmq.url))
    worker.wait_for("serving worker.frob")
    for ack in (True, False):
        at.send(holding.step(ack=ack))
        assert at.reply() == {"status": "started"}
        if ack:
            wait_until(lambda: messages(rabbitmq, "worker.frob") == 0)
        else:
            assert messages(rabbitmq, "worker.frob") == 1
        holding.held().close()
        assert at.reply() == {"status": "completed"}


def messages(rabbitmq: RabbitMQ, queue: str) -> int:
    """In a classic queue: those that wait, and those that nobody has settled."""
    return int(
        rabbitmq.node.tell(
            f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{rabbitmq.vhost}">>, queue,'
            f' <<"{queue}">>)), [{{_, N}}] = rabbit_amqqueue:info(Q, [messages]), N.'
        )
    )


def wait_until(true: Callable[[], bool]) -> None:
    """Asks the broker again and again: it tells nobody."""
    give_up_at = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < give_up_at


def test_headway_step_says_when_the_worker_has_gone_and_that_a_person_must_look(
    rabbitmq: RabbitMQ, start: Callable[..., WorkerProcess], tmp_path: Path, holding: Holding
) -> None:
    worker = start(frobbing.__file__, write_mq_config(tmp_path, rabbitmq.url))
    worker.wait_for("serving")

    def kill_it_in_its_step() -> None:
        with holding.held():
            worker.end(signal.SIGKILL)

    killing = threading.Thread(target=kill_it_in_its_step)
    killing.start()
    words = [f"{name}={json.dumps(value)}" for name, value in holding.parameters().items()]
    options = [word for pair in words for word in ("--param-json", pair)]
    code, lines = sent_by_headway("frob:frob", "--bus", rabbitmq.url, *options)
    killing.join(DEADLINE_S)
    assert code == 4
    assert lines[-2].startswith("in doubt: worker ")
    assert f".{worker.process.pid}." in lines[-2]


# The command line


def test_a_step_that_is_terminated_while_it_waits_leaves_no_queue_of_its_own(
    rabbitmq: RabbitMQ, start: Callable[..., WorkerProcess], at: Desk, tmp_path: Path
) -> None:
    at.bus.declare(Queue(KEY, bindings=(Binding(names.EXCHANGE, KEY),)))  # nobody consumes it
    mq = write_mq_config(tmp_path, rabbitmq.url)
    sender = start(
        Path(sys.executable).with_name("headway"), "step", "megafrobber:frob", "--mq", mq
    )
    sender.wait_for("sent as")
    waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    at.bus.consume(KEY, lambda delivery: waiting.put(delivery.message.reply_to))
    replies = waiting.get(timeout=DEADLINE_S)
    assert replies is not None
    assert at.bus.exists(replies)
    assert sender.end(signal.SIGTERM) == 143
    assert not at.bus.exists(replies)
    assert sender.err == ""


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"password": "hunter2"}, "does not accept this user and password: check both"),
        ({"vhost": "nowhere"}, "there is no virtual host 'nowhere'"),
        ({"port": "five"}, "the bus's port is a number up to 65535"),
    ],
)
def test_what_the_broker_refuses_is_one_line_without_the_password(
    rabbitmq: RabbitMQ,
    start: Callable[..., WorkerProcess],
    tmp_path: Path,
    changed: dict[str, object],
    says: str,
) -> None:
    worker = start(frobbing.__file__, write_mq_config(tmp_path, rabbitmq.url, **changed))
    assert worker.wait() == 1
    assert len(worker.err.splitlines()) == 1, worker.err
    line = worker.err
    assert line.startswith("FrobWorker: ")
    assert says in line
    assert "hunter2" not in line
    assert rabbitmq.password not in line
    assert worker.out == ""


def test_a_broker_that_is_not_there_is_said_in_one_line_and_waited_for(
    rabbitmq: RabbitMQ, start: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    worker = start(frobbing.__file__, write_mq_config(tmp_path, rabbitmq.url, port=port))
    said = worker.wait_for("cannot be reached")
    assert f"@127.0.0.1:{port}/" in said
    assert said.endswith("s")
    assert "trying again in" in said
    assert rabbitmq.password not in worker.err
    assert worker.err.splitlines() == [said]
    assert worker.end(signal.SIGTERM) == -signal.SIGTERM


def test_the_configuration_and_the_log_go_where_the_command_line_says(
    rabbitmq: RabbitMQ,
    at: Desk,
    start: Callable[..., WorkerProcess],
    tmp_path: Path,
    holding: Holding,
) -> None:
    (tmp_path / "worker.json").write_text('{"queue": "secretfrob"}')
    words = (frobbing.__file__, write_mq_config(tmp_path, rabbitmq.url))
    worker = start(*words, "-w", tmp_path / "worker.json", "--log-stdout", "--concurrency", "2")
    said = worker.wait_for("serving worker.secretfrob at")
    assert " - FrobWorker - INFO - " in said
    for run in ("run-1", "run-2"):
        at.send(holding.step(), "worker.secretfrob", correlation_id=run)
    both = [holding.held() for _ in range(2)]  # are inside at once
    for held in both:
        held.close()
    assert sorted(at.reply()["status"] for _ in range(4)) == ["completed"] * 2 + ["started"] * 2
    assert worker.end(signal.SIGINT) == 0
    assert worker.err == ""
    assert " - headway.bus - INFO - connected to amqp://" in worker.out


@pytest.mark.parametrize("words", [["--concurrency", "0"], ["--stop-limit", "soon"], []])
def test_a_mistyped_command_line_is_said(
    start: Callable[..., WorkerProcess], tmp_path: Path, words: list[str]
) -> None:
    place = [tmp_path / "mq.json"] if words else []
    worker = start(frobbing.__file__, *place, *words)
    assert worker.wait() == 2
    assert "usage: " in worker.err


# Told to stop


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_a_worker_finishes_the_step_in_hand_and_begins_no_other(
    rabbitmq: RabbitMQ,
    at: Desk,
    start: Callable[..., WorkerProcess],
    tmp_path: Path,
    holding: Holding,
    signum: signal.Signals,
) -> None:
    worker = start(frobbing.__file__, write_mq_config(tmp_path, rabbitmq.url))
    worker.wait_for("serving")
    at.send(holding.step(ack=False))
    assert at.reply() == {"status": "started"}
    at.send(holding.step(ack=False), correlation_id="run-2")
    worker.process.send_signal(signum)
    worker.wait_for("stopping; a step in hand has 60 s, a second signal ends it")
    holding.held().close()
    assert at.reply() == {"status": "completed"}
    assert worker.wait() == 0
    assert holding.noted() == ["begin run-1", "end run-1"]
    # The other was left to whoever comes next, and the first is done with.
    again = start(frobbing.__file__, write_mq_config(tmp_path, rabbitmq.url))
    assert at.next().message.correlation_id == "run-2"
    holding.held().close()
    assert at.next().message.correlation_id == "run-2"
    assert again.end(signal.SIGTERM) == 0
    assert holding.noted()[2:] == ["begin run-2", "end run-2"]


@pytest.mark.parametrize("by_option", [True, False])
def test_a_step_that_does_not_end_is_left_when_the_limit_is_over_and_given_to_another(
    rabbitmq: RabbitMQ,
    at: Desk,
    start: Callable[..., WorkerProcess],
    tmp_path: Path,
    holding: Holding,
    by_option: bool,
) -> None:
    (tmp_path / "worker.json").write_text(json.dumps({"STOP_LIMIT_S": 60 if by_option else 0.2}))
    words = ["--stop-limit", "0.2"] if by_option else []
    mq = write_mq_config(tmp_path, rabbitmq.url)
    worker = start(frobbing.__file__, mq, "-w", tmp_path / "worker.json", *words)
    worker.wait_for("serving")
    at.send(holding.step(ack=False))
    assert at.reply() == {"status": "started"}
    first = holding.held()
    assert worker.end(signal.SIGTERM) == 0
    first.close()
    assert "WARNING - the step in hand did not end within 0.2 s" in worker.err
    start(frobbing.__file__, mq)
    assert at.reply() == {"status": "started"}
    holding.held().close()
    assert at.reply() == {"status": "completed"}
    assert holding.noted() == ["begin run-1", "begin run-1", "end run-1"]


@pytest.mark.parametrize(
    ("second", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)]
)
def test_a_second_signal_leaves_at_once_and_what_is_not_acknowledged_is_not_lost(
    rabbitmq: RabbitMQ,
    at: Desk,
    start: Callable[..., WorkerProcess],
    tmp_path: Path,
    holding: Holding,
    second: signal.Signals,
    code: int,
) -> None:
    mq = write_mq_config(tmp_path, rabbitmq.url)
    worker = start(frobbing.__file__, mq, "--concurrency", "2")
    worker.wait_for("serving")
    at.send(holding.step(ack=False))
    assert at.reply() == {"status": "started"}
    first = holding.held()
    worker.process.send_signal(signal.SIGTERM)
    worker.wait_for("stopping")
    assert worker.end(second) == code
    first.close()
    start(frobbing.__file__, mq)
    assert at.reply() == {"status": "started"}
    holding.held().close()
    assert at.reply() == {"status": "completed"}
    assert holding.noted() == ["begin run-1", "begin run-1", "end run-1"]
