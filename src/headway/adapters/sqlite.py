"""SQLite as the store's database: one file, nothing to install.

WAL with synchronous NORMAL: a commit survives the death of the process (about 20 us); with
``durable="power"`` (synchronous FULL) it also survives the loss of power. WAL needs memory that
all who have the file open share, so on a network's file system the older rollback journal is
used: slower, readers and writers wait for each other, and as right as that system's locks.
"""

import errno
import os
import random
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from headway.adapters.database import OLDEST_READER, migrations, require_readable
from headway.adapters.filesystems import is_remote
from headway.adapters.statements import Batch, Insert
from headway.errors import Conflict, HeadwayError, Rejected, Unavailable

BUSY_S = 10.0  # how long to wait for another writer
# SQLite's own way to wait favours who came last. Short waits of chance are fair enough: of eight
# processes that do nothing but write, none waits for as much as a second.
_WAITS_S = (0.001, 0.010)
WAL_BYTES = 16 * 2**20  # what the WAL file is cut back to once all of it is in the database
_PAGES = 2_000  # given back to the file system at once
_NOW = "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"
_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class SqliteDatabase:
    """A database file. Several processes may have it open, each with a connection of its own."""

    dialect = "sqlite"

    def __init__(self, path: Path, *, durable: str = "process", read_only: bool = False) -> None:
        """``durable``: "process" or "power", what a commit survives. ``read_only``: it is there,
        and not a byte of it is to change."""
        self.place = str(path)
        try:
            if not read_only:
                _make(path)
            # The statements of a transaction are our own, and so is the waiting.
            self._connection = sqlite3.connect(
                f"file:{quote(str(path.absolute()))}?mode=ro" if read_only else path,
                timeout=0,
                isolation_level=None,
                check_same_thread=False,
                uri=read_only,
            )
        except (OSError, sqlite3.Error) as error:
            raise self._failure(error) from error
        if read_only:
            return
        try:
            self._configure("DELETE" if is_remote(path.parent) else "WAL", durable)
        except BaseException:
            self._connection.close()
            raise

    def _configure(self, journal: str, durable: str) -> None:
        self._execute("PRAGMA auto_vacuum = INCREMENTAL")  # works on an empty file only
        self._execute(f"PRAGMA journal_mode = {journal}")
        self._execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        self._execute(f"PRAGMA synchronous = {'FULL' if durable == 'power' else 'NORMAL'}")
        self._execute(f"PRAGMA fullfsync = {int(durable == 'power')}")  # only macOS needs it
        self._execute("PRAGMA foreign_keys = ON")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            self._execute("BEGIN IMMEDIATE")
            yield
            self._execute("COMMIT")
        except BaseException:
            # A full disk may have rolled it back already.
            if self._connection.in_transaction:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            raise

    def query(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        try:
            return self._execute(sql.replace("{now}", _NOW), parameters).fetchall()
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def change(self, sql: str, **parameters: Any) -> int:
        return self._execute(sql.replace("{now}", _NOW), parameters).rowcount

    def add(self, sql: str, **parameters: Any) -> int:
        return self._execute(sql.replace("{now}", _NOW), parameters).lastrowid or 0

    def insert(self, into: Insert, rows: Iterable[Sequence[Any]]) -> None:
        try:
            self._connection.executemany(_insertion(into), rows)
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def batch(self, batch: Batch, given: Sequence[Sequence[Any]]) -> int:
        names = [name for name, _ in batch.columns]
        values = [dict(zip(names, row, strict=True)) for row in given]
        try:
            return self._connection.executemany(_of_one(batch), values).rowcount
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def alone(self, what: int) -> None:
        """Every transaction is: it begins with the only lock there is."""

    def version(self) -> tuple[int, int]:
        tables = {
            name for (name, of) in self._tables() if not of.startswith(("celery_", "sqlite_"))
        }
        if not tables:
            return 0, 0
        if not tables >= {"meta", "runs"}:
            raise self._foreign()
        ((version, oldest),) = self.query("SELECT version, oldest_reader FROM meta")
        return version, oldest

    def migrate(self) -> int:
        with self.transaction():
            had, oldest_reader = self.version()
            require_readable(self, had, oldest_reader)
            if not had:
                self.change("CREATE TABLE meta (version INTEGER, oldest_reader INTEGER)")
                self.change("INSERT INTO meta VALUES (0, 0)")
            for migration in migrations(self.dialect, had):
                for statement in _statements(migration.sql):
                    self._execute(statement)
                self.change(
                    "UPDATE meta SET version = :version, oldest_reader = :oldest",
                    version=migration.version,
                    oldest=OLDEST_READER,
                )
        return had

    def shrink(self) -> None:
        free = self._free_pages()
        while free:  # in steps, as others want to write too
            self.query(f"PRAGMA incremental_vacuum({_PAGES})")
            left = self._free_pages()
            if left >= free:
                return  # a file made without auto_vacuum, or others were quicker
            free = left

    def close(self) -> None:
        self._connection.close()

    def _tables(self) -> list[tuple[Any, ...]]:
        """Tables, and what belongs to them; a Celery worker may have been here first."""
        return self.query("SELECT name, tbl_name FROM sqlite_master")

    def _free_pages(self) -> int:
        ((pages,),) = self.query("PRAGMA freelist_count")
        return int(pages)

    def _execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Wait, within bounds, while another one holds the file."""
        give_up_at = 0.0
        while True:
            try:
                return self._connection.execute(sql, parameters)
            except sqlite3.Error as error:
                now = time.monotonic()
                give_up_at = give_up_at or now + BUSY_S
                if _code(error) not in _HELD or now > give_up_at:
                    raise self._failure(error) from error
            time.sleep(random.uniform(*_WAITS_S))

    def _failure(self, error: Exception) -> HeadwayError:
        code = _code(error)
        if isinstance(error, sqlite3.IntegrityError):
            return Conflict(f"{self.place} refused a second record of one thing: {error}")
        if code in _HELD:
            return Unavailable(
                f"{self.place} has been held by another writer for {BUSY_S:g} s:"
                f" {self._holders()}. Wait for it, or end it."
            )
        if code == sqlite3.SQLITE_NOTADB:
            return self._foreign()
        why = _REASONS.get(code) if code is not None else None
        if isinstance(error, OSError):
            why = _REFUSALS.get(error.errno or 0)
        elif code == sqlite3.SQLITE_CANTOPEN and not self._may_be_written():
            why = _READ_ONLY
        if why is None:
            why = f"{error}. Check the path and its permissions, or name another with --db."
        return Unavailable(f"{self.place} cannot be used as a store: {why}")

    def _may_be_written(self) -> bool:
        path = Path(self.place)
        ours = os.access in os.supports_effective_ids
        return all(os.access(each, os.W_OK, effective_ids=ours) for each in (path, path.parent))

    def _foreign(self) -> Rejected:
        return Rejected(
            f"{self.place} is no store of Headway's, but something else: name another with --db"
        )

    def _holders(self) -> str:
        try:
            rows = self._connection.execute(
                "SELECT DISTINCT pid, host FROM runs WHERE host IS NOT NULL LIMIT 5"
            ).fetchall()
        except sqlite3.Error:
            rows = []
        known = ", ".join(f"process {pid} on {host}" for pid, host in rows)
        return f"runs are owned by {known}" if known else "headway runs knows of no owner"


_READ_ONLY = "it may not be written. Check the permissions of the file and its directory."
_FULL = "the disk is full. Make room."
_REASONS = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_IOERR: (
        "the system refused to read or write it (disk I/O error). Look at the disk, at its free"
        " space, and at the limit on the size of files (ulimit -f)."
    ),
    sqlite3.SQLITE_CORRUPT: (
        "it is damaged. Move it away with its -wal and -shm files, and put a copy in its place."
    ),
}
_REFUSALS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
    errno.EROFS: _READ_ONLY,
}


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Only a new file: to close a handle on one that this process has open already would give up
    # the locks it has there.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))


def _code(error: BaseException) -> int | None:
    """SQLite's primary result code."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


@cache
def _insertion(into: Insert) -> str:
    marks = ", ".join("?" * len(into.columns))
    return f"INSERT INTO {into.table} ({', '.join(into.columns)}) VALUES ({marks})"


@cache
def _of_one(batch: Batch) -> str:
    """There is nobody to go to: many rows are done one by one."""
    sql = batch.sql.replace("{now}", _NOW).replace("{from}", "")
    for name, _ in batch.columns:
        sql = sql.replace(f"{{{name}}}", f":{name}")
    return sql


def _statements(sql: str) -> Iterator[str]:
    """The statements of a script; sqlite3 itself tells where one is complete."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
