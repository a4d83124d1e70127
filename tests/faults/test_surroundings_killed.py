"""A release with all that surrounds it, killed at every commit, and taken up again."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from headway.adapters.opening import open_store
from headway.adapters.sql_store import SqlStore
from headway.jobs.events import RunEnded
from headway.jobs.states import RunState
from headway.runtime import launching
from headway.testing.faults import DyingStore
from tests.faults.surrounded import STEPS, Release


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = open_store(tmp_path / "headway.db", check_version=False)
    store.upgrade()
    with closing(store):
        yield store


def commits(make: Callable[[], Release]) -> int:
    release = make()
    with closing(release.channel):
        counting = DyingStore(release.store, 0, "after")
        with release._hands() as executor:
            launching.carry_out(
                launching.begin(counting, release.loaded, executor, launching.Options())
            )
        return counting.commits


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fails", ["", "Go a"])
def test_wherever_a_release_dies_nothing_is_done_twice_and_nobody_is_told_twice(
    tmp_path: Path, store: SqlStore, when: Literal["before", "after"], fails: str
) -> None:
    def make() -> Release:
        made = Release(tmp_path, store)
        made.world.fails = fails
        return made

    for n in range(1, commits(make) + 1):
        release = make()
        with closing(release.channel):
            state = release.live(n, when)
            for _ in range(4):
                if state is None or state is RunState.IN_DOUBT:
                    state = release.live()
            assert state is (RunState.FAILED if fails else RunState.SUCCEEDED), n
            done = Counter(release.world.done)
            assert done.pop("IsOpen") <= 2  # to ask again does no harm
            steps = ["Look a", "Go a"] if fails else STEPS
            acts = [*steps, "Stamp", "Cry" if fails else "Cheer"]
            assert done == Counter(acts), n
            end = "failed" if fails else "completed"
            assert release.told == ["started", end], n
            told = Counter(release.channel.phases)
            assert set(told) <= {"started", end}, n
            assert set(told.values()) <= {1}, n
            # Written with what it tells of.
            *_, notice, ended = release.events
            assert (notice.notice, type(ended)) == (end, RunEnded)
