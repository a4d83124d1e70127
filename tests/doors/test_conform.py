"""``headway conform`` says of each worker what is wrong with it, and nothing else."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

from headway.adapters.bus_address import RabbitAddress, parse_bus_url
from headway.adapters.groups import end_watch
from headway.adapters.rabbitmq.upkeep import Upkeep
from headway.conformance.findings import NAMES
from headway.errors import Conflict, Rejected
from headway.testing.workers import assert_conforms
from tests.conftest import RequireService
from tests.docs.console import REPOSITORY
from tests.doors.typed import HEADWAY, Place
from tests.services.rabbitmq import RabbitMQ
from tests.unit import megafrobber

pytestmark = pytest.mark.services

WORKERS = Path(__file__).parent / "workers"
PLAIN = [sys.executable, str(WORKERS / "plain.py")]
FAULTY = [sys.executable, str(WORKERS / "faulty.py")]
LONG = ["--long", "Wait", "--param", "seconds=5.3"]
HASTE = ["--patience", "3"]  # with those that are waited for in vain
DEADLINE_S = 60.0
NPM_DEADLINE_S = 120.0

# What is wrong with each, in words that its finding has.
FAULTS: dict[str, tuple[str, str, list[str]]] = {
    "NeverSettles": ("settlement", "never settled the delivery", HASTE),
    "SettlesTwice": ("settlement", "2 times (ack, ack); the broker closed its channel", HASTE),
    "NeedsNoAcknowledging": ("settlement", "no-ack", []),
    "ForgetsCorrelation": ("correlation", "without correlation id", []),
    "AnswersToTheExchange": ("reply-address", "to exchange 're'", []),
    "EndsTwice": ("one-answer", "`started`, `completed`, `completed`", []),
    "NeverEnds": ("valid-step", "`started`, and then nothing within 3 s", HASTE),
    "DiesOfABadBody": ("malformed-body", "its process ended with code 7", []),
    "TakesAnySubcommand": ("bad-subcommand", "NoSuchSubcommand `completed`", []),
    "BlocksItsConnection": ("long-step", "its connection was silent for", LONG),
    "IgnoresSigterm": ("stop", "3 s after SIGTERM it is still there", HASTE),
    "LeavesItsStep": ("stop", "left in the middle of a step", LONG),
    "SaysBareWords": ("bodies", "it must be an object", []),
    "SaysDone": ("bodies", "is 'done': it must be started, completed or failed", []),
    "TakesAll": ("prefetch", "without a limit", []),
    "GoesDeaf": ("lost-connection", "still there, and serves nobody", ["--patience", "1"]),
    "RunsUngranted": ("claims", "without waiting for the grant", []),
    "RunsRefused": ("claims", "although its claim was refused", []),
    "AnswersUnnamed": ("claims", "claimed as 'claiming.1' and answered as None", []),
    "MisspellsItsOutput": ("output", "the output lacks message", []),
}


def wait_until_consumed(rabbitmq: RabbitMQ, queue: str) -> None:
    """Asks the broker, whose answer takes its time, until somebody consumes the queue."""
    address = parse_bus_url(rabbitmq.url)
    assert isinstance(address, RabbitAddress)
    give_up_at = time.monotonic() + DEADLINE_S
    while time.monotonic() < give_up_at:
        try:
            if Upkeep(address).standing(queue).consumers:
                return
        except Rejected:
            pass  # not made yet
    raise AssertionError(f"nobody consumes {queue}")


def verdicts(said: Any) -> dict[str, str]:
    return {one["check"]: one["verdict"] for one in said.json["checks"]}


@pytest.mark.parametrize("name", FAULTS)
def test_a_worker_with_one_fault_is_told_that_fault_and_no_other(
    name: str, place: Place, rabbitmq: RabbitMQ
) -> None:
    check, words, options = FAULTS[name]
    said = place.type(
        "conform", "plain:Ok", "--bus", rabbitmq.url, "--json", *options, "--", *FAULTY, name,
        code=1,
    )  # fmt: skip
    faults = [one for one in said.json["checks"] if one["verdict"] == "fault"]
    assert [one["check"] for one in faults] == [check], faults
    assert words in faults[0]["finding"]
    assert faults[0]["hint"]
    assert not said.json["conforms"]


def test_a_worker_that_answers_nothing_bad_is_told_so_for_each_scene(
    place: Place, rabbitmq: RabbitMQ
) -> None:
    said = place.type(
        "conform", "plain:Ok", "--bus", rabbitmq.url, "--json", *HASTE,
        "--", *FAULTY, "AnswersNothingBad", code=1,
    )  # fmt: skip
    faults = [one["check"] for one in said.json["checks"] if one["verdict"] == "fault"]
    assert faults == ["bad-subcommand", "malformed-body"]


def test_a_minimal_worker_conforms_and_what_it_lacks_is_not_used(
    place: Place, rabbitmq: RabbitMQ
) -> None:
    said = place.type("conform", "plain:Ok", "--bus", rabbitmq.url, "--json", "--", *PLAIN)
    found = verdicts(said)
    assert list(found) == list(NAMES)
    unused = {"missing-dynamic", "claims", "output", "notify", "presence"}
    assert {name for name, verdict in found.items() if verdict == "not used"} == unused
    assert {name for name, verdict in found.items() if verdict == "not tried"} == {"long-step"}
    assert said.json["conforms"]


def test_the_tutorials_worker_conforms(place: Place, rabbitmq: RabbitMQ) -> None:
    file = place.write(megafrobber.PATH, megafrobber.FILE)
    # It passes or fails by chance: here by ours.
    run = (
        "import random, runpy; random.randint = lambda *_: 42;"
        f" runpy.run_path({str(file)!r}, run_name='__main__')"
    )
    said = place.type(
        "conform", "megafrobber:frob", "--bus", rabbitmq.url, "--json",
        "--", sys.executable, "-c", run,
    )  # fmt: skip
    found = verdicts(said)
    assert found["claims"] == found["output"] == found["notify"] == "ok"


WAITER = """
    import time
    from headway.runtime.worker import Worker

    class WaiterWorker(Worker):
        dynamic = ("guest",)

        def process(self, channel, basic_deliver, properties, body, output):
            asked = body["parameters"]
            if asked["subcommand"] not in ("Greet", "Wait"):
                raise ValueError("no such subcommand")
            self.ack(basic_deliver)
            fsm, run = properties.reply_to, properties.correlation_id
            self.send(fsm, run, {"status": "started"}, exchange="")
            if asked["subcommand"] == "Wait":
                time.sleep(float(asked["seconds"]))
            self.notify("Greeted", body["dynamic"]["guest"], "completed", run)
            self.send(fsm, run, {"status": "completed"}, exchange="")
"""


def test_a_worker_of_ours_conforms_in_every_check(place: Place, rabbitmq: RabbitMQ) -> None:
    file = place.write("waiter.py", WAITER)
    said = place.type(
        "conform", "waiter:Greet", "--bus", rabbitmq.url, "--json",
        "--set", "guest=you", *LONG, "--", str(HEADWAY), "worker", str(file), "--mq", "{mq}",
    )  # fmt: skip
    found = verdicts(said)
    assert [name for name, verdict in found.items() if verdict not in ("ok", "not used")] == []
    assert found["missing-dynamic"] == found["claims"] == found["long-step"] == "ok"


def test_a_worker_that_knows_every_subcommand_is_asked_for_one_that_fails(
    place: Place, rabbitmq: RabbitMQ
) -> None:
    said = place.type(
        "conform", "noop:Ok", "--bus", rabbitmq.url, "--json", "--bad", "Fail",
        "--", str(HEADWAY), "worker", "noop", "--mq", "{mq}",
    )  # fmt: skip
    assert verdicts(said)["bad-subcommand"] == "ok"


@pytest.fixture
def node_worker(tmp_path: Path, require_service: RequireService) -> Path:
    """The example in Node.js, in a copy, with its packages installed."""
    for program in ("node", "npm"):
        require_service(
            program, shutil.which(program) is not None, "./check --services installs it"
        )
    copy = tmp_path / "node_worker"
    shutil.copytree(
        REPOSITORY / "examples/node_worker", copy, ignore=shutil.ignore_patterns("node_modules")
    )
    subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=copy,
        env={**os.environ, "npm_config_cache": str(tmp_path / "npm"), "CI": "true"},
        timeout=NPM_DEADLINE_S,
        check=True,
    )
    return copy / "worker.js"


def test_the_worker_in_node_conforms_in_every_check(
    place: Place, rabbitmq: RabbitMQ, node_worker: Path
) -> None:
    said = place.type(
        "conform", "kettle:Brew", "--bus", rabbitmq.url, "--json", "--set", "tea=green",
        "--long", "KeepWarm", "--param", "seconds=5.3", "--", "node", str(node_worker),
    )  # fmt: skip
    found = verdicts(said)
    assert found.pop("presence") == "not used"
    assert set(found.values()) == {"ok"}


def test_the_lock_file_of_the_example_names_no_registry() -> None:
    lock = json.loads((REPOSITORY / "examples/node_worker/package-lock.json").read_text())
    packages = [one for name, one in lock["packages"].items() if name]
    assert packages
    assert all(one["integrity"] for one in packages)
    assert all("resolved" not in one for one in packages)


def test_a_worker_that_runs_already_is_looked_at_from_outside(
    place: Place, rabbitmq: RabbitMQ
) -> None:
    place.write("waiter.py", WAITER)
    worker = place.begin("worker", "waiter.py", "--bus", rabbitmq.url)
    try:
        wait_until_consumed(rabbitmq, "worker.waiter")
        said = place.type(
            "conform", "waiter:Greet", "--bus", rabbitmq.url, "--set", "guest=you", "--json"
        )
        second = place.type("conform", "waiter:Greet", "--bus", rabbitmq.url, "--", *PLAIN, code=1)
    finally:
        worker.terminate()
        worker.communicate(timeout=60)
    found = verdicts(said)
    assert found["valid-step"] == found["claims"] == found["malformed-body"] == "ok"
    assert found["settlement"] == found["stop"] == found["redelivery"] == "not tried"
    assert "is consumed already" in second.err


def test_nobody_there_is_a_fault_of_its_own(place: Place, rabbitmq: RabbitMQ) -> None:
    said = place.type("conform", "plain:Ok", "--bus", rabbitmq.url, code=1)
    assert "nobody consumes worker.plain" in said.out
    assert "plain:Ok does not conform: 1 fault" in said.out


def test_a_worker_that_does_not_start_is_shown_with_its_last_words(
    place: Place, rabbitmq: RabbitMQ
) -> None:
    said = place.type(
        "conform", "plain:Ok", "--bus", rabbitmq.url,
        "--", sys.executable, "-c", "raise SystemExit('no kettle at hand')", code=1,
    )  # fmt: skip
    assert "its process ended with code 1, having written:" in said.out
    assert "| no kettle at hand" in said.out


def test_only_the_checks_that_are_chosen_are_made(place: Place, rabbitmq: RabbitMQ) -> None:
    said = place.type(
        "conform", "plain:Ok", "--bus", rabbitmq.url, "--json",
        "--check", "valid-step", "--check", "prefetch", "--", *PLAIN,
    )  # fmt: skip
    assert verdicts(said) == {"valid-step": "ok", "prefetch": "ok"}
    said = place.type(
        "conform", "plain:Ok", "--bus", rabbitmq.url, "--json", "--check", "prefetch",
        "--", *FAULTY, "TakesAll", code=1,
    )  # fmt: skip
    assert verdicts(said) == {"prefetch": "fault"}


def test_a_queue_with_messages_in_it_is_left_alone(rabbitmq: RabbitMQ) -> None:
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
        channel = connection.channel()
        channel.queue_declare("worker.plain", durable=True)
        channel.basic_publish("", "worker.plain", b"somebody's")
        with pytest.raises(Conflict, match="1 messages"):
            assert_conforms("plain:Ok", PLAIN, rabbitmq.url)
        assert channel.basic_get("worker.plain")[2] == b"somebody's"


def test_a_test_of_a_workers_own_may_assert_that_it_conforms(rabbitmq: RabbitMQ) -> None:
    report = assert_conforms("plain:Ok", PLAIN, rabbitmq.url)
    assert report.conforms
    with pytest.raises(AssertionError, match="prefetch: it consumes worker"):
        assert_conforms("plain:Ok", [*FAULTY, "TakesAll"], rabbitmq.url)


def test_a_queue_that_was_made_for_the_visit_goes_with_it(rabbitmq: RabbitMQ) -> None:
    assert_conforms("plain:Ok", PLAIN, rabbitmq.url)
    with (
        pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection,
        pytest.raises(ChannelClosedByBroker, match="NOT_FOUND"),
    ):
        connection.channel().queue_declare("worker.plain", passive=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_worker_does_not_outlive_the_visit(
    number: signal.Signals, place: Place, rabbitmq: RabbitMQ
) -> None:
    if number == signal.SIGKILL and shutil.which("setpriv") is None:
        pytest.skip("only where util-linux has setpriv")
    place.environment["TMPDIR"] = str(place.directory)
    told = place.signal("pid")
    program = f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    visit = place.begin(
        "conform", "plain:Ok", "--bus", rabbitmq.url, "--", sys.executable, "-c", program
    )
    try:
        worker = end_watch(int(told.read_text()))
        assert worker is not None
        visit.send_signal(number)
        ended, _, _ = select.select([worker], [], [], DEADLINE_S)
        os.close(worker)
        assert ended
        visit.wait(DEADLINE_S)
        left = list(place.directory.glob("headway-conform-*"))
        assert not left or number == signal.SIGKILL
    finally:
        visit.kill()
        visit.communicate()
