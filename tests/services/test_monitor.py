"""The monitor on real RabbitMQ, with real Celery workers and real databases."""

import json
import pickle
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pika
import pytest
from celery import Celery

from headway.adapters.celery_feeds import apps
from headway.adapters.celery_feeds.system import (
    EVENT_QUEUE,
    EVENT_QUEUE_BYTES,
    System,
    TaskExchange,
)
from headway.adapters.opening import open_tasks
from headway.errors import Refused, Unavailable
from headway.ports.tracking import Feed, Reach, Sought
from headway.runtime import clocks
from headway.testing.memory_tasks import MemoryTasks
from headway.tracking.states import TaskState
from tests.services.rabbitmq import RabbitMQ
from tests.services.tracked import (
    FOREIGN,
    PLATFORM,
    TRACKED,
    Watched,
    celery_worker,
    make_app,
    monitoring,
    write_app,
)

if TYPE_CHECKING:
    from tests.services.postgres import Postgres

pytestmark = pytest.mark.services


@pytest.fixture
def app(rabbitmq: RabbitMQ) -> Iterator[Celery]:
    with closing(make_app(rabbitmq.url, TRACKED)) as app:
        yield app


@pytest.fixture
def tasks() -> Watched:
    return Watched(MemoryTasks())


def send(app: Celery, name: str, *args: Any, **options: Any) -> str:
    return str(app.tasks[name].apply_async(args, **options).id)


# What is sent


def test_a_task_is_recorded_from_the_moment_it_is_sent(app: Celery, tasks: Watched) -> None:
    with monitoring(app, tasks):
        id = send(app, "export.add", 1, 2, countdown=3600, headers={"tenant": "a"})
        seen = tasks.wait_until(id, TaskState.SENT)
    task = seen.task
    assert (task.name, task.queue, task.args, task.kwargs) == (
        "export.add",
        "export",
        "[1, 2]",
        "{}",
    )
    assert (task.root, task.parent, task.retries, task.form) == (id, None, 0, "json")
    assert task.eta_us is not None
    assert task.heard_us is not None
    assert 3_590e6 < task.eta_us - task.heard_us < 3_610e6
    assert (task.origin or "").startswith("gen")
    assert json.loads(task.extra or "") == {"tenant": "a"}


def test_what_is_settled_does_not_come_again_and_what_is_not_does(
    app: Celery, rabbitmq: RabbitMQ
) -> None:
    with closing(feed_of(rabbitmq)) as feed:
        feed.open()
        ids = [send(app, "export.add", number, 0) for number in range(5)]
        heard: list[Any] = []
        while len(heard) < 5:
            heard += feed.fetch(10, 10)
        feed.settle(3)
        feed.open()
        again: list[Any] = []
        while len(again) < 2:
            again += feed.fetch(10, 10)
        assert [one.headers["id"] for one in heard] == ids
        assert [one.headers["id"] for one in again] == ids[3:]
        assert feed.fetch(10, 0.1) == []


def test_a_body_that_is_pickled_is_recorded_and_never_opened(
    app: Celery, tasks: Watched, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    with monitoring(app, tasks):
        id = app.send_task("export.add", (Canary(canary),), serializer="pickle").id
        task = tasks.wait_until(id, TaskState.SENT).task
        assert (task.form, task.name) == ("repr", "export.add")
        with app.producer_or_acquire() as producer:
            for number, kind in enumerate(("application/json", "application/x-python-serialize")):
                publish(producer, pickle.dumps(Canary(canary)), kind, number)
        tasks.wait_for(lambda one: len(one.dead_letters()) == 2)
    assert not canary.exists()


class Canary:
    """Whoever unpickles it makes a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> Any:
        return (Path.touch, (self._file,))


def publish(producer: Any, body: bytes, kind: str, number: int) -> None:
    producer.publish(
        body,
        exchange="task_exchange",
        routing_key="export",
        content_type=kind,
        content_encoding="binary",
        headers={"number": number},
        declare=[PLATFORM],
    )


def test_a_message_that_says_nothing_harms_no_other(app: Celery, tasks: Watched) -> None:
    with monitoring(app, tasks):
        with app.producer_or_acquire() as producer:
            first = send(app, "export.add", 1, 1)
            publish(producer, b"\xff\0{", "application/json", 1)
            publish(producer, b"x" * 200_000, "application/json", 2)
            last = send(app, "export.add", "x" * 200_000, 1)
        tasks.wait_for_all([first, last])
        tasks.wait_for(lambda one: len(one.dead_letters()) == 2)
    large, small = sorted(tasks.dead_letters(), key=lambda one: -one.body_bytes)
    assert "not UTF-8" in small.reason
    assert "more than the limit" in large.reason
    assert large.body_bytes == 200_000
    task = tasks.task(last).task
    assert task.form == "repr"
    assert (task.body_bytes or 0) > 200_000


def test_the_exchange_of_a_foreign_app_is_heard_if_it_is_a_topic_one(
    rabbitmq: RabbitMQ, tasks: Watched
) -> None:
    foreign = {"task_default_exchange": "theirs", "task_default_exchange_type": "topic"}
    with closing(make_app(rabbitmq.url, foreign)) as app, monitoring(app, tasks):
        assert tasks.wait_until(send(app, "export.add", 1, 1), TaskState.SENT)


def feed_of(rabbitmq: RabbitMQ, **system: Any) -> Feed:
    return apps.feed_of_broker(rabbitmq.url, System(**system), clocks.now_us)


def reach_of(rabbitmq: RabbitMQ, *exchanges: TaskExchange, **system: Any) -> Reach:
    with closing(feed_of(rabbitmq, exchanges=exchanges, **system)) as feed:
        return feed.open()


def test_it_says_how_far_it_hears(rabbitmq: RabbitMQ) -> None:
    with closing(pika.BlockingConnection(pika.URLParameters(rabbitmq.url))) as connection:
        channel = connection.channel()
        for kind in ("topic", "direct", "fanout"):
            channel.exchange_declare(kind, kind)
    assert reach_of(rabbitmq, TaskExchange("topic")) == (
        True,
        False,
        [
            "hears every task sent to exchange topic, through queue platform.fifo",
            "does not hear from Celery workers (without --events): what becomes of a task is"
            " known when its result is stored",
        ],
    )
    for exchange, hears, words in (
        (TaskExchange("fanout"), True, "hears every task"),
        (TaskExchange("direct"), False, "name the keys"),
        (TaskExchange("direct", keys=("a", "b")), True, "with keys a, b to exchange direct"),
        (TaskExchange("celery", "direct"), False, "straight to their queue"),
        (TaskExchange("new"), True, "was not there until now"),
    ):
        reach = reach_of(rabbitmq, exchange)
        assert reach.hears_sends is hears, exchange
        assert words in reach.says[0]
    assert reach_of(rabbitmq, TaskExchange("topic"), with_events=True).hears_workers


def test_a_queue_that_somebody_else_has_made_is_used_as_it_is(
    app: Celery, rabbitmq: RabbitMQ, tasks: Watched
) -> None:
    with closing(pika.BlockingConnection(pika.URLParameters(rabbitmq.url))) as connection:
        arguments = {"x-max-length": 10_000, "x-overflow": "drop-head"}
        connection.channel().queue_declare("platform.fifo", durable=True, arguments=arguments)
    app.conf.task_routes = {"*": {"queue": "export"}}  # nor does the app declare it
    with monitoring(app, tasks):
        assert tasks.wait_until(send(app, "export.add", 1, 1), TaskState.SENT)


def test_a_user_who_may_only_read_the_queue_is_enough_where_it_is_bound(
    app: Celery, rabbitmq: RabbitMQ
) -> None:
    send(app, "export.add", 1, 1)
    node, vhost = rabbitmq.node, rabbitmq.vhost
    node.make_user("reader", "secret", vhost, "^$", "^$", r"^platform\.fifo$")
    url = node.url("reader", "secret", vhost)
    with closing(apps.feed_of_broker(url, System(), clocks.now_us)) as feed:
        reach = feed.open()
        assert "if its administrator has bound" in reach.says[0]
        assert len(feed.fetch(10, 10)) == 1
    with (
        closing(apps.feed_of_broker(url, System(queue="other"), clocks.now_us)) as feed,
        pytest.raises(Refused, match="other"),
    ):
        feed.open()


def test_a_broker_that_is_not_there_is_unavailable_and_a_wrong_password_refused(
    rabbitmq: RabbitMQ,
) -> None:
    nobody = apps.feed_of_broker("amqp://a:b@127.0.0.1:1//", System(), clocks.now_us)
    with pytest.raises(Unavailable):
        nobody.open()
    wrong = rabbitmq.url.replace("@", "x@")
    with pytest.raises(Refused):
        apps.feed_of_broker(wrong, System(), clocks.now_us).open()


def test_of_several_brokers_the_first_that_answers_is_heard(rabbitmq: RabbitMQ) -> None:
    urls = f"amqp://a:b@127.0.0.1:1//;{rabbitmq.url}"
    with closing(apps.feed_of_broker(urls, System(), clocks.now_us)) as feed:
        with pytest.raises(Unavailable):
            feed.open()
        assert feed.open().hears_sends


# What becomes of it


def test_workers_tell_what_becomes_of_a_task(
    app: Celery, rabbitmq: RabbitMQ, tasks: Watched, tmp_path: Path
) -> None:
    write_app(tmp_path, rabbitmq.url, "TRACKED")
    with (
        celery_worker(tmp_path, "-n", "first@here") as worker,
        monitoring(app, tasks, with_events=True),
    ):
        worker.wait_for("enabled by remote")
        done = send(app, "export.add", 1, 2)
        task = tasks.wait_until(done, TaskState.SUCCEEDED).task
        assert (task.result, task.worker) == ("3", "first@here")
        moments = [task.heard_us, task.received_us, task.started_us, task.ended_us]
        assert None not in moments
        failed = tasks.wait_until(send(app, "export.fail"), TaskState.FAILED).task
        assert failed.error == "ValueError('no such page')"
        again = tasks.wait_until(send(app, "export.again"), TaskState.SUCCEEDED).task
        assert (again.retries, again.retried_us is not None) == (2, True)


def test_a_worker_that_comes_later_is_asked_to_tell(
    app: Celery, rabbitmq: RabbitMQ, tasks: Watched, tmp_path: Path
) -> None:
    write_app(tmp_path, rabbitmq.url, "TRACKED")
    with (
        monitoring(app, tasks, with_events=True),
        celery_worker(tmp_path, "-n", "late@here") as late,
    ):
        late.wait_for("enabled by remote")
        task = tasks.wait_until(send(app, "export.add", 1, 1), TaskState.SUCCEEDED).task
        assert task.worker == "late@here"


def test_a_revoked_task_is_known_as_such(
    app: Celery, rabbitmq: RabbitMQ, tasks: Watched, tmp_path: Path
) -> None:
    write_app(tmp_path, rabbitmq.url, "TRACKED")
    with celery_worker(tmp_path) as worker, monitoring(app, tasks, with_events=True):
        worker.wait_for("enabled by remote")
        id = send(app, "export.add", 1, 2, countdown=1000)
        tasks.wait_until(id, TaskState.RECEIVED)
        app.control.revoke(id)
        late = send(app, "export.add", 1, 2, expires=-1)
        assert tasks.wait_until(late, TaskState.REVOKED).task.error == "expired"
    assert tasks.task(id).state in (TaskState.RECEIVED, TaskState.REVOKED)


def test_a_family_is_followed_to_its_end(
    app: Celery, rabbitmq: RabbitMQ, tasks: Watched, tmp_path: Path
) -> None:
    write_app(tmp_path, rabbitmq.url, "TRACKED")
    with celery_worker(tmp_path) as worker, monitoring(app, tasks, with_events=True):
        worker.wait_for("enabled by remote")
        root = send(app, "export.fan", 4)
        tasks.wait_for(lambda one: one.family(root).counts == {TaskState.SUCCEEDED: 5})
    family = tasks.family(root)
    assert (family.state, family.is_over, family.root) == (TaskState.SUCCEEDED, True, root)
    assert len(family.children()[root]) == 4


def test_a_foreign_system_under_celerys_defaults_is_known_from_its_workers(
    rabbitmq: RabbitMQ, tasks: Watched, tmp_path: Path
) -> None:
    write_app(tmp_path, rabbitmq.url, "FOREIGN")
    with closing(make_app(rabbitmq.url, FOREIGN)) as app:
        system = apps.system_of(app, queue=None, with_events=True)
        with closing(apps.feed_of_app(app, system, clocks.now_us)) as feed:
            reach = feed.open()
            assert (reach.hears_sends, reach.hears_workers) == (False, True)
            assert "straight to their queue" in reach.says[0]
        with celery_worker(tmp_path) as worker, monitoring(app, tasks, with_events=True):
            worker.wait_for("enabled by remote")
            id = send(app, "export.add", 1, 2)
            task = tasks.wait_until(id, TaskState.SUCCEEDED).task
    assert (task.name, task.args, task.form, task.heard_us) == (
        "export.add",
        "(1, 2)",
        "repr",
        None,
    )


def test_events_wait_for_a_monitor_that_is_away_within_bounds(
    app: Celery, rabbitmq: RabbitMQ, tasks: Watched, tmp_path: Path
) -> None:
    write_app(tmp_path, rabbitmq.url, "TRACKED")
    with celery_worker(tmp_path, "-E") as worker:
        with monitoring(app, tasks, with_events=True):
            pass
        id = send(app, "export.add", 1, 2)
        worker.wait_for("succeeded")
        with monitoring(app, tasks, with_events=True):
            tasks.wait_until(id, TaskState.SUCCEEDED)
    with closing(pika.BlockingConnection(pika.URLParameters(rabbitmq.url))) as connection:
        bounds = {"x-max-length-bytes": EVENT_QUEUE_BYTES, "x-overflow": "drop-head"}
        connection.channel().queue_declare(EVENT_QUEUE, durable=True, arguments=bounds)


# Results


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_a_celery_worker_stores_is_read_with_its_task(
    kind: str,
    app: Celery,
    rabbitmq: RabbitMQ,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    if kind == "sqlite":
        url, backend = str(tmp_path / "headway.db"), f"db+sqlite:///{tmp_path / 'headway.db'}"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.url
        backend = "db+" + url.replace("postgresql://", "postgresql+psycopg://")
    write_app(tmp_path, rabbitmq.url, "TRACKED", result_backend=backend)
    with closing(open_tasks(url)) as opened:
        tasks = Watched(opened)
        with celery_worker(tmp_path) as worker, monitoring(app, tasks, with_events=True):
            worker.wait_for("enabled by remote")
            added = send(app, "export.add", 1, 2)
            failed = send(app, "export.fail")
            # The event is told before the result is stored.
            last = send(app, "export.add", 3, 4)
            ids = (added, failed, last)
            tasks.wait_for(lambda one: all(one.task(id).task.finality for id in ids))
        result = tasks.task(added).result
        assert result is not None
        assert (result.status, result.value, result.form) == ("SUCCESS", "3", "json")
        assert abs((result.done_us or 0) - (tasks.task(added).task.ended_us or 0)) < 60e6
        broken = tasks.task(failed)
        assert broken.state is TaskState.FAILED
        assert broken.result is not None
        assert "ValueError" in (broken.result.trace or "")
        assert len(tasks.search(Sought(state=TaskState.SUCCEEDED))) == 2


def test_a_result_that_a_worker_pickled_is_shown_as_opaque(
    app: Celery, rabbitmq: RabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("C_FORCE_ROOT", "1")  # else Celery refuses to open pickles as root
    file = tmp_path / "headway.db"
    with closing(sqlite3.connect(file)) as connection, closing(open_tasks(file)) as tasks:
        write_app(
            tmp_path,
            rabbitmq.url,
            "TRACKED",
            result_backend=f"db+sqlite:///{file}",
            result_serializer="pickle",
            accept_content=["json", "pickle"],
        )
        with celery_worker(tmp_path) as worker:
            id = send(app, "export.add", 1, 2)
            worker.wait_for("succeeded")
        ((status,),) = connection.execute("SELECT status FROM celery_taskmeta")
        result = tasks.task(id).result
        assert result is not None
        assert (result.status, result.value) == (status, None)
        assert (result.form or "").startswith("not opened: pickled")
