"""Questions and orders to the broker, a step at a time, on channels that may be lost over them.

An errand is a generator. It yields steps: functions that are given a channel and a callback, and
call one of the channel's methods. It is sent the broker's answer, or ChannelClosed is raised in
it, if the broker closed the channel instead; the next step then has a new channel.
"""

import logging
import threading
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from pika import exceptions
from pika.channel import Channel

from headway.adapters.rabbitmq.connection import Connection
from headway.errors import HeadwayError, Unavailable

T = TypeVar("T")
Step = Callable[[Channel, Callable[[Any], None]], object]
Errand = Generator[Step, Any, T]

_LOG = logging.getLogger("headway.bus")


class ChannelClosed(Exception):
    """The broker did not like it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class Outcome(Generic[T]):
    """What comes of an errand, for the thread that waits for it."""

    def __init__(self) -> None:
        self._known = threading.Event()
        self._result: T
        self._error: BaseException | None = None

    def succeed(self, result: T) -> None:
        self._result = result
        self._known.set()

    def fail(self, error: BaseException) -> None:
        if not self._known.is_set():
            self._error = error
            self._known.set()

    def wait(self, timeout_s: float, what: str, remedy: str = "") -> T:
        if not self._known.wait(timeout_s):
            raise Unavailable(f"{what}: the broker did not answer within {timeout_s:g} s{remedy}")
        if self._error is not None:
            raise self._error
        return self._result


class Runner(Generic[T]):
    """Carries one errand out on a connection. Threads: the I/O thread only."""

    def __init__(self, connection: Connection, errand: Errand[T], outcome: Outcome[T]) -> None:
        self._connection = connection
        self._errand = errand
        self._outcome = outcome
        self._channel: Channel | None = None
        self._step: Step
        self._over = False
        self._advance(lambda: next(errand))

    def fail(self, error: HeadwayError) -> None:
        """The connection has gone."""
        if not self._over:
            self._advance(lambda: self._errand.throw(error))

    @property
    def over(self) -> bool:
        return self._over

    def _advance(self, resume: Callable[[], Step]) -> None:
        try:
            self._step = resume()
        except StopIteration as stop:
            self._end()
            self._outcome.succeed(stop.value)
        except HeadwayError as error:
            self._end()
            self._outcome.fail(error)
        except Exception as error:
            _LOG.exception("an errand to the broker failed")
            self._end()
            self._outcome.fail(error)
        else:
            self._carry_out()

    def _carry_out(self) -> None:
        try:
            if self._channel is None:
                self._channel = self._connection.channel(on_open_callback=self._opened)
                self._channel.add_on_close_callback(self._closed)
            elif self._channel.is_open:
                self._step(self._channel, self._answered)
        except exceptions.AMQPError as error:
            told = Unavailable(str(error) or repr(error))
            self._advance(lambda: self._errand.throw(told))

    def _opened(self, channel: Channel) -> None:
        self._step(channel, self._answered)

    def _answered(self, answer: Any) -> None:
        if not self._over:
            self._advance(lambda: self._errand.send(answer))

    def _closed(self, channel: Channel, reason: BaseException) -> None:
        self._channel = None
        if not self._over and isinstance(reason, exceptions.ChannelClosedByBroker):
            closed = ChannelClosed(reason.reply_code, reason.reply_text)
            self._advance(lambda: self._errand.throw(closed))
        # Otherwise the connection has gone, and the link says so.

    def _end(self) -> None:
        self._over = True
        channel, self._channel = self._channel, None
        if channel is not None and channel.is_open:
            channel.close()
