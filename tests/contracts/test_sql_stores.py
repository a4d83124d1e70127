"""What the stores in SQLite and PostgreSQL have beyond the contract: schema, rules, processes."""

import gc
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headway.adapters import database as databases
from headway.adapters import statements
from headway.adapters.database import OLDEST_READER, Database
from headway.adapters.opening import open_store
from headway.adapters.postgres import PostgresDatabase
from headway.adapters.sqlite import SqliteDatabase
from headway.adapters.statements import NUMBERING_REQUESTS, NUMBERING_TICKETS
from headway.errors import Conflict, Refused, Rejected, Unavailable
from headway.jobs.events import Row
from headway.jobs.states import RunState
from headway.ports.leases import CORE
from headway.testing.playbooks import BLOG, SHOP, typed
from headway.testing.stores import EVER, HOSTILE, RUN, launch, owner, passed, rows_of, run_id
from headway.testing.tokens import token

if TYPE_CHECKING:
    from tests.services.postgres import Postgres

# Since Python 3.12 a fork beside other threads warns; that these tests fork is their point.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 60.0


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty store."""
    if request.param == "sqlite":
        return str(tmp_path / "headway.db")
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.url


def open_database(url: str) -> Database:
    return PostgresDatabase(url) if "://" in url else SqliteDatabase(Path(url))


def kind_of(url: str) -> str:
    return "postgres" if "://" in url else "sqlite"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """The tables of a store with one run, RUN, that goes on."""
    with closing(open_store(url)) as store:
        store.begin(RUN, launch(), "{}", 3, owner(), 1)
        store.append(RUN, 1, 1, 2, [passed(1), passed(2)])
    with closing(open_database(url)) as opened:
        yield opened


def python(program: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def together(program: str, url: str, count: int) -> list[tuple[int, str]]:
    """What COUNT processes return and say that all go on at once, at a line of input."""
    children = [python(program, url, str(number)) for number in range(count)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    told = []
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        out, err = child.communicate(timeout=DEADLINE_S)
        told.append((child.returncode, out + err))
    return told


# A journal


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET kind = 'failed' WHERE seq = 2",
        "UPDATE events SET body = NULL",
        "DELETE FROM events WHERE seq = 2",
        "DELETE FROM events",
    ],
)
def test_a_journal_cannot_be_changed_by_any_statement(
    database: Database, url: str, statement: str
) -> None:
    with pytest.raises(Conflict), database.transaction():
        database.change(statement)
    with closing(open_store(url)) as store:
        assert rows_of(store, RUN) == [passed(1), passed(2)]


@pytest.mark.services
def test_a_journal_cannot_be_emptied_at_once(postgres: "Postgres") -> None:
    with closing(open_store(postgres.url)) as store, closing(open_database(postgres.url)) as other:
        store.begin(RUN, launch(), "{}", 3, owner(), 1)
        with pytest.raises(Conflict):
            other.change("TRUNCATE events")
        assert next(store.journal(RUN)).seq == 1


def test_a_run_with_a_journal_cannot_be_deleted(database: Database) -> None:
    with pytest.raises(Conflict), database.transaction():
        database.change("DELETE FROM runs")


def test_the_tries_are_there_to_be_asked_by_anybody(url: str) -> None:
    failed = json.dumps({"began_us": 7, "failure": {"message": "no such host"}})
    with closing(open_store(url)) as store, closing(open_database(url)) as database:
        store.begin(RUN, launch(), "{}", 3, owner(), 1)
        rows = [Row("failed", 8, 4, 1, failed), passed(4, 2), Row("run-intended", 9, 5, 1, None)]
        store.append(RUN, 1, 1, 2, rows)
        columns = "run, job, try, lap, ending, began_us, ended_us, message"
        assert database.query(f"SELECT {columns} FROM tries ORDER BY try") == [
            (RUN, 4, 1, 1, "failed", 7, 8, "no such host"),
            (RUN, 4, 2, 1, "passed", None, 1_000_004, None),
        ]


def test_no_text_of_a_job_makes_the_tries_unreadable(url: str) -> None:
    bodies = [json.dumps({"began_us": 1, "failure": {"message": text}}) for text in HOSTILE]
    bodies += ['{"failure": {"message": NaN}}', '{"shared": {"\\u0000": "\\ud800"}}', "[" * 7000]
    rows = [Row("failed", 1, 1, number, body) for number, body in enumerate(bodies)]
    with closing(open_store(url)) as store, closing(open_database(url)) as database:
        store.begin(RUN, launch(), "{}", 3, owner(), 1)
        store.append(RUN, 1, 1, 2, rows)
        found = dict(database.query("SELECT try, message FROM tries"))
        assert len(found) == len(bodies)
        for number, text in enumerate(HOSTILE):
            if text.isprintable() and text.isascii():
                assert found[number] == text


# Playbooks


@pytest.fixture
def shelf(url: str) -> Iterator[Database]:
    """The tables of a store with two playbooks, of which one was removed."""
    with closing(open_store(url)) as store:
        for id, name in ((SHOP, "Bring out"), (BLOG, "Gone")):
            store.add_playbook(id, "shop", name, typed(), "me", 5)
        store.edit_playbook(SHOP, 1, "Bring out", typed("2"), "me", 6)
        store.remove_playbook(BLOG, "me", 7)
    with closing(open_database(url)) as opened:
        yield opened


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE playbook_versions SET text = 'other' WHERE number = 1",
        "UPDATE playbook_versions SET number = 9 WHERE number = 2",
        "DELETE FROM playbook_versions WHERE number = 2",
        "DELETE FROM playbooks WHERE removed_us IS NOT NULL",
        "DELETE FROM playbooks",
        f"UPDATE playbooks SET group_name = 'blog' WHERE id = '{SHOP}'",
        f"UPDATE playbooks SET id = '{'c' * 24}' WHERE id = '{SHOP}'",
        f"UPDATE playbooks SET version = 1 WHERE id = '{SHOP}'",
        f"UPDATE playbooks SET version = 9 WHERE id = '{SHOP}'",
        f"UPDATE playbooks SET removed_us = NULL WHERE id = '{BLOG}'",
        f"UPDATE playbooks SET name = 'Bring in' WHERE id = '{BLOG}'",
    ],
)
def test_the_past_of_a_playbook_cannot_be_changed_by_any_statement(
    shelf: Database, url: str, statement: str
) -> None:
    with pytest.raises(Conflict), shelf.transaction():
        shelf.change(statement)
    with closing(open_store(url)) as store:
        assert [one.typed for one in store.playbook_versions(SHOP)] == [typed("2"), typed()]
        assert store.find_playbook(SHOP).title == "shop/Bring out"
        assert store.find_playbook(BLOG).removed_us == 7


@pytest.mark.services
def test_playbooks_cannot_be_emptied_at_once(postgres: "Postgres") -> None:
    with closing(open_store(postgres.url)) as store, closing(open_database(postgres.url)) as other:
        store.add_playbook(SHOP, "shop", "Bring out", typed(), "me", 5)
        for table in ("playbook_versions", "playbooks CASCADE"):
            with pytest.raises(Conflict):
                other.change(f"TRUNCATE {table}")
        assert store.find_playbook(SHOP).version == 1


def test_an_editor_that_came_too_late_is_told_who_was_first(url: str) -> None:
    with closing(open_store(url)) as store:
        store.add_playbook(SHOP, "shop", "Bring out", typed(), "me", 5)
        store.edit_playbook(SHOP, 1, "Bring out", typed("2"), "somebody", 6)
        with pytest.raises(Conflict, match="has version 2, typed by somebody, and not 1: look at"):
            store.edit_playbook(SHOP, 1, "Bring out", typed("3"), "me", 7)
        with pytest.raises(Conflict, match=f"called 'Bring out' already: .* edit {SHOP} FILE"):
            store.add_playbook(BLOG, "shop", "Bring out", typed(), "me", 8)
        store.add_playbook(BLOG, "shop", "Other", typed(), "me", 8)
        with pytest.raises(Conflict, match=f"playbook {SHOP} of shop is called 'Bring out'"):
            store.edit_playbook(BLOG, 1, "Bring out", typed(), "me", 9)


# Cores, locks, tokens


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE locks SET tag = 'b'",
        "UPDATE locks SET run = 2 WHERE ticket = 1",
        "INSERT INTO locks (tag, run, at_us) VALUES ('a', 1, 1)",
        "INSERT INTO locks (tag, run, at_us) VALUES ('a', 99, 1)",
        "DELETE FROM runs WHERE no = 2",
        "UPDATE runs SET idempotency_key = 'key' WHERE no = 1",
        "DELETE FROM leases",
        "UPDATE leases SET epoch = 1",
        "UPDATE leases SET name = 'other'",
        "DELETE FROM tokens WHERE id = 'old'",
        "UPDATE tokens SET groups = '[\"*\"]' WHERE id = 'new'",
        "UPDATE tokens SET digest = 'x' WHERE id = 'new'",
        "UPDATE tokens SET expires_us = NULL WHERE id = 'new'",
        "UPDATE tokens SET revoked_us = NULL WHERE id = 'old'",
    ],
)
def test_what_others_rely_on_cannot_be_changed_by_any_statement(url: str, statement: str) -> None:
    with closing(open_store(url)) as store, closing(open_database(url)) as database:
        store.begin(RUN, launch(locks=["a"]), "{}", 3, owner(), 1)
        store.enqueue(run_id(2), launch(locks=["a"]), "{}", 3, 1, key="key")
        for _ in range(2):
            store.lease(CORE, owner(), 60.0)
        for id in ("old", "new"):
            store.add_token(token(id))
        store.revoke_token("old", 9)
        before = (store.locks(), store.tokens())
        with pytest.raises(Conflict), database.transaction():
            database.change(statement)
        lease = store.lease_of(CORE)
        assert lease is not None
        assert lease.epoch == 2
        assert (store.locks(), store.tokens()) == before
        assert store.find(run_id(2)).state is RunState.QUEUED


@pytest.mark.services
def test_leases_and_tokens_cannot_be_emptied_at_once(postgres: "Postgres") -> None:
    with closing(open_store(postgres.url)) as store, closing(open_database(postgres.url)) as other:
        store.lease(CORE, owner(), 60.0)
        store.add_token(token())
        for table in ("leases", "tokens"):
            with pytest.raises(Conflict):
                other.change(f"TRUNCATE {table}")
        assert store.tokens() == [token()]


@pytest.mark.services
def test_tickets_and_requests_are_numbered_one_transaction_after_the_other(
    postgres: "Postgres",
) -> None:
    """Else who comes second could be seen first."""
    with closing(open_store(postgres.url)) as store, closing(open_database(postgres.url)) as other:
        epoch = store.begin(RUN, launch(), "{}", 3, owner(), 1)
        store.append(RUN, epoch, 1, 2, [], state=RunState.FAILED)
        store._database.change("SET lock_timeout = '1ms'")
        with other.transaction():
            other.alone(NUMBERING_TICKETS)
            store.enqueue(run_id(2), launch(), "{}", 1, 1)
            with pytest.raises(Unavailable):
                store.enqueue(run_id(3), launch(locks=["a"]), "{}", 1, 1)
            with pytest.raises(Unavailable):
                store.begin(run_id(3), launch(locks=["a"]), "{}", 1, owner(), 1)
            number = store.ask(RUN, "cancel", {}, "me", 1)
        with other.transaction():
            other.alone(NUMBERING_REQUESTS)
            store.enqueue(run_id(3), launch(locks=["a"]), "{}", 1, 1)
            with pytest.raises(Unavailable):
                store.ask(RUN, "cancel", {}, "me", 1)
        assert [request.id for request in store.asked(RUN)] == [number]


def test_a_run_of_a_core_was_seen_when_the_lease_of_its_owner_was(url: str) -> None:
    with closing(open_store(url)) as store, closing(open_database(url)) as database:
        store.enqueue(RUN, launch(), "{}", 3, 1)
        store.take(RUN, 0, owner())
        store.begin(run_id(2), launch(), "{}", 3, owner(), 2)
        store.lease(CORE, owner(), 60.0)

        def seen(id: str, runs_s: int, lease_s: int) -> int:
            for table, seconds in (("runs", runs_s), ("leases", lease_s)):
                database.change(f"UPDATE {table} SET seen_us = {{now}} - {seconds * 1_000_000}")
            listed = next(record for record in store.runs() if record.id == id)
            found = round(store.find(id).seen_s, -2)
            assert round(listed.seen_s, -2) == found
            return int(found)

        assert seen(RUN, 1_000, 0) == 0
        assert seen(RUN, 0, 1_000) == 1_000
        assert seen(run_id(2), 1_000, 0) == 1_000
        store.lease(CORE, owner(2), 0.0)
        assert seen(RUN, 1_000, 0) == 1_000


def test_what_a_core_asks_for_again_and_again_is_found_by_an_index(url: str) -> None:
    with closing(open_store(url)), closing(open_database(url)) as database:
        if kind_of(url) == "postgres":
            explain = "EXPLAIN"
            database.change("SET enable_seqscan = off")
        else:
            explain = "EXPLAIN QUERY PLAN"
        for statement, parameters, index in (
            (statements.UNOWNED_CORE_RUNS, {}, "runs_of_core"),
            (statements.OPEN_REQUESTS, {"after": 5}, "requests_unanswered"),
        ):
            plan = str(database.query(f"{explain} {statement}", **parameters))
            assert index in plan
            assert "SCAN runs" not in plan


# The schema


NEWEST = databases.newest_version("sqlite")


def add_migration(directory: Path, sql: str, number: int = NEWEST + 1) -> None:
    """Let DIRECTORY hold the migrations as they are, and another one."""
    directory.mkdir(exist_ok=True)
    for path in (Path(databases.__file__).parent / "migrations").glob("*.sql"):
        (directory / path.name).write_text(path.read_text())
    for dialect in ("sqlite", "postgres"):
        (directory / f"{number:04}.{dialect}.sql").write_text(sql)


MIGRATION = "CREATE TABLE added (n INTEGER);\nINSERT INTO added VALUES (1);\n"


def test_an_older_store_says_how_to_upgrade_it_and_is_upgraded(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_store(url)) as store:
        store.begin(RUN, launch(), "{}", 3, owner(), 1)
    add_migration(tmp_path / "newer", MIGRATION)
    monkeypatch.setattr(databases, "MIGRATIONS", tmp_path / "newer")
    sentence = rf"has schema {NEWEST}, this Headway needs {NEWEST + 1}: .*headway db upgrade"
    with pytest.raises(Rejected, match=sentence):
        open_store(url)
    with closing(open_store(url, check_version=False)) as store:
        assert [store.upgrade(), store.upgrade()] == [NEWEST, NEWEST + 1]
    with closing(open_store(url)) as store:
        assert store.find(None).id == RUN
    with closing(open_database(url)) as database:
        assert database.version() == (NEWEST + 1, databases.OLDEST_READER)
        assert database.query("SELECT n FROM added") == [(1,)]


def test_a_newer_store_is_refused_unless_it_says_that_we_may_write(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        add_migration(tmp_path / "newer", MIGRATION)
        newer.setattr(databases, "MIGRATIONS", tmp_path / "newer")
        open_store(url).close()
    with closing(open_store(url)) as store:
        store.begin(RUN, launch(), "{}", 3, owner(), 1)
    with closing(open_database(url)) as database:
        database.change("UPDATE meta SET oldest_reader = :newer", newer=NEWEST + 1)
    sentence = (
        rf"written by a newer Headway \(schema {NEWEST + 1}, this one knows {NEWEST}\):"
        " upgrade this Headway"
    )
    with pytest.raises(Rejected, match=sentence):
        open_store(url)
    with (
        closing(open_store(url, check_version=False)) as store,
        pytest.raises(Rejected, match=sentence),
    ):
        store.upgrade()


def test_a_migration_that_fails_leaves_the_store_as_it_was(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(url).close()
    add_migration(tmp_path / "newer", MIGRATION + "INSERT INTO nowhere VALUES (1);\n")
    with monkeypatch.context() as newer:
        newer.setattr(databases, "MIGRATIONS", tmp_path / "newer")
        with (
            closing(open_store(url, check_version=False)) as store,
            pytest.raises(Exception, match="nowhere"),
        ):
            store.upgrade()
    with closing(open_store(url)) as store:
        store.begin(RUN, launch(), "{}", 3, owner(), 1)
    with closing(open_database(url)) as database:
        assert database.version() == (NEWEST, databases.OLDEST_READER)
        assert tables(database, url).isdisjoint({"added"})


def tables(database: Database, url: str) -> set[str]:
    kind = "tablename FROM pg_tables" if "://" in url else "name FROM sqlite_master"
    return {name for (name,) in database.query(f"SELECT {kind}")}


DIE_IN_MIGRATION = """
import os, signal, sys
from pathlib import Path
from headway.adapters import database
from tests.contracts.test_sql_stores import open_database
database.MIGRATIONS = Path(sys.argv[2])
opened = open_database(sys.argv[1])
change = opened.change
def die_at_the_end(sql, **parameters):
    if sql.startswith("UPDATE meta"):
        os.kill(os.getpid(), signal.SIGKILL)
    return change(sql, **parameters)
opened.change = die_at_the_end
opened.migrate()
"""


def test_a_process_killed_in_a_migration_leaves_the_store_as_it_was(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(url).close()
    add_migration(tmp_path / "newer", MIGRATION)
    child = python(DIE_IN_MIGRATION, url, str(tmp_path / "newer"))
    _, err = child.communicate(timeout=DEADLINE_S)
    assert child.returncode == -9, err
    with closing(open_database(url)) as database:
        assert database.version() == (NEWEST, databases.OLDEST_READER)
        assert "added" not in tables(database, url)
    monkeypatch.setattr(databases, "MIGRATIONS", tmp_path / "newer")
    with closing(open_store(url, check_version=False)) as store:
        assert store.upgrade() == NEWEST


def downgraded(directory: Path, number: int) -> Path:
    """Migrations as the Headway that knew schema NUMBER had them."""
    directory.mkdir()
    for path in databases.MIGRATIONS.glob("*.sql"):
        if int(path.name.split(".")[0]) <= number:
            (directory / path.name).write_text(path.read_text())
    return directory


# What a run has since schema 3, and reads as in one that is older.
_SINCE_3: dict[str, Any] = {
    "group": "", "locks": (), "surroundings": {}, "source": "", "hosts": (), "asked": "",
    "token": "",
}  # fmt: skip
# A run as schemas 1 and 2 had it, of process 1, with an event, a line of output and a request.
_OLD_LAUNCH = {name: value for name, value in launch()._asdict().items() if name not in _SINCE_3}
OLD_RUN = (
    "INSERT INTO runs (id, state, launch, plan, jobs, began_us, host, pid, started, boot, epoch,"
    f" lap, seen_us) VALUES ('{RUN}', 'running', '{json.dumps(_OLD_LAUNCH)}', '{{}}', 3, 1, 'here',"
    " 1, 'when it started', 'a boot', 1, 1, 1)",
    "INSERT INTO events (run, seq, at_us, kind, lap) VALUES (1, 1, 1, 'run-began', 1)",
    "INSERT INTO events (run, seq, at_us, kind, job, try, lap)"
    " VALUES (1, 2, 1000001, 'passed', 1, 1, 1)",
    "INSERT INTO output (run, job, try, at_us, stream, text) VALUES (1, 1, 1, 1, 'out', 'a line')",
    "INSERT INTO requests (run, verb, args, who, at_us) VALUES (1, 'cancel', '{}', 'me', 1)",
)


@pytest.mark.parametrize("number", range(1, NEWEST))
def test_a_store_of_an_older_schema_is_upgraded_with_all_that_it_holds(
    url: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = downgraded(tmp_path / "older", number)
    with monkeypatch.context() as before:
        before.setattr(databases, "MIGRATIONS", older)
        before.setattr(f"headway.adapters.{kind_of(url)}.OLDEST_READER", number)
        with closing(open_store(url)) as store, closing(open_database(url)) as database:
            assert store.version() == number
            with database.transaction():
                for statement in OLD_RUN:
                    database.change(statement)
            if number > 1:
                store.add_playbook(BLOG, "blog", "Bring out", typed(), "me", 5)
    with pytest.raises(
        Rejected, match=rf"has schema {number}, this Headway needs \d: .*headway db upgrade"
    ):
        open_store(url)
    with closing(open_store(url, check_version=False)) as store:
        assert store.upgrade() == number
    with closing(open_store(url)) as store:
        record = store.find(RUN)
        expected = launch(**_SINCE_3)
        assert (record.launch, record.owner, record.core) == (expected, owner(), False)
        assert [one.id for one in store.runs(groups=[""])] == [RUN]
        assert rows_of(store, RUN) == [passed(1)]
        assert [line.text for line in store.output(RUN)] == ["a line"]
        answers = [(store.asked(RUN)[0].id, "done")]
        store.append(RUN, 1, 1, 3, [passed(2)], state=RunState.FAILED, answers=answers)
        assert store.take(RUN, 1, owner(2), next_lap=True) == 2
        assert [one.id for one in store.playbooks()] == ([BLOG] if number > 1 else [])
        store.enqueue(run_id(2), launch(locks=["a"]), "{}", 1, 1, key="key")
        assert [record.id for record in store.core_runs(unowned=True)] == [run_id(2)]
    monkeypatch.setattr(databases, "MIGRATIONS", older)
    if number >= OLDEST_READER:
        open_store(url).close()  # what is new there is nothing to an older Headway
        return
    with pytest.raises(
        Rejected, match=rf"newer Headway \(schema \d, this one knows {number}\): upgrade"
    ):
        open_store(url)


UPGRADE = """
import sys
from pathlib import Path
from headway.adapters import database
from headway.adapters.opening import open_store
database.MIGRATIONS = Path({newer!r})
store = open_store(sys.argv[1], check_version=False)
print("ready", flush=True)
sys.stdin.readline()
print(store.upgrade())
"""


def test_of_two_processes_that_upgrade_a_store_one_does(url: str, tmp_path: Path) -> None:
    open_store(url).close()
    newer = tmp_path / "newer"
    add_migration(newer, MIGRATION)
    told = together(UPGRADE.format(newer=str(newer)), url, 2)
    assert sorted(told) == [(0, f"{NEWEST}\n"), (0, f"{NEWEST + 1}\n")]
    with closing(open_database(url)) as database:
        assert database.query("SELECT n FROM added") == [(1,)]


BEGIN = """
import sys
from headway.adapters.opening import open_store
from headway.testing.stores import launch, owner, run_id
print("ready", flush=True)
sys.stdin.readline()
store = open_store(sys.argv[1])
print(store.begin(run_id(int(sys.argv[2])), launch(), "{}", 3, owner(), 1))
"""


def test_processes_that_make_a_store_at_once_make_one(url: str) -> None:
    assert together(BEGIN, url, 4) == [(0, "1\n")] * 4
    with closing(open_store(url)) as store:
        assert len(store.runs()) == 4


def test_a_database_of_something_else_is_left_alone(url: str) -> None:
    if "://" in url:
        with closing(open_database(url)) as database:
            database.change("CREATE TABLE meta (key text, value text)")
    else:
        with closing(sqlite3.connect(url)) as connection:
            connection.execute("CREATE TABLE customers (id INTEGER)")
    with pytest.raises(Rejected):
        open_store(url)
    with closing(open_database(url)) as database:
        assert "runs" not in tables(database, url)


@pytest.mark.services
def test_a_table_of_the_same_name_is_left_alone(postgres: "Postgres") -> None:
    with closing(open_database(postgres.url)) as database:
        database.change("CREATE TABLE runs (miles integer)")
        with pytest.raises(Rejected, match="Give Headway a database, or a schema, of its own"):
            open_store(postgres.url)
        assert "meta" not in tables(database, postgres.url)


# Processes


def test_a_forked_process_cannot_use_its_parents_connection(url: str) -> None:
    with closing(open_store(url)) as store:
        store.begin(RUN, launch(), "{}", 3, owner(), 1)
        child = os.fork()
        if child == 0:
            outcome = 1
            try:
                store.append(RUN, 1, 1, 2, [passed(1)])
            except Refused:
                outcome = 0
            finally:
                os._exit(outcome)
        assert os.waitpid(child, 0)[1] == 0
        store.append(RUN, 1, 1, 2, [passed(2)])
        assert rows_of(store, RUN) == [passed(2)]


def test_a_forked_process_that_ends_in_good_order_leaves_the_connection_alone(url: str) -> None:
    """It closes what it has, collects what is garbage and leaves as programs do."""
    program = """
import gc, os, sys
from headway.adapters.opening import open_store
from headway.testing.stores import RUN, launch, owner, passed, rows_of
store = open_store(sys.argv[1])
store.begin(RUN, launch(), "{}", 3, owner(), 1)
for number in range(6):
    child = os.fork()
    if child == 0:
        if number % 3 == 0:
            store.close()
        elif number % 3 == 1:
            del store
            gc.collect()
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    store.append(RUN, 1, 1, number + 2, [passed(number)])
print(len(rows_of(store, RUN)))
store.close()
"""
    child = python(program, url)
    out, err = child.communicate(timeout=DEADLINE_S)
    assert (child.returncode, out, err) == (0, "6\n", "")


def test_a_fork_waits_until_no_transaction_is_under_way(url: str) -> None:
    """Another thread is in the middle of one when this thread forks."""
    within, forking, half_done = threading.Event(), threading.Event(), threading.Event()
    with closing(open_store(url)) as store:
        store.begin(RUN, launch(), "{}", 3, owner(), 1)

        def write() -> None:
            with store._use, store._database.transaction():
                store._database.change("UPDATE runs SET jobs = 4")
                half_done.set()
                within.set()
                forking.wait(DEADLINE_S)
                store._database.change("UPDATE runs SET jobs = 5")
                half_done.clear()

        writer = threading.Thread(target=write)
        writer.start()
        assert within.wait(DEADLINE_S)
        os.register_at_fork(before=forking.set)  # the last of these is the first to be called
        child = os.fork()
        if child == 0:
            os._exit(int(half_done.is_set()))
        assert os.waitpid(child, 0)[1] == 0
        writer.join(DEADLINE_S)
        assert store.find(RUN).jobs == 5


# Forgetting


def test_what_a_prune_that_died_left_over_the_next_one_forgets(url: str) -> None:
    with closing(open_store(url)) as store, closing(open_database(url)) as database:
        store.begin(RUN, launch(), "{}", 3, owner(), 1)
        store.append(RUN, 1, 1, 2, [passed(1)], state=RunState.FAILED)
        database.change("INSERT INTO locks (tag, run, at_us) VALUES ('a', 1, 1)")
        database.change("UPDATE runs SET state = 'pruned'")
        assert store.runs() == []
        with pytest.raises(Conflict):
            store.take(RUN, 1, owner())
        assert store.prune(0, 100) == 0
        for table in ("runs", "events", "output", "requests", "locks"):
            assert database.query(f"SELECT count(*) FROM {table}") == [(0,)]


def test_a_run_that_is_taken_up_while_others_are_pruned_stays(url: str) -> None:
    with closing(open_store(url)) as store, closing(open_store(url)) as other:
        for number in (1, 2):
            id = run_id(number)
            store.begin(id, launch(), "{}", 3, owner(), number)
            store.append(id, 1, 1, 2, [passed(1)], state=RunState.FAILED)
        change = store._change

        def take_meanwhile(sql: str, **parameters: object) -> int:
            if other.find(run_id(1)).owner is None:
                other.take(run_id(1), 1, owner(2))
            return change(sql, **parameters)

        store._change = take_meanwhile  # type: ignore[method-assign]
        assert store.prune(EVER, 0) == 1
        assert rows_of(other, run_id(1)) == [passed(1)]


def test_no_connection_is_left_to_the_garbage_collector(url: str, tmp_path: Path) -> None:
    """With warnings as errors, one that is would fail this test."""
    open_store(url).close()
    with closing(open_database(url)) as database:
        database.change("UPDATE meta SET oldest_reader = 9")
    for _ in range(3):
        with pytest.raises(Rejected):
            open_store(url)
    (tmp_path / "text").write_text("no database at all, " * 100)
    with pytest.raises(Rejected):
        open_store(tmp_path / "text")
    gc.collect()
