"""An attempt as its run sees it: who holds it, which news counts, and how it ends without any."""

import pytest

from headway.adapters.celery_tries.attempts import Attempt
from headway.adapters.celery_tries.looking import Workers
from headway.adapters.celery_tries.messages import Said, Stands, said, stands
from headway.jobs.job import Rules
from headway.jobs.outcomes import Ending, Phase

PAYLOAD = {"what": "try"}


def an_attempt(**fields: object) -> Attempt:
    attempt = Attempt("a", "try", 0, 1, "Job", None, PAYLOAD, Phase.CHECK)
    for name, value in fields.items():
        setattr(attempt, name, value)
    return attempt


def claims(holder: str) -> Said:
    return Said("a", "claims", holder, 1, "w1@here")


def test_it_is_granted_to_the_first_who_claims_it_and_to_no_other() -> None:
    attempt = an_attempt()
    assert not attempt.hear(claims("one"))
    assert not attempt.hear(claims("two"))
    assert attempt.stands("one") == Stands("one", PAYLOAD)
    assert attempt.stands("two") == Stands("two", over=True)
    assert not attempt.hear(claims("one"))  # asked again, as no answer came
    assert attempt.stands("one").granted == PAYLOAD
    assert attempt.worker == "w1@here"


def test_frames_count_in_their_order_and_once() -> None:
    attempt = an_attempt(holder="one")
    heard = [attempt.hear(Said("a", "wrote", "one", number)) for number in (1, 1, 3, 2, 3, 2, 5, 4)]
    assert heard == [True, False, False, True, True, False, False, True]
    assert attempt.stands("one").heard == 4


def test_nobody_elses_frames_count() -> None:
    attempt = an_attempt(holder="one")
    assert not attempt.hear(Said("a", "wrote", "two", 1))
    assert attempt.heard == 0


def test_what_is_taken_back_is_granted_to_nobody() -> None:
    attempt = an_attempt()
    assert attempt.withdraw()
    attempt.hear(claims("one"))
    assert attempt.stands("one").over
    assert attempt.stands("one").granted is None


def test_what_somebody_has_is_not_taken_back() -> None:
    attempt = an_attempt(holder="one")
    assert not attempt.withdraw()
    assert not attempt.over


@pytest.mark.parametrize(
    ("executed", "has_check", "on_lost", "ending", "final"),
    [
        (False, True, "ask", Ending.FAILED, False),
        (True, True, "ask", Ending.FAILED, False),
        (True, False, "ask", Ending.IN_DOUBT, True),
        (True, False, "rerun", Ending.FAILED, False),
        (True, False, "fail", Ending.FAILED, True),
        (False, False, "ask", Ending.FAILED, False),
    ],
)
def test_without_news_it_ends_as_far_as_it_had_come(
    executed: bool, has_check: bool, on_lost: str, ending: Ending, final: bool
) -> None:
    outcome = an_attempt(executed=executed).lost(
        Rules(has_check=has_check, on_lost=on_lost), "its worker was ended"
    )
    assert (outcome.ending, outcome.final, outcome.executed) == (ending, final, executed)
    assert outcome.failure is not None
    assert outcome.failure.message == "its worker was ended while its check went on"


def test_messages_are_read_back_and_what_is_none_is_nothing() -> None:
    one = Said("a", "wrote", "h", 3, [["out", "a lone \udcff"]])
    assert said(one.text()) == one
    other = Stands("h", {"x": 1}, 2, 3, 4, True, False)
    assert stands(other.text().encode()) == other
    for odd in ("", "{", "7", "[]", "{}", b"\xff", "[1,2,3,4,5,6,7,8,9]"):
        assert said(odd) is None
        assert stands(odd) is None


def test_why_nobody_begins_is_said_with_what_to_do() -> None:
    there = {name: frozenset({queue}) for name, queue in (("w1", "work"), ("w2", "celery"))}
    workers = Workers(there, {"w1": False, "w2": True}, frozenset({"busy"}))
    assert workers.why_not("celery", "proj") is None
    assert workers.why_not("busy", "proj") is None
    nobody, unknown = workers.why_not("other", "proj"), workers.why_not("work", "proj")
    assert nobody is not None
    assert "celery -A proj worker -Q other" in nobody.text
    assert not nobody.final
    assert unknown is not None
    assert "include=['headway.toolbox.tries']" in unknown.text
    assert unknown.final
    # Who did not say what it knows may know it.
    assert workers._replace(knowing={}).why_not("work", "proj") is None
