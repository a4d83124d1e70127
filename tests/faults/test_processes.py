"""Processes that die, hang, ignore and leave things behind; and what a run makes of it."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headway.adapters.processes import Processes
from headway.adapters.threads import Threads
from headway.jobs.compiling import compile_jobs
from headway.jobs.job import Job
from headway.jobs.outcomes import Ending, Outcome
from headway.jobs.shared import SharedStorage
from headway.jobs.states import JobState, RunState
from headway.ports.executor import Ended, Executor, Work
from headway.runtime.ownership import process_started
from headway.runtime.runner import Runner
from headway.testing.executors import is_gone, once
from headway.testing.sample_jobs import LONGEST_S
from tests.faults import process_jobs as jobs
from tests.faults.lives import REPOSITORY


def notes(place: Path) -> list[str]:
    file = place / "notes"
    return file.read_text().splitlines() if file.exists() else []


def until(true: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + LONGEST_S
    while not true():
        assert time.monotonic() < give_up_at
        threading.Event().wait(0.005)


def carried_out(executor: Executor, job: type[Job], place: Path) -> Outcome:
    """One try of one job, to its end. The file ``known`` comes when a command was told of."""
    plan, definitions, _ = compile_jobs(job)
    executor.open(
        Work(
            definitions,
            plan.rules,
            SharedStorage(threading.get_ident),
            kwargs={"place": str(place)},
            started_process=lambda key, number, pid: (place / "known").touch(),
        )
    )
    try:
        executor.start(0, 1)
        (ended,) = executor.wait(LONGEST_S)
        assert isinstance(ended, Ended)
        return ended.outcome
    finally:
        executor.close()


@pytest.mark.parametrize("phase", ["check", "run", "recheck"])
def test_a_try_whose_process_is_killed_is_noticed_at_once_and_tried_again(
    phase: str, tmp_path: Path
) -> None:
    plan, definitions, _ = compile_jobs(jobs.KilledOnce)
    inputs = {"place": str(tmp_path), "phase": phase}
    runner = Runner(plan, definitions, Processes(1), inputs=inputs)

    def kill() -> None:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    with once(tmp_path / "pid", kill):
        assert runner.run() is RunState.SUCCEEDED
    # Done already when it was killed in its Recheck.
    expected = JobState.PASSED if phase == "recheck" else JobState.REPAIRED
    assert runner.schedule.states == [expected]
    assert runner.schedule.tries == [2]


def test_a_try_that_hears_no_term_is_killed_with_its_group(tmp_path: Path) -> None:
    outcome = carried_out(Processes(1), jobs.Deaf, tmp_path)
    assert outcome.ending is Ending.FAILED
    assert outcome.failure is not None
    assert outcome.failure.message == "its run took longer than 0.4 s"
    child, daemon = map(int, notes(tmp_path))
    assert is_gone(child)
    assert is_gone(daemon)


@pytest.mark.parametrize("executor", [Processes, Threads])
def test_a_command_that_hears_no_term_is_killed_with_its_group(
    executor: Callable[[int], Executor], tmp_path: Path
) -> None:
    outcome = carried_out(executor(1), jobs.DeafCommand, tmp_path)
    assert outcome.ending is Ending.FAILED
    assert outcome.failure is not None
    assert outcome.failure.message == "its run took longer than 0.4 s"
    shell, sleeper = map(int, notes(tmp_path))
    assert is_gone(shell)
    assert is_gone(sleeper)


def test_what_the_command_of_a_dead_process_started_is_ended(tmp_path: Path) -> None:
    outcome = carried_out(Processes(1), jobs.DiesCommanding, tmp_path)
    assert outcome.ending is Ending.IN_DOUBT
    (sleeper,) = map(int, notes(tmp_path))
    assert is_gone(sleeper)


def test_a_daemon_that_a_job_leaves_behind_lives_on_and_holds_up_nothing(tmp_path: Path) -> None:
    pid = carried_out(Processes(1), jobs.Daemon, tmp_path).result
    assert process_started(pid)
    (tmp_path / "go").touch()
    assert is_gone(pid)


def test_without_room_for_another_process_the_try_fails_and_can_be_retried() -> None:
    executor = Processes(2)
    plan, definitions, _ = compile_jobs(jobs.Answers)
    work = Work(definitions, plan.rules, SharedStorage(threading.get_ident), kwargs={"place": ""})
    executor.open(work)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        for room in range(6):
            before = sorted(os.listdir("/dev/fd"))
            with all_but(room):
                executor.start(0, room)
            (ended,) = executor.wait(LONGEST_S)
            assert isinstance(ended, Ended)
            assert ended.outcome.failure is not None
            assert "Too many open files" in ended.outcome.failure.message
            assert not ended.outcome.final
            assert sorted(os.listdir("/dev/fd")) == before
        with all_but(6):
            executor.start(0, 6)
        (ended,) = executor.wait(LONGEST_S)
        assert isinstance(ended, Ended)
        assert ended.outcome.ending is Ending.PASSED
    finally:
        executor.close()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits


@contextlib.contextmanager
def all_but(room: int) -> Iterator[None]:
    """Have all descriptors in use, but for so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/dev/fd"))) + 8, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                used.append(os.dup(0))
        for _ in range(room):
            os.close(used.pop())
        yield
    finally:
        for fd in used:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Program:
    """A program with a run in child processes, started beside."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, how: str, many: int, job: type[Job]) -> None:
        arguments = [str(self.place), how, str(many), job.__name__]
        argv = [sys.executable, "-m", "tests.faults.a_run", *arguments]
        if how == "without-standard-descriptors":
            argv = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *argv]
        self.process = subprocess.Popen(argv, cwd=REPOSITORY)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def told(self) -> Any:
        assert self.process is not None
        assert self.process.wait(LONGEST_S) == 0
        return json.loads((self.place / "told").read_text())


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    program = Program(tmp_path)
    yield program
    if program.process is not None:
        program.process.kill()
        program.process.wait(LONGEST_S)


def test_a_runner_that_is_killed_leaves_no_child_and_no_command(
    program: Program, tmp_path: Path
) -> None:
    program.start("plainly", 3, jobs.Works)
    until(lambda: len(notes(tmp_path)) == 6)
    pids = list(map(int, notes(tmp_path)))
    assert all(map(process_started, pids))
    program.signal(signal.SIGKILL)
    assert all(map(is_gone, pids))


def test_an_interrupted_runner_lets_its_children_end_well(program: Program, tmp_path: Path) -> None:
    program.start("plainly", 3, jobs.Asked)
    until(lambda: len(notes(tmp_path)) == 3)
    pids = list(map(int, notes(tmp_path)))
    program.signal(signal.SIGINT)
    assert program.told()["state"] == "interrupted"
    assert notes(tmp_path)[3:] == ["ended well"] * 3
    assert all(map(is_gone, pids))


@pytest.mark.parametrize("how", ["without-standard-descriptors", "children-reaped-by-the-system"])
def test_a_run_does_not_mind_how_its_program_was_started(program: Program, how: str) -> None:
    program.start(how, 3, jobs.Answers)
    told = program.told()
    assert told["state"] == "succeeded", told
    assert told["lines"] == ["printed"] * 3
    assert len(set(told["results"])) == 3
