"""The monitor when something goes wrong: every task that was sent is recorded, once."""

import random
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pika
import pytest
from celery import Celery

from headway.adapters.opening import open_tasks
from headway.errors import Unavailable
from headway.runtime.monitor import EXIT_S
from tests.faults.monitor_kills import (
    CONFIRMED,
    SENT_BEFORE,
    kill_monitors,
    recorded,
    require_each_once,
    sending,
    take_away,
)
from tests.services.rabbitmq import RabbitMQ
from tests.services.tracked import TRACKED, make_app, monitor_process

if TYPE_CHECKING:
    from tests.services.postgres import Postgres

pytestmark = pytest.mark.services


@pytest.fixture
def app(rabbitmq: RabbitMQ) -> Iterator[Celery]:
    with closing(make_app(rabbitmq.url, TRACKED, **CONFIRMED)) as app:
        yield app


@pytest.fixture
def words(rabbitmq: RabbitMQ, postgres: "Postgres") -> tuple[str, ...]:
    return "--broker", rabbitmq.url, "--db", postgres.url


def test_a_monitor_killed_ten_times_under_load_records_every_task_once(
    app: Celery, words: tuple[str, ...], postgres: "Postgres", tmp_path: Path
) -> None:
    assert kill_monitors(app, words, postgres.url, tmp_path, 10, random.Random(5)) > 10


def test_a_database_that_goes_away_for_long_costs_nothing(
    app: Celery, words: tuple[str, ...], postgres: "Postgres", tmp_path: Path
) -> None:
    # The waits between its attempts grow: by the eighth, half a minute may have passed.
    sent = take_away(
        app, words, postgres, postgres.url, tmp_path, lambda one: one.wait_for("trying again", 8)
    )
    assert sent > SENT_BEFORE


def test_a_broker_that_is_restarted_costs_nothing(
    app: Celery, words: tuple[str, ...], rabbitmq: RabbitMQ, postgres: "Postgres", tmp_path: Path
) -> None:
    with monitor_process(tmp_path, *words) as monitor:
        monitor.wait_for("hears every task")
        with sending(app) as sender:
            sender.wait_for(SENT_BEFORE)
            first = list(sender.stop())
        rabbitmq.restart()
        monitor.wait_for("hears every task", 2)
        with closing(make_app(rabbitmq.url, TRACKED, **CONFIRMED)) as other, sending(other) as more:
            more.wait_for(SENT_BEFORE)
            ids = first + more.stop()
        require_each_once(recorded(postgres.url, ids), ids)
        assert monitor.end(signal.SIGTERM) == 0


def test_told_to_leave_it_is_gone_in_five_seconds_and_what_it_took_is_recorded_or_still_there(
    app: Celery, words: tuple[str, ...], rabbitmq: RabbitMQ, postgres: "Postgres", tmp_path: Path
) -> None:
    with monitor_process(tmp_path, *words) as monitor, sending(app) as sender:
        monitor.wait_for("hears every task")
        sender.wait_for(100)
        began = time.monotonic()
        assert monitor.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 5
        ids = sender.stop()
    with closing(open_tasks(postgres.url)) as tasks:
        found = len(tasks.search(limit=len(ids) + 1000))
    with closing(pika.BlockingConnection(pika.URLParameters(rabbitmq.url))) as connection:
        declared = connection.channel().queue_declare("platform.fifo", passive=True)
        assert found + declared.method.message_count == len(ids)
    assert monitor.wait_for("left: ").count(f"{found} messages recorded") == 1


def test_told_to_leave_while_the_database_is_away_it_leaves_all_to_the_broker(
    app: Celery, words: tuple[str, ...], rabbitmq: RabbitMQ, postgres: "Postgres", tmp_path: Path
) -> None:
    with monitor_process(tmp_path, *words) as monitor:
        monitor.wait_for("hears every task")
        postgres.kill()
        ids = [app.tasks["export.add"].delay(number, 1).id for number in range(5)]
        monitor.wait_for("trying again")
        began = time.monotonic()
        monitor.end(signal.SIGTERM)
        assert time.monotonic() - began < EXIT_S + 1
    postgres.restart()
    with monitor_process(tmp_path, *words):
        require_each_once(recorded(postgres.url, ids), ids)


def test_two_monitors_side_by_side_record_every_task_once(
    app: Celery, words: tuple[str, ...], postgres: "Postgres", tmp_path: Path
) -> None:
    with monitor_process(tmp_path, *words) as one, monitor_process(tmp_path, *words) as other:
        for monitor in (one, other):
            monitor.wait_for("hears every task")
        with sending(app) as sender:
            sender.wait_for(300)
            ids = sender.stop()
        require_each_once(recorded(postgres.url, ids), ids)


def test_a_store_without_a_server_is_waited_for(
    app: Celery, words: tuple[str, ...], postgres: "Postgres", tmp_path: Path
) -> None:
    with closing(open_tasks(postgres.url)):
        pass
    postgres.kill()
    with monitor_process(tmp_path, *words) as monitor:
        monitor.wait_for("goes on without it")
        id = app.tasks["export.add"].delay(1, 1).id
        monitor.wait_for("trying again")
        with pytest.raises(Unavailable):
            open_tasks(postgres.url)
        postgres.restart()
        require_each_once(recorded(postgres.url, [id]), [id])
