"""Attempts of which nothing is heard: nobody took them, or who did is gone."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from headway.adapters.celery_tries import looking
from headway.adapters.celery_tries.attempts import Attempt
from headway.adapters.celery_tries.run_line import RunLine
from headway.adapters.celery_tries.tasks import LONGEST_WAIT_S, Tasks
from headway.jobs.job import Rules

NOBODY_S = 60.0  # how long a queue may have no consumer; of a job with a TIMEOUT, that
LOOK_AFTER_S = 5.0  # who consumes a queue is asked when a task has waited so long, and so often

logger = logging.getLogger(__name__)


class Absent(NamedTuple):
    """Nothing more is to be waited for."""

    attempt: Attempt
    type: str  # WorkerLost, if somebody had it
    text: str
    final: bool = False  # another try would fare no better


class Watch:
    """Looks for them. Threads: the runner's."""

    def __init__(
        self,
        tasks: Tasks,
        line: RunLine,
        rules: Sequence[Rules],
        nobody_s: float,
        lost_after_s: float,
    ) -> None:
        self._tasks = tasks
        self._line = line
        self._rules = rules
        self._nobody_s = nobody_s
        self._lost_after_s = lost_after_s
        self._looking = False
        self._looked_at = 0.0
        self._warned: set[str] = set()  # of queues

    def found(self) -> Iterator[Absent]:
        """Those that are given up now."""
        if self._line.connected_at is None:
            yield from self._without_broker(time.monotonic())
        else:
            yield from self._lost(time.monotonic(), self._line.connected_at)

    def _without_broker(self, now: float) -> Iterator[Absent]:
        for one in self._line.going:
            bound_s = self._bound_s(one)
            if now - max(one.began_at, self._line.away_since) >= bound_s and one.withdraw():
                failure = self._line.failure
                text = f"the Celery app's broker was away for {bound_s:g} s: {failure}"
                yield Absent(one, "Unavailable", text)

    def _lost(self, now: float, connected_at: float) -> Iterator[Absent]:
        waits = False
        for one in self._line.going:
            if one.holder:
                # What was said while we could not hear waits for us.
                if now - max(one.heard_at, connected_at) >= self._lost_after_s:
                    how = f"its Celery worker {one.worker} was not heard of"
                    yield Absent(one, "WorkerLost", f"{how} for {self._lost_after_s:g} s")
            elif now - one.began_at >= min(LOOK_AFTER_S, self._bound_s(one)):
                waits = True
        if waits and not self._looking and now - self._looked_at >= LOOK_AFTER_S:
            self._looking, self._looked_at = True, now
            threading.Thread(target=self._look, name="headway-celery-look", daemon=True).start()

    def _look(self) -> None:
        queues = {self._tasks.queue_of(one) for one in self._line.going}
        self._line.news.put(("looked", self._tasks.look(queues)))

    def looked(self, workers: looking.Workers | None) -> Iterator[Absent]:
        """Who there is to take them is known: those that have waited for too long."""
        self._looking = False
        if workers is None:
            return
        # Those that are at a try of ours may be too busy to answer.
        held = frozenset(self._tasks.queue_of(one) for one in self._line.going if one.holder)
        workers = workers._replace(consumed=workers.consumed | held)
        now = time.monotonic()
        for one in self._line.going:
            if not one.holder and now - one.began_at >= min(LOOK_AFTER_S, self._bound_s(one)):
                yield from self._judge(one, workers, now)

    def _judge(self, one: Attempt, workers: looking.Workers, now: float) -> Iterator[Absent]:
        name = self._tasks.queue_of(one)
        why = workers.why_not(name, self._tasks.name)
        if why is None:
            yield from self._too_busy(one, name, now)
            return
        bound_s = self._bound_s(one)
        if why.final and one.withdraw():
            yield Absent(one, "DefinitionError", why.text, final=True)
        elif now - one.began_at >= bound_s and one.withdraw():
            yield Absent(one, "TimedOut", f"no Celery worker took it for {bound_s:g} s: {why.text}")
        elif name not in self._warned:
            self._warned.add(name)
            logger.warning("%s. A try waits %g s", why.text, bound_s)

    def _too_busy(self, one: Attempt, name: str, now: float) -> Iterator[Absent]:
        if now - one.began_at >= LONGEST_WAIT_S and one.withdraw():
            busy = f"the Celery workers that consume the queue {name!r} are busy"
            yield Absent(
                one, "TimedOut", f"no Celery worker took it for {LONGEST_WAIT_S:g} s: {busy}"
            )
        elif one.again_at and now >= one.again_at:
            # A worker that was killed just then may have acknowledged it, and no more.
            self._line.send(one)

    def _bound_s(self, attempt: Attempt) -> float:
        timeout_s = self._rules[attempt.key].timeout_s
        return self._nobody_s if timeout_s is None else min(timeout_s, self._nobody_s)
