"""The platform queue: it hears every task that is sent, and no Celery worker consumes it."""

import logging
from typing import Any

from celery import signals
from kombu import Queue

NAME = "platform.fifo"
HEARS_ALL = "#"  # as a binding key of a topic exchange

logger = logging.getLogger(__name__)


class PlatformQueue(Queue):  # type: ignore[misc]
    """A queue that a process declares and sends to, and that it never consumes.

    It has to stand in ``task_queues``, or who sends would not declare it; a Celery worker without
    ``-Q`` consumes all that stands there, and would run each task twice. The monitor consumes it
    by a plain ``kombu.Queue`` of the same name.
    """

    def consume(self, *args: Any, **options: Any) -> None:
        """Says that it does not: a Celery worker may be told to by ``-Q`` or from afar."""
        logger.warning(
            "the queue %s is the monitor's: this Celery worker leaves it alone", self.name
        )

    def purge(self, *args: Any, **options: Any) -> int:
        """Empties nothing: ``app.control.purge()`` is for what is to be done, not the record."""
        logger.warning("the queue %s is the monitor's: it is not purged", self.name)
        return 0


def guard() -> None:
    """Has every Celery worker of this process leave the platform queue out of what it consumes.

    The queue itself refuses anyway; with this, what the worker prints and purges is right too.
    """
    signals.celeryd_after_setup.connect(_leave_it, dispatch_uid=__name__)


def _leave_it(instance: Any, **_: Any) -> None:
    queues = instance.app.amqp.queues
    for name in [name for name, queue in queues.items() if isinstance(queue, PlatformQueue)]:
        queues.deselect(name)
    if not queues.consume_from:
        logger.warning("this Celery worker consumes nothing: name its own queues with -Q")
