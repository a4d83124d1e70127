"""A run's journal: what may wait, what may not, and a store that is away."""

import threading

import pytest

from headway.errors import Conflict, Unavailable
from headway.jobs.events import (
    CleanupIntended,
    Event,
    ProcessStarted,
    RunCancelled,
    RunEnded,
    RunIntended,
    TryEnded,
)
from headway.jobs.outcomes import Ending
from headway.jobs.shared import Changes
from headway.jobs.states import RunState
from headway.runtime.journal import BEAT_US, LONGEST_WAIT_US, MOST_ROWS
from headway.testing.stores import RUN, owner
from tests.unit.journals import FlakyStore, begun, passes


def kinds(store: FlakyStore) -> list[tuple[str, int | None]]:
    return [(row.kind, row.key) for row in store.written()]


# Waiting


def test_tries_that_passed_wait_to_be_a_thousand() -> None:
    journal, store, clock = begun()
    for key in range(MOST_ROWS - 1):
        passes(journal, clock, key)
    assert store.written() == []
    passes(journal, clock, MOST_ROWS - 1)
    assert [row.key for row in store.written()] == list(range(MOST_ROWS))
    assert store.appends == [MOST_ROWS]


def test_tries_that_passed_wait_for_fifty_milliseconds_at_most() -> None:
    journal, store, clock = begun()
    passes(journal, clock, 1)
    clock.us += LONGEST_WAIT_US - 1
    passes(journal, clock, 2)
    assert store.written() == []
    clock.us += 1
    passes(journal, clock, 3)
    assert kinds(store) == [("passed", 1), ("passed", 2), ("passed", 3)]


def test_a_clock_that_is_put_back_makes_nothing_wait_longer() -> None:
    journal, store, clock = begun()
    clock.forward(-3600)
    passes(journal, clock, 1)
    assert kinds(store) == [("passed", 1)]
    clock.forward(-3600)
    journal.tick()
    assert store.beats == 1


@pytest.mark.parametrize(
    "event",
    [
        TryEnded(1, 5, 1, Ending.FAILED),
        TryEnded(1, 5, 1, Ending.REPAIRED),
        TryEnded(1, 5, 1, Ending.PASSED, shared=Changes({"a": 1}, (), {})),
        RunIntended(1, 5, 1),
        ProcessStarted(1, 5, 1, 7, "", ""),
        CleanupIntended(1, 5, 1),
        RunCancelled(1),
    ],
    ids=["failed", "repaired", "passed-and-set", "intent", "process", "cleanup", "cancelled"],
)
def test_everything_else_is_written_at_once_and_what_waits_before_it(event: Event) -> None:
    journal, store, clock = begun()
    passes(journal, clock, 1)
    passes(journal, clock, 2)
    journal.write(event)
    assert [key for _, key in kinds(store)] == [1, 2, getattr(event, "key", None)]
    assert len(store.appends) == 1


def test_a_try_that_passed_after_a_while_may_wait_too() -> None:
    journal, store, _ = begun()
    journal.write(TryEnded(5, 1, 1, Ending.PASSED, began_us=3))
    assert store.written() == []
    journal.tick()
    assert kinds(store) == [("passed", 1)]


def test_a_tick_of_another_thread_writes_what_waits() -> None:
    journal, store, clock = begun()
    passes(journal, clock, 1)
    journal.wrote(2, 1, "out", "a line")
    thread = threading.Thread(target=journal.tick)
    thread.start()
    thread.join()
    assert kinds(store) == [("passed", 1)]
    assert [line.text for line in store.output(RUN)] == ["a line"]


def test_with_nothing_to_write_an_owner_says_once_a_second_that_it_lives() -> None:
    journal, store, clock = begun()
    for _ in range(100):
        clock.forward(0.05)
        journal.tick()
    assert store.beats == 5
    assert store.find(RUN).seen_s < BEAT_US / 1e6


def test_what_ends_a_run_gives_it_up_with_all_that_waits() -> None:
    journal, store, clock = begun()
    passes(journal, clock, 1)
    journal.write(RunEnded(5, RunState.SUCCEEDED, {"passed": 1}), state=RunState.SUCCEEDED)
    assert kinds(store) == [("passed", 1), ("run-ended", None)]
    assert (store.find(RUN).state, store.find(RUN).owner) == (RunState.SUCCEEDED, None)


def test_an_answer_is_written_with_what_follows_from_it() -> None:
    journal, store, clock = begun()
    passes(journal, clock, 1)
    number = store.ask(RUN, "cancel", {}, "me", 1)
    assert [request.id for request in journal.asked()] == [number]
    journal.answer(number, "cancelling", RunCancelled(5))
    assert journal.asked() == []
    assert kinds(store) == [("passed", 1), ("run-cancelled", None)]


# Tries that go on for a while


def test_a_try_that_goes_on_for_a_while_is_told_once() -> None:
    journal, store, clock = begun()
    journal.going[3] = (1, clock.us)
    journal.tick()
    assert store.written() == []
    clock.forward(0.06)
    journal.tick()
    journal.tick()
    assert kinds(store) == [("try-started", 3)]
    journal.passed(clock.us, 3, 1)
    journal.going[3] = (2, clock.us)
    clock.forward(0.06)
    journal.tick()
    assert kinds(store) == [("try-started", 3), ("passed", 3), ("try-started", 3)]


def test_the_start_of_a_try_is_told_before_its_run_is_intended_or_not_at_all() -> None:
    journal, store, clock = begun()
    journal.going.update({1: (1, clock.us), 2: (1, clock.us)})
    journal.write(RunIntended(clock.us, 1, 1))
    clock.forward(0.06)
    journal.write(RunIntended(clock.us, 2, 1))
    clock.forward(0.06)
    journal.tick()
    assert kinds(store) == [("run-intended", 1), ("try-started", 2), ("run-intended", 2)]


# A store that is away


def test_what_can_wait_waits_until_the_store_is_back() -> None:
    journal, store, clock = begun()
    passes(journal, clock, 1)
    journal.wrote(1, 1, "out", "a line")
    store.faults = ["undone", "undone"]
    for _ in range(30):
        journal.tick()
        clock.forward(0.05)
    assert store.faults == []
    assert store.written() == []  # it is asked once a second
    journal.going[2] = (1, clock.us)
    clock.forward(0.6)
    journal.tick()
    assert kinds(store) == [("passed", 1), ("try-started", 2)]
    assert [line.text for line in store.output(RUN)] == ["a line"]


def test_the_beat_goes_on_when_the_store_is_back() -> None:
    journal, store, clock = begun()
    clock.forward(1)
    store.faults = ["undone"]
    journal.tick()
    assert store.beats == 0
    clock.forward(1)
    journal.tick()
    assert store.beats == 1


def test_nobody_has_asked_anything_while_the_store_is_away() -> None:
    journal, store, clock = begun()
    store.ask(RUN, "cancel", {}, "me", 1)
    store.faults = ["undone"]
    assert journal.asked() == ()
    assert journal.asked() == ()
    clock.forward(1)
    assert len(journal.asked()) == 1


def test_what_cannot_wait_ends_the_journal() -> None:
    """Who failed to write an intent must not see it written later, when nobody follows it."""
    journal, store, clock = begun()
    passes(journal, clock, 1)
    store.faults = ["undone"]
    with pytest.raises(Unavailable, match="away"):
        journal.write(RunIntended(clock.us, 2, 1))
    clock.forward(2)
    journal.tick()
    with pytest.raises(Unavailable, match="away"):
        journal.write(TryEnded(clock.us, 2, 1, Ending.REPAIRED))
    with pytest.raises(Unavailable, match="away"):
        journal.answer(1, "yes")
    assert journal.asked() == ()
    assert store.written() == []
    assert store.beats == 0


def test_too_many_that_wait_end_it_too() -> None:
    journal, store, clock = begun()
    store.faults = ["undone"]
    for key in range(MOST_ROWS - 1):
        passes(journal, clock, key)
    with pytest.raises(Unavailable):
        passes(journal, clock, MOST_ROWS - 1)


def test_a_commit_whose_answer_was_lost_is_not_repeated() -> None:
    journal, store, clock = begun()
    passes(journal, clock, 1)
    journal.wrote(1, 1, "out", "a line")
    store.faults = ["done"]
    journal.tick()
    journal.wrote(1, 1, "out", "another line")
    passes(journal, clock, 2)
    clock.forward(2)
    journal.tick()
    assert kinds(store) == [("passed", 1), ("passed", 2)]
    assert [line.text for line in store.output(RUN)] == ["a line", "another line"]


def test_after_ctrl_c_in_a_commit_the_end_can_still_be_written() -> None:
    journal, store, clock = begun()
    store.faults = ["interrupted"]
    with pytest.raises(KeyboardInterrupt):
        journal.write(TryEnded(clock.us, 1, 1, Ending.FAILED))
    journal.write(RunEnded(5, RunState.INTERRUPTED, {}), state=RunState.INTERRUPTED)
    assert kinds(store) == [("failed", 1), ("run-ended", None)]


def test_an_owner_that_lost_its_run_is_told_by_the_next_tick() -> None:
    journal, store, clock = begun()
    store.take(RUN, 1, owner(2))
    passes(journal, clock, 1)
    with pytest.raises(Conflict):
        journal.tick()
    with pytest.raises(Conflict):
        journal.write(RunIntended(clock.us, 2, 1))
    assert store.written() == []
