"""Pauses and gates, whatever comes in whatever order: the schedule and the folds."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from headway.jobs.events import (
    Event,
    GateAnswered,
    GateReached,
    RunCancelled,
    RunPaused,
    RunResumed,
    RunRetried,
    RunUnpaused,
    TryEnded,
)
from headway.jobs.gates import Gates
from headway.jobs.outcomes import Ending
from headway.jobs.schedule import Ignored, Schedule
from headway.jobs.standing import Standing
from tests.properties.drive import examples, plan_of
from tests.properties.one_slot import Example

KEYS = st.integers(0, 3)
NUMBERS = st.integers(1, 2)
GATE_EVENTS = st.lists(
    st.one_of(
        st.builds(lambda key, number: GateReached(1, key, number), KEYS, NUMBERS),
        st.builds(lambda key, number: GateAnswered(2, key, number, "approve"), KEYS, NUMBERS),
        st.builds(lambda key, number: TryEnded(3, key, number, Ending.REPAIRED), KEYS, NUMBERS),
        KEYS.map(lambda key: RunRetried(4, (key,))),
        st.sampled_from([RunCancelled(5), RunResumed(6, "another process")]),
    )
)
MOVES = st.lists(st.sampled_from(["start", "end", "pause", "unpause", "cancel"]), max_size=60)


@given(GATE_EVENTS)
def test_a_gate_waits_from_when_it_was_reached_until_something_ends_that(
    events: Sequence[Event],
) -> None:
    waits: set[int] = set()
    for event in events:
        match event:
            case GateReached(_, key):
                waits.add(key)
            case GateAnswered(_, key) | TryEnded(_, key):
                waits.discard(key)
            case RunRetried() | RunCancelled():
                waits.clear()
            case _:
                pass  # to be taken up by another process ends nothing
    gates = Gates(events)
    assert set(gates.waiting) == waits
    for key, answer in gates.answered.items():
        assert gates.answer_to(key, answer.number) is answer
        assert gates.answer_to(key, answer.number + 1) is None


@given(examples(), MOVES)
def test_nothing_starts_while_it_is_paused_and_nothing_is_lost_by_that(
    jobs: list[Example], moves: list[str]
) -> None:
    plan, _ = plan_of(jobs)
    schedule, running, begun, cancelled = Schedule(plan), [], [], False

    def start() -> bool:
        key = schedule.ready(0.0)
        if key is None:
            return False
        schedule.started(key, 0.0)
        running.append(key)
        begun.append(key)
        return True

    for move in moves:
        before = len(begun)
        if move == "pause":
            assert isinstance(schedule.pause(), Ignored) is cancelled
        elif move == "unpause":
            schedule.unpause()
        elif move == "cancel":
            schedule.cancel()
            cancelled = True
        elif move == "start":
            was_paused = schedule.paused
            start()
            assert not was_paused or len(begun) == before
        elif running:
            schedule.ended(running.pop(), Ending.PASSED, 0.0)
        assert not schedule.paused or (schedule.ready(0.0), schedule.wake_at) == (None, None)
        assert not (schedule.paused and cancelled)
    schedule.unpause()
    while running or start():
        if running:
            schedule.ended(running.pop(), Ending.PASSED, 0.0)
    assert schedule.is_over
    assert len(begun) == len(set(begun))
    assert cancelled or schedule.succeeded


@given(st.lists(st.sampled_from([RunPaused, RunUnpaused, RunCancelled, RunResumed])))
def test_where_it_stands_by_its_journal_is_what_the_schedule_was_told(
    kinds: list[type],
) -> None:
    plan, _ = plan_of([Example()])
    events: list[Event] = [
        RunResumed(1, "another process") if kind is RunResumed else kind(1) for kind in kinds
    ]
    standing, schedule = Standing(plan), Schedule(plan)
    for event in events:
        standing.apply(event)
        if isinstance(event, RunPaused):
            schedule.pause()
        elif isinstance(event, RunUnpaused):
            schedule.unpause()
        elif isinstance(event, RunCancelled):
            schedule.cancel()
    assert standing.paused is schedule.paused
    assert Schedule.from_journal(plan, events).paused is standing.paused
