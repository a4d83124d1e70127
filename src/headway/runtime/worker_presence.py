"""Says on the bus that a worker process is there, and what it does.

Every ``INTERVAL_S``, and soon after something changes, one message for each queue served, to
whoever listens. Nobody has to: what cannot be sent is not sent, and the next one tells the same.

Threads: one of its own sends. What tells it of changes never waits.
"""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import headway
from headway.errors import Refused
from headway.ports.bus import Bus, Confirmation, Message, News, Opened, Queue
from headway.runtime import clocks
from headway.wire import names
from headway.wire.messages import Presence, StepUnderWay

if TYPE_CHECKING:
    from headway.runtime.worker_step import StepInHand

_LOG = logging.getLogger("headway.worker")
INTERVAL_S = 5
CHANGES_S = 0.5  # between two messages; what changes meanwhile is told by the second
_LONGEST_ID = 255


class _Served:
    """One queue, and the worker objects that serve it."""

    def __init__(self, queue: Queue, kind: str) -> None:
        self.queue = queue
        self.kind = kind
        self.since_us = clocks.now_us()
        self.serving = 0
        self.leaving = 0

    @property
    def state(self) -> str:
        if self.serving:
            return "serving"
        return "leaving" if self.leaving else "left"


class Announcer:
    """The presence of all workers of one process on one connection."""

    def __init__(
        self,
        bus: Bus,
        worker: str,
        *,
        interval_s: float = INTERVAL_S,
        changes_s: float = CHANGES_S,
    ) -> None:
        self._bus = bus
        self._worker = worker
        self._interval_s = interval_s
        self._changes_s = changes_s
        self._host = socket.gethostname()
        self._lock = threading.Condition(threading.Lock())
        self._served: dict[str, _Served] = {}  # by queue
        # Steps, and since when, by queue and tag. Kept by itself: a first step may begin before
        # it is known here that its queue is served.
        self._doing: dict[str, dict[int, tuple[StepInHand, int]]] = {}
        self._changed: set[str] = set()  # queues
        self._refused = False  # on this connection
        self._closed = False
        self._thread: threading.Thread | None = None
        # Of the thread alone:
        self._number = 0
        self._sent: list[Confirmation] = []
        self._sent_at = float("-inf")
        bus.listen(self._on_news)

    # What happens

    def serving(self, queue: Queue, kind: str) -> None:
        """One more worker object, of the class of this name, serves the queue."""
        with self._lock:
            if self._closed:
                return
            served = self._served.setdefault(queue.name, _Served(queue, kind))
            served.serving += 1
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="headway-worker presence", daemon=True
                )
                self._thread.start()
            self._note(queue.name)

    @contextmanager
    def leaving(self, queue: Queue) -> Iterator[None]:
        """One of them takes no more; after that it does nothing any more."""
        self._move(queue, serving=-1, leaving=1)
        try:
            yield
        finally:
            self._move(queue, leaving=-1)

    def _move(self, queue: Queue, *, serving: int = 0, leaving: int = 0) -> None:
        with self._lock:
            if served := self._served.get(queue.name):
                served.serving += serving
                served.leaving += leaving
                self._note(queue.name)

    @contextmanager
    def working(self, queue: Queue, step: "StepInHand") -> Iterator[None]:
        """A step is worked on. Cheap: there may be thousands of them a second."""
        since_us = clocks.now_us()
        with self._lock:
            self._doing.setdefault(queue.name, {})[step.tag] = (step, since_us)
            self._note(queue.name)
        try:
            yield
        finally:
            with self._lock:
                del self._doing[queue.name][step.tag]
                self._note(queue.name)

    def close(self, timeout_s: float = 1.0) -> None:
        """Say the last, and no more. Again does nothing."""
        with self._lock:
            self._closed = True
            self._lock.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _note(self, queue: str) -> None:
        """Wakes the thread for the first change only: it may be one of thousands a second."""
        if not self._changed:
            self._lock.notify()
        self._changed.add(queue)

    def _on_news(self, news: News) -> None:
        if isinstance(news, Opened):
            with self._lock:
                self._refused = False
                for name in self._served:
                    self._note(name)

    # The thread

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._closed and (wait_s := self._wait_s()) > 0:
                    self._lock.wait(wait_s)
                closed = self._closed
                told = self._what_to_tell()
            self._tell(told)
            if closed:
                return

    def _wait_s(self) -> float:
        longest_s = self._changes_s if self._changed else self._interval_s
        return self._sent_at + longest_s - clocks.monotonic()

    def _what_to_tell(self) -> list[Presence]:
        """Of all queues when it is time, else of those where something changed."""
        now = clocks.monotonic()
        is_time = now - self._sent_at >= self._interval_s
        self._sent_at = now
        if self._refused or not self._bus.is_open:
            self._changed.clear()  # the next connection is told of all
            return []
        if not self._closed and not all(one.done for one in self._sent):
            return []  # while the broker takes nothing, nothing piles up; the last is told anyway
        told = [
            self._presence(served)
            for name, served in self._served.items()
            if is_time or name in self._changed
        ]
        self._changed.clear()
        self._served = {
            name: one for name, one in self._served.items() if one.serving or one.leaving
        }
        return told

    def _presence(self, served: _Served) -> Presence:
        self._number += 1
        doing = self._doing.get(served.queue.name, {}).values()
        return Presence(
            worker=self._worker,
            command=served.queue.name.removeprefix(names.worker_key(""))[:_LONGEST_ID],
            queue=served.queue.name,
            bindings=[binding.key for binding in served.queue.bindings],
            state=served.state,
            kind=served.kind[:_LONGEST_ID],
            version=f"headway {headway.__version__}",
            host=self._host,
            pid=os.getpid(),
            since_us=served.since_us,
            interval_s=max(1, round(self._interval_s)),
            number=self._number,
            concurrency=served.serving + served.leaving,
            doing=[_under_way(step, since_us) for step, since_us in doing],
        )

    def _tell(self, told: list[Presence]) -> None:
        if told:
            self._sent = []
        for presence in told:
            message = Message(presence.encode(), names.JSON, persistent=False)
            sent = self._bus.publish(message, names.PRESENCE, names.EXCHANGE)
            sent.then(self._on_confirmed)
            self._sent.append(sent)

    def _on_confirmed(self, known: Confirmation) -> None:
        # That nobody listens is not worth a word.
        if not isinstance(known.error, Refused):
            return
        with self._lock:
            first, self._refused = not self._refused, True
        if first:
            _LOG.warning("we cannot say that we are there: %s", known.error)


def _under_way(step: "StepInHand", since_us: int) -> StepUnderWay:
    parameters = step.body.get("parameters") if isinstance(step.body, dict) else None
    known = parameters if isinstance(parameters, dict) else {}
    return StepUnderWay(
        since_us=since_us,
        run=_id(step.run),
        attempt=_id(step.attempt),
        command=_id(known.get("command")),
        subcommand=_id(known.get("subcommand")),
    )


def _id(value: Any) -> str:
    return value[:_LONGEST_ID] if isinstance(value, str) else ""
