"""The checker of the kill tests finds what it is there to find."""

from collections.abc import Sequence
from typing import Any

import pytest

from headway.jobs.events import Event, RunIntended, Settled, TryEnded
from headway.jobs.job import Rules
from headway.jobs.outcomes import Ending, Phase
from headway.jobs.plan import Plan, Policy
from headway.jobs.states import RunState
from headway.ports.store import Launch, RunRecord
from tests.faults.core_kills import Effect, Found, violations

RUN = "a" * 24
PLAN = Plan(
    ["First", "Second"],
    ["", ""],
    [(), (0,)],
    [Rules(has_check=False, on_lost="ask"), Rules(has_check=False, on_lost="rerun")],
    Policy(),
)


def intended(key: int, number: int = 1) -> RunIntended:
    return RunIntended(1, key, number, attempt=f"attempt-{key}-{number}")


def ended(key: int, number: int = 1, ending: Ending = Ending.REPAIRED) -> TryEnded:
    return TryEnded(1, key, number, ending, phase=Phase.RUN, executed=True, final=True)


def done(key: int, number: int = 1) -> Effect:
    return Effect(RUN, key, "Do", f"attempt-{key}-{number}")


WELL: Sequence[Event] = [intended(0), ended(0), intended(1), ended(1)]


def said(
    events: Sequence[Event] = WELL,
    effects: Sequence[Effect] = (done(0), done(1)),
    ids: Sequence[str] = (RUN,),
    state: RunState = RunState.SUCCEEDED,
) -> str:
    launch = Launch("", "", {}, "", {}, (), "", "", "")
    record = RunRecord(RUN, state, launch, 0, 1, None, 1, 1, 0.0, 2, core=True)
    return "\n".join(violations(ids, [Found(record, PLAN, events)], effects))


def test_nothing_is_said_of_what_went_well() -> None:
    assert said() == ""


def test_what_a_policy_or_a_person_allows_is_no_violation() -> None:
    again: list[Event] = [intended(1), ended(1, ending=Ending.FAILED), intended(1, 2), ended(1, 2)]
    assert said([*WELL[:2], *again], [done(0), done(1), done(1, 2)]) == ""
    doubt: list[Event] = [intended(0), ended(0, ending=Ending.IN_DOUBT), Settled(1, 0, "again")]
    assert said([*doubt, intended(0, 2), ended(0, 2), *WELL[2:]], [done(0, 2), done(1)]) == ""


@pytest.mark.parametrize(
    ("planted", "words"),
    [
        ({"ids": [RUN, "b" * 24]}, "given out, and lost"),
        ({"state": RunState.INTERRUPTED}, "is interrupted"),
        ({"events": [*WELL, ended(1)]}, "has 2 ends"),
        ({"events": [*WELL, intended(1, 2), ended(1, 2)]}, "Second succeeded twice"),
        ({"events": [*WELL[2:], *WELL[:2]]}, "Second began before [0] were done"),
        ({"effects": [done(0), done(0), done(1)]}, "First was done 2 times"),
        ({"effects": [done(1)]}, "First is said to be done, and was not"),
        ({"effects": [done(0), done(1), done(1, 7)]}, "attempt-1-7: done, and in no journal"),
    ],
)
def test_a_violation_that_is_planted_is_found(planted: dict[str, Any], words: str) -> None:
    assert words in said(**planted)
