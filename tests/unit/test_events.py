"""Every event comes back from its row as it was."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.errors import WireError
from headway.jobs.events import (
    CleanupEnded,
    CleanupIntended,
    Event,
    GateAnswered,
    GateReached,
    NoticeIntended,
    PhaseNoticeIntended,
    ProcessStarted,
    RecheckIntended,
    RequestAnswered,
    Row,
    RunBegan,
    RunCancelled,
    RunEnded,
    RunIntended,
    RunPaused,
    RunResumed,
    RunRetried,
    RunUnpaused,
    Settled,
    StepClaimed,
    StepGivenBack,
    TryEnded,
    TryStarted,
    decode,
    encode,
)
from headway.jobs.outcomes import Ending, Failure, Phase
from headway.jobs.shared import Changes
from headway.jobs.states import JobState, RunState

TEXT = st.text(max_size=5)
MOMENT = st.integers(0, 2**62)
KEY = st.integers(0, 100_000)
NUMBER = st.integers(1, 50)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
FAILURE = st.none() | st.builds(
    Failure, TEXT, TEXT, st.none() | st.text(min_size=1), st.booleans(), st.none()
)
CHANGES = st.none() | st.builds(
    Changes,
    st.dictionaries(TEXT, JSON, max_size=3),
    st.lists(TEXT, max_size=3).map(tuple),
    st.dictionaries(TEXT, TEXT, max_size=3),
)

EVENTS: dict[type[Any], st.SearchStrategy[Any]] = {
    RunBegan: st.builds(RunBegan, MOMENT),
    RunResumed: st.builds(RunResumed, MOMENT, TEXT),
    RunRetried: st.builds(RunRetried, MOMENT, st.lists(KEY, max_size=3).map(tuple), TEXT),
    TryStarted: st.builds(TryStarted, MOMENT, KEY, NUMBER),
    RunIntended: st.builds(RunIntended, MOMENT, KEY, NUMBER, FAILURE, CHANGES, CHANGES, TEXT),
    StepClaimed: st.builds(StepClaimed, MOMENT, KEY, NUMBER, TEXT, TEXT),
    StepGivenBack: st.builds(StepGivenBack, MOMENT, KEY, NUMBER, TEXT, TEXT),
    RecheckIntended: st.builds(RecheckIntended, MOMENT, KEY, NUMBER, FAILURE),
    NoticeIntended: st.builds(NoticeIntended, MOMENT, KEY, NUMBER, TEXT, TEXT),
    PhaseNoticeIntended: st.builds(
        PhaseNoticeIntended, MOMENT, TEXT, TEXT, st.lists(TEXT).map(tuple), TEXT
    ),
    ProcessStarted: st.builds(
        ProcessStarted, MOMENT, KEY, NUMBER, st.integers(0, 2**22), TEXT, TEXT
    ),
    TryEnded: st.builds(
        TryEnded,
        MOMENT,
        KEY,
        NUMBER,
        st.sampled_from(Ending),
        MOMENT,
        st.sampled_from(Phase),
        st.booleans(),
        st.booleans(),
        FAILURE,
        CHANGES,
        CHANGES,
    ),
    CleanupIntended: st.builds(CleanupIntended, MOMENT, KEY, NUMBER),
    CleanupEnded: st.builds(CleanupEnded, MOMENT, KEY, NUMBER, FAILURE),
    Settled: st.builds(
        Settled, MOMENT, KEY, st.sampled_from(["done", "again", "failed"]), TEXT, TEXT
    ),
    GateReached: st.builds(GateReached, MOMENT, KEY, NUMBER, TEXT),
    GateAnswered: st.builds(
        GateAnswered, MOMENT, KEY, NUMBER, st.sampled_from(["approve", "reject"]), TEXT, TEXT
    ),
    RunCancelled: st.builds(RunCancelled, MOMENT, TEXT, TEXT),
    RunPaused: st.builds(RunPaused, MOMENT, TEXT, TEXT),
    RunUnpaused: st.builds(RunUnpaused, MOMENT, TEXT, TEXT),
    RequestAnswered: st.builds(RequestAnswered, MOMENT, st.integers(0, 999), TEXT),
    RunEnded: st.builds(
        RunEnded,
        MOMENT,
        st.sampled_from(RunState),
        st.dictionaries(st.sampled_from([str(s) for s in JobState]), st.integers(0, 9)),
        st.integers(0, 9),
    ),
}


def test_the_events_drawn_here_are_all_the_events_there_are() -> None:
    assert set(EVENTS) == set(get_args(Event))


@pytest.mark.parametrize("kind", EVENTS, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_an_event_comes_back_from_its_row_as_it_was(kind: type[Any], data: st.DataObject) -> None:
    event = data.draw(EVENTS[kind])
    row = encode(event)
    again = decode(Row(*row))
    assert again == event
    assert type(again) is kind
    types = [type(value) for value in event]
    assert [type(value) for value in again] == types  # an enum is one again, a tuple is one again


@pytest.mark.parametrize("kind", EVENTS, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_a_row_is_plain_and_its_body_is_json(kind: type[Any], data: st.DataObject) -> None:
    row = encode(data.draw(EVENTS[kind]))
    assert type(row.kind) is str
    assert type(row.at_us) is int
    assert row.key is None or type(row.key) is int
    assert row.number is None or type(row.number) is int
    assert row.body is None or isinstance(json.loads(row.body), dict)


def test_a_try_that_only_passed_is_a_row_without_a_body() -> None:
    row = encode(TryEnded(5, 3, 1, Ending.PASSED))
    assert row == Row("passed", 5, 3, 1, None)


@pytest.mark.parametrize("ending", Ending)
def test_the_end_of_a_try_is_stored_under_its_ending(ending: Ending) -> None:
    assert encode(TryEnded(5, 3, 1, ending)).kind == ending.value


def test_the_exception_itself_does_not_go_into_the_journal() -> None:
    failure = Failure("ValueError", "no", exception=ValueError("no"))
    again = decode(encode(CleanupEnded(1, 2, 3, failure)))
    assert again == CleanupEnded(1, 2, 3, Failure("ValueError", "no"))


def test_an_event_of_an_unknown_kind_is_a_wire_error_that_says_what_to_do() -> None:
    with pytest.raises(WireError, match=r"'run-painted', written by a newer Headway: upgrade"):
        decode(Row("run-painted", 1, None, None, None))


@pytest.mark.parametrize(
    "row",
    [
        Row("settled", 1, 2, None, "{"),
        Row("settled", 1, 2, None, "[]"),
        Row("settled", 1, 2, None, '{"how":"done","colour":"red"}'),
        Row("settled", 1, 2, None, None),
        Row("passed", 1, 2, 1, '{"phase":"dance"}'),
        Row("passed", 1, None, None, None),
        Row("run-ended", 1, None, None, '{"state":"painted"}'),
        Row("cleanup-ended", 1, 2, 1, '{"failure":{"colour":"red"}}'),
    ],
    ids=lambda row: f"{row.kind} {row.body}",
)
def test_a_row_that_makes_no_event_is_a_wire_error_that_names_its_kind(row: Row) -> None:
    with pytest.raises(WireError, match=row.kind):
        decode(row)
