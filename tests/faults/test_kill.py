"""A run that is killed at any of its commits, and resumed until it is over, ends as if undisturbed.

With one slot at every commit; with more, and in a database server, at a fixed sample of them.
HEADWAY_FULL=1 kills at every commit everywhere, and at every pair of commits.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.lives import LifeGiver
from tests.faults.worlds import Undisturbed, World, ends_as, sqlite_world
from tests.services.postgres import Postgres

FULL = bool(os.environ.get("HEADWAY_FULL"))
PARTS = 20 if FULL else 1  # so that no test takes too long
WAYS = [("inline", 1), ("threads", 4), ("processes", 4)]


@pytest.fixture(scope="module")
def giver() -> Iterator[LifeGiver]:
    with LifeGiver() as giver:
        yield giver


@pytest.fixture(scope="module")
def undisturbed(giver: LifeGiver, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed.of(sqlite_world(giver, tmp_path_factory.mktemp("undisturbed")))


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
    step = 1 if FULL or on == "inline" else 3
    commit, killed = 1 + (step > 1 and when == "after"), True
    while killed:
        world = sqlite_world(giver, tmp_path / str(commit))
        end = world.live(die_at=commit, when=when, on=on, slots=slots)
        killed = end.killed
        world.live_on(end, on=on, slots=slots)
        ends_as(undisturbed, world)
        commit += step
    assert commit > 0.8 * undisturbed.commits


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(("on", "slots"), WAYS)
def test_killed_at_a_commit_and_again_while_it_is_resumed(
    giver: LifeGiver, undisturbed: Undisturbed, tmp_path: Path, on: str, slots: int, part: int
) -> None:
    commits = range(1, undisturbed.commits + 1)
    points = [
        (first, second)
        for first in commits
        for second in commits
        if first + second < 1.2 * undisturbed.commits
    ]
    many = 30 if on == "inline" else 12
    chosen = points if FULL else random.Random(2).sample(points, many)
    for first, second in chosen[part::PARTS]:
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


@pytest.mark.services
@pytest.mark.parametrize("nth", range(20))
def test_killed_at_a_commit_to_a_database_server(
    giver: LifeGiver, undisturbed: Undisturbed, tmp_path: Path, postgres: Postgres, nth: int
) -> None:
    (on, slots), chance = WAYS[nth % 3], random.Random(nth)
    how = {"die_at": chance.randint(1, undisturbed.commits), "on": on, "slots": slots}
    world = World(giver, tmp_path, postgres.url)
    end = world.live(when=chance.choice(["before", "after"]), **how)
    world.live_on(end, on=on, slots=slots)
    ends_as(undisturbed, world)
