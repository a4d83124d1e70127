"""Functional tests of a Celery app: does the platform hear of every task, and of its results?"""

import unittest
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from headway.errors import Unavailable
from headway.toolbox import rules
from headway.toolbox.deliveries import Deliveries


class _FunctionalTests(unittest.TestCase):
    """Real messages over the app's own broker, by names that nobody else uses, then removed."""

    app: ClassVar[Any]
    _seen: ClassVar[Deliveries]

    def __init_subclass__(cls) -> None:
        cls._seen = Deliveries(cls.app)

    def _holds(self, rule: Callable[[Deliveries], Iterable[str]]) -> None:
        try:
            broken = list(dict.fromkeys(rule(self._seen)))
        except Unavailable as error:
            self.fail(str(error))
        if broken:
            self.fail("\n".join(broken))

    def test_the_default_queue_takes_what_no_route_names(self) -> None:
        self._holds(rules.default_queue)

    def test_all_queues_hang_on_one_topic_exchange(self) -> None:
        self._holds(rules.topic_exchange)

    def test_the_platform_queue_hears_everything(self) -> None:
        self._holds(rules.platform_queue)

    def test_each_queue_hears_its_own_and_only_its_own(self) -> None:
        self._holds(rules.own_queues)

    def test_the_tasks_of_a_chord_are_heard_like_all_others(self) -> None:
        self._holds(rules.chords)

    def test_a_task_for_an_unlisted_queue_is_refused(self) -> None:
        self._holds(rules.unlisted_queue)

    def test_no_celery_worker_consumes_the_platform_queue(self) -> None:
        self._holds(rules.consumers)

    def test_results_go_to_a_database(self) -> None:
        self._holds(rules.result_database)

    def test_the_database_takes_results(self) -> None:
        if list(rules.result_database(self._seen)):
            self.skipTest("results do not go to a database")
        self._holds(lambda seen: rules.results_stored(seen.app))

    def test_a_started_task_is_tracked(self) -> None:
        self._holds(rules.started)

    def test_messages_and_results_are_json(self) -> None:
        self._holds(rules.json_only)

    def test_tasks_are_sent_and_not_run_on_the_spot(self) -> None:
        self._holds(rules.sent_and_not_run)


def build_functional_tests(app: Any) -> type[unittest.TestCase]:
    """The tests of APP, a configured Celery app, for pytest and unittest to find.

    They need its broker and its result database, and no running Celery worker. They leave nothing
    behind: what they send goes by names of their own, what they store is rolled back. While they
    run, nothing else may use the app in this process.
    """
    return type("FunctionalTests", (_FunctionalTests,), {"app": app})
