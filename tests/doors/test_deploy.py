"""Releases of stored playbooks are begun and followed from the command line, driven by a core."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from headway.adapters.opening import open_store
from headway.jobs.states import RunState
from headway.runtime import ownership
from tests.doors.typed import HEADWAY, Place, begun, ended, told
from tests.services.rabbitmq import RabbitMQ
from tests.services.worker_process import WorkerProcess, worker_process

ROLL = """
    group: shop
    name: Roll
    inputs:
      - {name: token, secret: true, default: "env:TOKEN"}
      - {name: version, default: "1"}
    execution:
      - hosts: [web1, web2]
        steps: ["noop:First", "noop:Second"]
"""
# Its step is in the worker until somebody writes into a FIFO.
HELD = """
    from pathlib import Path
    from reworker.worker import Worker

    class HeldWorker(Worker):
        def process(self, channel, basic_deliver, properties, body, output):
            self.ack(basic_deliver)
            output.info("held on")
            Path("here").write_text("here")
            Path("go").read_text()
            answer = {"status": "completed"}
            self.send(properties.reply_to, properties.correlation_id, answer, exchange="")
"""
HOLD = """
    group: shop
    name: Hold
    lock: [catalogue]
    execution:
      - hosts: [web1]
        steps: ["held:Step", "noop:After"]
"""


@pytest.fixture
def shop(place: Place) -> Place:
    place.environment["TOKEN"] = "s3cr3t"
    for name, text in (("roll.yaml", ROLL), ("hold.yaml", HOLD)):
        place.write(name, text)
        place.type("playbook", "add", name)
    place.write("held.py", HELD)
    return place


def deployed(place: Place, playbook: str, *words: str) -> str:
    return place.type("deploy", playbook, *words).out.strip()


# Without a core


def test_a_deployment_is_stored_and_its_id_stands_alone(shop: Place) -> None:
    said = shop.type("deploy", "shop/Roll", "--set", "version=2")
    (run,) = said.lines
    assert f"headway logs {run[:12]} -f" in said.err
    assert "no core leads" in said.err
    assert "headway core --bus URL" in said.err
    stored = shop.type("show", run, "--json").json
    assert (stored["state"], stored["inputs"]) == (
        "queued",
        {"token": "env:TOKEN", "version": "2"},
    )
    document = shop.type("deploy", "shop/Roll", "--version", "1", "--json").json
    assert (document["event"], document["version"], document["is_new"]) == ("deployed", 1, True)
    assert shop.type("deploy", "shop/Roll", "-q").err == ""


def test_the_same_command_with_the_same_key_begins_it_once(shop: Place) -> None:
    words = ("deploy", "shop/Roll", "--key", "monday", "--set", "version=2")
    first, again = shop.type(*words), shop.type(*words)
    assert first.out == again.out
    assert "was begun with this key before; it is queued" in again.err
    assert not shop.type(*words, "--json").json["is_new"]
    other = shop.type(*words[:4], "--set", "version=3", code=1)
    assert "this key was used for another request" in other.err
    assert len(shop.type("runs", "--json").json) == 1


def test_a_secret_as_it_is_is_refused_and_kept_nowhere(shop: Place) -> None:
    said = shop.type("deploy", "shop/Roll", "--set", "token=hunter2", code=1)
    assert "Give env:NAME or file:PATH" in said.err
    assert "hunter2" not in said.err
    assert b"hunter2" not in (shop.directory / ".headway/headway.db").read_bytes()
    assert not shop.type("runs", "--json").json


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("shop/None",), 64, "has no playbook 'shop/None'"),
        (("shop/Roll", "--version", "7"), 64, "has no version 7: its newest is 1"),
        (("shop/Roll", "--timeout", "1"), 64, "--timeout says how long --wait waits"),
        (("shop/Roll", "--set", "nonsense=1"), 1, "nonsense"),
    ],
)
def test_what_cannot_be_deployed_is_said(
    shop: Place, words: tuple[str, ...], code: int, says: str
) -> None:
    assert says in shop.type("deploy", *words, code=code).err


def test_a_wait_says_that_no_core_is_there_and_can_be_limited_and_left(shop: Place) -> None:
    said = shop.type("deploy", "shop/Roll", "--wait", "--timeout", "0.5", code=69)
    assert "no core leads" in said.out
    assert "was not over after 0.5 s. It goes on" in said.err
    with begun(shop, "deploy", "shop/Hold", "--wait") as waiting:
        assert told(waiting, "it is waited for")
        waiting.send_signal(signal.SIGINT)
        left = ended(waiting)
    assert left.code == 130
    assert "goes on: headway logs" in left.err
    assert {run["state"] for run in shop.type("runs", "--json").json} == {"queued"}


def test_what_is_asked_of_a_deployment_stays_until_a_core_is_there(shop: Place) -> None:
    run = deployed(shop, "shop/Roll")
    file = shop.directory / ".headway/headway.db"
    with closing(open_store(file)) as store:
        epoch = store.take(run, 0, ownership.this_process())
        store.append(run, epoch, 1, 2, [], state=RunState.CANCELLED)
    for words in (["resume", run], ["retry", run, "--from", "noop:First@web1"]):
        said = shop.type(*words, code=69)
        assert f"The request stays with run {run[:12]}" in said.err
    with closing(open_store(file)) as store:
        assert [(one.verb, one.args) for one in store.asked(run)] == [
            ("resume", {}),
            ("retry", {"job": "noop:First@web1"}),
        ]
    assert "leave out -j" in shop.type("resume", run, "-j", "2", code=64).err
    assert "is a core's" in shop.type("cleanup", run, code=1).err


# With a core

QUICK = HOLD.replace("name: Hold", "name: Quick").replace('"held:Step", ', "")
FAILS = ROLL.replace("name: Roll", "name: Fails").replace("noop:Second", "noop:Fail")


class Site:
    """A place with a core and workers on a broker."""

    def __init__(self, place: Place, url: str, stack: ExitStack) -> None:
        self.place = place
        self._stack = stack
        place.environment["HEADWAY_BUS"] = url
        for name, text in (("quick.yaml", QUICK), ("fails.yaml", FAILS)):
            place.write(name, text)
            place.type("playbook", "add", name)
        place.signal("here")
        place.signal("go")

    def core(self) -> WorkerProcess:
        return self._begin("leads, term", "core")

    def worker(self, what: str) -> WorkerProcess:
        return self._begin("serving", "worker", what)

    def _begin(self, ready: str, *words: str) -> WorkerProcess:
        environment = self.place.environment
        process = worker_process(HEADWAY, *words, cwd=self.place.directory, more_env=environment)
        begun = self._stack.enter_context(process)
        begun.wait_for(ready)
        return begun

    def held(self) -> None:
        """Return once a step is in the worker that holds it."""
        (self.place.directory / "here").read_text()

    def let_go(self) -> None:
        (self.place.directory / "go").write_text("go")

    def state(self, run: str) -> str:
        """Where a run stands, once nothing goes on in it."""
        self.place.type("logs", run, "-f")
        return str(self.place.type("show", run, "--json").json["state"])


@pytest.fixture
def site(shop: Place, rabbitmq: RabbitMQ) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(shop, rabbitmq.url, stack)


@pytest.mark.services
def test_a_deployment_is_waited_for_to_its_end(site: Site) -> None:
    shop = site.place
    site.worker("noop")
    with begun(shop, "deploy", "shop/Roll", "--key", "1", "--wait") as waiting:
        assert told(waiting, "it is waited for")
        site.core()
        said = ended(waiting)
    assert said.code == 0
    assert [line.split()[1] for line in said.lines if line.startswith("✓")] == [
        "noop:First@web1",
        "noop:Second@web1",
        "noop:First@web2",
        "noop:Second@web2",
    ]
    assert "done: all 4 jobs in " in said.out
    assert shop.type("deploy", "shop/Roll", "--key", "1", "--wait", "-q").out == ""
    told_ = [json.loads(line) for line in shop.type(*WAIT, "shop/Roll").lines]
    assert told_[0]["event"] == "deployed"
    assert [one["state"] for one in told_ if one["event"] == "job-stood"] == ["repaired"] * 4
    assert (told_[-1]["event"], told_[-1]["exit"]) == ("summary", 0)
    assert b"s3cr3t" not in (shop.directory / ".headway/headway.db").read_bytes()

    failed = shop.type("deploy", "shop/Fails", "--wait", code=1)
    run = failed.lines[0]
    assert f"headway retry {run[:12]}" in failed.out
    assert "it failed. headway retry" in shop.type("resume", run, code=1).err
    assert "it is tried anew" in shop.type("retry", run).out
    assert site.state(run) == "failed"
    assert shop.type("show", run, "--json").json["lap"] == 2
    assert "is over already" in shop.type("cancel", run, code=1).err


WAIT = ("deploy", "--wait", "--json")


@pytest.mark.services
def test_deployments_wait_for_a_lock_and_are_cancelled_and_gone_on_with_by_request(
    site: Site,
) -> None:
    shop = site.place
    site.core()
    site.worker("noop")
    site.worker("held.py")
    first = deployed(shop, "shop/Hold")
    site.held()
    with begun(shop, "deploy", "shop/Quick", "--wait") as waiting:
        second = told(waiting, "").strip()
        assert f"which run {first[:12]} of " in told(waiting, "it waits for the lock catalogue")
        assert f"which run {first[:12]} of " in shop.type("why", second).out
        held = [(one["run"], one["holds"]) for one in shop.type("locks", "--json").json]
        assert held == [(first, True), (second, False)]
        assert "the run goes on already" in shop.type("resume", first, code=1).err
        assert "cancelling" in shop.type("cancel", first).out
        site.let_go()
        assert ended(waiting).code == 0
    assert site.state(first) == "cancelled"
    assert "it goes on" in shop.type("resume", first).out
    assert site.state(first) == "succeeded"
    assert shop.type("locks").out == "no run has a lock\n"


@pytest.mark.services
def test_a_wait_outlives_a_core_and_ends_where_a_person_must_decide(site: Site) -> None:
    shop = site.place
    core = site.core()
    site.worker("noop")
    worker = site.worker("held.py")
    with begun(shop, "deploy", "shop/Hold", "--wait") as waiting:
        run = told(waiting, "").strip()
        site.held()
        core.end(signal.SIGKILL)
        assert told(waiting, "no core leads")
        refused = shop.type("cancel", run, code=69)
        assert "and the next core does what it says" in refused.err.replace("\n", " ")
        with closing(open_store(shop.directory / ".headway/headway.db")) as store:
            (request,) = store.asked(run)
            store.answer(request.id, "a change of mind")
        site.core()
        assert told(waiting, "a core is there now")
        worker.end(signal.SIGKILL)
        said = ended(waiting)
    assert said.code == 4
    assert f"headway settle {run[:12]} held:Step@web1 --done" in said.out
    assert "headway resume" not in said.out
    assert "is settled: done" in shop.type("settle", run, "held:Step@web1", "--done").out
    assert site.state(run) == "succeeded"
