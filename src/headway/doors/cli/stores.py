"""The store a command works with: opened in one place, made only when a run begins."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.doors.cli.exits import Mistyped
from headway.doors.cli.settings import Settings, masked, settled
from headway.errors import Rejected

if TYPE_CHECKING:
    from headway.adapters.sql_store import SqlStore
    from headway.ports.store import RunRecord, Store


RUN = ("run", "headway run TARGET")  # what a store holds, and what makes the first one
PLAYBOOK = ("playbook", "headway playbook add FILE")


@contextmanager
def opened(
    arguments: Mapping[str, Any], *, make: bool = False, holds: tuple[str, str] = RUN
) -> "Iterator[SqlStore]":
    """The store that the arguments, the environment and headway.toml choose.

    ``make``: make it if it is not there yet. ``holds``: what is looked for in it.
    Raises: Unavailable; Rejected when there is none yet; Mistyped for another kind of URL.
    """
    if make:
        settings = made(arguments)
    else:
        settings = settled(arguments, os.environ, Path.cwd())
        require_there(settings, holds)
    store = open_store(settings)
    try:
        yield store
    finally:
        store.close()


def made(arguments: Mapping[str, Any]) -> Settings:
    """Which store is chosen; the directory of the default one is there.

    Raises: Mistyped for another kind of URL.
    """
    settings = settled(arguments, os.environ, Path.cwd())
    file_of(settings)
    if not settings.db_from:
        make_home(Path(settings.db).parent)
    return settings


def make_home(directory: Path) -> None:
    """The default store's directory, which keeps itself out of version control."""
    try:
        directory.mkdir(mode=0o700)
        (directory / ".gitignore").write_text("*\n")
    except OSError:
        pass  # it is there already, or else opening the store says what is wrong


def open_store(settings: Settings, *, check_version: bool = True) -> "SqlStore":
    from headway.adapters import opening

    file_of(settings)
    return opening.open_store(settings.db, durable=settings.durable, check_version=check_version)


def file_of(settings: Settings) -> Path | None:
    """The store's file; None for one that is on a server. Raises: Mistyped."""
    from headway.adapters.opening import path_of

    if settings.db.startswith(("postgresql://", "postgres://")):
        return None
    try:
        return path_of(settings.db)
    except Rejected as error:
        raise Mistyped(
            f"{settings.db_from}: {error}".replace(settings.db, masked(settings.db))
        ) from error


def store_is_there(arguments: Mapping[str, Any]) -> bool:
    """Whether what the arguments choose was made; one on a server is taken for that.

    Raises: Mistyped for another kind of URL.
    """
    file = file_of(settled(arguments, os.environ, Path.cwd()))
    return file is None or file.exists()


def require_there(settings: Settings, holds: tuple[str, str] = RUN) -> None:
    """A file that is to be read exists. Raises: Rejected saying how it comes about."""
    file = file_of(settings)
    if file is None or file.exists():
        return
    noun, maker = holds
    if settings.db_from:
        raise Rejected(
            f"there is no store at {settings.db} ({settings.db_from} names it): {maker} makes it"
        )
    raise Rejected(f"there is no {noun} yet in {Path.cwd()} or above it: {maker} makes the first")


def found_run(store: "Store", prefix: str | None) -> "RunRecord":
    """The run that was meant. Raises: Mistyped for none or several, Rejected for an empty store."""
    try:
        return store.find(prefix)
    except Rejected as error:
        if prefix is None:
            raise
        raise Mistyped(str(error)) from error
