"""What the pages on stores tell of limits and columns is what the code has."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from headway.adapters import lines, sqlite
from headway.adapters.database import newest_version
from headway.adapters.opening import open_store
from headway.runtime import journal, output, ownership
from tests.docs.console import REPOSITORY

STORE = (REPOSITORY / "docs/reference/store.md").read_text("utf-8")
POSTGRESQL = (REPOSITORY / "docs/how-to/postgresql.md").read_text("utf-8")


TABLES = (
    *("runs", "events", "output", "requests", "playbooks", "playbook_versions"),
    *("locks", "leases", "tokens"),
    *("tasks", "dead_letters", "workers"),
)


def row(page: str, beginning: str) -> str:
    (found,) = [line for line in page.splitlines() if line.startswith(f"| {beginning}")]
    return found


@pytest.mark.parametrize(
    ("beginning", "limit"),
    [
        (
            "a try that passed",
            f"{journal.LONGEST_WAIT_US // 1000} ms or {journal.MOST_ROWS:,} rows",
        ),
        ("an owner's sign", f"every {journal.BEAT_US // 10**6} s"),
        ("an owner on another", f"{ownership.LEASE_S:g} s"),
        ("a line of output", f"{lines.LONGEST_LINE:,} characters"),
        ("lines of a try", f"{output.LINES_A_TRY:,}"),
        ("lines of a run", f"{output.LINES_A_RUN:,}"),
        ("characters of a run", f"{output.CHARACTERS_A_RUN:,}"),
        (
            "lines that wait",
            f"{output.LINES_WAITING:,} or {output.CHARACTERS_WAITING:,} characters",
        ),
        ("a wait for another writer", f"{sqlite.BUSY_S:g} s"),
        ("the write-ahead log", f"{sqlite.WAL_BYTES // 2**20} MB"),
    ],
)
def test_a_limit_is_told_as_it_is(beginning: str, limit: str) -> None:
    assert f"| {limit}" in row(STORE, beginning)


def test_the_waits_for_postgresql_are_told_as_they_are() -> None:
    from headway.adapters import postgres

    told = {
        "for a connection": postgres.CONNECT_S,
        "for a statement": postgres.STATEMENT_S,
        "for another writer's lock": postgres.LOCK_S,
        "for a network": postgres.NETWORK_S,
        "for another upgrade": postgres.MIGRATION_S,
    }
    for beginning, seconds in told.items():
        assert row(POSTGRESQL, beginning).endswith(f"| {seconds} |")


def test_every_column_of_the_tables_is_told(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "s.db")):
        pass
    told = set(re.findall(r"`(\w+)`", STORE))
    with closing(sqlite3.connect(tmp_path / "s.db")) as connection:
        made = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        assert {name for (name,) in connection.execute(made)} == {*TABLES, "meta"}
        for table in (*TABLES, "tries"):
            columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
            assert columns
            assert told.issuperset(columns), table


def test_every_schema_is_told() -> None:
    told = re.findall(r"^\| (\d+) \| [a-z]", STORE, re.M)
    assert [int(number) for number in told] == list(range(1, newest_version("sqlite") + 1))


def test_the_statement_the_page_shows_can_be_asked(tmp_path: Path) -> None:
    open_store(tmp_path / "s.db").close()
    (statement,) = re.findall(r"```sql\n(.*?)```", STORE, re.DOTALL)
    with closing(sqlite3.connect(tmp_path / "s.db")) as connection:
        assert connection.execute(statement).fetchall() == []
