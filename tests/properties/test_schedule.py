"""The schedule against a plain model of its rule, and what holds for any plan and any pattern."""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.jobs.events import TryEnded
from headway.jobs.job import Rules
from headway.jobs.outcomes import Ending
from headway.jobs.plan import Plan, Policy
from headway.jobs.schedule import Schedule
from headway.jobs.states import JobState
from tests.properties import one_slot
from tests.properties.drive import Went, calls_made, drive, endings_of, examples, plan_of, shuffled
from tests.properties.one_slot import Example, Try

SUCCEEDED = (JobState.PASSED, JobState.REPAIRED)
FAILS = Try(succeeds=False)
PASSES = Try(succeeds=True)


def plain_plan(
    needs: Sequence[tuple[int, ...]],
    rules: Sequence[Rules] | None = None,
    policy: Policy | None = None,
) -> Plan:
    names = [f"job{key}" for key in range(len(needs))]
    once = Rules(tries=1)
    return Plan(names, names, needs, rules or [once] * len(needs), policy or Policy())


# One slot


@given(examples())
def test_with_one_slot_jobs_start_when_and_in_the_order_that_the_model_says(
    jobs: list[Example],
) -> None:
    plan, places = plan_of(jobs)
    schedule = Schedule(plan)
    went = drive(schedule, endings_of(jobs, places))
    expected = one_slot.run(jobs, root=len(jobs) - 1)
    assert [(one.began, places[one.key], one.number) for one in went] == expected.starts
    for key, state in enumerate(schedule.states):
        assert (state in SUCCEEDED) == (places[key] in expected.succeeded)
        assert (state is JobState.FAILED) == (places[key] in expected.failed)


@given(examples())
def test_keys_are_the_order_in_which_a_walk_through_deps_leaves_the_jobs(
    jobs: list[Example],
) -> None:
    _, places = plan_of(jobs)
    assert places == one_slot.order_of(jobs, root=len(jobs) - 1)


def test_a_retry_goes_before_a_later_job_only_in_the_next_round() -> None:
    flaky = Example(tries=(FAILS, FAILS, PASSES))
    jobs = [flaky, Example(), flaky, Example(needs=(0, 1, 2))]
    plan, places = plan_of(jobs)
    went = drive(Schedule(plan), endings_of(jobs, places))
    assert [(one.key, one.number) for one in went] == [
        (0, 1), (1, 1), (2, 1), (0, 2), (2, 2), (0, 3), (2, 3), (3, 1),
    ]  # fmt: skip


# Any number of slots


class Facts:
    """What a run was like, worked out from its tries alone."""

    def __init__(self, plan: Plan, went: Sequence[Went]) -> None:
        self.plan = plan
        self.went = went
        self.succeeded_at = {one.key: one.ended for one in went if one.ending is Ending.PASSED}
        self.tries = Counter(one.key for one in went)

    def needs_were_done(self, one: Went) -> bool:
        at = self.succeeded_at
        return all(need in at and at[need] <= one.began for need in self.plan.needs[one.key])

    def reachable(self) -> set[int]:
        at = self.succeeded_at
        return {key for key in range(len(self.plan)) if all(n in at for n in self.plan.needs[key])}

    def most_at_once(self, tag: str | None = None) -> int:
        tagged = [one for one in self.went if tag is None or tag in self.plan.rules[one.key].tags]
        return max(
            (
                sum(two.began <= one.began < max(two.ended, two.began + 0.5) for two in tagged)
                for one in tagged
            ),
            default=0,
        )


@given(examples(), st.integers(1, 5))
def test_no_job_starts_before_all_that_it_needs_has_succeeded(
    jobs: list[Example], slots: int
) -> None:
    plan, places = plan_of(jobs)
    went = drive(Schedule(plan), endings_of(jobs, places), slots)
    facts = Facts(plan, went)
    assert all(facts.needs_were_done(one) for one in went)


@given(examples(), st.integers(1, 5))
def test_each_job_is_tried_until_it_succeeds_and_at_most_as_often_as_it_is_given(
    jobs: list[Example], slots: int
) -> None:
    plan, places = plan_of(jobs)
    went = drive(Schedule(plan), endings_of(jobs, places), slots)
    facts = Facts(plan, went)
    for key in facts.reachable():
        tries = jobs[places[key]].tries
        enough = [n for n, one in enumerate(tries, 1) if one.succeeds or one.final]
        assert facts.tries[key] == (enough[0] if enough else len(tries))


@given(examples(), st.integers(1, 5))
def test_everything_that_can_be_reached_is_reached_and_nothing_else(
    jobs: list[Example], slots: int
) -> None:
    plan, places = plan_of(jobs)
    went = drive(Schedule(plan), endings_of(jobs, places), slots)
    facts = Facts(plan, went)
    assert set(facts.tries) == facts.reachable()


@given(examples(), st.integers(1, 5))
def test_a_retry_starts_no_sooner_than_its_delay_after_the_end_of_the_try_before(
    jobs: list[Example], slots: int
) -> None:
    plan, places = plan_of(jobs)
    last: dict[int, float] = {}
    for one in drive(Schedule(plan), endings_of(jobs, places), slots):
        if one.key in last:
            assert one.began >= last[one.key] + jobs[places[one.key]].delay
        last[one.key] = one.ended


@given(examples(), st.integers(1, 5))
def test_no_slot_stays_free_while_a_job_could_start_so_waiting_never_blocks_the_ready(
    jobs: list[Example], slots: int
) -> None:
    plan, places = plan_of(jobs)
    schedule = Schedule(plan)
    free_at: list[tuple[float, int]] = []

    def filled(now: float, running: int) -> None:
        if running == slots:
            return
        for key, state in enumerate(schedule.states):
            waits = state is JobState.WAITING and schedule.waits_until[key] > now
            open_ = state in (JobState.PENDING, JobState.WAITING)
            done = all(schedule.states[need] in SUCCEEDED for need in plan.needs[key])
            if open_ and done and not waits:
                free_at.append((now, key))

    drive(schedule, endings_of(jobs, places), slots, filled=filled)
    assert free_at == []


@given(examples(), st.integers(1, 5))
def test_no_more_jobs_run_at_once_than_there_are_slots(jobs: list[Example], slots: int) -> None:
    plan, places = plan_of(jobs)
    running: list[int] = []
    drive(
        Schedule(plan),
        endings_of(jobs, places),
        slots,
        filled=lambda now, count: running.append(count),
    )
    assert max(running) <= slots


# Backoff


@given(examples(), st.floats(0, 1, exclude_max=True))
def test_backoff_only_adds_to_the_delay(jobs: list[Example], chance: float) -> None:
    plan, places = plan_of(jobs)
    rules = [one._replace(backoff="exponential") for one in plan.rules]
    plan = Plan(plan.names, plan.refs, plan.needs, rules, plan.policy)
    ends: dict[int, list[float]] = {}
    for one in drive(Schedule(plan, lambda: chance), endings_of(jobs, places)):
        tries = ends.setdefault(one.key, [])
        if tries:
            least = rules[one.key].retry_delay_s * 2 ** (len(tries) - 1)
            assert one.began >= tries[-1] + least
        tries.append(one.ended)


def test_backoff_doubles_up_to_an_hour_and_chance_adds_at_most_half() -> None:
    def delays(chance: float) -> list[float]:
        rules = Rules(tries=15, retry_delay_s=1.0, backoff="exponential")
        plan = plain_plan([()], [rules])
        went = drive(Schedule(plan, lambda: chance), lambda key, number: (Ending.FAILED, 0, False))
        return [two.began - one.ended for one, two in itertools.pairwise(went)]

    plain = [min(2.0**n, 3600.0) for n in range(14)]
    assert delays(0.0) == plain
    assert delays(0.5) == pytest.approx([1.25 * delay for delay in plain])


def test_a_delay_above_an_hour_is_kept_by_backoff() -> None:
    rules = Rules(tries=3, retry_delay_s=7200.0, backoff="exponential")
    went = drive(Schedule(plain_plan([()], [rules])), lambda key, number: (Ending.FAILED, 0, False))
    assert [one.began for one in went] == [0.0, 7200.0, 14400.0]


# Tags and their limits


@st.composite
def tagged_plans(draw: st.DrawFn) -> tuple[list[Example], Plan, list[int]]:
    jobs = draw(examples())
    limits = draw(st.dictionaries(st.sampled_from("abc"), st.integers(1, 3)))
    plan, places = plan_of(jobs, Policy(limits=limits))
    tags = st.lists(st.sampled_from("abcd"), unique=True, max_size=3).map(tuple)
    rules = [one._replace(tags=draw(tags)) for one in plan.rules]
    return jobs, Plan(plan.names, plan.refs, plan.needs, rules, plan.policy), places


@given(tagged_plans(), st.integers(1, 6))
def test_no_more_jobs_with_a_tag_run_at_once_than_its_limit_allows(
    tagged: tuple[list[Example], Plan, list[int]], slots: int
) -> None:
    jobs, plan, places = tagged
    in_use: Counter[str] = Counter()
    schedule = Schedule(plan)

    def filled(now: float, running: int) -> None:
        in_use.clear()
        for key, state in enumerate(schedule.states):
            if state is JobState.RUNNING:
                in_use.update(plan.rules[key].tags)
        for tag, limit in plan.policy.limits.items():
            assert in_use[tag] <= limit

    went = drive(schedule, endings_of(jobs, places), slots, filled=filled)
    facts = Facts(plan, went)
    assert set(facts.tries) == facts.reachable()


@given(tagged_plans(), st.integers(1, 6))
def test_a_full_tag_holds_up_only_the_jobs_that_have_it(
    tagged: tuple[list[Example], Plan, list[int]], slots: int
) -> None:
    jobs, plan, places = tagged
    schedule = Schedule(plan)
    limits = plan.policy.limits

    def filled(now: float, running: int) -> None:
        if running == slots:
            return
        in_use: Counter[str] = Counter()
        for key, state in enumerate(schedule.states):
            if state is JobState.RUNNING:
                in_use.update(plan.rules[key].tags)
        for key, state in enumerate(schedule.states):
            waits = state is JobState.WAITING and schedule.waits_until[key] > now
            open_ = state in (JobState.PENDING, JobState.WAITING) and not waits
            if open_ and all(schedule.states[need] in SUCCEEDED for need in plan.needs[key]):
                tags = plan.rules[key].tags
                assert any(in_use[tag] >= limits.get(tag, 99) for tag in tags), plan.names[key]

    drive(schedule, endings_of(jobs, places), slots, filled=filled)


def test_a_place_under_a_tag_goes_to_the_first_who_can_take_it() -> None:
    limits = {"a": 1, "b": 1}
    tags: list[tuple[str, ...]] = [("a",), ("b",), ("a", "b"), ("a",), ("a",)]
    plan = plain_plan([()] * 5, [Rules(tags=each) for each in tags], Policy(limits=limits))
    schedule = Schedule(plan)
    for key in (0, 1):
        assert schedule.ready(0.0) == key
        schedule.started(key, 0.0)
    assert schedule.ready(0.0) is None  # 2, 3 and 4 want a place under a
    schedule.ended(0, Ending.PASSED, 1.0)
    assert schedule.ready(1.0) == 3  # 2 also wants one under b, which 1 has
    schedule.started(3, 1.0)
    schedule.ended(1, Ending.PASSED, 2.0)
    assert schedule.ready(2.0) is None
    schedule.ended(3, Ending.PASSED, 3.0)
    assert schedule.ready(3.0) == 2
    schedule.started(2, 3.0)
    schedule.ended(2, Ending.PASSED, 4.0)
    assert schedule.ready(4.0) == 4


# A plan that stops on failure, and nodes that come last


@given(examples(), st.integers(1, 5))
def test_a_plan_that_stops_on_failure_starts_nothing_after_a_job_failed_for_good(
    jobs: list[Example], slots: int
) -> None:
    plan, places = plan_of(jobs, Policy(on_failure="stop"))
    schedule = Schedule(plan)

    def ended(event: TryEnded) -> None:
        if JobState.FAILED in schedule.states:
            assert schedule.ready(event.at_us / 1e6 + 1000.0) is None

    drive(schedule, endings_of(jobs, places), slots, ended=ended)
    assert schedule.succeeded == (JobState.FAILED not in schedule.states)


@st.composite
def plans_with_last_nodes(draw: st.DrawFn) -> tuple[list[Example], Plan, list[int]]:
    """Plans in which some jobs that nothing else needs are marked to come last."""
    jobs = draw(examples())
    last = draw(st.integers(1, 3))
    policy = Policy(on_failure=draw(st.sampled_from(["go on", "stop"])))
    jobs = [*jobs, *[Example(delay=1, tries=(FAILS, PASSES)) for _ in range(last)]]
    root = Example(needs=tuple(range(len(jobs) - last, len(jobs))))
    # Compiled as needs of one root, which is then taken off.
    everything = [*jobs, Example(needs=(len(jobs) - last - 1, *root.needs))]
    plan, places = plan_of(everything, policy)
    rules = [
        one._replace(finally_=places[key] >= len(jobs) - last)
        for key, one in enumerate(plan.rules[:-1])
    ]
    return jobs, Plan(plan.names[:-1], plan.refs[:-1], plan.needs[:-1], rules, policy), places


@given(plans_with_last_nodes(), st.integers(1, 5))
def test_nodes_marked_to_come_last_start_when_all_the_rest_is_over_however_it_went(
    found: tuple[list[Example], Plan, list[int]], slots: int
) -> None:
    jobs, plan, places = found
    schedule = Schedule(plan)
    went = drive(schedule, endings_of(jobs, places), slots)
    marked = {key for key, rules in enumerate(plan.rules) if rules.finally_}
    rest_over_at = max((one.ended for one in went if one.key not in marked), default=0.0)
    assert all(one.began >= rest_over_at for one in went if one.key in marked)
    for key in marked:
        assert schedule.states[key] in SUCCEEDED


def test_a_node_that_comes_last_and_fails_does_not_stop_the_others() -> None:
    rules = [Rules(tries=1), *[Rules(tries=1, finally_=True)] * 2]
    schedule = Schedule(plain_plan([(), (), ()], rules, Policy(on_failure="stop")))
    went = drive(schedule, lambda key, number: (Ending.FAILED, 0, False))
    assert [one.key for one in went] == [0, 1, 2]


def test_a_node_that_comes_last_and_needs_what_failed_does_not_start() -> None:
    plan = plain_plan([(), (0,)], [Rules(tries=1), Rules(tries=1, finally_=True)])
    schedule = Schedule(plan)
    went = drive(schedule, lambda key, number: (Ending.FAILED, 0, False))
    assert [one.key for one in went] == [0]
    assert schedule.states_shown() == [JobState.FAILED, JobState.BLOCKED]


def test_nodes_that_come_last_wait_for_a_job_in_doubt_to_be_settled() -> None:
    rules = [Rules(tries=1), Rules(tries=1), Rules(tries=1, finally_=True)]
    plan = plain_plan([(), (0,), ()], rules)
    schedule = Schedule(plan)
    went = drive(schedule, lambda key, number: (Ending.IN_DOUBT, 0, False))
    assert [one.key for one in went] == [0]
    assert schedule.settled(0, "done") is JobState.REPAIRED
    went = drive(schedule, lambda key, number: (Ending.PASSED, 0, False))
    assert [one.key for one in went] == [1, 2]


def test_a_job_in_doubt_that_is_settled_done_lets_a_stopped_plan_go_on() -> None:
    plan = plain_plan([(), (0,), ()], policy=Policy(on_failure="stop"))
    schedule = Schedule(plan)
    drive(schedule, lambda key, number: (Ending.IN_DOUBT, 0, False))
    assert schedule.is_over
    schedule.settled(0, "done")
    went = drive(schedule, lambda key, number: (Ending.PASSED, 0, False))
    assert [one.key for one in went] == [1, 2]
    assert schedule.succeeded


def test_a_job_in_doubt_that_is_settled_failed_keeps_a_stopped_plan_stopped() -> None:
    plan = plain_plan([(), ()], policy=Policy(on_failure="stop"))
    schedule = Schedule(plan)
    drive(schedule, lambda key, number: (Ending.IN_DOUBT, 0, False))
    schedule.settled(0, "failed")
    assert schedule.is_over
    assert schedule.states_shown() == [JobState.FAILED, JobState.BLOCKED]


# Parts of a plan


@given(examples(), st.data())
def test_a_schedule_of_a_part_brings_about_that_part_alone(
    jobs: list[Example], data: st.DataObject
) -> None:
    plan, places = plan_of(jobs)
    part = plan.below(data.draw(st.integers(0, len(plan) - 1)))
    schedule = Schedule(plan, only=part)
    facts = Facts(plan, drive(schedule, endings_of(jobs, places)))
    assert set(facts.tries) == facts.reachable() & part
    assert schedule.succeeded == (part <= set(facts.succeeded_at))


# What a reader is told


@given(examples(), st.integers(1, 3))
def test_every_job_that_never_started_is_told_to_be_blocked(
    jobs: list[Example], slots: int
) -> None:
    plan, places = plan_of(jobs)
    schedule = Schedule(plan)
    facts = Facts(plan, drive(schedule, endings_of(jobs, places), slots))
    for key, shown in enumerate(schedule.states_shown()):
        if key in facts.reachable():
            assert shown is schedule.states[key]
        else:
            assert shown is JobState.BLOCKED


def test_after_a_cancellation_what_did_not_start_is_cancelled_and_what_runs_may_end() -> None:
    schedule = Schedule(plain_plan([(), (0,), ()]))
    assert schedule.ready(0.0) == 0
    schedule.started(0, 0.0)
    schedule.cancel()
    assert schedule.ready(0.0) is None
    assert not schedule.is_over
    schedule.ended(0, Ending.PASSED, 1.0)
    assert schedule.is_over
    assert schedule.states_shown() == [JobState.PASSED, JobState.CANCELLED, JobState.CANCELLED]


# Cost, in calls and not in time


def chain(count: int) -> list[tuple[int, ...]]:
    return [(), *[(key,) for key in range(count - 1)]]


def star(count: int) -> list[tuple[int, ...]]:
    return [*[()] * (count - 1), tuple(range(count - 1))]


def layers(count: int) -> list[tuple[int, ...]]:
    """Ten jobs a layer, each needing three of the layer before."""
    return [
        () if key < 10 else tuple(sorted({key // 10 * 10 - 1 - (key + n) % 10 for n in range(3)}))
        for key in range(count)
    ]


def cost(needs: list[tuple[int, ...]], failing: frozenset[int], **rules: Any) -> int:
    """Calls made from the making of a schedule to the end of its run."""
    limits = {"one": 1, "two": 2}
    each = Rules(**{"tries": 3, "retry_delay_s": 0.0, **rules})
    plan = plain_plan(needs, [each] * len(needs), Policy(limits=limits if each.tags else {}))

    def whole_run() -> None:
        schedule = Schedule(plan)
        now = 0.0
        running: list[int] = []
        while True:
            while len(running) < 4 and (key := schedule.ready(now)) is not None:
                schedule.started(key, now)
                running.append(key)
            if schedule.is_over:
                break
            key = running.pop(0)
            now += 1.0
            schedule.ended(key, Ending.FAILED if key in failing else Ending.PASSED, now)
        schedule.states_shown()

    return calls_made(whole_run)


SHAPES = [chain, star, layers]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bottom_fails", [False, True], ids=["passing", "failing bottom"])
def test_cost_grows_with_jobs_and_needs_and_no_faster(shape: Any, bottom_fails: bool) -> None:
    failing = frozenset({0} if bottom_fails else ())
    costs = [cost(shape(count), failing) for count in (500, 1000, 2000, 4000)]
    for small, large in itertools.pairwise(costs):
        assert large <= 2.1 * small + 200


def test_cost_of_retries_grows_with_the_number_of_tries_and_no_faster() -> None:
    costs = [cost(star(count), frozenset(range(count))) for count in (500, 1000, 2000)]
    for small, large in itertools.pairwise(costs):
        assert large <= 2.1 * small + 200


@pytest.mark.parametrize("tags", [("one",), ("two",), ("one", "two"), ("two", "one")])
def test_cost_of_a_full_tag_does_not_grow_with_the_jobs_that_wait_for_it(
    tags: tuple[str, ...],
) -> None:
    costs = [cost([()] * count, frozenset(), tags=tags) for count in (500, 1000, 2000)]
    for small, large in itertools.pairwise(costs):
        assert large <= 2.1 * small + 200


def test_a_compiled_plan_costs_as_many_calls_a_job_whatever_its_size() -> None:
    def compiling(count: int) -> int:
        jobs = [Example(needs=tuple(needs)) for needs in layers(count)]
        jobs.append(Example(needs=tuple(shuffled(count))))
        return calls_made(lambda: plan_of(jobs))

    costs = [compiling(count) for count in (250, 500, 1000)]
    for small, large in itertools.pairwise(costs):
        assert large <= 2.1 * small + 200
