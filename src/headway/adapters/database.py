"""What the store needs of a database: transactions, statements, migrations. Two drivers."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from headway.adapters.statements import Batch, Insert
from headway.errors import Rejected

MIGRATIONS = Path(__file__).parent / "migrations"
# The oldest schema version whose Headway may still write what we write: 2 knew nothing of locks.
OLDEST_READER = 3


class Migration(NamedTuple):
    version: int
    sql: str


class Database(Protocol):
    """One connection. Not thread-safe: the store holds a lock.

    Raises, in every method: Unavailable when it does not answer, Conflict when a unique index
    refuses, Refused when the role lacks a right. After an error it can be used again.
    """

    dialect: str
    place: str  # where it is, for a reader; without password

    def transaction(self) -> AbstractContextManager[None]:
        """Several statements, all or none."""

    def query(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """The rows that a statement finds, or returns of what it changed."""

    def change(self, sql: str, **parameters: Any) -> int:
        """How many rows were changed."""

    def add(self, sql: str, **parameters: Any) -> int:
        """Insert one row; its new id."""

    def insert(self, into: Insert, rows: Iterable[Sequence[Any]]) -> None:
        """Insert many rows."""

    def batch(self, batch: Batch, given: Sequence[Sequence[Any]]) -> int:
        """Carry out a statement for many rows of values; how many rows were changed."""

    def alone(self, what: int) -> None:
        """Within a transaction: wait until no other one is under way that said the same."""

    def version(self) -> tuple[int, int]:
        """The schema's version and the oldest reader's; (0, 0) for an empty database.

        Raises: Rejected when it holds something else.
        """

    def migrate(self) -> int:
        """Bring the schema to the newest version, under a lock, all or nothing; what it was."""

    def shrink(self) -> None:
        """Give the room of what was deleted back to the file system, if that is to be asked for."""

    def close(self) -> None: ...


def migrations(dialect: str, after: int) -> list[Migration]:
    """The numbered files of a dialect that follow a version, in order."""
    found = sorted(MIGRATIONS.glob(f"[0-9]*.{dialect}.sql"), key=_number)
    return [Migration(_number(path), path.read_text()) for path in found if _number(path) > after]


def newest_version(dialect: str) -> int:
    return max(map(_number, MIGRATIONS.glob(f"[0-9]*.{dialect}.sql")))


def _number(path: Path) -> int:
    return int(path.name.split(".")[0])


def require_version(database: Database) -> None:
    """The schema is one that this Headway may use; an empty database is given one.

    Raises: Rejected saying what to do.
    """
    version, oldest_reader = database.version()
    require_readable(database, version, oldest_reader)
    if version == 0:
        database.migrate()
    elif version < (newest := newest_version(database.dialect)):
        raise Rejected(
            f"{database.place} has schema {version}, this Headway needs {newest}:"
            " type headway db upgrade (it takes a moment; make a copy first if you want one)"
        )


def require_readable(database: Database, version: int, oldest_reader: int) -> None:
    """No newer Headway has made it its own. Raises: Rejected."""
    newest = newest_version(database.dialect)
    if oldest_reader > newest:
        raise Rejected(
            f"{database.place} was written by a newer Headway (schema {version}, this one knows"
            f" {newest}): upgrade this Headway"
        )
