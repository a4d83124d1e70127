"""A store in PostgreSQL when its server goes away or takes too long."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from headway.adapters import postgres as adapter
from headway.adapters.inline import Inline
from headway.adapters.opening import open_store
from headway.adapters.postgres import PostgresDatabase
from headway.adapters.sql_store import SqlStore
from headway.errors import Conflict, Unavailable
from headway.jobs.states import RunState
from headway.ports.store import Line, Store
from headway.runtime import launching
from headway.runtime.loading import Loaded
from headway.runtime.runner import Runner
from headway.runtime.targets import load
from headway.testing.stores import RUN, launch, owner, passed, rows_of
from tests.properties.store_machine import StoreMachine
from tests.services.postgres import Postgres, PostgresServer

pytestmark = pytest.mark.services

DEADLINE_S = 60.0


@pytest.fixture
def store(postgres: Postgres) -> Iterator[SqlStore]:
    """With one run that goes on."""
    with closing(open_store(postgres.url)) as opened:
        opened.begin(RUN, launch(), "{}", 3, owner(), 1)
        yield opened


def wait_until(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < give_up_at


# Servers that go away


def test_a_store_outlives_its_server(postgres: Postgres, store: SqlStore) -> None:
    store.append(RUN, 1, 1, 2, [passed(1)])
    postgres.kill()
    for use in (
        lambda: store.find(None),
        lambda: store.beat(RUN, 1),
        lambda: store.append(RUN, 1, 1, 3, [passed(2)]),
    ):
        with pytest.raises(Unavailable, match="does not answer"):
            use()
    postgres.restart()
    store.beat(RUN, 1)
    assert rows_of(store, RUN) == [passed(1)]
    postgres.restart()
    store.append(RUN, 1, 1, 3, [passed(2)])  # that the server was away is not even noticed
    assert rows_of(store, RUN) == [passed(1), passed(2)]


def end_connections(postgres: Postgres) -> None:
    """As an administrator does, or a fail-over."""
    with psycopg.connect(postgres.url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_transaction_under_way_is_lost_with_its_connection(
    postgres: Postgres, store: SqlStore
) -> None:
    def work(*, to_the_end: bool) -> None:
        with database.transaction():
            database.change("UPDATE runs SET jobs = 7")
            end_connections(postgres)
            if to_the_end:
                database.change("UPDATE runs SET jobs = 8")

    with closing(PostgresDatabase(postgres.url)) as database:
        for to_the_end in (True, False):
            with pytest.raises(Unavailable):
                work(to_the_end=to_the_end)
            assert store.find(RUN).jobs == 3
        with database.transaction():
            database.change("UPDATE runs SET jobs = 9")
    assert store.find(RUN).jobs == 9


def test_nothing_is_done_twice_when_a_connection_is_lost(
    postgres: Postgres, store: SqlStore
) -> None:
    """Only what stands outside a transaction is done again, and that changes nothing."""
    for number in range(5):
        end_connections(postgres)
        store.ask(RUN, "cancel", {}, "me", number)
        end_connections(postgres)
        store.append(RUN, 1, 1, number + 2, [passed(number)], lines=[Line(1, 1, 1, "out", "")])
    assert len(store.asked(RUN)) == len(store.output(RUN)) == 5


JOBS = """
from headway import Job
from pathlib import Path

class Bottom(Job):
    def Check(self, *args, **kwargs):
        Bottom.disturb()
        if not Path("bottom").exists():
            raise RuntimeError("no bottom yet")
    def Run(self, *args, **kwargs):
        Path("bottom").touch()

class Top(Bottom):
    DEPS = [Bottom]
    def Check(self, *args, **kwargs):
        pass
"""


@pytest.fixture
def runner(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Loaded, Runner]:
    monkeypatch.chdir(tmp_path)
    Path("jobs.py").write_text(JOBS)
    loaded = load("jobs.py:Top", {})
    return loaded, launching.begin(store, loaded, Inline(), launching.Options())


def disturb(loaded: Loaded, how: Callable[[], None]) -> None:
    (bottom,) = [each for each in loaded.definitions if each.__name__ == "Bottom"]
    once = [how]
    bottom.disturb = lambda: once.pop()() if once else None


def test_a_run_goes_on_when_the_server_was_away_between_two_commits(
    postgres: Postgres, store: SqlStore, runner: tuple[Loaded, Runner]
) -> None:
    disturb(runner[0], postgres.restart)
    assert launching.carry_out(runner[1]) is RunState.SUCCEEDED
    assert store.find(None).state is RunState.SUCCEEDED


def test_a_run_that_cannot_be_written_stops_and_is_resumed_later(
    postgres: Postgres, store: SqlStore, runner: tuple[Loaded, Runner]
) -> None:
    disturb(runner[0], postgres.kill)
    with pytest.raises(Unavailable, match="does not answer"):
        launching.carry_out(runner[1])
    assert not Path("bottom").exists()  # no Run before its intent was committed
    postgres.restart()
    record = store.find(None)
    assert record.state is RunState.RUNNING
    owner = record.owner
    assert owner is not None
    record = record._replace(owner=owner._replace(started="long ago"))  # that owner is dead
    loaded, _ = launching.reload(store, record)
    disturb(loaded, lambda: None)
    again = launching.take_up(store, record, loaded, Inline(), launching.Options())
    assert launching.carry_out(again) is RunState.SUCCEEDED
    assert Path("bottom").exists()


# Bounds


def test_a_statement_that_takes_too_long_is_ended(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "STATEMENT_S", 0.1)
    with closing(PostgresDatabase(postgres.url)) as database:
        with pytest.raises(Unavailable, match="relieve the server"):
            database.query("SELECT pg_sleep(60)")
        assert database.query("SELECT 1") == [(1,)]


def test_a_row_that_another_one_holds_is_waited_for_within_bounds(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "LOCK_S", 0.1)
    with closing(open_store(postgres.url)) as store:
        store.begin(RUN, launch(), "{}", 3, owner(), 1)
        with psycopg.connect(postgres.url) as other:
            other.execute("SELECT * FROM runs FOR UPDATE")
            with pytest.raises(Unavailable, match="Another one held it"):
                store.append(RUN, 1, 1, 2, [passed(1)])
        store.append(RUN, 1, 1, 2, [passed(1)])


def test_the_waits_are_those_the_page_tells(postgres: Postgres, store: SqlStore) -> None:
    names = ("statement_timeout", "lock_timeout", "tcp_keepalives_idle", "application_name")
    shown = [store._database.query(f"SHOW {name}")[0][0] for name in names]
    assert shown[:2] == ["15s", "10s"]
    assert shown[3] == "headway"
    with closing(PostgresDatabase(postgres.url + "&application_name=ours")) as database:
        assert database.query("SHOW application_name") == [("ours",)]


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    """It accepts the connection, and that is all."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"postgresql://me@127.0.0.1:{port}/db?connect_timeout=2&sslmode=disable"
        began = time.monotonic()
        with pytest.raises(Unavailable, match="does not answer"):
            open_store(url)
        assert time.monotonic() - began < 30


def test_ctrl_c_ends_a_statement_and_not_the_connection(postgres: Postgres) -> None:
    sleeping = "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60%'"

    def interrupt() -> None:
        with psycopg.connect(postgres.url, autocommit=True) as other:
            mine = f"{sleeping} AND pid <> pg_backend_pid()"
            wait_until(lambda: bool(other.execute(mine.encode()).fetchall()))
        os.kill(os.getpid(), 2)

    with closing(PostgresDatabase(postgres.url)) as database:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt), database.transaction():
            database.query("SELECT pg_sleep(60)")
        thread.join()
        with database.transaction():
            assert database.query("SELECT 1") == [(1,)]


def test_a_number_that_another_one_took_is_a_conflict(postgres: Postgres, store: SqlStore) -> None:
    """Two owners that believe in the same epoch at the same moment: the index decides."""
    results: list[str] = []
    with closing(open_store(postgres.url)) as other:
        together = threading.Barrier(2, timeout=DEADLINE_S)

        def append(through: SqlStore, key: int) -> None:
            together.wait()
            try:
                through.append(RUN, 1, 1, 2, [passed(key)])
                results.append("written")
            except Conflict:
                results.append("conflict")

        threads = [
            threading.Thread(target=append, args=(each, key))
            for key, each in enumerate((store, other))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(results) == ["conflict", "written"]


def test_postgresql_and_the_model_say_the_same(postgres_server: PostgresServer) -> None:
    names: list[str] = []
    template = postgres_server.create_database()
    open_store(postgres_server.url(template)).close()

    class Machine(StoreMachine):
        @staticmethod
        def open_store() -> Store:
            names.append(postgres_server.create_database(template))
            return open_store(postgres_server.url(names[-1]))

        def teardown(self) -> None:
            super().teardown()
            postgres_server.drop_database(names.pop())

    phases = (Phase.generate, Phase.shrink)  # each example costs a database
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=15, deadline=None, phases=phases)
    )
    postgres_server.drop_database(template)
