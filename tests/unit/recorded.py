"""Recorded runs, carried out in this process, that die at a chosen event and are taken up again."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from headway.adapters.inline import Inline
from headway.adapters.opening import open_store
from headway.adapters.sql_store import SqlStore
from headway.jobs.compiling import compile_jobs
from headway.jobs.events import Event, Listener, decode
from headway.jobs.job import Job
from headway.jobs.plan import Plan
from headway.jobs.schedule import Schedule
from headway.jobs.states import RunState
from headway.ports.executor import Executor
from headway.ports.store import RunRecord
from headway.runtime import launching
from headway.runtime.loading import Loaded
from headway.runtime.runner import Runner

E = TypeVar("E")


class Death(BaseException):
    """Instead of SIGKILL."""


class At(NamedTuple):
    """When to die: before or after the commit that writes such an event."""

    when: Literal["before", "after"]
    kind: str  # as the journal has it
    job: str | None = None


class Mortal:
    """A store whose owner dies at a chosen event; a dead owner commits nothing more."""

    def __init__(self, store: SqlStore, plan: Plan, at: At | None, death: BaseException) -> None:
        self._store = store
        self._plan = plan
        self._at = at
        self._death = death
        self._dead = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def append(self, id: str, epoch: int, lap: int, seq: int, rows: Any, **more: Any) -> None:
        reached = any(self._is_it(row[0], row[2]) for row in rows)
        if self._dead or (reached and self._at and self._at.when == "before"):
            self._die()
        self._store.append(id, epoch, lap, seq, rows, **more)
        if reached:
            self._die()

    def beat(self, id: str, epoch: int) -> None:
        if self._dead:
            self._die()
        self._store.beat(id, epoch)

    def _is_it(self, kind: str, key: int | None) -> bool:
        at = self._at
        if at is None or kind != at.kind:
            return False
        return at.job is None or (key is not None and self._plan.names[key] == at.job)

    def _die(self) -> None:
        # Ctrl-C ends nothing: who heard of it goes on to write.
        self._dead = not isinstance(self._death, KeyboardInterrupt)
        self._at = None
        raise self._death


class Recorded:
    """A plan, and the one run of it in a store of its own."""

    def __init__(self, directory: Path, root: type[Job], **inputs: Any) -> None:
        plan, definitions, *_ = compile_jobs(root)
        self.loaded = Loaded("somewhere.py", plan, definitions, inputs)
        self.store = open_store(directory / "recorded.db", check_version=False)
        self.store.upgrade()
        self.options = launching.Options()
        self.executor: Callable[[], Executor] = Inline
        self.death: BaseException = Death()
        self.listeners: list[Listener] = []
        self.runner: Runner

    def __enter__(self) -> "Recorded":
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    @property
    def plan(self) -> Plan:
        return self.loaded.plan

    def begin(self, *die: Any) -> RunState | None:
        """The run's first life; None if it died. ``die``: as ``At`` is made of."""
        store: Any = Mortal(self.store, self.plan, At(*die) if die else None, self.death)
        return self._live(
            lambda: launching.begin(
                store, self.loaded, self.executor(), self.options, self.listeners
            )
        )

    def resume(self, *die: Any, retry: Sequence[int] | None = None) -> RunState | None:
        """One more life, the process of the last one being dead; None if it died as well."""
        store: Any = Mortal(self.store, self.plan, At(*die) if die else None, self.death)
        record = self.record()._replace(owner=None)
        return self._live(
            lambda: launching.take_up(
                store,
                record,
                self.loaded,
                self.executor(),
                self.options,
                self.listeners,
                retry=retry,
            )
        )

    def retry(self, *die: Any, from_job: str | None = None) -> RunState | None:
        keys = launching.retry_keys(self.plan, self.events(), from_job)
        return self.resume(*die, retry=keys)

    def record(self) -> RunRecord:
        return self.store.find(None)

    def events(self) -> list[Event]:
        return [decode(entry.row) for entry in self.store.journal(self.record().id)]

    def told(self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for event in self.events() if isinstance(event, kind)]

    def states(self) -> Mapping[str, str]:
        shown = Schedule.from_journal(self.plan, self.events()).states_shown()
        return dict(zip(self.plan.names, map(str, shown), strict=True))

    def ask(self, verb: str, **args: Any) -> int:
        """Leave a request, as somebody else's process does."""
        return self.store.ask(self.record().id, verb, args, "somebody", 0)

    def settle(self, job: str, how: str) -> int:
        return self.ask("settle", key=self.plan.key_of(job), how=how)

    def answer(self, request: int) -> str | None:
        found = self.store.request(request)
        assert found is not None
        return found.answer

    def _live(self, make: Callable[[], Runner]) -> RunState | None:
        try:
            self.runner = make()
            return self.runner.run()
        except (Death, KeyboardInterrupt) as death:
            if death is not self.death:
                raise
            return None
