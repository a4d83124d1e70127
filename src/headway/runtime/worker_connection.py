"""A worker process's place on the bus, which all of its workers share."""

import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import TypeVar

from headway.errors import HeadwayError, Refused, Unavailable
from headway.ports.bus import (
    DIRECT_REPLY_TO,
    Blocked,
    Bus,
    Closed,
    Confirmation,
    ConsumerBack,
    ConsumerLost,
    Delivery,
    Exchange,
    Message,
    News,
    Opened,
    Queue,
    Unblocked,
)
from headway.runtime import clocks
from headway.runtime.worker_answers import Answers
from headway.runtime.worker_claims import ASK_AGAIN_S, NO_GRANTER_S, Claiming
from headway.runtime.worker_presence import Announcer
from headway.runtime.worker_watch import Watch
from headway.wire import names

T = TypeVar("T")
_LOG = logging.getLogger("headway.worker")
CONFIRM_S = 15.0
TRY_AGAIN_S = 1.0  # what the connection was lost over, or the broker did not answer


class WorkerConnection:
    """Claims, answers, notices, dead letters. Thread-safe."""

    def __init__(
        self,
        bus: Bus,
        *,
        ask_again_s: float = ASK_AGAIN_S,
        no_granter_s: float = NO_GRANTER_S,
        confirm_s: float = CONFIRM_S,
    ) -> None:
        """``confirm_s``: how long a dead letter may take to be confirmed."""
        self.bus = bus
        self.worker = f"{socket.gethostname()}.{os.getpid()}.{os.urandom(4).hex()}"
        self.claims = Claiming(bus, self.worker, ask_again_s, no_granter_s)
        self.answers = Answers(bus)
        self.watch = Watch()
        self.presence = Announcer(bus, self.worker)
        self.tags = count(1)  # of deliveries, for all workers here
        self.connected_anew: list[Callable[[], object]] = []  # called then; they must not block
        self.unheard: Counter[str] = Counter()  # what nobody listened to, by key
        self._confirm_s = confirm_s
        self._opening = threading.Lock()
        self._is_set_up = False
        self._connected = threading.Event()
        self._closed = False

    def open(self) -> None:
        """Connect, however long it takes, and make what every worker needs. Again does nothing.

        Raises: Refused when the broker does not accept us, or does not let us have the exchange.
        """
        with self._opening:
            if self._is_set_up:
                return
            self.bus.listen(self._on_news)
            if not self.bus.is_open:
                self.bus.open(None)
            self.insist(lambda: self.bus.declare(Exchange(names.EXCHANGE)))
            try:
                self.insist(lambda: self.bus.declare(Queue(names.DEAD)))
            except Refused as error:
                _LOG.warning("rejected messages will be lost: %s", error)
            self._is_set_up = True

    def close(self, timeout_s: float = 5.0) -> None:
        self._closed = True
        self._connected.set()
        self.watch.close()
        self.presence.close()
        self.answers.close(timeout_s)
        self.bus.close(timeout_s)

    def insist(self, do: Callable[[], T], stopping: Callable[[], bool] = lambda: False) -> T:
        """Have it done, again and again if the connection is lost over it.

        Raises: what it raises; Unavailable only when closed or stopping.
        """
        while True:
            try:
                return do()
            except Unavailable as error:
                if self._closed or stopping():
                    raise
                _LOG.warning("%s; trying again", error)
            self._connected.clear()
            self._connected.wait(TRY_AGAIN_S)

    # What is sent

    def tell(self, message: Message, key: str) -> Confirmation:
        """Publish what somebody may listen to. Nobody does: counted, and said once for a key."""
        confirmation = self.bus.publish(message, key, names.EXCHANGE)
        confirmation.then(lambda known: self._count_unheard(key, known.error))
        return confirmation

    def bury(self, delivery: Delivery, reason: str) -> HeadwayError | None:
        """Keep a message that is rejected, with the reason. The error, if that was impossible."""
        headers = {**_plain_headers(delivery.message), names.REASON: reason[:1000]}
        headers[names.QUEUE] = delivery.queue
        letter = delivery.message._replace(headers=headers, user_id=None)
        if letter.reply_to is not None and letter.reply_to.startswith(DIRECT_REPLY_TO):
            letter = letter._replace(reply_to=None)
        try:
            self.bus.publish(letter, names.DEAD).wait(self._confirm_s)
        except HeadwayError as error:
            _LOG.error("a rejected message could not be kept in %r: %s", names.DEAD, error)
            return error
        return None

    def _count_unheard(self, key: str, error: HeadwayError | None) -> None:
        if error is None:
            return
        self.unheard[key] += 1
        if self.unheard[key] == 1:
            _LOG.warning("what is sent to %s is not heard: %s", key, error)

    # News of the bus

    def _on_news(self, news: News) -> None:
        match news:
            case Opened(number):
                self._connected.set()
                self.claims.connected()
                self.answers.connected()
                for call in self.connected_anew if number > 1 else ():
                    call()
            case Closed():
                pass  # the bus says so itself, and not too often
            case Blocked(reason):
                _LOG.warning("%s takes no messages: %s", self.bus.place, reason)
            case Unblocked():
                _LOG.info("%s takes messages again", self.bus.place)
            case ConsumerLost(name, reason, again_in_s):
                _LOG.warning("no longer served: %s: %s; again in %.1f s", name, reason, again_in_s)
            case ConsumerBack(name):
                _LOG.info("served again: %s", name)


def _plain_headers(message: Message) -> dict[str, object]:
    return {name: value for name, value in message.headers.items() if not name.startswith("x-")}


def wait_confirmed(confirmation: Confirmation, until: float) -> None:
    """Wait until what became of a message is known, whatever that is."""
    try:
        confirmation.wait(max(0.0, until - clocks.monotonic()))
    except (HeadwayError, Unavailable):
        pass
