"""The rows of results, over connections that are kept and used again."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from weakref import finalize

from headway.adapters.celery_results import statements
from headway.adapters.database import Database
from headway.errors import HeadwayError, Refused

Found = TypeVar("Found")

TRIES = 20  # of a change while the database is away: with Celery's waits about a minute
KEPT = 10  # connections that nobody uses just now, in each process
_SCRIPT = (
    "Let its owner run the script that `python -m headway.toolbox.result_tables` names:"
    " it makes the tables and grants what storing a result takes"
)
_REHEARSAL = "headway-rehearsal"
_UNDEFINED = ("42P01", "42703")  # PostgreSQL: a table or sequence; a column
_MISSING = ("no such table", "no such column", "has no column named")  # SQLite


class _Rehearsed(Exception):
    """Ends a transaction, so that nothing of it is kept."""


class Connections:
    """As many as there are threads at work. Thread-safe, and safe to fork.

    A forked process never touches what it has inherited: those stay under the number of the process
    that opened them, neither used nor closed.
    """

    def __init__(self, opener: Callable[[], Database]) -> None:
        self._open = opener
        self._idle: dict[int, deque[Database]] = {}
        finalize(self, _close, self._idle)

    @contextmanager
    def one(self) -> Iterator[Database]:
        """After an error too it can be used again: one that was lost is made anew."""
        idle = self._idle.get(os.getpid())
        if idle is None:
            idle = self._idle.setdefault(os.getpid(), deque())
        try:
            database = idle.pop()
        except IndexError:
            database = self._open()
        try:
            yield database
        finally:
            if len(idle) < KEPT:
                idle.append(database)
            else:
                database.close()


def _close(idle: Mapping[int, deque[Database]]) -> None:
    for database in idle.get(os.getpid(), ()):
        database.close()


class Group(NamedTuple):
    result: bytes
    done: datetime | None


class ResultRows:
    """Moments are UTC, and say nothing of it, as in Celery's own rows.

    Tables that are missing, or lack a column, are made when a statement fails for want of them.

    Raises, in every method: Unavailable when the database does not answer, Refused for want of a
    right, Rejected for what can never be stored.
    """

    def __init__(self, opener: Callable[[], Database], *, extended: bool) -> None:
        self._connections = Connections(opener)
        self.columns = statements.EXTENDED if extended else statements.BRIEF
        self._store = {
            dialect: statements.store(dialect, self.columns) for dialect in ("sqlite", "postgres")
        }
        self._read = statements.read(self.columns)

    def store(self, task_id: str, row: Mapping[str, Any], now: datetime) -> None:
        """``row``: by the names of the columns."""
        self._do(lambda database: self._put(database, task_id, row, now))

    def read(self, task_id: str) -> dict[str, Any] | None:
        """The row by the names of its columns, or None."""
        rows = self._do(lambda database: database.query(self._read, task_id=task_id))
        if not rows:
            return None
        row = dict(zip(self.columns, rows[0], strict=True))
        return {**row, "date_done": _moment(row["date_done"])}

    def forget(self, task_id: str) -> None:
        self._do(lambda database: database.change(statements.FORGET, task_id=task_id))

    def forget_before(self, before: datetime) -> None:
        """Results and groups that were done before then."""

        def forget(database: Database) -> None:
            for statement in statements.FORGET_BEFORE:
                database.change(statement, before=_written(database, before))

        self._do(forget)

    def store_group(self, group_id: str, result: bytes, now: datetime) -> None:
        self._do(
            lambda database: database.change(
                statements.STORE_GROUP[database.dialect],
                group_id=group_id,
                result=result,
                date_done=_written(database, now),
            )
        )

    def read_group(self, group_id: str) -> Group | None:
        rows = self._do(lambda database: database.query(statements.READ_GROUP, group_id=group_id))
        return Group(rows[0][0], _moment(rows[0][1])) if rows else None

    def forget_group(self, group_id: str) -> None:
        self._do(lambda database: database.change(statements.FORGET_GROUP, group_id=group_id))

    def rehearse(self, now: datetime) -> None:
        """Store a result, change it, and take it back."""

        def rehearse(database: Database) -> None:
            row: dict[str, Any] = dict.fromkeys(self.columns)
            with suppress(_Rehearsed), database.transaction():
                for status in ("STARTED", "SUCCESS"):
                    self._put(database, _REHEARSAL, {**row, "status": status}, now)
                raise _Rehearsed

        self._do(rehearse)

    def _put(self, database: Database, task_id: str, row: Mapping[str, Any], now: datetime) -> None:
        done = _written(database, row["date_done"])
        values = {**row, "date_done": done, "task_id": task_id, "now": _written(database, now)}
        database.change(self._store[database.dialect], **values)

    def _do(self, what: Callable[[Database], Found]) -> Found:
        with self._connections.one() as database:
            try:
                return what(database)
            except HeadwayError as error:
                if not _lacks_tables(error):
                    raise _advised(error) from error.__cause__
            try:
                _make_tables(database)
                return what(database)
            except HeadwayError as error:
                raise _advised(error) from error.__cause__


def _make_tables(database: Database) -> None:
    with database.transaction():
        database.alone(statements.MAKING)
        for statement in statements.TABLES[database.dialect]:
            database.change(statement)
        if database.dialect == "sqlite":
            there = {name for (name,) in database.query(statements.COLUMNS_THERE)}
            for name, statement in statements.ADD_COLUMNS.items():
                if name not in there:
                    database.change(statement)


def _lacks_tables(error: HeadwayError) -> bool:
    """Or a column, or a sequence."""
    cause = error.__cause__
    if (state := getattr(cause, "sqlstate", None)) is not None:
        return state in _UNDEFINED
    return any(said in str(cause) for said in _MISSING)


def _advised(error: HeadwayError) -> HeadwayError:
    return Refused(f"{error} {_SCRIPT}.") if isinstance(error, Refused) else error


def _written(database: Database, moment: datetime | None) -> Any:
    """As the dialect keeps it; with microseconds always, so that text sorts by time."""
    if moment is None or database.dialect != "sqlite":
        return moment
    return moment.isoformat(" ", "microseconds")


def _moment(stored: Any) -> datetime | None:
    return datetime.fromisoformat(stored) if isinstance(stored, str) else stored
