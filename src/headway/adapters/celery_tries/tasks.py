"""The app's own part in it: the queues that tries go to, and their tasks there."""

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

from kombu.serialization import prepare_accept_content

from headway.adapters.celery_feeds.apps import require_transport
from headway.adapters.celery_tries import looking
from headway.adapters.celery_tries.attempts import Attempt
from headway.adapters.celery_tries.messages import TASK
from headway.errors import DefinitionError

LONGEST_WAIT_S = 3_600.0  # how long a task may wait for Celery workers that are busy
JSON = "application/json"
AGAIN_S = 30.0  # a task that nobody took is sent again after that, then after twice that, and so on

logger = logging.getLogger(__name__)


class Tasks:
    """Threads: any."""

    def __init__(self, app: Any, name: str = "") -> None:
        """``name``: what the app is called on command lines."""
        self.app = app
        self.name = name or str(app.main or "proj")

    def require_fit(self) -> None:
        """Raises: DefinitionError for an app that this is not for, Unavailable."""
        connection = require_transport(self.app)
        # Its transport has a descriptor by now, though it is connected to nothing.
        connection.release()
        if connection.transport_cls == "sqs":
            raise DefinitionError(
                f"the Celery app {self.name} is on SQS, which has no queues that come and go with"
                " a run: run jobs on an app whose broker is RabbitMQ or Redis"
            )
        if self.app.conf.task_always_eager:
            raise DefinitionError(
                f"the Celery app {self.name} has task_always_eager: its tasks are carried out by"
                " who sends them, and by no Celery worker. Leave that out, or --on celery"
            )
        if JSON not in prepare_accept_content(self.app.conf.accept_content):
            raise DefinitionError(
                f"the Celery app {self.name} does not accept JSON, in which tries are sent:"
                " add 'json' to its accept_content"
            )

    def require_queues(self, definitions: Iterable[Any]) -> None:
        """Raises: DefinitionError for one that the app would send nothing to."""
        for name in dict.fromkeys(map(queue_of, definitions)):
            try:
                self._route(name)
            except Exception as error:
                raise DefinitionError(
                    f"the Celery app {self.name} has no queue {name!r} to send tries to"
                    f" ({type(error).__name__}: {error}): add it to the queues of its"
                    " configuration, or change QUEUE"
                ) from error

    def queue_of(self, attempt: Attempt) -> str:
        """The name of the queue that its task is in."""
        found = self._route(attempt.queue).get("queue")
        return str(getattr(found, "name", found) or self.app.conf.task_default_queue)

    def _route(self, name: str | None) -> Any:
        return self.app.amqp.router.route({"queue": name} if name else {}, TASK)

    def send(self, attempt: Attempt, replies: str, producer: Any) -> Exception | None:
        """Why the app does not send it. Raises: when the connection is what fails."""
        attempt.again_s = 2 * attempt.again_s or AGAIN_S
        attempt.again_at = time.monotonic() + attempt.again_s
        where = {} if attempt.queue is None else {"queue": attempt.queue}
        try:
            self.app.send_task(
                TASK,
                kwargs={"attempt": attempt.id, "replies": replies, "job": attempt.name},
                task_id=attempt.id,
                producer=producer,
                serializer="json",
                ignore_result=True,
                result_cls=_NoResult,
                expires=LONGEST_WAIT_S,
                retry=False,
                **where,
            )
        except Exception as error:
            connection = producer.connection
            if isinstance(error, (*connection.connection_errors, *connection.channel_errors)):
                raise
            return error
        return None

    def revoke(self, attempts: Sequence[str]) -> None:
        """Nobody is to begin with them; who does finds out, but only after a while."""
        if attempts:
            try:
                self.app.control.revoke(list(attempts))
            except Exception as error:
                logger.info("the tasks that nobody took are left in their queues: %s", error)

    def look(self, queues: Iterable[str]) -> looking.Workers | None:
        """Who there is to take them; None if they could not be asked."""
        try:
            return looking.look(self.app, queues)
        except Exception as error:
            logger.info("the Celery workers could not be asked what they consume: %s", error)
            return None


def queue_of(definition: Any) -> str | None:
    """The queue that a job names."""
    found = getattr(getattr(definition, "job", definition), "QUEUE", None)
    return None if found is None else str(found)


class _NoResult:
    """What the app is given in place of a result, which would connect to where results are."""

    ignored = True

    def __init__(self, id: str) -> None:
        self.id = id
