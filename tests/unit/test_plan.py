"""Compiling jobs into a plan: what is taken, and what each mistake is told."""

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from headway.errors import DefinitionError
from headway.jobs.compiling import compile_jobs
from headway.jobs.job import DummyJob, Job, NodeSpec, Rules, RunonlyJob
from headway.jobs.plan import Plan, Policy


def check(self: Any, *args: Any, **kwargs: Any) -> None:
    pass


def job(name: str, **own: Any) -> type[Job]:
    """A job class with a Check, made on the fly."""
    return type(name, (Job,), {"Check": check, **own})


def dummy(name: str, *deps: Any) -> type[Job]:
    return type(name, (DummyJob,), {"DEPS": deps})


class Step:
    """Something that is no class and can be listed in DEPS all the same."""

    def __init__(self, name: str, *needs: Any) -> None:
        self.name = name
        self.needs = needs

    def plan_node(self) -> NodeSpec:
        return NodeSpec(self.name, f"steps:{self.name}", self.needs, Rules(tries=1))


# What is taken


@pytest.mark.parametrize("kind", [tuple, list, iter], ids=["tuple", "list", "what can be walked"])
def test_needs_keep_the_order_of_deps(kind: Callable[[Any], Any]) -> None:
    a, b, c = job("A"), job("B"), job("C")

    class Again(list[Any]):
        pass

    deps = Again([c, a, b]) if kind is iter else kind([c, a, b])
    plan = Plan.of(job("Root", DEPS=deps))
    assert plan.names == ["C", "A", "B", "Root"]
    assert plan.needs == [(), (), (), (0, 1, 2)]


@pytest.mark.parametrize("kind", [set, frozenset])
def test_deps_that_are_a_set_give_the_same_plan_every_time(kind: Callable[[Any], Any]) -> None:
    some = [job(name) for name in "DCBA"]
    for order in itertools.permutations(some):
        plan = Plan.of(job("Root", DEPS=kind(order)))
        assert plan.names == ["A", "B", "C", "D", "Root"]


def test_the_same_class_reached_twice_is_one_job_and_needed_once() -> None:
    shared = job("Shared")
    left = job("Left", DEPS=(shared,))
    plan = Plan.of(job("Root", DEPS=(left, shared, left)))
    assert plan.names == ["Shared", "Left", "Root"]
    assert plan.needs == [(), (0,), (1, 0)]


def test_deps_are_inherited_unless_the_class_has_its_own() -> None:
    first, second = job("First"), job("Second")
    parent = job("Parent", DEPS=(first,))
    heir = type("Heir", (parent,), {})
    rebel = type("Rebel", (parent,), {"DEPS": (second,)})
    assert Plan.of(heir).names == ["First", "Heir"]
    assert Plan.of(rebel).names == ["Second", "Rebel"]


def test_jobs_that_are_treated_alike_share_their_rules() -> None:
    base = job("Base", TRIES=5)
    heirs = [type(f"Heir{n}", (base,), {"COLOUR": n}) for n in range(3)]
    plan = Plan.of(dummy("Root", *heirs))
    assert {id(rules) for rules in plan.rules[:3]} == {id(plan.rules[0])}
    assert plan.rules[0].tries == 5


def test_what_a_class_sets_itself_is_not_that_of_the_class_it_is_made_from() -> None:
    base = job("Base", TRIES=5, RETRY_DELAY=0.5)
    eager = type("Eager", (base,), {"TRIES": 9})
    heir = type("Heir", (base,), {})
    plan = Plan.of(dummy("Root", heir, eager, base))
    assert [rules.tries for rules in plan.rules[:3]] == [5, 9, 5]
    assert [rules.retry_delay_s for rules in plan.rules[:3]] == [0.5] * 3


def test_rules_say_all_that_a_class_says_of_how_it_is_treated() -> None:
    cls = job(
        "It",
        TRIES=4,
        RETRY_DELAY=0.02,
        TIMEOUT=30,
        BACKOFF="exponential",
        RETRY_ON=(OSError, ValueError),
        ON_LOST="rerun",
        TAGS=["db", "big", "db"],
        Run=check,
        Cleanup=check,
    )
    assert Plan.of(cls).rules == [
        Rules(
            tries=4,
            retry_delay_s=0.02,
            timeout_s=30,
            backoff="exponential",
            on_lost="rerun",
            tags=("db", "big"),
            has_check=True,
            has_run=True,
            has_cleanup=True,
        )
    ]


def test_rules_say_what_kind_of_job_it_is() -> None:
    only = type("Only", (RunonlyJob,), {"Run": check, "DEPS": (job("Looks"), dummy("Group"))})
    looks, group, runs = Plan.of(only).rules
    assert (looks.has_check, looks.has_run) == (True, False)
    assert (group.has_check, group.has_run, group.has_cleanup) == (True, False, False)
    assert (runs.has_check, runs.has_run) == (False, True)


def test_defaults_come_from_the_policy() -> None:
    plan = Plan.of(job("It"), Policy(default_tries=7, default_retry_delay_s=0.25))
    assert (plan.rules[0].tries, plan.rules[0].retry_delay_s) == (7, 0.25)


def test_without_a_policy_there_are_3_tries_a_second_apart() -> None:
    plan = Plan.of(job("It"))
    assert (plan.rules[0].tries, plan.rules[0].retry_delay_s) == (3, 1.0)


def test_whatever_tells_of_its_node_can_be_needed() -> None:
    step = Step("out of rotation", job("Built"))
    plan, definitions, _ = compile_jobs(job("Released", DEPS=(step,)))
    assert plan.names == ["Built", "out of rotation", "Released"]
    assert definitions[1] is step
    assert plan.refs[1] == "steps:out of rotation"
    assert plan.rules[1] == Rules(tries=1)


def test_a_reference_says_where_the_class_is_found() -> None:
    assert Plan.of(Named).refs == [f"{__name__}:Named"]


class Named(DummyJob):
    pass


def test_a_chain_of_20_000_jobs_is_compiled_without_recursion() -> None:
    last = dummy("0")
    for n in range(1, 20_000):
        last = dummy(str(n), last)
    plan = Plan.of(last)
    assert len(plan) == 20_000
    assert plan.needs[-1] == (19_998,)


def test_a_plan_knows_what_is_below_and_above_a_job() -> None:
    a, b = dummy("A"), dummy("B")
    c = dummy("C", a)
    plan = Plan.of(dummy("Root", c, b))
    key = plan.key_of
    assert plan.below(key("C")) == {key("A"), key("C")}
    assert plan.above(key("A")) == {key("A"), key("C"), key("Root")}
    assert plan.dependents() == [[key("C")], [key("Root")], [key("Root")], None]


def test_equal_plans_are_written_alike_however_their_rules_are_held() -> None:
    shared, needs = Rules(), [(), ()]
    one = Plan(["a", "b"], ["a", "b"], needs, [shared, shared], Policy())
    two = Plan(["a", "b"], ["a", "b"], needs, [Rules(), Rules()], Policy())
    assert one.fingerprint() == two.fingerprint()
    assert one.difference(two) == []


def test_a_difference_is_said_in_words() -> None:
    old = Plan.of(job("Root", DEPS=(job("A"), job("B", TRIES=3))))
    new = Plan.of(job("Root", DEPS=(job("B", TRIES=4), job("C"))))
    assert sorted(old.difference(new)) == [
        "A is gone",
        "B: tries is 4 instead of 3",
        "C is new",
        "Root needs B, C instead of A, B",
    ]


def test_another_order_of_the_same_jobs_is_a_difference() -> None:
    a, b = job("A"), job("B")
    old = Plan(["A", "B"], ["A", "B"], [(), ()], [Rules()] * 2, Policy())
    new = Plan(["B", "A"], ["B", "A"], [(), ()], [Rules()] * 2, Policy())
    assert Plan.of(dummy("Root", a, b)).difference(Plan.of(dummy("Root", a, b))) == []
    assert old.difference(new) == ["the order of the jobs or the plan's policy is another"]


# What each mistake is told: the class, the attribute and the remedy


def circle(*names: str) -> type[Job]:
    classes = [job(name) for name in names]
    for cls, following in zip(classes, [*classes[1:], classes[0]], strict=True):
        cls.DEPS = [following]
    return classes[0]


def twins() -> type[Job]:
    def one() -> type[Job]:
        class Twin(DummyJob):
            pass

        return Twin

    def other() -> type[Job]:
        class Twin(DummyJob):
            pass

        return Twin

    return dummy("Root", one(), other())


NOT_A_METHOD = "is not a method: define it with def"
TRIES = "it must be a whole number of 1 or more"
DELAY = "it must be a number of seconds, 0 or more"
TIMEOUT = "it must be a number of seconds above 0, or None for no bound"
EXCEPTIONS = "it must be an exception class or a tuple of them"
NO_JOB = "which is not a job: list job classes only (the class itself, not an object of it)"
TEXTS = "it must be a tuple of texts"
NO_CHECK = (
    "has no Check: give it one, or derive it from RunonlyJob (no check, runs every time)"
    " or DummyJob (only groups other jobs)"
)

MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "root is no class": (lambda: 7, "7 is not a job: give a subclass of headway.Job"),
    "root is another class": (
        lambda: SimpleNamespace,
        "SimpleNamespace is not a job: give a subclass of headway.Job",
    ),
    "root is an object": (
        lambda: Named(),
        "is not a job: give a subclass of headway.Job",
    ),
    "root cannot be hashed": (lambda: [Named], "is not a job: give a subclass of headway.Job"),
    "DEPS is a number": (
        lambda: job("It", DEPS=5),
        "It.DEPS is 5, which cannot be iterated: write a tuple or list of job classes",
    ),
    "DEPS is None": (
        lambda: job("It", DEPS=None),
        "It.DEPS is None, which cannot be iterated: write a tuple or list of job classes",
    ),
    "DEPS is one class": (
        lambda: job("It", DEPS=Named),
        "It.DEPS is the class Named itself: write DEPS = (Named,) with a comma",
    ),
    "DEPS is a text": (
        lambda: job("It", DEPS="Named"),
        "It.DEPS is the text 'Named': list job classes, not names",
    ),
    "DEPS can be walked through once": (
        lambda: job("It", DEPS=(cls for cls in [Named])),
        "which can be walked through only once: write a tuple or list of job classes",
    ),
    "DEPS holds a text": (lambda: job("It", DEPS=("Named",)), f"It.DEPS holds 'Named', {NO_JOB}"),
    "DEPS holds another class": (lambda: job("It", DEPS=[int]), f"It.DEPS holds int, {NO_JOB}"),
    "DEPS holds an object": (lambda: job("It", DEPS=[Named()]), NO_JOB),
    "DEPS holds a list": (
        lambda: job("It", DEPS=([Named],)),
        f"It.DEPS holds [<class '{__name__}.Named'>], {NO_JOB}",
    ),
    "DEPS of one that is needed": (
        lambda: job("Root", DEPS=[Named, job("It", DEPS=[Named, None])]),
        f"It.DEPS holds None, {NO_JOB}",
    ),
    "a job needs itself": (
        lambda: circle("Me"),
        "the jobs need each other in a circle: Me -> Me."
        " Take one of these out of the DEPS before it.",
    ),
    "a circle": (
        lambda: job("Root", DEPS=[Named, circle("A", "B", "C")]),
        "the jobs need each other in a circle: A -> B -> C -> A."
        " Take one of these out of the DEPS before it.",
    ),
    "two of one name": (
        twins,
        "two jobs are called 'Twin':"
        f" one from module {__name__} (twins.<locals>.one.<locals>.Twin),"
        f" one from module {__name__} (twins.<locals>.other.<locals>.Twin)."
        " Jobs are known by name: rename one.",
    ),
    "a job and a step of one name": (
        lambda: dummy("Root", Named, Step("Named")),
        "one from a step (steps:Named). Jobs are known by name: rename one.",
    ),
    "TRIES is 0": (lambda: job("It", TRIES=0), f"It.TRIES is 0: {TRIES}"),
    "TRIES is below 0": (lambda: job("It", TRIES=-1), f"It.TRIES is -1: {TRIES}"),
    "TRIES is a fraction": (lambda: job("It", TRIES=1.5), f"It.TRIES is 1.5: {TRIES}"),
    "TRIES is a text": (lambda: job("It", TRIES="3"), f"It.TRIES is '3': {TRIES}"),
    "TRIES is True": (lambda: job("It", TRIES=True), f"It.TRIES is True: {TRIES}"),
    "RETRY_DELAY is negative": (
        lambda: job("It", RETRY_DELAY=-0.1),
        f"It.RETRY_DELAY is -0.1: {DELAY}",
    ),
    "RETRY_DELAY is a text": (
        lambda: job("It", RETRY_DELAY="1"),
        f"It.RETRY_DELAY is '1': {DELAY}",
    ),
    "RETRY_DELAY is no number": (
        lambda: job("It", RETRY_DELAY=float("nan")),
        f"It.RETRY_DELAY is nan: {DELAY}",
    ),
    "RETRY_DELAY is endless": (
        lambda: job("It", RETRY_DELAY=float("inf")),
        f"It.RETRY_DELAY is inf: {DELAY}",
    ),
    "RETRY_DELAY is True": (
        lambda: job("It", RETRY_DELAY=True),
        f"It.RETRY_DELAY is True: {DELAY}",
    ),
    "TIMEOUT is 0": (lambda: job("It", TIMEOUT=0), f"It.TIMEOUT is 0: {TIMEOUT}"),
    "TIMEOUT is a text": (lambda: job("It", TIMEOUT="9"), f"It.TIMEOUT is '9': {TIMEOUT}"),
    "TIMEOUT is endless": (
        lambda: job("It", TIMEOUT=float("inf")),
        f"It.TIMEOUT is inf: {TIMEOUT}",
    ),
    "BACKOFF": (
        lambda: job("It", BACKOFF="slow"),
        "It.BACKOFF is 'slow': it must be 'fixed' or 'exponential'",
    ),
    "ON_LOST": (
        lambda: job("It", ON_LOST="weep"),
        "It.ON_LOST is 'weep': it must be 'ask' or 'rerun' or 'fail'",
    ),
    "RETRY_ON is a text": (
        lambda: job("It", RETRY_ON="OSError"),
        f"It.RETRY_ON is 'OSError': {EXCEPTIONS}",
    ),
    "RETRY_ON holds another class": (
        lambda: job("It", RETRY_ON=(OSError, int)),
        f"It.RETRY_ON is (<class 'OSError'>, <class 'int'>): {EXCEPTIONS}",
    ),
    "TAGS is a text": (lambda: job("It", TAGS="db"), f"It.TAGS is 'db': {TEXTS}"),
    "TAGS holds a number": (lambda: job("It", TAGS=(1,)), f"It.TAGS is (1,): {TEXTS}"),
    "TAGS is a number": (lambda: job("It", TAGS=1), f"It.TAGS is 1: {TEXTS}"),
    "no Check": (lambda: type("It", (Job,), {"Run": check}), f"It {NO_CHECK}"),
    "Job itself": (lambda: Job, f"Job {NO_CHECK}"),
    "no Run": (
        lambda: type("It", (RunonlyJob,), {}),
        "It is a RunonlyJob without a Run: give it one",
    ),
    "Check is no method": (lambda: job("It", Check=3), f"It.Check {NOT_A_METHOD}"),
    "Run is no method": (lambda: job("It", Run=3), f"It.Run {NOT_A_METHOD}"),
    "Cleanup is no method": (lambda: job("It", Cleanup=3), f"It.Cleanup {NOT_A_METHOD}"),
    "Diff is no method": (lambda: job("It", Diff=3), f"It.Diff {NOT_A_METHOD}"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_the_class_the_attribute_and_the_remedy(mistake: str) -> None:
    made, message = MISTAKES[mistake]
    with pytest.raises(DefinitionError) as caught:
        Plan.of(made())
    assert message in str(caught.value)
    assert caught.value.__cause__ is None


POLICIES = {
    "default_tries": (Policy(default_tries=0), f"default_tries is 0: {TRIES}"),
    "default_retry_delay": (
        Policy(default_retry_delay_s=-1),
        f"default_retry_delay is -1: {DELAY}",
    ),
    "on_failure": (
        Policy(on_failure="weep"),
        "on_failure is 'weep': it must be 'go on' or 'stop'",
    ),
    "limits": (Policy(limits={"db": 0}), f"the limit of the tag 'db' is 0: {TRIES}"),
}


@pytest.mark.parametrize("mistake", POLICIES)
def test_a_mistake_in_a_policy_is_told(mistake: str) -> None:
    policy, message = POLICIES[mistake]
    with pytest.raises(DefinitionError) as caught:
        Plan.of(Named, policy)
    assert message in str(caught.value)


def test_a_definition_error_is_a_runtime_error_for_scripts_that_catch_that() -> None:
    with pytest.raises(RuntimeError):
        Plan.of(job("It", TRIES=0))


def test_a_long_value_is_cut_off_in_a_message() -> None:
    with pytest.raises(DefinitionError) as caught:
        Plan.of(job("It", DEPS=("x" * 500,)))
    assert len(str(caught.value)) < 250


def test_a_name_that_no_job_has_is_told_with_the_nearest() -> None:
    plan = Plan.of(dummy("Root", dummy("PopcornBowl"), dummy("Popcorn")))
    with pytest.raises(DefinitionError, match=r"no job called 'Popcornbowl' .* Did you mean Pop"):
        plan.key_of("Popcornbowl")


def test_a_name_that_is_near_to_none_is_told_where_to_look() -> None:
    with pytest.raises(DefinitionError, match="headway graph lists the jobs"):
        Plan.of(Named).key_of("zzzzzz")
