"""Begins deployments that are asked for over the bus: key ``job.create``.

The answer, the deployment's id or null, is sent when the run is stored, and only then is the
request settled. One that is delivered again is answered with the same id.
"""

import hashlib
import logging
import queue
from collections.abc import Callable

from headway.errors import DefinitionError, Rejected, WireError
from headway.ports.bus import (
    DIRECT_REPLY_TO,
    Binding,
    Bus,
    Consumer,
    Delivery,
    Exchange,
    Message,
    Queue,
    QueueKind,
    Settlement,
)
from headway.ports.store import Store
from headway.releases.surroundings import NOTHING, Surroundings
from headway.runtime.deploying import deploy
from headway.runtime.shelf import Shelf
from headway.wire import names
from headway.wire.messages import Absent, JobAnswer, JobRequest

_LOG = logging.getLogger("headway.core")
QUEUE = "core"
PREFETCH = 100


class JobRequests:
    """Those that come to one core. Threads: one that answers; the bus's own brings them."""

    def __init__(
        self,
        store: Store,
        shelf: Shelf,
        bus: Bus,
        woken: Callable[[], object],
        surroundings: Surroundings = NOTHING,
    ) -> None:
        """``woken`` is called when there is one, in the bus's thread. ``surroundings``: of the
        deployments that begin."""
        self._store = store
        self._shelf = shelf
        self._surroundings = surroundings
        self._bus = bus
        self._woken = woken
        self._waiting: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._consumer: Consumer | None = None

    def open(self) -> None:
        """Raises: Refused, Unavailable."""
        binding = Binding(names.EXCHANGE, names.JOB_CREATE)
        # Classic, as the dispatcher's: a request that is delivered again begins nothing twice.
        asked = Queue(QUEUE, QueueKind.CLASSIC, bindings=(binding,))
        self._bus.declare(Exchange(names.EXCHANGE), asked)
        self._consumer = self._bus.consume(QUEUE, self._heard, prefetch=PREFETCH, inline=True)

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.cancel()

    def answer(self) -> int:
        """Answer those that have come; how many runs were stored. Raises: Unavailable."""
        stored = 0
        while not self._waiting.empty():
            delivery = self._waiting.get_nowait()
            try:
                id = self._begun(delivery)
            except (WireError, DefinitionError, Rejected) as error:
                _LOG.warning("a job request is refused: %s", error)
                id = None
            stored += id is not None
            if delivery.message.reply_to:
                body = JobAnswer(id=id).encode()
                self._bus.publish(
                    Message(body, names.JSON, correlation_id=delivery.message.correlation_id or id),
                    delivery.message.reply_to,
                )
            self._bus.settle(delivery, Settlement.ACK)
        return stored

    def _heard(self, delivery: Delivery) -> None:
        self._waiting.put(delivery)
        self._woken()

    def _begun(self, delivery: Delivery) -> str:
        if delivery.flaw is not None:
            raise WireError(delivery.flaw)
        asked = JobRequest.decode(delivery.message.body)
        record = self._store.find_playbook(asked.playbook_id)
        if record.id != asked.playbook_id or record.group != asked.group:
            raise Rejected(f"there is no playbook {asked.playbook_id} of the group {asked.group}")
        deployed = deploy(
            self._store,
            self._shelf.release(record, self._surroundings),
            {} if isinstance(asked.dynamic, Absent) else asked.dynamic,
            who="" if isinstance(asked.user_id, Absent) else asked.user_id,
            source="" if isinstance(asked.source_ip, Absent) else asked.source_ip,
            key=_key(delivery.message),
        )
        return deployed.run


def _key(message: Message) -> str | None:
    """What tells a request that is delivered again from another like it.

    Its id; of those who give none, the temporary queue that waits for this one answer.
    """
    if message.message_id:
        return f"job {message.message_id}"
    if message.reply_to and not message.reply_to.startswith(DIRECT_REPLY_TO):
        body = hashlib.sha256(message.body).hexdigest()[:16]
        return f"job {message.reply_to} {body}"
    return None
