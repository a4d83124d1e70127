"""The owner's script makes Celery's tables, and a role that may write results and nothing else."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from celery import Celery
from psycopg import sql

from cadasta.workertoolbox.conf import Config
from headway.toolbox.rules import results_stored
from tests.services.postgres import Postgres, find_binaries
from tests.unit.toolbox_apps import an_app, complaints

pytestmark = pytest.mark.services

ROLE = "export worker"  # quoted wherever it stands
TABLES = ("celery_taskmeta", "celery_tasksetmeta")
BACKENDS = pytest.mark.parametrize("kind", ["db", "headway"])


def script() -> Path:
    """As who looks for it types it."""
    command = [sys.executable, "-m", "headway.toolbox.result_tables"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Path(printed.strip())


def run_script(url: str) -> str:
    binaries = find_binaries()
    assert binaries is not None
    done = subprocess.run(
        [binaries / "psql", "-v", "ON_ERROR_STOP=1", "-v", f"role={ROLE}", "-f", script(), url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture
def owner(postgres: Postgres) -> Iterator[psycopg.Connection]:
    """Who owns the database. The role is gone afterwards: it belongs to the whole server."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        yield connection
        role = sql.Identifier(ROLE)
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
            connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


def settings_of(url: str, role: str) -> dict[str, Any]:
    """What a worker of that role is told of the database."""
    parts = urlsplit(url)
    return {
        "RESULT_DB_HOST": parse_qs(parts.query)["host"][0],
        "RESULT_DB_NAME": parts.path[1:],
        "RESULT_DB_USER": role,
    }


def app_of(url: str, role: str = ROLE, kind: str = "db", **settings: Any) -> Celery:
    app = Celery("worker", set_as_current=False)
    config = Config(["export"], broker_url="memory://", **settings_of(url, role), **settings)
    app.config_from_object(config)
    app.conf.result_backend = app.conf.result_backend.replace("db", kind, 1)
    return app


def shape(owner: psycopg.Connection) -> list[Any]:
    """Columns, keys and indexes of the result tables, and the sequences."""
    columns = owner.execute(
        "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable,"
        " column_default FROM information_schema.columns WHERE table_schema = 'public'"
        " ORDER BY 1, ordinal_position"
    ).fetchall()
    indexes = owner.execute(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
    ).fetchall()
    sequences = owner.execute(
        "SELECT sequencename, start_value, increment_by FROM pg_sequences ORDER BY 1"
    ).fetchall()
    return [*columns, *indexes, *sequences]


def test_the_tables_are_those_that_celery_makes_and_so_are_our_backends(
    postgres: Postgres, owner: psycopg.Connection
) -> None:
    run_script(postgres.url)
    scripts = shape(owner)
    drop_tables(owner)
    app_of(postgres.url, "headway").backend.ResultSession().close()
    assert scripts == shape(owner)
    drop_tables(owner)
    app_of(postgres.url, "headway", kind="headway").backend.store_result("one", 1, "SUCCESS")
    assert scripts == shape(owner)


def drop_tables(owner: psycopg.Connection) -> None:
    for table in TABLES:
        owner.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(table)))
    owner.execute("DROP SEQUENCE task_id_sequence, taskset_id_sequence")


@BACKENDS
def test_results_are_stored_and_read_under_the_role(
    kind: str, postgres: Postgres, owner: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    run_script(postgres.url)
    app = app_of(postgres.url, kind=kind)
    with caplog.at_level(logging.WARNING):
        app.backend.store_result("one", None, "STARTED")
        app.backend.store_result("one", {"rows": 3}, "SUCCESS")
        app.backend.mark_as_failure("two", ValueError("no such table"))
    assert caplog.messages == []
    assert app.AsyncResult("one").get(timeout=5) == {"rows": 3}
    assert app.AsyncResult("two").state == "FAILURE"
    found = owner.execute("SELECT task_id, status FROM celery_taskmeta ORDER BY 1").fetchall()
    assert found == [("one", "SUCCESS"), ("two", "FAILURE")]


@BACKENDS
def test_extended_results_are_stored_too(
    kind: str, postgres: Postgres, owner: psycopg.Connection
) -> None:
    run_script(postgres.url)
    app = app_of(postgres.url, kind=kind, result_extended=True)
    app.backend.store_result("one", 1, "SUCCESS")
    assert app.AsyncResult("one").get(timeout=5) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM celery_taskmeta",
        "TRUNCATE celery_taskmeta",
        "ALTER TABLE celery_taskmeta ADD COLUMN more TEXT",
        "SELECT * FROM celery_tasksetmeta",
        "INSERT INTO celery_tasksetmeta (id) VALUES (1)",
        "SELECT setval('task_id_sequence', 1)",
        "SELECT nextval('taskset_id_sequence')",
        "SELECT * FROM runs",
        "CREATE ROLE another",
    ],
)
def test_the_role_may_do_nothing_else(
    statement: str, postgres: Postgres, owner: psycopg.Connection
) -> None:
    run_script(postgres.url)
    owner.execute("CREATE TABLE runs (id TEXT)")
    url = postgres.url.replace("user=headway", f"user={ROLE.replace(' ', '%20')}")
    with (
        psycopg.connect(url, autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(sql.SQL(statement))


def test_the_script_can_be_run_again_and_brings_an_older_table_up_to_date(
    postgres: Postgres, owner: psycopg.Connection
) -> None:
    run_script(postgres.url)
    before = set(shape(owner))
    owner.execute("ALTER TABLE celery_taskmeta DROP COLUMN stamps, DROP COLUMN children")
    owner.execute("INSERT INTO celery_taskmeta (id, task_id) VALUES (1, 'kept')")
    run_script(postgres.url)
    assert set(shape(owner)) == before
    assert owner.execute("SELECT task_id FROM celery_taskmeta").fetchall() == [("kept",)]


@BACKENDS
def test_the_functional_tests_store_nothing_and_pass_under_the_role(
    kind: str, postgres: Postgres, owner: psycopg.Connection
) -> None:
    run_script(postgres.url)
    # The default of the setting has the user and the database of the environment's.
    app = an_app(result_backend=app_of(postgres.url, kind=kind).conf.result_backend)
    assert complaints(app) == {}
    assert owner.execute("SELECT * FROM celery_taskmeta").fetchall() == []


def test_a_role_without_rights_is_told_what_its_database_lacks(
    postgres: Postgres, owner: psycopg.Connection
) -> None:
    run_script(postgres.url)
    owner.execute("REVOKE INSERT ON celery_taskmeta FROM {}".format(f'"{ROLE}"'))
    (sentence,) = results_stored(app_of(postgres.url))
    assert "does not take results" in sentence
    assert "permission denied for table celery_taskmeta" in sentence
    assert "headway.toolbox.result_tables" in sentence
