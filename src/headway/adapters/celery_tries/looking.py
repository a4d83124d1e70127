"""Which Celery workers consume a queue, and whether they know the task that carries out tries."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from headway.adapters.celery_tries.messages import TASK

ANSWER_S = 1.5  # how long Celery workers have to answer
IMPORT = "headway.toolbox.tries"


class Why(NamedTuple):
    """Why nobody begins what is in a queue."""

    text: str  # and what to do
    final: bool = False  # whoever takes it has thrown it away


class Workers(NamedTuple):
    """Those that answered. One that has a pool of one thread does not, while it is at a task."""

    consuming: Mapping[str, frozenset[str]]  # by worker: the queues it consumes
    knowing: Mapping[str, bool]  # whether it knows the task; of those that answered that, too
    consumed: frozenset[str] = frozenset()  # queues of which the broker says that somebody does

    def why_not(self, queue: str, app: str) -> Why | None:
        """None if somebody there could."""
        consumers = sorted(name for name, queues in self.consuming.items() if queue in queues)
        if not consumers and queue in self.consumed:
            return None
        if not consumers:
            return Why(
                f"no Celery worker consumes the queue {queue!r}: start one with"
                f" celery -A {app} worker -Q {queue}"
            )
        if any(self.knowing.get(name, True) for name in consumers):
            return None
        return Why(
            f"no Celery worker that consumes the queue {queue!r} ({', '.join(consumers)})"
            f" knows the task {TASK}: give the app include=[{IMPORT!r}] and start its workers"
            " again",
            final=True,
        )


def look(app: Any, queues: Iterable[str]) -> Workers:
    """Ask them, and the broker. Raises: whatever the client of the broker does."""
    inspect = app.control.inspect(timeout=ANSWER_S)
    consuming = inspect.active_queues() or {}
    known = inspect.registered() or {}
    answered = {name: frozenset(one["name"] for one in found) for name, found in consuming.items()}
    unanswered = sorted(set(queues).difference(*answered.values()))
    return Workers(
        answered,
        {name: TASK in tasks for name, tasks in known.items()},
        _consumed(app, unanswered) if unanswered else frozenset(),
    )


def _consumed(app: Any, queues: Iterable[str]) -> frozenset[str]:
    """As far as the broker can tell, and lets us know."""
    with app.connection_for_write() as connection:
        if connection.transport.driver_type != "amqp":
            return frozenset()
        return frozenset(name for name in queues if _consumers(connection, name))


def _consumers(connection: Any, queue: str) -> int:
    failures = (*connection.connection_errors, *connection.channel_errors)
    try:
        with connection.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).consumer_count)
    except failures:  # there is no such queue, or it is not for us to know
        return 0
