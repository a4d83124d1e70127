"""What somebody who looks after a queue does with it: count, empty, mark as delivered before."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from pika import BlockingConnection, exceptions

from headway.adapters.bus_address import RabbitAddress
from headway.adapters.rabbitmq.connection import explain, parameters, quieten_pika
from headway.adapters.rabbitmq.encoding import properties_of
from headway.errors import Rejected
from headway.ports.bus import Message

ANSWER_S = 15.0


class Standing(NamedTuple):
    """How a queue stands."""

    waiting: int  # messages that nobody was given
    consumers: int


class Upkeep:
    """Each call has a connection of its own: there are few of them."""

    def __init__(self, address: RabbitAddress) -> None:
        self._address = address

    def standing(self, queue: str) -> Standing:
        """Raises: Rejected when there is no such queue; Refused; Unavailable."""
        with self._channel() as channel:
            counts = channel.queue_declare(queue, passive=True).method
            return Standing(counts.message_count, counts.consumer_count)

    def empty(self, queue: str) -> None:
        """Remove what waits in it. Raises: as ``standing``."""
        with self._channel() as channel:
            channel.queue_purge(queue)

    def redeliver(self, queue: str, message: Message) -> None:
        """Put a message there that looks as if somebody was given it before.

        The queue is empty and nobody consumes it. Raises: as ``standing``.
        """
        with self._channel() as channel:
            channel.confirm_delivery()
            channel.basic_publish("", queue, message.body, properties_of(message), mandatory=True)
            got = channel.basic_get(queue)[0]
            if got is None:
                raise Rejected(f"somebody else consumes {queue!r}")
            channel.basic_nack(got.delivery_tag, requeue=True)

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        quieten_pika()
        known = parameters(self._address, "headway conform", ANSWER_S)
        try:
            connection = BlockingConnection(known)
        except (exceptions.AMQPError, OSError) as error:
            raise explain(error, self._address) from error
        try:
            yield connection.channel()
        except exceptions.ChannelClosedByBroker as error:
            raise Rejected(f"{self._address}: {error.reply_text}") from error
        except (exceptions.AMQPError, OSError) as error:
            raise explain(error, self._address) from error
        finally:
            if connection.is_open:
                connection.close()
