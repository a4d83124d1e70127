"""The monitor: records every Celery task that it hears of.

A batch goes through these, and nothing is acknowledged before the last is done:

    brought      as many messages as have come, up to BATCH
    understood   into what they say of tasks; a message that says nothing becomes a dead letter
    recorded     in one transaction, by a thread of its own: meanwhile the next is understood
    settled      the broker may forget them

Whatever dies in between, the messages come again, and to record them again changes nothing.
"""

import logging
import os
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from headway.adapters.waits import wait_s
from headway.errors import Conflict, HeadwayError, Rejected, Unavailable, WireError
from headway.ports.bus import FIRST_WAIT_S, LONGEST_WAIT_S
from headway.ports.tracking import Feed, Reach, Tasks
from headway.runtime import clocks
from headway.runtime.worker_runner import stopped_by_signals
from headway.tracking.events import Worker, events_of
from headway.tracking.heard import DeadLetter, Heard, buried
from headway.tracking.messages import task_of
from headway.tracking.task import Task

BATCH = 1_000  # messages recorded in one transaction
FETCH_S = 1.0  # how long an idle monitor waits before it looks round
LEAVE_S = 3.0  # how long a store that is away is tried once the monitor is told to stop
EXIT_S = 4.5  # after which it leaves, whatever does not answer
TELL_S = 60.0  # between two lines of the log that say how it goes
WORKERS_KNOWN = 10_000
ASKED_OFTEN_ENOUGH = 3  # a worker that has just started may not listen yet

_LOG = logging.getLogger("headway.monitor")


class Batch(NamedTuple):
    """What one batch of messages says."""

    tasks: list[Task]
    letters: list[DeadLetter]
    workers: list[Worker]


def understood(heard: Sequence[Heard]) -> Batch:
    batch = Batch([], [], [])
    for one in heard:
        try:
            if one.is_event:
                told = events_of(one)
                batch.tasks.extend(told.tasks)
                batch.workers.extend(told.workers)
            else:
                batch.tasks.append(task_of(one))
        except WireError as error:
            batch.letters.append(buried(one, str(error)))
        except Exception as error:  # a fault of ours must not stop all the others
            _LOG.exception("a message becomes a dead letter; please report this")
            reason = f"headway failed at it: {type(error).__name__}: {error}"
            batch.letters.append(buried(one, reason))
    return batch


class _Recording(NamedTuple):
    """A batch that is being recorded."""

    messages: int
    workers: Future[list[Worker] | None]  # as of Monitor._record


class Monitor:
    """Listens to one feed and records into one store, until told to stop."""

    def __init__(
        self,
        feed: Feed,
        open_tasks: Callable[[], Tasks],
        *,
        with_events: bool = False,
        monotonic: Callable[[], float] = clocks.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """``open_tasks``: opens the store, which may be away for now."""
        self.messages = 0  # settled: that many are recorded, or dead letters
        self.letters = 0
        self._feed = feed
        self._open_tasks = open_tasks
        self._tasks: Tasks | None = None
        self._with_events = with_events
        self._monotonic = monotonic
        self._chance = chance
        self._stopping = threading.Event()
        self._stop_at = 0.0
        self._asked: dict[Worker, int] = {}
        self._told = (0, 0.0)  # how many, and when
        self._reach: Reach | None = None

    def stop(self) -> None:
        """Record what is in hand, and leave. From any thread."""
        self._stop_at = self._monotonic() + LEAVE_S
        self._stopping.set()
        self._feed.wake()

    def run(self) -> None:
        """Returns when stopped. Raises: Refused, Rejected, when it can never work."""
        failures = 0
        self._told = (0, self._monotonic())
        try:
            self._open_store()
            while not self._stopping.is_set():
                try:
                    self._listen()
                    failures = 0
                    self._follow()
                except Unavailable as error:
                    failures += 1
                    self._wait(failures, error)
        finally:
            self._feed.close()
            if self._tasks is not None:
                self._tasks.close()
            self._tell("left")

    def _open_store(self) -> None:
        """So that one that can never work is told at once. One that is away may come back."""
        try:
            self._tasks = self._open_tasks()
        except Unavailable as error:
            said = str(error).rstrip(".")
            _LOG.warning("%s; goes on without it until something is to be recorded", said)

    def _listen(self) -> None:
        reach = self._feed.open()
        if reach != self._reach:
            for sentence in reach.says:
                _LOG.info("%s", sentence)
        else:
            _LOG.info("connected again")
        self._reach = reach
        self._asked.clear()
        if self._with_events:
            self._feed.enable_events()

    def _follow(self) -> None:
        with ThreadPoolExecutor(1, "headway-monitor store") as store:
            recording: _Recording | None = None
            while not self._stopping.is_set():
                heard = self._feed.fetch(BATCH, FETCH_S)
                batch = understood(heard)
                if recording is not None and (heard or recording.workers.done()):
                    if not self._settle(recording):
                        return  # what is settled later would be counted from this one on
                    recording = None
                if heard:
                    recording = _Recording(len(heard), store.submit(self._record, heard, batch))
                    recording.workers.add_done_callback(lambda _: self._feed.wake())
                if self._monotonic() - self._told[1] >= TELL_S:
                    self._tell("goes on")
            if recording is not None:
                self._settle(recording)

    def _settle(self, recording: _Recording) -> bool:
        """When it is recorded, which may be long after this was asked. False: it never was, as we
        were told to stop while the store is away. All of it comes again."""
        workers = recording.workers.result()
        if workers is None:
            return False
        self._feed.settle(recording.messages)
        self.messages += recording.messages
        if self._with_events and workers:
            self._ask(workers)
        return True

    # Recording, in the thread of the store

    def _record(self, heard: Sequence[Heard], batch: Batch) -> list[Worker] | None:
        """The workers heard of; None when it could not be done before leaving."""
        try:
            if not self._keep(batch.tasks, batch.letters):
                return None
        except (Rejected, Conflict) as error:
            return self._record_apart(heard, error)
        self.letters += len(batch.letters)
        return batch.workers

    def _record_apart(self, heard: Sequence[Heard], error: HeadwayError) -> list[Worker] | None:
        """One of these cannot be kept: the others are, and it becomes a dead letter."""
        if len(heard) == 1:
            _LOG.warning("a message becomes a dead letter: %s", error)
            self.letters += 1
            return [] if self._keep([], [buried(heard[0], str(error))]) else None
        middle = len(heard) // 2
        workers: list[Worker] = []
        for half in (heard[:middle], heard[middle:]):
            found = self._record(half, understood(half))
            if found is None:
                return None
            workers += found
        return workers

    def _keep(self, tasks: Sequence[Task], letters: Sequence[DeadLetter]) -> bool:
        """Whether it is stored, however long the store is away. False only when told to stop."""
        failures = 0
        while True:
            try:
                if self._tasks is None:
                    self._tasks = self._open_tasks()
                self._tasks.record(tasks, letters)
            except Unavailable as error:
                failures += 1
                if self._stopping.is_set() and self._monotonic() >= self._stop_at:
                    _LOG.warning("leaves without having recorded %d: %s", len(tasks), error)
                    return False
                self._wait(failures, error)
            else:
                if failures:
                    _LOG.info("the store is back")
                return True

    def _wait(self, failures: int, error: Unavailable) -> None:
        if not self._stopping.is_set():
            _LOG.warning("%s; trying again", str(error).rstrip("."))
            self._stopping.wait(wait_s(failures, FIRST_WAIT_S, LONGEST_WAIT_S, self._chance))
        else:  # the last attempts are made in haste
            threading.Event().wait(FIRST_WAIT_S)

    def _ask(self, workers: Sequence[Worker]) -> None:
        """Those that have joined since are asked to tell what they do."""
        if len(self._asked) > WORKERS_KNOWN:
            self._asked.clear()
        names = []
        for worker in set(workers):
            asked = self._asked.get(worker, 0)
            if asked < ASKED_OFTEN_ENOUGH:
                self._asked[worker] = asked + 1
                names.append(worker.name)
        if names:
            self._feed.enable_events(sorted(names))

    def _tell(self, how: str) -> None:
        count, _ = self._told
        if self.messages > count or how != "goes on":
            _LOG.info(
                "%s: %d messages recorded, of which %d are dead letters",
                how,
                self.messages,
                self.letters,
            )
        self._told = (self.messages, self._monotonic())


def serve(monitor: Monitor) -> None:
    """Run it until SIGTERM or Ctrl-C. Raises: as ``run``."""
    over = threading.Event()

    def stop() -> None:
        monitor.stop()
        if not over.wait(EXIT_S):
            # A store or a broker that does not answer must not hold us: all that is not settled
            # comes again.
            _LOG.warning("something does not answer: leaves at once")
            os._exit(1)

    with stopped_by_signals(stop):
        try:
            monitor.run()
        finally:
            over.set()
