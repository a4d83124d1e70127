"""SQLite as the store's database: one file, nothing to install.

WAL with synchronous NORMAL: a commit survives the death of the process (about 20 us); with
``durable="power"`` (synchronous FULL) it also survives the loss of power.
"""

import os
import random
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headway.adapters.database import OLDEST_READER, migrations
from headway.errors import Conflict, HeadwayError, Unavailable

BUSY_S = 10.0  # how long to wait for another writer
_NOW = "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"


class SqliteDatabase:
    """A database file."""

    dialect = "sqlite"

    def __init__(self, path: Path, *, durable: str = "process") -> None:
        """``durable``: "process" or "power", what a commit survives."""
        self.place = str(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(
                path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            level = "FULL" if durable == "power" else "NORMAL"
            self._connection.execute(f"PRAGMA synchronous = {level}")
            self._connection.execute("PRAGMA foreign_keys = ON")
        except (OSError, sqlite3.Error) as error:
            raise self._failure(error) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._begin()
        try:
            yield
            self._execute("COMMIT", ())
        except BaseException:
            # A full disk has already rolled it back.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def query(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return self._execute(sql.replace("{now}", _NOW), parameters).fetchall()

    def change(self, sql: str, **parameters: Any) -> int:
        return self._execute(sql.replace("{now}", _NOW), parameters).rowcount

    def insert(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def version(self) -> tuple[int, int]:
        if not self.query("SELECT 1 FROM sqlite_master WHERE name = 'meta'"):
            return 0, 0
        ((version, oldest),) = self.query("SELECT version, oldest_reader FROM meta")
        return version, oldest

    def migrate(self) -> int:
        with self.transaction():
            had, _ = self.version()
            if not had:
                self.change("CREATE TABLE meta (version INTEGER, oldest_reader INTEGER) STRICT")
                self.change("INSERT INTO meta VALUES (0, 0)")
            for migration in migrations(self.dialect):
                if migration.version > had:
                    for statement in _statements(migration.sql):
                        self.change(statement)
                    self.change(
                        "UPDATE meta SET version = :version, oldest_reader = :oldest",
                        version=migration.version,
                        oldest=OLDEST_READER,
                    )
        return had

    def close(self) -> None:
        self._connection.close()

    def _begin(self) -> None:
        """Wait for the right to write. SQLite's own waiting is not fair, so the waits vary."""
        give_up_at = time.monotonic() + BUSY_S
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > give_up_at:
                    raise self._failure(error) from error
                time.sleep(random.uniform(0.005, 0.05))

    def _execute(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        try:
            return self._connection.execute(sql, parameters)
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> HeadwayError:
        if isinstance(error, sqlite3.IntegrityError):
            return Conflict(f"{self.place} refused a second record of one thing: {error}")
        text = str(error)
        if "locked" in text:
            return Unavailable(
                f"{self.place} has been held by another writer for {BUSY_S:g} s:"
                f" {self._holders()}. Wait for it, or end it."
            )
        if "disk is full" in text or getattr(error, "errno", None) == 28:
            return Unavailable(f"{self.place} cannot be written: the disk is full. Make room.")
        return Unavailable(
            f"{self.place} cannot be used as a store: {text}."
            " Check the path and its permissions, or name another with --db."
        )

    def _holders(self) -> str:
        try:
            rows = self._connection.execute(
                "SELECT DISTINCT pid, host FROM runs WHERE host IS NOT NULL"
            ).fetchall()
        except sqlite3.Error:
            rows = []
        known = ", ".join(f"process {pid} on {host}" for pid, host in rows)
        return f"runs are owned by {known}" if known else "headway runs knows of no owner"


def _statements(sql: str) -> Iterator[str]:
    """The statements of a script; sqlite3 itself tells where one is complete."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
