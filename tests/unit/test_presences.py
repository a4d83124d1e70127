"""Who is there, from what workers say of themselves."""

from typing import Any

import pytest

from headway.jobs.schedule import Ignored
from headway.releases import presences
from headway.releases.presences import Presences, Seen, WorkerState, heard
from headway.wire.messages import Presence, StepUnderWay

S = 1_000_000
STEP = StepUnderWay(since_us=1, run="run-1", command="frob", subcommand="frob")


def presence(**more: Any) -> Presence:
    known: dict[str, Any] = {
        "worker": "w1",
        "command": "frob",
        "queue": "worker.frob",
        "since_us": 0,
        "interval_s": 5,
    }
    return Presence(**{**known, **more})


@pytest.mark.parametrize(
    ("said", "after_s", "state"),
    [
        ({}, 0, WorkerState.IDLE),
        ({"doing": [STEP]}, 0, WorkerState.BUSY),
        ({"state": "leaving"}, 0, WorkerState.LEAVING),
        ({"state": "leaving", "doing": [STEP]}, 0, WorkerState.LEAVING),
        ({"state": "left"}, 0, WorkerState.LEFT),
        ({}, 15, WorkerState.IDLE),
        ({}, 15.1, WorkerState.LOST),
        ({"doing": [STEP]}, 15.1, WorkerState.LOST),
        ({"state": "leaving"}, 15.1, WorkerState.LOST),
        ({"state": "left"}, 15.1, WorkerState.LEFT),
        ({}, -3600, WorkerState.IDLE),  # the clock was set back
        ({"interval_s": 0}, 3, WorkerState.IDLE),
        ({"interval_s": 0}, 3.1, WorkerState.LOST),
        ({"interval_s": 1 << 62}, 900, WorkerState.IDLE),
        ({"interval_s": 1 << 62}, 900.1, WorkerState.LOST),
    ],
)
def test_a_worker_stands_as_it_said_until_it_is_missed(
    said: dict[str, Any], after_s: float, state: WorkerState
) -> None:
    seen = Seen(presence(**said), 3600 * S)
    assert seen.state(round((3600 + after_s) * S)) is state


def test_a_later_message_takes_the_place_of_an_earlier_one_and_not_the_other_way_round() -> None:
    first, second = presence(number=1, doing=[STEP]), presence(number=2)
    seen = heard(heard_of(first), second, 2)
    assert seen == Seen(second, 2)
    for late in (first, second):
        assert isinstance(heard(Seen(second, 2), late, 3), Ignored)


def test_who_does_not_count_is_believed() -> None:
    assert heard(heard_of(presence(number=0)), presence(doing=[STEP]), 5) == Seen(
        presence(doing=[STEP]), 5
    )


def heard_of(said: Presence) -> Seen:
    seen = heard(None, said, 1)
    assert isinstance(seen, Seen)
    return seen


def test_one_process_may_serve_several_queues_and_one_queue_have_several_processes() -> None:
    known = Presences()
    for number, (worker, queue) in enumerate(
        [("w1", "worker.juicer"), ("w1", "worker.frob"), ("w2", "worker.frob")], 1
    ):
        command = queue.removeprefix("worker.")
        known.hear(presence(worker=worker, queue=queue, command=command, number=number), 0)
    assert [(one.presence.queue, one.presence.worker) for one in known.there(1)] == [
        ("worker.frob", "w1"),
        ("worker.frob", "w2"),
        ("worker.juicer", "w1"),
    ]


def test_who_left_is_not_there_and_a_late_word_does_not_bring_it_back() -> None:
    known = Presences()
    known.hear(presence(number=1), 0)
    known.hear(presence(number=3, state="left"), 1)
    assert known.there(1) == []
    assert isinstance(known.hear(presence(number=2), 2), Ignored)
    assert known.there(2) == []
    known.hear(presence(number=4), 3)  # it serves again
    assert [one.state(3) for one in known.there(3)] == [WorkerState.IDLE]


def test_who_is_lost_is_listed_until_it_is_forgotten_and_is_back_with_a_word() -> None:
    known = Presences()
    known.hear(presence(number=1), 0)
    assert [one.state(16 * S) for one in known.there(16 * S)] == [WorkerState.LOST]
    known.hear(presence(number=2), 17 * S)
    assert [one.state(17 * S) for one in known.there(17 * S)] == [WorkerState.IDLE]
    known.forget(17 * S)
    assert len(known.there(17 * S)) == 1
    known.forget(33 * S)
    assert known.there(33 * S) == []


def test_there_is_a_bound_and_room_is_made_by_forgetting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presences, "MOST", 2)
    known = Presences()
    known.hear(presence(worker="a"), 0)
    known.hear(presence(worker="b"), 10 * S)
    assert isinstance(known.hear(presence(worker="c"), 11 * S), Ignored)
    assert isinstance(known.hear(presence(worker="b"), 11 * S), Seen)
    assert isinstance(known.hear(presence(worker="c"), 16 * S), Seen)
    assert [one.presence.worker for one in known.there(16 * S)] == ["b", "c"]
