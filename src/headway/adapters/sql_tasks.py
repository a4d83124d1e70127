"""Celery tasks in a database, and the results that Celery stores in the same one."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headway.adapters import task_statements as statements
from headway.adapters.database import Database
from headway.adapters.exclusive_use import ExclusiveUse
from headway.ports.store import storable
from headway.ports.tracking import EVERYTHING, Forgotten, Sought
from headway.tracking.families import Family
from headway.tracking.heard import DeadLetter
from headway.tracking.results import Result, Seen, read_value
from headway.tracking.task import Task, merged

_FIELDS = len(Task._fields)
_EVER = 2**62
_PAGE = 5_000  # forgotten at once


class SqlTasks:
    """Keeps what the monitor hears. Thread-safe: one connection, one lock."""

    def __init__(self, database: Database, use: ExclusiveUse) -> None:
        self._database = database
        self._use = use
        self._has_results = False  # once they are there, they stay

    @property
    def place(self) -> str:
        return self._database.place

    def record(self, tasks: Sequence[Task], letters: Sequence[DeadLetter] = ()) -> None:
        heard = _by_id(map(_kept, tasks))
        with self._use, self._database.transaction():
            if heard:
                self._add(heard)
            for letter in letters:
                self._database.change(statements.ADD_LETTER, **_kept_letter(letter))

    def task(self, id: str) -> Seen:
        with self._use:
            known = self._known([storable(id)])
            rows = self._results_of(storable(id))
        return Seen(known.get(storable(id), Task(id)), _result(rows[0]) if rows else None)

    def search(self, sought: Sought = EVERYTHING, limit: int = 20) -> Sequence[Seen]:
        with self._use:
            joined = self._results_are_there()
            state = statements.state(self._database.dialect, with_results=joined)
            conditions, values = _conditions(sought, state)
            return self._select(
                conditions, "tasks.at_us DESC, tasks.id DESC", joined, limit=limit, **values
            )

    def family(self, id: str, limit: int = 1000) -> Family:
        with self._use:
            known = self._known([storable(id)]).get(storable(id))
            root = (known.root if known else None) or storable(id)
            found = self._select(
                ["(tasks.root = :root OR tasks.id = :root)"],
                "tasks.at_us, tasks.id",
                self._results_are_there(),
                root=root,
                limit=limit + 1,
            )
        return Family(root, found[:limit], len(found) <= limit)

    def dead_letters(self, limit: int = 20, before: int | None = None) -> Sequence[DeadLetter]:
        until = _EVER if before is None else before
        with self._use:
            rows = self._database.query(statements.LETTERS, before=until, limit=limit)
        return [DeadLetter(*row) for row in rows]

    def forget(self, ended_before_us: int, silent_before_us: int, keep: int = 0) -> Forgotten:
        return Forgotten(
            self._forget_tasks(ended_before_us, silent_before_us, keep),
            self._forget_letters(ended_before_us, keep),
        )

    def _forget_tasks(self, ended_before_us: int, silent_before_us: int, keep: int) -> int:
        """In steps, so that the monitor never waits for long."""
        kept_us, kept_id = self._newest(statements.NEWEST_TASKS, keep, (_EVER, ""))
        place, gone = (-1, ""), 0
        while True:
            with self._use, self._database.transaction():
                self._database.alone(statements.RECORDING)
                sql = statements.forgetting(
                    self._database.dialect, with_results=self._results_are_there()
                )
                rows = self._database.query(
                    sql,
                    before=max(ended_before_us, silent_before_us),
                    ended_before=ended_before_us,
                    silent_before=silent_before_us,
                    after_us=place[0],
                    after_id=place[1],
                    kept_us=kept_us,
                    kept_id=kept_id,
                    limit=_PAGE,
                )
            gone += len(rows)
            if len(rows) < _PAGE:
                return gone
            at_us, id = max(rows)
            place = (at_us, id)

    def _forget_letters(self, before_us: int, keep: int) -> int:
        (kept,) = self._newest(statements.NEWEST_LETTERS, keep, (_EVER,))
        gone = 0
        while True:
            with self._use, self._database.transaction():
                some = self._database.change(
                    statements.FORGET_LETTERS, before=before_us, kept=kept, limit=_PAGE
                )
            gone += some
            if some < _PAGE:
                return gone

    def _newest(self, sql: str, keep: int, all_: tuple[Any, ...]) -> tuple[Any, ...]:
        """The oldest of the newest ``keep``, before which rows may be forgotten."""
        if not keep:
            return all_
        with self._use:
            rows = self._database.query(sql, skip=keep - 1)
        nothing = tuple(type(part)() for part in all_)
        return rows[0] if rows else nothing

    def close(self) -> None:
        if not self._use.was_forked:
            with self._use:
                self._database.close()

    def _add(self, heard: dict[str, Task]) -> None:
        self._database.alone(statements.RECORDING)
        known = self._known(list(heard))
        changed = []
        for id, task in known.items():
            now = merged(task, heard.pop(id))
            if now != task:
                changed.append(_row(now))
        if heard:
            self._database.insert(statements.TASKS, map(_row, heard.values()))
        if changed:
            self._database.batch(statements.CHANGE_TASKS, changed)

    def _known(self, ids: Sequence[str]) -> dict[str, Task]:
        sql = statements.KNOWN[self._database.dialect]
        rows = self._database.query(sql, ids=json.dumps(ids))
        return {row[0]: Task._make(row) for row in rows}

    def _results_are_there(self) -> bool:
        if not self._has_results:
            ((count,),) = self._database.query(statements.HAS_RESULTS[self._database.dialect])
            self._has_results = bool(count)
        return self._has_results

    def _results_of(self, id: str) -> list[tuple[Any, ...]]:
        if not self._results_are_there():
            return []
        return self._database.query(statements.result_of(self._database.dialect), id=id)

    def _select(
        self, conditions: list[str], order: str, with_results: bool, **values: Any
    ) -> list[Seen]:
        dialect = self._database.dialect
        sql = statements.selection(dialect, conditions, order, with_results=with_results)
        rows = self._database.query(sql, **values)
        return [Seen(Task._make(row[:_FIELDS]), _result(row[_FIELDS:])) for row in rows]


def _by_id(tasks: Iterable[Task]) -> dict[str, Task]:
    found: dict[str, Task] = {}
    for task in tasks:
        other = found.get(task.id)
        found[task.id] = task if other is None else merged(other, task)
    return found


def _kept(task: Task) -> Task:
    values: tuple[Any, ...] = task
    text = "".join([value for value in values if type(value) is str])
    if text.isascii() and "\0" not in text:
        return task
    return Task._make(storable(v) if type(v) is str else v for v in values)


def _kept_letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        name: storable(value) if isinstance(value, str) else value
        for name, value in letter._asdict().items()
    }


def _row(task: Task) -> tuple[Any, ...]:
    progress_us, progress = task.progress
    state = task.state if task.finality else progress
    return (*task, str(state), progress_us, task.at_us)


def _conditions(sought: Sought, state: str) -> tuple[list[str], Mapping[str, Any]]:
    conditions, values = [], dict[str, Any]()
    if sought.name is not None and sought.name.endswith("*"):
        conditions.append("tasks.name >= :name AND tasks.name < :beyond")
        values["name"] = storable(sought.name[:-1])
        values["beyond"] = values["name"] + "\U0010ffff"
    elif sought.name is not None:
        conditions.append("tasks.name = :name")
        values["name"] = storable(sought.name)
    if sought.queue is not None:
        conditions.append("tasks.queue = :queue")
        values["queue"] = storable(sought.queue)
    if sought.since_us is not None:
        conditions.append("tasks.at_us >= :since")
        values["since"] = sought.since_us
    if sought.before is not None:
        conditions.append("(tasks.at_us, tasks.id) < (:before, :before_id)")
        values.update(before=sought.before[0], before_id=storable(sought.before[1]))
    if sought.state is not None:
        conditions.append(f"{state} = :state")
        values["state"] = str(sought.state)
    return conditions, values


def _result(row: Sequence[Any]) -> Result | None:
    status, done_us, stored, trace, size = row
    if status is None:
        return None
    value, form = read_value(stored, size or 0)
    return Result(status, done_us, value, form, trace)
