"""Carries out tries in threads of this process.

Who does what: worker threads call the jobs and put news on one queue; the runner's thread takes
the news and alone calls back into the runner. A worker that must not go on before something is
written waits at a gate until the runner's thread has done it. The threads are daemons: one that
never returns from a job does not keep the process from ending.
"""

import os
import queue
import threading
import time
from collections.abc import Iterable
from typing import Any

from headway.adapters.bounded import BoundedTry
from headway.adapters.here import ask_check, clean_up
from headway.adapters.tools import Stop, Tools
from headway.jobs.outcomes import Ending, Failure, Outcome, Phase
from headway.jobs.shared import Changes
from headway.ports.executor import Ended, Late, Work

OVERDUE_GRACE_S = 2.0  # how long past its deadline code may take to notice


class Threads:
    """Carries out up to ``slots`` tries at once, each in a thread.

    All threads share one working directory. With one slot each phase begins in the directory the
    run began in; with more, a job that changes it changes it for all that run beside.
    """

    blocks = False

    def __init__(
        self, slots: int, stop: Stop | None = None, *, grace_s: float = OVERDUE_GRACE_S
    ) -> None:
        """``stop``: where another executor's threads are asked to end."""
        self.slots = slots
        self._grace_s = grace_s
        self._stop = stop or Stop()
        self._running: dict[int, _Attempt] = {}
        self._todo: queue.SimpleQueue[_Attempt | None] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._ended: list[Ended | Late] = []
        self._threads = 0
        self._idle = 0
        self._directory = -1
        self._work: Work

    @property
    def free(self) -> int:
        return self.slots - len(self._running)

    @property
    def running(self) -> int:
        return len(self._running)

    def open(self, work: Work) -> None:
        self._work = work
        # New ones: threads of an earlier opening that still are in a job know only theirs.
        self._todo, self._news = queue.SimpleQueue(), queue.SimpleQueue()
        self._directory = os.open(".", os.O_RDONLY)

    def start(self, key: int, number: int) -> None:
        tools = Tools(self._work, self._stop, key, number)
        directory = self._directory if self.slots == 1 else None
        attempt = self._running[key] = _Attempt(self._work, tools, self._news, directory)
        if self._idle:
            self._idle -= 1
        else:
            self._threads += 1
            worker = threading.Thread(
                target=_serve, args=(self._todo, self._news), name="headway-job", daemon=True
            )
            worker.start()
        self._todo.put(attempt)

    def wait(self, timeout_s: float | None) -> Iterable[Ended | Late]:
        until = None if timeout_s is None else time.monotonic() + timeout_s
        woken = False
        while not self._ended and not woken:
            try:
                woken = self._heard(self._news.get(timeout=self._left_s(until)))
                while True:
                    woken = self._heard(self._news.get_nowait()) or woken
            except queue.Empty:
                pass
            self._give_up_overdue()
            if until is not None and time.monotonic() >= until:
                break
        # Kept until here, so that what an interrupted wait has heard is not lost.
        ended, self._ended = self._ended, []
        return ended

    def _left_s(self, until: float | None) -> float | None:
        ends = [attempt.tools.ends_at for attempt in self._running.values()]
        limits = [ends_at + self._grace_s for ends_at in ends if ends_at is not None]
        if until is not None:
            limits.append(until)
        return max(0.0, min(limits) - time.monotonic()) if limits else None

    def _heard(self, news: tuple[Any, ...]) -> bool:
        """Take one piece of news; whether it says that the wait is to end."""
        kind, *rest = news
        if kind == "woken":
            return True
        attempt: _Attempt = rest[0]
        tools = attempt.tools
        if kind in ("ended", "interrupted"):
            self._idle += 1
            if attempt.given_up:
                if attempt.is_overdue:
                    self._ended.append(Late(tools.key, tools.number))
                return False
            del self._running[tools.key]
            if kind == "interrupted":
                raise KeyboardInterrupt
            self._ended.append(Ended(tools.key, tools.number, rest[1]))
        elif kind == "intends" and not attempt.given_up:
            try:
                self._work.intends(tools.key, tools.number, rest[1])
            except BaseException:
                del self._running[tools.key]
                attempt.give_up()
                raise
            attempt.gate.set()
        elif kind == "phase" and not attempt.given_up:
            self._work.phase_ended(tools.key, tools.number, rest[1], rest[2])
        # "entering" only makes the wait be worked out anew: there is a new deadline.
        return False

    def _give_up_overdue(self) -> None:
        now = time.monotonic()
        for key, attempt in list(self._running.items()):
            ends_at = attempt.tools.ends_at
            if ends_at is not None and now >= ends_at + self._grace_s:
                del self._running[key]
                attempt.is_overdue = True
                attempt.give_up()
                self._ended.append(Ended(key, attempt.tools.number, attempt.overdue()))

    def ask(self, key: int) -> Outcome:
        os.fchdir(self._directory)
        return ask_check(self._work, key)

    def cleanup(self, key: int, number: int, job: Any, storage: Changes | None) -> Failure | None:
        os.fchdir(self._directory)
        return clean_up(self._work, key, number, job, storage)

    def hear_out(self) -> Iterable[Late]:
        return ()

    def stop(self) -> None:
        self._stop.set()

    def wake(self) -> None:
        self._news.put(("woken",))

    def close(self) -> None:
        self._stop.set()
        for attempt in self._running.values():
            attempt.give_up()
        self._running.clear()
        # One for each, also for those that are still in a job: they take theirs when they return.
        for _ in range(self._threads):
            self._todo.put(None)
        self._threads = self._idle = 0
        self._stop = Stop()
        if self._directory >= 0:
            try:
                os.fchdir(self._directory)
            finally:
                os.close(self._directory)
                self._directory = -1


def _serve(
    todo: "queue.SimpleQueue[_Attempt | None]", news: "queue.SimpleQueue[tuple[Any, ...]]"
) -> None:
    """What a worker thread does for as long as it lives."""
    while (attempt := todo.get()) is not None:
        outcome = None
        try:
            outcome = attempt.trial.carried_out()
        except _GivenUp:
            pass
        except KeyboardInterrupt:
            news.put(("interrupted", attempt))
            continue
        news.put(("ended", attempt, outcome))


class _GivenUp(BaseException):
    """Raised in a worker thread whose try nobody waits for any more."""


class _Attempt:
    """One try in a worker thread, as both sides see it; the worker's teller."""

    def __init__(
        self,
        work: Work,
        tools: Tools,
        news: "queue.SimpleQueue[tuple[Any, ...]]",
        directory: int | None,
    ) -> None:
        self.tools = tools
        self.trial = BoundedTry(work, tools, self)
        self.given_up = False
        self.is_overdue = False
        self.gate = threading.Event()
        self._news = news
        self._directory = directory

    def give_up(self) -> None:
        """Nobody waits for it any more: it does not begin another phase."""
        self.given_up = True
        self.gate.set()

    def overdue(self) -> Outcome:
        outcome = self.trial.timed_out()
        assert outcome.failure is not None
        message = f"{outcome.failure.message} and goes on; given up (--on processes can end it)"
        return outcome._replace(
            ending=Ending.OVERDUE, failure=outcome.failure._replace(message=message)
        )

    # The worker's side

    def entering(self, phase: Phase, ends_at: float | None) -> None:
        self._require_wanted()
        if self._directory is not None:
            os.fchdir(self._directory)
        if ends_at is not None:
            self._news.put(("entering", self))

    def intends(self, outcome: Outcome) -> None:
        self._news.put(("intends", self, outcome))
        self.gate.wait()
        self._require_wanted()

    def phase_ended(self, phase: Phase, failure: Failure | None) -> None:
        self._news.put(("phase", self, phase, failure))

    def _require_wanted(self) -> None:
        if self.given_up:
            raise _GivenUp
