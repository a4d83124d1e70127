"""PostgreSQL as the store's database: one server for many machines.

A commit survives the loss of power, as PostgreSQL promises by default. Every wait is bounded: for
a connection, a statement, a lock, and for a network that swallows everything. A connection that
was lost is made anew by the next use; only a transaction under way is lost with it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from headway.adapters.database import OLDEST_READER, migrations, require_readable
from headway.adapters.statements import Insert
from headway.errors import Conflict, HeadwayError, Refused, Rejected, Unavailable

try:
    import psycopg
    from psycopg import errors
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
except ImportError as missing:
    raise Unavailable(
        "a store in PostgreSQL needs psycopg: type pip install 'headway[postgres]'"
    ) from missing

CONNECT_S = 5
STATEMENT_S = 15
LOCK_S = 10
MIGRATION_S = 60  # how long to wait for another one that migrates
NETWORK_S = 15  # how long what was sent may stay unacknowledged, and a silent server unasked
_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_MIGRATING = 0x68656164776179  # the number of the advisory lock: "headway"
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")

# What a user's URL may overrule.
_DEFAULTS = {
    "application_name": "headway",
    "connect_timeout": str(CONNECT_S),
    "tcp_user_timeout": str(NETWORK_S * 1000),
    "keepalives_idle": "5",
    "keepalives_interval": "3",
    "keepalives_count": "3",
}
_SESSION = (
    "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false),"
    " set_config('idle_in_transaction_session_timeout', %s, false),"
    " set_config('default_transaction_isolation', 'read committed', false)"
)


class PostgresDatabase:
    """A database on a server, and one connection to it."""

    dialect = "postgres"

    def __init__(self, url: str) -> None:
        """Raises: Rejected for a URL that is none."""
        try:
            given = conninfo_to_dict(url)
        except psycopg.Error:
            # What libpq says of it may quote the password.
            raise Rejected(
                "the URL of the store is not understood; one looks like"
                " postgresql://user@host:5432/database. Characters such as @ : / % in a user's"
                " name or password are written as %40 %3A %2F %25; a password is better kept in"
                " ~/.pgpass or in PGPASSWORD"
            ) from None
        self.place = _place(given)
        settings: dict[str, Any] = {**_DEFAULTS, **given, "client_encoding": "utf8"}
        self._conninfo = make_conninfo(**settings)
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._within = False  # a transaction
        self._connect()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.place}>"

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._execute(b"BEGIN")
        self._within = True
        try:
            yield
            self._execute(b"COMMIT")
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._within = False

    def query(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return self._execute(_translated(sql), parameters).fetchall()

    def change(self, sql: str, **parameters: Any) -> int:
        return self._execute(_translated(sql), parameters).rowcount

    def add(self, sql: str, **parameters: Any) -> int:
        row = self._execute(_translated(f"{sql} RETURNING id"), parameters).fetchone()
        assert row is not None
        return int(row[0])

    def insert(self, into: Insert, rows: Iterable[Sequence[Any]]) -> None:
        """By COPY: a third of the time of executemany, and no slower for a single row."""
        assert self._connection is not None
        try:
            with self._connection.cursor() as cursor, cursor.copy(_copying(into)) as copy:
                for row in rows:
                    copy.write_row(row)
        except psycopg.Error as error:
            raise self._failure(error) from error

    def version(self) -> tuple[int, int]:
        # Not to_regclass: it may answer from a cache that is older than the lock of a migration.
        if not self.query(
            "SELECT FROM pg_catalog.pg_tables"
            " WHERE tablename = 'meta' AND schemaname = ANY (current_schemas(false))"
        ):
            return 0, 0
        ((version, oldest),) = self.query("SELECT version, oldest_reader FROM meta")
        return version, oldest

    def migrate(self) -> int:
        with self.transaction():
            self.change(f"SET LOCAL lock_timeout = '{MIGRATION_S}s'")
            self.change("SET LOCAL statement_timeout = 0")
            self.query("SELECT pg_advisory_xact_lock(:number)", number=_MIGRATING)
            had, oldest_reader = self.version()
            require_readable(self, had, oldest_reader)
            if not had:
                self.change("CREATE TABLE meta (version integer, oldest_reader integer)")
                self.change("INSERT INTO meta VALUES (0, 0)")
            for migration in migrations(self.dialect, had):
                self._execute(migration.sql.encode())
                self.change(
                    "UPDATE meta SET version = :version, oldest_reader = :oldest",
                    version=migration.version,
                    oldest=OLDEST_READER,
                )
        return had

    def shrink(self) -> None:
        """The server does it by itself (autovacuum)."""

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        connection = None
        try:
            connection = psycopg.connect(self._conninfo, autocommit=True)
            seconds = (STATEMENT_S, LOCK_S, 2 * STATEMENT_S)
            connection.execute(_SESSION, [f"{number}s" for number in seconds])
        except psycopg.Error as error:
            if connection is not None:
                connection.close()
            raise self._failure(error, connecting=True) from error
        if (encoding := connection.info.parameter_status("server_encoding")) != "UTF8":
            connection.close()
            raise Rejected(
                f"{self.place} holds text in {encoding}, the store needs UTF8: make a database"
                " with CREATE DATABASE headway ENCODING 'UTF8' TEMPLATE template0"
            )
        self._connection = connection
        return connection

    def _execute(
        self, sql: bytes, parameters: Mapping[str, Any] | None = None
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        """Outside a transaction a connection that turns out to be lost is made anew, once."""
        connection = self._connection
        if connection is not None and not connection.closed:
            try:
                return connection.execute(sql, parameters)
            except psycopg.Error as error:
                if self._within or not connection.closed:
                    raise self._failure(error) from error
        elif self._within:
            raise Unavailable(f"{self.place} was lost in the middle of a transaction")
        try:
            return self._connect().execute(sql, parameters)
        except psycopg.Error as error:
            raise self._failure(error) from error

    def _roll_back(self) -> None:
        if self._connection is not None and not self._connection.closed:
            with suppress(psycopg.Error):
                self._connection.execute(b"ROLLBACK")

    def _failure(self, error: psycopg.Error, *, connecting: bool = False) -> HeadwayError:
        text = str(error).strip().split("\n")[0] or type(error).__name__
        if isinstance(error, errors.IntegrityError):
            return Conflict(f"{self.place} refused a second record of one thing: {text}")
        for cls, kind, advice in _ADVICE:
            if isinstance(error, cls):
                return kind(f"{self.place} cannot be used as a store: {text}. {advice}")
        if isinstance(error, errors.DataError):
            return Rejected(f"{self.place} cannot hold this: {text}")
        if connecting or self._connection is None or self._connection.closed:
            advice = next((said for part, said in _CONNECTING if part in text), _TRY_LATER)
            return Unavailable(f"{self.place} does not answer: {text}. {advice}")
        return Unavailable(f"{self.place} cannot be used as a store: {text}. {_TRY_LATER}")


_TRY_LATER = "See that the server is well, then do this again."
_OWN = "Give Headway a database, or a schema, of its own."
_ADVICE: tuple[tuple[type[psycopg.Error], type[HeadwayError], str], ...] = (
    (errors.DiskFull, Unavailable, "The server's disk is full: make room."),
    (errors.TooManyConnections, Unavailable, "Wait, or raise max_connections."),
    (errors.ReadOnlySqlTransaction, Unavailable, "Name the primary server, not a standby."),
    (errors.LockNotAvailable, Unavailable, f"Another one held it for {LOCK_S} s: wait for it."),
    (errors.QueryCanceled, Unavailable, f"It took over {STATEMENT_S} s: relieve the server."),
    (errors.SerializationFailure, Unavailable, "Another one was first: do this again."),
    (errors.DeadlockDetected, Unavailable, "Another one was first: do this again."),
    (errors.InsufficientPrivilege, Refused, "Grant the role what it needs."),
    (errors.DuplicateTable, Rejected, _OWN),
    (errors.DuplicateFunction, Rejected, _OWN),
    (errors.UndefinedColumn, Rejected, _OWN),
    (errors.UndefinedTable, Rejected, "Its tables are gone: name the right database."),
)
# While connecting libpq gives no code; these are parts of what servers say in English.
_CONNECTING = (
    ("authentication failed", "Check the user and the password (~/.pgpass or PGPASSWORD)."),
    ("no password supplied", "Give the password in ~/.pgpass or PGPASSWORD."),
    ("no pg_hba.conf entry", "Let the server's pg_hba.conf admit this user from this machine."),
    ("does not exist", "Make it (createdb, createuser), or name another."),
    ("too many clients", "Wait, or raise max_connections."),
    ("connection slots", "Wait, or raise max_connections."),
    ("starting up", "Wait a moment, then do this again."),
    ("shutting down", "Wait until it is back, then do this again."),
)


def _place(given: Mapping[str, Any]) -> str:
    """A URL without what is secret and what does not say where."""
    host, user = str(given.get("host", "")), str(given.get("user", ""))
    parameters = {name: given[name] for name in ("service",) if name in given}
    where = f"{quote(user)}@" if user else ""
    if host.startswith("/"):
        parameters["host"] = host
    else:
        where += host
    if "port" in given:
        where += f":{given['port']}"
    query = f"?{urlencode(parameters, safe='/')}" if parameters else ""
    return f"postgresql://{where}/{quote(str(given.get('dbname', '')))}{query}"


@cache
def _translated(sql: str) -> bytes:
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%")).replace("{now}", _NOW).encode()


@cache
def _copying(into: Insert) -> bytes:
    return f"COPY {into.table} ({', '.join(into.columns)}) FROM STDIN".encode()
