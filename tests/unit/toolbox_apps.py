"""Celery apps, sound and broken, and what the functional tests say of them."""

import unittest
import warnings
from collections.abc import Mapping
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from cadasta.workertoolbox.conf import Config
from cadasta.workertoolbox.tests import build_functional_tests
from headway.toolbox.platform import PlatformQueue

TOPIC = Exchange("task_exchange", type="topic")
CELERY = Queue("celery", TOPIC, routing_key="celery")
EXPORT = Queue("export", TOPIC, routing_key="export")
IMPORT = Queue("import", TOPIC, routing_key="import")
PLATFORM = PlatformQueue("platform.fifo", TOPIC, routing_key="#")
# As the text on Config prints them: no queue, so that nothing is declared, and chords break.
PRINTED_ROUTES = {
    "celery.*": {"exchange": TOPIC, "routing_key": "celery"},
    "export.*": {"exchange": TOPIC, "routing_key": "export"},
    "import.*": {"exchange": TOPIC, "routing_key": "import"},
}

RULES = {
    "default": "test_the_default_queue_takes_what_no_route_names",
    "topic": "test_all_queues_hang_on_one_topic_exchange",
    "platform": "test_the_platform_queue_hears_everything",
    "own": "test_each_queue_hears_its_own_and_only_its_own",
    "chord": "test_the_tasks_of_a_chord_are_heard_like_all_others",
    "unlisted": "test_a_task_for_an_unlisted_queue_is_refused",
    "consumers": "test_no_celery_worker_consumes_the_platform_queue",
    "database": "test_results_go_to_a_database",
    "stored": "test_the_database_takes_results",
    "started": "test_a_started_task_is_tracked",
    "json": "test_messages_and_results_are_json",
    "eager": "test_tasks_are_sent_and_not_run_on_the_spot",
}


def an_app(**settings: Any) -> Celery:
    """An app whose queues are ``export`` and ``import``, configured by ``Config``."""
    settings.setdefault("broker_url", "memory://")
    settings.setdefault("result_backend", "db+sqlite://")
    app = Celery("an_app", set_as_current=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickle
        app.config_from_object(Config(["export", "import"], **settings))

    @app.task(name="export.report", shared=False)  # type: ignore[untyped-decorator]
    def report() -> None:
        raise AssertionError("a task of a functional test was run")

    app.finalize()
    return app


def complaints(app: Celery) -> Mapping[str, list[str]]:
    """What the functional tests of APP say, by rule; a rule that holds says nothing."""
    result = unittest.TestResult()
    tests = build_functional_tests(app)
    unittest.defaultTestLoader.loadTestsFromTestCase(tests).run(result)
    assert not result.errors, "\n".join(trace for _, trace in result.errors)
    assert result.testsRun == len(RULES)
    names = {method: rule for rule, method in RULES.items()}
    return {names[test.id().rpartition(".")[2]]: _said(trace) for test, trace in result.failures}


def _said(trace: str) -> list[str]:
    return trace.partition("AssertionError: ")[2].strip().splitlines()
