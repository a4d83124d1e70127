"""A schedule told of anything: right news, wrong news, and a journal that was cut off anywhere."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.errors import WireError
from headway.jobs.events import Event, RunCancelled, RunRetried, Settled, TryEnded, TryStarted
from headway.jobs.job import Rules
from headway.jobs.outcomes import Ending
from headway.jobs.plan import Plan, Policy
from headway.jobs.schedule import Ignored, Schedule
from headway.jobs.states import JobState
from tests.properties.drive import drive, endings_of, examples, plan_of
from tests.properties.one_slot import Example

SUCCEEDED = (JobState.PASSED, JobState.REPAIRED)
SETTLED = {"done": JobState.REPAIRED, "again": JobState.PENDING, "failed": JobState.FAILED}


def inside(schedule: Schedule) -> dict[str, Any]:
    """All that a schedule knows, to see whether it changed."""
    kept = {name: value for name, value in vars(schedule).items() if name != "plan"}
    return copy.deepcopy(kept)


# Every state, every event

# One job that needs another: what it has been through, and where it stands then.
WAYS: dict[str, tuple[list[str], JobState]] = {
    "pending": ([], JobState.PENDING),
    "running": (["start"], JobState.RUNNING),
    "waiting": (["start", "failed"], JobState.WAITING),
    "passed": (["start", "passed"], JobState.PASSED),
    "repaired": (["start", "repaired"], JobState.REPAIRED),
    "failed": (["start", "failed for good"], JobState.FAILED),
    "overdue": (["start", "overdue"], JobState.OVERDUE),
    "in doubt": (["start", "in doubt"], JobState.IN_DOUBT),
    "cancelled": (["cancel"], JobState.PENDING),
    "cancelled while waiting": (["start", "failed", "cancel"], JobState.WAITING),
    "cancelled while running": (["start", "cancel"], JobState.RUNNING),
    "blocked": (["its need fails"], JobState.PENDING),
}
ENDED = {
    Ending.PASSED: JobState.PASSED,
    Ending.REPAIRED: JobState.REPAIRED,
    Ending.FAILED: JobState.WAITING,
    Ending.OVERDUE: JobState.OVERDUE,
    Ending.IN_DOUBT: JobState.IN_DOUBT,
}
NEWS = [
    "started",
    *[f"ended {ending}" for ending in Ending],
    *[f"settled {how}" for how in SETTLED],
    "settled nonsense",
]
# What each state makes of each news; anything not here is Ignored.
LEGAL: dict[tuple[str, str], JobState] = {
    ("pending", "started"): JobState.RUNNING,
    **{("running", f"ended {ending}"): state for ending, state in ENDED.items()},
    **{("cancelled while running", f"ended {ending}"): state for ending, state in ENDED.items()},
    **{("in doubt", f"settled {how}"): state for how, state in SETTLED.items()},
}


def brought_to(way: str) -> Schedule:
    """Job 1, which needs job 0, in the given state; job 2 needs it."""
    rules = [Rules(tries=2, retry_delay_s=9.0)] * 3
    names = ["before", "it", "after"]
    schedule = Schedule(Plan(names, names, [(), (0,), (1,)], rules, Policy()))
    steps, state = WAYS[way]
    assert schedule.ready(0.0) == 0
    schedule.started(0, 0.0)
    schedule.ended(0, Ending.OVERDUE if "its need fails" in steps else Ending.PASSED, 0.0)
    for step in steps:
        if step == "start":
            assert schedule.ready(0.0) == 1
            schedule.started(1, 0.0)
        elif step == "cancel":
            schedule.cancel()
        elif step != "its need fails":
            final = step == "failed for good"
            schedule.ended(1, Ending("failed" if final else step), 0.0, final)
    assert schedule.states[1] is state
    return schedule


def tell(schedule: Schedule, news: str, key: int = 1) -> JobState | Ignored | None:
    verb, _, how = news.partition(" ")
    if verb == "started":
        return schedule.started(key, 0.0)
    if verb == "ended":
        return schedule.ended(key, Ending(how), 0.0)
    return schedule.settled(key, how)


@pytest.mark.parametrize("news", NEWS)
@pytest.mark.parametrize("way", WAYS)
def test_news_moves_a_job_as_the_table_says_and_all_other_news_is_ignored_and_changes_nothing(
    way: str, news: str
) -> None:
    schedule = brought_to(way)
    before = inside(schedule)
    answer = tell(schedule, news)
    legal = LEGAL.get((way, news))
    if legal is None:
        assert isinstance(answer, Ignored)
        assert answer.reason
        assert inside(schedule) == before
    else:
        assert not isinstance(answer, Ignored)
        assert schedule.states[1] is legal


@pytest.mark.parametrize("key", [3, 1000, -4])
@pytest.mark.parametrize("news", ["started", "ended passed", "settled done"])
def test_news_of_a_job_that_the_plan_does_not_have_is_ignored(key: int, news: str) -> None:
    schedule = brought_to("running")
    before = inside(schedule)
    answer = tell(schedule, news, key)
    assert isinstance(answer, Ignored)
    assert str(key) in answer.reason
    assert inside(schedule) == before


def test_a_try_that_ends_twice_counts_once() -> None:
    schedule = brought_to("running")
    assert schedule.ended(1, Ending.FAILED, 0.0) is JobState.WAITING
    assert isinstance(schedule.ended(1, Ending.PASSED, 0.0), Ignored)
    assert schedule.tries[1] == 1
    assert schedule.states[1] is JobState.WAITING


def test_a_job_is_not_started_before_its_delay_is_over() -> None:
    schedule = brought_to("waiting")
    assert schedule.ready(8.9) is None
    assert isinstance(schedule.started(1, 8.9), Ignored)
    assert schedule.ready(9.0) == 1
    assert schedule.started(1, 9.0) is None


def test_a_job_is_not_started_before_what_it_needs() -> None:
    schedule = brought_to("running")
    assert isinstance(schedule.started(2, 0.0), Ignored)


@given(examples(), st.data())
def test_any_news_in_any_order_is_taken_or_ignored_and_never_breaks_the_schedule(
    jobs: list[Example], data: st.DataObject
) -> None:
    plan, _ = plan_of(jobs, data.draw(st.sampled_from([Policy(), Policy(on_failure="stop")])))
    schedule = Schedule(plan)
    keys = st.integers(0, len(plan))  # one too many
    now = 0.0
    for _ in range(data.draw(st.integers(1, 30))):
        now += data.draw(st.integers(0, 3))
        turn = schedule.ready(now)
        before, key = inside(schedule), data.draw(keys)
        stood = schedule.states[key] if key < len(plan) else None
        news = data.draw(st.sampled_from(["started", "ended", "settled", "its turn"]))
        answer: Any
        if news == "its turn" or news == "started":
            key = turn if news == "its turn" and turn is not None else key
            answer, legal = schedule.started(key, now), key == turn
        elif news == "ended":
            answer = schedule.ended(key, data.draw(st.sampled_from(Ending)), now)
            legal = stood is JobState.RUNNING
        else:
            answer = schedule.settled(key, data.draw(st.sampled_from(list(SETTLED))))
            legal = stood is JobState.IN_DOUBT
        assert isinstance(answer, Ignored) != legal
        if not legal:
            assert inside(schedule) == before
        assert schedule.running == schedule.states.count(JobState.RUNNING)
        for one, state in enumerate(schedule.states):
            if state is not JobState.PENDING:
                assert all(schedule.states[n] in SUCCEEDED for n in plan.needs[one])


# A journal that was cut off


def stands(schedule: Schedule) -> list[tuple[Any, ...]]:
    """Where each job stands, as far as it decides what may happen next."""
    return [
        (
            state,
            schedule.tries[key],
            schedule.waits_until[key] if state is JobState.WAITING else None,
        )
        for key, state in enumerate(schedule.states)
    ]


def cut_off(live: Schedule, chance: float) -> Schedule:
    """The schedule as it would be if the tries under way had never begun."""
    states = [
        (JobState.WAITING if live.tries[key] else JobState.PENDING)
        if state is JobState.RUNNING
        else state
        for key, state in enumerate(live.states)
    ]
    return Schedule(
        live.plan, lambda: chance, states=states, tries=live.tries, due=live.waits_until
    )


@given(
    examples(),
    st.integers(1, 4),
    st.sampled_from([Policy(), Policy(on_failure="stop")]),
    st.sampled_from([0.0, 0.5]),  # for which every time is a whole number of microseconds
    st.booleans(),
)
def test_a_schedule_made_from_a_journal_cut_off_anywhere_stands_where_the_living_one_stood(
    jobs: list[Example], slots: int, policy: Policy, chance: float, backs_off: bool
) -> None:
    plan, places = plan_of(jobs, policy)
    if backs_off:
        rules = [one._replace(backoff="exponential") for one in plan.rules]
        plan = Plan(plan.names, plan.refs, plan.needs, rules, policy)
    endings = endings_of(jobs, places)
    live = Schedule(plan, lambda: chance)
    events: list[TryStarted | TryEnded] = []

    def compare(event: TryEnded) -> None:
        events.extend([TryStarted(event.at_us, event.key, event.number), event])
        again = Schedule.from_journal(
            plan, events, lambda: chance, now=event.at_us / 1e6, at_us=event.at_us
        )
        now_s = event.at_us / 1e6
        expected = cut_off(live, chance)
        for key, (state, tries, due) in enumerate(stands(expected)):
            assert again.states[key] is state
            assert again.tries[key] == tries
            if due is not None:
                assert again.waits_until[key] == max(now_s, due)
        assert again.states_shown() == expected.states_shown()
        # And it goes on to the same end.
        drive(again, endings, slots, now=now_s)
        drive(expected, endings, slots, now=now_s)
        assert again.states == expected.states
        assert again.tries == expected.tries

    drive(live, endings, slots, ended=compare)


@given(examples(most=6), st.data())
def test_a_journal_with_doubts_and_answers_gives_the_schedule_that_lived_through_them(
    jobs: list[Example], data: st.DataObject
) -> None:
    policy = data.draw(st.sampled_from([Policy(), Policy(on_failure="stop")]))
    plan, _ = plan_of(jobs, policy)
    live = Schedule(plan)
    events: list[TryEnded | Settled] = []
    now = 0
    for _ in range(30):
        doubts = [key for key, state in enumerate(live.states) if state is JobState.IN_DOUBT]
        key = live.ready(now)
        if doubts and (key is None or data.draw(st.booleans())):
            how = data.draw(st.sampled_from(list(SETTLED)))
            live.settled(doubts[0], how)
            events.append(Settled(now * 1_000_000, doubts[0], how))
        elif key is not None:
            ending = data.draw(st.sampled_from(Ending))
            final = data.draw(st.booleans())
            assert live.started(key, now) is None
            live.ended(key, ending, now, final)
            events.append(TryEnded(now * 1_000_000, key, live.tries[key], ending, final=final))
        elif live.wake_at is not None:
            now = int(live.wake_at)
        else:
            break
        again = Schedule.from_journal(plan, events, now=now, at_us=now * 1_000_000)
        assert again.states == live.states
        assert again.states_shown() == live.states_shown()
        assert again.is_over == live.is_over
        assert set(may_start(again, now)) == set(may_start(live, now))


def may_start(schedule: Schedule, now: float) -> list[int]:
    """All that could start now, asked of a copy."""
    schedule = copy.deepcopy(schedule)
    found: list[int] = []
    while (key := schedule.ready(now)) is not None:
        schedule.started(key, now)
        found.append(key)
    return found


def plan_of_two(**rules: Any) -> Plan:
    each = Rules(**{"tries": 2, "retry_delay_s": 10.0, **rules})
    return Plan(["a", "b"], ["a", "b"], [(), (0,)], [each, each], Policy())


def test_a_try_without_an_end_is_not_counted_and_its_job_may_start_again() -> None:
    schedule = Schedule.from_journal(plan_of_two(), [TryStarted(0, 0, 1)])
    assert schedule.tries == [0, 0]
    assert schedule.ready(0.0) == 0


def test_the_time_a_run_was_dead_counts_towards_a_delay() -> None:
    events = [TryEnded(1_000_000, 0, 1, Ending.FAILED)]
    soon = Schedule.from_journal(plan_of_two(), events, now=500.0, at_us=4_000_000)
    assert soon.ready(506.9) is None
    assert soon.wake_at == 507.0
    late = Schedule.from_journal(plan_of_two(), events, now=500.0, at_us=99_000_000)
    assert late.ready(500.0) == 0


def test_jobs_that_are_retried_have_all_their_tries_again_and_keep_no_delay() -> None:
    events: list[Event] = [
        TryEnded(0, 0, 1, Ending.FAILED),
        TryEnded(0, 0, 2, Ending.FAILED),
        RunRetried(0, (0,)),
    ]
    schedule = Schedule.from_journal(plan_of_two(), events)
    assert schedule.states == [JobState.PENDING] * 2
    assert schedule.tries == [0, 0]
    assert schedule.ready(0.0) == 0


def test_a_cancellation_in_the_journal_is_the_runners_to_take_up() -> None:
    schedule = Schedule.from_journal(plan_of_two(), [RunCancelled(0)])
    assert not schedule.cancelled
    assert schedule.ready(0.0) == 0


def test_a_node_that_comes_last_and_waited_for_its_next_try_goes_on_after_a_death() -> None:
    rules = [Rules(tries=1), Rules(tries=2, finally_=True)]
    plan = Plan(["a", "b"], ["a", "b"], [(), ()], rules, Policy())
    events = [TryEnded(0, 0, 1, Ending.PASSED), TryEnded(0, 1, 1, Ending.FAILED)]
    schedule = Schedule.from_journal(plan, events)
    assert not schedule.is_over
    assert schedule.ready(99.0) == 1


# A plan as JSON


@given(
    examples(),
    st.dictionaries(st.text(), st.integers(1, 9)),
    st.sampled_from(["go on", "stop"]),
    st.data(),
)
def test_a_plan_read_back_from_json_is_the_same_plan(
    jobs: list[Example], limits: dict[str, int], on_failure: str, data: st.DataObject
) -> None:
    plan, _ = plan_of(jobs, Policy(limits=limits, on_failure=on_failure))
    tags = st.lists(st.text(), unique=True).map(tuple)
    rules = [one._replace(tags=data.draw(tags)) for one in plan.rules]
    plan = Plan(plan.names, plan.refs, plan.needs, rules, plan.policy)
    again = Plan.from_json(plan.to_json())
    for column in ("names", "refs", "needs", "rules", "policy"):
        assert getattr(again, column) == getattr(plan, column)
    assert again.to_json() == plan.to_json()
    assert again.fingerprint() == plan.fingerprint()
    assert plan.difference(again) == []


def test_a_plan_of_a_newer_format_is_refused_with_a_sentence() -> None:
    text = plan_of_two().to_json().replace('"format":1', '"format":2')
    with pytest.raises(WireError, match="format 2 was written by a newer Headway"):
        Plan.from_json(text)
