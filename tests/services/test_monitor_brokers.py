"""The monitor on the other brokers that Celery can use: Redis, SQS, and one in the process."""

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import pools

from headway.adapters.celery_feeds import apps
from headway.adapters.celery_feeds import kombu as kombu_feed
from headway.adapters.celery_feeds.kombu import KombuFeed
from headway.adapters.celery_feeds.system import System, TaskExchange
from headway.errors import DefinitionError, Unavailable
from headway.runtime import clocks
from headway.testing.memory_tasks import MemoryTasks
from headway.tracking.states import TaskState
from tests.services.sqs import Sqs
from tests.services.tracked import (
    DEADLINE_S,
    EXCHANGE,
    EXPORT,
    PLATFORM,
    TRACKED,
    Watched,
    celery_worker,
    make_app,
    monitoring,
    write_app,
)
from tests.services.worker_process import worker_process

pytestmark = pytest.mark.services
SQS_OPTIONS = {
    "region": "us-west-2",
    "queue_name_prefix": "dev-",
    "polling_interval": 0.05,
    "wait_time_seconds": 0,
}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "memory": {"polling_interval": 0.02},
    "redis": {},
    "sqs": SQS_OPTIONS,
}


@pytest.fixture
def tasks() -> Watched:
    return Watched(MemoryTasks())


@pytest.fixture(params=["memory", "redis", "sqs"])
def app(request: pytest.FixtureRequest) -> Iterator[Celery]:
    kind: str = request.param
    if kind == "redis":
        url = str(request.getfixturevalue("redis_url"))
    elif kind == "sqs":
        sqs: Sqs = request.getfixturevalue("sqs")
        url = sqs.url
    else:
        url = "memory://"
    options = dict(OPTIONS[kind])
    with closing(make_app(url, TRACKED, broker_transport_options=options)) as app:
        yield app
    pools.reset()  # they remember what an SQS has that the next test finds empty


def feed_of(app: Celery, **more: Any) -> KombuFeed:
    system = apps.system_of(app, queue=None, with_events=False)
    return KombuFeed(app, system._replace(**more), clocks.now_us)


def heard_by(feed: KombuFeed, count: int) -> list[str]:
    found: list[str] = []
    give_up_at = time.monotonic() + DEADLINE_S
    while len(found) < count and time.monotonic() < give_up_at:
        found += [one.headers["id"] for one in feed.fetch(100, 5)]
    return found


def test_a_task_is_recorded_from_the_moment_it_is_sent(app: Celery, tasks: Watched) -> None:
    with monitoring(app, tasks):
        ids = [app.tasks["export.add"].delay(number, 2).id for number in range(25)]
        tasks.wait_for_all(ids)
    task = tasks.task(ids[3]).task
    assert (task.name, task.queue, task.args, task.form) == (
        "export.add",
        "export",
        "[3, 2]",
        "json",
    )


@pytest.mark.parametrize("app", ["redis", "sqs"], indirect=True)
def test_what_is_not_settled_comes_again_when_the_feed_is_opened_anew(app: Celery) -> None:
    with closing(feed_of(app)) as feed:
        feed.open()
        ids = [app.tasks["export.add"].delay(number, 2).id for number in range(6)]
        heard = heard_by(feed, 6)
        assert sorted(heard) == sorted(ids)
        feed.settle(4)
        feed.open()
        assert sorted(heard_by(feed, 2)) == sorted(heard[4:])
        feed.settle(2)
        assert feed.fetch(10, 0.3) == []


def test_a_pickled_body_is_recorded_and_never_opened(
    app: Celery, tasks: Watched, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    with monitoring(app, tasks):
        app.conf.accept_content = ["json", "pickle"]
        id = app.send_task("export.add", (Canary(canary),), serializer="pickle").id
        assert tasks.wait_until(id, TaskState.SENT).task.form == "repr"
    assert not canary.exists()


def test_a_message_that_kombu_cannot_read_harms_no_other(app: Celery, tasks: Watched) -> None:
    strange: Mapping[str, Mapping[str, Any]] = {
        "unknown": {"headers": {"compression": "application/x-nonsense"}},
        "damaged": {"headers": {"compression": "application/x-gzip"}},
        "timeless": {"timestamp": float("inf")},
        "untyped": {"content_type": 7, "content_encoding": "utf-8"},
    }
    with monitoring(app, tasks), app.connection_for_write() as connection:
        ids = [app.tasks["export.add"].delay(1, 1).id]
        for id, properties in strange.items():
            headers = {"task": "export.add", "id": id, **properties.get("headers", {})}
            connection.Producer().publish(
                "[[1], {}, {}]",
                exchange=EXCHANGE,
                routing_key="export",
                declare=[EXPORT, PLATFORM],
                **{
                    "content_type": "application/json",
                    "content_encoding": "utf-8",
                    **properties,
                    "headers": headers,
                },
            )
        ids.append(app.tasks["export.add"].delay(2, 2).id)
        tasks.wait_for_all([*ids, *strange])
    forms = {id: tasks.task(id).task.form for id in strange}
    assert "cannot be inflated (application/x-nonsense)" in str(forms["unknown"])
    assert "cannot be inflated (application/x-gzip)" in str(forms["damaged"])
    assert forms["timeless"] == "json"
    assert forms["untyped"] == "not opened: 7"
    assert tasks.dead_letters() == []


class Canary:
    """Whoever unpickles it makes a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> Any:
        return (Path.touch, (self._file,))


def test_a_feed_that_waits_is_woken(app: Celery) -> None:
    with closing(feed_of(app)) as feed:
        feed.open()
        began = time.monotonic()
        feed.wake()
        assert feed.fetch(10, DEADLINE_S) == []
        assert time.monotonic() - began < DEADLINE_S / 2


def test_workers_on_redis_tell_what_becomes_of_a_task(
    redis_url: str, tasks: Watched, tmp_path: Path
) -> None:
    write_app(tmp_path, redis_url, "TRACKED")
    with (
        closing(make_app(redis_url, TRACKED)) as app,
        celery_worker(tmp_path) as worker,
        monitoring(app, tasks, with_events=True),
    ):
        worker.wait_for("enabled by remote")
        task = tasks.wait_until(app.tasks["export.add"].delay(1, 2).id, TaskState.SUCCEEDED).task
        assert task.result == "3"


KILLED = """
import os, signal, sys
from headway.adapters.celery_feeds import apps
from headway.adapters.celery_feeds import kombu as kombu_feed
from headway.adapters.celery_feeds.system import System
from headway.runtime import clocks
feed = apps.feed_of_broker(sys.argv[1], System(), clocks.now_us)
feed.open()
print("listening", flush=True)
heard = []
while len(heard) < 5:
    heard += feed.fetch(100, 5)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_monitor_had_in_hand_on_redis_comes_again(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        closing(make_app(redis_url, TRACKED)) as app,
        closing(feed_of(app)) as feed,
        worker_process("-c", KILLED, redis_url) as killed,
    ):
        killed.wait_for("listening")
        ids = {app.tasks["export.add"].delay(number, 2).id for number in range(5)}
        assert killed.wait() == -signal.SIGKILL
        feed.open()
        assert feed.fetch(10, 0.2) == []  # it might be alive
        feed.close()
        monkeypatch.setitem(kombu_feed._REDIS, "visibility_timeout", 0)  # its time has passed
        feed.open()
        heard: set[str] = set()
        while not ids <= heard:
            heard.update(heard_by(feed, 1))


def test_a_celery_worker_keeps_what_it_has_in_hand_on_redis(redis_url: str) -> None:
    with closing(make_app(redis_url, TRACKED)) as app, closing(feed_of(app)) as feed:
        feed.open()
        channel = feed._connection.default_channel
        assert channel.unacked_key == "headway.monitor.unacked"
        with app.connection_for_read() as theirs:
            assert theirs.default_channel.unacked_key == "unacked"
            assert theirs.default_channel.visibility_timeout == 3600


def test_it_says_how_far_it_hears(app: Celery) -> None:
    with closing(feed_of(app)) as feed:
        reach = feed.open()
        assert reach.hears_sends
        assert "hears every task sent to exchange task_exchange" in reach.says[0]
    with closing(feed_of(app, exchanges=[TaskExchange("celery", "direct")])) as feed:
        assert not feed.open().hears_sends


def test_on_sqs_workers_tell_nothing_and_that_is_said(sqs: Sqs) -> None:
    with (
        closing(make_app(sqs.url, TRACKED, broker_transport_options=SQS_OPTIONS)) as app,
        closing(feed_of(app, with_events=True)) as feed,
    ):
        reach = feed.open()
        assert (reach.hears_sends, reach.hears_workers) == (True, False)
        assert "on SQS they tell nothing" in reach.says[-1]


def test_a_redis_that_is_not_there_is_unavailable() -> None:
    feed = apps.feed_of_broker("redis://127.0.0.1:1/0", System(), clocks.now_us)
    with pytest.raises(Unavailable, match="redis"):
        feed.open()


@pytest.mark.parametrize("url", ["nonsense://a", "http//", "amqp://"])
def test_what_names_no_broker_is_an_error_that_says_so(url: str) -> None:
    with pytest.raises(DefinitionError):
        apps.feed_of_broker(url, System(), clocks.now_us)
