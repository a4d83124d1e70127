"""The runner, cut off after any commits and taken up from its journal, ends as if undisturbed."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import pytest
from hypothesis import Phase, assume, event, given, note, settings
from hypothesis import strategies as st

from headway.adapters.opening import open_store
from headway.adapters.sql_store import SqlStore
from headway.jobs.events import (
    CleanupEnded,
    CleanupIntended,
    Event,
    RunIntended,
    RunRetried,
    Settled,
    TryEnded,
    TryStarted,
    decode,
)
from headway.jobs.job import Rules
from headway.jobs.outcomes import Ending
from headway.jobs.plan import Plan, Policy
from headway.jobs.states import JobState, RunState
from headway.runtime import launching
from headway.runtime.loading import Loaded
from headway.testing.faults import DyingStore
from tests.properties.simulated import Nature, Simulated, World

SUCCEEDED = (JobState.PASSED, JobState.REPAIRED)
MOST_LIVES = 100
EXAMPLES = 2_000 if os.environ.get("HEADWAY_FULL") else 150
# A bug that was planted on purpose is to be found, not to be understood.
PHASES = [Phase.generate] if os.environ.get("HEADWAY_PLANTED") else list(Phase)
NEVER = 1_000


class Death(BaseException):
    """Instead of SIGKILL."""


class Given(NamedTuple):
    """A plan, and what its jobs are like."""

    plan: Plan
    natures: list[Nature]


class Die(NamedTuple):
    """How a life ends: killed at a commit, or by Ctrl-C at a step of its jobs."""

    commit: int
    when: Literal["before", "after", "Ctrl-C"]


@st.composite
def graphs(draw: st.DrawFn) -> Given:
    count = draw(st.integers(1, 7))
    needs = [
        tuple(sorted(draw(st.sets(st.integers(0, key - 1), max_size=3)))) if key else ()
        for key in range(count)
    ]
    rules = [draw(job_rules) for _ in range(count)]
    natures = [draw(nature_of(one)) for one in rules]
    names = [f"Job{key}" for key in range(count)]
    return Given(Plan(names, names, needs, rules, Policy()), natures)


# Not by st.builds, which would also make up the fields that are not named.
job_rules = st.fixed_dictionaries(
    {
        "tries": st.integers(1, 3),
        "retry_delay_s": st.just(0.0),
        "on_lost": st.sampled_from(["ask", "ask", "rerun"]),
        "has_check": st.sampled_from([True, True, False]),
        "has_cleanup": st.booleans(),
    }
).map(lambda fields: Rules(**cast("dict[str, Any]", fields)))


def nature_of(rules: Rules) -> st.SearchStrategy[Nature]:
    """A job that its tries are enough for, or one that nothing is.

    (For one between these, being run once more after a death would make the difference.)
    """
    least = 0 if rules.has_check else 1
    runs_needed = st.one_of(st.integers(least, rules.tries), st.just(NEVER))
    # Nothing could bring back what a job without a Check put into the shared storage.
    opaque = st.sampled_from([False, False, True]) if rules.has_check else st.just(False)
    return st.builds(Nature, runs_needed, opaque)


deaths = st.lists(
    st.builds(Die, st.integers(1, 12), st.sampled_from(["before", "after"])), max_size=8
)


@pytest.fixture(scope="module")
def store() -> Iterator[SqlStore]:
    with tempfile.TemporaryDirectory() as directory:
        store = open_store(Path(directory) / "headway.db", check_version=False)
        store.upgrade()
        yield store
        store.close()


class Witness:
    """A store that notes each success as it is committed."""

    def __init__(self, store: SqlStore, world: World) -> None:
        self._store = store
        self._world = world
        self.run = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def begin(self, id: str, *args: Any) -> int:
        self.run = id
        return self._store.begin(id, *args)

    def stored(self) -> bool:
        return any(record.id == self.run for record in self._store.runs())

    def append(self, id: str, epoch: int, lap: int, seq: int, rows: Any, **more: Any) -> None:
        self._store.append(id, epoch, lap, seq, rows, **more)
        self._world.succeeded.update(row[2] for row in rows if row[0] in ("passed", "repaired"))


class Simulation:
    """One run and all its lives."""

    def __init__(self, store: SqlStore, given: Given, slots: int, seed: int) -> None:
        self.world = World(given.natures)
        self.store = Witness(store, self.world)
        self.slots = slots
        self.seed = seed
        self.plan = given.plan
        self.loaded = Loaded("simulated", given.plan, [None] * len(given.plan), {})
        self.lives = 0

    def to_the_end(
        self, deaths: Sequence[Die], *, retry: bool = False
    ) -> tuple[RunState, list[bool]]:
        """Where the run ended, and by key whether each job succeeded."""
        for die in (*deaths, *[None] * MOST_LIVES):
            self.lives += 1
            state = self._live(die, retry=retry)
            # One that was not written yet is still to be asked for.
            retry = retry and not any(isinstance(one, RunRetried) for one in self.events())
            if state is not None:
                schedule = self.runner.schedule
                return state, [stood in SUCCEEDED for stood in schedule.states]
        raise AssertionError("it never ends")

    def events(self) -> list[Event]:
        return [decode(entry.row) for entry in self.store.journal(self.store.run)]

    def mend(self) -> None:
        """See to it that what can never be done can be done now."""
        for key, nature in enumerate(self.world.natures):
            if nature.runs_needed == NEVER:
                runs_needed = self.world.executed[key] + 1
                self.world.natures[key] = nature._replace(runs_needed=runs_needed)

    def _live(self, die: Die | None, *, retry: bool) -> RunState | None:
        commit, when = die or Die(0, "after")
        interrupt_at, kill_at = (commit, 0) if when == "Ctrl-C" else (0, commit)
        store: Any = DyingStore(self.store, kill_at, when, raises=Death())  # type: ignore[arg-type]
        chance = self.seed + self.lives
        executor = Simulated(self.world, self.plan, self.slots, chance, interrupt_at)
        options = launching.Options()
        try:
            if not self.store.run or not self.store.stored():
                self.runner = launching.begin(store, self.loaded, executor, options)
            else:
                record = self.store.find(self.store.run)._replace(owner=None)
                keys = launching.retry_keys(self.plan, self.events(), None) if retry else None
                self.runner = launching.take_up(
                    store, record, self.loaded, executor, options, retry=keys
                )
            return self.runner.run()
        except launching.Undecided as undecided:
            for name in undecided.jobs:
                self._settle(self.plan.key_of(name))
        except (Death, KeyboardInterrupt):
            pass
        return None

    def _settle(self, key: int) -> None:
        """Answer as somebody would who can look: done, or as if the try had not been."""
        how = "done" if self.world.is_done(key) else "again"
        self.store.ask(self.store.run, "settle", {"key": key, "how": how}, "somebody", 0)


class Reader:
    """Reads a journal and finds whether it can be true."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._intended: list[tuple[int, int]] = []  # of this lap, in the order they began
        self._ends: dict[int, list[TryEnded]] = {}
        self._tries: Counter[int] = Counter()  # of this lap
        self._successes: Counter[int] = Counter()  # of this lap
        self._cleaning: set[tuple[int, int]] = set()
        self.cleanups: list[tuple[int, int]] = []  # of this lap

    def read(self, event: Event) -> None:
        match event:
            case TryStarted():
                self._is_next(event)
            case RunIntended():
                self._is_next(event)
                place = (event.key, event.number)
                self._intended = [other for other in self._intended if other != place] + [place]
            case TryEnded():
                self._is_next(event)
                place = (event.key, event.number)
                assert not event.executed or place in self._intended, "an end without an intent"
                self._ends.setdefault(event.key, []).append(event)
                self._tries[event.key] += 1
                self._successes[event.key] += event.ending in (Ending.PASSED, Ending.REPAIRED)
                assert self._tries[event.key] <= self._plan.rules[event.key].tries
                assert self._successes[event.key] <= 1
            case Settled(how="again"):
                self._tries[event.key] -= 1
            case CleanupIntended():
                self._cleaning.add((event.key, event.number))
            case CleanupEnded():
                assert (event.key, event.number) in self._cleaning
                self.cleanups.append((event.key, event.number))
            case RunRetried():
                self._intended.clear()
                self.cleanups.clear()
                self._tries.clear()
                for key in event.keys:
                    self._successes[key] = 0
            case _:
                pass

    def due(self) -> list[tuple[int, int]]:
        """Whose Cleanups this lap owes, in their order."""
        rules = self._plan.rules
        return [place for place in self._intended if rules[place[0]].has_cleanup][::-1]

    def _is_next(self, event: TryStarted | RunIntended | TryEnded) -> None:
        assert event.number == len(self._ends.get(event.key, ())) + 1, "tries are counted on"


def read(simulation: Simulation) -> Reader:
    reader = Reader(simulation.plan)
    for one in simulation.events():
        note(str(one))
        reader.read(one)
    return reader


def expected(store: SqlStore, given: Given) -> tuple[RunState, list[bool]]:
    """Where an undisturbed run ends."""
    return Simulation(store, given, 1, 0).to_the_end([])


runs = given(
    given=graphs(), slots=st.sampled_from([1, 1, 3]), seed=st.integers(0, 999), deaths=deaths
)


@settings(max_examples=EXAMPLES, phases=PHASES)
@runs
def test_a_run_ends_as_if_undisturbed_wherever_it_is_cut_off(
    store: SqlStore, given: Given, slots: int, seed: int, deaths: list[Die]
) -> None:
    simulation = Simulation(store, given, slots, seed)
    went = simulation.to_the_end(deaths)
    event(f"{simulation.lives} lives")
    reader = read(simulation)
    assert went == expected(store, given)
    assert reader.cleanups == reader.due(), "each Cleanup that is due, once, last first"
    assert simulation.store.find(simulation.store.run).state is went[0]


@settings(max_examples=EXAMPLES, phases=PHASES)
@runs
def test_a_run_ends_as_if_undisturbed_also_after_ctrl_c(
    store: SqlStore, given: Given, slots: int, seed: int, deaths: list[Die]
) -> None:
    simulation = Simulation(store, given, slots, seed)
    ends = [die._replace(when="Ctrl-C") if die.commit % 2 else die for die in deaths]
    went = simulation.to_the_end(ends)
    reader = read(simulation)
    assert went == expected(store, given)
    assert set(reader.cleanups) == set(reader.due())
    assert Counter(simulation.world.cleaned).keys() == set(reader.due())


@settings(max_examples=EXAMPLES, phases=PHASES)
@runs
def test_a_retry_ends_as_if_undisturbed_wherever_it_is_cut_off(
    store: SqlStore, given: Given, slots: int, seed: int, deaths: list[Die]
) -> None:
    simulation = Simulation(store, given, slots, seed)
    state, _ = simulation.to_the_end([])
    simulation.mend()
    assume(state is RunState.FAILED)
    state, succeeded = simulation.to_the_end(deaths, retry=True)
    reader = read(simulation)
    assert (state, all(succeeded)) == (RunState.SUCCEEDED, True)
    assert reader.cleanups == reader.due()
