"""A message broker in this process: what RabbitMQ does for Headway, without a server.

Threads: everything happens under one lock, in the thread that caused it. What has to call
somebody (a confirmation, a handler made with ``inline``, news) is put off until the lock is free
and then done by one thread at a time, in order. A broker driven ``by_hand`` puts off every
delivery too, and does nothing of it until ``turn`` is called: so one thread can play a whole
system, in an order that chance decides and a seed repeats.
"""

import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import NamedTuple, Protocol

from headway.adapters.memory_queues import Stored, StoredQueue, Taker, matches, words_of
from headway.adapters.message_rules import is_direct_reply
from headway.adapters.publications import Publication
from headway.errors import Conflict, HeadwayError, Refused, Rejected, Unavailable
from headway.ports.bus import (
    DIRECT_REPLY_TO,
    Binding,
    Blocked,
    Declared,
    Delivery,
    Exchange,
    News,
    Queue,
    Settlement,
    Unblocked,
)

QUEUE_LIMIT = 100_000  # messages that wait in one queue; what comes then is not taken


class Permissions(NamedTuple):
    """Patterns of the names a user may configure, write to and read from, as RabbitMQ has them."""

    configure: str = ".*"
    write: str = ".*"
    read: str = ".*"


class Party(Protocol):
    """What the broker calls of a bus."""

    user: str

    def tell(self, news: News) -> None: ...

    def lost(self, reason: str) -> None:
        """Its connection has gone."""

    def consumer_lost(self, taker: Taker, queue: str, reason: str) -> None:
        """A consumer's channel was closed, or its queue has gone."""


class Link(NamedTuple):
    """One connection of one bus."""

    number: int
    party: Party

    @property
    def user(self) -> str:
        return self.party.user


class MemoryBroker:
    """Exchanges and queues for all buses that were made with it."""

    def __init__(self, name: str = "", *, by_hand: bool = False) -> None:
        self.name = name
        self.by_hand = by_hand
        self.lock = threading.RLock()
        self.started = threading.Condition(self.lock)
        self.running = True
        self._exchanges: dict[str, list[tuple[list[str], str]]] = {"amq.topic": []}
        self._queues: dict[str, StoredQueue] = {}
        self._links: dict[int, Link] = {}
        self._takers: dict[int, tuple[str, Taker]] = {}  # by epoch
        self._addresses: dict[str, Taker] = {}  # direct reply, by address
        self._permissions: dict[str, Permissions] = {}
        self._numbers = count(1)
        self._blocked: str | None = None
        self._held: list[tuple[Link, Publication]] = []  # published while blocked
        self._later: deque[tuple[object, Callable[[], object]]] = deque()
        self._calling = False
        self._depth = 0
        self._hopes: list[tuple[object, Callable[[], object]]] = []

    # What an operator, or a test, does to it.

    def allow(self, user: str, configure: str = "^$", write: str = "^$", read: str = "^$") -> None:
        """Restrict a user, who may do everything otherwise, to names that match."""
        with self.acting():
            self._permissions[user] = Permissions(configure, write, read)

    def block(self, reason: str) -> None:
        """Take no messages until ``unblock``."""
        with self.acting():
            self._blocked = reason
            for link in self._links.values():
                self._tell(link, Blocked(reason))

    def unblock(self) -> None:
        with self.acting():
            self._blocked = None
            for link in self._links.values():
                self._tell(link, Unblocked())
            held, self._held = self._held, []
            for link, publication in held:
                self._route(link, publication)

    def cut(self, reason: str = "the connection was cut") -> None:
        """Lose every connection, as a network does. The buses make new ones."""
        with self.acting():
            for number in list(self._links):
                self._drop(number, reason)

    def stop(self) -> None:
        """As a broker that is shut down: connections go, and what is not durable."""
        with self.acting():
            self.running = False
            for number in list(self._links):
                self._drop(number, "the broker was stopped")
            for queue in list(self._queues.values()):
                if queue.declared.durable:
                    queue.forget_transient()
                else:
                    self._remove(queue)

    def start(self) -> None:
        with self.acting():
            self.running = True
            self.started.notify_all()
            self._hope()

    def interrupt(self, queue: str, reason: str = "a delivery was unsettled for too long") -> None:
        """Close the channels of a queue's consumers, as a broker with little patience does."""
        with self.acting():
            for taker in list(self._queues[queue].takers):
                self._void(taker, reason)

    def depth(self, queue: str) -> int:
        """How many messages wait, those that consumers were given not counted."""
        with self.acting():
            return self._queues[queue].depth

    # What a bus asks of it.

    def attach(self, party: Party) -> Link:
        with self.acting():
            if not self.running:
                raise Unavailable(f"the in-memory broker {self.name!r} is stopped")
            link = Link(next(self._numbers), party)
            self._links[link.number] = link
            if self._blocked is not None:
                self._tell(link, Blocked(self._blocked))
            return link

    def detach(self, link: Link) -> None:
        with self.acting():
            if link.number in self._links:
                self._drop(link.number, None)

    def declare(self, link: Link, part: Exchange | Queue) -> Declared:
        with self.acting():
            self._require_link(link)
            self._hope()
            if isinstance(part, Exchange):
                created = part.name not in self._exchanges
                if created:
                    self._require(link, "configure", part.name)
                    self._exchanges[part.name] = []
                return Declared(part.name, created)
            return self._declare_queue(link, part)

    def delete(self, link: Link, name: str) -> None:
        with self.acting():
            self._require_link(link)
            if queue := self._queues.get(name):
                self._require(link, "configure", name)
                self._require_unlocked(link, queue)
                self._remove(queue)

    def exists(self, name: str) -> bool:
        with self.acting():
            return name in self._queues or name in self._addresses

    def publish(self, link: Link, publication: Publication) -> None:
        """Its confirmation tells what came of it."""
        with self.acting():
            if self._blocked is not None:
                self._held.append((link, publication))
            else:
                self._route(link, publication)

    def consume(
        self, link: Link, name: str, prefetch: int, give: Callable[[Delivery], object]
    ) -> Taker:
        with self.acting():
            self._require_link(link)
            taker = Taker(link.number, next(self._numbers), prefetch, give)
            if name == DIRECT_REPLY_TO:
                self._addresses[self._address(taker)] = taker
            else:
                self._require(link, "read", name)
                queue = self._queue(name)
                self._require_unlocked(link, queue)
                queue.takers.append(taker)
            self._takers[taker.epoch] = (name, taker)
        return taker

    def begin(self, taker: Taker) -> None:
        """Now it may be given deliveries: whoever made it knows it."""
        with self.acting():
            name, _ = self._takers.get(taker.epoch, ("", taker))
            if queue := self._queues.get(name):
                queue.feed()

    def cancel(self, taker: Taker) -> None:
        """Give it no more; what it has can still be settled."""
        with self.acting():
            taker.cancelled = True
            name, _ = self._takers.get(taker.epoch, ("", taker))
            self._addresses.pop(self._address(taker), None)
            if queue := self._queues.get(name):
                self._leave(queue, taker)
            if not taker.unsettled:
                self._takers.pop(taker.epoch, None)

    def settle(self, taker: Taker, number: int, settlement: Settlement) -> bool:
        """Returns whether it was unsettled."""
        with self.acting():
            stored = taker.unsettled.pop(number, None)
            if stored is None:
                return False
            if queue := self._queues.get(self._takers[taker.epoch][0]):
                if settlement is Settlement.REQUEUE:
                    queue.put_back([stored])
                queue.feed()
            if taker.cancelled and not taker.unsettled:
                del self._takers[taker.epoch]
        return True

    # Putting off, and doing.

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Under the lock; when it is free again, what was put off meanwhile is done."""
        with self.lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                outermost = self._depth == 0
        if outermost:
            self._call()

    def later(self, lane: object, call: Callable[[], object]) -> None:
        """Have it called without the lock. Calls of one lane keep their order."""
        self._later.append((lane, call))

    def _call(self) -> None:
        while not self.by_hand:
            with self.lock:
                if self._calling or not self._later:
                    return
                self._calling = True
                _, call = self._later.popleft()
            try:
                call()
            finally:
                self._calling = False

    def hope(self, lane: object, call: Callable[[], object]) -> None:
        """Have it called when the broker has started, or something was declared."""
        self._hopes.append((lane, call))

    def turn(self, chance: Callable[[], float] = lambda: 0.0) -> bool:
        """Driven by hand: do one thing that was put off. Returns whether there was any."""
        with self.lock:
            if not self._later:
                return False
            chosen, _ = self._later[int(chance() * len(self._later))]
            at = next(i for i, (lane, _) in enumerate(self._later) if lane == chosen)
            _, call = self._later[at]
            del self._later[at]
        call()
        return True

    # Under the lock.

    def _hope(self) -> None:
        self._later.extend(self._hopes)
        self._hopes.clear()

    def _tell(self, link: Link, news: News) -> None:
        self.later(link.party, lambda: link.party.tell(news))

    def _end(self, link: Link, publication: Publication, error: HeadwayError | None) -> None:
        self.later(("confirms", link.number), lambda: publication.end(error))

    def _require_link(self, link: Link) -> None:
        """A bus whose connection was cut may not have been told yet."""
        if link.number not in self._links:
            raise Unavailable(f"the connection to the in-memory broker {self.name!r} has gone")

    def _require(self, link: Link, verb: str, name: str) -> None:
        pattern = getattr(self._permissions.get(link.user, Permissions()), verb)
        if not re.search(pattern, name or "amq.default"):
            raise Refused(
                f"user {link.user!r} may not {verb} {name or 'amq.default'!r}:"
                f" let the in-memory broker allow it"
            )

    def _require_unlocked(self, link: Link, queue: StoredQueue) -> None:
        if queue.owner not in (None, link.number):
            raise Conflict(f"queue {queue.declared.name!r} is another connection's own")

    def _queue(self, name: str) -> StoredQueue:
        try:
            return self._queues[name]
        except KeyError:
            raise Rejected(f"there is no queue {name!r}") from None

    def _declare_queue(self, link: Link, part: Queue) -> Declared:
        created = part.name not in self._queues
        if created:
            self._require(link, "configure", part.name)
            owner = link.number if part.exclusive else None
            self._queues[part.name] = StoredQueue(part, owner)
        else:
            self._require_unlocked(link, self._queues[part.name])
        unsure = []
        for binding in part.bindings:
            try:
                self._bind(link, part.name, binding)
            except Refused:
                if created:
                    raise
                unsure.append(binding)
        return Declared(part.name, created, tuple(unsure))

    def _bind(self, link: Link, queue: str, binding: Binding) -> None:
        self._require(link, "write", queue)
        self._require(link, "read", binding.exchange)
        if binding.exchange not in self._exchanges:
            raise Rejected(f"there is no exchange {binding.exchange!r}")
        bound = (words_of(binding.key), queue)
        if bound not in self._exchanges[binding.exchange]:
            self._exchanges[binding.exchange].append(bound)

    def _route(self, link: Link, publication: Publication) -> None:
        error: HeadwayError | None = None
        try:
            self._deliver(link, publication)
        except HeadwayError as reason:
            error = reason
        self._end(link, publication, error)

    def _deliver(self, link: Link, publication: Publication) -> None:
        message, key, exchange = publication.message, publication.routing_key, publication.exchange
        self._require_link(link)
        self._require(link, "write", exchange)
        if message.user_id not in (None, link.user):
            raise Rejected(f"user {link.user!r} may not send as user {message.user_id!r}")
        if message.reply_to == DIRECT_REPLY_TO:
            message = message._replace(reply_to=self._address_of(link))
        stored = Stored(message, key, exchange)
        if not exchange and is_direct_reply(key):
            if taker := self._addresses.get(key):
                taker.give(stored.delivery(DIRECT_REPLY_TO, (taker.epoch, 0)))
            return
        queues = self._queues_for(publication)
        if full := [queue for queue in queues if queue.depth >= QUEUE_LIMIT]:
            raise Unavailable(f"queue {full[0].declared.name!r} holds {QUEUE_LIMIT} messages")
        for queue in queues:
            queue.append(stored.copy())
            queue.feed()

    def _queues_for(self, publication: Publication) -> list[StoredQueue]:
        exchange, key = publication.exchange, publication.routing_key
        if not exchange:
            return [self._queue(key)]
        if exchange not in self._exchanges:
            raise Rejected(f"there is no exchange {exchange!r}")
        words = words_of(key)
        names = {name for pattern, name in self._exchanges[exchange] if matches(pattern, words)}
        if not names:
            raise Rejected(f"no queue is bound to {publication.destination}: nobody would get it")
        return [self._queues[name] for name in sorted(names)]

    @staticmethod
    def _address(taker: Taker) -> str:
        return f"{DIRECT_REPLY_TO}.{taker.epoch}"

    def _address_of(self, link: Link) -> str:
        for address, taker in self._addresses.items():
            if taker.link == link.number:
                return address
        raise Rejected(f"consume from {DIRECT_REPLY_TO} before you publish with it as reply_to")

    def _void(self, taker: Taker, reason: str | None) -> None:
        """Close a consumer's channel. Without reason, nobody is told."""
        name, _ = self._takers.pop(taker.epoch, ("", taker))
        self._addresses.pop(self._address(taker), None)
        taker.cancelled = True
        taker.voided = len(taker.unsettled)
        returned = list(taker.unsettled.values())
        taker.unsettled.clear()
        if queue := self._queues.get(name):
            queue.put_back(returned)
            self._leave(queue, taker)
            queue.feed()
        link = self._links.get(taker.link)
        if reason is not None and link is not None:
            self.later(link.party, lambda: link.party.consumer_lost(taker, name, reason))

    def _drop(self, number: int, reason: str | None) -> None:
        """End a connection. Without reason it was closed in good order."""
        link = self._links.pop(number)
        for _, taker in list(self._takers.values()):
            if taker.link == number:
                self._void(taker, None)
        for queue in list(self._queues.values()):
            if queue.owner == number:
                self._remove(queue)
        self._held = [(one, publication) for one, publication in self._held if one is not link]
        if reason is not None:
            self.later(link.party, lambda: link.party.lost(reason))

    def _leave(self, queue: StoredQueue, taker: Taker) -> None:
        if taker in queue.takers:
            queue.takers.remove(taker)
            if queue.declared.auto_delete and not queue.takers:
                self._remove(queue)

    def _remove(self, queue: StoredQueue) -> None:
        name = queue.declared.name
        if self._queues.pop(name, None) is None:
            return
        for bound in self._exchanges.values():
            bound[:] = [(pattern, target) for pattern, target in bound if target != name]
        for taker in list(queue.takers):
            self._void(taker, f"queue {name!r} was deleted")
