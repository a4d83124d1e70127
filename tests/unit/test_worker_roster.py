"""What a core writes down of who is there: all that is new, and no more often than it takes."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus
from headway.errors import Unavailable
from headway.ports.bus import Message
from headway.ports.workers import WorkerRecord
from headway.runtime import clocks
from headway.runtime.worker_roster import LONGEST_BYTES, Roster, roster_kept
from headway.testing.kept_workers import presence
from headway.testing.memory import MemoryStore
from headway.wire import names
from headway.wire.messages import Presence, StepUnderWay

S = 1_000_000
SOON_S = 20.0


def due(roster: Roster, now_us: int, *said: Presence) -> list[str]:
    """The workers to be written, once these were heard; they are written."""
    for one in said:
        roster.put_aside(one.encode())
    found = [record.presence.worker for record in roster.due(now_us)]
    roster.written(now_us)
    return found


def test_who_says_nothing_new_is_written_only_now_and_then() -> None:
    roster = Roster()
    assert due(roster, 0, presence(number=1), presence("b", number=1)) == ["w1", "b"]
    assert due(roster, 1 * S, presence(number=2)) == []
    assert due(roster, 2 * S, presence(number=3)) == []
    assert due(roster, 3 * S, presence(number=4), presence("b", number=2)) == ["w1", "b"]
    assert due(roster, 4 * S) == []


def test_who_says_so_every_second_is_written_every_second_for_it_is_lost_sooner() -> None:
    roster = Roster()
    said = [presence(number=number, interval_s=1) for number in range(1, 4)]
    assert [due(roster, number * S, one) for number, one in enumerate(said)] == [["w1"]] * 3


@pytest.mark.parametrize(
    "more", [{"state": "left"}, {"doing": [StepUnderWay(since_us=1)]}, {"concurrency": 2}]
)
def test_what_is_new_is_written_at_once(more: dict[str, Any]) -> None:
    roster = Roster()
    due(roster, 0, presence(number=1))
    assert due(roster, 1, presence(number=2, **more)) == ["w1"]


def test_what_could_not_be_written_stays_due_as_it_stands_by_then() -> None:
    roster = Roster()
    roster.put_aside(presence(number=1).encode())
    assert len(roster.due(0)) == 1
    roster.put_aside(presence(number=2, pid=7).encode())
    (record,) = roster.due(2 * S)
    assert record == WorkerRecord(presence(number=2, pid=7), 0.0)
    (record,) = roster.due(5 * S)
    assert record.seen_s == 3.0


def test_what_came_too_late_or_cannot_be_read_counts_for_nothing() -> None:
    roster = Roster()
    due(roster, 0, presence(number=5))
    assert due(roster, 1, presence(number=4, pid=9)) == []
    long = presence("long", kind="k", extra={"x": "x" * LONGEST_BYTES})
    roster.put_aside(b"{")
    assert due(roster, 2, long) == []


# Beside a core


class FailingStore(MemoryStore):
    """Does not answer for a while."""

    def __init__(self, fails: int) -> None:
        super().__init__()
        self.fails = fails

    def note_workers(self, heard: Sequence[WorkerRecord]) -> None:
        if self.fails:
            self.fails -= 1
            raise Unavailable("away")
        super().note_workers(heard)

    def close(self) -> None:
        pass


def until(holds: Callable[[], bool]) -> None:
    deadline = clocks.monotonic() + SOON_S
    while not holds():
        assert clocks.monotonic() < deadline, "it did not come to that"
        threading.Event().wait(0.005)


def said_to(broker: MemoryBroker, one: Presence) -> None:
    bus = MemoryBus(broker)
    bus.open()
    bus.publish(Message(one.encode()), names.PRESENCE, names.EXCHANGE).wait(SOON_S)
    bus.close()


def test_a_store_that_is_away_is_told_later_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, store = MemoryBroker(), FailingStore(fails=3)
    bus = MemoryBus(broker)
    bus.open()
    with caplog.at_level(logging.WARNING), roster_kept(lambda: store, bus, write_s=0.01):
        said_to(broker, presence())
        until(lambda: bool(store.workers(1)))
    bus.close()
    assert [one.message for one in caplog.records] == [
        "which workers are there cannot be written down now: away"
    ]


def test_where_the_core_may_not_listen_it_says_so_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = MemoryBroker()
    broker.allow("poor", "^re$", "^re$", "^re$")
    bus = MemoryBus(broker, "poor")
    bus.open()
    done = False
    with caplog.at_level(logging.WARNING), roster_kept(MemoryStore, bus):
        done = True
    bus.close()
    assert done
    assert "which workers are there is not written down" in caplog.text
