"""The list, in SQLite: its schema as numbered migrations, and what is done with it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MIGRATIONS = sorted((Path(__file__).parent / "migrations").glob("[0-9]*.sql"))
BUSY_S = 5.0  # how long one who writes waits for another


def schema_of(migration: Path) -> int:
    """The number of the schema that a migration leads to: 0002_finished.sql leads to 2."""
    return int(migration.name.partition("_")[0])


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(file, timeout=BUSY_S)
    connection.row_factory = sqlite3.Row
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def schema(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(file: Path) -> list[str]:
    """Apply what is missing, all of it or, should one fail, nothing; the names applied."""
    with opened(file) as connection:
        pending = [one for one in MIGRATIONS if schema_of(one) > schema(connection)]
        steps = [f"{one.read_text()};PRAGMA user_version = {schema_of(one)};" for one in pending]
        if steps:
            connection.executescript("BEGIN IMMEDIATE;\n" + "\n".join(steps) + "\nCOMMIT;")
    return [one.name for one in pending]


def books(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = connection.execute("SELECT * FROM books ORDER BY finished_at IS NOT NULL, id")
    return [dict(row) for row in rows]


def add(connection: sqlite3.Connection, title: str, author: str) -> int:
    place = connection.execute("INSERT INTO books (title, author) VALUES (?, ?)", (title, author))
    return int(place.lastrowid or 0)


def finish(connection: sqlite3.Connection, book: int) -> bool:
    """Note that a book has been read. False: there is none of that number."""
    changed = connection.execute(
        "UPDATE books SET finished_at = coalesce(finished_at, datetime('now')) WHERE id = ?",
        (book,),
    )
    return changed.rowcount == 1
