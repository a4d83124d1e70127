"""The bus on RabbitMQ."""

import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import TypeVar

from headway.adapters.bus_address import RabbitAddress
from headway.adapters.message_rules import no_room, refusal
from headway.adapters.publications import Publication
from headway.adapters.rabbitmq import declarations
from headway.adapters.rabbitmq.connection import quieten_pika
from headway.adapters.rabbitmq.consumers import Opened as OpenedChannel
from headway.adapters.rabbitmq.consumers import RabbitConsumer
from headway.adapters.rabbitmq.errands import Errand, Outcome
from headway.adapters.rabbitmq.link import Link
from headway.adapters.settling import NEEDS_NONE, SETTLED_BEFORE, VOID
from headway.adapters.waits import wait_s
from headway.errors import Conflict, DefinitionError, HeadwayError, Refused, Rejected, Unavailable
from headway.jobs.schedule import Ignored
from headway.ports.bus import (
    DIRECT_REPLY_TO,
    Closed,
    Counts,
    Declared,
    Delivery,
    Exchange,
    Limits,
    Message,
    News,
    Opened,
    Queue,
    Settlement,
)

T = TypeVar("T")
LOG_AGAIN_S = 10.0  # while there is no connection, say so no more often
_LOG = logging.getLogger("headway.bus")

# Not done by us: a cluster that has lost its majority answers no more than that, and what is in
# its queue comes back with it.
LEADERLESS = (
    ". A queue made a moment before its broker was killed may have no leader: once it is deleted"
    " (rabbitmqctl delete_queue {queue}), workers make it anew"
)


class RabbitBus:
    """One party's connection to RabbitMQ."""

    def __init__(
        self,
        address: RabbitAddress,
        limits: Limits | None = None,
        *,
        name: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """``name``: what the broker's tools show its connections as."""
        self.address = address
        self.limits = limits or Limits()
        self.name = name or f"headway {os.getpid()} on {socket.gethostname()}"
        self.monotonic = monotonic
        self.declared: dict[str, Exchange | Queue] = {}
        self.channels: dict[int, OpenedChannel] = {}  # of consumers, by epoch
        self._chance = chance
        self._mutex = threading.Lock()
        self._changed = threading.Condition(self._mutex)
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._link: Link | None = None  # that is open
        self._driven: Link | None = None  # that may not be open yet
        self._error: HeadwayError | None = None  # of the last link
        self._failures = 0
        self._again_in_s = 0.0
        self._logged_at = 0.0
        self._opened_at = 0.0
        self._consumers: list[RabbitConsumer] = []
        self._listeners: list[Callable[[News], object]] = []
        self._epochs = count(1)
        self._unconfirmed = 0
        self._unconfirmed_bytes = 0
        self._published = self._confirmed = self._failed = 0
        self._delivered = self._settled = self._ignored = self._voided = self._connections = 0

    @property
    def place(self) -> str:
        return str(self.address)

    @property
    def is_open(self) -> bool:
        return self._link is not None

    def open(self, timeout_s: float | None = 15.0) -> None:
        self._begin()
        until = None if timeout_s is None else self.monotonic() + timeout_s
        try:
            with self._changed:
                while self._link is None:
                    left_s = None if until is None else until - self.monotonic()
                    if self._closing.is_set():
                        raise Unavailable(f"the bus {self.place} was closed before it was open")
                    if isinstance(self._error, Refused):
                        raise self._error
                    if left_s is not None and left_s <= 0:
                        raise self._error or Unavailable(
                            f"{self.place} did not answer within {timeout_s:g} s"
                        )
                    self._changed.wait(left_s)
        except BaseException:
            self.close()
            raise

    def close(self, timeout_s: float = 5.0) -> None:
        thread = self._thread
        if self.in_io_thread:
            raise DefinitionError("a bus cannot be closed by what it calls inline")
        with self._changed:
            self._closing.set()
            self._link = None
            driven = self._driven
            consumers, self._consumers = self._consumers, []
            self._changed.notify_all()
        if driven is not None:
            driven.leave(timeout_s)
        if thread is not None:
            thread.join()
        for consumer in consumers:
            consumer.stop()
        with self._changed:
            if self._thread is thread:
                self._thread = None
                self.declared.clear()

    def listen(self, listener: Callable[[News], object]) -> None:
        self._listeners.append(listener)

    def declare(self, *parts: Exchange | Queue) -> Sequence[Declared]:
        made = []
        for part in parts:
            errand = declarations.declare(part, self.address.user, self.address.vhost)
            made.append(self._ask(errand, f"declare {part.name!r}"))
            self.declared[part.name] = part
        return made

    def delete(self, queue: str) -> None:
        self._ask(declarations.delete(queue, self.address.user), f"delete {queue!r}")
        self.declared.pop(queue, None)

    def exists(self, queue: str) -> bool:
        return self._ask(declarations.exists(queue, self.address.user), f"ask for {queue!r}")

    def publish(self, message: Message, routing_key: str, exchange: str = "") -> Publication:
        publication = Publication(message, routing_key, exchange)
        error: HeadwayError | None = refusal(message, routing_key, exchange, self.limits)
        if message.user_id is not None and message.user_id != self.address.user:
            error = error or Rejected(
                f"user {self.address.user!r} may not send as user {message.user_id!r}"
            )
        with self._mutex:
            self._published += 1
            error = error or no_room(self.limits, self._unconfirmed, self._unconfirmed_bytes)
            self._unconfirmed += 1
            self._unconfirmed_bytes += len(message.body)
            link = self._link
        if error is not None:
            self.ended(publication, error)
        elif link is None or not link.carry(
            link.publish, publication, partial(self.ended, publication)
        ):
            self.ended(publication, Unavailable(f"not connected to {self.place}"))
        return publication

    def consume(
        self,
        queue: str,
        handler: Callable[[Delivery], object],
        *,
        prefetch: int = 1,
        inline: bool = False,
    ) -> RabbitConsumer:
        link = self._connected()
        self._require_other_thread()
        with self._mutex:
            if queue == DIRECT_REPLY_TO and any(c.queue == queue for c in self._consumers):
                raise Conflict(f"this bus consumes from {DIRECT_REPLY_TO} already")
            consumer = RabbitConsumer(self, queue, handler, prefetch, inline)
            self._consumers.append(consumer)
        outcome: Outcome[None] = Outcome()
        try:
            if not link.carry(lambda one: one.start(link, outcome), consumer, outcome.fail):
                raise Unavailable(f"not connected to {self.place}")
            what = f"consume queue {queue!r} at {self.place}"
            outcome.wait(self.limits.answer_s, what, LEADERLESS.format(queue=queue))
        except BaseException:
            consumer.cancel(0.0)
            raise
        return consumer

    def settle(self, delivery: Delivery, settlement: Settlement) -> Ignored | None:
        epoch, number = delivery.tag
        if not number:
            return NEEDS_NONE
        opened = self.channels.get(epoch)
        link = self._driven
        if opened is None or link is None:
            return self._ignore(VOID)
        try:
            opened.unsettled.remove(number)
        except KeyError:
            return self._ignore(SETTLED_BEFORE)
        if not link.carry(opened.consumer.settle, (opened, number, settlement), None):
            return self._ignore(VOID)
        with self._mutex:
            self._settled += 1
        return None

    def holds(self, delivery: Delivery) -> bool:
        epoch, number = delivery.tag
        opened = self.channels.get(epoch)
        return opened is not None and number in opened.unsettled

    def counts(self) -> Counts:
        with self._mutex:
            return Counts(
                self._published,
                self._confirmed,
                self._failed,
                self._delivered,
                self._settled,
                self._ignored,
                self._voided,
                self._connections,
            )

    # What links, outlets and consumers call.

    def tell(self, news: News) -> None:
        for listener in list(self._listeners):
            try:
                listener(news)
            except Exception:
                _LOG.exception("a listener failed on %r", news)

    def ended(self, publication: Publication, error: HeadwayError | None) -> None:
        """A publication is confirmed, or is not."""
        with self._mutex:
            self._unconfirmed -= 1
            self._unconfirmed_bytes -= len(publication.message.body)
            if error is None:
                self._confirmed += 1
            else:
                self._failed += 1
        publication.end(error)

    def next_epoch(self) -> int:
        return next(self._epochs)

    def wait_s(self, failures: int) -> float:
        limits = self.limits
        return wait_s(failures, limits.first_wait_s, limits.longest_wait_s, self._chance)

    def count_delivered(self) -> None:
        self._delivered += 1  # in the I/O thread only

    def count_void(self, number: int) -> None:
        self._voided += number  # in the I/O thread only

    def no_direct_replies(self) -> HeadwayError:
        if any(one.queue == DIRECT_REPLY_TO for one in self._consumers):
            return Unavailable(f"{DIRECT_REPLY_TO} is not consumed at the moment")
        return Rejected(f"consume from {DIRECT_REPLY_TO} before you publish with it as reply_to")

    def forget(self, consumer: RabbitConsumer) -> None:
        with self._mutex:
            if consumer in self._consumers:
                self._consumers.remove(consumer)

    def repeat_declarations(self) -> Errand[None]:
        """Declare again all that was declared; what cannot be is said and left."""
        for part in list(self.declared.values()):
            try:
                yield from declarations.declare(part, self.address.user, self.address.vhost)
            except Unavailable:
                raise
            except HeadwayError as error:
                _LOG.warning("%s", error)

    def link_opens(self, link: Link) -> None:
        with self._changed:
            if self._closing.is_set():
                return
            self._link = link
            self._opened_at = self.monotonic()
            self._connections += 1
            number = self._connections
            consumers = list(self._consumers)
            self._changed.notify_all()
        for consumer in consumers:
            consumer.start(link)
        _LOG.info("connected to %s", self.place)
        self.tell(Opened(number))

    def link_ends(self, link: Link, error: HeadwayError) -> None:
        with self._changed:
            was_open = self._link is link
            self._link = None
            consumers = list({*self._consumers, *(o.consumer for o in self.channels.values())})
        for consumer in consumers:
            consumer.link_lost(error)
        if not self._closing.is_set():
            lasted = was_open and self.monotonic() - self._opened_at >= self.limits.longest_wait_s
            self._failed_again(error, 1 if lasted else self._failures + 1)

    # The I/O thread.

    def _begin(self) -> None:
        with self._changed:
            if self._thread is not None:
                raise DefinitionError(f"the bus {self.place} is open already, or was not closed")
            quieten_pika()
            if warning := self.address.warning:
                _LOG.warning("%s", warning)
            self._closing = threading.Event()
            self._failures = 0
            self._error = None
            self._thread = threading.Thread(
                target=self._serve, args=(self._closing,), name="headway-bus", daemon=True
            )
            self._thread.start()

    def _serve(self, closing: threading.Event) -> None:
        """Link after link, until the bus is closed."""
        while not closing.is_set():
            self._again_in_s = 0.0
            try:
                link = Link(self)
            except HeadwayError as error:
                self._failed_again(error, self._failures + 1)
            else:
                with self._changed:
                    self._driven = link
                    if closing.is_set():
                        link.leave(0.0)
                link.drive()
                with self._changed:
                    self._driven = None
            closing.wait(self._again_in_s)
        self.tell(Closed("it was closed", None))

    def _failed_again(self, error: HeadwayError, failures: int) -> None:
        self._failures = failures
        self._again_in_s = self.wait_s(failures)
        with self._changed:
            before, self._error = self._error, error
            self._changed.notify_all()
        now = self.monotonic()
        is_raised = isinstance(error, Refused) and not self._connections  # by ``open``
        is_new = failures == 1 or type(error) is not type(before)
        if not is_raised and (is_new or now - self._logged_at >= LOG_AGAIN_S):
            self._logged_at = now
            _LOG.warning("%s; trying again in %.1f s", error, self._again_in_s)
        self.tell(Closed(str(error), self._again_in_s))

    # In the caller's thread.

    def _connected(self) -> Link:
        link = self._link
        if link is None:
            raise Unavailable(f"not connected to {self.place}")
        return link

    @property
    def in_io_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def _require_other_thread(self) -> None:
        if self.in_io_thread:
            raise DefinitionError("what a bus calls inline must not wait for the bus")

    def _ask(self, errand: Errand[T], what: str) -> T:
        link = self._connected()
        self._require_other_thread()
        outcome: Outcome[T] = Outcome()
        if not link.carry(lambda one: link.run(one, outcome), errand, outcome.fail):
            raise Unavailable(f"not connected to {self.place}")
        return outcome.wait(self.limits.answer_s, f"{what} at {self.place}")

    def _ignore(self, ignored: Ignored) -> Ignored:
        with self._mutex:
            self._ignored += 1
        return ignored

    def count_late(self) -> None:
        """Settled, but its channel was gone when that was to be said."""
        with self._mutex:
            self._ignored += 1
