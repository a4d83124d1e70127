"""Publishes on one channel, and tells each message what the broker said of it."""

import logging
import re
from collections import deque
from collections.abc import Callable
from itertools import takewhile
from typing import Any, Protocol

from pika import exceptions, spec
from pika.channel import Channel

from headway.adapters.message_rules import is_direct_reply
from headway.adapters.publications import Publication
from headway.adapters.rabbitmq.connection import Connection
from headway.adapters.rabbitmq.encoding import message_of, properties_of
from headway.errors import HeadwayError, Refused, Rejected, Unavailable
from headway.ports.bus import DIRECT_REPLY_TO

_LOG = logging.getLogger("headway.bus")
_NO_EXCHANGE = re.compile(r"no exchange '(.*)' in vhost")
_NO_TOPIC = re.compile(r"access to topic '(.*)' in exchange '(.*)' in vhost")
_NO_ACCESS = re.compile(r"access to exchange '(.*)' in vhost")
_TOO_LARGE = re.compile(r"larger than configured max size (\d+)")


class Publisher(Protocol):
    """Whom an outlet tells."""

    def ended(self, publication: Publication, error: HeadwayError | None) -> None: ...


class Outlet:
    """A channel in confirm mode, and what is under way on it. Threads: the I/O thread only."""

    def __init__(self, connection: Connection, publisher: Publisher, user: str) -> None:
        self._publisher = publisher
        self._user = user
        self._waiting: deque[Publication] = deque()  # until the channel is open
        self._outstanding: dict[int, Publication] = {}  # by the broker's number, ascending
        self._next = 1
        self._unroutable: dict[int, str] = {}  # returned by the broker, confirmation to follow
        self._returned = 0  # the last of them: returns come in the order of publishing
        self._ready = False
        self.closed = False
        self.on_idle: Callable[[], None] | None = None
        self._confirms = connection.confirms
        self._channel: Channel = connection.channel(on_open_callback=self._opened)
        self._channel.add_on_close_callback(self._on_close)
        self._channel.add_on_return_callback(self._on_return)

    @property
    def idle(self) -> bool:
        return not self._outstanding and not self._waiting

    @property
    def channel(self) -> Channel:
        return self._channel

    def publish(self, publication: Publication) -> None:
        if self._ready:
            self._send(publication)
        else:
            self._waiting.append(publication)

    def fail(self, error: HeadwayError) -> None:
        """The connection has gone, and with it whatever was not confirmed."""
        self.closed = True
        for publication in [*self._outstanding.values(), *self._waiting]:
            self._publisher.ended(publication, unconfirmed(publication, error))
        self._outstanding.clear()
        self._waiting.clear()

    def ready(self) -> None:
        """The channel can be used: send what waited for it."""
        self._ready = True
        while self._waiting:
            self._send(self._waiting.popleft())

    def _opened(self, channel: Channel) -> None:
        channel.confirm_delivery(self._on_confirm, callback=self._confirming)
        self._confirms[channel.channel_number] = self._on_confirm

    def _confirming(self, frame: Any) -> None:
        self.ready()

    def _send(self, publication: Publication) -> None:
        number = self._next
        exchange, key = publication.exchange, publication.routing_key
        # The broker would return a message to a direct reply address although it arrives.
        mandatory = bool(exchange) or not is_direct_reply(key)
        try:
            self._channel.basic_publish(
                exchange,
                key,
                publication.message.body,
                properties_of(publication.message),
                mandatory,
            )
        except exceptions.AMQPError as error:  # the channel is closing
            self._publisher.ended(publication, Unavailable(f"the channel was closed ({error!r})"))
            return
        self._next = number + 1
        self._outstanding[number] = publication

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        number, acked = method.delivery_tag, isinstance(method, spec.Basic.Ack)
        if not method.multiple:
            self._confirm(number, acked)
        else:
            for one in list(takewhile(lambda n: n <= number, self._outstanding)):
                self._confirm(one, acked)
        if self.on_idle is not None and self.idle:
            self.on_idle()

    def _confirm(self, number: int, acked: bool) -> None:
        publication = self._outstanding.pop(number, None)
        if publication is None:
            return
        error: HeadwayError | None = None
        if self._unroutable and (why := self._unroutable.pop(number, None)):
            error = Rejected(why)
        elif not acked:
            error = Unavailable(
                f"the broker could not take a message to {publication.destination}: a queue is"
                " full, or could not store it"
            )
        self._publisher.ended(publication, error)

    def _on_return(
        self, channel: Channel, method: Any, properties: spec.BasicProperties, body: bytes
    ) -> None:
        number = self._number_of(method, properties, body)
        if number is None:
            _LOG.error("the broker returned a message that nobody sent to %r", method.routing_key)
            return
        self._returned = number
        publication = self._outstanding[number]
        if publication.exchange:
            why = f"no queue is bound to {publication.destination}: nobody would get it"
        else:
            why = f"there is no queue {publication.routing_key!r}"
        self._unroutable[number] = why

    def _number_of(self, method: Any, properties: Any, body: bytes) -> int | None:
        """Which of those outstanding was returned: the broker does not say.

        The first after the last return that is the same in all that matters. Two that are the
        same in all of it may change places and nobody can tell.
        """
        came = message_of(properties, body)
        for number, publication in self._outstanding.items():
            if (
                number > self._returned
                and publication.routing_key == method.routing_key
                and publication.exchange == method.exchange
                and publication.message.body == came.body
                and publication.message.correlation_id == came.correlation_id
                and publication.message.message_id == came.message_id
                and dict(publication.message.headers) == came.headers
            ):
                return number
        return None

    def _on_close(self, channel: Channel, reason: BaseException) -> None:
        self._confirms.pop(channel.channel_number, None)
        self._ready = False
        self.closed = True
        if not isinstance(reason, exceptions.ChannelClosedByBroker):
            return  # the connection has gone, and the link says so
        text = reason.reply_text
        told = Unavailable(f"the broker closed the channel ({reason.reply_code}: {text})")
        for publication in [*self._outstanding.values(), *self._waiting]:
            mistake = self._mistake(publication, text)
            self._publisher.ended(publication, mistake or unconfirmed(publication, told))
        self._outstanding.clear()
        self._waiting.clear()

    def _mistake(self, publication: Publication, text: str) -> HeadwayError | None:
        """Whether it was this message that the broker closed the channel over."""
        exchange, key = publication.exchange, publication.routing_key
        if found := _NO_EXCHANGE.search(text):
            if found[1] == exchange:
                return Rejected(f"there is no exchange {exchange!r}")
        elif found := _NO_TOPIC.search(text):
            if found[1] == key and found[2] == exchange:
                return Refused(f"user {self._user!r} may not publish to {publication.destination}")
        elif found := _NO_ACCESS.search(text):
            if found[1] == (exchange or "amq.default"):
                return Refused(
                    f"user {self._user!r} may not publish to exchange {found[1]!r}"
                    f" ({publication.destination})"
                )
        elif found := _TOO_LARGE.search(text):
            if len(publication.message.body) > int(found[1]):
                return Rejected(f"the broker takes messages of up to {found[1]} bytes")
        elif "fast reply consumer" in text and publication.message.reply_to == DIRECT_REPLY_TO:
            return Rejected(f"consume from {DIRECT_REPLY_TO} before you publish with it")
        return None


class DirectOutlet(Outlet):
    """The channel that direct replies come back on; what asks for them is published on it.

    The broker wants both on one channel, and the consumer there first.
    """

    def __init__(
        self,
        connection: Connection,
        publisher: Publisher,
        user: str,
        begin: Callable[[Channel], None],
    ) -> None:
        self._begin = begin
        super().__init__(connection, publisher, user)

    def _confirming(self, frame: Any) -> None:
        self._begin(self.channel)


def unconfirmed(publication: Publication, reason: HeadwayError) -> Unavailable:
    told = Unavailable(
        f"{reason} before a message to {publication.destination} was confirmed: whether it"
        " arrived is unknown"
    )
    told.__cause__ = reason
    return told
