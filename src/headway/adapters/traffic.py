"""What was seen on a worker's connection to its broker, as values. Times are monotonic seconds.

A ``connection`` and a ``channel`` are numbers given by who looks: they are never used twice.
"""

from typing import NamedTuple

from headway.ports.bus import Message, Settlement


class Connected(NamedTuple):
    at: float
    connection: int
    heartbeat_s: int  # that the worker agreed to; 0: none


class Heard(NamedTuple):
    """The worker sent something, be it a heartbeat."""

    at: float
    connection: int


class Consuming(NamedTuple):
    """The broker took it on as a consumer."""

    at: float
    connection: int
    channel: int
    queue: str
    prefetch: int  # 0: without limit
    settles: bool  # False: it asked for deliveries that need no settling


class Delivered(NamedTuple):
    at: float
    connection: int
    channel: int
    tag: int
    message: Message
    redelivered: bool


class Settled(NamedTuple):
    at: float
    connection: int
    channel: int
    tag: int
    multiple: bool  # all up to the tag; of a tag 0, all there are
    how: Settlement


class Sent(NamedTuple):
    """The worker published a message."""

    at: float
    connection: int
    channel: int
    exchange: str
    routing_key: str
    message: Message


class ChannelRefused(NamedTuple):
    """The broker closed a channel, or the connection, over a mistake of the worker's."""

    at: float
    connection: int
    channel: int  # 0: the connection
    code: int
    text: str


class Closed(NamedTuple):
    """A connection is over."""

    at: float
    connection: int
    by_worker: bool


Traffic = Connected | Heard | Consuming | Delivered | Settled | Sent | ChannelRefused | Closed
