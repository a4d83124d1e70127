"""A worker process's place on the bus, which all of its workers share."""

import logging
import os
import queue
import socket
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from itertools import count

from headway.errors import HeadwayError, Refused, Unavailable, WireError
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
from headway.runtime.worker_presence import Announcer
from headway.wire import names
from headway.wire.messages import Claim, Grant

_LOG = logging.getLogger("headway.worker")
CONFIRM_S = 15.0
ASK_AGAIN_S = 30.0  # a claim that nobody answered
REMEMBERED = 10_000  # attempts begun here: a second delivery of one is not begun again


class WorkerConnection:
    """Claims, answers, notices, dead letters. Thread-safe."""

    def __init__(self, bus: Bus, *, ask_again_s: float = ASK_AGAIN_S) -> None:
        self.bus = bus
        self.worker = f"{socket.gethostname()}.{os.getpid()}.{os.urandom(4).hex()}"
        self.answers = Answers(bus)
        self.presence = Announcer(bus, self.worker)
        self.tags = count(1)  # of deliveries, for all workers here
        self.unheard: Counter[str] = Counter()  # what nobody listened to, by key
        self._ask_again_s = ask_again_s
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._is_set_up = False
        self._consumes_grants = False
        self._asking: dict[str, queue.SimpleQueue[Grant | HeadwayError | None]] = {}
        self._begun: OrderedDict[str, None] = OrderedDict()

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
            self.bus.declare(Exchange(names.EXCHANGE))
            try:
                self.bus.declare(Queue(names.DEAD))
            except Refused as error:
                _LOG.warning("rejected messages will be lost: %s", error)
            self._is_set_up = True

    def close(self, timeout_s: float = 5.0) -> None:
        self.presence.close()
        self.answers.close(timeout_s)
        self.bus.close(timeout_s)

    # Attempts

    def begin(self, attempt: str) -> bool:
        """Whether this process has not begun it yet; it has now."""
        with self._lock:
            if attempt in self._begun:
                return False
            self._begun[attempt] = None
            if len(self._begun) > REMEMBERED:
                self._begun.popitem(last=False)
            return True

    def ask(self, place: str, attempt: str, stopping: Callable[[], bool]) -> Grant | None:
        """Claim an attempt and wait for the answer. None: stopping, and nothing was granted.

        Asked again after a while, and after a lost connection; the one who grants does so once.
        """
        self._consume_grants()
        heard: queue.SimpleQueue[Grant | HeadwayError | None] = queue.SimpleQueue()
        with self._lock:
            self._asking[attempt] = heard
        try:
            claim = Claim(attempt=attempt, worker=self.worker)
            while not stopping():
                self._claim(place, claim).then(
                    lambda known: heard.put(known.error) if known.error is not None else None
                )
                answer = self._answer(heard, stopping)
                if isinstance(answer, Grant):
                    return answer
                if isinstance(answer, HeadwayError):
                    _LOG.warning("attempt %s cannot be claimed yet: %s", attempt, answer)
                    self._pause(heard, stopping)
            self._claim(place, claim_back(claim))
            return None
        finally:
            with self._lock:
                self._asking.pop(attempt, None)

    def give_back(self, place: str, attempt: str) -> None:
        """Somebody else may have it. Raises: Rejected, Unavailable when nobody was told."""
        with self._lock:
            self._begun.pop(attempt, None)
        claim = Claim(attempt=attempt, worker=self.worker, give_back=True)
        self._claim(place, claim).wait(CONFIRM_S)

    def wake(self) -> None:
        """Have everybody who waits for a grant look again whether to stop."""
        with self._lock:
            for heard in self._asking.values():
                heard.put(None)

    def _claim(self, place: str, claim: Claim) -> Confirmation:
        reply_to = DIRECT_REPLY_TO if self._consumes_grants else None
        body = claim.encode()
        message = Message(body, names.JSON, reply_to=reply_to, message_id=claim.attempt)
        return self.bus.publish(message, place)

    def _consume_grants(self) -> None:
        with self._opening:
            if not self._consumes_grants:
                self.bus.consume(DIRECT_REPLY_TO, self._on_grant, inline=True)
                self._consumes_grants = True

    def _on_grant(self, delivery: Delivery) -> None:
        try:
            grant = Grant.decode(delivery.message.body)
        except WireError as error:
            _LOG.warning("what came for a grant is none: %s", error)
            return
        with self._lock:
            heard = self._asking.get(grant.attempt)
        if heard is not None and grant.worker == self.worker:
            heard.put(grant)

    def _answer(
        self, heard: "queue.SimpleQueue[Grant | HeadwayError | None]", stopping: Callable[[], bool]
    ) -> Grant | HeadwayError | None:
        try:
            return heard.get(timeout=self._ask_again_s)
        except queue.Empty:
            return None

    def _pause(
        self, heard: "queue.SimpleQueue[Grant | HeadwayError | None]", stopping: Callable[[], bool]
    ) -> None:
        if not stopping():
            try:
                heard.get(timeout=min(1.0, self._ask_again_s))
            except queue.Empty:
                pass

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
            self.bus.publish(letter, names.DEAD).wait(CONFIRM_S)
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
            case Opened(connection):
                _LOG.info("connected to %s (%d)", self.bus.place, connection)
                self.wake()
            case Closed(reason, None):
                _LOG.info("disconnected from %s: %s", self.bus.place, reason)
            case Closed(reason, again_in_s):
                _LOG.warning(
                    "not connected to %s: %s; again in %.1f s", self.bus.place, reason, again_in_s
                )
            case Blocked(reason):
                _LOG.warning("%s takes no messages: %s", self.bus.place, reason)
            case Unblocked():
                _LOG.info("%s takes messages again", self.bus.place)
            case ConsumerLost(name, reason, again_in_s):
                _LOG.warning("no longer served: %s: %s; again in %.1f s", name, reason, again_in_s)
            case ConsumerBack(name):
                _LOG.info("served again: %s", name)


def claim_back(claim: Claim) -> Claim:
    return Claim(attempt=claim.attempt, worker=claim.worker, give_back=True)


def _plain_headers(message: Message) -> dict[str, object]:
    return {name: value for name, value in message.headers.items() if not name.startswith("x-")}


def wait_confirmed(confirmation: Confirmation, until: float) -> None:
    """Wait until what became of a message is known, whatever that is."""
    try:
        confirmation.wait(max(0.0, until - clocks.monotonic()))
    except (HeadwayError, Unavailable):
        pass
