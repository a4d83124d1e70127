"""What ``process`` is given of a delivery: channel, basic_deliver and properties.

On RabbitMQ they are pika's own classes, so that ``isinstance`` holds and its documentation too;
elsewhere they have the same names. A channel's calls may be made in any thread: the bus carries
them to the one that owns the connection.
"""

import importlib.util
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple, Protocol

from headway.errors import DefinitionError
from headway.ports.bus import Delivery, Message, Settlement


class Deliver:
    """Where a delivery came from, and the tag that settles it."""

    def __init__(
        self,
        consumer_tag: str | None = None,
        delivery_tag: int | None = None,
        redelivered: bool = False,
        exchange: str | None = None,
        routing_key: str | None = None,
    ) -> None:
        self.consumer_tag = consumer_tag
        self.delivery_tag = delivery_tag
        self.redelivered = redelivered
        self.exchange = exchange
        self.routing_key = routing_key


class Properties:
    """A message's properties."""

    def __init__(
        self,
        content_type: str | None = None,
        headers: Mapping[str, Any] | None = None,
        delivery_mode: int | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        message_id: str | None = None,
        timestamp: int | None = None,
        type: str | None = None,
        user_id: str | None = None,
        app_id: str | None = None,
    ) -> None:
        self.content_type = content_type
        self.headers = headers
        self.delivery_mode = delivery_mode
        self.correlation_id = correlation_id
        self.reply_to = reply_to
        self.message_id = message_id
        self.timestamp = timestamp
        self.type = type
        self.user_id = user_id
        self.app_id = app_id


class Settles(Protocol):
    """What a channel asks of its worker's deliveries."""

    def settle_tag(self, delivery_tag: int, settlement: Settlement) -> None: ...


class Publishes(Protocol):
    """And for what it is to send."""

    def publish_raw(self, message: Message, routing_key: str, exchange: str) -> None: ...


class StepChannel:
    """The calls of a channel that a step may make. All others are refused."""

    _settler: Settles  # set when made: pika's own constructor is not run
    _sender: Publishes
    channel_number = 1
    is_open = True
    is_closed = False
    is_closing = False

    def basic_ack(self, delivery_tag: int = 0, multiple: bool = False) -> None:
        self._settler.settle_tag(delivery_tag, Settlement.ACK)

    def basic_nack(
        self, delivery_tag: int = 0, multiple: bool = False, requeue: bool = True
    ) -> None:
        self.basic_reject(delivery_tag, requeue)

    def basic_reject(self, delivery_tag: int = 0, requeue: bool = True) -> None:
        how = Settlement.REQUEUE if requeue else Settlement.REJECT
        self._settler.settle_tag(delivery_tag, how)

    def basic_publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes | str,
        properties: Any = None,
        mandatory: bool = False,
    ) -> None:
        """Every message is confirmed and mandatory here, whatever is asked for."""
        content = body.encode() if isinstance(body, str) else bytes(body)
        self._sender.publish_raw(_message(content, properties), routing_key, exchange)

    def __int__(self) -> int:
        return self.channel_number

    def __repr__(self) -> str:
        return "<a step's channel>"


def _message(body: bytes, properties: Any) -> Message:
    if properties is None:
        return Message(body)
    names = "content_type correlation_id reply_to message_id app_id user_id type".split()
    found = {name: getattr(properties, name, None) for name in names}
    headers = getattr(properties, "headers", None) or {}
    mode = getattr(properties, "delivery_mode", None)
    return Message(body, headers=headers, persistent=mode != 1, **found)


class Kinds(NamedTuple):
    """The classes that ``process`` is given instances of."""

    channel: type[StepChannel]
    deliver: Callable[..., Any]
    properties: Callable[..., Any]


@cache
def kinds(place: str) -> Kinds:
    """For a bus at this place."""
    if place.startswith("memory:") or importlib.util.find_spec("pika") is None:
        return Kinds(StepChannel, Deliver, Properties)
    from pika.channel import Channel
    from pika.spec import Basic, BasicProperties

    ours = dir(StepChannel)
    public = [name for name in dir(Channel) if not name.startswith("_")]
    others = {name: _refuse(name) for name in public if name not in ours}
    channel = type("Channel", (StepChannel, Channel), others)
    return Kinds(channel, Basic.Deliver, BasicProperties)


def _refuse(name: str) -> Callable[..., Any]:
    def refused(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise DefinitionError(
            f"channel.{name} is not for a step: it may call basic_ack, basic_nack, basic_reject"
            " and basic_publish"
        )

    return refused


def given(
    place: str, settler: Settles, sender: Publishes, delivery: Delivery, tag: int
) -> tuple[Any, Any, Any]:
    """Channel, basic_deliver and properties of a delivery."""
    made, message = kinds(place), delivery.message
    channel = made.channel.__new__(made.channel)
    channel._settler, channel._sender = settler, sender
    deliver = made.deliver(
        consumer_tag=delivery.queue,
        delivery_tag=tag,
        redelivered=delivery.redelivered,
        exchange=delivery.exchange,
        routing_key=delivery.routing_key,
    )
    properties = made.properties(
        content_type=message.content_type,
        headers=dict(message.headers),
        delivery_mode=2 if message.persistent else 1,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        message_id=message.message_id,
        timestamp=message.timestamp_s,
        type=message.type,
        user_id=message.user_id,
        app_id=message.app_id,
    )
    return channel, deliver, properties
