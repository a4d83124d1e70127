"""What PostgreSQL says is told as what a caller can do about it."""

import psycopg
import pytest
from psycopg import errors

from headway.adapters.postgres_failures import failure
from headway.errors import Conflict, HeadwayError, Refused, Rejected, Unavailable


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (errors.UniqueViolation, Conflict, "refused a second record"),
        (errors.ForeignKeyViolation, Conflict, "refused"),
        (errors.SerializationFailure, Unavailable, "do this again"),
        (errors.DeadlockDetected, Unavailable, "do this again"),
        (errors.ReadOnlySqlTransaction, Unavailable, "primary server"),
        (errors.DiskFull, Unavailable, "make room"),
        (errors.TooManyConnections, Unavailable, "max_connections"),
        (errors.LockNotAvailable, Unavailable, "wait for it"),
        (errors.QueryCanceled, Unavailable, "relieve the server"),
        (errors.InsufficientPrivilege, Refused, "Grant"),
        (errors.UndefinedTable, Rejected, "right database"),
        (errors.NumericValueOutOfRange, Rejected, "cannot hold this"),
        (errors.AdminShutdown, Unavailable, "server is well"),
        (errors.OutOfMemory, Unavailable, "server is well"),
        (psycopg.OperationalError, Unavailable, "server is well"),
    ],
)
def test_each_kind_of_error_says_what_to_do(
    error: type[psycopg.Error], kind: type[HeadwayError], advice: str
) -> None:
    told = failure(error("what it said\nDETAIL: more"), "postgresql://here/db", lost=False)
    assert type(told) is kind
    assert advice in str(told)
    assert str(told).startswith("postgresql://here/db ")
    assert "what it said" in str(told)
    assert "\n" not in str(told)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ('FATAL:  password authentication failed for user "me"', "~/.pgpass"),
        ("fe_sendauth: no password supplied", "~/.pgpass"),
        ("FATAL:  sorry, too many clients already", "max_connections"),
        ("FATAL:  the database system is starting up", "Wait a moment"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', "pg_hba.conf"),
        ("connection refused", "See that the server is well"),
    ],
)
def test_who_cannot_connect_is_told_what_to_do(said: str, advice: str) -> None:
    told = failure(psycopg.OperationalError(said), "postgresql://here/db", lost=True)
    assert type(told) is Unavailable
    assert advice in str(told)
