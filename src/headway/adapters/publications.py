"""What becomes of one message published: the confirmation that both buses hand out."""

import logging
import threading
from collections.abc import Callable

from headway.errors import HeadwayError, Unavailable
from headway.ports.bus import Confirmation, Message

# One lock for all: it is held for an instant when a message is confirmed, or first waited for.
_LOCK = threading.Lock()
_LOG = logging.getLogger("headway.bus")


class Publication:
    """A message on its way to the broker."""

    __slots__ = ("_calls", "done", "error", "exchange", "message", "routing_key")

    def __init__(self, message: Message, routing_key: str, exchange: str) -> None:
        self.message = message
        self.routing_key = routing_key
        self.exchange = exchange
        self.done = False
        self.error: HeadwayError | None = None
        self._calls: list[Callable[[Confirmation], object]] | None = None

    def __repr__(self) -> str:
        state = "waiting" if not self.done else repr(self.error) if self.error else "confirmed"
        return f"<{self.message!r} to {self.destination}: {state}>"

    @property
    def destination(self) -> str:
        """Where it goes, for a reader."""
        if self.exchange:
            return f"exchange {self.exchange!r} with key {self.routing_key!r}"
        return f"queue {self.routing_key!r}"

    def end(self, error: HeadwayError | None = None) -> bool:
        """It is known now. Returns whether it was not before."""
        with _LOCK:
            if self.done:
                return False
            self.error = error
            self.done = True
            calls, self._calls = self._calls, None
        for call in calls or ():
            self._tell(call)
        return True

    def wait(self, timeout_s: float | None) -> None:
        if not self.done:
            gate = threading.Lock()
            gate.acquire()
            self.then(lambda confirmation: gate.release())
            if not gate.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s)):
                raise Unavailable(
                    f"the broker did not confirm a message to {self.destination} within"
                    f" {timeout_s:g} s: whether it arrived is unknown"
                )
        if self.error is not None:
            # A fresh one each time: an exception raised twice collects both tracebacks.
            raise type(self.error)(*self.error.args) from self.error.__cause__

    def then(self, call: Callable[[Confirmation], object]) -> None:
        with _LOCK:
            if not self.done:
                if self._calls is None:
                    self._calls = [call]
                else:
                    self._calls.append(call)
                return
        self._tell(call)

    def _tell(self, call: Callable[[Confirmation], object]) -> None:
        try:
            call(self)
        except Exception:
            _LOG.exception("what was to be called for %r failed", self)
