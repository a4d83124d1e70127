"""The fixture ``postgres`` keeps its promises."""

import os
import subprocess
import sys

import psycopg
import pytest

from tests.services.postgres import Postgres, PostgresServer, find_binaries

pytestmark = pytest.mark.services


def names_of_tables(postgres: Postgres) -> list[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    with psycopg.connect(postgres.url) as connection:
        return [str(name) for (name,) in connection.execute(query)]


@pytest.mark.parametrize("test", ["one", "another"])
def test_every_test_gets_an_empty_database_of_its_own(postgres: Postgres, test: str) -> None:
    assert names_of_tables(postgres) == []
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE seen (id int)")
    assert names_of_tables(postgres) == ["seen"]


def test_the_server_listens_on_no_network_address(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url) as connection:
        row = connection.execute("SHOW listen_addresses").fetchone()
    assert row == ("",)


def test_a_killed_server_drops_its_clients_and_keeps_what_was_committed(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE kept (id int)")
        connection.commit()
        connection.execute("CREATE TABLE lost (id int)")
        postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres.url)

    postgres.restart()

    assert names_of_tables(postgres) == ["kept"]


def test_a_test_that_leaves_the_server_dead_does_no_harm_to_the_next(
    postgres: Postgres,
) -> None:
    postgres.kill()


def test_a_database_can_be_copied_from_a_template(postgres: Postgres) -> None:
    server = postgres.server
    template = server.create_database()
    with server.connect(template) as connection:
        connection.execute("CREATE TABLE prepared (id int)")
    copy = server.create_database(template)
    try:
        assert names_of_tables(Postgres(server, server.url(copy))) == ["prepared"]
    finally:
        server.drop_database(copy)
        server.drop_database(template)


def test_the_server_ends_with_the_tests_even_if_those_are_killed(
    postgres_server: PostgresServer,
) -> None:
    """A child makes a server and is killed; the server's socket must stop answering."""
    program = """
import sys
from tests.services.postgres import PostgresServer, find_binaries
server = PostgresServer(find_binaries())
print(server.url("postgres"), flush=True)
sys.stdin.read()
"""
    assert find_binaries() is not None
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    ) as child:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        with psycopg.connect(url) as connection:
            child.kill()
            child.wait()
            # The server tells its clients when it is ended.
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT pg_sleep(30)")
