"""``headway doctor`` on PostgreSQL."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.doors.typed import Place
from tests.services.postgres import Postgres

pytestmark = pytest.mark.services


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def doctor(place: Place, url: str, code: int = 1) -> Any:
    """The server of the tests does without fsync, which is a problem wherever it matters."""
    return place.type("doctor", "--json", "--db", url, code=code).json


def says(report: Any, grade: str) -> str:
    return "\n".join(one["says"] for one in report["findings"] if one["grade"] == grade)


def test_a_server_that_is_well(postgres: Postgres, place: Place) -> None:
    place.write("a.py", "from headway import Job\nclass A(Job):\n    def Check(self): pass\n")
    place.type("run", "a.py", "--db", postgres.url)
    report = doctor(place, postgres.url)
    assert "the database's clock says the same" in says(report, "ok")
    assert "no run is under way" in says(report, "ok")
    assert "PostgreSQL 1" in says(report, "ok")
    assert [one for one in report["limits"] if one["where"].startswith("adapters.postgres")]
    assert says(report, "problem").startswith("fsync is off")


def test_an_empty_database_stays_empty(postgres: Postgres, place: Place) -> None:
    assert "it holds nothing yet" in says(doctor(place, postgres.url), "ok")
    with psycopg.connect(postgres.url) as connection:
        tables = connection.execute("SELECT FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert tables == []


def test_a_role_that_may_only_read_is_told(postgres: Postgres, place: Place) -> None:
    place.write("a.py", "from headway import Job\nclass A(Job):\n    def Check(self): pass\n")
    place.type("run", "a.py", "--db", postgres.url)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE looker LOGIN")
        try:
            connection.execute("GRANT USAGE ON SCHEMA public TO looker")
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker")
            report = doctor(place, postgres.url.replace("user=headway", "user=looker"))
        finally:
            connection.execute("DROP OWNED BY looker")
            connection.execute("DROP ROLE looker")
    assert "may read it only" in says(report, "warning")


def test_a_server_that_has_gone_is_not_available(postgres: Postgres, place: Place) -> None:
    postgres.kill()
    try:
        report = doctor(place, postgres.url, code=69)
    finally:
        postgres.restart()
    assert says(report, "problem")
