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
from headway.adapters.statements import Batch, Insert
from headway.errors import HeadwayError, Rejected, Unavailable

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
except ImportError as missing:
    raise Unavailable(
        "a store in PostgreSQL needs psycopg: type pip install 'headway[postgres]'"
    ) from missing

from headway.adapters.postgres_failures import failure

CONNECT_S = 5
STATEMENT_S = 15
LOCK_S = 10
MIGRATION_S = 60  # how long to wait for another one that migrates
NETWORK_S = 15  # how long what was sent may stay unacknowledged, and a silent server unasked
_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_MIGRATING = 0x68656164776179  # the number of the advisory lock: "headway"
_PORTS = re.compile(r"[0-9]{0,5}(,[0-9]{0,5})*")
_PARAMETER = re.compile(r"(?<![:\w]):([a-z][a-z_0-9]*)")

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
        given = _settings(url)
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

    def batch(self, batch: Batch, given: Sequence[Sequence[Any]]) -> int:
        names = [name for name, _ in batch.columns]
        if len(given) == 1:
            return self._execute(_of_one(batch), dict(zip(names, given[0], strict=True))).rowcount
        columns = map(list, zip(*given, strict=True))
        return self._execute(_of_all(batch), dict(zip(names, columns, strict=True))).rowcount

    def alone(self, what: int) -> None:
        self.query("SELECT pg_advisory_xact_lock(:number)", number=_MIGRATING + what)

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
            raise failure(error, self.place, lost=True) from error
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

    def _failure(self, error: psycopg.Error) -> HeadwayError:
        lost = self._connection is None or self._connection.closed
        return failure(error, self.place, lost=lost)


def _settings(url: str) -> dict[str, Any]:
    """Raises: Rejected, without a word of what libpq says: that may quote the password."""
    authority, _, path = url.partition("://")[2].partition("?")[0].partition("/")
    try:
        # A character that should have been encoded would make a host of half a password.
        understood = authority.count("@") <= 1 and "@" not in path
        given = conninfo_to_dict(url) if understood else {}
        understood = understood and _PORTS.fullmatch(str(given.get("port", ""))) is not None
    except psycopg.Error:
        understood = False
    if not understood:
        raise Rejected(
            "the URL of the store is not understood; one looks like"
            " postgresql://user@host:5432/database. Characters such as @ : / % in a user's name"
            " or password are written as %40 %3A %2F %25; a password is better kept in ~/.pgpass"
            " or in PGPASSWORD"
        )
    return given


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
def _of_all(batch: Batch) -> bytes:
    """Done at once: each column of the values is sent as one array."""
    arrays = ", ".join(f":{name}::{type}[]" for name, type in batch.columns)
    names = ", ".join(name for name, _ in batch.columns)
    sql = batch.sql.replace("{from}", f"FROM unnest({arrays}) AS given ({names})")
    for name, _ in batch.columns:
        sql = sql.replace(f"{{{name}}}", f"given.{name}")
    return _translated(sql)


@cache
def _of_one(batch: Batch) -> bytes:
    """Without a table, which the server would plan for anew each time."""
    sql = batch.sql.replace("{from}", "")
    for name, type in batch.columns:
        sql = sql.replace(f"{{{name}}}", f":{name}::{type}")
    return _translated(sql)


@cache
def _copying(into: Insert) -> bytes:
    return f"COPY {into.table} ({', '.join(into.columns)}) FROM STDIN".encode()
