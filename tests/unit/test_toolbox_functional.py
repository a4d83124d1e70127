"""The functional tests of an app fail, with a plain sentence, for each rule that it breaks."""

import unittest
from pathlib import Path
from typing import Any

import kombu.pools
import pytest
from celery import Celery
from kombu import Exchange, Queue
from kombu.pools import connections, producers
from kombu.transport.memory import Channel, Transport

from cadasta.workertoolbox.conf import Config
from headway.adapters.celery_feeds.apps import feed_of_app, mistaken_broker
from headway.adapters.celery_feeds.system import System
from headway.errors import DefinitionError, Unavailable
from headway.toolbox import platform
from headway.toolbox.apart import apart
from headway.toolbox.deliveries import Deliveries
from headway.toolbox.functional import build_functional_tests
from tests.unit.toolbox_apps import (
    CELERY,
    EXPORT,
    IMPORT,
    PLATFORM,
    PRINTED_ROUTES,
    RULES,
    TOPIC,
    an_app,
    complaints,
)


@pytest.fixture
def results(tmp_path: Path) -> str:
    return f"db+sqlite:///{tmp_path / 'results.db'}"


@pytest.mark.parametrize("kind", ["db", "headway"])
def test_an_app_that_Config_configures_keeps_every_rule(results: str, kind: str) -> None:
    backend = results.replace("db", kind, 1)
    assert complaints(an_app(result_backend=backend)) == {}


# What breaks it, which tests fail, and what one of them says.
BROKEN: dict[str, tuple[dict[str, Any], set[str], str, str]] = {
    "the default queue is missing": (
        {"task_queues": [EXPORT, IMPORT, PLATFORM]},
        {"default", "own", "chord"},
        "default",
        "the default queue 'celery' is not in task_queues",
    ),
    "what no route names goes elsewhere": (
        {"task_routes": {"*": {"queue": "export", "declare": [CELERY, EXPORT, IMPORT, PLATFORM]}}},
        {"default", "own"},
        "default",
        "a task that no route names went to 'export' instead of the default queue 'celery'",
    ),
    "the exchange is direct": (
        {"task_default_exchange_type": "direct"},
        {"topic", "platform", "chord"},
        "topic",
        "the queue 'export' hangs on an exchange of type 'direct'",
    ),
    "a queue hangs on an exchange of its own": (
        {
            "task_queues": [
                CELERY,
                EXPORT,
                PLATFORM,
                Queue("import", Exchange("import", "topic"), routing_key="import"),
            ]
        },
        {"topic", "platform", "chord"},
        "topic",
        "the queue 'import' hangs on the exchange 'import' and not on 'task_exchange'",
    ),
    "there is no platform queue": (
        {"task_queues": [CELERY, EXPORT, IMPORT]},
        {"platform", "chord"},
        "platform",
        "there is no queue 'platform.fifo', so nobody hears which tasks are sent",
    ),
    "the platform queue hears one key only": (
        {
            "task_queues": [
                CELERY,
                EXPORT,
                IMPORT,
                platform.PlatformQueue("platform.fifo", TOPIC, routing_key="export"),
            ]
        },
        {"platform", "chord"},
        "platform",
        "not heard by the platform queue 'platform.fifo': a task sent with queue='celery',",
    ),
    "routes declare nothing": (
        {"task_routes": PRINTED_ROUTES},
        {"platform", "own", "chord"},
        "own",
        "in no queue, and lost: a task named 'celery.headway_functional_test',",
    ),
    "routes name no queue, so that chords break": (
        {"task_routes": PRINTED_ROUTES},
        {"platform", "own", "chord"},
        "chord",
        "cannot be sent: a chord; KeyError: 'queue': let every route name a 'queue'",
    ),
    "there is no route for what is left": (
        {"task_routes": {"export.*": {"queue": "export", "declare": [EXPORT, PLATFORM]}}},
        {"platform", "chord"},
        "platform",
        "not heard by the platform queue 'platform.fifo': a task sent with queue='celery',",
    ),
    "a queue hears what others should": (
        {
            "task_queues": [
                CELERY,
                EXPORT,
                Queue("import", TOPIC, routing_key="*"),
                PLATFORM,
            ]
        },
        {"default", "own", "chord"},
        "own",
        "a task sent with queue='export' is in 'export' and 'import'",
    ),
    "a queue is bound by another's name": (
        {"task_queues": [CELERY, EXPORT, Queue("import", TOPIC, routing_key="export"), PLATFORM]},
        {"own", "chord"},
        "own",
        "a task sent with queue='import' is in 'export' and 'import'",
    ),
    "results are not stored": (
        {"result_backend": None},
        {"database", "chord"},
        "database",
        "results are not stored, so that the platform cannot find them",
    ),
    "results go by messages": (
        {"result_backend": "rpc://"},
        {"database", "chord"},
        "database",
        "results go to rpc:// and not into a database",
    ),
    "results go to a backend that there is not": (
        {"result_backend": "nowhere://"},
        {"database", "chord"},
        "database",
        "results cannot be stored (",
    ),
    "results are thrown away": (
        {"task_ignore_result": True},
        {"database"},
        "database",
        "results are thrown away: remove task_ignore_result",
    ),
    "the database is away": (
        {"result_backend": "db+postgresql://worker:s3cr3t@127.0.0.1:1/results"},
        {"stored"},
        "stored",
        "the database postgresql://worker:**@127.0.0.1:1/results does not take results (",
    ),
    "a start is not tracked": (
        {"task_track_started": False},
        {"started"},
        "started",
        "nobody sees that a task has been started",
    ),
    "a Celery worker consumes the platform queue": (
        {"task_queues": [CELERY, EXPORT, IMPORT, Queue("platform.fifo", TOPIC, routing_key="#")]},
        {"consumers"},
        "consumers",
        "a Celery worker of this app consumes the platform queue 'platform.fifo'",
    ),
    "an unlisted queue is made up": (
        {"task_create_missing_queues": True},
        {"unlisted"},
        "unlisted",
        "a task for the queue 'headway-unlisted', which task_queues does not list,",
    ),
    "messages are pickled": (
        {"task_serializer": "pickle"},
        {"json"},
        "json",
        "written as 'application/x-python-serialize': a task sent with queue='celery',",
    ),
    "pickle is accepted": (
        {"accept_content": ["json", "pickle"]},
        {"json"},
        "json",
        "accept_content allows pickle, which runs code of whoever wrote it",
    ),
    "results are pickled": (
        {"result_serializer": "pickle"},
        {"json"},
        "json",
        "results are written as 'pickle': set result_serializer to 'json'",
    ),
    "tasks run on the spot": (
        {"task_always_eager": True},
        {"eager"},
        "eager",
        "tasks run where they are called and are never sent",
    ),
    "the broker is away": (
        {"broker_url": "amqp://127.0.0.1:1//"},
        {"default", "platform", "own", "chord", "unlisted", "consumers", "json"},
        "default",
        "the broker amqp://guest:**@127.0.0.1:1// does not answer",
    ),
}


@pytest.mark.parametrize(("settings", "fail", "rule", "says"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_said(
    settings: dict[str, Any], fail: set[str], rule: str, says: str, results: str
) -> None:
    said = complaints(an_app(**{"result_backend": results, **settings}))
    assert said.keys() == fail
    assert any(says in sentence for sentence in said[rule]), said[rule]


def test_every_rule_has_an_app_that_breaks_it() -> None:
    assert set().union(*(fail for _, fail, _, _ in BROKEN.values())) == RULES.keys()


def nothing() -> None:
    """What a task does."""


def test_a_task_that_hides_its_start_is_named(results: str) -> None:
    app = an_app(result_backend=results)
    app.task(name="import.quietly", shared=False, track_started=False)(nothing)
    assert complaints(app) == {
        "started": ["nobody sees that 'import.quietly' has been started: remove its track_started"]
    }


def test_a_task_whose_route_names_an_unlisted_queue_is_named(results: str) -> None:
    every = [CELERY, EXPORT, IMPORT, PLATFORM]
    routes = {
        "import.elsewhere": {"queue": "elsewhere"},
        "*": {"queue": "celery", "declare": every},
    }
    app = an_app(result_backend=results, task_routes=routes)
    app.task(name="import.elsewhere", shared=False)(nothing)
    (sentence,) = complaints(app)["own"]
    assert sentence.startswith("cannot be sent: the task 'import.elsewhere'; QueueNotFound:")


def test_a_platform_queue_of_another_name_is_found_by_what_it_hears(results: str) -> None:
    queues = [CELERY, EXPORT, IMPORT, platform.PlatformQueue("all", TOPIC, routing_key="#")]
    assert complaints(an_app(result_backend=results, task_queues=queues)) == {}
    assert complaints(an_app(result_backend=results, PLATFORM_QUEUE_NAME="all")) == {}


def test_a_foreign_app_with_the_same_shape_keeps_every_rule(results: str) -> None:
    """Without ``Config``: what counts is what arrives where."""
    queues = [CELERY, EXPORT, PLATFORM]
    app = Celery("foreign", set_as_current=False, broker="memory://", backend=results)
    app.conf.update(
        task_queues=queues,
        task_default_exchange="task_exchange",
        task_default_exchange_type="topic",
        task_create_missing_queues=False,
        task_track_started=True,
        task_routes=[lambda name, *_, **__: {"queue": "celery", "declare": queues}],
    )
    assert complaints(app) == {}


def test_a_plain_celery_app_breaks_most_rules() -> None:
    app = Celery("plain", set_as_current=False, broker="memory://")
    said = complaints(app)
    assert said.keys() == {"topic", "platform", "chord", "unlisted", "database", "started"}


def bound_queues() -> set[str]:
    return {key.queue for key in Transport.global_state.bindings}


def test_the_app_is_as_before_and_nothing_is_left_behind(results: str) -> None:
    app = an_app(result_backend=results)
    kombu.pools.reset()  # nothing of what other tests have declared and sent
    Transport.global_state.clear()
    Channel.queues.clear()
    pools = dict(connections), dict(producers)
    app.send_task("export.report")
    before = app.amqp.Connection, app.pool, app.amqp.producer_pool
    assert complaints(app) == {}
    assert (app.amqp.Connection, app.pool, app.amqp.producer_pool) == before
    assert set(Transport.global_state.exchanges) <= {"task_exchange", ""}
    assert bound_queues() == {"celery", "export", "import", "platform.fifo"}
    assert len(connections) <= len(pools[0]) + 1
    with app.connection_for_read() as connection:
        channel = connection.channel()
        assert [channel._size(name) for name in ("celery", "export", "platform.fifo")] == [0, 1, 1]
        for name in ("export", "platform.fifo"):
            channel._purge(name)


def test_a_broker_of_files_is_left_without_one(tmp_path: Path, results: str) -> None:
    folders = {
        "data_folder_in": str(tmp_path / "messages"),
        "data_folder_out": str(tmp_path / "messages"),
        "control_folder": str(tmp_path / "bindings"),
    }
    (tmp_path / "messages").mkdir()
    app = an_app(
        result_backend=results, broker_url="filesystem://", broker_transport_options=folders
    )
    assert complaints(app) == {}
    assert [*(tmp_path / "messages").iterdir(), *(tmp_path / "bindings").iterdir()] == []


def test_a_place_is_removed_even_if_its_test_fails() -> None:
    app = an_app()
    prefixes: list[str] = []

    def fails() -> None:
        with apart(app) as place:
            prefixes.append(place.prefix)
            app.send_task("export.report")
            assert f"{place.prefix}export" in bound_queues()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert not [name for name in bound_queues() if name.startswith(prefixes[0])]
    assert app.amqp.Connection.__name__ == "Connection"


def test_a_broker_that_is_away_is_named_without_its_password() -> None:
    app = an_app(broker_url="amqp://worker:s3cr3t@127.0.0.1:1//")
    with pytest.raises(Unavailable, match=r"amqp://worker:\*\*@127.0.0.1:1// does not answer"):
        _ = Deliveries(app).unrouted


def test_a_url_that_comes_too_late_for_config_is_named() -> None:
    """``Config`` has made its mind up for SQS, and Celery would speak that to Redis."""
    late = Celery("late", broker="redis://127.0.0.1:1/0", set_as_current=False)
    late.config_from_object(Config(["export"]))
    said = "broker_transport 'sqs' stands beside a broker_url that begins with redis://"
    with pytest.raises(Unavailable, match=said):
        _ = Deliveries(late).unrouted
    with pytest.raises(DefinitionError, match=said):
        feed_of_app(late, System(), lambda: 0)
    early = Celery("early", broker="sqs://a:b@127.0.0.1:1", set_as_current=False)
    early.config_from_object(Config(["export"]))
    assert mistaken_broker(early) == mistaken_broker(an_app()) == ""


def test_what_was_sent_to_an_unlisted_queue_leaves_no_queue_behind() -> None:
    app = an_app(task_create_missing_queues=True)
    before = set(app.amqp.queues)
    assert Deliveries(app).unlisted.refusal is None
    assert set(app.amqp.queues) == before


def test_a_purge_of_what_is_to_be_done_leaves_the_record_alone() -> None:
    app = an_app(PLATFORM_QUEUE_NAME="unpurged")
    app.send_task("import.page")
    assert app.control.purge() >= 1
    with app.connection_for_read() as connection:
        channel = connection.channel()
        assert (channel._size("import"), channel._size("unpurged")) == (0, 1)
        channel._purge("unpurged")


def test_the_tests_of_two_apps_are_two_classes() -> None:
    one, other = build_functional_tests(an_app()), build_functional_tests(an_app())
    assert one is not other
    assert issubclass(one, unittest.TestCase)
