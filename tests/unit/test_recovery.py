"""What a run remembers over the death of its process: storages, tries, Cleanups."""

from pathlib import Path
from typing import ClassVar

import pytest

from headway import DummyJob, Job, RunonlyJob
from headway.errors import DefinitionError
from headway.jobs.events import (
    CleanupEnded,
    Event,
    RunBegan,
    RunIntended,
    RunRetried,
    TryEnded,
)
from headway.jobs.outcomes import Ending, Failure
from headway.jobs.plan import Plan, Policy
from headway.jobs.schedule import Schedule
from headway.jobs.states import JobState, RunState
from headway.runtime import clocks
from headway.runtime.executors import make
from tests.unit.recorded import Recorded


@pytest.fixture
def log() -> list[str]:
    """What jobs did, over all lives."""
    return []


class Doing(Job):
    """Not done until its Run was executed; ``done`` stands for the world outside."""

    RETRY_DELAY: ClassVar[float] = 0

    def Check(self, log: list[str]) -> None:
        assert self._name("run") in log

    def Run(self, log: list[str]) -> None:
        log.append(self._name("run"))

    def _name(self, phase: str) -> str:
        return f"{phase} {type(self).__name__}"


# Storages


def test_what_a_check_put_into_the_shared_storage_is_there_after_a_death(
    tmp_path: Path, log: list[str]
) -> None:
    class Fills(Job):
        def Check(self, log: list[str]) -> None:
            log.append("check Fills")
            self.global_storage["found"] = {"deep": [1, "two", None]}

    class Uses(Doing):
        DEPS = (Fills,)

        def Run(self, log: list[str]) -> None:
            log.append(f"run Uses {self.global_storage['found']}")
            super().Run(log)

    with Recorded(tmp_path, Uses, log=log) as run:
        assert run.begin("before", "run-intended", "Uses") is None
        assert run.resume() is RunState.SUCCEEDED
    assert log == ["check Fills", "run Uses {'deep': [1, 'two', None]}", "run Uses"]


def test_a_shared_value_that_was_deleted_stays_deleted_after_a_death(
    tmp_path: Path, log: list[str]
) -> None:
    class Fills(Doing):
        def Run(self, log: list[str]) -> None:
            self.global_storage.update(kept=1, gone=2)
            super().Run(log)

    class Deletes(Doing):
        DEPS = (Fills,)

        def Run(self, log: list[str]) -> None:
            del self.global_storage["gone"]
            super().Run(log)

    class Looks(Doing):
        DEPS = (Deletes,)

        def Run(self, log: list[str]) -> None:
            log.append(str(dict(self.global_storage)))
            super().Run(log)

    with Recorded(tmp_path, Looks, log=log) as run:
        run.begin("after", "repaired", "Deletes")
        run.resume()
    assert "{'kept': 1}" in log


def test_a_cleanup_after_a_death_finds_what_the_try_left_in_its_own_storage(
    tmp_path: Path, log: list[str]
) -> None:
    class Leaves(Doing):
        def Run(self, log: list[str]) -> None:
            self.storage["log"] = "a text, for the list itself is not portable"
            self.storage["paths"] = ["one", "two"]
            super().Run(log)

        def Cleanup(self) -> None:
            log.append(f"cleanup {self.storage['paths']}")

    with Recorded(tmp_path, Leaves, log=log) as run:
        assert run.begin("before", "cleanup-intended") is None
        assert run.resume() is RunState.SUCCEEDED
    assert log == ["run Leaves", "cleanup ['one', 'two']"]


def test_a_cleanup_of_a_run_that_was_cut_off_finds_what_the_check_stored(
    tmp_path: Path, log: list[str]
) -> None:
    class Leaves(Doing):
        def Check(self, log: list[str]) -> None:
            self.storage["path"] = "one"
            super().Check(log)

        def Cleanup(self) -> None:
            log.append(f"cleanup {self.storage['path']}")

    with Recorded(tmp_path, Leaves, log=log) as run:
        assert run.begin("before", "repaired") is None
        assert run.resume() is RunState.SUCCEEDED
        assert run.states() == {"Leaves": "passed"}
    assert log == ["run Leaves", "cleanup one"]


def test_a_storage_that_the_run_emptied_is_empty_for_its_cleanup_after_a_death(
    tmp_path: Path, log: list[str]
) -> None:
    class Empties(Doing):
        def Check(self, log: list[str]) -> None:
            if not log:
                self.storage["half"] = "made"
            super().Check(log)

        def Run(self, log: list[str]) -> None:
            self.storage.clear()
            super().Run(log)

        def Cleanup(self) -> None:
            log.append(f"cleanup {self.storage}")

    with Recorded(tmp_path, Empties, log=log) as run:
        run.begin("after", "repaired")
        run.resume()
    assert log == ["run Empties", "cleanup {}"]


class Handle:
    """What JSON cannot carry."""


def test_the_check_of_a_job_that_set_what_json_cannot_carry_is_asked_again(
    tmp_path: Path, log: list[str]
) -> None:
    class Connects(Job):
        def Check(self, log: list[str]) -> None:
            log.append("check Connects")
            self.global_storage["connection"] = Handle()

    class Reads(Job):
        """Reading makes nobody the one who set it."""

        DEPS = (Connects,)

        def Check(self, log: list[str]) -> None:
            assert isinstance(self.global_storage["connection"], Handle)

    class Uses(Doing):
        DEPS = (Reads,)

        def Run(self, log: list[str]) -> None:
            assert isinstance(self.global_storage["connection"], Handle)
            super().Run(log)

    with Recorded(tmp_path, Uses, log=log) as run:
        assert run.begin("after", "run-intended", "Uses") is None
        assert run.resume() is RunState.SUCCEEDED
    assert log == ["check Connects", "check Connects", "run Uses"]


def test_what_json_cannot_carry_and_no_check_brings_back_is_one_error_with_key_and_job(
    tmp_path: Path, log: list[str]
) -> None:
    class Connects(Doing):
        def Run(self, log: list[str]) -> None:
            self.global_storage["connection"] = Handle()
            super().Run(log)

    class Uses(Doing):
        DEPS = (Connects,)

    with Recorded(tmp_path, Uses, log=log) as run:
        assert run.begin("after", "run-intended", "Uses") is None
        with pytest.raises(DefinitionError, match=r"'connection'.*set by Connects"):
            run.resume()
        assert run.record().state is RunState.INTERRUPTED
        assert run.record().owner is None, "it is given up, for somebody else to try"
    assert log == ["run Connects"]


def test_a_job_that_will_be_tried_anyway_is_not_asked_for_what_is_missing(
    tmp_path: Path, log: list[str]
) -> None:
    class Connects(Doing):
        def Run(self, log: list[str]) -> None:
            self.global_storage["connection"] = Handle()
            if "run Connects" in log or len(log) > 0:
                super().Run(log)
            log.append("tried")

    with Recorded(tmp_path, Connects, log=log) as run:
        assert run.begin("after", "failed") is None
        assert run.resume() is RunState.SUCCEEDED
    assert log == ["tried", "run Connects", "tried"]


def test_a_key_that_is_no_text_is_brought_back_like_a_value_json_cannot_carry(
    tmp_path: Path, log: list[str]
) -> None:
    class Fills(Job):
        def Check(self, log: list[str]) -> None:
            self.global_storage[5] = "five"
            self.global_storage.pop((6, 7), None)

    class Uses(Doing):
        DEPS = (Fills,)

        def Run(self, log: list[str]) -> None:
            log.append(self.global_storage[5])
            super().Run(log)

    with Recorded(tmp_path, Uses, log=log) as run:
        assert run.begin("before", "run-intended") is None
        assert run.resume() is RunState.SUCCEEDED
    assert log == ["five", "run Uses"]


# Tries


class Stubborn(Doing):
    """Done at its third Run."""

    TRIES = 3

    def Check(self, log: list[str]) -> None:
        assert log.count("run Stubborn") >= 3


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["run-intended", "failed"])
def test_tries_that_ended_are_counted_and_one_that_was_cut_off_is_not(
    tmp_path: Path, log: list[str], kind: str, when: str
) -> None:
    with Recorded(tmp_path, Stubborn, log=log) as run:
        assert run.begin(when, kind) is None
        assert run.resume() is RunState.SUCCEEDED
        tries = [(event.number, event.ending) for event in run.told(TryEnded)]
        assert tries[-1][1] is Ending.REPAIRED
        assert [number for number, _ in tries] == list(range(1, len(tries) + 1))
        assert len(tries) <= Stubborn.TRIES
    assert log.count("run Stubborn") == 3, "the Check decides whether it is done"


class Hopeless(Doing):
    TRIES = 2

    def Check(self, log: list[str]) -> None:
        raise LookupError("never")


class AboveHopeless(Doing):
    DEPS = (Hopeless,)


def test_a_retry_tries_what_failed_anew_and_goes_on_counting(
    tmp_path: Path, log: list[str]
) -> None:
    with Recorded(tmp_path, AboveHopeless, log=log) as run:
        assert run.begin() is RunState.FAILED
        assert run.states() == {"Hopeless": "failed", "AboveHopeless": "blocked"}
        assert run.retry() is RunState.FAILED
        assert [event.number for event in run.told(TryEnded)] == [1, 2, 3, 4]
        assert run.record().lap == 2


@pytest.mark.parametrize("number", [3, 4])
def test_a_retry_that_is_killed_is_resumed_with_the_tries_it_had_left(
    tmp_path: Path, log: list[str], number: int
) -> None:
    with Recorded(tmp_path, AboveHopeless, log=log) as run:
        run.begin()
        keys = [run.plan.key_of("Hopeless")]
        if number == 3:
            assert run.resume("after", "failed", retry=keys) is None
        else:
            assert run.resume("before", "failed", retry=keys) is None
        assert run.resume() is RunState.FAILED
        assert [event.number for event in run.told(TryEnded)] == [1, 2, 3, 4]
        assert len(run.told(RunRetried)) == 1
        assert run.record().lap == 2


def test_a_retry_from_a_job_does_it_and_all_that_needs_it_again(
    tmp_path: Path, log: list[str]
) -> None:
    class Below(Doing): ...

    class Middle(Doing):
        DEPS = (Below,)

    class Beside(Doing):
        DEPS = (Below,)

    class Top(Doing):
        DEPS = (Middle, Beside)

    with Recorded(tmp_path, Top, log=log) as run:
        assert run.begin() is RunState.SUCCEEDED
        log.clear()
        assert run.retry(from_job="Middle") is RunState.SUCCEEDED
        assert log == ["run Middle", "run Top"]
        numbers = {run.plan.names[e.key]: e.number for e in run.told(TryEnded)}
        assert numbers == {"Below": 1, "Middle": 2, "Beside": 1, "Top": 2}


def test_a_wait_between_tries_is_not_longer_when_the_clock_was_set_back(
    tmp_path: Path,
) -> None:
    class Slow(Hopeless):
        TRIES = 2
        RETRY_DELAY = 60

    plan = Plan.of(Slow)
    hour_us = 3_600_000_000
    events: list[Event] = [
        RunBegan(hour_us),
        RunIntended(hour_us, 0, 1),
        TryEnded(hour_us, 0, 1, Ending.FAILED),
    ]
    back = Schedule.from_journal(plan, events, now=100.0, at_us=1)
    assert back.wake_at == 160.0
    forth = Schedule.from_journal(plan, events, now=100.0, at_us=hour_us + 20_000_000)
    assert forth.wake_at == 140.0
    late = Schedule.from_journal(plan, events, now=100.0, at_us=2 * hour_us)
    assert late.ready(100.0) == 0


def test_a_run_goes_on_when_the_clock_was_set_back_between_its_lives(
    tmp_path: Path, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Patient(Stubborn):
        RETRY_DELAY = 0.01

        def Check(self, log: list[str]) -> None:
            assert log.count("run Patient") >= 3

    with Recorded(tmp_path, Patient, log=log) as run:
        run.begin("after", "failed")
        now_us = clocks.now_us
        monkeypatch.setattr(clocks, "now_us", lambda: now_us() - 3_600_000_000)
        assert run.resume() is RunState.SUCCEEDED


# Cleanups


class Tidy(Doing):
    def Cleanup(self) -> None:
        self.global_storage.setdefault("x", 1)
        tidied.append(type(self).__name__)


tidied: list[str] = []


@pytest.fixture(autouse=True)
def nothing_tidied() -> None:
    tidied.clear()


class First(Tidy): ...


class Second(Tidy):
    DEPS = (First,)


class Third(Tidy):
    DEPS = (Second,)


@pytest.mark.parametrize("job", ["First", "Second", "Third"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_cleanups_are_run_last_first_whatever_life_their_job_was_run_in(
    tmp_path: Path, log: list[str], job: str, when: str
) -> None:
    with Recorded(tmp_path, Third, log=log) as run:
        assert run.begin(when, "repaired", job) is None
        assert run.resume() is RunState.SUCCEEDED
    assert tidied == ["Third", "Second", "First"]


def test_a_cleanup_that_was_cut_off_is_run_again_and_one_that_ended_is_not(
    tmp_path: Path, log: list[str]
) -> None:
    with Recorded(tmp_path, Third, log=log) as run:
        assert run.begin("before", "cleanup-ended", "Second") is None
        assert tidied == ["Third", "Second"]
        tidied.clear()
        assert run.resume() is RunState.SUCCEEDED
        assert tidied == ["Second", "First"]
        assert len(run.told(CleanupEnded)) == 3


def test_a_try_begun_again_after_a_death_has_one_cleanup(tmp_path: Path, log: list[str]) -> None:
    with Recorded(tmp_path, First, log=log) as run:
        assert run.begin("after", "run-intended") is None
        assert run.resume("after", "run-intended") is None
        assert run.resume() is RunState.SUCCEEDED
    assert log == ["run First"]
    assert tidied == ["First"]


def test_a_cleanup_that_failed_before_a_death_still_makes_the_run_no_success(
    tmp_path: Path, log: list[str]
) -> None:
    class Untidy(Doing):
        def Cleanup(self) -> None:
            raise OSError("the directory is not empty")

    class Above(Tidy):
        DEPS = (Untidy,)

    with Recorded(tmp_path, Above, log=log) as run:
        assert run.begin("after", "cleanup-ended", "Untidy") is None
        assert run.resume() is RunState.FAILED
        assert [failure.message for _, failure in run.runner.unwinding.failures] == [
            "the directory is not empty"
        ]
        assert run.retry() is RunState.SUCCEEDED, "nothing is left to be tried or put away"


def test_after_ctrl_c_cleanups_are_run_and_a_resume_goes_on_with_the_rest(
    tmp_path: Path, log: list[str]
) -> None:
    class Stopped(Tidy):
        DEPS = (First,)

        def Run(self, log: list[str]) -> None:
            log.append("begun Stopped")
            if log.count("begun Stopped") == 1:
                raise KeyboardInterrupt
            super().Run(log)

    with Recorded(tmp_path, Stopped, log=log) as run:
        with pytest.raises(KeyboardInterrupt):
            run.begin()
        assert run.record().state is RunState.INTERRUPTED
        assert tidied == ["Stopped", "First"]
        tidied.clear()
        assert run.resume() is RunState.SUCCEEDED
        assert tidied == ["Stopped"]
    assert log == ["run First", "begun Stopped", "begun Stopped", "run Stopped"]


def test_a_cleanup_run_at_ctrl_c_is_due_again_when_its_try_was_begun_again(
    tmp_path: Path, log: list[str]
) -> None:
    class Stopped(Tidy):
        def Run(self, log: list[str]) -> None:
            log.append("begun")
            if len(log) == 1:
                raise KeyboardInterrupt
            super().Run(log)

    with Recorded(tmp_path, Stopped, log=log) as run:
        with pytest.raises(KeyboardInterrupt):
            run.begin()
        tidied.clear()
        assert run.resume("before", "cleanup-intended") is None
        assert run.resume() is RunState.SUCCEEDED
    assert tidied == ["Stopped"]


class AtEachCommit(Tidy):
    """Retried, and with a Cleanup."""

    DEPS = (Third,)
    TRIES = 2

    def Check(self, log: list[str]) -> None:
        self.global_storage["asked"] = self.global_storage.get("asked", 0) + 1
        assert log.count("run AtEachCommit") >= 2


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "kind", ["run-intended", "repaired", "failed", "cleanup-intended", "cleanup-ended"]
)
def test_ctrl_c_in_the_middle_of_a_commit_loses_and_repeats_nothing(
    tmp_path: Path, log: list[str], kind: str, when: str
) -> None:
    with Recorded(tmp_path, AtEachCommit, log=log) as run:
        run.death = KeyboardInterrupt()
        assert run.begin(when, kind) is None
        state = run.resume()
        assert state is RunState.SUCCEEDED
        ends = [(event.key, event.number) for event in run.told(TryEnded)]
        assert len(ends) == len(set(ends))
    assert {line: log.count(line) for line in log} == {
        "run First": 1, "run Second": 1, "run Third": 1, "run AtEachCommit": 2,
    }  # fmt: skip


# Runs whose end nobody saw


class Announces(RunonlyJob):
    def Run(self, log: list[str]) -> None:
        log.append("run Announces")


@pytest.mark.parametrize(
    ("on_lost", "state", "runs"), [("rerun", "repaired", 2), ("fail", "failed", 1)]
)
def test_a_lost_run_is_run_again_or_failed_as_its_job_says(
    tmp_path: Path, log: list[str], on_lost: str, state: str, runs: int
) -> None:
    class Loses(Announces):
        ON_LOST = on_lost

    with Recorded(tmp_path, Loses, log=log) as run:
        assert run.begin("before", "repaired") is None
        assert run.resume() is not None
        assert run.states() == {"Loses": state}
    assert log == ["run Announces"] * runs


def test_a_failed_lost_run_is_not_tried_again_by_itself_but_by_a_retry(
    tmp_path: Path, log: list[str]
) -> None:
    class Loses(Announces):
        ON_LOST = "fail"
        TRIES = 3

    with Recorded(tmp_path, Loses, log=log) as run:
        run.begin("after", "run-intended")
        assert run.resume() is RunState.FAILED
        assert log == []
        assert run.retry() is RunState.SUCCEEDED
        assert [event.number for event in run.told(TryEnded)] == [1, 2]
        (failure,) = [event.failure for event in run.told(TryEnded) if event.failure]
        assert failure == Failure("Lost", "its process ended while Run was going on")


def test_the_policy_of_a_plan_that_stops_on_failure_is_obeyed_after_a_death(
    tmp_path: Path,
) -> None:
    class Other(Doing):
        DEPS = ()

    class Both(DummyJob):
        DEPS = (Hopeless, Other)

    plan = Plan.of(Both, Policy(on_failure="stop"))
    key = plan.key_of("Hopeless")
    events: list[Event] = [RunBegan(1), TryEnded(2, key, 1, Ending.FAILED, final=True)]
    schedule = Schedule.from_journal(plan, events)
    assert schedule.is_over
    assert schedule.states_shown()[plan.key_of("Other")] is JobState.BLOCKED


class Slipped(Tidy):
    """Its Check cannot be right: a slip, not a state of the world."""

    DEPS = (First,)

    def Check(self, log: list[str]) -> None:
        undefined  # type: ignore[name-defined]  # noqa: B018, F821


class AboveSlipped(Tidy):
    DEPS = (Slipped,)


@pytest.mark.parametrize(("on", "slots"), [("inline", 1), ("threads", 2)])
def test_a_strict_run_stops_at_a_check_that_looks_broken_and_can_be_retried(
    tmp_path: Path, log: list[str], on: str, slots: int
) -> None:
    with Recorded(tmp_path, AboveSlipped, log=log) as run:
        run.executor = lambda: make(on, slots)
        run.options.strict = True
        assert run.begin() is RunState.FAILED
        assert run.states() == {"First": "repaired", "Slipped": "failed", "AboveSlipped": "blocked"}
        assert tidied == ["First"], "its Run was not entered"
        run.options.strict = False
        assert run.retry() is RunState.FAILED
    assert log == ["run First", *["run Slipped"] * 3]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_strict_run_that_is_killed_at_a_broken_check_stops_there_again(
    tmp_path: Path, log: list[str], when: str
) -> None:
    with Recorded(tmp_path, AboveSlipped, log=log) as run:
        run.options.strict = True
        assert run.begin(when, "failed", "Slipped") is None
        assert run.resume() is RunState.FAILED
    assert log == ["run First"]
    assert tidied == ["First"]
