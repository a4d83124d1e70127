"""What a PostgreSQL server tells of itself and of our rights, without being changed."""

import time
from typing import NamedTuple

from headway.adapters.database import Database

_WRITTEN = ("runs", "events", "output", "requests", "locks")  # by whoever carries a run out


class Server(NamedTuple):
    """A server and our place in it."""

    version: str
    number: int  # 150004
    bytes: int  # of the database
    fsync: bool
    synchronous_commit: bool
    checksums: bool
    protocol: str  # "TLSv1.3"; "" if it is not encrypted
    is_local: bool  # by a socket of this machine, or loopback
    is_replica: bool
    ahead_s: float  # of our clock, give or take ``unsure_s``
    unsure_s: float
    may_write: bool


def look_at(database: Database) -> Server:
    """Raises: Unavailable, Refused."""
    began = time.time()
    ((now_us,),) = database.query("SELECT {now}")
    ended = time.time()
    ((version, number, size, replica),) = database.query(
        "SELECT current_setting('server_version'), current_setting('server_version_num'),"
        " pg_database_size(current_database()), pg_is_in_recovery()"
    )
    ((fsync, commit, checksums),) = database.query(
        "SELECT current_setting('fsync'), current_setting('synchronous_commit'),"
        " current_setting('data_checksums')"
    )
    ((protocol, is_local),) = database.query(
        "SELECT coalesce((SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()), ''),"
        " coalesce(inet_server_addr() << '127.0.0.0/8' OR inet_server_addr() = '::1', true)"
    )
    return Server(
        version.split(" ")[0],
        int(number),
        int(size),
        fsync == "on",
        commit != "off",
        checksums == "on",
        protocol,
        is_local,
        replica,
        now_us / 1e6 - (began + ended) / 2,
        (ended - began) / 2,
        not replica and _may_write(database),
    )


def _may_write(database: Database) -> bool:
    """Whether we may begin a run; also in a database that holds nothing yet, as far as is known."""
    if database.version() == (0, 0):
        ((may,),) = database.query("SELECT has_schema_privilege(current_schema(), 'CREATE')")
        return bool(may)
    found = [
        # An older schema has not all of them.
        database.query(f"SELECT has_table_privilege(to_regclass('{table}'), 'INSERT')")[0][0]
        for table in _WRITTEN
    ]
    return False not in found
