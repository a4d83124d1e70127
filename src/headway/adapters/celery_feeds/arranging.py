"""Sees to it, on RabbitMQ, that a queue hears a Celery system, and says how far it does.

Everything is looked for before it is made, on a channel that may break: what is there is used as
it is, whoever made it.
"""

import re
from collections.abc import Callable
from typing import Any

import pika
from pika import exceptions
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from headway.adapters.bus_address import RabbitAddress
from headway.adapters.celery_feeds.system import (
    EVENT_QUEUE,
    EVENT_QUEUE_BYTES,
    WORKERS_HEARD,
    WORKERS_UNHEARD,
    System,
    TaskExchange,
    unheard,
)
from headway.adapters.rabbitmq.connection import explain, parameters
from headway.errors import Refused, Unavailable
from headway.ports.bus import ANSWER_S
from headway.ports.tracking import Reach

_NOT_FOUND, _REFUSED, _DIFFERS = 404, 403, 406
_CURRENT = re.compile(r"arg 'type'.* current is '([\w-]+)'")
_EVENT_QUEUE = {
    "x-max-length-bytes": EVENT_QUEUE_BYTES,
    "x-overflow": "drop-head",  # to refuse would be told to the workers
}


def arrange(address: RabbitAddress, system: System) -> Reach:
    """Raises: Unavailable; Refused when there is nothing that we may listen to."""
    try:
        connection = pika.BlockingConnection(parameters(address, "headway-monitor", ANSWER_S))
    except Exception as error:
        raise explain(error, address) from error
    try:
        return _Arranging(connection, address, system).done()
    except (exceptions.AMQPError, OSError) as error:
        raise explain(error, address) from error
    finally:
        if connection.is_open:
            connection.close()


class _Arranging:
    def __init__(
        self, connection: BlockingConnection, address: RabbitAddress, system: System
    ) -> None:
        self._connection = connection
        self._address = address
        self._system = system

    def done(self) -> Reach:
        queue = self._system.queue
        self._have_queue(queue, {})
        heard, says = False, []
        for exchange in self._system.exchanges:
            heard_here, said = self._hear(exchange)
            heard = heard or heard_here
            says.append(said)
        if self._system.with_events:
            self._hear_events()
        says.append(WORKERS_HEARD if self._system.with_events else WORKERS_UNHEARD)
        return Reach(heard, self._system.with_events, says)

    def _hear(self, exchange: TaskExchange) -> tuple[bool, str]:
        name, queue = exchange.name, self._system.queue
        if exchange.is_passed_by:
            return False, unheard(name, self._system.with_events)
        was_there = self._is_there(lambda channel: channel.exchange_declare(name, passive=True))
        kind = self._kind_of(name)
        keys = list(exchange.keys) if kind == "direct" else ["#" if kind == "topic" else ""]
        if not keys:
            return False, (
                f"exchange {name} is a direct one, which passes on by each key: name the keys of"
                " its queues (--key), or let tasks be sent to a topic exchange"
            )
        for key in keys:
            if not self._bind(queue, name, key):
                return True, (
                    f"hears the tasks sent to exchange {name} if its administrator has bound queue"
                    f" {queue} to it with key {key!r}: we may not"
                )
        if not was_there:
            return True, (
                f"hears every task that will be sent to exchange {name}, which was not there until"
                " now; if the Celery app sends to another, name that (-A or --exchange)"
            )
        which = f"with keys {', '.join(keys)} " if kind == "direct" else ""
        return True, f"hears every task sent {which}to exchange {name}, through queue {queue}"

    def _kind_of(self, name: str) -> str:
        """Declared as a topic exchange, which makes one where there was none."""
        try:
            self._connection.channel().exchange_declare(name, "topic", durable=True)
        except exceptions.ChannelClosedByBroker as error:
            if error.reply_code == _DIFFERS and (found := _CURRENT.search(error.reply_text)):
                return found[1]
            if error.reply_code not in (_DIFFERS, _REFUSED):
                raise
        return "topic"

    def _hear_events(self) -> None:
        exchange = self._system.event_exchange
        self._have_queue(EVENT_QUEUE, _EVENT_QUEUE)
        self._kind_of(exchange)
        for key in ("task.#", "worker.#"):
            if not self._bind(EVENT_QUEUE, exchange, key):
                raise Refused(
                    f"{self._address}: user {self._address.user!r} may not bind queue"
                    f" {EVENT_QUEUE} to exchange {exchange}: grant it, or leave --events out"
                )

    def _bind(self, queue: str, exchange: str, key: str) -> bool:
        return self._try(lambda channel: channel.queue_bind(queue, exchange, key))

    def _have_queue(self, name: str, arguments: dict[str, Any]) -> None:
        if self._is_there(lambda channel: channel.queue_declare(name, passive=True)):
            return
        made = self._try(
            lambda channel: channel.queue_declare(name, durable=True, arguments=arguments)
        )
        if not made:
            raise Refused(
                f"{self._address} has no queue {name}, and user {self._address.user!r} may not"
                " make it: have it made, or grant the user to configure, read and write it"
            )

    def _is_there(self, look: Callable[[BlockingChannel], object]) -> bool:
        """Raises: Refused when we may not even look."""
        try:
            look(self._connection.channel())
        except exceptions.ChannelClosedByBroker as error:
            if error.reply_code == _NOT_FOUND:
                return False
            if error.reply_code == _REFUSED:
                raise Refused(f"{self._address}: {error.reply_text}: grant it") from error
            raise Unavailable(f"{self._address}: {error.reply_text}") from error
        return True

    def _try(self, make: Callable[[BlockingChannel], object]) -> bool:
        """Whether we may."""
        try:
            make(self._connection.channel())
        except exceptions.ChannelClosedByBroker as error:
            if error.reply_code == _REFUSED:
                return False
            raise Unavailable(f"{self._address}: {error.reply_text}") from error
        return True
