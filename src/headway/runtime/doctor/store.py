"""Looks at the store: whether it can be used, how safe it is, who is at work in it."""

import os
from contextlib import closing
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from headway.adapters.database import Database, newest_version, require_readable
from headway.adapters.opening import path_of
from headway.adapters.sql_store import SqlStore
from headway.errors import HeadwayError, Unavailable
from headway.jobs.states import RunState
from headway.ports.leases import CORE
from headway.ports.store import RunRecord, short_id
from headway.runtime import ownership
from headway.runtime.doctor.finding import Area

if TYPE_CHECKING:
    from headway.adapters.postgres_examination import Server

LITTLE_BYTES = 1 << 30  # free on the disk: say so
TOO_LITTLE_BYTES = 100 << 20
RUNS = 1_000  # the newest, that are looked through
OLDEST_POSTGRES = 120_000
_UNDECIDED = (RunState.QUEUED, RunState.RUNNING, RunState.IN_DOUBT)


class Seen(NamedTuple):
    """What other subjects need to know of the store."""

    server: "Server | None" = None
    newest_us: int = 0  # when the last run began


def examine(area: Area, db: str, durable: str, *, was_named: bool) -> Seen:
    """``db``: a path or URL. ``was_named``: somebody said so; it is not the default."""
    try:
        if db.startswith(("postgresql://", "postgres://")):
            return _on_server(area, db)
        return _in_file(area, path_of(db), durable, was_named)
    except HeadwayError as error:
        away = isinstance(error, Unavailable)
        area.problem(str(error), "see that it runs and may be used" if away else "", is_away=away)
        return Seen()


def _in_file(area: Area, path: Path, durable: str, was_named: bool) -> Seen:
    from headway.adapters.sqlite import SqliteDatabase
    from headway.adapters.sqlite_examination import free_bytes, look_at

    if not path.exists():
        _not_there(area, path, was_named)
        _room(area, free_bytes(path.parent))
        return Seen()
    found = look_at(path)
    area.ok(f"{path}, {_size(found.bytes)}")
    if found.damage:
        area.problem(
            f"it is damaged: {found.damage}",
            "move it away with its -wal and -shm files, and put a copy in its place",
        )
        return Seen()
    if found.checked:
        area.ok("SQLite's quick check finds nothing wrong")
    else:
        area.unknown(
            "SQLite's quick check was given up: the file is too large for the time it has",
            "without a limit of time",
            f"sqlite3 {quote(str(path))} 'PRAGMA quick_check'",
        )
    if found.others_may_write:
        area.problem(
            "other users may write to it or its directory, and so decide what resume executes",
            "type",
            f"chmod go-w {quote(str(path))} {quote(str(path.parent))}",
        )
    _journal(area, found.journal, found.is_remote)
    _durability(area, durable)
    _room(area, free_bytes(path.parent))
    return Seen(None, _runs(area, SqliteDatabase(path, read_only=True)))


def _not_there(area: Area, path: Path, was_named: bool) -> None:
    above = path.parent
    while not above.exists():
        above = above.parent
    if not os.access(above, os.W_OK):
        area.problem(
            f"there is no {path} yet, and {above} may not be written",
            "name another place with --db, or change the directory's permissions",
        )
    elif was_named:
        area.warn(f"there is no {path} yet", "headway run makes it; or check the name")
    else:
        area.ok(f"there is none yet: the first run makes {path}")


def _journal(area: Area, journal: str, is_remote: bool) -> None:
    if is_remote:
        area.warn(
            "it is on a file system of a network: no write-ahead log, and only as safe as the"
            " locks there",
            "keep it on a disk of this machine, or use PostgreSQL for several machines",
        )
    elif journal != "wal":
        area.warn(
            f"its journal mode is {journal}: readers and writers wait for each other",
            "nothing if that is wanted; the next run turns the write-ahead log on",
        )
    else:
        area.ok("journal mode WAL: readers and writers do not wait for each other")


def _durability(area: Area, durable: str) -> None:
    if durable == "power":
        area.ok("commits survive the process and a loss of power (durable = power)")
    else:
        area.ok("commits survive the process; a loss of power only with --durable power")


def _room(area: Area, free: int) -> None:
    if free < TOO_LITTLE_BYTES:
        area.problem(f"{_size(free)} of the disk are free", "make room: a full disk stops runs")
    elif free < LITTLE_BYTES:
        area.warn(f"{_size(free)} of the disk are free", "make room; headway prune forgets runs")
    else:
        area.ok(f"{_size(free)} of the disk are free")


def _on_server(area: Area, url: str) -> Seen:
    from headway.adapters.postgres_examination import look_at

    try:
        from headway.adapters.postgres import PostgresDatabase
    except Unavailable:
        area.problem(
            "PostgreSQL's client is not installed", "type", "pip install 'headway[postgres]'"
        )
        return Seen()
    database = PostgresDatabase(url)
    server = look_at(database)
    area.ok(f"{database.place}, {_size(server.bytes)}")
    if server.number < OLDEST_POSTGRES:
        area.problem(f"PostgreSQL {server.version} is too old", "use PostgreSQL 12 or later")
    _server_safety(area, server)
    if server.is_replica:
        area.problem("it is a replica, and takes no writes", "name the primary with --db")
    elif not server.may_write:
        area.warn(
            "this role may read it only: no run can begin here",
            "nothing if that is wanted; docs/how-to/postgresql.md has the grants",
        )
    return Seen(server, _runs(area, database))


def _server_safety(area: Area, server: "Server") -> None:
    if not server.fsync:
        area.problem(
            "fsync is off: a crash of its machine can destroy the database",
            "postgresql.conf: fsync = on",
        )
    elif not server.synchronous_commit:
        area.warn(
            "synchronous_commit is off: a crash of the server loses the last commits",
            "ALTER ROLE … SET synchronous_commit = on",
        )
    else:
        area.ok("commits survive the process and a loss of power")
    if server.checksums:
        area.ok("its pages have checksums, by which damage is noticed")
    else:
        area.unknown("its pages have no checksums: nobody notices damage to them")
    if server.protocol:
        area.ok(f"encrypted by {server.protocol}")
    elif server.is_local:
        area.ok("not encrypted, and within this machine it need not be")
    else:
        area.warn(
            "not encrypted: what is stored can be read on the way",
            "add ?sslmode=verify-full&sslrootcert=FILE to the URL",
        )


def _runs(area: Area, database: Database) -> int:
    """When the newest run began; 0 where that cannot be told. Closes the database."""
    with closing(SqlStore(database, check_version=False)) as store:
        newest = newest_version(database.dialect)
        version, oldest_reader = database.version()
        if version == 0:
            area.ok("it holds nothing yet: the first run makes the tables")
            return 0
        require_readable(database, version, oldest_reader)
        if version < newest:
            area.problem(
                f"it has schema {version}, this Headway needs {newest}",
                "type",
                "headway db upgrade",
            )
            return 0
        area.ok(f"schema {version}, this Headway knows up to {newest}")
        records = store.runs(RUNS)
        unfinished = [record for record in records if record.state in _UNDECIDED]
        lease = store.lease_of(CORE)
        core = lease is not None and lease.seen_s < ownership.LEASE_S
        if lease is not None and core:
            area.ok(f"a core is there: {lease.owner}, heard of {lease.seen_s:.0f} s ago")
        for record in unfinished:
            _unfinished(area, record, core=core)
        if not unfinished:
            area.ok("no run is under way" if records else "no run yet")
        return records[0].began_us if records else 0


def _unfinished(area: Area, record: RunRecord, *, core: bool) -> None:
    """``core``: whether one is there."""
    named = f"run {short_id(record.id)} ({record.launch.target})"
    match ownership.state_now(record):
        case RunState.QUEUED if core:
            area.ok(f"{named} is queued")
        case RunState.QUEUED:
            area.warn(f"{named} is queued, and no core is there", "start one", "headway core")
        case RunState.RUNNING:
            area.ok(f"{named} is under way: {record.owner}, heard of {record.seen_s:.0f} s ago")
        case RunState.INTERRUPTED if record.core and not core:
            area.warn(
                f"{named} was cut off, and no core is there to go on with it",
                "start one",
                "headway core",
            )
        case RunState.INTERRUPTED:
            area.warn(
                f"{named} was cut off: {record.owner or 'its owner'} lives no more",
                "go on with it",
                f"headway resume {short_id(record.id)}",
            )
        case RunState.IN_DOUBT:
            area.warn(
                f"{named} waits for somebody to decide about a job",
                "see what about",
                f"headway why {short_id(record.id)}",
            )
        case state:
            area.ok(f"{named} is {state}")


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "bytes" else f"{count} bytes"
        size /= 1000
    return f"{size:.3g} TB"
