"""``headway.testing.faults.DyingStore`` dies exactly where it is told to."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from headway.adapters.opening import open_store
from headway.jobs.events import Row
from headway.ports.store import Launch, Owner
from headway.testing.faults import DyingStore

OWNER = Owner("here", 1, "now", "boot")
LAUNCH = Launch("f.py", "Root", {}, "/", {}, (), "me", "0", "3.11")
RUN = "0" * 24


class Death(BaseException):
    """Instead of SIGKILL."""


def passed(seq: int) -> Row:
    return Row("passed", seq, seq, 1, None)


def three_commits(store: DyingStore) -> None:
    epoch = store.begin(RUN, LAUNCH, "{}", 9, OWNER, 1)
    store.append(RUN, epoch, 1, 2, [passed(2)])
    store.append(RUN, epoch, 1, 3, [passed(3)])


@pytest.mark.parametrize(
    ("when", "kept"), [("before", [1, 2]), ("after", [1, 2, 3])], ids=["before", "after"]
)
def test_it_dies_before_or_after_its_nth_commit(
    tmp_path: Path, when: Literal["before", "after"], kept: list[int]
) -> None:
    program = f"""
from pathlib import Path
from headway.adapters.opening import open_store
from headway.testing.faults import DyingStore
from tests.unit.test_dying_store import three_commits
three_commits(DyingStore(open_store(Path("s.db")), 3, {when!r}))
"""
    child = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path.cwd())},
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    store = open_store(tmp_path / "s.db")
    assert [entry.seq for entry in store.journal(RUN)] == kept
    store.close()


def test_a_store_that_raises_commits_nothing_more_once_it_is_dead(tmp_path: Path) -> None:
    store = DyingStore(open_store(tmp_path / "s.db"), 2, "before", raises=Death())
    with pytest.raises(Death):
        three_commits(store)
    with pytest.raises(Death):
        store.append(RUN, 1, 1, 2, [passed(2)])
    with pytest.raises(Death):
        store.beat(RUN, 1)
    assert [entry.seq for entry in store.journal(RUN)] == [1]
    store.close()


def test_with_no_death_wished_for_it_only_counts(tmp_path: Path) -> None:
    store = DyingStore(open_store(tmp_path / "s.db"), 0, "before")
    three_commits(store)
    assert store.commits == 3
    store.close()
