"""Carries out a plan: asks the schedule, hands tries to the executor, journals what happens.

One thread, the runner's, drives the schedule. Order of everything that matters: decide, commit,
then apply. If a commit fails the runner is thrown away; ``headway resume`` rebuilds it.
"""

import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headway.errors import DefinitionError
from headway.jobs.events import (
    CleanupEnded,
    CleanupIntended,
    Event,
    JobStood,
    Listener,
    Live,
    OutputWritten,
    PhaseEnded,
    ProcessStarted,
    RunCancelled,
    RunEnded,
    RunIntended,
    Settled,
    TryEnded,
    TryStarted,
)
from headway.jobs.outcomes import PASSED, Failure, Outcome, Phase
from headway.jobs.plan import Plan
from headway.jobs.schedule import Ignored, Schedule
from headway.jobs.shared import Changes, SharedStorage
from headway.jobs.states import JobState, RunState
from headway.ports.executor import Ended, Executor, Late, Work
from headway.ports.store import Request
from headway.runtime import clocks
from headway.runtime.journal import Journal
from headway.runtime.ownership import boot_id, process_started

STOP_GRACE_S = 10.0  # how long tries under way are waited for once the run is stopped
LOOK_S = 0.25  # how often requests are looked for
TICK_S = 0.05  # how often what waits is written


class BrokenJob(BaseException):
    """A strict run met a Check that looks broken: ends the try before its Run."""

    def __init__(self, name: str, failure: Failure) -> None:
        super().__init__(f"{name}: {failure.type}: {failure.message}")
        self.failure = failure


class Executed(NamedTuple):
    """A try whose Run was entered and whose Cleanup is due."""

    key: int
    number: int
    job: Any  # the object, if it is still at hand
    storage: Changes | None


@dataclass(slots=True)
class Start:
    """Where a run that is taken up again stood; empty for a new one."""

    schedule: Schedule | None = None
    numbers: Mapping[int, int] = field(default_factory=dict)  # key to its last try's number
    shared: SharedStorage | None = None
    executed: Sequence[Executed] = ()
    cancelled: bool = False
    # Keys of global_storage whose value the journal could not carry, and the job that set each.
    owed: Mapping[str, int] = field(default_factory=dict)


class Runner:
    """One run of a plan, from its start to its end."""

    chance = staticmethod(random.random)

    def __init__(
        self,
        plan: Plan,
        definitions: Sequence[Any],
        executor: Executor,
        *,
        args: Sequence[Any] = (),
        inputs: Mapping[str, Any] | None = None,
        journal: Journal | None = None,
        listeners: Sequence[Listener] = (),
        watches_phases: bool = False,
        trace: bool = False,
        act: bool = True,
        cleanup: bool = True,
        strict: bool = False,
        only: Iterable[int] | None = None,
        start: Start | None = None,
        ticked: Callable[[], None] | None = None,
    ) -> None:
        """``ticked`` is called with every ``tick``: some twenty times a second, by any thread."""
        start = start or Start()
        self.plan = plan
        self.schedule = start.schedule or Schedule(plan, self.chance, only=only)
        self.shared = SharedStorage(threading.get_ident) if start.shared is None else start.shared
        self.results: dict[int, Any] = {}
        self.failures: dict[int, Failure] = {}  # of each job's last try, until it succeeds
        self.executed: list[Executed] = list(start.executed)
        self.cleanup_failures: list[tuple[int, Failure]] = []
        self.ignored: list[str] = []
        self._executor = executor
        self._journal = journal
        self._listeners = tuple(listeners)
        self._act = act
        self._cleanup = cleanup
        self._strict = strict
        # A try's number goes on counting over resumes and retries; the schedule's does not.
        self._numbers = dict(start.numbers)
        self.broken: int | None = None  # the job whose own code stopped a strict run
        self._answered: deque[RunCancelled | Settled] = deque()  # decided, not yet applied
        self._stopping = start.cancelled
        self._owed = start.owed
        self._looked = 0.0
        self._ticked = ticked
        self._work = Work(
            definitions=definitions,
            rules=plan.rules,
            shared=self.shared,
            args=tuple(args),
            kwargs=dict(inputs or {}),
            act=act,
            trace=trace,
            watches_phases=watches_phases,
            intends=self._intends,
            phase_ended=self._phase_ended,
            wrote=self._wrote,
            started_process=self._started_process,
        )

    @property
    def run_id(self) -> str:
        """The run's id; "" for a run that nobody records."""
        return self._journal.run if self._journal is not None else ""

    @property
    def needs_keeper(self) -> bool:
        """Whether somebody must call ``tick`` while a job has this thread."""
        return self._journal is not None and self._executor.blocks

    # The loop

    def run(self) -> RunState:
        """Carry the plan out to its end; where the run stands then.

        Raises: KeyboardInterrupt, after what runs was asked to end and Cleanups were run;
        Unavailable or Conflict when the journal could not be written.
        """
        executor = self._executor
        executor.open(self._work)
        try:
            try:
                self._drive()
                state = self._state()
            except KeyboardInterrupt:
                self._interrupted()
                self._finish(RunState.INTERRUPTED)
                raise
            return self._finish(state)
        finally:
            executor.close()

    def unwind_now(self) -> None:
        """Run the Cleanups that are due and nothing else."""
        self._executor.open(self._work)
        try:
            self.clean_up()
        finally:
            self._executor.close()

    def _drive(self) -> None:
        schedule, executor, journal = self.schedule, self._executor, self._journal
        ready, started, start = schedule.ready, schedule.started, executor.start
        tries, numbers, ended = schedule.tries, self._numbers, self._ended
        clock, now_us, watched = clocks.monotonic, clocks.now_us, bool(self._listeners)
        told = watched or journal is not None
        if self._stopping:
            schedule.cancel()
        elif self._owed:
            self._bring_back()
        while True:
            now = clock()
            at_us = now_us() if told else 0
            while executor.free and (key := ready(now)) is not None:
                started(key, now)
                number = tries[key] + 1
                if numbers:
                    number += numbers.get(key, 0)
                if journal is not None:
                    journal.going[key] = (number, at_us)
                if watched:
                    self._tell(TryStarted(at_us, key, number))
                outcome = start(key, number)
                if outcome is not None:
                    now = clock()
                    at_us = now_us() if told else 0
                    ended(key, number, outcome, now, at_us)
                    if self._answered:
                        self._apply()
            if schedule.is_over:
                return
            self._hear(executor.wait(self._wait_s(now)))
            if journal is not None and not executor.blocks:
                self.tick()
            if self._answered:
                self._apply()

    def _hear(self, news: Iterable[Ended | Late]) -> None:
        for one in news:
            if isinstance(one, Ended):
                self._ended(one.key, one.number, one.outcome, clocks.monotonic(), clocks.now_us())
            else:
                self._ignore(Ignored(f"{self.plan.names[one.key]} ended past its deadline"))

    def _bring_back(self) -> None:
        """Ask again the Checks of jobs that set what the journal could not carry.

        Raises: DefinitionError when that does not bring it back.
        """
        for name, key in self._owed.items():
            if name not in self.shared and self.plan.rules[key].has_check:
                self._executor.ask(key)
            if name not in self.shared:
                job = self.plan.names[key]
                raise DefinitionError(
                    f"global_storage[{name!r}], set by {job}, held what a journal cannot carry,"
                    f" and the Check of {job} does not bring it back: let it set what is missing,"
                    " or keep only what JSON can carry there"
                )

    def _wait_s(self, now: float) -> float | None:
        wake_at = self.schedule.wake_at if self._executor.free else None
        waits = [] if wake_at is None else [max(0.0, wake_at - now)]
        if self._journal is not None:
            waits.append(TICK_S)
        return min(waits) if waits else None

    def _ended(self, key: int, number: int, outcome: Outcome, now: float, at_us: int) -> None:
        if outcome is PASSED and not self._listeners:
            # The way of nearly every try in a big run: nothing was done, nothing is to be told.
            if self._journal is not None:
                self._journal.passed(at_us, key, number)
            if self.failures:
                self.failures.pop(key, None)
            stood = self.schedule.ended(key, outcome.ending, now)
        else:
            self._write_end(key, number, outcome, at_us)
            if outcome.result is not None:
                self.results[key] = outcome.result
            if outcome.failure is not None:
                self._failed(key, outcome.failure)
            else:
                self.failures.pop(key, None)
            if outcome.executed:
                self._note_executed(key, number, outcome)
            stood = self.schedule.ended(key, outcome.ending, now, outcome.final)
        if isinstance(stood, Ignored):
            self._ignore(stood)
        elif self._listeners:
            again_in_s = 0.0
            if stood is JobState.WAITING:
                again_in_s = self.schedule.waits_until[key] - now
            self._tell(JobStood(at_us, key, number, stood, again_in_s))

    def _write_end(self, key: int, number: int, outcome: Outcome, at_us: int) -> None:
        if self._journal is None and not self._listeners:
            return
        began_us = 0
        if self._journal is not None:
            began_us = self._journal.going.pop(key, (0, 0))[1]
        event = TryEnded(
            at_us,
            key,
            number,
            outcome.ending,
            began_us,
            outcome.phase,
            outcome.executed,
            outcome.final,
            outcome.failure and outcome.failure._replace(exception=None),
            outcome.shared,
            outcome.storage,
        )
        self._write(event)

    def _failed(self, key: int, failure: Failure) -> None:
        self.failures[key] = failure
        if self._strict and failure.looks_broken:
            self.broken = key
            self._stop()
            self.schedule.cancel()

    def _note_executed(self, key: int, number: int, outcome: Outcome) -> None:
        """Now that the try is over, its Cleanup can have what the try left behind."""
        for place in range(len(self.executed) - 1, -1, -1):
            entry = self.executed[place]
            if entry.key == key and entry.number == number:
                storage = outcome.storage or entry.storage
                self.executed[place] = Executed(key, number, outcome.job or entry.job, storage)
                return

    # What the executor tells while a try goes on

    def _intends(self, key: int, number: int, outcome: Outcome) -> None:
        failure = outcome.failure and outcome.failure._replace(exception=None)
        event = RunIntended(clocks.now_us(), key, number, failure, outcome.shared, outcome.storage)
        self._write(event)
        if self.plan.rules[key].has_cleanup:
            self.executed.append(Executed(key, number, outcome.job, outcome.storage))
        if self._strict and failure is not None and failure.looks_broken:
            # A slip in the code says nothing about the world: Run must not act on it.
            self.failures[key] = failure
            raise BrokenJob(self.plan.names[key], failure)

    def _phase_ended(self, key: int, number: int, phase: Phase, failure: Failure | None) -> None:
        self._tell(PhaseEnded(clocks.now_us(), key, number, phase, failure))

    def _wrote(self, key: int, number: int, stream: str, text: str) -> None:
        if self._journal is not None:
            self._journal.wrote(key, number, stream, text)
        if self._listeners:
            self._tell(OutputWritten(clocks.now_us(), key, number, stream, text))

    def _started_process(self, key: int, number: int, pid: int) -> None:
        if self._journal is not None:
            started, boot = process_started(pid), boot_id()
            self._journal.write(ProcessStarted(clocks.now_us(), key, number, pid, started, boot))

    # Requests and stopping

    def tick(self) -> None:
        """Write what waits, look for requests. May be called by a thread beside the runner's."""
        journal = self._journal
        assert journal is not None
        journal.tick()
        if self._ticked is not None:
            self._ticked()
        now = clocks.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        for request in journal.asked():
            answer, event = self._decided(request)
            journal.answer(request.id, answer, *([event] if event else []))
            if event is not None:
                self._tell(event)
                self._answered.append(event)
                if isinstance(event, RunCancelled):
                    self._stop()
                self._executor.wake()

    def _decided(self, request: Request) -> tuple[str, RunCancelled | Settled | None]:
        """What becomes of a request: the answer, and the event if it changes anything."""
        now_us = clocks.now_us()
        why = str(request.args.get("why", ""))
        if request.verb == "cancel":
            return "cancelling", RunCancelled(now_us, request.who, why)
        if request.verb == "settle":
            key = int(request.args["key"])
            name, how = self.plan.names[key], str(request.args["how"])
            if self.schedule.states[key] is not JobState.IN_DOUBT:
                return f"refused: {name} is not in doubt", None
            return f"{name} is settled: {how}", Settled(now_us, key, how, request.who, why)
        return f"refused: this Headway does not know the request {request.verb!r}", None

    def _apply(self) -> None:
        while self._answered:
            event = self._answered.popleft()
            if isinstance(event, RunCancelled):
                self.schedule.cancel()
            else:
                stood = self.schedule.settled(event.key, event.how)
                if isinstance(stood, Ignored):
                    self._ignore(stood)

    def _stop(self) -> None:
        self._stopping = True
        self._executor.stop()

    def _interrupted(self) -> None:
        """Give what still runs a short while to end, and take note of its ends."""
        self._stop()
        self.schedule.cancel()
        if self._executor.blocks:
            return
        give_up_at = clocks.monotonic() + STOP_GRACE_S
        while self.schedule.running and clocks.monotonic() < give_up_at:
            self._hear(self._executor.wait(TICK_S))

    # The end

    def _state(self) -> RunState:
        schedule = self.schedule
        if schedule.succeeded:
            return RunState.SUCCEEDED
        if JobState.IN_DOUBT in schedule.states:
            return RunState.IN_DOUBT
        if self.broken is not None:
            return RunState.FAILED
        return RunState.CANCELLED if schedule.cancelled else RunState.FAILED

    def _finish(self, state: RunState) -> RunState:
        if self._cleanup and self._act and state is not RunState.IN_DOUBT:
            self.clean_up()
        if self.cleanup_failures and state is RunState.SUCCEEDED:
            state = RunState.FAILED
        counts = Counter(str(shown) for shown in self.schedule.states_shown())
        ended = RunEnded(clocks.now_us(), state, dict(counts), len(self.ignored))
        self._write(ended, state=state)
        return state

    def clean_up(self) -> None:
        """Run the Cleanups that are due, last first. One that fails does not stop the others."""
        while self.executed:
            entry = self.executed[-1]
            self._write(CleanupIntended(clocks.now_us(), entry.key, entry.number))
            failure = self._executor.cleanup(*entry)
            self.executed.pop()
            if failure is not None:
                self.cleanup_failures.append((entry.key, failure))
            told = failure and failure._replace(exception=None)
            self._write(CleanupEnded(clocks.now_us(), entry.key, entry.number, told))

    # Telling

    def _write(self, event: Event, state: RunState | None = None) -> None:
        if self._journal is not None:
            self._journal.write(event, state=state)
        self._tell(event)

    def _tell(self, event: Event | Live) -> None:
        for listener in self._listeners:
            listener(event)

    def _ignore(self, ignored: Ignored) -> None:
        self.ignored.append(ignored.reason)
