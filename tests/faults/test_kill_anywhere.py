"""A run that is killed at no particular moment: between commits, and while its commands run."""

import os
import random
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.commands_plan import lives
from tests.faults.lives import DEADLINE_S, LifeGiver
from tests.faults.worlds import Undisturbed, World, ends_as, sqlite_world

WAYS = [("inline", 1), ("threads", 4), ("processes", 4)]
HEADWAY = Path(sys.executable).parent / "headway"


@pytest.fixture(scope="module")
def giver() -> Iterator[LifeGiver]:
    with LifeGiver() as giver:
        yield giver


@pytest.fixture(scope="module")
def undisturbed(giver: LifeGiver, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed.of(sqlite_world(giver, tmp_path_factory.mktemp("undisturbed")))


@pytest.mark.parametrize("seed", range(30))
def test_killed_at_any_moment(
    giver: LifeGiver, undisturbed: Undisturbed, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    on, slots = WAYS[seed % 3]
    world = sqlite_world(giver, tmp_path)
    for _ in range(2):
        after_s = chance.uniform(0, 1.2 * undisturbed.took_s)
        end = world.live(kill_after_s=after_s, on=on, slots=slots)
        if not (end.killed or end.error):
            break
        if end.error:
            world.settle()
    world.live_on(end, on=on, slots=slots)
    ends_as(undisturbed, world)


# Commands


def gone(pid: str) -> bool:
    """Whether a process is gone, or goes within the deadline."""
    give_up_at = time.monotonic() + 10
    while lives(pid) and time.monotonic() < give_up_at:
        threading.Event().wait(0.005)
    return not lives(pid)


class Commanding(World):
    """A world of one job that starts a command."""

    @property
    def pid(self) -> str:
        return (self.directory / "place" / "pid").read_text().strip()

    def killed_when_it_runs(self, ready: str = "pid", **how: Any) -> None:
        """A life that is killed while its command runs, perhaps before that was written."""
        end = self.live(kill_at=str(self.directory / "place" / ready), **how)
        assert end.killed


def commanding(giver: LifeGiver, directory: Path, root: str) -> Commanding:
    target = f"tests/faults/commands_plan.py:{root}"
    return Commanding(giver, directory, str(directory / "headway.db"), target)


@pytest.mark.parametrize(("on", "slots"), WAYS)
def test_a_command_dies_with_the_runner(
    giver: LifeGiver, tmp_path: Path, on: str, slots: int
) -> None:
    world = commanding(giver, tmp_path, "Plain")
    world.killed_when_it_runs(on=on, slots=slots)
    assert gone(world.pid)
    assert world.live(on=on, slots=slots).state == "succeeded"
    assert world.effects() == ["gone"]


@pytest.mark.parametrize(
    ("root", "ready"), [("Grandchild", "pid"), ("Defiant", "ready"), ("Escaped", "pid")]
)
@pytest.mark.parametrize(("on", "slots"), WAYS)
def test_what_lives_on_of_a_command_is_ended_before_its_check_is_asked(
    giver: LifeGiver, tmp_path: Path, on: str, slots: int, root: str, ready: str
) -> None:
    world = commanding(giver, tmp_path, root)
    world.killed_when_it_runs(ready, on=on, slots=slots)
    assert lives(world.pid), "nothing ends it but a resume"
    assert world.live(on=on, slots=slots).state == "succeeded"
    assert world.effects() == ["gone"]
    assert not lives(world.pid)


def test_what_lives_on_of_a_cleanups_command_is_ended_before_the_cleanup_is_run_again(
    giver: LifeGiver, tmp_path: Path
) -> None:
    world = commanding(giver, tmp_path, "Tidied")
    world.killed_when_it_runs()
    assert lives(world.pid)
    assert world.live().state == "succeeded"
    assert world.effects() == ["gone"]


def test_a_command_that_left_its_session_and_cleaned_its_environment_is_out_of_reach(
    giver: LifeGiver, tmp_path: Path
) -> None:
    """So that nobody promises otherwise."""
    world = commanding(giver, tmp_path, "Unknown")
    world.killed_when_it_runs()
    try:
        assert world.live().state == "succeeded"
        assert world.effects() == ["left"]
    finally:
        os.kill(int(world.pid), signal.SIGKILL)


@pytest.mark.parametrize(("on", "slots"), WAYS)
def test_a_process_that_was_started_to_outlive_the_run_outlives_its_death(
    giver: LifeGiver, tmp_path: Path, on: str, slots: int
) -> None:
    world = commanding(giver, tmp_path, "Serves")
    world.killed_when_it_runs(on=on, slots=slots)
    try:
        assert world.live(on=on, slots=slots).state == "succeeded"
        assert lives(world.pid)
    finally:
        os.kill(int(world.pid), signal.SIGKILL)


# As a person meets it


def typed(world: World, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [HEADWAY, *words, "--db", world.url],
        cwd=world.life.directory,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.mark.parametrize("answer", ["--done", "--again", "--failed"])
def test_the_command_line_says_what_to_type_for_a_job_in_doubt(
    giver: LifeGiver, tmp_path: Path, answer: str
) -> None:
    world = died_having_announced(giver, tmp_path)
    resumed = typed(world, "resume")
    assert resumed.returncode == 4, resumed
    line = re.search(r"headway (settle \S+ Announced) --done", resumed.stderr)
    assert line is not None, resumed.stderr
    assert typed(world, "resume").returncode == 4, "until it is settled"
    settled = typed(world, *shlex.split(line[1]), answer)
    assert settled.returncode == 0, settled
    assert typed(world, "resume").returncode == (answer == "--failed")
    states = {*world.states().items()}
    assert ("Announced", "failed" if answer == "--failed" else "succeeded") in states
    assert world.effects().count("run Announced") == (2 if answer == "--again" else 1)


def died_having_announced(giver: LifeGiver, directory: Path) -> World:
    """A run whose last job was done, and that was killed before it could write so."""
    for commit in range(1, 100):
        target = "tests/faults/effects_plan.py:Announced"
        world = sqlite_world(giver, directory / str(commit), target=target)
        world.live(die_at=commit, when="before")
        if "run Announced" in world.effects():
            return world
    raise AssertionError("no commit follows Announced")
