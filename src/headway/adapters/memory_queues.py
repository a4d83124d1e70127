"""What an in-memory broker is made of: stored messages, queues, and topics that match."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import count

from headway.ports.bus import Delivery, Message, Queue


class Stored:
    """A message in a queue: bytes, so that nobody shares an object with anybody."""

    __slots__ = (
        "body",
        "exchange",
        "persistent",
        "place",
        "properties",
        "redelivered",
        "routing_key",
    )

    def __init__(self, message: Message, routing_key: str, exchange: str) -> None:
        properties = message._replace(body=b"", headers=dict(message.headers))[1:]
        self.properties = json.dumps(properties).encode()
        self.body = bytes(message.body)
        self.routing_key = routing_key
        self.exchange = exchange
        self.persistent = message.persistent
        self.redelivered = False
        self.place = 0

    def copy(self) -> "Stored":
        """The same message for another queue."""
        twin = Stored.__new__(Stored)
        for name in Stored.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin

    def delivery(self, queue: str, tag: tuple[int, int]) -> Delivery:
        message = Message(self.body, *json.loads(self.properties))
        return Delivery(message, queue, self.exchange, self.routing_key, self.redelivered, tag)


class Taker:
    """A consumer as the broker sees it: its channel, and what is unsettled there."""

    def __init__(
        self, link: int, epoch: int, prefetch: int, give: Callable[[Delivery], object]
    ) -> None:
        self.link = link
        self.epoch = epoch
        self.prefetch = prefetch
        self.give = give
        self.cancelled = False
        self.voided = 0  # how many were unsettled when its channel went
        self.unsettled: dict[int, Stored] = {}
        self._numbers = count(1)

    @property
    def has_room(self) -> bool:
        return not self.cancelled and len(self.unsettled) < self.prefetch

    def take(self, queue: str, stored: Stored) -> None:
        number = next(self._numbers)
        self.unsettled[number] = stored
        self.give(stored.delivery(queue, (self.epoch, number)))


class StoredQueue:
    """A queue: messages that wait in order, and consumers that take turns."""

    def __init__(self, declared: Queue, owner: int | None) -> None:
        self.declared = declared
        self.owner = owner  # the link it is exclusive to
        self.takers: deque[Taker] = deque()
        self._ready: list[tuple[int, Stored]] = []  # a heap: what comes back keeps its place
        self._places = count(1)

    @property
    def depth(self) -> int:
        """How many messages wait."""
        return len(self._ready)

    def append(self, stored: Stored) -> None:
        stored.place = next(self._places)
        heappush(self._ready, (stored.place, stored))

    def put_back(self, returned: Iterable[Stored]) -> None:
        for stored in returned:
            stored.redelivered = True
            heappush(self._ready, (stored.place, stored))

    def feed(self) -> None:
        """Give what waits to consumers that have room, in turn."""
        while self._ready and (taker := self._next_taker()):
            taker.take(self.declared.name, heappop(self._ready)[1])

    def forget_transient(self) -> None:
        self._ready = [pair for pair in self._ready if pair[1].persistent]
        heapify(self._ready)

    def _next_taker(self) -> Taker | None:
        for _ in range(len(self.takers)):
            self.takers.rotate(-1)
            if self.takers[-1].has_room:
                return self.takers[-1]
        return None


def words_of(key: str) -> list[str]:
    """The words of a routing key or a topic pattern; an empty one has none."""
    return key.split(".") if key else []


def matches(pattern: Sequence[str], words: Sequence[str]) -> bool:
    """Whether a topic pattern matches a routing key."""
    reached = {0}  # how many words the pattern so far can have matched
    for part in pattern:
        if part == "#":
            reached = set(range(min(reached), len(words) + 1))
        else:
            reached = {n + 1 for n in reached if n < len(words) and part in ("*", words[n])}
        if not reached:
            return False
    return len(words) in reached
