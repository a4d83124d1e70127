"""Answers on their way to reply queues: what cannot be taken yet is kept and tried again."""

import logging
import threading
from collections import deque
from itertools import count
from typing import NamedTuple

from headway.errors import HeadwayError
from headway.ports.bus import Bus, Confirmation, Message
from headway.runtime import clocks

_LOG = logging.getLogger("headway.worker")
KEPT = 10_000  # answers; the oldest go first
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
CONFIRM_S = 15.0


class _Answer(NamedTuple):
    number: int  # in the order of sending
    message: Message
    until: float  # monotonic


class Answers:
    """In order for each queue. Thread-safe; its own thread begins with the first one kept."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._changed = threading.Condition()
        self._kept: dict[str, deque[_Answer]] = {}
        self._numbers = count(1)
        self._thread: threading.Thread | None = None
        self._closing_at: float | None = None
        self._is_connected_anew = False
        self.lost = 0

    def send(self, queue: str, message: Message, patience_s: float) -> Confirmation | None:
        """Hand an answer over. It is kept for so long if the queue or the broker is gone.

        Returns None when others wait for the same queue, behind which it has to stay.
        """
        answer = _Answer(next(self._numbers), message, clocks.monotonic() + patience_s)
        with self._changed:
            if queue in self._kept:
                self._keep(queue, answer)
                return None
        confirmation = self._bus.publish(message, queue)
        confirmation.then(lambda known: self._ended(queue, answer, known))
        return confirmation

    @property
    def kept(self) -> int:
        with self._changed:
            return sum(len(answers) for answers in self._kept.values())

    def connected(self) -> None:
        """There is a new connection: what is kept is tried at once. Must not block."""
        with self._changed:
            self._is_connected_anew = True
            self._changed.notify_all()

    def close(self, timeout_s: float) -> None:
        """Give what is kept this long to arrive."""
        with self._changed:
            self._closing_at = clocks.monotonic() + timeout_s
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s + CONFIRM_S)

    def _ended(self, queue: str, answer: _Answer, confirmation: Confirmation) -> None:
        if confirmation.error is not None:
            with self._changed:
                self._keep(queue, answer)

    def _keep(self, queue: str, answer: _Answer) -> None:
        if sum(map(len, self._kept.values())) >= KEPT:
            oldest = next(iter(self._kept))
            self._lose(oldest, self._kept[oldest].popleft(), "too many answers are kept")
            if not self._kept[oldest]:
                del self._kept[oldest]
        # What was sent first fails last, if the connection is lost between the two.
        answers = self._kept.setdefault(queue, deque())
        at = len(answers)
        while at and answers[at - 1].number > answer.number:
            at -= 1
        answers.insert(at, answer)
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._send_kept, name="headway-worker answers", daemon=True
            )
            self._thread.start()
        self._changed.notify_all()

    def _send_kept(self) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            with self._changed:
                while not self._kept and self._closing_at is None:
                    wait_s = FIRST_WAIT_S
                    self._changed.wait()
                if not self._kept or self._is_late():
                    for queue, answers in self._kept.items():
                        for answer in answers:
                            self._lose(queue, answer, "the worker ends")
                    self._kept.clear()
                    return
                self._changed.wait_for(lambda: self._is_connected_anew or self._is_late(), wait_s)
                if self._is_connected_anew:
                    self._is_connected_anew, wait_s = False, FIRST_WAIT_S
                queues = list(self._kept)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            for queue in queues:
                if not self._is_late():
                    self._send_to(queue)

    def _is_late(self) -> bool:
        return self._closing_at is not None and clocks.monotonic() >= self._closing_at

    def _send_to(self, queue: str) -> None:
        """Send what is kept for a queue, as far as it goes."""
        while True:
            with self._changed:
                answers = self._kept.get(queue)
                if not answers:
                    self._kept.pop(queue, None)
                    return
                answer = answers[0]
            why: HeadwayError | None = None
            try:
                self._bus.publish(answer.message, queue).wait(CONFIRM_S)
            except HeadwayError as error:
                why = error
                if clocks.monotonic() < answer.until:
                    return
            with self._changed:
                if answer in answers:
                    answers.remove(answer)
                if why is not None:
                    self._lose(queue, answer, str(why))

    def _lose(self, queue: str, answer: _Answer, why: str) -> None:
        self.lost += 1
        _LOG.error("an answer to %s is lost (%r): %s", queue, answer.message, why)
