"""The monitor between a feed and a store that fail in every way they can."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from headway.errors import Refused, Rejected, Unavailable
from headway.runtime.monitor import ASKED_OFTEN_ENOUGH, BATCH, Monitor
from headway.testing.memory_feed import MemoryFeed
from headway.testing.memory_tasks import MemoryTasks
from headway.tracking.heard import DeadLetter, Heard
from headway.tracking.task import Task

DEADLINE_S = 30.0


def message(id: str, **headers: Any) -> Heard:
    named = {"task": "export.add", "id": id, **headers}
    return Heard(False, "export", named, "application/json", b"[[], {}, {}]", 5)


def sign_of_life(name: str, pid: int = 1) -> Heard:
    event = {"type": "worker-heartbeat", "hostname": name, "pid": pid, "timestamp": 1}
    return Heard(True, "worker.heartbeat", {}, "application/json", json.dumps(event).encode(), 5)


class Frail(MemoryTasks):
    """Fails when it is told to; so many times, or always with what it cannot keep."""

    def __init__(self) -> None:
        super().__init__()
        self.fails: list[Exception] = []
        self.cannot_keep: set[str] = set()
        self.sizes: list[int] = []
        self.tried = threading.Semaphore(0)

    def record(self, tasks: Sequence[Task], letters: Sequence[DeadLetter] = ()) -> None:
        self.tried.release()
        if self.fails:
            raise self.fails.pop(0)
        if self.cannot_keep.intersection(task.id for task in tasks):
            raise Rejected("it cannot hold this")
        self.sizes.append(len(tasks))
        super().record(tasks, letters)


@pytest.fixture
def feed() -> MemoryFeed:
    return MemoryFeed()


@pytest.fixture
def tasks() -> Frail:
    return Frail()


@contextmanager
def listening(
    feed: MemoryFeed, open_tasks: Callable[[], MemoryTasks], **more: Any
) -> Iterator[Monitor]:
    monitor = Monitor(feed, open_tasks, chance=lambda: 0.0, **more)
    thread = threading.Thread(target=monitor.run, daemon=True)
    thread.start()
    try:
        yield monitor
    finally:
        monitor.stop()
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def ids(tasks: MemoryTasks) -> set[str]:
    return {one.task.id for one in tasks.search(limit=10_000)}


def test_what_is_recorded_is_settled(feed: MemoryFeed, tasks: Frail) -> None:
    feed.send(*(message(f"t{number}") for number in range(BATCH + 10)))
    with listening(feed, lambda: tasks) as monitor:
        assert feed.wait_until_settled(DEADLINE_S)
    assert len(ids(tasks)) == BATCH + 10
    assert tasks.sizes[0] == BATCH  # one transaction for many
    assert (monitor.messages, monitor.letters) == (BATCH + 10, 0)


def test_while_one_batch_is_recorded_the_next_is_brought_and_neither_is_settled(
    feed: MemoryFeed,
) -> None:
    begun, may_end = threading.Semaphore(0), threading.Semaphore(0)

    class Slow(MemoryTasks):
        def record(self, tasks: Sequence[Task], letters: Sequence[DeadLetter] = ()) -> None:
            begun.release()
            assert may_end.acquire(timeout=DEADLINE_S)
            super().record(tasks, letters)

    tasks = Slow()
    feed.send(message("t1"))
    with listening(feed, lambda: tasks):
        assert begun.acquire(timeout=DEADLINE_S)
        feed.send(message("t2"))
        assert feed.wait_until_brought(2, DEADLINE_S)
        assert (len(feed.unsettled), ids(tasks)) == (2, set())
        may_end.release()  # nothing else comes that could wake it
        assert begun.acquire(timeout=DEADLINE_S)
        assert [one.headers["id"] for one in feed.unsettled] == ["t2"]
        may_end.release()
        assert feed.wait_until_settled(DEADLINE_S)
    assert ids(tasks) == {"t1", "t2"}


def test_nothing_is_settled_while_the_store_is_away(feed: MemoryFeed, tasks: Frail) -> None:
    tasks.fails = [Unavailable("away")] * 3
    feed.send(message("t1"), message("t2"))
    with listening(feed, lambda: tasks):
        for _ in range(3):
            assert tasks.tried.acquire(timeout=DEADLINE_S)
            assert len(feed.unsettled) == 2
        assert feed.wait_until_settled(DEADLINE_S)
    assert ids(tasks) == {"t1", "t2"}


def test_a_store_that_is_away_at_first_is_waited_for(feed: MemoryFeed, tasks: Frail) -> None:
    failures = [Unavailable("away"), Unavailable("away")]

    def open_tasks() -> MemoryTasks:
        if failures:
            raise failures.pop()
        return tasks

    feed.send(message("t1"))
    with listening(feed, open_tasks):
        assert feed.wait_until_settled(DEADLINE_S)
    assert ids(tasks) == {"t1"}


def test_a_store_that_can_never_work_is_told_at_once(feed: MemoryFeed) -> None:
    def open_tasks() -> MemoryTasks:
        raise Rejected("it was written by a newer Headway")

    with pytest.raises(Rejected, match="newer"):
        Monitor(feed, open_tasks).run()
    assert feed.opened == 0


def test_a_broker_that_refuses_ends_it_and_one_that_is_away_is_tried_again(
    feed: MemoryFeed, tasks: Frail
) -> None:
    feed.refuses = [Unavailable("away"), Unavailable("away"), Refused("wrong password")]
    with pytest.raises(Refused, match="wrong password"):
        Monitor(feed, lambda: tasks, chance=lambda: 0.0).run()
    assert feed.opened == 3


def test_what_a_lost_connection_brings_again_is_recorded_once(
    feed: MemoryFeed, tasks: Frail
) -> None:
    feed.send(*(message(f"t{number}") for number in range(5)))
    tasks.fails = [Unavailable("away")]
    with listening(feed, lambda: tasks):
        assert tasks.tried.acquire(timeout=DEADLINE_S)
        feed.lose()
        assert feed.wait_until_settled(DEADLINE_S)
    assert len(ids(tasks)) == 5
    assert feed.opened == 2


def test_what_cannot_be_kept_becomes_a_dead_letter_and_the_rest_is_kept(
    feed: MemoryFeed, tasks: Frail
) -> None:
    tasks.cannot_keep = {"t3", "t11"}
    feed.send(*(message(f"t{number}") for number in range(20)))
    with listening(feed, lambda: tasks) as monitor:
        assert feed.wait_until_settled(DEADLINE_S)
    assert ids(tasks) == {f"t{number}" for number in range(20)} - tasks.cannot_keep
    letters = tasks.dead_letters()
    assert [one.reason for one in letters] == ["it cannot hold this"] * 2
    assert (monitor.messages, monitor.letters) == (20, 2)


def test_a_message_without_a_task_becomes_a_dead_letter(feed: MemoryFeed, tasks: Frail) -> None:
    feed.send(message("t1"), message(""), Heard(True, "k", {}, "text/plain", b"?", 5))
    with listening(feed, lambda: tasks) as monitor:
        assert feed.wait_until_settled(DEADLINE_S)
    assert ids(tasks) == {"t1"}
    assert {one.kind for one in tasks.dead_letters()} == {"task", "event"}
    assert (monitor.messages, monitor.letters) == (3, 2)


def test_a_message_that_headway_fails_at_becomes_a_dead_letter_and_stops_no_other(
    feed: MemoryFeed, tasks: Frail
) -> None:
    class Strange(str):
        def __len__(self) -> int:
            raise ZeroDivisionError("how strange")

    feed.send(message("t1"), message("t2", origin=Strange("x")), message("t3"))
    with listening(feed, lambda: tasks):
        assert feed.wait_until_settled(DEADLINE_S)
    assert ids(tasks) == {"t1", "t3"}
    (letter,) = tasks.dead_letters()
    assert letter.reason == "headway failed at it: ZeroDivisionError: how strange"


def test_told_to_stop_it_records_what_it_has_in_hand(feed: MemoryFeed, tasks: Frail) -> None:
    tasks.fails = [Unavailable("away")]
    feed.send(message("t1"))
    with listening(feed, lambda: tasks):
        assert tasks.tried.acquire(timeout=DEADLINE_S)
    assert ids(tasks) == {"t1"}
    assert feed.unsettled == []


def test_told_to_stop_while_the_store_is_away_it_leaves_all_to_the_broker(
    feed: MemoryFeed, tasks: Frail
) -> None:
    tasks.fails = [Unavailable("away")] * 1000
    clock = iter(range(0, 100_000, 2))  # each look at it takes two seconds
    feed.send(message("t1"))
    with listening(feed, lambda: tasks, monotonic=lambda: float(next(clock))):
        assert tasks.tried.acquire(timeout=DEADLINE_S)
    assert [one.headers["id"] for one in feed.unsettled] == ["t1"]


def test_what_was_not_recorded_is_not_settled_in_place_of_what_came_after_it(
    feed: MemoryFeed,
) -> None:
    class AwayForTheFirst(Frail):
        def record(self, tasks: Sequence[Task], letters: Sequence[DeadLetter] = ()) -> None:
            self.tried.release()
            if any(task.id == "t1" for task in tasks):
                raise Unavailable("away")
            super().record(tasks, letters)

    tasks = AwayForTheFirst()
    clock = iter(range(0, 100_000, 2))  # each look at it takes two seconds
    feed.send(message("t1"))
    with listening(feed, lambda: tasks, monotonic=lambda: float(next(clock))):
        assert tasks.tried.acquire(timeout=DEADLINE_S)
        feed.send(message("t2"))
        assert feed.wait_until_brought(2, DEADLINE_S)
    assert [one.headers["id"] for one in feed.unsettled] == ["t1", "t2"]


def test_workers_are_asked_to_tell_and_those_that_come_later_too(
    feed: MemoryFeed, tasks: Frail
) -> None:
    with listening(feed, lambda: tasks, with_events=True):
        for _ in range(ASKED_OFTEN_ENOUGH + 2):
            feed.send(sign_of_life("a"))
            assert feed.wait_until_settled(DEADLINE_S)
        feed.send(sign_of_life("b"), sign_of_life("c"))
        assert feed.wait_until_settled(DEADLINE_S)
        feed.send(sign_of_life("a", pid=2))  # it was started anew
        assert feed.wait_until_settled(DEADLINE_S)
    assert feed.asked == [[], *[["a"]] * ASKED_OFTEN_ENOUGH, ["b", "c"], ["a"]]


def test_nobody_is_asked_to_tell_unless_that_is_wanted(feed: MemoryFeed, tasks: Frail) -> None:
    feed.send(sign_of_life("a"))
    with listening(feed, lambda: tasks):
        assert feed.wait_until_settled(DEADLINE_S)
    assert feed.asked == []
