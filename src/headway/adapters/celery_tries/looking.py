"""Which Celery workers consume a queue, and whether they know the task that carries out tries."""

from typing import Any, NamedTuple

from headway.adapters.celery_tries.messages import TASK

ANSWER_S = 1.5  # how long Celery workers have to answer
IMPORT = "headway.toolbox.tries"


class Workers(NamedTuple):
    """Those that answered."""

    consuming: dict[str, frozenset[str]]  # by worker: the queues it consumes
    knowing: frozenset[str]  # those that know the task

    def consumers(self, queue: str) -> list[str]:
        return sorted(name for name, queues in self.consuming.items() if queue in queues)

    def why_not(self, queue: str, app: str) -> str | None:
        """Why nobody begins what is sent to a queue; None if somebody there could."""
        consumers = self.consumers(queue)
        if not consumers:
            return (
                f"no Celery worker consumes the queue {queue!r}: start one with"
                f" celery -A {app} worker -Q {queue}"
            )
        if self.knowing.isdisjoint(consumers):
            return (
                f"no Celery worker that consumes the queue {queue!r} ({', '.join(consumers)})"
                f" knows the task {TASK}: give the app include=[{IMPORT!r}] and start its workers"
                " again"
            )
        return None


def look(app: Any) -> Workers:
    """Ask them. Raises: whatever the client of the broker does."""
    inspect = app.control.inspect(timeout=ANSWER_S)
    consuming = inspect.active_queues() or {}
    known = inspect.registered() or {}
    return Workers(
        {name: frozenset(one["name"] for one in queues) for name, queues in consuming.items()},
        frozenset(name for name, tasks in known.items() if TASK in tasks),
    )
