"""The Celery worker's side: carries out one attempt, in a child process of the worker's.

Who does what: the thread of the Celery task forks the child and serves it; the two threads of the
process's line hear and send. The child is ended when the run wants nothing more of it, and when
the lease ends. If this process dies the kernel ends the child.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kombu.utils.compat import detect_environment

from headway.adapters.celery_tries.grants import same_machine, work_of
from headway.adapters.celery_tries.kept_line import KeptLine, ProcessLine
from headway.adapters.celery_tries.line import Due, Publication
from headway.adapters.celery_tries.messages import BEAT_S, CLAIM_S, LEASE_S, Said, Stands
from headway.adapters.processes import Processes
from headway.errors import DefinitionError
from headway.jobs.outcomes import (
    Failure,
    Outcome,
    Phase,
    changes_from_plain,
    failure_to_plain,
    outcome_to_json,
)
from headway.ports.executor import Work

AGAIN_S = 3.0  # frames that were not heard for so long are sent again
LINES_BYTES = 1 << 16  # lines are sent together, up to so much
AHEAD_BYTES = 4 << 20  # frames sent and not heard, beyond which the job waits to write more
_LINES_S = 0.05  # how long a line may wait for others


class _Unwanted(BaseException):
    """Raised while the try waits for its run: it is over there, or the lease has ended."""


class Serving:
    """One attempt in the hands of a Celery worker. ``worker``: what that is called."""

    def __init__(self, attempt: str, replies: str, worker: str) -> None:
        self._attempt = attempt
        self.replies = replies
        self._worker = worker
        self._holder = ""  # what we are called on the line
        self._line: ProcessLine
        self._changed = threading.Condition()
        self._stands: Stands | None = None  # as last heard
        self._granted: Mapping[str, Any] | None = None
        self._frames: deque[Said] = deque()  # not heard yet
        self._ahead_bytes = 0
        self._number = 0  # of the last frame
        self._sent = 0  # the last one that was
        self._sent_at = 0.0
        self._beats: deque[tuple[int, float]] = deque(maxlen=60)  # and when each was sent
        self._lease_s = LEASE_S
        self._lease_from = time.monotonic()
        self._lines: list[tuple[str, str]] = []
        self._lines_bytes = 0
        self._lines_at = 0.0
        self._stopped = False
        self._is_done = False  # and its run knows the end
        self._processes: Processes | None = None

    def run(self, kept: KeptLine, app: Any) -> None:
        """Claim it and carry it out, if it is ours."""
        try:
            self._line, self._holder = kept.join(self, app)
        except Exception:
            return  # nobody was told that we have it: its run sends it again, or says why not
        self._lease_from = time.monotonic()
        try:
            payload = self._claimed()
            if payload is not None:
                self._carry_out(payload)
        except _Unwanted:
            self._say(Said(self._attempt, "left", self._holder))
        finally:
            self._line.leave(self._holder, answered=self._is_over or self._is_done)

    def _claimed(self) -> Mapping[str, Any] | None:
        """What is to be done; None if it is somebody else's, or its run is gone."""
        self.beat()
        with self._changed:
            self._changed.wait_for(lambda: self._granted or self._is_over, CLAIM_S)
            return None if self._is_over else self._granted

    def _carry_out(self, payload: Mapping[str, Any]) -> None:
        try:
            outcome = self._outcome(payload)
        except KeyboardInterrupt:
            self._frame("interrupted", None)
        except DefinitionError as error:
            self._frame("refused", str(error))
        else:
            self._frame("ended", outcome_to_json(outcome))
        last = self._number
        self._wait_until(lambda one: one.heard >= last)
        self._is_done = True

    def _outcome(self, payload: Mapping[str, Any]) -> Outcome:
        """Raises: DefinitionError for a job that this worker does not have, or cannot carry out."""
        pool = detect_environment()
        if pool != "default":
            raise DefinitionError(
                f"the Celery worker {self._worker} has the pool {pool}, which cannot wait for a"
                " child process: start it with -P prefork, threads or solo"
            )
        key, number, self._lease_s = payload["key"], payload["number"], payload["lease_s"]
        work = self._work(payload)
        processes = self._processes = Processes(1, grace_s=payload["grace_s"])
        processes.open(work)
        try:
            storage = payload["storage"] and changes_from_plain(payload["storage"])
            match payload["what"]:
                case "try":
                    processes.start(key, number)
                case "check":
                    processes.start_check(key, number)
                case _:
                    processes.start_cleanup(key, number, storage)
            return self._ended(processes)
        finally:
            processes.close()

    def _ended(self, processes: Processes) -> Outcome:
        while True:
            for news in processes.wait(self._left_s()):
                outcome: Outcome = news.outcome  # type: ignore[union-attr]
                return outcome
            self._flush_lines()
            self._require_wanted()
            if self._stands is not None and self._stands.stop and not self._stopped:
                self._stopped = True
                processes.stop()

    def _left_s(self) -> float:
        """How long nothing has to be looked at here."""
        lease_s = self._lease_left_s
        return max(0.0, min(lease_s, _LINES_S if self._lines else lease_s))

    @property
    def _lease_left_s(self) -> float:
        return self._lease_from + self._lease_s - time.monotonic()

    def _work(self, granted: Mapping[str, Any]) -> Work:
        work = work_of(granted, self._worker)
        work.watches_phases = True  # so that the run knows how far a worker came that it loses
        work.intends = self._intends
        work.phase_ended = self._phase_ended
        work.wrote = self._wrote
        if same_machine(granted):
            work.started_process = self._started_process
            work.process_ended = self._process_ended
        return work

    # What the try tells, in the task's thread

    def _intends(
        self, key: int, number: int, outcome: Outcome, attempt: str = "", replies: str = ""
    ) -> None:
        self._ask("intends", outcome_to_json(outcome))

    def _phase_ended(self, key: int, number: int, phase: Phase, failure: Failure | None) -> None:
        self._frame("phase", [phase, failure and failure_to_plain(failure)])

    def _started_process(self, key: int, number: int, pid: int) -> None:
        self._ask("process", pid)

    def _process_ended(self, key: int, number: int, pid: int) -> None:
        self._frame("over", pid)

    def _wrote(self, key: int, number: int, stream: str, text: str) -> None:
        if not self._lines:
            self._lines_at = time.monotonic()
        self._lines.append((stream, text))
        self._lines_bytes += len(text)
        self._flush_lines()

    def _flush_lines(self, *, at_once: bool = False) -> None:
        is_due = time.monotonic() - self._lines_at >= _LINES_S
        if self._lines and (at_once or is_due or self._lines_bytes >= LINES_BYTES):
            lines, self._lines, self._lines_bytes = self._lines, [], 0
            self._put("wrote", lines)
            if self._ahead_bytes > AHEAD_BYTES:
                self._wait_until(lambda one: self._ahead_bytes <= AHEAD_BYTES)

    def _frame(self, kind: str, value: Any) -> int:
        self._flush_lines(at_once=True)
        return self._put(kind, value)

    def _ask(self, kind: str, value: Any) -> None:
        """Returns once the run has acted on it. Raises: _Unwanted."""
        number = self._frame(kind, value)
        self._wait_until(lambda one: one.written >= number)

    def _wait_until(self, holds: Callable[[Stands], bool]) -> None:
        while True:
            with self._changed:
                if self._stands is not None and holds(self._stands):
                    return
                self._changed.wait(max(0.0, min(self._lease_left_s, BEAT_S)))
            self._require_wanted()

    def _require_wanted(self) -> None:
        if self._is_over or self._lease_left_s <= 0:
            raise _Unwanted

    @property
    def _is_over(self) -> bool:
        return self._stands is not None and self._stands.over

    # Sending

    def _put(self, kind: str, value: Any) -> int:
        with self._changed:
            self._number += 1
            said = Said(self._attempt, kind, self._holder, self._number, value)
            self._frames.append(said)
            self._ahead_bytes += _size(said)
        self._due("frames", self._unsent)
        return said.number

    def _unsent(self, producer: Any) -> Iterable[Publication]:
        while True:
            with self._changed:
                following = next((one for one in self._frames if one.number > self._sent), None)
            if following is None:
                return
            self._sent_at = time.monotonic()
            yield self._published(following)
            self._sent = max(self._sent, following.number)

    def beat(self) -> None:
        """To begin with, and by the thread that sends, every second."""
        if not self._holder:
            return  # that thread was quicker than ours to learn that we are on the line
        with self._changed:
            number = self._beats[-1][0] + 1 if self._beats else 1
            self._beats.append((number, time.monotonic()))
            kind, value = ("beat", None) if self._granted else ("claims", self._worker)
            self._say(Said(self._attempt, kind, self._holder, number, value))
            unheard = self._frames and self._frames[0].number <= self._sent
            if unheard and time.monotonic() - self._sent_at >= AGAIN_S:
                self._sent = self._frames[0].number - 1
        self._due("frames", self._unsent)

    def _say(self, said: Said) -> None:
        one = self._published(said)._replace(mandatory=said.kind == "claims")
        self._due(said.kind, lambda producer: () if self._is_done else [one])

    def _due(self, what: str, make: Due) -> None:
        self._line.due(f"{self._holder} {what}", make)

    def _published(self, said: Said) -> Publication:
        return Publication(self.replies, said.text(), persistent=True)

    # Hearing

    def hear(self, heard: Stands) -> None:
        with self._changed:
            self._granted = self._granted or heard.granted
            self._stands = heard if self._stands is None else _later(self._stands, heard)
            while self._frames and self._frames[0].number <= heard.heard:
                self._ahead_bytes -= _size(self._frames.popleft())
            for number, sent_at in self._beats:
                if number == heard.beat:
                    self._lease_from = max(self._lease_from, sent_at)
            self._changed.notify_all()
        if self._processes is not None:
            self._processes.wake()


def _later(one: Stands, other: Stands) -> Stands:
    """All that was said in either."""
    return Stands(
        one.holder,
        None,
        max(one.heard, other.heard),
        max(one.written, other.written),
        max(one.beat, other.beat),
        one.stop or other.stop,
        one.over or other.over,
    )


def _size(said: Said) -> int:
    return len(json.dumps(said.value))
