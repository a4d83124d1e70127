"""From what a user names to a store."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from headway.adapters.database import Database, require_version
from headway.adapters.exclusive_use import ExclusiveUse
from headway.adapters.sql_store import SqlStore
from headway.errors import Rejected

if TYPE_CHECKING:
    from headway.adapters.sql_tasks import SqlTasks

_FORMS = "a path, sqlite:///path or postgresql://user@host/database"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def open_store(
    url_or_path: str | Path, *, durable: str = "process", check_version: bool = True
) -> SqlStore:
    """The store at a path, ``sqlite:///path`` (``sqlite:////path`` from the root) or
    ``postgresql://…``.

    ``durable``: "process" or "power", what a commit survives; PostgreSQL's always survive both.
    ``check_version``: False only to upgrade it.

    Raises: Rejected for a name that is none and for another schema; Unavailable.
    """
    database = _open_database(url_or_path, durable)
    try:
        return SqlStore(database, check_version=check_version)
    except BaseException:
        database.close()
        raise


def open_tasks(url_or_path: str | Path, *, durable: str = "process") -> "SqlTasks":
    """What is kept of Celery tasks in the store of that name.

    Raises: as ``open_store``.
    """
    from headway.adapters.sql_tasks import SqlTasks

    database = _open_database(url_or_path, durable)
    try:
        require_version(database)
        return SqlTasks(database, ExclusiveUse())
    except BaseException:
        database.close()
        raise


def _open_database(url_or_path: str | Path, durable: str) -> Database:
    return database_opener(url_or_path, durable)()


def database_opener(url_or_path: str | Path, durable: str = "process") -> Callable[[], Database]:
    """What opens the database of that name, each time anew.

    Raises, before anything is opened: Rejected for a path that is none, Unavailable without the
    driver.
    """
    url = str(url_or_path) if isinstance(url_or_path, str) else ""
    if url.startswith(("postgresql://", "postgres://")):
        from headway.adapters.postgres import PostgresDatabase

        return partial(PostgresDatabase, url)
    from headway.adapters.sqlite import SqliteDatabase

    path = path_of(url) if isinstance(url_or_path, str) else url_or_path
    return partial(SqliteDatabase, path, durable=durable)


def path_of(url: str) -> Path:
    """The file that a path or ``sqlite:///path`` names. Raises: Rejected for anything else."""
    scheme = _SCHEME.match(url)
    if scheme is not None:
        if scheme[1].lower() != "sqlite":
            raise Rejected(f"a store is {_FORMS}; there is none by {scheme[1]}://")
        path = url[scheme.end() :]
        if not path.startswith("/") or path == "/" or "?" in path:
            raise Rejected(f"a store is {_FORMS}; this is none: {url}")
        url = unquote(path[1:])
    if not url.strip() or url == ":memory:" or "\0" in url:
        raise Rejected(f"a store is {_FORMS}; this is none: {url!r}")
    return Path(url).expanduser()
