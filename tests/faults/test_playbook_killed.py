"""A playbook's run, killed at every commit there is, ends as if undisturbed."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from headway.adapters.dispatching import Dispatcher
from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus
from headway.adapters.opening import open_store
from headway.adapters.sql_store import SqlStore
from headway.adapters.steps import Steps
from headway.jobs.events import NoticeIntended, RunIntended, StepClaimed, decode
from headway.jobs.schedule import Schedule
from headway.jobs.states import JobState, RunState
from headway.ports.executor import Executor
from headway.runtime import asking, clocks, launching
from headway.runtime.targets import load
from headway.runtime.worker import Worker
from headway.runtime.worker_connection import WorkerConnection
from headway.testing.faults import DyingStore
from tests.faults.rolling import InOneProcess, World

PLAYBOOK = """
group: orchard
name: Roll
execution:
  - hosts: [a, b]
    preflight: [ship:Look]
    steps:
      - proxy:Out: {job: {check: proxy:IsOut, cleanup: proxy:In}}
      - ship:Mount: {job: {cleanup: {ship:Unmount: {notify: {completed: {irc: ["#ops"]}}}}}}
      - ship:Deploy: {notify: {started: {irc: ["#ops"]}, failed: {irc: ["#ops"]}}}
      - ship:Warm: {job: {on_lost: rerun}}
"""
MOST_LIVES = 20


class Death(BaseException):
    """Instead of SIGKILL."""


class OnABus:
    """Broker and workers live on; the broker forgets the queues of the dead."""

    def __init__(self, world: World) -> None:
        self._broker = MemoryBroker("test")
        self._threads: list[tuple[Worker, WorkerConnection, threading.Thread]] = []
        for worker_class in world.workers().values():
            bus = MemoryBus(self._broker)
            bus.open()
            connection = WorkerConnection(bus, ask_again_s=0.05, no_granter_s=0.1)
            worker = worker_class(connection)
            worker._service.begin()
            thread = threading.Thread(target=worker.run_forever)
            thread.start()
            self._threads.append((worker, connection, thread))

    @contextmanager
    def hands(self, definitions: Any) -> Iterator[Executor]:
        bus = MemoryBus(self._broker)
        bus.open()
        dispatcher = Dispatcher(bus, f"re.run.{clocks.new_id()}", watches=("output",))
        dispatcher.open()
        try:
            yield Steps(dispatcher, clocks.new_id, clocks.now_us)
        finally:
            dispatcher.close()
            bus.close()

    def close(self) -> None:
        for worker, _, _ in self._threads:
            worker.stop()
        for _, connection, thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()
            connection.close()


class Lives:
    """One run of the playbook, and all its lives."""

    def __init__(self, store: SqlStore, target: Path, world: World, mode: Any) -> None:
        self.store = store
        self.world = world
        self.loaded = load(str(target), {})
        self.mode = mode
        self.run = ""
        self._others = {record.id for record in store.runs(1000)}
        self.settled: Counter[str] = Counter()

    def live(self, n: int, when: Literal["before", "after"]) -> RunState | None:
        """One life, which dies at its n-th commit, or ends the run."""
        store: Any = DyingStore(self.store, n, when, raises=Death())
        options = launching.Options()
        try:
            with self.mode.hands(self.loaded.definitions) as executor:
                if not self.run:
                    runner = launching.begin(store, self.loaded, executor, options)
                    self.run = runner.run_id
                else:
                    record = self.store.find(self.run)._replace(owner=None)
                    runner = launching.take_up(store, record, self.loaded, executor, options)
                return launching.carry_out(runner)
        except Death:
            # A run that was not stored does not exist, whatever its beginner thought.
            runs = {record.id for record in self.store.runs(1000)}
            self.run = self.run or next(iter(runs - self._others), "")
            return None
        except launching.Undecided as undecided:
            for job in undecided.jobs:
                self._settle(job)
            return None

    def to_the_end(self) -> RunState:
        for _ in range(MOST_LIVES):
            state = self.live(0, "after")
            if state is not None and state is not RunState.IN_DOUBT:
                return state
        raise AssertionError("it never ends")

    def _settle(self, job: str) -> None:
        """As somebody who goes and looks."""
        step, _, host = job.partition("@")
        what = step.partition(":")[2]
        done = self.world.done[what, host] > 0
        how = ("failed" if job.endswith(self.world.fails or "?") else "done") if done else "again"
        record = self.store.find(self.run)._replace(owner=None)
        asking.settle(self.store, record, self.loaded.plan.key_of(job), how, "seen")
        self.settled[job] += 1

    def events(self) -> list[Any]:
        return [decode(entry.row) for entry in self.store.journal(self.run)]

    def states(self) -> list[JobState]:
        return Schedule.from_journal(self.loaded.plan, self.events()).states


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = open_store(tmp_path / "headway.db", check_version=False)
    store.upgrade()
    with closing(store):
        yield store


@pytest.fixture
def target(tmp_path: Path) -> Path:
    file = tmp_path / "roll.yaml"
    file.write_text(PLAYBOOK)
    return file


@pytest.mark.parametrize(
    ("make_mode", "fails"),
    [(InOneProcess, "Deploy@a"), (OnABus, ""), (OnABus, "Deploy@a"), (OnABus, "Unmount@a")],
)
def test_a_run_that_is_killed_at_any_commit_is_resumed_to_the_same_end(
    store: SqlStore, target: Path, make_mode: Any, fails: str
) -> None:
    expected = whole(store, target, make_mode, fails)
    commits = 0
    for when in ("before", "after"):
        n = 0
        while True:
            n += 1
            lives = begun(store, target, make_mode, fails)
            with closing(lives.mode):
                if lives.live(n, when) is not None:
                    break
                if not lives.run:
                    continue  # died before there was a run
                state = lives.to_the_end()
            compare(lives, state, expected)
            commits = max(commits, n)
    assert commits > 20


def begun(store: SqlStore, target: Path, make_mode: Any, fails: str) -> Lives:
    world = World(fails)
    return Lives(store, target, world, make_mode(world))


def whole(store: SqlStore, target: Path, make_mode: Any, fails: str) -> tuple[RunState, Lives]:
    lives = begun(store, target, make_mode, fails)
    with closing(lives.mode):
        return lives.to_the_end(), lives


def compare(lives: Lives, state: RunState, expected: tuple[RunState, Lives]) -> None:
    wanted, undisturbed = expected
    assert state is wanted
    assert lives.world.out == undisturbed.world.out == set()
    assert lives.world.mounted == undisturbed.world.mounted
    done = partial(_done, lives.states())
    assert list(map(done, range(len(lives.loaded.plan)))) == list(
        map(partial(_done, undisturbed.states()), range(len(lives.loaded.plan)))
    )
    for (what, host), count in lives.world.done.items():
        assert undisturbed.world.done[what, host], f"{what}@{host} was not to be done"
        if what in ("Deploy", "Look", "Mount"):
            assert count == 1, f"{what}@{host} was done twice"
    assert set(lives.world.done) == set(undisturbed.world.done)
    events = lives.events()
    told = [event[1:] for event in events if isinstance(event, NoticeIntended)]
    assert len(told) == len(set(told))
    granted = [event.attempt for event in events if isinstance(event, StepClaimed)]
    assert len(granted) == len(set(granted)), "an attempt was granted twice"
    intended = {event.attempt for event in events if isinstance(event, RunIntended)}
    assert set(granted) <= intended


def _done(states: list[JobState], key: int) -> JobState:
    return JobState.PASSED if states[key] is JobState.REPAIRED else states[key]
