"""Carries out tries in threads of this process.

Who does what: worker threads call the jobs and put news on one queue; the runner's thread takes
the news and alone calls back into the runner. A worker that must not go on before something is
written waits at a gate until the runner's thread has done it. The threads are daemons: one that
never returns from a job does not keep the process from ending.
"""

import queue
import threading
import time
from collections.abc import Iterable
from typing import Any

from headway.adapters.explain import explain
from headway.adapters.here import ask_check, clean_up
from headway.adapters.tools import Tools
from headway.jobs.job import Job
from headway.jobs.outcomes import Ending, Failure, Outcome, Phase
from headway.jobs.shared import Changes
from headway.jobs.trycycle import carry_out
from headway.ports.executor import Ended, Late, Work

OVERDUE_GRACE_S = 1.0  # how long past its deadline code may take to notice


class _GivenUp(BaseException):
    """Raised in a worker thread whose try nobody waits for any more."""


class _TimedOut(BaseException):
    """Raised between phases: the last one took too long."""


class Threads:
    """Carries out up to ``slots`` tries at once, each in a thread."""

    blocks = False

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._running: dict[int, _Attempt] = {}
        self._todo: queue.SimpleQueue[_Attempt | None] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._idle = 0
        self._stop = threading.Event()
        self._work: Work

    @property
    def free(self) -> int:
        return self.slots - len(self._running)

    def open(self, work: Work) -> None:
        self._work = work

    def start(self, key: int, number: int) -> None:
        tools = Tools(self._work, self._stop, key, number)
        attempt = self._running[key] = _Attempt(self._work, tools, self._news)
        if self._idle:
            self._idle -= 1
        else:
            threading.Thread(target=self._serve, name="headway-job", daemon=True).start()
        self._todo.put(attempt)

    def wait(self, timeout_s: float | None) -> Iterable[Ended | Late]:
        ended: list[Ended | Late] = []
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while not ended:
            limits = [a.gives_up_at for a in self._running.values() if a.gives_up_at is not None]
            if until is not None:
                limits.append(until)
            left_s = max(0.0, min(limits) - time.monotonic()) if limits else None
            try:
                self._heard(self._news.get(timeout=left_s), ended)
                while True:
                    self._heard(self._news.get_nowait(), ended)
            except queue.Empty:
                pass
            except _Woken:
                break
            ended += self._overdue()
            if until is not None and time.monotonic() >= until:
                break
        return ended

    def _heard(self, news: tuple[Any, ...], ended: list[Ended | Late]) -> None:
        kind, *rest = news
        if kind == "woken":
            raise _Woken
        attempt: _Attempt = rest[0]
        tools = attempt.tools
        if kind == "entering":
            pass  # it has a deadline from now on: the wait must be worked out anew
        elif kind == "interrupted":
            raise KeyboardInterrupt
        elif kind == "ended":
            self._idle += 1
            if attempt.given_up:
                ended.append(Late(tools.key, tools.number))
            else:
                del self._running[tools.key]
                ended.append(Ended(tools.key, tools.number, rest[1]))
        elif attempt.given_up:
            if kind == "intends":
                rest[2].set()
        elif kind == "intends":
            try:
                self._work.intends(tools.key, tools.number, rest[1])
            except BaseException:
                attempt.given_up = True
                raise
            finally:
                rest[2].set()
        elif kind == "phase":
            self._work.phase_ended(tools.key, tools.number, rest[1], rest[2])

    def _overdue(self) -> list[Ended | Late]:
        now = time.monotonic()
        found: list[Ended | Late] = []
        for key, attempt in list(self._running.items()):
            if attempt.gives_up_at is not None and now >= attempt.gives_up_at:
                attempt.given_up = True
                del self._running[key]
                found.append(Ended(key, attempt.tools.number, attempt.overdue()))
        return found

    def _serve(self) -> None:
        while (attempt := self._todo.get()) is not None:
            try:
                outcome = attempt.carried_out()
            except _GivenUp:
                outcome = None
            except KeyboardInterrupt:
                self._news.put(("interrupted", attempt))
                continue
            self._news.put(("ended", attempt, outcome))

    def ask(self, key: int) -> Outcome:
        return ask_check(self._work, key)

    def cleanup(self, key: int, number: int, job: Any, storage: Changes | None) -> Failure | None:
        return clean_up(self._work, key, number, job, storage)

    def stop(self) -> None:
        self._stop.set()

    def wake(self) -> None:
        self._news.put(("woken",))

    def close(self) -> None:
        for attempt in self._running.values():
            attempt.given_up = True
        for _ in range(self._idle + len(self._running)):
            self._todo.put(None)
        self._idle = 0


class _Woken(Exception):
    pass


class _Attempt:
    """One try in a worker thread; its own watcher."""

    def __init__(
        self, work: Work, tools: Tools, news: "queue.SimpleQueue[tuple[Any, ...]]"
    ) -> None:
        self.tools = tools
        self.given_up = False
        self.watches_phases = work.watches_phases
        self.rules = work.rules[tools.key]
        self._work = work
        self._news = news
        self._phase = Phase.CHECK if self.rules.has_check else Phase.RUN
        self._job: Any = None
        self._executed = False

    @property
    def gives_up_at(self) -> float | None:
        """When the runner stops waiting for it (monotonic)."""
        ends_at = self.tools.ends_at
        return None if ends_at is None else ends_at + OVERDUE_GRACE_S

    def carried_out(self) -> Outcome:
        work, tools = self._work, self.tools
        try:
            self._job = work.definitions[tools.key]()
        except Exception as error:
            return Outcome(Ending.FAILED, failure=explain(None, error, trace=work.trace))
        self._job._tools = tools
        self._enter(self._phase)
        try:
            outcome = carry_out(
                self._job,
                self.rules,
                work.shared,
                work.args,
                work.kwargs,
                self,
                self._explain,
                work.act,
            )
            self._in_time()
        except _TimedOut:
            outcome = self.timed_out(Ending.FAILED)._replace(shared=work.shared.changes())
        tools.ends_at = None
        return outcome

    def timed_out(self, ending: Ending) -> Outcome:
        seconds = f"{self.rules.timeout_s:g} s"
        keep = self._executed and self.rules.has_cleanup
        return Outcome(
            ending,
            failure=Failure("TimedOut", f"its {self._phase} took longer than {seconds}"),
            phase=self._phase,
            executed=self._executed,
            job=self._job if keep else None,
        )

    def overdue(self) -> Outcome:
        outcome = self.timed_out(Ending.OVERDUE)
        return outcome._replace(
            failure=Failure(
                "TimedOut",
                f"{outcome.failure.message if outcome.failure else ''} and goes on;"
                " given up (--on processes can end it)",
            )
        )

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        if self.rules.timeout_s is not None:
            self.tools.ends_at = time.monotonic() + self.rules.timeout_s
            self._news.put(("entering", self))

    def _in_time(self) -> None:
        ends_at = self.tools.ends_at
        if ends_at is not None and time.monotonic() > ends_at:
            raise _TimedOut

    def _explain(self, job: Job, error: BaseException) -> Failure:
        if isinstance(error, (_GivenUp, _TimedOut)):
            raise error
        return explain(job, error, trace=self._work.trace)

    def entering(self, job: Job, phase: Phase) -> None:
        self._enter(phase)

    def intends(self, job: Job, outcome: Outcome) -> None:
        self._in_time()
        self.tools.ends_at = None  # the time it takes to write is not the job's
        gate = threading.Event()
        self._news.put(("intends", self, outcome._replace(job=job), gate))
        gate.wait()
        if self.given_up:
            raise _GivenUp
        self._executed = True

    def phase_ended(self, job: Job, phase: Phase, failure: Failure | None) -> None:
        self._news.put(("phase", self, phase, failure))
