"""Whatever keeps Celery tasks keeps the contract: in memory, in a file, on a server."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from headway.adapters.opening import open_store, open_tasks
from headway.errors import Refused
from headway.ports.tracking import Sought, Tasks
from headway.testing.memory_tasks import MemoryTasks
from headway.testing.tasks import NEWS, SENT, StoreResult, TasksContract
from headway.tracking.results import Result, read_value
from headway.tracking.states import TaskState
from headway.tracking.task import Task

if TYPE_CHECKING:
    from tests.services.postgres import Postgres

# As Celery 5.7 makes it.
TABLE = """
CREATE TABLE IF NOT EXISTS celery_taskmeta (
    id INTEGER NOT NULL PRIMARY KEY {numbered}, task_id VARCHAR(155) UNIQUE, status VARCHAR(50),
    result {bytes}, date_done {moment}, traceback TEXT
)
"""
ROW = "INSERT INTO celery_taskmeta VALUES ((SELECT count(*) FROM celery_taskmeta), {})"


def done(at_us: int | None) -> str | None:
    """As SQLAlchemy writes it: naive, in UTC."""
    if at_us is None:
        return None
    return (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at_us)).strftime(
        "%Y-%m-%d %H:%M:%S.%f"
    )


@contextmanager
def opener(url: str | Path) -> Iterator[Callable[[], Tasks]]:
    """Opens as many as are asked for, and closes them all."""
    opened: list[Tasks] = []

    def open_another() -> Tasks:
        opened.append(open_tasks(url))
        return opened[-1]

    open_another()
    yield open_another
    for one in opened:
        one.close()


class TestMemory(TasksContract):
    @pytest.fixture
    def memory(self) -> MemoryTasks:
        return MemoryTasks()

    @pytest.fixture
    def open_another(self, memory: MemoryTasks) -> Callable[[], Tasks]:
        return lambda: memory

    @pytest.fixture
    def store_result(self, memory: MemoryTasks) -> StoreResult:
        def store(
            id: str, status: str, at_us: int | None, value: bytes | str | None, trace: str | None
        ) -> None:
            shown = read_value(value, len(value or ""))
            if value is not None and len(value) > 65_536:
                shown = None, f"too large: {len(value):,} bytes"
            memory.results[id] = Result(status, at_us, *shown, trace)

        return store


class TestSqlite(TasksContract):
    @pytest.fixture
    def open_another(self, tmp_path: Path) -> Iterator[Callable[[], Tasks]]:
        with opener(tmp_path / "headway.db") as open_another:
            yield open_another

    @pytest.fixture
    def store_result(
        self, tmp_path: Path, open_another: Callable[[], Tasks]
    ) -> Iterator[StoreResult]:
        with closing(sqlite3.connect(tmp_path / "headway.db")) as connection:
            connection.execute(
                TABLE.format(bytes="BLOB", moment="DATETIME", numbered="AUTOINCREMENT")
            )

            def store(
                id: str,
                status: str,
                at_us: int | None,
                value: bytes | str | None,
                trace: str | None,
            ) -> None:
                row = (id, status, value, done(at_us), trace)
                connection.execute(ROW.format("?, ?, ?, ?, ?"), row)
                connection.commit()

            yield store


@pytest.mark.services
class TestPostgres(TasksContract):
    @pytest.fixture
    def open_another(self, postgres: "Postgres") -> Iterator[Callable[[], Tasks]]:
        with opener(postgres.url) as open_another:
            yield open_another

    @pytest.fixture
    def store_result(
        self, postgres: "Postgres", open_another: Callable[[], Tasks]
    ) -> Iterator[StoreResult]:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(TABLE.format(bytes="BYTEA", moment="TIMESTAMP", numbered=""))

            def store(
                id: str,
                status: str,
                at_us: int | None,
                value: bytes | str | None,
                trace: str | None,
            ) -> None:
                row = (id, status, value, done(at_us), trace)
                connection.execute(ROW.format("%s, %s, %s, %s, %s"), row)

            yield store


def test_a_store_has_the_tasks_of_its_database(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "headway.db")) as store:
        store.tasks.record(NEWS)
        assert store.tasks.task("t1").task.name == SENT.name


def test_a_result_kept_as_text_is_read_like_one_kept_as_bytes(tmp_path: Path) -> None:
    with (
        closing(open_tasks(tmp_path / "headway.db")) as tasks,
        closing(sqlite3.connect(tmp_path / "headway.db")) as connection,
    ):
        connection.execute(TABLE.format(bytes="TEXT", moment="DATETIME", numbered=""))
        connection.execute(ROW.format("'t1', 'SUCCESS', '[\"ä\"]', NULL, NULL"))
        connection.commit()
        assert tasks.task("t1").result == ("SUCCESS", None, '["ä"]', "json", None)


STRANGE = ("garbage", "", "infinity", "0000-01-01 00:00:00", "12026-01-01 00:00:00")


def test_a_result_with_a_strange_time_is_read_without_it(tmp_path: Path) -> None:
    with (
        closing(open_tasks(tmp_path / "headway.db")) as tasks,
        closing(sqlite3.connect(tmp_path / "headway.db")) as file,
    ):
        file.execute(TABLE.format(bytes="BLOB", moment="DATETIME", numbered="AUTOINCREMENT"))
        for number, at in enumerate(STRANGE):
            row = (f"t{number}", "HALFWAY", b"1", at, None)
            file.execute(ROW.format("?, ?, ?, ?, ?"), row)
        file.commit()
        shown_without_time(tasks, len(STRANGE))


@pytest.mark.services
def test_who_may_store_results_cannot_hide_the_others_by_a_strange_time(
    postgres: "Postgres",
) -> None:
    moments = ("infinity", "-infinity", "4713-01-01 BC", "294276-12-31", "10000-01-01")
    with (
        closing(open_tasks(postgres.url)) as tasks,
        psycopg.connect(postgres.url, autocommit=True) as owner,
    ):
        owner.execute(TABLE.format(bytes="BYTEA", moment="TIMESTAMP", numbered=""))
        for number, at in enumerate(moments):
            row = (f"t{number}", "HALFWAY", b"1", at, None)
            owner.execute(ROW.format("%s, %s, %s, %s, %s"), row)
        shown_without_time(tasks, len(moments))


def shown_without_time(tasks: Tasks, count: int) -> None:
    names = [f"t{number}" for number in range(count)]
    tasks.record([SENT._replace(id=name) for name in names])
    assert {tasks.task(name).result for name in names} == {
        Result("HALFWAY", None, "1", "json", None)
    }
    found = tasks.search(Sought(state=TaskState.STARTED), count + 1)
    assert sorted(one.task.id for one in found) == names
    assert {one.state for one in found} == {TaskState.STARTED}
    tasks.forget(1, 1)


def test_a_file_in_which_celery_was_first_becomes_a_store(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "headway.db")) as connection:
        connection.execute(TABLE.format(bytes="BLOB", moment="DATETIME", numbered="AUTOINCREMENT"))
        connection.execute(ROW.format("'t1', 'SUCCESS', x'31', NULL, NULL"))
        connection.commit()
    with closing(open_tasks(tmp_path / "headway.db")) as tasks:
        assert tasks.task("t1").result == ("SUCCESS", None, "1", "json", None)


@pytest.mark.services
def test_a_role_that_may_neither_delete_nor_make_tables_is_enough(postgres: "Postgres") -> None:
    with closing(open_tasks(postgres.url)):
        pass
    with psycopg.connect(postgres.url, autocommit=True) as owner:
        owner.execute("DROP ROLE IF EXISTS monitor")
        owner.execute("CREATE ROLE monitor LOGIN")
        owner.execute(f"REVOKE TEMP ON DATABASE {owner.info.dbname} FROM PUBLIC")
        owner.execute("GRANT SELECT ON meta TO monitor")
        owner.execute("GRANT SELECT, INSERT, UPDATE ON tasks, dead_letters TO monitor")
        try:
            url = postgres.url.replace("user=headway", "user=monitor")
            with closing(open_tasks(url)) as tasks:
                for news in NEWS:
                    tasks.record([news])
                assert tasks.search()[0].task.name == SENT.name
                store = open_store(url)
                with closing(store), pytest.raises(Refused):
                    store.runs()
        finally:
            owner.execute("DROP OWNED BY monitor")
            owner.execute("DROP ROLE monitor")


def test_a_great_many_are_forgotten_step_by_step(tmp_path: Path) -> None:
    with closing(open_tasks(tmp_path / "headway.db")) as tasks:
        many = [Task(f"t{n:05}", sent_us=n // 7, finality=n % 2, ended_us=n) for n in range(12_000)]
        tasks.record(many)
        assert tasks.forget(11_000, 0, keep=500) == (5_500, 0)
        left = tasks.search(limit=12_000)
        assert len(left) == 6_500
        assert all(not one.is_over or (one.task.ended_us or 0) >= 11_000 for one in left)
