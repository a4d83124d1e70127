"""The worker toolbox with real deliveries, on each kind of broker that Celery has."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kombu.pools
import pytest
from celery import Celery, chord

from cadasta.workertoolbox.conf import Config
from headway.toolbox import deliveries
from tests.services.celery_brokers import Broker, broker_of, celery_worker
from tests.unit.test_toolbox_functional import BROKEN
from tests.unit.toolbox_apps import PRINTED_ROUTES, an_app, complaints

pytestmark = pytest.mark.services

DEADLINE_S = 60.0
KINDS = pytest.mark.parametrize("kind", ["rabbitmq", "redis", "sqs"])


@pytest.fixture
def broker(request: pytest.FixtureRequest, kind: str) -> Iterator[Broker]:
    yield broker_of(request, kind)
    kombu.pools.reset()  # they would remember what they have declared for one test in the next


@pytest.fixture
def results(tmp_path: Path) -> str:
    return f"db+sqlite:///{tmp_path / 'results.db'}"


@KINDS
def test_a_sound_app_keeps_every_rule_and_nothing_is_left_on_the_broker(
    broker: Broker, results: str
) -> None:
    assert complaints(an_app(result_backend=results, **broker.settings)) == {}
    assert broker.left() == []


@KINDS
def test_routes_that_declare_nothing_are_found_out(
    broker: Broker, results: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "ARRIVAL_S", 0.2)  # for what never arrives
    app = an_app(result_backend=results, task_routes=PRINTED_ROUTES, **broker.settings)
    said = complaints(app)
    assert said.keys() == {"platform", "own", "chord"}
    assert broker.left() == []


# Those in which the broker has a part: each has exchanges and bindings of its own making.
DELIVERED = (
    "the exchange is direct",
    "the platform queue hears one key only",
    "a queue hears what others should",
    "an unlisted queue is made up",
)


@KINDS
@pytest.mark.parametrize("how", DELIVERED)
def test_a_broken_rule_is_said_on_every_broker_and_nothing_is_left_there(
    broker: Broker, results: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "ARRIVAL_S", 0.2)  # for what never arrives
    settings, fail, rule, says = BROKEN[how]
    said = complaints(an_app(**{"result_backend": results, **broker.settings, **settings}))
    assert said.keys() == fail
    assert any(says in sentence for sentence in said[rule]), said[rule]
    assert broker.left() == []


@pytest.mark.parametrize("kind", ["sqs"])
def test_names_that_sqs_does_not_take_or_tell_apart_are_said(
    broker: Broker, results: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "ARRIVAL_S", 0.2)
    app = Celery("same", set_as_current=False)
    app.config_from_object(Config(["a.b", "a-b"], result_backend=results, **broker.settings))
    said = complaints(app)
    assert said.keys() == {"own", "chord"}
    assert "bind each queue by its own name" in said["own"][0]
    app = Celery("strange", set_as_current=False)
    app.config_from_object(Config(["a b"], result_backend=results, **broker.settings))
    said = complaints(app)
    assert said.keys() == {"default", "own", "chord", "consumers"}
    assert said["consumers"][0].startswith("a Celery worker of this app cannot consume its queues")
    assert "Can only include alphanumeric characters" in said["own"][0]


def producer(settings: dict[str, Any]) -> Celery:
    app = Celery("producer", set_as_current=False)
    app.config_from_object(Config(**settings))
    return app


def sent_by(app: Celery) -> dict[str, Any]:
    """One of each kind, by a producer that finds nothing declared; the results by what they say."""
    note = app.signature("export.note")
    join = app.signature("export.join", app=app)
    head = [note.clone(args=(word,)) for word in ("b", "c")]
    return {
        "a": app.send_task("export.note", args=["a"]),
        "d": app.send_task("export.note", args=["d"], queue="celery"),
        "e": app.send_task("export.again", args=["e"]),
        "b+c": chord(head, app=app)(join),
    }


def results_of(sent: dict[str, Any]) -> dict[str, Any]:
    ends_at = time.monotonic() + DEADLINE_S
    return {
        word: one.get(timeout=ends_at - time.monotonic(), interval=0.1)
        for word, one in sent.items()
    }


@KINDS
@pytest.mark.parametrize(
    "words", [(), ("-Q", "export,celery,platform.fifo")], ids=["without -Q", "with -Q"]
)
def test_a_celery_worker_runs_each_task_once_and_leaves_the_platform_queue_to_the_monitor(
    broker: Broker, results: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    settings = {"queues": ["export"], "result_backend": results, **broker.settings}
    sent = sent_by(producer(settings))
    with celery_worker(tmp_path, settings, *words) as worker:
        assert results_of(sent) == {word: word for word in sent}
    assert "platform.fifo" not in worker.out.partition("[tasks]")[0]
    assert Counter((tmp_path / "notes").read_text().split()) == dict.fromkeys(
        ["a", "b", "c", "d", "e", "b+c"], 1
    )
    heard = Counter(headers["task"] for headers in broker.taken("platform.fifo", "#"))
    unlocked = heard.pop("celery.chord_unlock")
    assert unlocked >= 1  # it asks again until the head is done
    assert heard == {"export.note": 4, "export.join": 1, "export.again": 2}
