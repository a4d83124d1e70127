"""Outcomes cross to another process and back as they were."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headway.jobs.outcomes import (
    Ending,
    Failure,
    Outcome,
    Phase,
    outcome_from_json,
    outcome_to_json,
)
from headway.jobs.shared import Changes

TEXTS = st.text() | st.characters(categories=["Cs"])  # a lone surrogate, too
PLAIN = st.none() | st.booleans() | st.integers() | TEXTS
VALUES = st.recursive(
    PLAIN | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
CHANGES = st.tuples(
    st.dictionaries(TEXTS, VALUES, max_size=3),
    st.lists(TEXTS, max_size=3).map(tuple),
    st.dictionaries(TEXTS, TEXTS, max_size=3),
).map(Changes._make)
FAILURES = st.tuples(
    TEXTS.filter(bool), TEXTS, st.none() | TEXTS.filter(bool), st.booleans(), st.none()
).map(Failure._make)
OUTCOMES = st.tuples(
    st.sampled_from(Ending),
    VALUES,
    st.none() | FAILURES,
    st.sampled_from(Phase),
    st.booleans(),
    st.booleans(),
    st.none() | CHANGES,
    st.none() | CHANGES,
    st.none(),
    TEXTS,  # what Diff says
).map(Outcome._make)


@given(OUTCOMES)
def test_an_outcome_comes_back_as_it_was(outcome: Outcome) -> None:
    assert outcome_from_json(outcome_to_json(outcome)) == outcome


@given(OUTCOMES)
def test_the_text_is_one_line_and_strict_json(outcome: Outcome) -> None:
    text = outcome_to_json(outcome)
    assert text.isascii()
    assert "\n" not in text
    json.loads(text, parse_constant=lambda name: 1 / 0)


class Unprintable:
    def __repr__(self) -> str:
        raise OSError


@given(
    st.sampled_from(
        [
            (float("nan"), "nan"),
            ((1, 2), "(1, 2)"),
            ({1: 2}, "{1: 2}"),
            ([(1,)], "[(1,)]"),
            (b"bytes", "b'bytes'"),
            (Unprintable(), "<Unprintable>"),
            ({1} | set(range(20_000)), repr(set(range(20_000)))[:10_000]),
        ]
    )
)
def test_a_result_that_json_would_change_arrives_as_its_repr(case: tuple[Any, str]) -> None:
    result, expected = case
    outcome = outcome_from_json(outcome_to_json(Outcome(Ending.PASSED, result)))
    assert outcome.result == expected


def test_the_job_and_the_exception_stay_behind() -> None:
    failure = Failure("ValueError", "no", exception=ValueError("no"))
    outcome = Outcome(Ending.FAILED, failure=failure, job=object())
    back = outcome_from_json(outcome_to_json(outcome))
    assert back == Outcome(Ending.FAILED, failure=Failure("ValueError", "no"))
