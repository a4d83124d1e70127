"""Celery's database backend and ours keep one contract, and leave the same rows."""

import pickle
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from celery import Celery, group
from celery.app.task import Context
from celery.result import GroupResult
from kombu.exceptions import EncodeError
from psycopg.rows import dict_row

from headway.errors import Rejected

if TYPE_CHECKING:
    from tests.services.postgres import Postgres

Row = dict[str, Any]
# What backends are told of the task that is carried out.
REQUEST: Mapping[str, Any] = {
    "id": "one",
    "task": "export.add",
    "args": [1, "ü"],
    "kwargs": {"rows": 3},
    "hostname": "export@here",
    "retries": 2,
    "delivery_info": {"routing_key": "export"},
}
STAMPED: Mapping[str, Any] = {
    **REQUEST,
    "stamped_headers": ["tenant"],
    "stamps": {"tenant": ["blue"]},
}


def make_app(url: str, **settings: Any) -> Celery:
    app = Celery("results", broker="memory://", backend=url, set_as_current=False)
    app.conf.update(settings)

    @app.task(name="export.add", shared=False)  # type: ignore[untyped-decorator]
    def add(x: int, y: int) -> int:
        return x + y

    return app


class Place:
    """A database, and what is in it, past all backends."""

    def __init__(self, url: str) -> None:
        self.url = url

    def rows(self, table: str = "celery_taskmeta") -> list[Row]:
        with closing(self._connect()) as connection:
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY id")]

    def change(self, sql: str) -> None:
        with closing(self._connect()) as connection:
            connection.execute(sql)
            connection.commit()

    def _connect(self) -> Any:
        if self.url.startswith("postgresql"):
            return psycopg.connect(self.url, row_factory=dict_row)
        connection = sqlite3.connect(self.url.removeprefix("sqlite:///"))
        connection.row_factory = sqlite3.Row
        return connection


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Place:
    return Place(f"sqlite:///{tmp_path / 'results.db'}")


@pytest.fixture
def on_postgres(postgres: "Postgres") -> Place:
    return Place(postgres.url)


class ResultsContract:
    """What an app may expect of either."""

    kind: str  # of backend: what stands before the plus

    @pytest.fixture
    def place(self) -> Place:
        raise NotImplementedError

    @pytest.fixture
    def app(self, place: Place) -> Iterator[Celery]:
        with closing(make_app(f"{self.kind}+{place.url}")) as app:
            yield app

    @pytest.fixture
    def extended(self, place: Place) -> Iterator[Celery]:
        with closing(make_app(f"{self.kind}+{place.url}", result_extended=True)) as app:
            yield app

    def test_a_task_never_heard_of_is_pending(self, app: Celery) -> None:
        assert app.AsyncResult("never").state == "PENDING"
        assert app.backend.get_task_meta("never") == {
            "task_id": "never",
            "status": "PENDING",
            "result": None,
            "traceback": None,
            "date_done": None,
            "children": None,
        }
        assert not app.backend.task_result_exists("never")

    def test_what_a_task_returned_is_read_back(self, app: Celery) -> None:
        value = {"rows": [1, 2.5, None, True], "by": "Zoë\u0000🎬"}
        app.backend.store_result("one", value, "SUCCESS")
        assert app.AsyncResult("one").get(timeout=5) == value
        assert app.backend.task_result_exists("one")

    def test_a_task_is_followed_from_its_start_to_its_end(self, app: Celery, place: Place) -> None:
        for state, value in [("STARTED", {"pid": 1}), ("RETRY", ValueError("x")), ("SUCCESS", 3)]:
            app.backend.store_result("one", value, state)
            assert app.AsyncResult("one").state == state
        assert [row["id"] for row in place.rows()] == [1]

    def test_a_failure_is_raised_where_it_is_asked_for(self, app: Celery) -> None:
        app.backend.store_result("one", ValueError("no such page"), "FAILURE", traceback="Trace…")
        with pytest.raises(ValueError, match="no such page"):
            app.AsyncResult("one").get(timeout=5)
        assert app.AsyncResult("one").traceback == "Trace…"

    def test_a_result_that_json_cannot_carry_is_refused(self, app: Celery) -> None:
        with pytest.raises(EncodeError):  # which fails the task
            app.backend.store_result("one", object(), "SUCCESS")
        assert app.AsyncResult("one").state == "PENDING"

    def test_nothing_is_stored_over_a_success(self, app: Celery, place: Place) -> None:
        app.backend.store_result("one", 3, "SUCCESS")
        before = place.rows()
        for state, value in [("STARTED", {}), ("FAILURE", KeyError(4)), ("SUCCESS", 4)]:
            app.backend.store_result("one", value, state)
        assert place.rows() == before

    def test_a_failure_gives_way_to_a_later_success(self, app: Celery) -> None:
        app.backend.store_result("one", ValueError("x"), "FAILURE", traceback="Trace")
        app.backend.store_result("one", 3, "SUCCESS")
        assert app.AsyncResult("one").get(timeout=5) == 3
        assert app.AsyncResult("one").traceback is None

    def test_when_it_was_done_is_utc_without_saying_so(self, app: Celery) -> None:
        before = datetime.now(UTC).replace(tzinfo=None)
        app.backend.store_result("one", 3, "SUCCESS")
        done = app.AsyncResult("one").date_done
        assert before <= done <= datetime.now(UTC).replace(tzinfo=None)

    def test_extended_results_tell_of_the_task(self, extended: Celery) -> None:
        extended.backend.store_result("one", 3, "SUCCESS", request=Context(STAMPED))
        result = extended.AsyncResult("one")
        assert (result.name, result.args, result.kwargs) == ("export.add", [1, "ü"], {"rows": 3})
        assert (result.worker, result.retries, result.queue) == ("export@here", 2, "export")
        assert extended.backend.get_task_meta("one")["tenant"] == ["blue"]

    def test_the_children_of_a_task_are_found(self, app: Celery) -> None:
        request = Context(REQUEST, _children=[app.AsyncResult("child")])
        app.backend.store_result("one", 3, "SUCCESS", request=request)
        assert [child.id for child in app.AsyncResult("one").children] == ["child"]

    def test_a_group_is_saved_restored_and_deleted(self, app: Celery) -> None:
        saved = GroupResult("all", [app.AsyncResult("one"), app.AsyncResult("two")], app=app)
        saved.save()
        restored = GroupResult.restore("all", app=app)
        assert [one.id for one in restored] == ["one", "two"]
        restored.delete()
        assert GroupResult.restore("all", app=app) is None

    def test_a_group_is_joined(self, app: Celery) -> None:
        result = group(app.tasks["export.add"].s(n, 1) for n in range(3)).apply_async()
        for number, one in enumerate(result):
            app.backend.store_result(one.id, number + 1, "SUCCESS")
        assert result.join(timeout=5) == [1, 2, 3]

    def test_a_forgotten_result_is_pending_again(self, app: Celery) -> None:
        app.backend.store_result("one", 3, "SUCCESS")
        app.AsyncResult("one").forget()
        assert app.AsyncResult("one").state == "PENDING"

    def test_cleanup_forgets_what_has_expired(self, app: Celery, place: Place) -> None:
        app.backend.store_result("old", 3, "SUCCESS")
        long_ago = datetime.now(UTC) - timedelta(days=2)
        place.change(f"UPDATE celery_taskmeta SET date_done = '{long_ago:%Y-%m-%d %H:%M:%S.%f}'")
        app.backend.store_result("new", 3, "SUCCESS")
        app.backend.cleanup()
        assert [row["task_id"] for row in place.rows()] == ["new"]

    def test_a_table_of_an_older_celery_is_brought_up_to_date(
        self, extended: Celery, place: Place
    ) -> None:
        with closing(make_app(f"{self.kind}+{place.url}")) as older:
            older.backend.store_result("old", 1, "SUCCESS")
        for column in ("stamps", "children", "queue"):
            place.change(f"ALTER TABLE celery_taskmeta DROP COLUMN {column}")
        extended.backend.store_result("one", 3, "SUCCESS", request=Context(STAMPED))
        assert [row["queue"] for row in place.rows()] == [None, "export"]


class TestCelerysOnSqlite(ResultsContract):
    kind = "db"

    @pytest.fixture
    def place(self, on_sqlite: Place) -> Place:
        return on_sqlite


class TestOursOnSqlite(ResultsContract):
    kind = "headway"

    @pytest.fixture
    def place(self, on_sqlite: Place) -> Place:
        return on_sqlite


@pytest.mark.services
class TestCelerysOnPostgres(ResultsContract):
    kind = "db"

    @pytest.fixture
    def place(self, on_postgres: Place) -> Place:
        return on_postgres


@pytest.mark.services
class TestOursOnPostgres(ResultsContract):
    kind = "headway"

    @pytest.fixture
    def place(self, on_postgres: Place) -> Place:
        return on_postgres


class TwinsContract:
    """The same changes through either leave the same rows, column by column."""

    @pytest.fixture
    def store(self) -> "Store":
        raise NotImplementedError

    def test_each_change_leaves_the_same_row(self, store: "Store") -> None:
        store("STARTED", {"pid": 1, "hostname": "here"})
        store("RETRY", ValueError("not yet"), traceback="Trace 1")
        store("STARTED", {"pid": 2, "hostname": "here"})
        store("RETRY", ValueError("not yet"), traceback="Trace 2")
        store("FAILURE", KeyError("ü"), traceback="Trace 3")
        store("PROGRESS", {"of": 100})
        store("SUCCESS", [1, None, "ü"])
        store("FAILURE", KeyError("late"))

    def test_so_does_each_change_of_extended_results(self, store: "Store") -> None:
        store("STARTED", {"pid": 1}, request=REQUEST, extended=True)
        store("RETRY", ValueError("not yet"), request=STAMPED, extended=True)
        store("STARTED", {"pid": 1}, request={**REQUEST, "retries": 3}, extended=True)
        store("REVOKED", None)
        store("SUCCESS", 3, request=REQUEST, extended=True)

    def test_so_does_one_that_is_no_more_than_revoked(self, store: "Store") -> None:
        store("REVOKED", None)
        store("REVOKED", None, request=STAMPED, extended=True)

    def test_so_does_one_with_children_and_groups(self, store: "Store") -> None:
        store(
            "SUCCESS",
            3,
            request={**REQUEST, "_children": [Celery(set_as_current=False).AsyncResult("child")]},
        )
        store.save_group("all")


class Store:
    """Makes a change through both backends, and compares what they left."""

    def __init__(self, celerys: Place, ours: Place) -> None:
        self._places = {"db": celerys, "headway": ours}

    def __call__(
        self,
        state: str,
        value: Any,
        *,
        traceback: str | None = None,
        request: Mapping[str, Any] | None = None,
        extended: bool = False,
    ) -> None:
        def change(app: Celery) -> None:
            context = Context(request) if request else None
            app.backend.store_result("one", value, state, traceback=traceback, request=context)

        self._both(change, result_extended=extended)

    def save_group(self, id: str) -> None:
        self._both(lambda app: GroupResult(id, [app.AsyncResult("one")], app=app).save())

    def _both(self, change: Callable[[Celery], None], **settings: Any) -> None:
        for kind, place in self._places.items():
            with closing(make_app(f"{kind}+{place.url}", **settings)) as app:
                change(app)
        for table in ("celery_taskmeta", "celery_tasksetmeta"):
            celerys, ours = (place.rows(table) for place in self._places.values())
            assert [shape(row) for row in celerys] == [shape(row) for row in ours]
            assert list(map(timeless, celerys)) == list(map(timeless, ours))


def timeless(row: Row) -> Row:
    """With whether there is a time, in place of when."""
    return {**row, "date_done": row["date_done"] is not None}


def shape(row: Row) -> dict[str, Any]:
    """Types, and how a time is written."""
    return {
        name: len(value) if name == "date_done" and isinstance(value, str) else type(value)
        for name, value in row.items()
    }


class TestTwinsOnSqlite(TwinsContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store(*(Place(f"sqlite:///{tmp_path / name}.db") for name in ("celerys", "ours")))

    def test_the_tables_are_those_that_celery_makes(self, tmp_path: Path, store: Store) -> None:
        store("SUCCESS", 1)
        found = []
        for name in ("celerys", "ours"):
            with closing(sqlite3.connect(tmp_path / f"{name}.db")) as connection:
                tables = ("celery_taskmeta", "celery_tasksetmeta")
                found.append(
                    [
                        connection.execute(f"PRAGMA {what}({table})").fetchall()
                        for table in tables
                        for what in ("table_info", "index_list")
                    ]
                )
        assert found[0] == found[1]


@pytest.mark.services
class TestTwinsOnPostgres(TwinsContract):
    @pytest.fixture
    def store(self, on_postgres: Place) -> Store:
        """Two schemas of one database."""
        places = []
        for name in ("celerys", "ours"):
            on_postgres.change(f"CREATE SCHEMA {name}")
            places.append(Place(f"{on_postgres.url}&options=-csearch_path%3D{name}"))
        return Store(*places)


@pytest.mark.parametrize("content", [["json"], ["json", "pickle"]])
def test_a_pickle_in_the_table_is_never_opened(on_sqlite: Place, content: list[str]) -> None:
    settings = {"accept_content": content, "result_accept_content": content}
    with closing(make_app(f"headway+{on_sqlite.url}", **settings)) as app:
        app.backend.store_result("one", 3, "SUCCESS")
        on_sqlite.change(f"UPDATE celery_taskmeta SET result = x'{pickle.dumps(Trap()).hex()}'")
        with pytest.raises(Exception, match="not JSON, and nothing else is ever opened") as raised:
            app.AsyncResult("one").get(timeout=5)
        assert isinstance(raised.value, Rejected)


class Trap:
    """Opened, it would end the test."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was opened",)
