"""What a worker has in its hands: what is known of a delivery, and what has become of it."""

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import Any

from headway.ports.bus import Confirmation, Delivery, Settlement
from headway.runtime import clocks
from headway.runtime.worker_connection import wait_confirmed
from headway.runtime.worker_output import Output
from headway.wire import names
from headway.wire.messages import FINAL, PHASES

PATIENCE_S = 60.0  # for an answer, where the step message names no deadline
LONGEST_PATIENCE_S = 86_400.0
UNCONFIRMED = 1_000  # messages of one step; then the step waits for the broker
CONFIRM_S = 30.0
LATER = 10_000  # steps that are answered after process has ended; the oldest are forgotten


class StepInHand:
    """Threads: the worker's, and any that ``process`` starts; single changes only."""

    def __init__(self, delivery: Delivery, tag: int) -> None:
        message = delivery.message
        self.delivery = delivery
        self.tag = tag
        self.body: Any = None
        self.run = message.correlation_id
        self.reply_to = message.reply_to if message.reply_to != names.LOG else None
        self.attempt = message.message_id
        claims = message.headers.get(names.CLAIMS)
        self.claims = claims if isinstance(claims, str) and self.attempt else None
        self._is_notified = message.headers.get(names.NOTIFIES) is True
        self.granted = False
        self.decision: Settlement | None = None  # what the author, or the library, said
        self.status: str | None = None  # of the last answer
        self.notices: list[str] = []
        self.output: Output | None = None  # until its last line is said
        self.told: Confirmation | None = None  # the last line of output, or notice
        self._unconfirmed: deque[Confirmation] = deque()

    @property
    def is_answered(self) -> bool:
        return self.status in FINAL

    @property
    def is_told_to_have_started(self) -> bool:
        """Whether people are told so by whoever sent the step."""
        return self._is_notified and self.status is not None

    @property
    def is_closing(self) -> bool:
        """Whether a last line of output is still to come, when ``process`` has ended."""
        return self.output is not None and self.output.takes(logging.DEBUG)

    @property
    def patience_s(self) -> float:
        """How long an answer to it is worth sending."""
        deadline_us = self.delivery.message.headers.get(names.DEADLINE)
        if not isinstance(deadline_us, int):
            return PATIENCE_S
        left_s = (deadline_us - clocks.now_us()) / 1e6
        return min(max(left_s, 0.0), LONGEST_PATIENCE_S)

    def noticed(self, phase: str) -> Mapping[str, Sequence[str]]:
        """Whom to tell of a phase, by transport, as far as that can be read."""
        wanted = self.body.get("notify") if isinstance(self.body, dict) else None
        by_transport = wanted.get(phase) if isinstance(wanted, dict) else None
        if not isinstance(by_transport, dict):
            return {}
        return {
            transport: targets
            for transport, targets in by_transport.items()
            if isinstance(targets, list) and all(isinstance(one, str) for one in targets)
        }

    def note_answer(self, queue: str | None, struct: Any) -> bool:
        """Whether that is an answer to this step; if so it counts."""
        if queue != self.reply_to or not isinstance(struct, dict):
            return False
        status = struct.get("status")
        if not isinstance(status, str) or status not in PHASES:
            return False
        if not self.is_answered:
            self.status = status
        return True

    def sent(self, confirmation: Confirmation | None) -> None:
        """Wait for what was sent long ago, if the broker is behind."""
        if confirmation is None:
            return
        self._unconfirmed.append(confirmation)
        while self._unconfirmed and self._unconfirmed[0].done:
            self._unconfirmed.popleft()
        if len(self._unconfirmed) > UNCONFIRMED:
            wait_confirmed(self._unconfirmed.popleft(), clocks.monotonic() + CONFIRM_S)

    def wait_until_told(self) -> None:
        """What it said is with those who listen: the last of it, and so what came before."""
        if self.told is not None:
            wait_confirmed(self.told, clocks.monotonic() + CONFIRM_S)

    def wait_until_confirmed(self) -> None:
        until = clocks.monotonic() + CONFIRM_S
        while self._unconfirmed:
            wait_confirmed(self._unconfirmed.popleft(), until)


class Steps:
    """One worker's steps: the one in hand, and those that are answered later. Thread-safe."""

    def __init__(self) -> None:
        self.in_hand: StepInHand | None = None
        self._lock = threading.Lock()
        self._later: OrderedDict[tuple[str | None, str | None], StepInHand] = OrderedDict()

    def of(self, run: str | None, reply_to: str | None) -> StepInHand | None:
        """The step that something is sent for: the one in hand, or one that is answered later."""
        step = self.in_hand
        if step is not None and run in (step.run, None):
            return step
        return self._later.get((run, reply_to)) or step

    def answer_later(self, step: StepInHand) -> None:
        with self._lock:
            self._later[step.run, step.reply_to] = step
            if len(self._later) > LATER:
                self._later.popitem(last=False)

    def is_for_later(self, step: StepInHand) -> bool:
        with self._lock:
            return self._later.get((step.run, step.reply_to)) is step

    def answered(self, step: StepInHand) -> bool:
        """Whether it was to be answered later, which it has been now."""
        with self._lock:
            return self._later.pop((step.run, step.reply_to), None) is not None
