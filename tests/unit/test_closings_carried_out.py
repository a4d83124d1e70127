"""What steps left is put away also when their run is cancelled, interrupted or stopped."""

import _thread
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headway.adapters.opening import open_store
from headway.adapters.sql_store import SqlStore
from headway.errors import Rejected
from headway.jobs.events import decode
from headway.jobs.states import RunState
from headway.runtime import launching
from headway.runtime.targets import load
from headway.testing.faults import DyingStore
from tests.faults.rolling import InOneProcess, World

PLAYBOOK = """
group: orchard
name: Roll
execution:
  - hosts: [a, b]
    steps:
      - proxy:Out: {job: {check: proxy:IsOut, cleanup: proxy:In}}
      - ship:Mount: {job: {cleanup: ship:Unmount}}
      - DEPLOY
"""
BROKEN = """
from headway import Job

class Broken(Job):
    def Check(self):
        return nobody_knows
    def Run(self):
        raise AssertionError("it acts on a slip")
"""
FIRST = {("Out", "a"): 1, ("Mount", "a"): 1, ("Unmount", "a"): 1, ("In", "a"): 1}


class Death(BaseException):
    """Instead of SIGKILL."""


class Rolling:
    """The run of a playbook over two hosts."""

    def __init__(self, directory: Path, store: SqlStore, deploy: str = "ship:Deploy") -> None:
        self.target = directory / "roll.yaml"
        self.target.write_text(PLAYBOOK.replace("DEPLOY", deploy))
        self.store = store
        self.world = World()
        self.loaded = load(str(self.target), {})
        self.runner: Any = None

    def begin(self, store: Any = None, **options: Any) -> RunState:
        with InOneProcess(self.world).hands(self.loaded.definitions) as executor:
            self.runner = launching.begin(
                store or self.store, self.loaded, executor, launching.Options(**options)
            )
            return launching.carry_out(self.runner)

    def take_up(self, *, unwinds: bool = False, **more: Any) -> RunState:
        record = self.record()
        with InOneProcess(self.world).hands(self.loaded.definitions) as executor:
            self.runner = launching.take_up(
                self.store, record, self.loaded, executor, launching.Options(), **more
            )
            if unwinds:
                return launching.unwind(self.runner, RunState.INTERRUPTED)
            return launching.carry_out(self.runner)

    def retry(self) -> RunState:
        launching.require_over(self.store, self.record())
        events = [decode(entry.row) for entry in self.store.journal(self.record().id)]
        return self.take_up(retry=launching.retry_keys(self.loaded.plan, events, None))

    def record(self) -> Any:
        return self.store.find(None)._replace(owner=None)

    def require_whole(self) -> None:
        launching.require_whole(self.store, self.record(), self.loaded.plan)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = open_store(tmp_path / "headway.db", check_version=False)
    store.upgrade()
    with closing(store):
        yield store


def test_a_run_that_is_cancelled_puts_its_host_back_and_is_retried_from_there(
    tmp_path: Path, store: SqlStore
) -> None:
    roll = Rolling(tmp_path, store)

    def cancel(step: str) -> None:
        if step == "Mount@a":
            roll.world.before = str
            request = store.ask(roll.runner.run_id, "cancel", {}, "somebody", 0)
            while (found := store.request(request)) is None or found.answer is None:
                pass  # it goes on once that is answered

    roll.world.before = cancel
    assert roll.begin() is RunState.CANCELLED
    assert roll.world.done == FIRST
    with pytest.raises(Rejected, match="headway retry"):
        roll.require_whole()
    assert roll.retry() is RunState.SUCCEEDED
    assert roll.world.done["Deploy", "a"] == 1
    assert roll.world.done["Out", "a"] == roll.world.done["In", "a"] == 2
    assert roll.world.out == set()


def test_ctrl_c_puts_the_host_back_and_the_run_is_retried(tmp_path: Path, store: SqlStore) -> None:
    roll = Rolling(tmp_path, store)

    def press(step: str) -> None:
        if step == "Mount@a":
            roll.world.before = str
            _thread.interrupt_main()

    roll.world.before = press
    with pytest.raises(KeyboardInterrupt):
        roll.begin()
    assert roll.world.done == FIRST
    assert roll.record().state is RunState.INTERRUPTED
    with pytest.raises(Rejected, match="headway retry"):
        roll.require_whole()
    assert roll.retry() is RunState.SUCCEEDED


def test_a_strict_run_that_meets_a_slip_puts_the_host_back(tmp_path: Path, store: SqlStore) -> None:
    (tmp_path / "slips.py").write_text(BROKEN)
    roll = Rolling(tmp_path, store, "python: slips:Broken")
    assert roll.begin(strict=True) is RunState.FAILED
    assert roll.world.done == FIRST


def test_a_run_that_is_not_to_go_on_can_be_cleaned_up_and_retried_all_the_same(
    tmp_path: Path, store: SqlStore
) -> None:
    roll = Rolling(tmp_path, store)
    dying: Any = DyingStore(store, 0, "before", raises=Death())

    def die(step: str) -> None:
        if step == "Mount@a":
            roll.world.before = str
            dying._n, dying._when = dying.commits + 1, "before"

    roll.world.before = die
    with pytest.raises(Death):
        roll.begin(dying)
    assert roll.world.out == {"a"}
    key = roll.loaded.plan.key_of("ship:Mount@a")
    store.ask(roll.record().id, "settle", {"key": key, "how": "done"}, "somebody", 0)
    assert roll.take_up(unwinds=True) is RunState.INTERRUPTED
    assert roll.world.done == FIRST
    with pytest.raises(Rejected, match="headway retry"):
        roll.require_whole()
    assert roll.retry() is RunState.SUCCEEDED


def test_cleanups_that_were_cut_off_are_gone_on_with(tmp_path: Path, store: SqlStore) -> None:
    roll = Rolling(tmp_path, store)
    roll.world.fails = "Deploy@a"
    dying: Any = DyingStore(store, 0, "before", raises=Death())

    def die(step: str) -> None:
        if step == "Unmount@a":
            roll.world.before = str
            dying._n, dying._when = dying.commits + 1, "after"

    roll.world.before = die
    with pytest.raises(Death):
        roll.begin(dying)
    assert roll.world.done["In", "a"] == 0
    roll.require_whole()  # nothing but what puts away is left to do
    assert roll.take_up() is RunState.FAILED
    assert roll.world.done == FIRST | {("Deploy", "a"): 1}
