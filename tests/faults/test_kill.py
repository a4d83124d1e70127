"""A run that is killed at any of its commits, and resumed until it is over, ends as if undisturbed.

The plan is effects_plan.py's: each of its jobs notes every phase it enters in a file that no
death takes back, and that is compared with what the journal says was committed.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from headway.jobs.events import Event, RunIntended, Settled, TryEnded, decode
from headway.jobs.outcomes import Ending
from headway.jobs.plan import Plan
from headway.jobs.schedule import Schedule
from headway.jobs.states import JobState
from headway.ports.store import RunRecord
from tests.faults.lives import REPOSITORY, End, Life, LifeGiver, open_store

FULL = bool(os.environ.get("HEADWAY_FULL"))
WAYS = [("inline", 1), ("threads", 4)]
HERE = "tests/faults"
SUCCEEDED = (JobState.PASSED, JobState.REPAIRED)


@pytest.fixture(scope="module")
def giver() -> Iterator[LifeGiver]:
    with LifeGiver() as giver:
        yield giver


@dataclass
class World:
    """A directory for the effects, a store, and what became of a run in them."""

    giver: LifeGiver
    directory: Path
    url: str
    target: str = f"{HERE}/effects_plan.py"
    life: Life = field(init=False)
    noted: int = 0  # lines of effects that were there when the last life began
    lives: int = 0
    most_lives: int = 12

    def __post_init__(self) -> None:
        (self.directory / "place").mkdir(parents=True)
        place = {"place": str(self.directory / "place")}
        self.life = Life(self.url, self.target, place, str(REPOSITORY))

    def effects(self) -> list[str]:
        file = self.directory / "place" / "effects"
        return file.read_text().splitlines() if file.exists() else []

    def left(self) -> dict[str, str]:
        """What is to be seen outside: every file's text, but for the notes."""
        place = self.directory / "place"
        files = [file for file in place.rglob("*") if file.name != "effects"]
        return {
            str(file.relative_to(place)): file.read_text() if file.is_file() else "(directory)"
            for file in files
        }

    def journal(self) -> tuple[RunRecord, Plan, list[Event]] | None:
        store = open_store(self.url)
        try:
            if not store.runs(1):
                return None
            record: RunRecord = store.find(None)
            events = [decode(entry.row) for entry in store.journal(record.id)]
            return record, Plan.from_json(store.plan(record.id)), events
        finally:
            store.close()

    def states(self) -> dict[str, str]:
        """By job: where it ended, passed and repaired being one."""
        found = self.journal()
        assert found is not None
        _, plan, events = found
        shown = Schedule.from_journal(plan, events).states_shown()
        return {
            name: "succeeded" if state in SUCCEEDED else str(state)
            for name, state in zip(plan.names, shown, strict=True)
        }

    def live(self, **how: Any) -> End:
        """One more life, and a look at what it did beside what it was told by the journal."""
        before = self.journal()
        self.noted = len(self.effects())
        self.lives += 1
        end = self.giver.live(replace(self.life, resume=before is not None, **how))
        assert end.error in ("", "Undecided"), end
        if before is not None:
            _look_at(before[1], before[2], self.effects()[self.noted :])
        return end

    def settle(self) -> None:
        """Answer, as a person who looks would, for the job that may not be done twice."""
        store = open_store(self.url)
        try:
            record = store.find(None)
            plan = Plan.from_json(store.plan(record.id))
            done = bool(self.left().get("announced"))
            args = {"key": plan.key_of("Announced"), "how": "done" if done else "again"}
            store.ask(record.id, "settle", args, "somebody", 0)
        finally:
            store.close()

    def live_on(self, end: End, **how: Any) -> End:
        """Resume until it is over."""
        while end.killed or end.error:
            assert self.lives < self.most_lives, "resumed again and again, and never over"
            if end.error:
                assert "headway settle" in end.message
                assert "Announced" in end.message
                self.settle()
            end = self.live(**how)
        return end


def _look_at(plan: Plan, events: list[Event], lines: list[str]) -> None:
    """Nothing is done again that was committed, nothing in doubt before its Check was asked."""
    succeeded: set[str] = set()
    open_runs: dict[str, int] = {}
    for event in events:
        if isinstance(event, RunIntended):
            open_runs[plan.names[event.key]] = event.key
        elif isinstance(event, (TryEnded, Settled)):
            name = plan.names[event.key]
            open_runs.pop(name, None)
            ended = event.ending if isinstance(event, TryEnded) else event.how
            if ended in (Ending.PASSED, Ending.REPAIRED, "done"):
                succeeded.add(name)
    for name in succeeded:
        assert f"run {name}" not in lines
    for name, key in open_runs.items():
        if f"run {name}" not in lines:
            continue
        if plan.rules[key].has_check:
            assert f"check {name}" in lines[: lines.index(f"run {name}")]
        else:
            assert plan.rules[key].on_lost == "rerun"


@dataclass(frozen=True)
class Undisturbed:
    states: dict[str, str]
    left: dict[str, str]
    effects: Counter[str]
    commits: int


@pytest.fixture(scope="module")
def undisturbed(giver: LifeGiver, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    world = sqlite_world(giver, tmp_path_factory.mktemp("undisturbed"))
    end = world.live()
    assert end.state == "failed"  # Doomed sees to that
    return Undisturbed(world.states(), world.left(), Counter(world.effects()), end.commits)


def sqlite_world(giver: LifeGiver, directory: Path, **more: Any) -> World:
    return World(giver, directory, str(directory / "headway.db"), **more)


def ends_as(undisturbed: Undisturbed, world: World) -> None:
    assert world.left() == undisturbed.left
    assert world.states() == undisturbed.states
    effects = Counter(world.effects())
    for what, often in undisturbed.effects.items():
        # What a death cut off is done again: a Run, a Cleanup, or both Checks around a Run.
        again = (world.lives - 1) * (2 if what.startswith("check") else 1)
        least = 1 if what.startswith("check") else often
        assert least <= effects[what] <= often + again, what
    assert effects.keys() == undisturbed.effects.keys()
    _well_formed(world)


def _well_formed(world: World) -> None:
    """An intent before the end of what executed, one end a try, tries counted on."""
    found = world.journal()
    assert found is not None
    _, _, events = found
    intended: set[tuple[int, int]] = set()
    ends: dict[int, list[int]] = {}
    for event in events:
        if isinstance(event, RunIntended):
            intended.add((event.key, event.number))
        elif isinstance(event, TryEnded):
            assert not event.executed or (event.key, event.number) in intended
            ends.setdefault(event.key, []).append(event.number)
    for numbers in ends.values():
        assert numbers == list(range(1, len(numbers) + 1))


def test_the_undisturbed_run_does_what_its_jobs_are_for(undisturbed: Undisturbed) -> None:
    assert undisturbed.states["AboveDoomed"] == "blocked"
    assert undisturbed.states["Doomed"] == "failed"
    assert Counter(undisturbed.states.values()) == {"succeeded": 10, "failed": 1, "blocked": 2}
    assert undisturbed.effects["run Stubborn"] == 3
    assert undisturbed.effects["run Doomed"] == 2
    assert sorted(undisturbed.left) == [
        "announced", "built", "commanded", "doomed", "pinged", "stubborn", "token", "unpacked",
        "used",
    ]  # fmt: skip


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("on", "slots"), WAYS)
def test_killed_at_each_commit(
    giver: LifeGiver, undisturbed: Undisturbed, tmp_path: Path, on: str, slots: int, when: str
) -> None:
    commit, killed = 0, True
    while killed:
        commit += 1
        world = sqlite_world(giver, tmp_path / str(commit))
        end = world.live(die_at=commit, when=when, on=on, slots=slots)
        killed = end.killed
        world.live_on(end, on=on, slots=slots)
        ends_as(undisturbed, world)
    assert commit > 0.8 * undisturbed.commits


@pytest.mark.parametrize(("on", "slots"), WAYS)
def test_killed_at_a_commit_and_again_while_it_is_resumed(
    giver: LifeGiver, undisturbed: Undisturbed, tmp_path: Path, on: str, slots: int
) -> None:
    commits = range(1, undisturbed.commits + 1)
    points = [
        (first, second)
        for first in commits
        for second in commits
        if first + second < 1.2 * undisturbed.commits
    ]
    for first, second in points if FULL else random.Random(2).sample(points, 40):
        world = sqlite_world(giver, tmp_path / f"{first}-{second}")
        when = random.Random(first * second).choices(["before", "after"], k=2)
        end = world.live(die_at=first, when=when[0], on=on, slots=slots)
        if end.killed:
            end = world.live(die_at=second, when=when[1], on=on, slots=slots)
        world.live_on(end, on=on, slots=slots)
        ends_as(undisturbed, world)


@pytest.mark.parametrize(("on", "slots"), WAYS)
def test_killed_at_every_second_commit_of_all_its_lives(
    giver: LifeGiver, undisturbed: Undisturbed, tmp_path: Path, on: str, slots: int
) -> None:
    """No life gets further than a few commits, and still it comes to its end."""
    world = sqlite_world(giver, tmp_path)
    world.most_lives = 100
    end = world.live(die_at=2, on=on, slots=slots)
    world.live_on(end, on=on, slots=slots, die_at=7)
    ends_as(undisturbed, world)
