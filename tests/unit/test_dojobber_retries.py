"""DoJobber's manual, section by section (2): tries, delays and what is done meanwhile."""

import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

import dojobber
from dojobber import DefinitionError, Job
from headway.jobs.plan import Plan
from tests.unit.dojobbing import NEVER, Stage, carried_out, configured


@pytest.fixture
def stage() -> Stage:
    return Stage()


# Retry Logic


def test_a_loop_of_ones_own_asks_every_check_again(stage: Stage) -> None:
    done = stage.job("Done")
    dojob = configured(stage.job("Slow", done, runs=3), default_tries=1)
    retry = 5
    while retry:
        dojob.checknrun()
        if dojob.success():
            break
        retry -= 1
    assert retry == 3
    assert stage.said.count("Done.check") == 3


def test_a_job_is_tried_again_without_asking_those_that_succeeded(stage: Stage) -> None:
    done = stage.job("Done")
    dojob = carried_out(stage.job("Slow", done, runs=3))
    assert dojob.success()
    assert stage.said.count("Done.check") == 1
    assert stage.said.count("Slow.run") == 3


def test_a_try_is_check_run_and_recheck(stage: Stage) -> None:
    carried_out(stage.job("Slow", runs=2))
    assert stage.said == ["Slow.check", "Slow.run", "Slow.recheck"] * 2


def test_a_retry_whose_check_passes_meanwhile_is_not_run(stage: Stage) -> None:
    asked: list[str] = []

    class Elsewhere(Job):
        """Something else brings it about while it waits."""

        def Check(self, *args: Any, **kwargs: Any) -> None:
            asked.append(self._check_phase)
            if len(asked) < 3:
                raise RuntimeError("not yet")

        def Run(self, *args: Any, **kwargs: Any) -> None:
            asked.append("run")

    assert carried_out(Elsewhere).success()
    assert asked == ["check", "run", "recheck"]


# Storage Considerations


def test_a_retried_job_is_a_fresh_object_with_empty_storage() -> None:
    seen: list[tuple[int, str, dict[str, Any]]] = []

    class Slow(Job):
        TRIES = 2

        def Check(self, *args: Any, **kwargs: Any) -> None:
            seen.append((id(self), self._check_phase, dict(self.storage)))
            self.kept = self  # so that no two of them have one address
            keep.append(self)
            raise RuntimeError("never")

        def Run(self, *args: Any, **kwargs: Any) -> None:
            self.storage["from"] = "Run"

    keep: list[Job] = []
    carried_out(Slow)
    first, first_again, second, second_again = seen
    assert first[0] == first_again[0] != second[0] == second_again[0]
    assert [one[2] for one in seen] == [{}, {"from": "Run"}, {}, {"from": "Run"}]


def test_global_storage_lasts_from_try_to_try() -> None:
    class Counts(Job):
        def Check(self, *args: Any, **kwargs: Any) -> None:
            if self.global_storage.get("runs", 0) < 3:
                raise RuntimeError("not yet")

        def Run(self, *args: Any, **kwargs: Any) -> None:
            self.global_storage["runs"] = self.global_storage.get("runs", 0) + 1

    assert carried_out(Counts).success()


# TRIES Attribute


def test_a_job_is_tried_as_often_as_tries_says_and_then_given_up(stage: Stage) -> None:
    dojob = carried_out(stage.job("Hopeless", runs=NEVER, TRIES=4))
    assert stage.runs["Hopeless"] == 4
    assert dojob.nodestatus == {"Hopeless": False}


def test_without_tries_there_are_three(stage: Stage) -> None:
    carried_out(stage.job("Hopeless", runs=NEVER))
    assert stage.runs["Hopeless"] == 3


@pytest.mark.parametrize("root", ["Foo", "Bar"])
def test_tries_are_the_classs_own_or_the_default(stage: Stage, root: str) -> None:
    # The manual configures Foo, which leaves out the Bar that its text speaks of: both are tried.
    Foo = stage.job("Foo", runs=10 if root == "Bar" else NEVER, TRIES=10)
    Bar = stage.job("Bar", Foo, runs=NEVER)
    dojob = dojobber.DoJobber()
    dojob.configure({"Foo": Foo, "Bar": Bar}[root], default_tries=1, default_retry_delay=0)
    dojob.checknrun()
    assert stage.runs["Foo"] == 10
    assert stage.runs["Bar"] == (1 if root == "Bar" else 0)


@pytest.mark.parametrize("tries", [0, -1, 1.5, None, "3"])
def test_tries_must_be_a_whole_number_of_1_or_more(stage: Stage, tries: Any) -> None:
    dojob = dojobber.DoJobber()
    if tries is not None:
        with pytest.raises(DefinitionError, match=r"Foo\.TRIES is .*: it must be a whole number"):
            dojob.configure(stage.job("Foo", TRIES=tries))
    with pytest.raises(RuntimeError, match=r"default_tries is .*: it must be a whole number"):
        dojob.configure(stage.job("Foo"), default_tries=tries)


# RETRY_DELAY


class Timed:
    """Makes jobs whose Recheck never passes, and measures how long they were let alone."""

    def __init__(self) -> None:
        self._ended: dict[str, float] = {}
        self.pauses_s: dict[str, list[float]] = {}

    def job(self, name: str, *deps: Any, succeeds_at: int = 0, **own: Any) -> type[Job]:
        tries = 0

        def check(job: Job, *args: Any, **kwargs: Any) -> None:
            nonlocal tries
            if job._check_phase == "check":
                if name in self._ended:
                    pause_s = time.monotonic() - self._ended[name]
                    self.pauses_s.setdefault(name, []).append(pause_s)
                raise RuntimeError("not so")
            tries += 1
            self._ended[name] = time.monotonic()
            if tries != succeeds_at:
                raise RuntimeError("still not so")

        body = {"DEPS": deps, "Check": check, "Run": lambda job, *args, **kwargs: None}
        return type(name, (Job,), {**body, **own})


def test_a_delay_is_the_classs_own_or_the_default() -> None:
    # The manual's 10.5 and 0.5 seconds, at a hundredth. As above, its Bar is tried as well.
    timed = Timed()
    Foo = timed.job("Foo", succeeds_at=3, RETRY_DELAY=0.105)
    Bar = timed.job("Bar", Foo)
    for root in (Foo, Bar):
        dojob = dojobber.DoJobber()
        dojob.configure(root, default_retry_delay=0.005)
        assert Plan.of(root).rules[0].retry_delay_s == 0.105
    dojob.checknrun()
    assert len(timed.pauses_s["Foo"]) == 2
    assert min(timed.pauses_s["Foo"]) >= 0.105
    assert len(timed.pauses_s["Bar"]) == 2
    assert min(timed.pauses_s["Bar"]) >= 0.005


@pytest.mark.parametrize("delay", [0, 0.02, 0.0])
def test_a_delay_may_be_nothing_or_a_fraction_of_a_second(delay: float) -> None:
    timed = Timed()
    carried_out(timed.job("Foo", RETRY_DELAY=delay), default_retry_delay=5)
    assert min(timed.pauses_s["Foo"]) >= delay


def test_without_a_delay_of_its_own_a_job_waits_for_a_second(stage: Stage) -> None:
    assert Plan.of(stage.job("Foo")).rules[0].retry_delay_s == 1


@pytest.mark.parametrize("delay", [-1, -0.01, "1", float("nan")])
def test_a_delay_must_be_a_number_that_is_not_negative(stage: Stage, delay: Any) -> None:
    dojob = dojobber.DoJobber()
    with pytest.raises(DefinitionError, match=r"Foo\.RETRY_DELAY is .*: it must be a number of"):
        dojob.configure(stage.job("Foo", RETRY_DELAY=delay))
    with pytest.raises(RuntimeError, match=r"default_retry_delay is .*: it must be a number of"):
        dojob.configure(stage.job("Foo"), default_retry_delay=delay)


def test_after_the_last_try_nothing_is_waited_for(stage: Stage) -> None:
    before = time.monotonic()
    carried_out(stage.job("Foo", runs=NEVER, TRIES=1, RETRY_DELAY=300))
    assert time.monotonic() - before < 300


# Delay minimization


def test_other_jobs_are_tried_before_one_is_tried_again(stage: Stage) -> None:
    one, two = stage.job("One", runs=2), stage.job("Two", runs=2)
    other = stage.job("Other", runs=1)
    carried_out(stage.job("Root", one, two, other))
    assert [word for word in stage.said if word.endswith(".check")] == [
        "One.check", "Two.check", "Other.check", "One.check", "Two.check", "Root.check",
    ]  # fmt: skip


def test_a_job_that_waits_holds_up_no_other(stage: Stage) -> None:
    waits = stage.job("Waits", runs=2, RETRY_DELAY=0.05)
    low = stage.job("Low", runs=3, RETRY_DELAY=0)
    high = stage.job("High", low)
    carried_out(stage.job("Root", waits, high))
    first, second = (at for at, word in enumerate(stage.said) if word == "Waits.run")
    assert first < stage.said.index("Low.check") < stage.said.index("High.check") < second


def test_a_job_whose_needs_succeed_late_is_taken_at_once(stage: Stage) -> None:
    low = stage.job("Low", runs=1)
    high = stage.job("High", low)
    later = stage.job("Later")
    carried_out(stage.job("Root", high, later))
    assert stage.said[3:5] == ["High.check", "Later.check"]


def night(fails: Callable[..., type[Job]]) -> type[Job]:
    """A film night: how often each job fails is in the manual's output."""
    remote = fails("FindTVRemote", times=0)
    tv = fails("TurnOnTV", remote, times=3, says="Remote batteries are dead.")
    couch = fails("SitOnCouch", times=3, says="No space on couch.")
    bowl = fails("PopcornBowl", times=5, says="Dishwasher cycle not done yet.")
    popcorn = fails("Popcorn", bowl, times=2, says="Still popping...")
    pizza = fails("Pizza", times=2, says="Giordano's did not arrive yet.")
    return fails("WatchMovie", tv, couch, popcorn, pizza, times=0)


def failing(name: str, *deps: type[Job], times: int, says: str = "") -> type[Job]:
    """A job whose Recheck fails so many times."""
    left = times + 1

    def check(job: Job, *args: Any, **kwargs: Any) -> None:
        if left:
            raise RuntimeError(says)

    def run(job: Job, *args: Any, **kwargs: Any) -> None:
        nonlocal left
        left -= 1

    return type(name, (Job,), {"DEPS": deps, "TRIES": 9, "Check": check, "Run": run})


def test_the_manuals_retries_are_interleaved_as_it_prints_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    dojob = carried_out(night(failing), verbose=True)
    assert dojob.success()
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "recheck: fail" in line] == [
        'TurnOnTV.recheck: fail "Remote batteries are dead."',
        'SitOnCouch.recheck: fail "No space on couch."',
        'PopcornBowl.recheck: fail "Dishwasher cycle not done yet."',
        'Pizza.recheck: fail "Giordano\'s did not arrive yet."',
        'TurnOnTV.recheck: fail "Remote batteries are dead."',
        'SitOnCouch.recheck: fail "No space on couch."',
        'PopcornBowl.recheck: fail "Dishwasher cycle not done yet."',
        'Pizza.recheck: fail "Giordano\'s did not arrive yet."',
        'TurnOnTV.recheck: fail "Remote batteries are dead."',
        'SitOnCouch.recheck: fail "No space on couch."',
        'PopcornBowl.recheck: fail "Dishwasher cycle not done yet."',
        'PopcornBowl.recheck: fail "Dishwasher cycle not done yet."',
        'PopcornBowl.recheck: fail "Dishwasher cycle not done yet."',
        'Popcorn.recheck: fail "Still popping..."',
        'Popcorn.recheck: fail "Still popping..."',
    ]


# Beyond the manual: BACKOFF and RETRY_ON


def test_backoff_makes_each_pause_at_least_twice_the_one_before() -> None:
    timed = Timed()
    carried_out(timed.job("Foo", TRIES=4, RETRY_DELAY=0.01, BACKOFF="exponential"))
    first, second, third = timed.pauses_s["Foo"]
    assert first >= 0.01
    assert second >= 0.02
    assert third >= 0.04


def test_a_job_is_tried_again_only_for_the_exceptions_of_retry_on(stage: Stage) -> None:
    class Hopeless(Job):
        RETRY_ON: ClassVar[Any] = (ConnectionError,)

        def Check(self, *args: Any, **kwargs: Any) -> None:
            stage.said.append(self._check_phase)
            raise ConnectionError if self._check_phase == "check" else ValueError

        def Run(self, *args: Any, **kwargs: Any) -> None:
            raise ConnectionError

    class Hopeful(Hopeless):
        RETRY_ON = ValueError

    dojob = carried_out(Hopeless)
    assert stage.said == ["check", "recheck"]  # what Recheck raised is looked at, not the rest
    assert dojob.nodestatus == {"Hopeless": False}
    stage.said.clear()
    carried_out(Hopeful)
    assert stage.said == ["check", "recheck"] * 3


def test_retry_on_looks_at_what_run_raised_where_there_is_no_check(stage: Stage) -> None:
    carried_out(stage.runonly("Only", runs=NEVER, RETRY_ON=KeyError))
    assert stage.runs["Only"] == 1
    carried_out(stage.runonly("Again", runs=NEVER, RETRY_ON=RuntimeError))
    assert stage.runs["Again"] == 3
