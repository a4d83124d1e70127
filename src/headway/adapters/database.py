"""What the store needs of a database: transactions, statements, migrations. Two drivers."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from headway.errors import Rejected

MIGRATIONS = Path(__file__).parent / "migrations"
OLDEST_READER = 1  # the oldest schema version whose Headway may still write what we write


class Migration(NamedTuple):
    version: int
    sql: str


class Database(Protocol):
    """One connection. Not thread-safe: the store holds a lock.

    Raises, in every method: Unavailable when it does not answer, Conflict when a unique index
    refuses.
    """

    place: str

    def transaction(self) -> AbstractContextManager[None]:
        """Several statements, all or none; one writer at a time."""

    def query(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]: ...

    def change(self, sql: str, **parameters: Any) -> int:
        """How many rows were changed."""

    def insert(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Many rows; parameters are marked by ``?``."""

    def version(self) -> tuple[int, int]:
        """The schema's version and the oldest reader's; (0, 0) for an empty database."""

    def migrate(self) -> int:
        """Bring the schema to the newest version, under a lock; the version it had."""

    def close(self) -> None: ...


def migrations(dialect: str) -> list[Migration]:
    """The numbered files of a dialect, in order."""
    found = sorted(MIGRATIONS.glob(f"[0-9]*.{dialect}.sql"))
    return [Migration(int(path.name.split(".")[0]), path.read_text()) for path in found]


def newest_version(dialect: str) -> int:
    return max(int(path.name.split(".")[0]) for path in MIGRATIONS.glob(f"[0-9]*.{dialect}.sql"))


def require_version(database: Database, dialect: str) -> None:
    """The schema is one that this Headway may use; an empty database is given one.

    Raises: Rejected saying what to do.
    """
    version, oldest_reader = database.version()
    newest = newest_version(dialect)
    if version == 0:
        database.migrate()
    elif oldest_reader > newest:
        raise Rejected(
            f"{database.place} was written by a newer Headway (schema {version}, this one knows"
            f" {newest}): upgrade this Headway"
        )
    elif version < newest:
        raise Rejected(
            f"{database.place} has schema {version}, this Headway needs {newest}:"
            " type headway db upgrade (it takes a moment; make a copy first if you want one)"
        )
