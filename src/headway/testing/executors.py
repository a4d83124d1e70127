"""What every executor must do, as tests: run them on an executor of your own.

    class TestMyExecutor(ExecutorContract):
        @pytest.fixture
        def executor_factory(self) -> Callable[[], Executor]:
            return lambda: MyExecutor(...)

An executor whose tries have processes of their own also keeps ``ProcessContract``.

Needs pytest. Call ``pytest.register_assert_rewrite("headway.testing.executors")`` before the
import to be shown what an assertion compared.
"""

import contextlib
import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from headway.adapters.inline import Inline
from headway.adapters.lines import CUT, LONGEST_LINE
from headway.jobs.compiling import compile_jobs
from headway.jobs.events import (
    Event,
    JobStood,
    Live,
    OutputWritten,
    PhaseEnded,
    RunEnded,
    RunIntended,
)
from headway.jobs.job import DummyJob, Job
from headway.jobs.outcomes import Ending, Failure, Outcome, Phase
from headway.jobs.shared import SharedStorage
from headway.jobs.states import RunState
from headway.ports.executor import Ended, Executor, Late, Work
from headway.runtime.ownership import process_started
from headway.runtime.runner import Runner
from headway.testing import sample_jobs as jobs
from headway.testing.sample_jobs import LONGEST_S, wait_for


class Stage:
    """An executor opened for a run of some jobs, and all that it told of it."""

    def __init__(
        self,
        executor: Executor,
        wanted: Sequence[type[Job]],
        place: Path,
        args: Sequence[Any],
        inputs: dict[str, Any],
        work: dict[str, Any],
    ) -> None:
        root = type("Root", (DummyJob,), {"DEPS": wanted})
        self.plan, definitions, _ = compile_jobs(root)
        self.executor = executor
        self.place = place
        self.shared = SharedStorage(threading.get_ident)
        self.intended: list[tuple[str, Outcome]] = []
        self.phases: list[tuple[Phase, str | None]] = []
        self.lines: list[tuple[str, str]] = []
        self.pids: list[int] = []
        self.late: list[Late] = []
        self._waiting: list[Ended] = []
        told: dict[str, Any] = {
            "intends": self._intends,
            "phase_ended": self._phase_ended,
            "wrote": lambda key, number, stream, text: self.lines.append((stream, text)),
            "started_process": lambda key, number, pid: self.pids.append(pid),
        }
        executor.open(
            Work(
                definitions,
                self.plan.rules,
                self.shared,
                args,
                {"place": str(place), **inputs},
                **{**told, **work},
            )
        )

    def _intends(
        self, key: int, number: int, outcome: Outcome, attempt: str = "", replies: str = ""
    ) -> None:
        self.intended.append((self.plan.names[key], outcome))
        (self.place / "intended").touch()

    def _phase_ended(self, key: int, number: int, phase: Phase, failure: Failure | None) -> None:
        self.phases.append((phase, failure and failure.type))

    @property
    def notes(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return (self.place / "notes").read_text().splitlines()
        return []

    def carry_out(self, job: type[Job], number: int = 1) -> Outcome:
        """Carry out one try to its end."""
        self.start(job, number)
        (ended,) = self.ends(1)
        assert (self.plan.names[ended.key], ended.number) == (job.__name__, number)
        return ended.outcome

    def start(self, job: type[Job], number: int = 1) -> None:
        key = self.plan.key_of(job.__name__)
        outcome = self.executor.start(key, number)
        if outcome is not None:
            self._waiting.append(Ended(key, number, outcome))

    def ends(self, count: int) -> list[Ended]:
        """The next ends, as many as are asked for."""
        give_up_at = time.monotonic() + LONGEST_S
        while len(self._waiting) < count:
            assert time.monotonic() < give_up_at, "no end came"
            for news in self.executor.wait(1.0):
                if isinstance(news, Ended):
                    self._waiting.append(news)
                else:
                    self.late.append(news)
        ends, self._waiting = self._waiting[:count], self._waiting[count:]
        return ends

    def clean_up(self, job: type[Job], outcome: Outcome, number: int = 1) -> Failure | None:
        """Run its Cleanup as the runner does, after the try that ended so."""
        key = self.plan.key_of(job.__name__)
        return self.executor.cleanup(key, number, outcome.job, outcome.storage)

    def come_to_wait(self) -> None:
        """Serve the executor until a job has come to where it waits."""
        give_up_at = time.monotonic() + LONGEST_S
        while not (self.place / "waits").exists():
            assert time.monotonic() < give_up_at
            assert not list(self.executor.wait(0.02))


class OpenStage(Protocol):
    def __call__(
        self,
        *wanted: type[Job],
        args: Sequence[Any] = (),
        work: dict[str, Any] | None = None,
        **inputs: Any,
    ) -> Stage: ...


@contextlib.contextmanager
def once(file: Path, act: Callable[[], None]) -> Iterator[None]:
    """Beside: as soon as a file is there, do something, from another thread."""

    def watch() -> None:
        wait_for(file)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join(LONGEST_S)
    assert not thread.is_alive()


def is_gone(pid: int) -> bool:
    """Whether a process is over, or soon is."""
    give_up_at = time.monotonic() + LONGEST_S
    while process_started(pid):
        if time.monotonic() > give_up_at:
            return False
        threading.Event().wait(0.005)
    return True


def failed(outcome: Outcome, type_: str, message: str) -> None:
    """Assert that it failed so, and may be tried again."""
    assert outcome.ending is Ending.FAILED
    assert outcome.failure is not None
    assert (outcome.failure.type, outcome.failure.message) == (type_, message)
    assert not outcome.final


class ExecutorContract:
    """Tries, their outcomes, and what is told of them."""

    # Whether phases begin in the directory the run began in, whatever jobs do.
    keeps_directory = True

    @pytest.fixture
    def executor_factory(self) -> Callable[[], Executor]:
        """Makes the executor that is tested."""
        raise NotImplementedError

    @pytest.fixture
    def stage(
        self, executor_factory: Callable[[], Executor], tmp_path: Path
    ) -> Iterator[OpenStage]:
        with contextlib.ExitStack() as stack:

            def opened(
                *wanted: type[Job],
                args: Sequence[Any] = (),
                work: dict[str, Any] | None = None,
                **inputs: Any,
            ) -> Stage:
                executor = executor_factory()
                stack.callback(executor.close)
                return Stage(executor, wanted, tmp_path, args, inputs, work or {})

            yield opened

    # Outcomes

    def test_a_check_that_passes_ends_the_try_with_its_result(self, stage: OpenStage) -> None:
        on = stage(jobs.Passes)
        assert on.carry_out(jobs.Passes) == Outcome(Ending.PASSED, {"answer": 42})
        assert on.notes == []
        assert on.intended == []

    def test_a_job_whose_recheck_fails_has_failed_with_the_rechecks_message(
        self, stage: OpenStage
    ) -> None:
        outcome = stage(jobs.Fails).carry_out(jobs.Fails)
        failed(outcome, "ValueError", "still not so at the recheck")
        assert (outcome.phase, outcome.executed) == (Phase.RECHECK, True)
        assert outcome.result is None

    def test_a_job_whose_recheck_passes_is_repaired(self, stage: OpenStage) -> None:
        outcome = stage(jobs.Repairs).carry_out(jobs.Repairs)
        assert outcome.ending is Ending.REPAIRED
        assert (outcome.result, outcome.failure) == ("made", None)
        assert (outcome.phase, outcome.executed) == (Phase.RECHECK, True)

    def test_a_run_only_job_is_repaired_with_what_its_run_returned(self, stage: OpenStage) -> None:
        outcome = stage(jobs.Runs).carry_out(jobs.Runs)
        assert outcome == Outcome(Ending.REPAIRED, 7, phase=Phase.RUN, executed=True)

    def test_a_run_only_job_fails_as_its_run_does(self, stage: OpenStage) -> None:
        outcome = stage(jobs.RunRaises).carry_out(jobs.RunRaises)
        failed(outcome, "LookupError", "the run itself failed")

    def test_a_dummy_job_passes(self, stage: OpenStage) -> None:
        assert stage(jobs.Groups).carry_out(jobs.Groups) == Outcome(Ending.PASSED)

    def test_a_job_without_run_is_rechecked(self, stage: OpenStage) -> None:
        on = stage(jobs.HasNoRun)
        outcome = on.carry_out(jobs.HasNoRun)
        assert outcome.ending is Ending.REPAIRED
        assert (outcome.result, outcome.executed) == ("it came about", False)
        assert on.intended == []

    def test_without_acting_only_the_check_is_asked(self, stage: OpenStage) -> None:
        on = stage(jobs.Repairs, jobs.Runs, work={"act": False})
        assert on.carry_out(jobs.Repairs).ending is Ending.FAILED
        assert on.carry_out(jobs.Runs).ending is Ending.FAILED
        assert on.notes == []
        assert on.intended == []

    def test_a_check_alone_can_be_asked(self, stage: OpenStage) -> None:
        on = stage(jobs.Passes, jobs.Fails)
        assert on.executor.ask(on.plan.key_of("Passes")).result == {"answer": 42}
        outcome = on.executor.ask(on.plan.key_of("Fails"))
        assert outcome.failure is not None
        assert outcome.failure.message == "still not so at the check"

    def test_a_check_that_fails_is_followed_by_its_diff_where_that_is_wanted(
        self, stage: OpenStage
    ) -> None:
        on = stage(jobs.Differs, work={"act": False, "diffs": True})
        assert on.executor.ask(on.plan.key_of("Differs")).diff == "-red\n+green"
        on = stage(jobs.Differs)
        assert on.executor.ask(on.plan.key_of("Differs")).diff == ""

    # What is given and shared

    def test_a_job_is_given_all_arguments(self, stage: OpenStage) -> None:
        on = stage(jobs.Given, args=(1, "two"), three={"3": None})
        assert on.carry_out(jobs.Given).result == [
            [1, "two"],
            {"place": str(on.place), "three": {"3": None}},
        ]

    def test_changes_to_what_jobs_share_are_told_and_seen_by_the_next(
        self, stage: OpenStage
    ) -> None:
        on = stage(jobs.Reads)
        outcome = on.carry_out(jobs.Counts)
        ((_, intended),) = on.intended
        assert intended.shared is not None
        assert intended.shared.set == {"phases": ["check"], "by": "check"}
        assert outcome.shared is not None
        assert outcome.shared.set == {"phases": ["check", "run", "recheck"], "gone": 1}
        together = {**intended.shared.set, **outcome.shared.set}
        assert on.carry_out(jobs.Reads).result == together
        assert on.clean_up(jobs.Counts, outcome) is None
        assert on.carry_out(jobs.Reads, 2).result == {
            "phases": ["check", "run", "recheck", "cleanup"],
            "by": "check",
        }

    def test_local_storage_lasts_for_one_try(self, stage: OpenStage) -> None:
        on = stage(jobs.Repairs)
        for number in (1, 2):
            outcome = on.carry_out(jobs.Repairs, number)
            if number == 1:
                assert outcome.storage is not None
                assert outcome.storage.set["checks"] == 2
            (on.place / "made").unlink()

    # Failures

    @pytest.mark.parametrize(
        ("error", "final"), [("ConnectionResetError", False), ("KeyError", True)]
    )
    def test_retry_on_says_which_failures_are_worth_another_try(
        self, stage: OpenStage, error: str, final: bool
    ) -> None:
        outcome = stage(jobs.RetriesOnly, error=error).carry_out(jobs.RetriesOnly)
        assert outcome.failure is not None
        assert outcome.failure.type == error
        assert outcome.final is final

    def test_a_run_that_exits_is_followed_by_the_recheck(self, stage: OpenStage) -> None:
        on = stage(jobs.Leaves, phase="run", what="exit")
        outcome = on.carry_out(jobs.Leaves)
        assert (outcome.ending, outcome.result) == (Ending.REPAIRED, "here still")
        assert on.lines == [("error", "Run raised SystemExit: so long")]

    def test_a_recheck_that_exits_has_failed(self, stage: OpenStage) -> None:
        outcome = stage(jobs.Leaves, phase="recheck", what="exit").carry_out(jobs.Leaves)
        failed(outcome, "SystemExit", "so long")

    def test_an_exception_without_a_text_is_a_failure(self, stage: OpenStage) -> None:
        outcome = stage(jobs.Leaves, phase="recheck", what="odd").carry_out(jobs.Leaves)
        failed(outcome, "OddError", "(its message could not be made: RuntimeError)")

    def test_a_message_arrives_as_it_is(self, stage: OpenStage) -> None:
        outcome = stage(jobs.Leaves, phase="recheck", what="hostile").carry_out(jobs.Leaves)
        failed(outcome, "ValueError", "a lone \udcff, a NUL \0,\nand another line")

    def test_a_trace_is_kept_when_it_is_asked_for(self, stage: OpenStage) -> None:
        for trace in (False, True):
            on = stage(jobs.Fails, work={"trace": trace})
            outcome = on.carry_out(jobs.Fails)
            assert outcome.failure is not None
            assert ("Traceback" in (outcome.failure.trace or "")) is trace

    def test_a_job_that_cannot_be_made_has_failed(self, stage: OpenStage) -> None:
        outcome = stage(jobs.Unmade).carry_out(jobs.Unmade)
        failed(outcome, "SystemExit", "cannot be made")
        assert not outcome.executed

    def test_an_interrupt_in_a_job_interrupts_the_run(self, stage: OpenStage) -> None:
        on = stage(jobs.Leaves, phase="run", what="interrupt")
        with pytest.raises(KeyboardInterrupt):
            on.carry_out(jobs.Leaves)
        give_up_at = time.monotonic() + LONGEST_S
        while on.executor.running:
            assert time.monotonic() < give_up_at
            assert not list(on.executor.wait(0.01))

    # What is told, and when

    def test_run_does_not_start_before_its_intent_is_written(self, stage: OpenStage) -> None:
        on = stage(jobs.Repairs)
        on.carry_out(jobs.Repairs)
        assert on.notes == ["ran, intended: True"]
        ((name, intended),) = on.intended
        assert (name, intended.ending, intended.executed) == ("Repairs", Ending.IN_DOUBT, True)
        assert intended.failure is not None
        assert intended.failure.type == "FileNotFoundError"
        assert intended.storage is not None
        assert intended.storage.set == {"checks": 1}

    def test_run_does_not_start_when_its_intent_cannot_be_written(self, stage: OpenStage) -> None:
        def refuse(key: int, number: int, outcome: Outcome, *attempt: str) -> None:
            raise OSError("no space left")

        on = stage(jobs.Repairs, work={"intends": refuse})
        with pytest.raises(OSError, match="no space left"):
            on.carry_out(jobs.Repairs)
        on.executor.close()
        assert on.notes == []

    def test_phases_are_told_in_order(self, stage: OpenStage) -> None:
        on = stage(jobs.Passes, jobs.Fails, jobs.Runs, work={"watches_phases": True})
        on.carry_out(jobs.Fails)
        assert on.phases == [
            (Phase.CHECK, "ValueError"),
            (Phase.RUN, None),
            (Phase.RECHECK, "ValueError"),
        ]
        on.phases.clear()
        on.carry_out(jobs.Passes)
        on.carry_out(jobs.Runs)
        assert on.phases == [
            (Phase.CHECK, None),
            (Phase.CHECK, "NoCheck"),
            (Phase.RUN, None),
            (Phase.RECHECK, None),
        ]

    def test_what_a_job_writes_is_told_line_by_line(self, stage: OpenStage) -> None:
        on = stage(jobs.Writes)
        assert on.carry_out(jobs.Writes).ending is Ending.PASSED
        assert on.lines == [
            ("debug", "debug"),
            ("info", "two lines,"),
            ("info", "and arguments"),
            ("warning", "warning"),
            ("error", "100%"),
            ("info", "printed here"),
            ("info", "its end comes with the try"),
        ]

    def test_another_thread_wakes_a_wait(self, stage: OpenStage) -> None:
        on = stage(jobs.Passes)
        began = time.monotonic()
        with once(on.place, on.executor.wake):
            assert list(on.executor.wait(2 * LONGEST_S)) == []
        assert time.monotonic() - began < LONGEST_S

    # Where

    @pytest.mark.parametrize("job", [jobs.Wanders, jobs.WandersInTime])
    def test_each_phase_begins_where_the_run_began(self, stage: OpenStage, job: type[Job]) -> None:
        here = os.getcwd()
        on = stage(job)
        on.carry_out(job)
        on.executor.close()
        assert os.getcwd() == here
        if self.keeps_directory:
            assert on.notes == [f"{phase} in {here}" for phase in ("check", "run", "recheck")]

    # Commands

    def test_a_command_that_ends_well_is_given_back(self, stage: OpenStage) -> None:
        outcome = self.command(stage, ["sh", "-c", "echo out; echo err >&2"])
        assert outcome.result == [0, "out\n", "err\n"]

    def test_a_command_that_fails_fails_the_run(self, stage: OpenStage) -> None:
        outcome = self.command(stage, ["sh", "-c", "echo why >&2; exit 3"])
        failed(outcome, "CommandFailed", "sh -c echo why >&2; exit 3 ended with code 3: why")

    def test_a_command_may_fail_when_its_code_is_not_checked(self, stage: OpenStage) -> None:
        assert self.command(stage, ["sh", "-c", "exit 3"], check=False).result[0] == 3
        assert self.command(stage, ["sh", "-c", "kill $$"], check=False).result[0] == -15

    def test_a_command_that_does_not_exist_fails_the_run(self, stage: OpenStage) -> None:
        outcome = self.command(stage, ["no-such-program-at-all"])
        assert outcome.failure is not None
        assert outcome.failure.type == "FileNotFoundError"
        assert "no-such-program-at-all" in outcome.failure.message

    def test_a_command_is_given_environment_directory_and_input(self, stage: OpenStage) -> None:
        options = {"env": {"GREETING": "hello"}, "cwd": "/usr", "input": "in\n"}
        outcome = self.command(stage, ["sh", "-c", "echo $GREETING; pwd; cat"], **options)
        assert outcome.result[1] == "hello\n/usr\nin\n"
        assert self.command(stage, ["cat"]).result[1] == ""

    def test_more_output_than_a_pipe_holds_is_read(self, stage: OpenStage) -> None:
        script = "head -c 300000 /dev/zero | tr '\\0' x; echo; echo last"
        outcome = self.command(stage, ["sh", "-c", f"{script}; ({script}) >&2"])
        assert outcome.result[1] == outcome.result[2] == "x" * 300000 + "\nlast\n"

    def test_lines_of_a_command_are_told_as_they_come(
        self, stage: OpenStage, tmp_path: Path
    ) -> None:
        """The command ends only when its first line has been heard."""
        lines = []

        def wrote(key: int, number: int, stream: str, text: str) -> None:
            lines.append((stream, text))
            (tmp_path / "heard").touch()

        script = "echo first; while [ ! -e heard ]; do sleep 0.01; done; printf rest >&2"
        argv = ["sh", "-c", script]
        options = {"cwd": str(tmp_path)}
        on = stage(jobs.Commands, argv=argv, options=options, work={"wrote": wrote})
        assert on.carry_out(jobs.Commands).ending is Ending.REPAIRED
        assert lines == [("out", "first"), ("err", "rest")]

    def test_what_a_command_leaves_behind_is_not_waited_for(self, stage: OpenStage) -> None:
        on = stage(jobs.Commands, argv=["sh", "-c", "sleep 1000 & echo $!"], options={})
        outcome = on.carry_out(jobs.Commands)
        os.kill(int(outcome.result[1]), signal.SIGKILL)

    def test_a_command_that_is_late_is_ended_with_its_group(self, stage: OpenStage) -> None:
        deaf = "sh -c 'trap \"\" TERM; echo deaf; exec sleep 1000' & echo $!"
        argv = ["sh", "-c", f"{deaf}; wait"]
        on = stage(jobs.CommandsInTime, argv=argv, options={})
        failed(on.carry_out(jobs.CommandsInTime), "TimedOut", "its run took longer than 0.4 s")
        # A busy machine may not have come as far as to tell of the second one.
        assert all(is_gone(int(text)) for _, text in on.lines if text != "deaf")
        (shell,) = on.pids
        assert is_gone(shell)

    def test_what_is_started_to_outlive_the_run_does(self, stage: OpenStage) -> None:
        on = stage(jobs.Starts)
        pid = on.carry_out(jobs.Starts).result
        on.executor.close()
        assert process_started(pid)
        os.kill(pid, signal.SIGKILL)

    def command(self, stage: OpenStage, argv: list[str], **options: Any) -> Outcome:
        return stage(jobs.Commands, argv=argv, options=options).carry_out(jobs.Commands)

    # Deadlines, and being stopped

    @pytest.mark.parametrize("phase", ["check", "run", "recheck"])
    def test_a_phase_that_took_too_long_fails_the_try(self, stage: OpenStage, phase: str) -> None:
        on = stage(jobs.Notices, phase=phase)
        outcome = on.carry_out(jobs.Notices)
        failed(outcome, "TimedOut", f"its {phase} took longer than 0.4 s")
        phases = ["check", "run", "recheck"]
        assert on.notes == [*phases[: phases.index(phase) + 1], "noticed"]
        assert (outcome.phase, outcome.executed) == (phase, phase != "check")
        assert outcome.shared is not None
        assert outcome.shared.set == {"noticed": phase}
        if outcome.executed:
            assert on.clean_up(jobs.Notices, outcome) is None
            assert not (on.place / "temporary").exists()

    def test_stop_asks_what_runs_to_end(self, stage: OpenStage) -> None:
        on = stage(jobs.NoticesStop, phase="run")
        with once(on.place / "waits", on.executor.stop):
            assert on.carry_out(jobs.NoticesStop).ending is Ending.REPAIRED

    def test_stop_ends_commands(self, stage: OpenStage) -> None:
        argv = ["sh", "-c", "touch waits; sleep 1000"]
        on = stage(jobs.Commands, argv=argv, options={"cwd": None})
        on.executor.close()
        on = stage(jobs.Commands, argv=argv, options={"cwd": str(on.place)})
        with once(on.place / "waits", on.executor.stop):
            outcome = on.carry_out(jobs.Commands)
        failed(
            outcome,
            "CommandFailed",
            "sh -c touch waits; sleep 1000 was stopped: the run is being stopped",
        )

    # Cleanup

    def test_cleanup_has_the_storage_of_its_try(self, stage: OpenStage) -> None:
        on = stage(jobs.Repairs)
        outcome = on.carry_out(jobs.Repairs)
        on.lines.clear()
        assert on.clean_up(jobs.Repairs, outcome) is None
        assert not (on.place / "temporary").exists()
        assert on.lines == [("info", "cleaned up after 2 checks")]

    def test_cleanup_has_the_storage_that_a_journal_kept(self, stage: OpenStage) -> None:
        outcome = stage(jobs.Repairs).carry_out(jobs.Repairs)
        on = stage(jobs.Repairs)
        assert on.clean_up(jobs.Repairs, outcome._replace(job=None)) is None
        assert not (on.place / "temporary").exists()

    def test_cleanup_is_possible_when_the_run_is_being_stopped(self, stage: OpenStage) -> None:
        on = stage(jobs.Repairs)
        outcome = on.carry_out(jobs.Repairs)
        on.executor.stop()
        assert on.clean_up(jobs.Repairs, outcome) is None

    def test_a_cleanup_that_raises_has_failed(self, stage: OpenStage) -> None:
        on = stage(jobs.CleanupRaises)
        failure = on.clean_up(jobs.CleanupRaises, on.carry_out(jobs.CleanupRaises))
        assert failure is not None
        assert (failure.type, failure.message) == ("OSError", "cannot be put away")

    def test_the_commands_of_a_cleanup_are_bounded(self, stage: OpenStage) -> None:
        on = stage(jobs.CleanupIsLate)
        failure = on.clean_up(jobs.CleanupIsLate, on.carry_out(jobs.CleanupIsLate))
        assert failure is not None
        assert is_gone(on.pids[-1])

    def test_a_closed_executor_can_be_opened_again(self, stage: OpenStage) -> None:
        on = stage(jobs.Repairs, jobs.NoticesStop, phase="run")
        outcome = on.carry_out(jobs.Repairs)
        with once(on.place / "waits", on.executor.stop):
            on.carry_out(jobs.NoticesStop)
        on.executor.close()
        (on.place / "waits").unlink()
        again = Stage(on.executor, [jobs.Repairs, jobs.Notices], on.place, (), {"phase": "run"}, {})
        assert again.clean_up(jobs.Repairs, outcome) is None
        assert not (on.place / "temporary").exists()
        # It is not stopped any more: the job goes on until its time is over.
        failed(again.carry_out(jobs.Notices), "TimedOut", "its run took longer than 0.4 s")
        again.executor.close()

    # Whole runs

    def test_a_plan_ends_as_it_does_inline_with_the_same_events(
        self, executor_factory: Callable[[], Executor], tmp_path: Path
    ) -> None:
        wanted = (jobs.Groups, jobs.Repairs, jobs.Fails, jobs.HasNoRun, jobs.Writes, jobs.Reads)
        expected = whole_run(Inline(), wanted, tmp_path / "inline")
        assert whole_run(executor_factory(), wanted, tmp_path / "here") == expected
        assert expected[0] is RunState.FAILED

    def test_more_jobs_than_slots_are_all_carried_out(
        self, executor_factory: Callable[[], Executor], tmp_path: Path
    ) -> None:
        wanted = [type(f"Passes{n}", (jobs.Passes,), {}) for n in range(30)]
        state, events = whole_run(executor_factory(), wanted, tmp_path)
        assert state is RunState.SUCCEEDED
        assert len(events) == 32


def whole_run(
    executor: Executor, wanted: Sequence[type[Job]], place: Path
) -> tuple[RunState, dict[int, list[Any]]]:
    """How a run of some jobs ends, and its events by job, without moments and places."""
    place.mkdir(exist_ok=True)
    root = type("Root", (DummyJob,), {"DEPS": wanted})
    plan, definitions, _ = compile_jobs(root)
    events: dict[int, list[Any]] = {}

    def heard(event: Event | Live) -> None:
        if isinstance(event, OutputWritten):
            return
        event = event._replace(at_us=0)
        if isinstance(event, JobStood):
            event = event._replace(again_in_s=0.0)
        if isinstance(event, RunIntended):
            event = event._replace(attempt="")  # as what it went out, where it did
        if isinstance(event, PhaseEnded) and event.failure is not None:
            event = event._replace(failure=event.failure._replace(exception=None))
        key = -1 if isinstance(event, RunEnded) else getattr(event, "key", -1)
        events.setdefault(key, []).append(repr(event).replace(str(place), "PLACE"))

    runner = Runner(
        plan,
        definitions,
        executor,
        inputs={"place": str(place)},
        listeners=[heard],
        watches_phases=True,
    )
    return runner.run(), events


class BesideContract:
    """Of executors that carry tries out beside the runner's thread: several, given up, woken."""

    slots = 1

    def test_as_many_run_at_once_as_there_are_slots(self, stage: OpenStage) -> None:
        wanted = [type(f"Waits{n}", (jobs.GoesOnForEver,), {}) for n in range(self.slots)]
        on = stage(*wanted, phase="check")
        for left, job in enumerate(wanted):
            assert on.executor.free == self.slots - left
            on.start(job)
        assert on.executor.free == 0
        assert on.executor.running == self.slots
        on.come_to_wait()
        assert list(on.executor.wait(0)) == []
        (on.place / "go").touch()
        assert {ended.outcome.ending for ended in on.ends(self.slots)} == {Ending.REPAIRED}
        assert on.executor.free == self.slots

    def test_what_runs_when_it_is_closed_is_given_up(self, stage: OpenStage) -> None:
        on = stage(jobs.GoesOnForEver, phase="check")
        on.start(jobs.GoesOnForEver)
        on.come_to_wait()
        on.executor.close()
        (on.place / "go").touch()
        assert "ran" not in on.notes

    def test_what_is_given_up_is_asked_to_end(self, stage: OpenStage) -> None:
        on = stage(jobs.NoticesStop, phase="check")
        on.start(jobs.NoticesStop)
        on.come_to_wait()
        on.executor.close()
        give_up_at = time.monotonic() + LONGEST_S
        while "noticed" not in on.notes:
            assert time.monotonic() < give_up_at
            threading.Event().wait(0.005)
        assert on.notes == ["check", "noticed"]


class SharedMemoryContract:
    """Of executors whose jobs run in this process: nothing can end their code."""

    @pytest.mark.parametrize("phase", ["check", "run", "recheck"])
    def test_code_that_goes_on_past_its_deadline_is_overdue(
        self, stage: OpenStage, phase: str
    ) -> None:
        on = stage(jobs.GoesOn, jobs.Passes, phase=phase)
        outcome = on.carry_out(jobs.GoesOn)
        assert outcome.ending is Ending.OVERDUE
        assert outcome.failure is not None
        assert outcome.failure.message == (
            f"its {phase} took longer than 0.4 s and goes on; given up (--on processes can end it)"
        )
        assert on.executor.free
        assert on.carry_out(jobs.Passes).ending is Ending.PASSED
        (on.place / "go").touch()
        give_up_at = time.monotonic() + LONGEST_S
        while not on.late:
            assert time.monotonic() < give_up_at
            on.late += [news for news in on.executor.wait(0.01) if isinstance(news, Late)]
        assert on.late == [Late(on.plan.key_of("GoesOn"), 1)]
        assert on.notes == ([] if phase == "check" else ["ran"])

    def test_jobs_may_share_what_json_cannot_carry(self, stage: OpenStage) -> None:
        on = stage(jobs.SharesObject, phase="run")
        outcome = on.carry_out(jobs.SharesObject)
        assert outcome.ending is Ending.REPAIRED
        assert outcome.shared is not None
        assert outcome.shared.opaque == {"lock": "lock"}

    def test_cleanup_is_called_on_the_object_that_ran(self, stage: OpenStage) -> None:
        on = stage(jobs.Repairs)
        outcome = on.carry_out(jobs.Repairs)
        assert isinstance(outcome.job, jobs.Repairs)

    def test_a_result_is_the_object_that_was_returned(self, stage: OpenStage) -> None:
        assert stage(jobs.ReturnsObject).carry_out(jobs.ReturnsObject).result == Path("/somewhere")


class ProcessContract:
    """Of executors that give each try a process of its own."""

    @pytest.mark.parametrize("phase", ["check", "run", "recheck"])
    def test_code_that_goes_on_past_its_deadline_is_ended(
        self, stage: OpenStage, phase: str
    ) -> None:
        on = stage(jobs.GoesOn, phase=phase)
        outcome = on.carry_out(jobs.GoesOn)
        failed(outcome, "TimedOut", f"its {phase} took longer than 0.4 s")
        assert (outcome.phase, outcome.executed) == (phase, phase != "check")
        assert is_gone(int((on.place / "pid").read_text()))
        assert on.executor.free

    def test_what_is_given_up_is_ended(self, stage: OpenStage) -> None:
        on = stage(jobs.GoesOnForEver, phase="run")
        on.start(jobs.GoesOnForEver)
        on.come_to_wait()
        on.executor.close()
        pid = int((on.place / "pid").read_text())
        assert not process_started(pid)
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, 0)

    @pytest.mark.parametrize(("phase", "ran"), [("check", False), ("run", True)])
    def test_what_json_cannot_carry_must_not_be_shared(
        self, stage: OpenStage, phase: str, ran: bool
    ) -> None:
        on = stage(jobs.SharesObject, phase=phase)
        outcome = on.carry_out(jobs.SharesObject)
        assert outcome.ending is Ending.FAILED
        assert outcome.failure is not None
        assert "global_storage['lock'] holds a lock" in outcome.failure.message
        assert "--on threads" in outcome.failure.message
        assert (outcome.final, outcome.executed) == (True, ran)
        assert on.notes == ["ran"] * ran

    def test_a_result_that_json_cannot_carry_arrives_as_its_repr(self, stage: OpenStage) -> None:
        outcome = stage(jobs.ReturnsObject).carry_out(jobs.ReturnsObject)
        assert outcome.result == repr(Path("/somewhere"))

    def test_whatever_a_job_writes_to_its_descriptors_is_its_output(
        self, stage: OpenStage, capfd: pytest.CaptureFixture[str]
    ) -> None:
        on = stage(jobs.Prints)
        assert on.carry_out(jobs.Prints).ending is Ending.PASSED
        written = "".join(text for stream, text in on.lines if stream == "out")
        late = "by a library in C, which keeps it until it is told to write"
        assert late in written
        assert (
            written.replace(late, "") == "printedby the systemby a shellby a programwithout an end"
        )
        assert [text for stream, text in on.lines if stream == "err"] == [
            "to error",
            "and to error",
        ]
        assert capfd.readouterr() == ("", "")

    def test_what_was_written_in_a_phase_is_told_before_its_end(self, stage: OpenStage) -> None:
        told: list[str] = []
        work = {
            "watches_phases": True,
            "wrote": lambda key, number, stream, text: told.append(text),
            "intends": lambda key, number, outcome, *attempt: told.append("intended"),
            "phase_ended": lambda key, number, phase, failure: told.append(f"{phase} ended"),
        }
        stage(jobs.PrintsInTurn, work=work).carry_out(jobs.PrintsInTurn)
        assert told.index("intended") > told.index("check ended")
        for phase in ("check", "run", "recheck"):
            before = told[: told.index(f"{phase} ended")]
            assert {f"{phase} printed", f"{phase} to error"} <= set(before)

    def test_a_cleanup_that_goes_on_past_its_deadline_is_ended(self, stage: OpenStage) -> None:
        on = stage(jobs.CleanupGoesOn)
        failure = on.clean_up(jobs.CleanupGoesOn, on.carry_out(jobs.CleanupGoesOn))
        assert failure is not None
        assert failure.message == "its cleanup took longer than 0.4 s"
        assert on.lines == [("out", "the cleanup began")]

    def test_a_flood_of_output_neither_blocks_nor_is_lost(self, stage: OpenStage) -> None:
        on = stage(jobs.Floods)
        outcome = on.carry_out(jobs.Floods)
        assert outcome.result == "x" * 1_000_000
        streams = [stream for stream, _ in on.lines]
        assert [streams.count(name) for name in ("out", "err", "info")] == [40, 40, 2000]
        longest = LONGEST_LINE + len(CUT)
        assert all(len(text) == longest for stream, text in on.lines if stream != "info")

    def test_a_process_that_a_job_leaves_behind_is_not_waited_for(self, stage: OpenStage) -> None:
        on = stage(jobs.Forks)
        assert on.carry_out(jobs.Forks).result == "forked"
        assert process_started(int((on.place / "pid").read_text()))
        (on.place / "go").touch()

    def test_only_the_tries_own_process_tells_its_end(self, stage: OpenStage) -> None:
        on = stage(jobs.FallsThrough, work={"watches_phases": True})
        assert on.carry_out(jobs.FallsThrough).result == "one answer"
        assert on.phases == [(Phase.CHECK, None)]

    @pytest.mark.parametrize("phase", ["check", "run", "recheck"])
    def test_a_process_that_dies_fails_the_try(self, stage: OpenStage, phase: str) -> None:
        on = stage(jobs.Dies, phase=phase)
        outcome = on.carry_out(jobs.Dies)
        message = f"its process was ended by SIGKILL while its {phase} went on"
        failed(outcome, "ProcessLost", message)
        assert (outcome.phase, outcome.executed) == (phase, phase != "check")

    @pytest.mark.parametrize(
        ("job", "ending", "final"),
        [
            (jobs.DiesAsking, Ending.IN_DOUBT, True),
            (jobs.DiesToRerun, Ending.FAILED, False),
            (jobs.DiesToFail, Ending.FAILED, True),
        ],
    )
    def test_a_run_only_job_whose_process_dies_follows_on_lost(
        self, stage: OpenStage, job: type[Job], ending: Ending, final: bool
    ) -> None:
        outcome = stage(job).carry_out(job)
        assert (outcome.ending, outcome.final) == (ending, final)
        assert (outcome.phase, outcome.executed) == (Phase.RUN, True)

    def test_a_cleanup_whose_process_dies_has_failed(self, stage: OpenStage) -> None:
        on = stage(jobs.Dies, phase="")
        failure = on.clean_up(jobs.Dies, on.carry_out(jobs.Dies))
        assert failure is not None
        assert failure.message == "its process was ended by SIGKILL while its cleanup went on"

    def test_each_try_has_a_process_of_its_own_and_nothing_of_it_is_left(
        self, stage: OpenStage
    ) -> None:
        on = stage(jobs.TellsProcess)
        pids = [on.carry_out(jobs.TellsProcess, number).result for number in range(1, 4)]
        gc.collect()  # descriptors that somebody else left for it are not of these tries
        before = sorted(os.listdir("/dev/fd"))
        pids += [on.carry_out(jobs.TellsProcess, number).result for number in range(4, 54)]
        assert sorted(os.listdir("/dev/fd")) == before
        assert len({os.getpid(), *pids}) == 54
        for pid in pids:
            with pytest.raises(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
