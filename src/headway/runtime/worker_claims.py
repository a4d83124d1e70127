"""A worker process's attempts: asked for, begun, held, given back."""

import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable

from headway.errors import HeadwayError, Refused, Rejected, WireError
from headway.ports.bus import DIRECT_REPLY_TO, Bus, Confirmation, Delivery, Message
from headway.runtime import clocks
from headway.wire import names
from headway.wire.messages import Claim, Grant

_LOG = logging.getLogger("headway.worker")
ASK_AGAIN_S = 30.0  # a claim that nobody answered
FAILED_AGAIN_S = 1.0  # a claim that could not be sent
NO_GRANTER_S = 5.0  # how long the queue for claims may be missing
CONFIRM_S = 15.0
REMEMBERED = 10_000  # attempts begun here: a second delivery of one is not begun again

_Heard = queue.SimpleQueue[Grant | HeadwayError | None]  # None: look again


class Claiming:
    """For all workers of a process, which are one worker to those who grant. Thread-safe."""

    def __init__(
        self,
        bus: Bus,
        worker: str,
        ask_again_s: float = ASK_AGAIN_S,
        no_granter_s: float = NO_GRANTER_S,
    ) -> None:
        self.worker = worker
        self._bus = bus
        self._ask_again_s = ask_again_s
        self._no_granter_s = no_granter_s
        self._lock = threading.Lock()
        self._consuming = threading.Lock()
        self._consumes = False
        self._asking: dict[str, list[_Heard]] = {}
        self._begun: OrderedDict[str, None] = OrderedDict()
        self._held: dict[str, str] = {}  # attempts to who granted them

    def ask(self, place: str, attempt: str, stopping: Callable[[], bool]) -> Grant | None:
        """Claim an attempt and wait for the answer. None: stopping, and nothing was granted.

        Asked again after a while, and after a lost connection; the one who grants does so once.
        Two may ask for one attempt: the broker delivers it again when a connection was lost.

        Raises: Rejected, Refused when there has been nobody to ask for a while.
        """
        nobody_since: float | None = None
        heard: _Heard = queue.SimpleQueue()
        with self._lock:
            self._asking.setdefault(attempt, []).append(heard)
        try:
            while not stopping():
                answer = self._asked(place, attempt, heard)
                if isinstance(answer, Grant):
                    return answer
                if isinstance(answer, (Rejected, Refused)):
                    nobody_since = nobody_since or clocks.monotonic()
                    if clocks.monotonic() - nobody_since >= self._no_granter_s:
                        raise answer
                else:
                    nobody_since = None
                if isinstance(answer, HeadwayError):
                    _LOG.warning("attempt %s cannot be claimed yet: %s", attempt, answer)
                    self._wait(heard, min(FAILED_AGAIN_S, self._ask_again_s), stopping)
            self._send(place, attempt, give_back=True)
            return None
        finally:
            with self._lock:
                self._asking[attempt].remove(heard)
                if not self._asking[attempt]:
                    del self._asking[attempt]

    def begin(self, attempt: str, place: str) -> bool:
        """Whether this process has not begun it yet; it has now, and holds it."""
        with self._lock:
            if attempt in self._begun:
                return False
            self._begun[attempt] = None
            if len(self._begun) > REMEMBERED:
                self._begun.popitem(last=False)
            self._held[attempt] = place
            return True

    def has_begun(self, attempt: str) -> bool:
        """Whether there is nothing to ask: it was begun in this process."""
        with self._lock:
            return attempt in self._begun

    def let_go(self, attempt: str) -> None:
        """It is done with, as far as this process is concerned."""
        with self._lock:
            self._held.pop(attempt, None)

    def give_back(self, place: str, attempt: str) -> None:
        """Somebody else may have it. Raises: Rejected, Unavailable when nobody was told."""
        with self._lock:
            self._begun.pop(attempt, None)
            self._held.pop(attempt, None)
        self._send(place, attempt, give_back=True).wait(CONFIRM_S)

    def wake(self) -> None:
        """Have everybody who waits for a grant look again whether to stop."""
        with self._lock:
            for waiting in self._asking.values():
                for heard in waiting:
                    heard.put(None)

    def connected(self) -> None:
        """Ask again for what is waited for, and for what is held: its grants are repeated, and
        those who grant learn that we are there, and where. Must not block."""
        with self._lock:
            held = list(self._held.items())
        for attempt, place in held:
            self._send(place, attempt)
        self.wake()

    def _asked(self, place: str, attempt: str, heard: _Heard) -> Grant | HeadwayError | None:
        try:
            self._consume()
        except HeadwayError as error:
            return error
        self._send(place, attempt).then(
            lambda known: heard.put(known.error) if known.error is not None else None
        )
        try:
            return heard.get(timeout=self._ask_again_s)
        except queue.Empty:
            return None

    def _wait(self, heard: _Heard, wait_s: float, stopping: Callable[[], bool]) -> None:
        if not stopping():
            try:
                heard.get(timeout=wait_s)
            except queue.Empty:
                pass

    def _send(self, place: str, attempt: str, *, give_back: bool = False) -> Confirmation:
        body = Claim(attempt=attempt, worker=self.worker, give_back=give_back).encode()
        reply_to = DIRECT_REPLY_TO if self._consumes else None
        message = Message(body, names.JSON, reply_to=reply_to, message_id=attempt)
        return self._bus.publish(message, place)

    def _consume(self) -> None:
        """Raises: Unavailable when the connection is lost over it."""
        with self._consuming:
            if not self._consumes:
                self._bus.consume(DIRECT_REPLY_TO, self._on_grant, inline=True)
                self._consumes = True

    def _on_grant(self, delivery: Delivery) -> None:
        try:
            grant = Grant.decode(delivery.message.body)
        except WireError as error:
            _LOG.warning("what came for a grant is none: %s", error)
            return
        if grant.worker != self.worker:
            return
        with self._lock:
            for heard in self._asking.get(grant.attempt, []):
                heard.put(grant)
