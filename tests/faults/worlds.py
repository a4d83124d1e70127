"""A run of effects_plan.py, whatever becomes of its processes, and what is to be true of it.

The plan's jobs note every phase they enter in a file that no death takes back. That is compared
with what the journal says was committed.
"""

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headway.jobs.events import Event, RunIntended, Settled, TryEnded, decode
from headway.jobs.outcomes import Ending
from headway.jobs.plan import Plan
from headway.jobs.schedule import Schedule
from headway.jobs.states import JobState
from headway.ports.store import RunRecord
from tests.faults.lives import REPOSITORY, End, Life, LifeGiver, open_store

HERE = "tests/faults"
SUCCEEDED = (JobState.PASSED, JobState.REPAIRED)


@dataclass
class World:
    """A directory for the effects, a store, and what became of a run in them."""

    giver: LifeGiver
    directory: Path
    url: str  # the store's
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
    """What a run comes to that nobody disturbs."""

    states: dict[str, str]
    left: dict[str, str]
    effects: Counter[str]
    commits: int
    took_s: float

    @classmethod
    def of(cls, world: World) -> "Undisturbed":
        began_at = time.monotonic()
        end = world.live()
        took_s = time.monotonic() - began_at
        assert end.state == "failed"  # Doomed sees to that
        effects = Counter(world.effects())
        return cls(world.states(), world.left(), effects, end.commits, took_s)


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
    well_formed(world)


def well_formed(world: World) -> None:
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
