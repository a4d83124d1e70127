"""The task by which Celery workers carry out the tries of ``headway run --on celery``.

Have an app's workers know it: ``Celery("proj", include=["headway.toolbox.tries"])``.
"""

from typing import Any

from celery import Task, shared_task
from celery.worker.request import Request

from headway.adapters.celery_tries.kept_line import KeptLine
from headway.adapters.celery_tries.lost import tell_lost
from headway.adapters.celery_tries.messages import TASK
from headway.adapters.celery_tries.serving import Serving


class TryRequest(Request):  # type: ignore[misc]
    """As Celery's worker sees one of these tasks: says when the process that had it is gone."""

    def on_failure(self, exc_info: Any, *args: Any, **options: Any) -> Any:
        """In the worker's first process, which outlives those that have tasks."""
        tell_lost(self.app, self.kwargs)
        return super().on_failure(exc_info, *args, **options)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The process is ended by Celery when it is not a soft one."""
        super().on_timeout(soft, timeout)
        if not soft:
            tell_lost(self.app, self.kwargs)


class TryTask(Task):  # type: ignore[misc]
    """Made once in a process, for each app: so the line to its broker is kept here."""

    def __init__(self) -> None:
        self.line = KeptLine()


# Acknowledged before it begins: whoever sent it sees to it that it is done, by whomever, so that
# a broker that delivers it anew would only have it refused.
@shared_task(  # type: ignore[untyped-decorator]
    name=TASK,
    bind=True,
    base=TryTask,
    Request=TryRequest,
    acks_late=False,
    ignore_result=True,
    max_retries=0,
)
def carry_out(self: Any, attempt: str, replies: str, job: str) -> None:
    """One attempt at a try of a job. ``job`` is there for who reads lists of tasks."""
    Serving(attempt, replies, str(self.request.hostname)).run(self.line, self.app)
