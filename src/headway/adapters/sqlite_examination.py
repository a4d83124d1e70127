"""What can be found out about a store's file without changing it."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from headway.adapters.filesystems import is_remote
from headway.errors import Rejected, Unavailable

CHECK_S = 2.0  # for looking at the whole file; a larger one is left unfinished
_STEPS = 10_000  # of SQLite's machine, between two looks at the clock


class StoreFile(NamedTuple):
    """A file, as it stands."""

    bytes: int
    journal: str  # "wal", "delete"
    is_remote: bool  # on a file system of a network
    others_may_write: bool  # to the file or to its directory
    damage: str  # what is wrong inside; "" for nothing
    checked: bool  # whether all of it was looked at


def look_at(path: Path, check_s: float = CHECK_S) -> StoreFile:
    """Raises: Unavailable when it cannot be read, Rejected when it is no database."""
    try:
        mode, size = path.stat().st_mode | path.parent.stat().st_mode & 0o002, path.stat().st_size
        address = f"file:{quote(str(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=check_s)) as connection:
            ((journal,),) = connection.execute("PRAGMA journal_mode").fetchall()
            damage, checked = _checked(connection, time.monotonic() + check_s)
    except (OSError, sqlite3.Error) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_NOTADB:
            raise Rejected(f"{path} is no store of Headway's, but something else") from error
        raise Unavailable(f"{path} cannot be read: {error}") from error
    return StoreFile(size, journal, is_remote(path.parent), bool(mode & 0o022), damage, checked)


def free_bytes(directory: Path) -> int:
    """What is free for us where the directory is, or the nearest one above it that exists."""
    while not directory.exists():
        directory = directory.parent
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def _checked(connection: sqlite3.Connection, until: float) -> tuple[str, bool]:
    """What SQLite's quick check says, and whether it came to its end."""
    connection.set_progress_handler(lambda: int(time.monotonic() > until), _STEPS)
    try:
        rows = connection.execute("PRAGMA quick_check(3)").fetchall()
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode & 0xFF
        if code == sqlite3.SQLITE_INTERRUPT:
            return "", False
        if code == sqlite3.SQLITE_CORRUPT:
            return str(error), True
        raise
    said = [text for (text,) in rows]
    return ("" if said == ["ok"] else "; ".join(said)), True
