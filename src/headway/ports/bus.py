"""What carries messages between a core, its workers and whoever else listens.

A bus is one party's connection to a broker. It outlives the network connections under it: when
one is lost, it makes another after growing, jittered waits, declares again what was declared,
and goes on consuming. What a lost connection takes with it is said, never hidden: publishes that
were not confirmed fail with Unavailable, so that an outbox may send them again, and deliveries
not settled are void, because the broker delivers them to somebody again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from headway.errors import HeadwayError
from headway.jobs.schedule import Ignored

# Consumed from, it is an address of this connection alone, without a queue; a message published
# with it as ``reply_to`` arrives with the real address there, which begins like this and a dot.
DIRECT_REPLY_TO = "amq.rabbitmq.reply-to"

NO_HEADERS: Mapping[str, Any] = MappingProxyType({})


class Message(NamedTuple):
    """What is published. Its ``repr`` shows no content, which may be secret."""

    body: bytes
    content_type: str | None = None
    headers: Mapping[str, Any] = NO_HEADERS  # JSON values; numbers whole and of 64 bits
    correlation_id: str | None = None
    reply_to: str | None = None
    message_id: str | None = None
    app_id: str | None = None
    user_id: str | None = None  # the broker refuses any but the connection's own
    type: str | None = None
    timestamp_s: int | None = None  # UTC, since 1970
    persistent: bool = True  # whether it survives the broker, in a queue that does

    def __repr__(self) -> str:
        named = ("correlation_id", "reply_to", "message_id", "app_id", "type")
        shown = [f"{name}={value!r}" for name in named if (value := getattr(self, name))]
        return f"Message({', '.join([f'{len(self.body)} bytes', *shown])})"


class Delivery(NamedTuple):
    """A message that a consumer was given, to be settled once."""

    message: Message
    queue: str  # that was consumed
    exchange: str  # it was published to
    routing_key: str  # and with
    redelivered: bool  # whether somebody, perhaps us, was given it before
    tag: tuple[int, int]  # (epoch, number): names it for as long as its channel lasts
    # Why it cannot be worked on, if it cannot: larger than the limit (the body is then left
    # out), or its properties cannot be read. It has to be settled all the same.
    flaw: str | None = None


class Settlement(Enum):
    """What becomes of a delivery."""

    ACK = "ack"  # it is done with
    REQUEUE = "requeue"  # somebody is to be given it again
    REJECT = "reject"  # to the queue's dead-letter exchange; without one it is lost


class QueueKind(Enum):
    """How a queue keeps its messages. Only a quorum queue remembers acknowledgements for sure."""

    QUORUM = "quorum"
    CLASSIC = "classic"


class Exchange(NamedTuple):
    """A durable topic exchange."""

    name: str


class Binding(NamedTuple):
    """Messages published to the exchange with a matching key also go to the queue.

    A key is words with dots between; ``*`` matches one word, ``#`` any number of them.
    """

    exchange: str
    key: str


class Queue(NamedTuple):
    """A queue as it is declared where it does not exist. What exists is used as it is."""

    name: str
    kind: QueueKind = QueueKind.QUORUM
    bindings: tuple[Binding, ...] = ()
    durable: bool = True
    exclusive: bool = False  # to this connection, with which it goes; never a quorum queue
    auto_delete: bool = False  # goes with its last consumer; never a quorum queue
    arguments: Mapping[str, Any] = NO_HEADERS  # the broker's own, x-max-length and the like


class Declared(NamedTuple):
    """What came of a declaration."""

    name: str
    created: bool  # False: it was there
    # Bindings of a queue that was there which this user may not make. Whether somebody else made
    # them, only the administrator's tools can tell.
    unsure: tuple[Binding, ...] = ()


@dataclass(frozen=True, slots=True)
class Opened:
    """News: connected; what had been declared is, and consumers are under way again."""

    connection: int  # the first, the second, ...


@dataclass(frozen=True, slots=True)
class Closed:
    """News: not connected."""

    reason: str
    again_in_s: float | None  # until the next attempt; None: closed for good


@dataclass(frozen=True, slots=True)
class Blocked:
    """News: the broker takes no messages for now. Deliveries and settlements go on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unblocked:
    """News: the broker takes messages again."""


@dataclass(frozen=True, slots=True)
class ConsumerLost:
    """News: a consumer gets nothing any more. It is tried again."""

    queue: str
    reason: str
    again_in_s: float


@dataclass(frozen=True, slots=True)
class ConsumerBack:
    """News: a lost consumer consumes again."""

    queue: str


News = Opened | Closed | Blocked | Unblocked | ConsumerLost | ConsumerBack


class Counts(NamedTuple):
    """What a bus has done since it was made."""

    published: int  # handed over; each is confirmed or failed in the end
    confirmed: int
    failed: int
    delivered: int  # handed to consumers
    settled: int
    ignored: int  # settled twice, or too late
    void: int  # deliveries that went with their connection or channel
    connections: int


BODY_BYTES = 1 << 20
UNCONFIRMED = 10_000
UNCONFIRMED_BYTES = 64 << 20
ANSWER_S = 15.0
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 10.0


class Limits(NamedTuple):
    """What bounds a bus's memory and its patience."""

    body_bytes: int = BODY_BYTES  # of a message, published or delivered
    unconfirmed: int = UNCONFIRMED  # messages published, not confirmed; then publishing fails
    unconfirmed_bytes: int = UNCONFIRMED_BYTES  # of their bodies
    answer_s: float = ANSWER_S  # for the broker's answer to anything asked of it
    first_wait_s: float = FIRST_WAIT_S  # before connecting again; the bound doubles each time
    longest_wait_s: float = LONGEST_WAIT_S


class Confirmation(Protocol):
    """What becomes of one message published."""

    @property
    def done(self) -> bool:
        """Whether that is known."""

    @property
    def error(self) -> HeadwayError | None:
        """Why the broker does not have it, if that is known.

        Rejected: no such exchange or queue, or nothing bound for the key; or over a limit.
        Refused: not permitted. Unavailable: not confirmed, so it may or may not have arrived.
        """

    def wait(self, timeout_s: float | None) -> None:
        """Returns when the broker has the message, in as many queues as it goes to.

        Raises: ``error``; Unavailable when that was not known in time.
        """

    def then(self, call: Callable[["Confirmation"], object]) -> None:
        """Have it called once when that is known; at once if it is. It must not block."""


class Consumer(Protocol):
    """A handler that is given a queue's deliveries, until cancelled."""

    @property
    def queue(self) -> str: ...

    def cancel(self, timeout_s: float | None = None) -> bool:
        """Take no more. Returns whether the handler has ended (True in the handler itself).

        What it was not yet given goes back to the queue; what it was given can still be settled.
        """


class Bus(Protocol):
    """One party's connection to a broker. Thread-safe.

    Threads: one thread of its own does the network's work. A consumer's handler is called in a
    thread of that consumer, one delivery at a time, and may block for hours; a handler made with
    ``inline`` is called where the delivery arrives, and so are listeners and what was given to
    ``then``: these must not block, nor call ``open``, ``close``, ``declare``, ``delete``,
    ``exists``, ``consume``; they may publish and settle.
    """

    @property
    def place(self) -> str:
        """Where it is, for a reader; without password."""

    @property
    def is_open(self) -> bool:
        """Whether it is connected."""

    def open(self, timeout_s: float | None = 15.0) -> None:
        """Connect, trying again and again for so long; None: until it succeeds.

        Raises: Refused for a user, password, virtual host or certificate that is not accepted;
        Unavailable. The bus is closed then.
        """

    def close(self, timeout_s: float = 5.0) -> None:
        """Wait so long for what is unconfirmed, then let go of everything. Again does nothing.

        Handlers that are running are not waited for: cancel their consumers first.
        """

    def listen(self, listener: Callable[[News], object]) -> None:
        """Have it told all news from now on."""

    def declare(self, *parts: Exchange | Queue) -> Sequence[Declared]:
        """Make sure that they exist, one after another, now and on every later connection.

        What exists is used whatever its type. Raises: Refused with what an administrator has to
        type; Rejected when the broker cannot make it; Unavailable.
        """

    def delete(self, queue: str) -> None:
        """Remove a queue with all that is in it, and forget its declaration.

        One that does not exist is none the less gone. Raises: Refused, Unavailable.
        """

    def exists(self, queue: str) -> bool:
        """Whether there is such a queue, or anybody behind such a direct reply address."""

    def publish(self, message: Message, routing_key: str, exchange: str = "") -> Confirmation:
        """Hand a message over; never blocks, never raises.

        Without exchange the key is a queue's name, or a direct reply address. A message to an
        address that is gone vanishes, confirmed: the sender has to notice a missing answer.
        """

    def consume(
        self,
        queue: str,
        handler: Callable[[Delivery], object],
        *,
        prefetch: int = 1,
        inline: bool = False,
    ) -> Consumer:
        """Be given the messages of a queue, now and on every later connection.

        ``prefetch``: how many may be unsettled at once. What comes from DIRECT_REPLY_TO needs no
        settling, and is consumed at most once on a bus. A handler must not raise: if it does,
        the error is logged and an unsettled delivery requeued, or rejected if it was redelivered.

        Raises: Rejected when there is no such queue, Refused, Unavailable.
        """

    def settle(self, delivery: Delivery, settlement: Settlement) -> Ignored | None:
        """Say what becomes of a delivery. Ignored when that was said, or it is void."""

    def holds(self, delivery: Delivery) -> bool:
        """Whether it can still be settled."""

    def counts(self) -> Counts: ...
