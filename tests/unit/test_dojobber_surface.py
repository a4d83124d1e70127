"""All that a script written for DoJobber can touch, and what its manual leaves open."""

import inspect
import io
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest

import dojobber
import headway
from dojobber import DefinitionError, DoJobber, DummyJob, Job, RunonlyJob
from headway.adapters.inline import Inline
from tests.properties.drive import calls_made
from tests.unit.dojobbing import NEVER, Stage, carried_out, configured


@pytest.fixture
def stage() -> Stage:
    return Stage()


# Names, order, defaults


def parameters(function: Any) -> list[tuple[str, Any]]:
    found = inspect.signature(function).parameters.values()
    return [(one.name, one.default) for one in found if one.name != "self"]


def test_the_drop_in_name_gives_the_products_own_classes() -> None:
    for name in ("DoJobber", "DummyJob", "Job", "RunonlyJob"):
        assert getattr(dojobber, name) is getattr(headway, name)


def test_dojobber_is_made_with_a_log_level_and_ignores_other_keywords() -> None:
    assert parameters(DoJobber)[0] == ("dojobber_loglevel", logging.CRITICAL)
    DoJobber(logging.DEBUG)
    DoJobber(dojobber_loglevel=logging.INFO, colour="red", cleanup=True)


def test_configure_takes_its_arguments_in_this_order_with_these_defaults() -> None:
    assert parameters(DoJobber.configure) == [
        ("root", inspect.Parameter.empty),
        ("no_act", False),
        ("verbose", False),
        ("debug", False),
        ("cleanup", None),  # None: as DoJobber() was told, else True
        ("default_tries", 3),
        ("default_retry_delay", 1),
    ]


def test_configure_takes_its_arguments_by_place(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    dojob = DoJobber()
    dojob.configure(stage.job("Root", runs=NEVER, cleans=True), False, True, False, False, 2, 0.0)
    dojob.checknrun()
    assert stage.runs["Root"] == 2
    assert "Root.cleanup" not in stage.said
    assert capsys.readouterr().err.startswith("Root.check: fail\n")


def test_configure_says_no_act_by_place(stage: Stage) -> None:
    dojob = DoJobber()
    dojob.configure(stage.job("Root", runs=1), True)
    dojob.checknrun()
    assert stage.said == ["Root.check"]


def test_configure_has_the_last_word_on_cleanup(stage: Stage) -> None:
    for told, configures, runs in ((False, True, True), (True, False, False), (False, None, False)):
        stage.runs.clear()
        stage.said.clear()
        dojob = DoJobber(cleanup=told)
        options = {} if configures is None else {"cleanup": configures}
        dojob.configure(stage.job("Root", runs=1, cleans=True), **options)
        dojob.checknrun()
        assert ("Root.cleanup" in stage.said) == runs


def test_checknrun_returns_nothing(stage: Stage) -> None:
    assert configured(stage.job("Root")).checknrun() is None  # type: ignore[func-returns-value]


def test_checknrun_before_configure_says_what_is_missing() -> None:
    dojob = DoJobber()
    for too_early in (
        dojob.checknrun,
        dojob.display_graph,
        lambda: dojob.write_graph(io.BytesIO()),
    ):
        with pytest.raises(DefinitionError, match=r"configure\(RootJob\) comes first"):
            too_early()
    dojob.cleanup()  # nothing is due


@pytest.mark.parametrize("by", ["class", "name"])
def test_checknrun_of_a_node_is_limited_to_that_job_and_what_it_needs(
    stage: Stage, by: str
) -> None:
    low = stage.job("Low", runs=1)
    mid = stage.job("Mid", low)
    dojob = configured(stage.job("Root", mid, stage.job("Beside")))
    dojob.checknrun({"class": mid, "name": "Mid"}[by])
    assert stage.said == ["Low.check", "Low.run", "Low.recheck", "Mid.check"]
    assert dojob.nodestatus == {"Low": True, "Mid": True, "Beside": None, "Root": None}
    assert dojob.partial_success()
    assert not dojob.success()


def test_a_node_that_is_not_there_is_told_with_the_nearest(stage: Stage) -> None:
    dojob = configured(stage.job("Root", stage.job("PopcornBowl")))
    with pytest.raises(DefinitionError, match=r"'PopcornBowls'.*Did you mean PopcornBowl"):
        dojob.checknrun("PopcornBowls")
    with pytest.raises(DefinitionError, match="no job called 'Elsewhere'"):
        dojob.checknrun(node=stage.job("Elsewhere"))


# What came of it


def test_before_a_run_nothing_has_succeeded(stage: Stage) -> None:
    dojob = DoJobber()
    for _ in range(2):
        assert not dojob.success()
        assert not dojob.partial_success()
        assert dojob.failure()
        assert dojob.nodeexceptions == dojob.noderesults == {}
        dojob.configure(stage.job("Root"))
    assert dojob.nodestatus == {"Root": None}


@pytest.mark.parametrize(
    ("one", "two", "success", "partial"),
    [(0, 0, True, True), (0, NEVER, False, True), (NEVER, NEVER, False, False)],
)
def test_success_is_of_all_partial_success_of_one_and_failure_of_not_all(
    stage: Stage, one: float, two: float, success: bool, partial: bool
) -> None:
    jobs = [stage.job("One", runs=one), stage.job("Two", runs=two)]
    dojob = carried_out(stage.dummy("Root", *jobs), default_tries=1)
    assert dojob.success() is success
    assert dojob.partial_success() is partial
    assert dojob.failure() is not success


def test_nodestatus_is_true_false_or_none(stage: Stage) -> None:
    jobs = [stage.job("Done"), stage.job("Repaired", runs=1), stage.job("Broken", runs=NEVER)]
    dojob = carried_out(stage.dummy("Root", *jobs))
    assert dojob.nodestatus == {"Done": True, "Repaired": True, "Broken": False, "Root": None}


def test_nodeexceptions_holds_what_the_last_recheck_of_each_failed_job_raised(
    stage: Stage,
) -> None:
    jobs = [stage.job("Done"), stage.job("Repaired", runs=2), stage.job("Broken", runs=NEVER)]
    dojob = carried_out(stage.dummy("Root", *jobs))
    assert list(dojob.nodeexceptions) == ["Broken"]
    error = dojob.nodeexceptions["Broken"]
    assert type(error) is RuntimeError
    assert str(error) == "Broken was run 3 times"


def test_noderesults_holds_what_the_passing_check_recheck_or_run_of_each_job_returned() -> None:
    done: list[str] = []

    class Done(Job):
        def Check(self, *args: Any, **kwargs: Any) -> str:
            return self._check_phase

    class Repaired(Job):
        def Check(self, *args: Any, **kwargs: Any) -> str:
            if not done:
                raise RuntimeError
            return self._check_phase

        def Run(self, *args: Any, **kwargs: Any) -> str:
            done.append("it")
            return "not this"

    class Only(RunonlyJob):
        def Run(self, *args: Any, **kwargs: Any) -> str:
            return "run"

    class Silent(Job):
        def Check(self, *args: Any, **kwargs: Any) -> None:
            pass

    class Broken(Job):
        TRIES = 1

        def Check(self, *args: Any, **kwargs: Any) -> None:
            raise RuntimeError

        def Run(self, *args: Any, **kwargs: Any) -> str:
            return "nor this"

    class Root(DummyJob):
        DEPS = (Done, Repaired, Only, Silent, Broken)

    assert carried_out(Root).noderesults == {
        "Done": "check",
        "Repaired": "recheck",
        "Only": "run",
        "Silent": None,
    }


def test_a_job_knows_whether_it_is_checked_or_rechecked(stage: Stage) -> None:
    carried_out(stage.job("Root", runs=2))
    phases = [word.split(".")[1] for word in stage.said]
    assert phases == ["check", "run", "recheck"] * 2


def test_a_definition_error_is_a_runtime_error(stage: Stage) -> None:
    with pytest.raises(RuntimeError):
        DoJobber().configure(stage.job("Root", TRIES=0))


# Only looking


def test_without_acting_each_check_is_asked_once_and_nothing_else(stage: Stage) -> None:
    undone = stage.job("Undone", stage.job("Done"), runs=1, cleans=True)
    jobs = [stage.job("Above", undone), stage.runonly("Only", cleans=True), stage.job("Beside")]
    dojob = carried_out(stage.dummy("Root", *jobs), no_act=True)
    assert stage.said == ["Done.check", "Undone.check", "Beside.check"]
    assert dojob.nodestatus == {
        "Done": True, "Undone": False, "Above": None, "Only": False, "Beside": True, "Root": None,
    }  # fmt: skip
    assert not dojob.success()
    assert dojob.nodeexceptions == {}  # nothing was rechecked
    dojob.cleanup()
    assert "Undone.cleanup" not in stage.said


def test_without_acting_what_is_done_is_a_success(stage: Stage) -> None:
    assert carried_out(stage.job("Root", stage.job("Below")), no_act=True).success()


# Cleanup


def test_each_try_whose_run_was_entered_has_its_cleanup_last_first_without_arguments() -> None:
    said: list[str] = []

    class Slow(Job):
        def Check(self, *args: Any, **kwargs: Any) -> None:
            self.storage.setdefault("try", len(said) + 1)
            if self._check_phase == "check" or len(said) < 2:
                raise RuntimeError

        def Run(self, *args: Any, **kwargs: Any) -> None:
            said.append(f"run {self.storage['try']}")

        def Cleanup(self) -> None:
            said.append(f"cleanup {self.storage['try']}")

    dojob = configured(Slow)
    dojob.set_args("one", two=2)
    dojob.checknrun()
    assert said == ["run 1", "run 2", "cleanup 2", "cleanup 1"]


def test_the_cleanup_is_that_of_the_object_whose_run_was_entered() -> None:
    objects: list[Job] = []

    class Root(Job):
        TRIES = 1

        def Check(self, *args: Any, **kwargs: Any) -> None:
            raise RuntimeError

        def Run(self, *args: Any, **kwargs: Any) -> None:
            objects.append(self)

        def Cleanup(self) -> None:
            objects.append(self)

    carried_out(Root)
    assert objects[0] is objects[1]


def test_a_try_whose_check_passed_has_no_cleanup(stage: Stage) -> None:
    carried_out(stage.job("Root", cleans=True))
    assert stage.said == ["Root.check"]


def test_a_run_that_raised_has_its_cleanup(stage: Stage) -> None:
    carried_out(stage.runonly("Only", runs=NEVER, cleans=True), default_tries=2)
    assert stage.said == ["Only.run", "Only.run", "Only.cleanup", "Only.cleanup"]


def test_a_cleanup_may_use_global_storage() -> None:
    seen: list[Any] = []

    class Root(RunonlyJob):
        def Run(self, *args: Any, **kwargs: Any) -> None:
            self.global_storage["left"] = "behind"

        def Cleanup(self) -> None:
            seen.append(self.global_storage.pop("left"))

    carried_out(Root)
    assert seen == ["behind"]


def raises(*errors: BaseException) -> Any:
    left = list(errors)

    def cleanup(self: Job) -> None:
        raise left.pop(0)

    return cleanup


def test_when_cleanups_raise_all_are_tried_and_the_first_is_raised_with_the_others_as_notes(
    stage: Stage,
) -> None:
    one = stage.job("One", runs=1, Cleanup=raises(ValueError("one stays")))
    two = stage.job("Two", one, runs=1, cleans=True)
    three = stage.job("Three", two, runs=1, Cleanup=raises(SystemExit("three stays")))
    dojob = configured(stage.job("Root", three, runs=1, cleans=True))
    with pytest.raises(SystemExit, match="three stays") as caught:
        dojob.checknrun()
    assert caught.value.__notes__ == ["and the Cleanup of One: ValueError: one stays"]
    assert stage.said[-2:] == ["Root.cleanup", "Two.cleanup"]
    assert all(dojob.nodestatus.values())
    assert not dojob.success()
    assert dojob.failure()


def test_a_cleanup_that_raised_is_not_run_again(stage: Stage) -> None:
    dojob = configured(stage.job("Root", runs=1, Cleanup=raises(ValueError("stays"))))
    with pytest.raises(ValueError, match="stays"):
        dojob.checknrun()
    dojob.cleanup()


def test_cleanup_by_hand_raises_in_the_same_way(stage: Stage) -> None:
    dojob = carried_out(
        stage.job("Root", runs=1, Cleanup=raises(ValueError("stays"))), cleanup=False
    )
    assert dojob.success()
    with pytest.raises(ValueError, match="stays"):
        dojob.cleanup()
    assert not dojob.success()


def test_a_second_cleanup_does_nothing(stage: Stage) -> None:
    dojob = carried_out(stage.job("Root", runs=1, cleans=True), cleanup=False)
    dojob.cleanup()
    dojob.cleanup()
    assert stage.said.count("Root.cleanup") == 1


def test_cleanup_after_a_run_that_cleaned_up_does_nothing(stage: Stage) -> None:
    dojob = carried_out(stage.job("Root", runs=1, cleans=True))
    dojob.cleanup()
    assert stage.said.count("Root.cleanup") == 1


def test_cleanup_unwinds_all_runs_that_are_not_unwound_yet_last_first(stage: Stage) -> None:
    said: list[str] = []

    class Only(RunonlyJob):
        def Run(self, *args: Any, **kwargs: Any) -> None:
            self.storage["at"] = args[0]

        def Cleanup(self) -> None:
            said.append(self.storage["at"])

    dojob = configured(Only, cleanup=False)
    for at in ("first", "second"):
        dojob.set_args(at)
        dojob.checknrun()
    dojob.configure(stage.job("Another", runs=1, cleans=True), cleanup=False)
    dojob.checknrun()
    dojob.cleanup()
    assert said == ["second", "first"]
    assert stage.said[-1] == "Another.cleanup"


# A second run


def test_a_second_checknrun_is_a_new_run(stage: Stage) -> None:
    seen: list[tuple[dict[str, Any], dict[str, Any]]] = []

    class Root(Job):
        DEPS = (stage.job("Hopeless", runs=4),)

        def Check(self, *args: Any, **kwargs: Any) -> None:
            seen.append((dict(self.storage), dict(self.global_storage)))
            self.storage["kept"] = self.global_storage["kept"] = True

        def Run(self, *args: Any, **kwargs: Any) -> None:
            pass

    dojob = configured(Root, default_tries=3)
    dojob.checknrun()
    assert dojob.nodestatus == {"Hopeless": False, "Root": None}
    assert list(dojob.nodeexceptions) == ["Hopeless"]
    dojob.checknrun()  # tries are counted anew
    assert dojob.success()
    assert dojob.nodeexceptions == {}
    dojob.checknrun()
    assert seen == [({}, {})] * 2


# Arguments


@pytest.mark.parametrize(
    ("method", "args", "kwargs"),
    [("Check", (1, 2), {}), ("Check", (), {"colour": "red"}), ("Run", (1, 2), {}), ("Run", (), {})],
)
def test_a_signature_that_cannot_take_the_arguments_is_named_before_anything_runs(
    stage: Stage, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    class Root(Job):
        DEPS = (stage.job("Below"),)

        def Check(self, *args: Any, **kwargs: Any) -> None:
            stage.said.append("Root.check")

    def narrow(self, movie):  # type: ignore[no-untyped-def]
        stage.said.append("narrow")

    setattr(Root, method, narrow)
    dojob = configured(Root)
    dojob.set_args(*args, **kwargs)
    with pytest.raises(DefinitionError) as caught:
        dojob.checknrun()
    assert f"Root.{method}(self, movie) cannot be called" in str(caught.value)
    assert f"Write it as def {method}(self, *args, **kwargs)" in str(caught.value)
    assert stage.said == []


def test_a_signature_that_names_the_arguments_it_takes_is_fine() -> None:
    seen: list[Any] = []

    class Root(Job):
        def Check(self, first: int, *, movie: str = "", **others: Any) -> None:
            seen.append((first, movie, others))

    dojob = configured(Root)
    dojob.set_args(1, movie="Alien", year=1979)
    dojob.checknrun()
    assert seen == [(1, "Alien", {"year": 1979})]


def test_methods_that_are_static_or_of_the_class_take_their_arguments() -> None:
    class Root(Job):
        @staticmethod
        def Check(movie: str) -> None:
            if not Root.seen:
                raise RuntimeError(movie)

        @classmethod
        def Run(cls, movie: str) -> None:
            cls.seen = movie

        seen = ""

    dojob = configured(Root)
    dojob.set_args("Alien")
    dojob.checknrun()
    assert dojob.success()


# Names


def test_two_jobs_of_one_name_are_refused_with_their_modules() -> None:
    one = type("Twin", (DummyJob,), {"__module__": "first"})
    two = type("Twin", (DummyJob,), {"__module__": "second"})
    root = type("Root", (DummyJob,), {"DEPS": (one, two)})
    with pytest.raises(DefinitionError, match=r"called 'Twin': one from module first .* second"):
        configured(root)


def test_jobs_that_need_each_other_in_a_circle_are_refused_with_the_way_round(
    stage: Stage,
) -> None:
    a, b = stage.job("A"), stage.job("B")
    a.DEPS, b.DEPS = (b,), (a,)
    with pytest.raises(DefinitionError, match="in a circle: A -> B -> A"):
        configured(stage.dummy("Root", a))


# Deep and failing graphs


def chain(stage: Stage, length: int, **bottom: Any) -> type[Job]:
    last = stage.job("Bottom", **bottom)
    for n in range(1, length):
        last = type(f"Link{n}", (DummyJob,), {"DEPS": (last,)})
    return last


def test_a_chain_of_20_000_jobs_is_carried_out(stage: Stage) -> None:
    dojob = carried_out(chain(stage, 20_000))
    assert dojob.success()
    assert len(dojob.nodestatus) == 20_000


def test_a_chain_of_20_000_jobs_whose_bottom_fails_ends_there(stage: Stage) -> None:
    dojob = carried_out(chain(stage, 20_000, runs=NEVER))
    assert stage.runs["Bottom"] == 3
    assert list(dojob.nodestatus.values()).count(None) == 19_999


@pytest.mark.parametrize("runs", [0, NEVER], ids=["passing", "failing"])
def test_cost_grows_with_the_length_of_a_chain_and_no_faster(stage: Stage, runs: float) -> None:
    def cost(length: int) -> int:
        dojob = configured(chain(stage, length, runs=runs))
        return calls_made(dojob.checknrun)

    short, longer, longest = cost(500), cost(1000), cost(2000)
    assert longer <= 2.1 * short + 200
    assert longest <= 2.1 * longer + 200


def test_below_a_failing_job_cost_does_not_grow_with_the_number_of_ways_to_it(
    stage: Stage,
) -> None:
    def ladder(rungs: int) -> type[Job]:
        """Twice as many ways from the root to the bottom with each rung."""
        below: tuple[type[Job], ...] = (stage.job("Bottom", runs=NEVER),)
        for n in range(rungs):
            below = tuple(type(f"{side}{n}", (DummyJob,), {"DEPS": below}) for side in "LR")
        return stage.dummy("Root", *below)

    dojob = carried_out(ladder(100), default_tries=2)
    assert stage.runs["Bottom"] == 2
    assert dojob.nodestatus["Root"] is None


# Where phases run


@pytest.mark.parametrize("timeout", [None, 60], ids=["unbounded", "with TIMEOUT"])
def test_each_phase_begins_where_the_run_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timeout: float | None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    found: list[tuple[str, str]] = []

    class Wanders(Job):
        TRIES = 2
        TIMEOUT = timeout

        def Check(self, *args: Any, **kwargs: Any) -> None:
            self._look(self._check_phase)
            raise RuntimeError

        def Run(self, *args: Any, **kwargs: Any) -> None:
            self._look("run")

        def Cleanup(self) -> None:
            self._look("cleanup")

        def _look(self, phase: str) -> None:
            found.append((phase, os.getcwd()))
            os.chdir(tmp_path / "elsewhere")

    carried_out(Wanders)
    phases = ["check", "run", "recheck"] * 2 + ["cleanup"] * 2
    assert found == [(phase, str(tmp_path)) for phase in phases]
    assert Path.cwd() == tmp_path


# Ways out


@pytest.mark.parametrize("raised", [SystemExit(1), SystemExit(), RuntimeError()])
def test_a_check_that_exits_has_failed_and_the_rest_goes_on(
    stage: Stage, raised: BaseException
) -> None:
    def check(self: Job, *args: Any, **kwargs: Any) -> None:
        raise raised

    root = stage.dummy("Root", stage.job("Exits", Check=check), stage.job("Beside"))
    dojob = carried_out(root, default_tries=1)
    assert dojob.nodestatus == {"Exits": False, "Beside": True, "Root": None}
    assert dojob.nodeexceptions == {"Exits": raised}


@pytest.mark.parametrize("phase", ["check", "run", "recheck"])
@pytest.mark.parametrize("timeout", [None, 60], ids=["unbounded", "with TIMEOUT"])
def test_a_keyboard_interrupt_stops_the_run_cleans_up_and_is_raised(
    stage: Stage, phase: str, timeout: float | None
) -> None:
    class InHand(Job):
        DEPS = (stage.job("Before", runs=1, cleans=True),)
        TIMEOUT = timeout

        def Check(self, *args: Any, **kwargs: Any) -> None:
            if phase == self._check_phase:
                raise KeyboardInterrupt
            raise RuntimeError

        def Run(self, *args: Any, **kwargs: Any) -> None:
            if phase == "run":
                raise KeyboardInterrupt

        def Cleanup(self) -> None:
            stage.said.append("InHand.cleanup")

    dojob = configured(stage.dummy("Root", InHand, stage.job("After")))
    with pytest.raises(KeyboardInterrupt):
        dojob.checknrun()
    assert dojob.nodestatus == {"Before": True, "InHand": None, "After": None, "Root": None}
    cleaned = ["InHand.cleanup"] if phase != "check" else []
    assert stage.said[3:] == [*cleaned, "Before.cleanup"]
    assert not dojob.success()
    assert dojob.partial_success()


def test_a_job_that_cannot_be_made_has_failed_and_the_rest_goes_on(stage: Stage) -> None:
    def init(self: Job) -> None:
        raise ValueError("cannot be made")

    root = stage.dummy("Root", stage.job("Unmade", __init__=init), stage.job("Beside"))
    dojob = carried_out(root, default_tries=2)
    assert dojob.nodestatus == {"Unmade": False, "Beside": True, "Root": None}
    assert str(dojob.nodeexceptions["Unmade"]) == "cannot be made"


# Jobs without Run


def test_a_job_without_run_is_checked_and_rechecked_in_each_try() -> None:
    said: list[str] = []

    class CountCPUs(Job):
        TRIES = 2

        def Check(self, *args: Any, **kwargs: Any) -> None:
            said.append(self._check_phase)
            raise RuntimeError("none found")

    dojob = carried_out(CountCPUs)
    assert said == ["check", "recheck"] * 2
    assert dojob.nodestatus == {"CountCPUs": False}


def test_a_job_without_run_succeeds_when_something_else_brings_it_about() -> None:
    seen: list[str] = []

    class Appears(Job):
        def Check(self, *args: Any, **kwargs: Any) -> None:
            seen.append("looked")
            if len(seen) < 4:
                raise RuntimeError("not there yet")

    assert carried_out(Appears).success()


# TIMEOUT


def wait_until_told(job: Job) -> None:
    """What a job does that looks at ``self.stopping`` now and then."""
    never = threading.Event()
    while not job.stopping:
        never.wait(0.005)


@pytest.mark.parametrize("phase", ["check", "run", "recheck"])
def test_a_phase_that_takes_longer_than_timeout_fails_the_try(phase: str) -> None:
    said: list[str] = []

    class Slow(Job):
        TIMEOUT = 0.03
        TRIES = 2

        def Check(self, *args: Any, **kwargs: Any) -> None:
            said.append(self._check_phase)
            if phase == self._check_phase:
                wait_until_told(self)
            elif self._check_phase == "check":
                raise RuntimeError

        def Run(self, *args: Any, **kwargs: Any) -> None:
            said.append("run")
            if phase == "run":
                wait_until_told(self)

        def Cleanup(self) -> None:
            said.append("cleanup")

    dojob = carried_out(Slow)
    assert dojob.nodestatus == {"Slow": False}
    assert str(dojob.nodeexceptions["Slow"]) == f"its {phase} took longer than 0.03 s"
    entered = {"check": ["check"], "run": ["check", "run"], "recheck": ["check", "run", "recheck"]}
    cleaned = [] if phase == "check" else ["cleanup"] * 2
    assert said == entered[phase] * 2 + cleaned


def test_timeout_bounds_each_phase_and_not_the_try_or_the_run(stage: Stage) -> None:
    quick = stage.job("Quick", runs=2, TIMEOUT=60)
    assert carried_out(stage.job("Root", quick, runs=1, TIMEOUT=60)).success()


def test_a_job_knows_its_deadline_and_has_none_without_timeout() -> None:
    class Bounded(Job):
        TIMEOUT: ClassVar[Any] = 60

        def Check(self, *args: Any, **kwargs: Any) -> Any:
            return self.deadline

    class Unbounded(Bounded):
        TIMEOUT = None

    assert carried_out(Bounded).noderesults["Bounded"].tzinfo is not None
    assert carried_out(Unbounded).noderesults == {"Unbounded": None}


class Hasty(DoJobber):
    """Gives code that is past its deadline only a moment to notice."""

    def _executor(self) -> Inline:
        return Inline(grace_s=0.03)


def test_code_that_goes_on_past_its_deadline_is_given_up_and_never_tried_again(
    stage: Stage,
) -> None:
    may_end = threading.Event()
    entered: list[str] = []

    class Deaf(RunonlyJob):
        TIMEOUT = 0.03

        def Run(self, *args: Any, **kwargs: Any) -> None:
            entered.append("run")
            assert may_end.wait(60)

    dojob = Hasty()
    dojob.configure(stage.dummy("Root", Deaf, stage.job("Beside")), default_retry_delay=0)
    try:
        dojob.checknrun()
    finally:
        may_end.set()
    assert dojob.nodestatus == {"Deaf": False, "Beside": True, "Root": None}
    assert entered == ["run"]
    assert "took longer than 0.03 s" in str(dojob.nodeexceptions["Deaf"])


def test_a_command_ends_at_the_deadline() -> None:
    class Sleeps(RunonlyJob):
        TIMEOUT = 0.05
        TRIES = 1

        def Run(self, *args: Any, **kwargs: Any) -> None:
            self.run(["sleep", "600"])

    dojob = carried_out(Sleeps)
    assert dojob.nodestatus == {"Sleeps": False}


# As a library


LIBRARY = """
import dojobber

class Below(dojobber.Job):
    TRIES = 2
    RETRY_DELAY = 0

    def Check(self, *args, **kwargs):
        self.global_storage["seen"] = self.global_storage.get("seen", 0) + 1
        self.output.info("seen %d", self.global_storage["seen"])
        assert self.global_storage["seen"] == 4

    def Run(self, *args, **kwargs):
        self.run(["echo", "hello"])

    def Cleanup(self):
        pass

class Root(dojobber.DummyJob):
    DEPS = (Below,)

dojob = dojobber.DoJobber(dojobber_loglevel="DEBUG")
dojob.configure(Root, debug=True)
dojob.checknrun()
assert dojob.success(), dojob.nodeexceptions
dojob.checknrun(Below)
"""


def test_used_as_a_library_it_writes_nothing_to_disk(tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("HOME", "TMPDIR", "XDG_CONFIG_HOME", "work")}
    for place in places.values():
        place.mkdir()
    environment = {name: str(place) for name, place in places.items() if name != "work"}
    subprocess.run(
        [sys.executable, "-c", LIBRARY],
        cwd=places["work"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        check=True,
        capture_output=True,
    )
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(places)


# Pictures


def film_night(stage: Stage) -> DoJobber:
    bowl = stage.job("PopcornBowl", runs=NEVER)
    return configured(stage.job("WatchMovie", stage.job("Popcorn", bowl)), default_tries=1)


@pytest.mark.parametrize(
    ("fmt", "begins"),
    [
        ("png", b"\x89PNG\r\n\x1a\n"),
        ("svg", b"<"),
        ("dot", b"digraph"),
        ("mermaid", b""),
        ("txt", b""),
    ],
)
def test_write_graph_writes_bytes_to_an_open_binary_file(
    stage: Stage, tmp_path: Path, fmt: str, begins: bytes
) -> None:
    pytest.importorskip("headway.runtime.pictures")
    dojob = film_night(stage)
    with open(tmp_path / "before", "wb") as filed:
        dojob.write_graph(filed, fmt=fmt)
    dojob.checknrun()
    with open(tmp_path / "after", "wb") as filed:
        dojob.write_graph(filed, fmt)
    before, after = ((tmp_path / name).read_bytes() for name in ("before", "after"))
    assert before.lstrip().startswith(begins)
    assert after != before  # it shows how the jobs stand
    if fmt != "png":
        assert b"PopcornBowl" in after


def test_write_graph_writes_png_unless_told_otherwise(stage: Stage) -> None:
    pytest.importorskip("headway.runtime.pictures")
    filed = io.BytesIO()
    film_night(stage).write_graph(filed)
    assert filed.getvalue().startswith(b"\x89PNG\r\n\x1a\n")


def test_write_graph_of_an_unknown_format_says_which_there_are(stage: Stage) -> None:
    pytest.importorskip("headway.runtime.pictures")
    with pytest.raises(DefinitionError, match=r"no picture format 'gif': png, svg, dot"):
        film_night(stage).write_graph(io.BytesIO(), fmt="gif")


DISPLAY = """
import dojobber
class Below(dojobber.DummyJob): pass
class Root(dojobber.DummyJob): DEPS = (Below,)
dojob = dojobber.DoJobber()
dojob.configure(Root)
dojob.display_graph()
"""


def displayed(tmp_path: Path, **environment: str) -> str:
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    paths = {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", DISPLAY],
        env={**kept, **paths, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


@pytest.mark.skipif(sys.platform == "darwin", reason="a screen is found in another way there")
def test_display_graph_opens_the_picture_in_the_browser(tmp_path: Path) -> None:
    pytest.importorskip("headway.runtime.pictures")
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\ncp "${{1#file://}}" {opened}\n')
    browser.chmod(0o700)
    assert displayed(tmp_path, DISPLAY=":99", BROWSER=f"{browser} %s") == ""
    assert "Below" in opened.read_text()


@pytest.mark.skipif(sys.platform == "darwin", reason="a screen is found in another way there")
def test_display_graph_without_a_screen_prints_the_picture_as_text(tmp_path: Path) -> None:
    pytest.importorskip("headway.runtime.pictures")
    printed = displayed(tmp_path)
    assert "Below" in printed
    assert "Root" in printed
