"""What surrounds releases, driven by a core: kept with each, told of once, over every restart."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from headway.jobs.events import PhaseNoticeIntended
from headway.jobs.states import RunState
from headway.ports.bus import Binding, Delivery, Exchange, Queue, QueueKind, Settlement
from headway.releases.surroundings_reading import from_plain
from headway.runtime import clocks
from headway.runtime.core import CoreRules
from headway.runtime.deploying import deploy, read_release
from headway.runtime.serving_core import CoreService
from headway.runtime.worker import Worker
from headway.wire import names
from headway.wire.messages import JobRequest, Notification
from headway.workers.noop import NoopWorker
from tests.unit.test_core import SOON_S, Asker, Place, until

AROUND = from_plain(
    {
        "step_triggers": [
            {
                "description": "breathe",
                "when": {"next_subcommand": "Second"},
                "command": "noop",
                "subcommand": "Breathe",
            }
        ],
        "pre_deploy_check": [
            {
                "name": "quiet",
                "command": "noop",
                "subcommand": "IsQuiet",
                "expectation": {"status": "completed"},
            }
        ],
        "post_deploy_action": [
            {"name": "stamp", "command": "noop", "subcommand": "Stamp"},
            {"name": "cry", "command": "noop", "subcommand": "Cry", "when": "failed"},
        ],
        "phase_notification": {"topic": "notify.irc", "target": ["#shop"], "url": "https://r/%s"},
    },
    "a test",
)
STEPS = ["First", "Breathe", "Second"]


class People:
    """Who is told, on the bus; and how the run stood in the store when they were."""

    def __init__(self, place: Place) -> None:
        self.told: list[tuple[str, RunState]] = []
        self._place = place
        self._bus = place.open_bus()
        binding = Binding(names.EXCHANGE, "notify.irc")
        self._bus.declare(Exchange(names.EXCHANGE), Queue("irc", QueueKind.CLASSIC, (binding,)))
        self._bus.consume("irc", self._heard, inline=True)

    def _heard(self, delivery: Delivery) -> None:
        self._bus.settle(delivery, Settlement.ACK)
        notice = Notification.decode(delivery.message.body)
        state = self._place.state(delivery.message.correlation_id or "")
        self.told.append((notice.phase, state))


class Recorder(Worker):
    """Notes what it is asked; holds up one step until it may go on."""

    steps: list[str]
    holds = ""
    fails = ""
    held: threading.Event
    go: threading.Event

    def process(self, _: Any, deliver: Any, properties: Any, body: Any, output: Any) -> None:
        self.ack(deliver)
        step = " ".join([body["parameters"]["subcommand"], *body["parameters"]["hosts"]])
        self.steps.append(step)
        if step == self.holds:
            self.held.set()
            assert self.go.wait(SOON_S)
        status = "failed" if step == self.fails else "completed"
        self.send(properties.reply_to, properties.correlation_id, {"status": status}, exchange="")


def recorder(**more: Any) -> type[Recorder]:
    events = {"held": threading.Event(), "go": threading.Event(), "steps": []}
    return type("NoopWorker", (Recorder,), {**events, **more})


@pytest.fixture
def place() -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(stack)


def deployed(place: Place) -> str:
    playbook = place.store.find_playbook(place.playbook())
    release = read_release(place.store, playbook, surroundings=AROUND)
    return deploy(place.store, release, {}, who="anna").run


def on(host: str) -> list[str]:
    return [f"{step} {host}" for step in STEPS]


def test_a_deployment_is_surrounded_as_it_was_when_it_was_asked_for(place: Place) -> None:
    worker, people = recorder(), People(place)
    place.serve(worker)
    run = deployed(place)
    place.core()  # which knows of nothing that surrounds deployments now
    assert place.ended(run) is RunState.SUCCEEDED
    assert worker.steps == ["IsQuiet", *on("web1"), *on("web2"), "Stamp"]
    until(lambda: len(people.told) == 2)
    assert people.told == [("started", RunState.RUNNING), ("completed", RunState.SUCCEEDED)]


def test_a_check_that_fails_stops_it_and_its_actions_are_done(place: Place) -> None:
    worker, people = recorder(fails="IsQuiet"), People(place)
    place.serve(worker)
    run = deployed(place)
    place.core()
    assert place.ended(run) is RunState.FAILED
    assert worker.steps == ["IsQuiet", "Stamp", "Cry"]
    until(lambda: [phase for phase, _ in people.told] == ["started", "failed"])


@pytest.mark.parametrize("where", ["IsQuiet", "Second web1", "Stamp"])
def test_the_next_core_goes_on_and_tells_nobody_twice(place: Place, where: str) -> None:
    worker, people = recorder(holds=where), People(place)
    place.serve(worker)
    run = deployed(place)
    first = place.core()
    assert worker.held.wait(SOON_S)
    first.stop()
    worker.go.set()
    place.core()
    assert place.ended(run) is RunState.SUCCEEDED
    assert worker.steps == ["IsQuiet", *on("web1"), *on("web2"), "Stamp"]
    until(lambda: len(people.told) == 2)
    told = [one.notice for one in place.events(run) if isinstance(one, PhaseNoticeIntended)]
    assert told == ["started", "completed"]


def test_a_retry_acts_anew_and_tells_only_what_is_new(place: Place) -> None:
    worker, people = recorder(fails="Second web2"), People(place)
    place.serve(worker)
    run = deployed(place)
    place.core()
    assert place.ended(run) is RunState.FAILED
    worker.fails = ""
    place.store.ask(run, "retry", {}, "anna", clocks.now_us())
    until(lambda: place.state(run) is RunState.SUCCEEDED)
    assert worker.steps[-4:] == ["Stamp", "Cry", "Second web2", "Stamp"]
    until(lambda: len(people.told) == 3)
    assert [phase for phase, _ in people.told] == ["started", "failed", "completed"]


def test_a_core_surrounds_what_is_asked_for_over_the_bus(place: Place) -> None:
    place.serve(NoopWorker)
    playbook = place.playbook()
    rules = CoreRules(look_s=0.01, surroundings=AROUND)
    service = CoreService(lambda: place.store, place.bus, rules)
    thread = threading.Thread(target=service.serve, daemon=True)
    thread.start()
    try:
        assert service.leads.wait(SOON_S)
        until(lambda: place.broker.exists("core"))
        asker = Asker(place)
        asker.ask(JobRequest(group="shop", playbook_id=playbook, user_id="mira").encode(), "1")
        until(lambda: bool(asker.answers))
        (run,) = asker.answers
        assert run is not None
        assert place.ended(run) is RunState.SUCCEEDED
        kept = place.store.find(run).launch.surroundings
        assert from_plain(kept, "it") == AROUND
    finally:
        service.stop()
        thread.join(SOON_S)
    assert not thread.is_alive()


def test_a_deployment_that_cannot_be_gone_on_with_is_told_to_have_failed(place: Place) -> None:
    people = People(place)
    playbook = place.store.find_playbook(place.playbook())
    around = AROUND._replace(checks=())
    release = read_release(place.store, playbook, surroundings=around)
    other = read_release(place.store, playbook)
    # Its plan is another than what its playbook comes to now.
    run = deploy(place.store, release._replace(compiled=other.compiled), {}, who="anna").run
    place.core()
    assert place.ended(run) is RunState.FAILED
    until(lambda: people.told == [("failed", RunState.FAILED)])
