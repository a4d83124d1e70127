"""The connection of one side to the app's broker: what it hears on its queue, and what it sends.

Two threads, each with a connection of its own: one hears, one sends. Both connect again for as
long as the line is wanted. What is to be sent is asked for in the moment it is sent, so that what
waited for the broker is never old.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from headway.adapters.celery_tries.messages import KEPT_S
from headway.adapters.waits import wait_s
from headway.errors import Refused, Unavailable

CONNECT_S = 10.0  # how long a broker may take to accept
HEARTBEAT_S = 10.0  # of the connection that hears
LOOK_S = 0.25  # how often the thread that hears looks whether it is wanted
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0  # before it is tried again
CLOSE_S = 2.0  # how long what is due may take to be sent in the end
CONCERNING = 3  # failures in a row that are told
POLLING_S = 0.02  # where a broker is polled
_POLLED = ("memory", "filesystem")

logger = logging.getLogger(__name__)


class Publication(NamedTuple):
    """A message to a queue."""

    queue: str
    text: str
    persistent: bool = False
    # Say if there is no such queue (``returned``), where the broker can: RabbitMQ does.
    mandatory: bool = False


Due = Callable[[Any], Iterable[Publication]]  # given the producer, for what it sends by itself


class Line:
    """``heard`` is called by the thread that hears, all that is sent is made by the other."""

    def __init__(
        self,
        app: Any,
        queue: str,
        heard: Callable[[str | bytes], None],
        *,
        lasts: bool = False,
        every: tuple[float, Callable[[], None]] | None = None,
        reconnected: Callable[[], None] = lambda: None,
        wanted: Callable[[], bool] = lambda: True,
        returned: Callable[[str], None] = lambda queue: None,
    ) -> None:
        """``lasts``: the queue outlives its connection. ``every``: so often, call that.

        ``wanted``: asked when a connection was lost, whether to connect again. ``returned``: told
        the queue that a mandatory publication did not find, by the thread that sends.
        """
        self._app = app
        self._queue = queue
        self._heard = heard
        self._lasts = lasts
        self._every = every
        self._reconnected = reconnected
        self._wanted = wanted
        self._returned = returned
        self.connected_at: float | None = None  # monotonic; None: nothing can be heard now
        self.away_since = 0.0  # monotonic: when it was lost last
        self.failure = ""  # why
        self._ready = threading.Event()
        self._leaving = threading.Event()  # of the thread that hears
        self._due: dict[str, Due] = {}
        self._changed = threading.Condition()
        self._closing_at: float | None = None  # monotonic: until then what is due is sent
        self._threads = [
            threading.Thread(target=target, name=f"headway-celery-{name}", daemon=True)
            for target, name in ((self._hear, "hear"), (self._send, "send"))
        ]

    def open(self, wait_s: float = CONNECT_S) -> None:
        """Returns when it hears. Raises: Unavailable, Refused."""
        for thread in self._threads:
            thread.start()
        if not self._ready.wait(wait_s):
            self.close()
            raise explained(self._app, self.failure or "it does not answer")

    def due(self, name: str, make: Due) -> None:
        """Have it sent; in place of what is due by the same name. Any thread."""
        with self._changed:
            self._due[name] = make
            self._changed.notify()

    def let_go(self, wait_s: float = CLOSE_S) -> None:
        """Have what is due sent, for so long, and both connections closed. Any thread, ours too."""
        self._leaving.set()
        with self._changed:
            if self._closing_at is None:
                self._closing_at = time.monotonic() + wait_s
            self._changed.notify()

    def close(self, wait_s: float = CLOSE_S) -> None:
        """The same, and wait for it."""
        self.let_go(wait_s)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(wait_s + CONNECT_S)

    # Hearing

    def _hear(self) -> None:
        failures = 0
        while not self._leaving.is_set():
            try:
                with connection_of(self._app, heartbeat=HEARTBEAT_S) as connection:
                    self._hear_on(connection)
                return
            except Exception as error:  # of any client of any broker
                failures += 1
                if self.connected_at is not None:
                    failures, self.away_since = 1, time.monotonic()
                self.connected_at = None
                self._failed(error, failures)
                self._leaving.wait(wait_s(failures, FIRST_WAIT_S, LONGEST_WAIT_S, random.random))

    def _hear_on(self, connection: Any) -> None:
        import kombu

        queue = kombu.Queue(
            self._queue,
            durable=True,  # also for who only wants to know where it stands: brokers restart
            auto_delete=not self._lasts,
            expires=KEPT_S,
        )
        consumer = kombu.Consumer(
            connection.default_channel, [queue], on_message=self._take, no_ack=True
        )
        with consumer:
            self.connected_at = time.monotonic()
            if self._ready.is_set():
                self._reconnected()
            self._ready.set()
            check_at = 0.0
            while not self._leaving.is_set():
                _drain(connection)
                if connection.supports_heartbeats and time.monotonic() >= check_at:
                    check_at = time.monotonic() + HEARTBEAT_S / 4
                    connection.heartbeat_check()
        if self._leaving.is_set():
            queue(connection.default_channel).delete()

    def _take(self, message: Any) -> None:
        try:
            self._heard(message.body)
        except Exception:
            logger.exception("a message on %s was not understood", self._queue)

    def _failed(self, error: Exception, failures: int) -> None:
        """What is well again at once is nobody's concern."""
        text = str(error).strip() or type(error).__name__
        if failures == CONCERNING:
            logger.warning("%s", explained(self._app, text))
        self.failure = text
        if not self._wanted():
            self.let_go(0.0)

    # Sending

    def _send(self) -> None:
        failures = 0
        while not self._is_done:
            try:
                with connection_of(self._app) as connection:
                    self._send_on(connection)
            except Exception as error:
                failures += 1
                self._failed(error, failures)
                self._pause(wait_s(min(failures, 6), FIRST_WAIT_S, LONGEST_WAIT_S, random.random))

    @property
    def _is_done(self) -> bool:
        at = self._closing_at
        return at is not None and (not self._due or time.monotonic() >= at)

    def _pause(self, pause_s: float) -> None:
        until = time.monotonic() + pause_s
        with self._changed:
            self._changed.wait_for(
                lambda: self._closing_at is not None and time.monotonic() >= self._closing_at,
                max(0.0, until - time.monotonic()),
            )

    def _send_on(self, connection: Any) -> None:
        producer = self._producer(connection)
        next_at = time.monotonic()
        while not self._is_done:
            if self._every is not None and time.monotonic() >= next_at:
                next_at = time.monotonic() + self._every[0]
                self._every[1]()
            taken = self._taken(next_at if self._every else None)
            for name, make in taken.items():
                try:
                    for one in make(producer):
                        publish(producer, one)
                except BaseException:
                    self._give_back(taken, name)
                    raise

    def _producer(self, connection: Any) -> Any:
        if connection.transport.driver_type != "amqp":  # others find every queue
            return connection.Producer()
        return connection.Producer(
            on_return=lambda error, exchange, key, message: self._returned(key)
        )

    def _taken(self, until: float | None) -> dict[str, Due]:
        """All that is due, waiting for the first."""
        with self._changed:
            wait_s = LOOK_S * 4 if until is None else until - time.monotonic()
            self._changed.wait_for(lambda: self._due or self._is_done, max(0.0, wait_s))
            taken, self._due = self._due, {}
            return taken

    def _give_back(self, taken: dict[str, Due], failed: str) -> None:
        """What was not sent is due as before, but for what took its place."""
        names = list(taken)
        left = {name: taken[name] for name in names[names.index(failed) :]}
        with self._changed:
            self._due = {**left, **self._due}


def publish(producer: Any, one: Publication) -> None:
    """To a queue that may be gone by now. What a broker keeps then all the same expires there."""
    import kombu

    declare = []
    if producer.connection.transport.driver_type != "amqp":
        declare = [kombu.Queue(one.queue, durable=True, expires=KEPT_S)]
    producer.publish(
        one.text,
        exchange="",
        routing_key=one.queue,
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode=2 if one.persistent else 1,
        mandatory=one.mandatory,
        declare=declare,
        retry=False,
    )


def connection_of(app: Any, heartbeat: float | None = None) -> Any:
    """A connection of our own to the app's broker, that confirms what it takes."""
    connection = app.connection_for_write(connect_timeout=CONNECT_S, heartbeat=heartbeat)
    kind = connection.transport.driver_type
    options = dict(connection.transport_options or {})
    if kind == "amqp":
        options["confirm_publish"] = True
    elif kind in _POLLED:
        options["polling_interval"] = min(POLLING_S, options.get("polling_interval", POLLING_S))
    connection.transport_options = options
    return connection


def explained(app: Any, text: str) -> Unavailable | Refused:
    where = app.connection_for_write().as_uri()
    if any(word in text for word in ("ACCESS_REFUSED", "NOAUTH", "WRONGPASS", "403")):
        return Refused(f"{where} does not let us in: {text}. Check user, password and rights")
    return Unavailable(f"{where} does not answer: {text}")


def _drain(connection: Any) -> None:
    from queue import Empty

    try:
        connection.drain_events(timeout=LOOK_S)
    except (TimeoutError, Empty):
        pass
