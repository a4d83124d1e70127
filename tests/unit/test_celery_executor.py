"""What the executor on Celery refuses before it connects anywhere."""

from collections.abc import Sequence
from typing import Any

import pytest
from celery import Celery

from headway.adapters.celery_tries.executor import OnCelery
from headway.errors import DefinitionError
from headway.jobs.compiling import compile_jobs
from headway.jobs.job import Job
from headway.jobs.shared import SharedStorage
from headway.ports.executor import Work
from headway.testing.sample_jobs import Passes


class InQueue(Job):
    QUEUE = "unlisted"

    def Check(self, **inputs: Any) -> None: ...


def opened(app: Celery, job: type[Job], args: Sequence[Any] = (), **inputs: Any) -> None:
    plan, definitions, _ = compile_jobs(job)
    shared = SharedStorage(lambda: 0)
    OnCelery(app, 1, name="proj:app").open(Work(definitions, plan.rules, shared, args, inputs))


def an_app(broker: str, **settings: Any) -> Celery:
    app = Celery("proj", broker=broker, set_as_current=False)
    app.conf.update(settings)
    return app


def test_sqs_is_refused_with_what_to_use() -> None:
    with pytest.raises(DefinitionError, match=r"is on SQS, .* RabbitMQ or Redis"):
        opened(an_app("sqs://"), Passes)


def test_a_queue_that_the_app_does_not_list_is_refused_by_its_name() -> None:
    with pytest.raises(DefinitionError, match="no queue 'unlisted'"):
        opened(an_app("memory://", task_create_missing_queues=False), InQueue)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"task_always_eager": True}, "has task_always_eager"),
        ({"accept_content": ["pickle"]}, "add 'json' to its accept_content"),
    ],
)
def test_an_app_whose_workers_would_never_take_a_try_is_refused(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(DefinitionError, match=words):
        opened(an_app("memory://", **settings), Passes)


@pytest.mark.parametrize(("args", "inputs"), [((object(),), {}), ((), {"what": {1, 2}})])
def test_inputs_that_json_cannot_carry_are_refused(
    args: Sequence[Any], inputs: dict[str, Any]
) -> None:
    with pytest.raises(DefinitionError, match="only what JSON can carry"):
        opened(an_app("memory://"), Passes, args, **inputs)


@pytest.mark.parametrize("queue", ["", 7, ["a"]])
def test_a_queue_has_a_name(queue: Any) -> None:
    job = type("Odd", (Passes,), {"QUEUE": queue})
    with pytest.raises(DefinitionError, match=r"Odd\.QUEUE is .* name of a Celery queue"):
        compile_jobs(job)
