"""Carries out tries in the runner's own thread, one after the other."""

import os
import threading
from collections.abc import Iterable
from typing import Any

from headway.adapters.explain import explain
from headway.adapters.here import ask_check, clean_up
from headway.adapters.threads import OVERDUE_GRACE_S, Threads
from headway.adapters.tools import Stop, Tools
from headway.jobs.job import Job
from headway.jobs.outcomes import Ending, Failure, Outcome, Phase
from headway.jobs.shared import Changes
from headway.jobs.trycycle import carry_out
from headway.ports.executor import Ended, Late, Work


class Inline:
    """One slot, this thread. Each phase begins in the directory the run began in.

    Jobs with a TIMEOUT are the exception: they are carried out in a thread beside, because
    nothing can stop Python code in the thread that would have to stop it.
    """

    watches_phases = False
    blocks = True
    free = 1
    running = 0  # none is under way while anybody can ask

    def __init__(self, *, grace_s: float = OVERDUE_GRACE_S) -> None:
        self._grace_s = grace_s
        self._late: list[Late] = []
        self._wake = threading.Event()
        self._stop = Stop()
        self._aside: Threads | None = None
        self._directory = -1
        self._work: Work
        self._tools: Tools

    def open(self, work: Work) -> None:
        self._work = work
        self._tools = Tools(work, self._stop)
        self.watches_phases = work.watches_phases
        self._directory = os.open(".", os.O_RDONLY)

    def start(self, key: int, number: int) -> Outcome:
        work = self._work
        rules = work.rules[key]
        os.fchdir(self._directory)
        if rules.timeout_s is not None:
            return self._bounded(key, number)
        tools = self._tools
        tools.key = key
        tools.number = number
        try:
            job = work.definitions[key]()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return Outcome(Ending.FAILED, failure=explain(None, error, trace=work.trace))
        job._tools = tools
        outcome = carry_out(
            job, rules, work.shared, work.args, work.kwargs, self, self._explain, work.act
        )
        if tools.has_output:
            tools.finish()
        return outcome

    def _bounded(self, key: int, number: int) -> Outcome:
        if self._aside is None:
            self._aside = Threads(1, self._stop, grace_s=self._grace_s)
            self._aside.open(self._work)
        self._aside.start(key, number)
        while True:
            for news in self._aside.wait(None):
                if isinstance(news, Ended):
                    return news.outcome
                self._late.append(news)

    def wait(self, timeout_s: float | None) -> Iterable[Ended | Late]:
        self._wake.wait(timeout_s)
        self._wake.clear()
        if self._aside is not None:
            self._late += [news for news in self._aside.wait(0) if isinstance(news, Late)]
        late, self._late = self._late, []
        return late

    def _explain(self, job: Job, error: BaseException) -> Failure:
        return explain(job, error, trace=self._work.trace)

    # A try's watcher

    def entering(self, job: Job, phase: Phase) -> None:
        os.fchdir(self._directory)

    def intends(self, job: Job, outcome: Outcome) -> None:
        self._work.intends(self._tools.key, self._tools.number, outcome._replace(job=job))

    def phase_ended(self, job: Job, phase: Phase, failure: Failure | None) -> None:
        self._work.phase_ended(self._tools.key, self._tools.number, phase, failure)

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
        self._wake.set()

    def close(self) -> None:
        if self._aside is not None:
            self._aside.close()
            self._aside = None
        self._stop = Stop()
        if self._directory >= 0:
            try:
                os.fchdir(self._directory)
            finally:
                os.close(self._directory)
                self._directory = -1
