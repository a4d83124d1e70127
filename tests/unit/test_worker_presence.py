"""A worker process says that it is there, at changes and again and again."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus
from headway.ports.bus import Binding, Delivery, Exchange, Message, Queue
from headway.runtime.worker_presence import Announcer
from headway.runtime.worker_step import StepInHand
from headway.wire import names
from headway.wire.messages import Presence
from tests.unit.serving import Desk, desk

FROB = Queue("worker.frob", bindings=(Binding("re", "worker.frob"), Binding("re", "worker.tweak")))
NEVER_S = 3600.0


@pytest.fixture
def at() -> Iterator[Desk]:
    with desk() as made:
        made.listen("presence-watch", names.PRESENCE)
        yield made


def said(at: Desk) -> Presence:
    return Presence.decode(at.next("presence-watch").message.body)


def step(run: str | None, attempt: str | None, body: Any) -> StepInHand:
    message = Message(b"", correlation_id=run, message_id=attempt)
    made = StepInHand(Delivery(message, FROB.name, "re", FROB.name, False, (1, 1)), 1)
    made.body = body
    return made


@contextmanager
def announcing(broker: MemoryBroker, **times: Any) -> Iterator[Announcer]:
    bus = MemoryBus(broker)
    bus.open()
    announcer = Announcer(bus, "w1", **{"interval_s": NEVER_S, "changes_s": 0.0, **times})
    try:
        yield announcer
    finally:
        announcer.close()
        bus.close()


def test_a_worker_says_who_it_is_and_what_it_serves(at: Desk) -> None:
    with announcing(at.broker, interval_s=7.0) as announcer:
        announcer.serving(FROB, "FrobWorker")
        one = said(at)
    assert (one.worker, one.command, one.queue, one.kind) == (
        *("w1", "frob", "worker.frob", "FrobWorker"),
    )
    assert one.bindings == ["worker.frob", "worker.tweak"]
    assert (one.state, one.concurrency, one.doing, one.interval_s) == ("serving", 1, [], 7)
    assert one.version.startswith("headway ")
    assert one.pid > 0
    assert one.host


def test_it_says_so_again_without_a_change(at: Desk) -> None:
    with announcing(at.broker, interval_s=0.01) as announcer:
        announcer.serving(FROB, "FrobWorker")
        first, second = said(at), said(at)
    assert second.number > first.number
    assert (second.since_us, second.worker) == (first.since_us, first.worker)


def test_a_step_is_told_of_while_it_is_worked_on(at: Desk) -> None:
    body = {"parameters": {"command": "frob", "subcommand": "Tweak", "hosts": []}}
    with announcing(at.broker) as announcer:
        announcer.serving(FROB, "FrobWorker")
        assert said(at).doing == []
        with announcer.working(FROB, step("run-1", "attempt-1", body)):
            (one,) = said(at).doing
        assert said(at).doing == []
    assert (one.run, one.attempt, one.command, one.subcommand) == (
        *("run-1", "attempt-1", "frob", "Tweak"),
    )


def test_a_step_that_begins_before_its_queue_is_known_to_be_served_is_told_of(at: Desk) -> None:
    with announcing(at.broker) as announcer, announcer.working(FROB, step("run-1", None, {})):
        announcer.serving(FROB, "FrobWorker")
        assert [one.run for one in said(at).doing] == ["run-1"]


@pytest.mark.parametrize(
    "body", [[], {}, {"parameters": []}, {"parameters": {"command": 3, "subcommand": None}}]
)
def test_a_step_of_which_nothing_is_known_is_told_of_all_the_same(at: Desk, body: Any) -> None:
    with announcing(at.broker) as announcer:
        announcer.serving(FROB, "FrobWorker")
        said(at)
        with announcer.working(FROB, step(None, None, body)):
            (one,) = said(at).doing
    assert (one.run, one.attempt, one.command, one.subcommand) == ("", "", "", "")


def test_what_is_too_long_to_be_an_id_is_cut(at: Desk) -> None:
    body = {"parameters": {"command": "x" * 300, "subcommand": "y" * 300}}
    with announcing(at.broker) as announcer:
        announcer.serving(FROB, "FrobWorker")
        said(at)
        with announcer.working(FROB, step("r" * 300, None, body)):
            (one,) = said(at).doing
    assert {len(one.run), len(one.command), len(one.subcommand)} == {255}


def test_objects_that_serve_one_queue_are_told_of_together_and_leave_one_by_one(at: Desk) -> None:
    def until(state: str, concurrency: int) -> None:
        while True:  # what changes quickly may be told of at once
            one = said(at)
            if (one.state, one.concurrency) == (state, concurrency):
                return

    with announcing(at.broker) as announcer:
        for _ in range(3):
            announcer.serving(FROB, "FrobWorker")
        until("serving", 3)
        with announcer.leaving(FROB):
            until("serving", 3)
            with announcer.leaving(FROB), announcer.leaving(FROB):
                until("leaving", 3)
            until("leaving", 1)
        until("left", 0)


def test_the_last_word_is_said_when_it_closes_however_soon(at: Desk) -> None:
    with announcing(at.broker, changes_s=NEVER_S) as announcer:
        announcer.serving(FROB, "FrobWorker")
        assert said(at).state == "serving"
        with announcer.leaving(FROB):
            pass
    assert said(at).state == "left"


def test_a_thousand_changes_are_told_of_in_a_few_messages(at: Desk) -> None:
    with announcing(at.broker, changes_s=NEVER_S) as announcer:
        announcer.serving(FROB, "FrobWorker")
        assert said(at).doing == []
        for _ in range(1000):
            with announcer.working(FROB, step("run", None, {})):
                pass
    assert at.bus.counts().delivered == 2
    assert said(at).doing == []


def test_nobody_has_to_listen() -> None:
    broker = MemoryBroker()
    bus = MemoryBus(broker)
    bus.open()
    bus.declare(Exchange(names.EXCHANGE))
    with announcing(broker, interval_s=0.001) as announcer:
        failures = Calls(announcer, "_on_confirmed")
        announcer.serving(FROB, "FrobWorker")
        failures.wait_for(3)
    bus.close()


def test_without_permission_one_warning_is_logged_and_no_more_is_sent(
    at: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    at.broker.allow("poor", ".*", "^worker", ".*")
    bus = MemoryBus(at.broker, "poor")
    bus.open()
    announcer = Announcer(bus, "w1", interval_s=0.001, changes_s=0.0)
    turns = Calls(announcer, "_what_to_tell")
    announcer.serving(FROB, "FrobWorker")
    turns.wait_for(5)
    announcer.close()
    assert bus.counts().published == 1
    assert caplog.text.count("we cannot say that we are there") == 1
    bus.close()


class Calls:
    """Counts the calls of a method, so that a test can wait for them."""

    def __init__(self, announcer: Announcer, name: str) -> None:
        self._count = threading.Semaphore(0)
        before = getattr(announcer, name)

        def called(*given: Any) -> Any:
            try:
                return before(*given)
            finally:
                self._count.release()

        setattr(announcer, name, called)

    def wait_for(self, number: int) -> None:
        for _ in range(number):
            assert self._count.acquire(timeout=20)


def test_a_lost_connection_is_followed_by_the_whole_story(at: Desk) -> None:
    with announcing(at.broker) as announcer:
        announcer.serving(FROB, "FrobWorker")
        with announcer.working(FROB, step("run-1", None, {})):
            while not said(at).doing:
                pass
            at.broker.cut()
            assert [one.run for one in said(at).doing] == ["run-1"]


def test_what_is_said_does_not_pile_up_while_the_broker_takes_nothing(at: Desk) -> None:
    bus = MemoryBus(at.broker)
    bus.open()
    announcer = Announcer(bus, "w1", interval_s=0.001, changes_s=0.0)
    turns = Calls(announcer, "_what_to_tell")
    announcer.serving(FROB, "FrobWorker")
    said(at)
    at.broker.block("no memory")
    before = bus.counts().published
    turns.wait_for(20)
    assert bus.counts().published <= before + 1
    with announcer.leaving(FROB):
        pass
    announcer.close()
    at.broker.unblock()
    while said(at).state != "left":  # the last word is said all the same
        pass
    bus.close()


def test_a_message_is_read_by_its_published_schema(at: Desk) -> None:
    with announcing(at.broker) as announcer:
        announcer.serving(FROB, "FrobWorker")
        plain = json.loads(at.next("presence-watch").message.body)
    assert Presence.from_plain(plain).to_plain() == plain
