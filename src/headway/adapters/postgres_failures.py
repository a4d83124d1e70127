"""What went wrong at PostgreSQL, as what a caller can do about it."""

import psycopg
from psycopg import errors

from headway.errors import Conflict, HeadwayError, Refused, Rejected, Unavailable


def failure(error: psycopg.Error, place: str, *, lost: bool) -> HeadwayError:
    """``lost``: there is no connection, or none any more."""
    text = str(error).strip().split("\n")[0] or type(error).__name__
    if isinstance(error, errors.IntegrityError):
        return Conflict(f"{place} refused a second record of one thing: {text}")
    for cls, kind, advice in _ADVICE:
        if isinstance(error, cls):
            return kind(f"{place} cannot be used as a store: {text}. {advice}")
    if isinstance(error, errors.DataError):
        return Rejected(f"{place} cannot hold this: {text}")
    if lost:
        advice = next((said for part, said in _CONNECTING if part in text), _TRY_LATER)
        return Unavailable(f"{place} does not answer: {text}. {advice}")
    return Unavailable(f"{place} cannot be used as a store: {text}. {_TRY_LATER}")


_TRY_LATER = "See that the server is well, then do this again."
_OWN = "Give Headway a database, or a schema, of its own."
_ADVICE: tuple[tuple[type[psycopg.Error], type[HeadwayError], str], ...] = (
    (errors.DiskFull, Unavailable, "The server's disk is full: make room."),
    (errors.TooManyConnections, Unavailable, "Wait, or raise max_connections."),
    (errors.ReadOnlySqlTransaction, Unavailable, "Name the primary server, not a standby."),
    (errors.LockNotAvailable, Unavailable, "Another one held it for too long: wait for it."),
    (errors.QueryCanceled, Unavailable, "It took too long: relieve the server."),
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
