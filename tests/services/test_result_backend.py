"""Our result backend where it is used: in forked Celery workers, and when databases go away."""

import os
import threading
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from celery import Celery, chord
from celery.backends.base import BackendStoreError

from cadasta.workertoolbox.conf import Config
from headway.adapters.celery_results.rows import TRIES
from headway.errors import Refused, Unavailable
from tests.services.celery_brokers import celery_worker
from tests.services.postgres import Postgres
from tests.services.rabbitmq import RabbitMQ
from tests.unit.toolbox_apps import an_app, complaints

pytestmark = [
    pytest.mark.services,
    # Since Python 3.12 a fork beside other threads warns; that a test forks is its point.
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

DEADLINE_S = 60.0


def make_app(url: str, **settings: Any) -> Celery:
    app = Celery("results", broker="memory://", set_as_current=False)
    app.conf.update(result_backend=f"headway+{url}", **settings)
    return app


def stored(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        sql = "SELECT task_id, status FROM celery_taskmeta ORDER BY task_id"
        return connection.execute(sql).fetchall()


def test_the_tasks_of_a_prefork_worker_and_a_chord_of_them_are_stored(
    rabbitmq: RabbitMQ, postgres: Postgres, tmp_path: Path
) -> None:
    settings = {
        "queues": ["export"],
        "result_backend": f"headway+{postgres.url}",
        "broker_url": rabbitmq.url,
    }
    with closing(Celery("producer", set_as_current=False)) as app:
        app.config_from_object(Config(**settings))
        note = app.signature("export.note")
        words = [f"word{number}" for number in range(8)]
        head = [note.clone(args=(word,)) for word in words]
        with celery_worker(tmp_path, settings, "-P", "prefork", "-c", "2"):
            joined = chord(head, app=app)(app.signature("export.join", app=app))
            assert joined.get(timeout=DEADLINE_S, interval=0.1) == "+".join(words)
            done = [one.get(timeout=DEADLINE_S) for one in joined.parent]
    assert done == words
    found = stored(postgres.url)
    assert {status for _, status in found} <= {"SUCCESS", "RETRY"}  # the chord's unlock tries again
    assert {joined.id, *(one.id for one in joined.parent)} <= {id for id, _ in found}


def test_a_forked_process_stores_by_a_connection_of_its_own(postgres: Postgres) -> None:
    with closing(make_app(postgres.url)) as app:
        app.backend.store_result("before", 1, "SUCCESS")
        child = os.fork()
        if child == 0:
            try:
                app.backend.store_result("forked", 1, "SUCCESS")
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        os.waitpid(child, 0)
        app.backend.store_result("later", 1, "SUCCESS")
    assert [id for id, _ in stored(postgres.url)] == ["before", "forked", "later"]


def test_threads_share_a_backend_and_never_a_connection(postgres: Postgres) -> None:
    with closing(make_app(postgres.url)) as app:
        app.backend.store_result("first", 0, "SUCCESS")
        together = threading.Barrier(8)

        def store(thread: int) -> None:
            together.wait(DEADLINE_S)
            for number in range(25):
                app.backend.store_result(f"{thread}-{number}", thread, "STARTED")
                app.backend.store_result(f"{thread}-{number}", thread, "SUCCESS")

        run_all(lambda: store(0), *(lambda n=n: store(n) for n in range(1, 8)))
        with psycopg.connect(postgres.url) as connection:
            sql = "SELECT max(id), count(*) FROM celery_taskmeta WHERE status = 'SUCCESS'"
            highest, count = connection.execute(sql).fetchall()[0]
    assert count == 201
    assert highest == 201  # an update takes no number of the sequence


def run_all(*calls: Callable[[], None]) -> None:
    failed: list[BaseException] = []

    def run(call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    assert not failed, failed


def test_a_result_is_stored_once_the_database_is_back(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(make_app(postgres.url)) as app:
        app.backend.store_result("before", 1, "SUCCESS")
        postgres.kill()
        waited = threading.Event()
        usual = app.backend._sleep

        def sleep(seconds: float) -> None:
            waited.set()
            usual(seconds)

        monkeypatch.setattr(app.backend, "_sleep", sleep)

        def store() -> None:
            app.backend.store_result("meanwhile", 2, "SUCCESS")

        def restart() -> None:
            assert waited.wait(DEADLINE_S)
            postgres.restart()

        run_all(store, restart)
        assert app.AsyncResult("meanwhile").get(timeout=DEADLINE_S) == 2
    assert [id for id, _ in stored(postgres.url)] == ["before", "meanwhile"]


def test_a_server_that_was_restarted_meanwhile_costs_nobody_a_try(postgres: Postgres) -> None:
    with closing(make_app(postgres.url, result_backend_always_retry=False)) as app:
        app.backend.store_result("before", 1, "SUCCESS")
        postgres.restart()
        app.backend.store_result("after", 1, "SUCCESS")
    assert [id for id, _ in stored(postgres.url)] == ["after", "before"]


def test_who_gives_up_is_told_why_and_what_to_do(postgres: Postgres) -> None:
    settings = {"result_backend_max_retries": 1}
    with closing(make_app(postgres.url, **settings)) as app:
        postgres.kill()
        with pytest.raises(BackendStoreError) as raised:
            app.backend.store_result("one", 1, "SUCCESS")
    cause = raised.value.__cause__
    assert isinstance(cause, Unavailable)
    assert "does not answer" in str(cause)
    assert app.backend.max_retries < TRIES


def test_a_role_without_rights_is_told_of_the_owners_script(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as owner:
        owner.execute("CREATE ROLE reader LOGIN")
        try:
            app = make_app(postgres.url.replace("user=headway", "user=reader"))
            with closing(app), pytest.raises(Refused) as raised:
                app.backend.store_result("one", 1, "SUCCESS")
        finally:
            owner.execute("DROP ROLE reader")
    assert "permission denied for schema public" in str(raised.value)
    assert "python -m headway.toolbox.result_tables" in str(raised.value)


def test_the_functional_tests_store_nothing_and_pass(postgres: Postgres) -> None:
    assert complaints(an_app(result_backend=f"headway+{postgres.url}")) == {}
    assert stored(postgres.url) == []


def test_functional_tests_say_that_the_database_does_not_answer(postgres: Postgres) -> None:
    app = an_app(result_backend=f"headway+{postgres.url}")
    postgres.kill()
    (sentence,) = complaints(app)["stored"]
    assert "does not answer" in sentence
    assert "headway.toolbox.result_tables" in sentence
