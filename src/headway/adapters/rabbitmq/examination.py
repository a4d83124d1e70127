"""What a client can find out about a broker, and about what it may do there.

Whether something is allowed is found by asking for it with a flaw that the broker looks at only
after it has looked at the permission: a queue with an impossible argument, a message with an
impossible time to live, the removal of a binding that nobody ever made. 403 means that it is not
allowed, and any other answer that it is. So nothing is made, sent or taken, on any channel, also
if we are killed half-way. The broker notes each refusal in its log.

Source: measured on RabbitMQ 3.10; tests/services/test_examination.py holds it there.
"""

import socket
import ssl
import time
from collections.abc import Callable, Generator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import pika
from pika import exceptions
from pika.adapters.select_connection import IOLoop

from headway.adapters.bus_address import RabbitAddress
from headway.adapters.rabbitmq import declarations
from headway.adapters.rabbitmq.connection import Connection, explain, parameters, quieten_pika
from headway.adapters.rabbitmq.errands import ChannelClosed, Errand, Outcome, Runner, Step
from headway.errors import HeadwayError, Unavailable
from headway.wire.rights import (
    Act,
    Binds,
    Consumes,
    DeclaresExchange,
    DeclaresQueue,
    Publishes,
    tried,
)

T = TypeVar("T")
ANSWER_S = 5.0  # for each answer of the broker's
CLOSE_S = 1.0
_NEVER = "headway-doctor"  # an argument and a value that nobody else uses
_TOO_LARGE = (
    "larger than configured max size"  # in what the broker says of a message beyond its own limit
)


class Certificate(NamedTuple):
    """The broker's, which we have verified."""

    protocol: str  # "TLSv1.3"
    cipher: str
    names: tuple[str, ...]  # that it is for
    issuer: str
    ends_at: datetime


class Broker(NamedTuple):
    """What a broker tells a client."""

    product: str
    version: str
    cluster: str
    capabilities: Mapping[str, Any]
    heartbeat_s: int  # agreed upon
    frame_bytes: int
    channels: int
    took_s: float  # to connect


class Examination:
    """A connection of our own to a broker. Use it in one thread, and close it.

    Raises, when made: Unavailable, Refused with what to do.
    """

    def __init__(self, address: RabbitAddress, answer_s: float = ANSWER_S) -> None:
        quieten_pika()
        self._address = address
        self._answer_s = answer_s
        self._error: HeadwayError | None = None
        self._open = False
        self.blocked: str | None = None  # why the broker takes no messages
        began = time.monotonic()
        self._loop = IOLoop()
        try:
            self._connection = self._connect()
        except BaseException:
            self._loop.close()
            raise
        try:
            self._drive(lambda: self._open or self._error is not None, 3 * answer_s)
            if self._error is not None:
                raise self._error
        except BaseException:
            self.close()
            raise
        self.broker = self._told(time.monotonic() - began)

    def __enter__(self) -> "Examination":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """In good order, if the broker answers at once."""
        if self._connection.is_open:
            self._connection.close()
            try:
                self._drive(lambda: self._connection.is_closed, CLOSE_S)
            except Unavailable:
                pass
        if not self._connection.is_closed:
            lost = exceptions.StreamLostError("not closed in time")
            self._connection._terminate_stream(lost)  # type: ignore[attr-defined]
            self._drive(lambda: self._connection.is_closed, CLOSE_S)
        self._loop.close()

    def exists(self, part: DeclaresExchange | DeclaresQueue) -> bool:
        """Whether there is such a thing; that needs no right. Raises: Unavailable."""
        return self._ask(_exists(part))

    def refusal_of(self, act: Act) -> str | None:
        """The broker's words if it does not allow this, None if it does. Raises: Unavailable."""
        return self._ask(_refusal(_flawed(act)))

    def takes(self, size_bytes: int) -> bool:
        """Whether a message of this size is within the broker's own limit. Raises: Unavailable."""
        return self._ask(_is_taken(size_bytes))

    def round_trip_s(self) -> float:
        """How long the broker takes to answer. Raises: Unavailable."""
        began = time.monotonic()
        self.exists(DeclaresQueue(_NEVER))
        return time.monotonic() - began

    def _connect(self) -> Connection:
        connection = Connection(
            parameters(self._address, "headway doctor", self._answer_s),
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_closed,
            on_close_callback=self._on_closed,
            custom_ioloop=self._loop,
        )
        connection.add_on_connection_blocked_callback(self._on_blocked)
        return connection

    def _told(self, took_s: float) -> Broker:
        said: Mapping[str, Any] = self._connection.server_properties or {}
        agreed = self._connection.params
        return Broker(
            _text(said.get("product")),
            _text(said.get("version")),
            _text(said.get("cluster_name")),
            said.get("capabilities") or {},
            agreed.heartbeat if isinstance(agreed.heartbeat, int) else 0,
            agreed.frame_max,
            agreed.channel_max,
            took_s,
        )

    def _ask(self, errand: Errand[T]) -> T:
        outcome: _Noted[T] = _Noted(self._loop.stop)
        runner = Runner(self._connection, errand, outcome)
        try:
            self._drive(lambda: outcome.known or self._error is not None, self._answer_s)
        except Unavailable as late:
            self._error = late  # whatever is asked from now on fails at once
            if self.blocked is not None:
                self._error = Unavailable(f"{self._address} takes no messages: {self.blocked}")
        if self._error is not None:
            runner.fail(self._error)
        return outcome.wait(0.0, "an examination")

    def _drive(self, done: Callable[[], bool], patience_s: float) -> None:
        """Raises: Unavailable when it is not done in time."""
        until = time.monotonic() + patience_s
        while not done():
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise Unavailable(f"{self._address} did not answer within {patience_s:g} s")
            late = self._loop.call_later(left_s, self._loop.stop)
            self._loop.start()  # until there is news
            self._loop.remove_timeout(late)

    def _on_open(self, connection: Any) -> None:
        self._open = True
        self._loop.stop()

    def _on_closed(self, connection: Any, error: BaseException) -> None:
        self._error = explain(error, self._address)
        self._loop.stop()

    def _on_blocked(self, connection: Any, frame: Any) -> None:
        self.blocked = _text(frame.method.reason)


class _Noted(Outcome[T]):
    """Says when it is known."""

    def __init__(self, on_known: Callable[[], object]) -> None:
        super().__init__()
        self._on_known = on_known

    @property
    def known(self) -> bool:
        return self._known.is_set()

    def succeed(self, result: T) -> None:
        super().succeed(result)
        self._on_known()

    def fail(self, error: BaseException) -> None:
        super().fail(error)
        self._on_known()


def certificate(address: RabbitAddress, answer_s: float = ANSWER_S) -> Certificate:
    """Of a broker that speaks TLS, by a connection of its own.

    Raises: Refused when it is not trusted, Unavailable.
    """
    context = address.tls_context()
    assert context is not None
    try:
        with (
            socket.create_connection((address.host, address.port), answer_s) as plain,
            context.wrap_socket(plain, server_hostname=address.server_name or address.host) as tls,
        ):
            found: Mapping[str, Any] = tls.getpeercert() or {}
            protocol, cipher = tls.version() or "", (tls.cipher() or ("",))[0]
    except OSError as error:
        raise explain(error, address) from error
    issuer = {name: value for part in found.get("issuer", ()) for name, value in part}
    ends_s = ssl.cert_time_to_seconds(found["notAfter"])
    return Certificate(
        protocol,
        cipher,
        tuple(value for _, value in found.get("subjectAltName", ())),
        issuer.get("commonName") or issuer.get("organizationName") or "",
        datetime.fromtimestamp(ends_s, UTC),
    )


def _exists(part: DeclaresExchange | DeclaresQueue) -> Errand[bool]:
    def look(channel: Any, answer: Any) -> None:
        if isinstance(part, DeclaresQueue):
            channel.queue_declare(tried(part.queue), passive=True, callback=answer)
        else:
            channel.exchange_declare(part.exchange, passive=True, callback=answer)

    try:
        yield look
    except ChannelClosed as closed:
        return closed.code == declarations.LOCKED
    return True


def _refusal(step: Step) -> Errand[str | None]:
    try:
        yield step
    except ChannelClosed as closed:
        return closed.text if closed.code == declarations.REFUSED else None
    return None


def _is_taken(size_bytes: int) -> Generator[Step, Any, bool]:
    try:
        yield _flawed_publishing("", _NEVER, b"\0" * size_bytes)
    except ChannelClosed as closed:
        return _TOO_LARGE not in closed.text
    return True


def _flawed(act: Act) -> Step:
    """What asks for that and comes to nothing."""
    match act:
        case DeclaresQueue(queue):
            # Exclusive: should a broker make it after all, it goes with our connection.
            return lambda channel, answer: channel.queue_declare(
                tried(queue), exclusive=True, arguments={"x-expires": _NEVER}, callback=answer
            )
        case DeclaresExchange(exchange):
            return lambda channel, answer: channel.exchange_declare(
                exchange, "topic", durable=True, auto_delete=False,
                arguments={"alternate-exchange": 0}, callback=answer,
            )  # fmt: skip
        case Binds(queue, exchange, key):
            return lambda channel, answer: channel.queue_unbind(
                tried(queue), exchange, tried(key), {_NEVER: _NEVER}, callback=answer
            )
        case Consumes(queue):
            return lambda channel, answer: channel.basic_consume(
                tried(queue), _not_called, arguments={"x-priority": _NEVER}, callback=answer
            )
        case Publishes(exchange, key):
            return _flawed_publishing(exchange, tried(key), b"")


def _flawed_publishing(exchange: str, key: str, body: bytes) -> Step:
    properties = pika.BasicProperties(expiration=_NEVER)

    def publish(channel: Any, answer: Any) -> None:
        channel.confirm_delivery(answer, callback=lambda frame: None)
        channel.basic_publish(exchange, key, body, properties, mandatory=True)

    return publish


def _not_called(*arguments: Any) -> None:
    raise AssertionError("a consumer with an impossible priority was given something")


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
