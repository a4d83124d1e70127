"""A core drives deployments to their ends, whatever becomes of the process, all in memory."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import pytest

from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus
from headway.jobs.events import RunIntended, RunResumed, StepClaimed, TryEnded, decode, encode
from headway.jobs.job import RunonlyJob
from headway.jobs.outcomes import Ending, Phase
from headway.jobs.states import RunState
from headway.ports.bus import DIRECT_REPLY_TO, Message
from headway.runtime import clocks, ownership
from headway.runtime import core as core_module
from headway.runtime.core import CoreRules
from headway.runtime.deploying import deploy, read_release
from headway.runtime.serving_core import CoreService
from headway.runtime.stored_playbooks import add
from headway.runtime.worker import Worker
from headway.runtime.worker_trial import served
from headway.testing.memory import MemoryStore
from headway.wire import names
from headway.wire.messages import JobAnswer, JobRequest
from headway.workers.noop import NoopWorker

SOON_S = 20.0
TWO_HOSTS = """
group: shop
name: Two hosts
execution:
  - description: one after the other
    hosts: [web1, web2]
    steps: [noop:First, noop:Second]
"""


class KeptStore(MemoryStore):
    """Outlives the cores that work with it."""

    def close(self) -> None:
        pass


class Place:
    """One store and one broker, where cores come and go."""

    def __init__(self, stack: ExitStack) -> None:
        self.store = KeptStore()
        self.broker = MemoryBroker("core")
        self.stack = stack

    def bus(self) -> MemoryBus:
        return MemoryBus(self.broker)

    def open_bus(self) -> MemoryBus:
        bus = self.bus()
        bus.open()
        self.stack.callback(bus.close)
        return bus

    def serve(self, worker_class: type[Worker]) -> Worker:
        return self.stack.enter_context(served(worker_class, self.open_bus()))

    def core(self) -> "RunningCore":
        core = RunningCore(self)
        self.stack.callback(core.stop)
        return core

    def playbook(self, text: str = TWO_HOSTS) -> str:
        return add(self.store, text.encode(), "YAML", "a test", who="anna").id

    def deploy(self, playbook: str, **inputs: Any) -> str:
        release = read_release(self.store, self.store.find_playbook(playbook))
        return deploy(self.store, release, inputs, who="anna").run

    def state(self, run: str) -> RunState:
        return self.store.find(run).state

    def ended(self, run: str) -> RunState:
        until(lambda: self.store.find(run).ended_us is not None)
        return self.state(run)

    def events(self, run: str) -> list[Any]:
        return [decode(entry.row) for entry in self.store.journal(run)]


class RunningCore:
    def __init__(self, place: Place, service: CoreService | None = None) -> None:
        rules = CoreRules(look_s=0.01)
        self.service = service or CoreService(lambda: place.store, place.bus, rules)
        self._thread = threading.Thread(target=self.service.serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.service.stop()
        self._thread.join(SOON_S)
        assert not self._thread.is_alive()


def until(holds: Callable[[], bool]) -> None:
    deadline = clocks.monotonic() + SOON_S
    while not holds():
        assert clocks.monotonic() < deadline, "it did not come to that"
        threading.Event().wait(0.005)


@pytest.fixture
def place() -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(stack)


def test_a_deployment_is_carried_out(place: Place) -> None:
    place.serve(NoopWorker)
    run = place.deploy(place.playbook())
    assert place.state(run) is RunState.QUEUED
    place.core()
    assert place.ended(run) is RunState.SUCCEEDED
    ends = [event for event in place.events(run) if isinstance(event, TryEnded)]
    assert [event.key for event in ends] == [0, 1, 2, 3]


def test_many_are_carried_out_at_once(place: Place) -> None:
    for _ in range(4):
        place.serve(NoopWorker)
    playbook = place.playbook()
    runs = [place.deploy(playbook) for _ in range(50)]
    place.core()
    assert {place.ended(run) for run in runs} == {RunState.SUCCEEDED}


def test_a_step_that_fails_stops_its_deployment(place: Place) -> None:
    place.serve(NoopWorker)
    run = place.deploy(place.playbook(TWO_HOSTS.replace("noop:Second", "noop:Fail")))
    place.core()
    assert place.ended(run) is RunState.FAILED
    assert len([event for event in place.events(run) if isinstance(event, TryEnded)]) == 2


class HeldWorker(Worker):
    """Takes steps, and ends them when the test says so."""

    begun: threading.Semaphore
    go: threading.Event
    steps: list[str]

    def process(self, channel: Any, deliver: Any, properties: Any, body: Any, output: Any) -> None:
        self.ack(deliver)
        self.steps.append(properties.message_id)
        self.begun.release()
        self.go.wait(SOON_S)
        self.send(properties.reply_to, properties.correlation_id, {"status": "completed"}, "")


def held() -> type[HeldWorker]:
    attributes = {"begun": threading.Semaphore(0), "go": threading.Event(), "steps": []}
    return type("NoopWorker", (HeldWorker,), attributes)


def test_what_a_core_left_under_way_is_gone_on_with_by_the_next(place: Place) -> None:
    worker = held()
    place.serve(worker)
    run = place.deploy(place.playbook())
    first = place.core()
    assert worker.begun.acquire(timeout=SOON_S)
    first.stop()
    assert place.state(run) is RunState.RUNNING
    assert place.store.find(run).owner is None
    worker.go.set()
    place.core()
    assert place.ended(run) is RunState.SUCCEEDED
    assert len(worker.steps) == 4, "no step was begun twice"
    claims = [event for event in place.events(run) if isinstance(event, StepClaimed)]
    assert len(claims) == 4


def test_a_deployment_can_be_cancelled_while_it_waits_for_a_core(place: Place) -> None:
    place.serve(NoopWorker)
    run = place.deploy(place.playbook())
    number = place.store.ask(run, "cancel", {}, "anna", clocks.now_us())
    place.core()
    assert place.ended(run) is RunState.CANCELLED
    request = place.store.request(number)
    assert request is not None
    assert request.answer == "cancelling"


def test_a_deployment_that_failed_can_be_tried_again(place: Place) -> None:
    worker = held()
    worker.go.set()
    run = place.deploy(place.playbook(TWO_HOSTS.replace("noop:Second", "other:Step")))
    place.serve(NoopWorker)
    place.core()
    assert place.ended(run) is RunState.FAILED, "nobody serves it"
    place.serve(type("OtherWorker", (NoopWorker,), {}))
    place.store.ask(run, "retry", {}, "anna", clocks.now_us())
    until(lambda: place.state(run) is RunState.SUCCEEDED)


def test_a_step_in_doubt_is_settled_and_its_deployment_goes_on(place: Place) -> None:
    worker = held()
    bus = place.open_bus()
    place.stack.enter_context(served(worker, bus))
    run = place.deploy(place.playbook())
    place.core()
    assert worker.begun.acquire(timeout=SOON_S)
    bus.close()  # as if its process had died
    assert place.ended(run) is RunState.IN_DOUBT
    worker.go.set()
    place.serve(NoopWorker)
    place.store.ask(run, "settle", {"key": 0, "how": "done"}, "anna", clocks.now_us())
    until(lambda: place.state(run) is RunState.SUCCEEDED)
    assert len(worker.steps) == 1


def asked(place: Place, run: str, verb: str, **args: Any) -> str:
    """What a core answers to a request."""
    number = place.store.ask(run, verb, args, "anna", clocks.now_us())

    def answer() -> str | None:
        request = place.store.request(number)
        assert request is not None
        return request.answer

    until(lambda: answer() is not None)
    return str(answer())


def test_a_deployment_that_was_cancelled_can_go_on(place: Place) -> None:
    place.serve(NoopWorker)
    run = place.deploy(place.playbook())
    place.store.ask(run, "cancel", {}, "anna", clocks.now_us())
    place.core()
    assert place.ended(run) is RunState.CANCELLED
    assert asked(place, run, "resume") == "it goes on"
    until(lambda: place.state(run) is RunState.SUCCEEDED)
    assert place.store.find(run).lap == 1


WITH_JOBS = TWO_HOSTS.replace("noop:Second", "{python: headway.testing.sample_jobs:Runs}")


@pytest.mark.parametrize("text", [TWO_HOSTS, WITH_JOBS], ids=["steps alone", "Python jobs, too"])
def test_a_deployment_goes_on_when_somebody_has_settled_what_is_in_doubt(
    place: Place, text: str
) -> None:
    place.serve(NoopWorker)
    run = place.deploy(place.playbook(text))
    store, now_us = place.store, clocks.now_us()
    lost = TryEnded(now_us, 0, 1, Ending.IN_DOUBT, phase=Phase.RUN, executed=True, final=True)
    epoch = store.take(run, 0, ownership.this_process())
    rows = [encode(RunIntended(now_us, 0, 1)), encode(lost)]
    store.append(run, epoch, 1, 2, rows, state=RunState.IN_DOUBT)
    place.core()
    assert asked(place, run, "settle", key=0, how="done") == "noop:First@web1 is settled: done"
    until(lambda: place.state(run) is RunState.SUCCEEDED)
    ends = [event.key for event in place.events(run) if isinstance(event, TryEnded)]
    assert ends == [0, 1, 2, 3]


def test_a_deployment_is_not_taken_up_twice_while_its_python_job_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go = threading.Semaphore(0), threading.Event()

    class Long(RunonlyJob):
        def Run(self) -> None:
            began.release()
            assert go.wait(SOON_S)

    module = ModuleType("long_jobs")
    module.Long = Long  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "long_jobs", module)
    monkeypatch.setattr(
        core_module, "SWEEP_S", 0.0
    )  # every look is for what was left to nobody, too
    looks = threading.Semaphore(0)
    core_runs = place.store.core_runs

    def counted(*, unowned: bool) -> Any:
        looks.release()
        return core_runs(unowned=unowned)

    monkeypatch.setattr(place.store, "core_runs", counted)
    text = TWO_HOSTS.replace("noop:First, noop:Second", "python: long_jobs:Long")
    run = place.deploy(place.playbook(text.replace("[web1, web2]", "[web1]")))
    place.core()
    assert began.acquire(timeout=SOON_S)
    while looks.acquire(blocking=False):
        pass  # those before it began
    for _ in range(3):
        assert looks.acquire(timeout=SOON_S)
    go.set()
    assert place.ended(run) is RunState.SUCCEEDED
    assert not [event for event in place.events(run) if isinstance(event, RunResumed)]
    assert not began.acquire(blocking=False)


def test_what_makes_no_sense_of_a_deployment_is_refused_in_words(place: Place) -> None:
    worker = held()
    place.serve(worker)
    run = place.deploy(place.playbook())
    place.core()
    assert worker.begun.acquire(timeout=SOON_S)
    assert asked(place, run, "resume") == "refused: the run goes on already"
    assert asked(place, run, "retry") == "refused: the run is not over"
    worker.go.set()
    assert place.ended(run) is RunState.SUCCEEDED
    assert asked(place, run, "retry") == "refused: the run is succeeded"
    assert asked(place, run, "resume") == "refused: the run is succeeded"
    assert asked(place, run, "cancel") == "refused: the run is over"
    nobodys = TWO_HOSTS.replace("noop:", "other:").replace("Two hosts", "Nobody serves it")
    failed = place.deploy(place.playbook(nobodys))
    assert place.ended(failed) is RunState.FAILED
    assert asked(place, failed, "retry", job="nobody").startswith("refused: ")
    assert asked(place, failed, "resume") == "refused: the run is failed"


def test_a_deployment_that_is_tried_anew_waits_for_its_lock(place: Place) -> None:
    worker = held()
    worker.go.set()
    place.serve(worker)
    locked = "lock: [catalogue]" + TWO_HOSTS
    fails = place.deploy(place.playbook(locked.replace("noop:Second", "other:Step")))
    core = place.core()
    assert place.ended(fails) is RunState.FAILED
    core.stop()
    worker.go.clear()
    worker.begun = threading.Semaphore(0)
    holder = place.deploy(place.playbook(locked.replace("Two hosts", "Another")))
    place.serve(type("OtherWorker", (NoopWorker,), {}))
    place.core()
    assert worker.begun.acquire(timeout=SOON_S)
    assert asked(place, fails, "retry", job=None) == "it is tried anew"
    assert place.state(fails) is RunState.QUEUED
    assert [lock.run for lock in place.store.ahead_of(fails)] == [holder]
    worker.go.set()
    assert place.ended(holder) is RunState.SUCCEEDED
    until(lambda: place.state(fails) is RunState.SUCCEEDED)
    assert place.store.find(fails).lap == 2


class Asker:
    """Asks for deployments over the bus."""

    def __init__(self, place: Place) -> None:
        self._bus = place.open_bus()
        self.answers: list[str | None] = []
        self._bus.consume(DIRECT_REPLY_TO, self._heard, inline=True)

    def _heard(self, delivery: Any) -> None:
        self.answers.append(JobAnswer.decode(delivery.message.body).id)

    def ask(self, body: bytes, id: str | None = None) -> None:
        message = Message(body, names.JSON, reply_to=DIRECT_REPLY_TO, message_id=id)
        self._bus.publish(message, names.JOB_CREATE, names.EXCHANGE).wait(SOON_S)


def test_a_deployment_is_asked_for_over_the_bus(place: Place) -> None:
    place.serve(NoopWorker)
    playbook = place.playbook()
    core = place.core()
    assert core.service.leads.wait(SOON_S)
    asker = Asker(place)
    body = JobRequest(group="shop", playbook_id=playbook, user_id="mira").encode()
    until(lambda: place.broker.exists("core"))
    asker.ask(body, "1")
    asker.ask(body, "1")  # delivered again
    asker.ask(body, "2")
    until(lambda: len(asker.answers) == 3)
    first, again, second = asker.answers
    assert first is not None
    assert first == again != second
    assert place.ended(first) is RunState.SUCCEEDED
    assert place.store.find(first).launch.who == "mira"


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        b"{}",
        b'{"group": "shop", "playbook_id": "ffffffffffffffffffffffff"}',
        b'{"group": "shop", "playbook_id": "f"}',
    ],
)
def test_a_request_that_makes_no_sense_is_answered_null(place: Place, body: bytes) -> None:
    core = place.core()
    assert core.service.leads.wait(SOON_S)
    asker = Asker(place)
    until(lambda: place.broker.exists("core"))
    asker.ask(body)
    until(lambda: asker.answers == [None])
    assert not place.store.runs()


def test_deployments_that_share_a_lock_wait_for_each_other(place: Place) -> None:
    worker = held()
    place.serve(worker)
    place.serve(worker)
    playbook = place.playbook("lock: [catalogue]" + TWO_HOSTS)
    first, second = place.deploy(playbook), place.deploy(playbook)
    place.core()
    assert worker.begun.acquire(timeout=SOON_S)
    assert place.state(second) is RunState.QUEUED
    worker.go.set()
    assert place.ended(first) is RunState.SUCCEEDED
    assert place.ended(second) is RunState.SUCCEEDED
