"""Hears a Celery system on RabbitMQ.

Celery's own client spends most of its time on objects that nobody here needs, and so does pika
(measured for a message: 150 µs and 70 µs; our ``Stream`` 15 µs). A thread of its own owns the
connection, keeps it alive while the store is away, and holds no more than the broker may send ahead
(``AHEAD``).
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pika
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel

from headway.adapters.bus_address import RabbitAddress
from headway.adapters.celery_feeds.arranging import arrange
from headway.adapters.celery_feeds.system import EVENT_QUEUE, System
from headway.adapters.rabbitmq.connection import (
    explain,
    parameters,
    quieten_pika,
)
from headway.adapters.rabbitmq.properties import Said
from headway.adapters.rabbitmq.stream import Stream, Taker
from headway.errors import HeadwayError, Unavailable
from headway.ports.bus import ANSWER_S
from headway.ports.tracking import Reach
from headway.tracking.events import EVENT_BYTES
from headway.tracking.heard import Heard
from headway.tracking.messages import BODY_BYTES

AHEAD = 3_000  # task messages that the broker sends before any of them is settled
EVENTS_AHEAD = 100  # messages of events; each may hold many
GATHER_S = 0.05  # how long what has come waits for more, so as to be recorded together


class RabbitFeed:
    """A feed from one broker, or from the first of several that answers."""

    def __init__(
        self, addresses: Sequence[RabbitAddress], system: System, now_us: Callable[[], int]
    ) -> None:
        quieten_pika()
        self._addresses = deque(addresses)
        self._system = system
        self._now_us = now_us
        self._line: _Line | None = None
        self._changed = threading.Condition()
        self._woken = False

    def open(self) -> Reach:
        self._hang_up()
        address = self._addresses[0]
        self._addresses.rotate(-1)  # should this one fail, the next is tried
        reach = arrange(address, self._system)
        self._line = _Line(address, self._system, self._now_us, self._changed)
        self._line.begin()
        self._addresses.rotate(1)
        return reach

    def fetch(self, most: int, wait_s: float) -> Sequence[Heard]:
        line = self._open_line()
        with self._changed:
            line.wanted = 1
            self._changed.wait_for(lambda: line.heard or line.error or self._woken, wait_s)
            if line.heard:
                # Of events no more than these come before some of them are settled.
                enough = min(most, EVENTS_AHEAD) if self._system.with_events else most
                line.wanted = enough
                self._changed.wait_for(lambda: len(line.heard) >= enough or line.error, GATHER_S)
            self._woken = False
            if line.error:
                raise line.error
            return line.take(most)

    def settle(self, count: int) -> None:
        self._open_line().settle(count)

    def enable_events(self, workers: Sequence[str] = ()) -> None:
        self._open_line().enable_events(list(workers) or None)

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        self._hang_up()

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.end()

    def _open_line(self) -> "_Line":
        if self._line is None:
            raise Unavailable("the broker is not connected: open the feed")
        return self._line


class _Line:
    """One connection, from its opening to its end. ``heard`` and ``error`` under ``changed``."""

    def __init__(
        self,
        address: RabbitAddress,
        system: System,
        now_us: Callable[[], int],
        changed: threading.Condition,
    ) -> None:
        self.heard: deque[Heard] = deque()
        self.wanted = 1  # how many of these somebody waits for
        self.error: HeadwayError | None = None
        self._sources: deque[tuple[Channel, int]] = deque()  # of what is heard, and of what was
        self._address = address
        self._system = system
        self._now_us = now_us
        self._changed = changed
        self._consuming = 0
        self._queues = [(system.queue, BODY_BYTES, AHEAD, False)]
        if system.with_events:
            self._queues.append((EVENT_QUEUE, EVENT_BYTES, EVENTS_AHEAD, True))
        self._connection: Any = None
        self._loop = IOLoop()
        self._loop_lock = threading.Lock()
        self._loop_closed = False
        self._thread = threading.Thread(target=self._drive, name="headway-monitor io", daemon=True)

    def begin(self) -> None:
        """Returns when messages come. Raises: Unavailable, Refused."""
        self._thread.start()
        with self._changed:
            self._changed.wait_for(
                lambda: self.error or self._consuming == len(self._queues), ANSWER_S
            )
            if self.error is None and self._consuming < len(self._queues):
                self.error = Unavailable(f"{self._address} did not answer within {ANSWER_S:g} s")
            if self.error is not None:
                error = self.error
        if self.error is not None:
            self.end()
            raise error

    def take(self, most: int) -> list[Heard]:
        return [self.heard.popleft() for _ in range(min(most, len(self.heard)))]

    def settle(self, count: int) -> None:
        """Of what was taken. After a loss it does nothing: all of it comes again."""
        last: dict[Channel, int] = {}
        for _ in range(count):
            channel, tag = self._sources.popleft()
            last[channel] = tag
        self._do(lambda: self._acknowledge(last))

    def enable_events(self, workers: list[str] | None) -> None:
        """As Celery's ``control.enable_events``. On a channel that may break: where no worker has
        ever been there is no exchange to ask by."""
        order: dict[str, Any] = {"method": "enable_events", "arguments": {}}
        body = json.dumps({**order, "destination": workers, "pattern": None, "matcher": None})
        kind = pika.BasicProperties(
            content_type="application/json",
            content_encoding="utf-8",
            headers={"clock": 1, "expires": 0},
        )

        def ask(channel: Channel) -> None:
            channel.basic_publish(f"{self._system.control}.pidbox", "", body.encode(), kind)
            channel.close()

        self._do(lambda: self._connection.channel(on_open_callback=ask))

    def end(self) -> None:
        """Everything settled before is with the broker when this returns."""
        self._do(self._close)
        self._thread.join(ANSWER_S)

    # In the thread of the connection.

    def _drive(self) -> None:
        try:
            self._connection = Stream(
                parameters(self._address, "headway-monitor", ANSWER_S),
                on_open_callback=self._on_open,
                on_open_error_callback=self._on_closed,
                on_close_callback=self._on_closed,
                custom_ioloop=self._loop,
            )
            self._connection.end = self._tell
            self._loop.start()
        except Exception as error:
            self._fail(explain(error, self._address))
        finally:
            with self._loop_lock:
                self._loop_closed = True
                self._loop.close()

    def _do(self, call: Callable[[], object]) -> None:
        def unless_over() -> None:
            if self.error is None or call == self._close:
                call()

        with self._loop_lock:
            if not self._loop_closed:
                self._loop.add_callback_threadsafe(unless_over)

    def _on_open(self, connection: Any) -> None:
        for queue, most_bytes, ahead, is_event in self._queues:
            begin = partial(self._consume, queue, most_bytes, ahead, is_event)
            connection.channel(on_open_callback=begin)

    def _consume(
        self, queue: str, most_bytes: int, ahead: int, is_event: bool, channel: Channel
    ) -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_cancel_callback(partial(self._on_cancelled, queue))
        channel.basic_qos(prefetch_count=ahead)
        self._connection.take(channel, Taker(most_bytes, partial(self._append, channel, is_event)))
        channel.basic_consume(queue, _never_called, callback=self._on_consuming)

    def _on_consuming(self, frame: Any) -> None:
        with self._changed:
            self._consuming += 1
            self._changed.notify_all()

    def _append(
        self,
        channel: Channel,
        is_event: bool,
        tag: int,
        key: str,
        said: Said,
        body: bytes,
        flaw: str | None,
        size: int,
    ) -> None:
        sent_us = said.timestamp * 1_000_000 if said.timestamp else None
        self._sources.append((channel, tag))
        self.heard.append(
            Heard(
                is_event,
                key,
                said.headers,
                said.content_type,
                body,
                self._now_us(),
                sent_us,
                flaw,
                size,
            )
        )

    def _tell(self) -> None:
        """What came at once has been worked through."""
        if len(self.heard) >= self.wanted:
            with self._changed:
                self._changed.notify_all()

    def _acknowledge(self, last: dict[Channel, int]) -> None:
        for channel, tag in last.items():
            if channel.is_open:
                channel.basic_ack(tag, multiple=True)

    def _on_cancelled(self, queue: str, frame: Any) -> None:
        self._fail(Unavailable(f"queue {queue} on {self._address} was deleted"))

    def _on_channel_closed(self, channel: Channel, error: BaseException) -> None:
        if not self._connection.is_closing and not self._connection.is_closed:
            self._fail(Unavailable(f"{self._address} closed the channel: {error}"))

    def _on_closed(self, connection: Any, error: BaseException) -> None:
        self._fail(explain(error, self._address))
        self._loop.stop()

    def _fail(self, error: HeadwayError) -> None:
        with self._changed:
            self.error = self.error or error
            self._changed.notify_all()

    def _close(self) -> None:
        if self._connection.is_closed:
            self._loop.stop()
        elif not self._connection.is_closing:
            self._connection.close()


def _never_called(*_: Any) -> None:
    """The messages go to the taker."""
