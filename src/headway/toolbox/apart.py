"""An app's messages, for a test, among exchanges and queues of their own.

Everything that the app declares, binds, publishes and consumes gets a prefix on its way to the
broker, and nothing else changes: the app's own routes and declarations are what is tested. So a
test finds a broker on which nobody has declared anything yet, no running Celery worker takes its
messages, the monitor hears nothing of it, and all of it is removed afterwards.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from kombu import pools
from kombu.connection import ConnectionPool
from kombu.exceptions import KombuError
from kombu.transport import virtual
from kombu.utils.collections import eqhash

from headway.adapters.celery_feeds.apps import mistaken_broker
from headway.errors import Unavailable

CONNECT_S = 5.0
# An empty answer of SQS says little: it has to be asked again. We wait, so it need not.
_ASKING = {"wait_time_seconds": 0}


class Place:
    """What one test has declared, by the names that the app gives."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.prefix = f"headway-{uuid4().hex[:10]}-"
        self.queues: dict[str, ApartChannel] = {}  # and the channel that declared it last
        self.exchanges: set[str] = set()
        self.consumed: list[str] = []
        self.made_by_sending: set[str] = set()  # queues that nobody has declared nor bound
        self.channels: list[ApartChannel] = []

    def __call__(self, name: str) -> str:
        """The name on the broker; the default exchange and queues not named yet keep theirs."""
        return f"{self.prefix}{name}" if name else name

    @cached_property
    def connection(self) -> Any:
        """One beside those that the app makes, to where it publishes; closed with the place."""
        return self.app.connection_for_write(transport_options=_ASKING)

    @cached_property
    def channel(self) -> "ApartChannel":
        """For reading; making another one takes some brokers' clients long."""
        channel: ApartChannel = self.connection.channel()
        return channel

    def remove(self) -> None:
        """Deletes all that was declared, messages included."""
        if isinstance(self.channel.real, virtual.Channel):
            for name, channel in self.queues.items():
                _delete(channel, name)  # only this one knows how it is bound, and so deletes it
            for name in self.made_by_sending.difference(self.queues):
                self.channel.real._delete(self(name), "", "", "")
            for name in self.exchanges:
                _forget_exchange(self.channel.real, self(name))
        else:
            fresh = self.connection.channel()  # another may have been closed by a failure
            for name in self.queues:
                fresh.queue_delete(name)
            for name in self.exchanges:
                fresh.exchange_delete(name)

    def close(self) -> None:
        self.connection.release()


class ApartChannel:
    """A channel that puts the prefix before every name. Otherwise it is the real one."""

    def __init__(self, real: Any, place: Place) -> None:
        self.real = real
        self._place = place
        place.channels.append(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def exchange_declare(self, exchange: str = "", *args: Any, **options: Any) -> Any:
        self._place.exchanges.add(exchange)
        return self.real.exchange_declare(self._place(exchange), *args, **options)

    def exchange_delete(self, exchange: str, *args: Any, **options: Any) -> Any:
        return self.real.exchange_delete(self._place(exchange), *args, **options)

    def exchange_bind(self, destination: str, source: str = "", *args: Any, **options: Any) -> Any:
        names = self._place(destination), self._place(source)
        return self.real.exchange_bind(*names, *args, **options)

    def queue_declare(self, queue: str = "", *args: Any, **options: Any) -> Any:
        self._place.queues[queue] = self
        return self.real.queue_declare(self._place(queue), *args, **options)

    def queue_bind(self, queue: str, exchange: str = "", *args: Any, **options: Any) -> Any:
        return self.real.queue_bind(self._place(queue), self._place(exchange), *args, **options)

    def queue_unbind(self, queue: str, exchange: str = "", *args: Any, **options: Any) -> Any:
        return self.real.queue_unbind(self._place(queue), self._place(exchange), *args, **options)

    def queue_delete(self, queue: str, *args: Any, **options: Any) -> Any:
        return self.real.queue_delete(self._place(queue), *args, **options)

    def queue_purge(self, queue: str, *args: Any, **options: Any) -> Any:
        return self.real.queue_purge(self._place(queue), *args, **options)

    def basic_get(self, queue: str, *args: Any, **options: Any) -> Any:
        return self.real.basic_get(self._place(queue), *args, **options)

    def basic_consume(self, queue: str, *args: Any, **options: Any) -> Any:
        self._place.consumed.append(queue)
        return self.real.basic_consume(self._place(queue), *args, **options)

    def basic_publish(
        self, message: Any, exchange: str = "", routing_key: str = "", **options: Any
    ) -> Any:
        # Through the default exchange the key is the name of a queue.
        key = routing_key if exchange else self._place(routing_key)
        if not exchange and isinstance(self.real, virtual.Channel):
            self._place.made_by_sending.add(routing_key)  # where there is none, it is made
        return self.real.basic_publish(
            message, exchange=self._place(exchange), routing_key=key, **options
        )


def _connections_of(place: Place, usual: type[Any]) -> type[Any]:
    """The class of connections whose channels are apart."""

    class ApartConnection(usual):  # type: ignore[misc]
        def channel(self) -> ApartChannel:
            return ApartChannel(super().channel(), place)

        def Pool(self, limit: int | None = None, **options: Any) -> Any:
            return ApartPool(self, limit, **options)

        def __eqhash__(self) -> object:
            # Pools are found by it, and the usual ones are not for these.
            return place.prefix, super().__eqhash__()

    class ApartPool(ConnectionPool):  # type: ignore[misc]
        def new(self) -> Any:
            return self.connection.clone()  # kombu's own would be a usual connection

    return ApartConnection


@contextmanager
def apart(app: Any) -> Iterator[Place]:
    """While it lasts, all that the app sends and declares is in the place it gives.

    Threads: the app is changed for all of them, so nothing else may use it meanwhile.

    Raises: Unavailable when the broker does not answer.
    """
    amqp = app.amqp
    usual_pools = app._pool, amqp._producer_pool
    place = Place(app)
    amqp.Connection = _connections_of(place, amqp.Connection)
    app._pool = amqp._producer_pool = None
    try:
        _connect(place)
        try:
            yield place
        finally:
            place.remove()
    finally:
        place.close()
        _forget(app)
        app._pool, amqp._producer_pool = usual_pools
        del amqp.Connection  # the class's own is seen again


def _connect(place: Place) -> None:
    if mistaken := mistaken_broker(place.app):
        raise Unavailable(mistaken)
    connection = place.connection
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_S)
    except (KombuError, *connection.connection_errors) as error:
        raise Unavailable(
            f"the broker {connection.as_uri()} does not answer ({error}):"
            " start it, or name another in broker_url"
        ) from error


def _delete(channel: ApartChannel, queue: str) -> None:
    try:
        channel.queue_delete(queue)
    except Exception as error:
        # On SQS two names may be of one queue (a.b and a-b), which went with the first.
        if type(error).__name__ != "QueueDoesNotExist":
            raise


def _forget_exchange(channel: Any, name: str) -> None:
    """Without queues it is no more than a note: in memory, or in a file."""
    channel.state.exchanges.pop(name, None)
    if (folder := getattr(channel, "control_folder", None)) is not None:
        (Path(folder) / f"{name}.exchange").unlink(missing_ok=True)


def _forget(app: Any) -> None:
    """Closes the pools that were made for the place."""
    key = eqhash(app.connection_for_write())
    for pool in (app.amqp._producer_pool, app._pool):
        if pool is not None:
            pool.force_close_all()
    for group in (pools.producers, pools.connections):
        dict.pop(group, key, None)
