"""What is left of a dead owner's commands is found, and nothing else is ended."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headway.adapters import commands, groups
from headway.adapters.commands import MARK
from headway.jobs.events import ProcessStarted
from headway.runtime import ownership
from headway.runtime.leftovers import end_leftovers, is_left

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a command in a session of its own, and ends it when the test is over."""
    started: list[subprocess.Popen[bytes]] = []

    def start(script: str, mark: str = "") -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            ["sh", "-c", script],
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], **({MARK: mark} if mark else {})},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        groups.signal_group(process.pid, signal.SIGKILL)
        process.communicate()


def said(process: "subprocess.Popen[bytes]") -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def noted(pid: int) -> ProcessStarted:
    return ProcessStarted(1, 0, 1, pid, ownership.process_started(pid), ownership.boot_id())


def never_over(key: int, number: int) -> bool:
    return False


@linux
def test_what_a_dead_command_left_in_its_session_is_found(start: Start) -> None:
    command = start("sleep 60 & echo $!; read -r _")
    said(command)
    event = noted(command.pid)
    assert is_left(event)
    command.kill()
    command.wait()
    assert is_left(event)
    later = event._replace(started=str(int(event.started) + 10**9))
    assert not is_left(later), "it was there before the command"
    assert not is_left(event._replace(boot="another boot"))


def test_a_command_that_has_ended_is_not_left(start: Start) -> None:
    command = start("read -r _")
    event = noted(command.pid)
    assert is_left(event)
    command.communicate()
    assert not is_left(event)
    assert not is_left(event._replace(started=""))


@linux
def test_a_command_that_nobody_noted_is_found_by_its_mark(start: Start) -> None:
    # It reads rather than waits for its child: the child may be ended a moment before it is.
    command = start("setsid sh -c 'echo $$; exec sleep 60' & read -r _", mark="run1 0 1")
    child = said(command)
    end_leftovers("run1", [], never_over)
    assert command.wait(10) == -signal.SIGTERM
    assert ended(child), "also what left the session"


@linux
@pytest.mark.parametrize("mark", ["run2 0 1", "run12 0 1", "", "run1 0 2"])
def test_commands_of_other_runs_and_of_tries_that_are_over_are_left_alone(
    start: Start, mark: str
) -> None:
    command = start("echo $$; read -r _", mark)
    said(command)
    end_leftovers("run1", [], lambda key, number: (key, number) == (0, 2))
    assert command.poll() is None


@linux
def test_nobody_ends_the_group_they_are_in_themselves() -> None:
    """A run that is resumed by one of its own commands."""
    program = """
import os
from headway.runtime.leftovers import end_leftovers
os.setsid()
if os.fork() == 0:
    end_leftovers("run1", [], lambda key, number: False)
    os._exit(0)
_, status = os.wait()
raise SystemExit(os.waitstatus_to_exitcode(status))
"""
    environment = {**os.environ, MARK: "run1 0 1"}
    assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == 0


def test_what_is_started_to_outlive_a_run_does_not_carry_its_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MARK, "a run that this one is a command of")
    told = tmp_path / "told"
    commands.start(["sh", "-c", "env >new; mv new told"], cwd=str(tmp_path), env=None, stdout=None)
    give_up_at = time.monotonic() + 10
    while not told.exists() and time.monotonic() < give_up_at:
        threading.Event().wait(0.005)
    assert MARK not in told.read_text()


def ended(pid: int) -> bool:
    give_up_at = time.monotonic() + 10
    while groups.stat(pid) and time.monotonic() < give_up_at:
        threading.Event().wait(0.005)
    return groups.stat(pid) is None
