"""Carries out a plan: asks the schedule, hands tries to the executor, journals what happens.

One thread, the runner's, drives the schedule. Order of everything that matters: decide, commit,
then apply. If a commit fails the runner is thrown away; ``headway resume`` rebuilds it.
"""

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headway.errors import Conflict, DefinitionError, HeadwayError
from headway.jobs.events import (
    Event,
    GateAnswered,
    GateReached,
    JobStood,
    Listener,
    NoticeIntended,
    PhaseEnded,
    ProcessStarted,
    RecheckIntended,
    RunCancelled,
    RunEnded,
    RunIntended,
    RunPaused,
    RunUnpaused,
    Settled,
    StepClaimed,
    StepGivenBack,
    TryEnded,
    TryStarted,
)
from headway.jobs.gates import Gates, outcome_of, unanswered
from headway.jobs.outcomes import PASSED, Ending, Failure, Outcome, Phase
from headway.jobs.plan import Plan
from headway.jobs.redaction import Redaction
from headway.jobs.schedule import Ignored, Schedule
from headway.jobs.shared import SharedStorage
from headway.jobs.states import JobState, RunState
from headway.ports.executor import Ended, Executor, Late, Work
from headway.ports.store import Request
from headway.runtime.clocks import SYSTEM, Clock
from headway.runtime.journal import Journal
from headway.runtime.ownership import boot_id, process_started
from headway.runtime.record import Record
from headway.runtime.requests import OVER, Decided, decide
from headway.runtime.unwinding import Executed, Unwinding

STOP_GRACE_S = 10.0  # how long tries under way are waited for once the run is stopped
LOOK_S = 0.25  # how often requests are looked for
TICK_S = 0.05  # how often what waits is written
_OVER = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


class BrokenJob(BaseException):
    """A strict run met a Check that looks broken: ends the try before its Run."""

    def __init__(self, key: int, number: int, failure: Failure) -> None:
        super().__init__(f"{failure.type}: {failure.message}")
        self.key = key
        self.number = number
        self.failure = failure


class CutShort(BaseException):
    """The run is being stopped: ends a try before its Run."""

    def __init__(self, key: int, number: int) -> None:
        super().__init__(key, number)
        self.key = key
        self.number = number


@dataclass(slots=True)
class Start:
    """Where a run that is taken up again stood; empty for a new one."""

    schedule: Schedule | None = None
    numbers: Mapping[int, int] = field(default_factory=dict)  # key to its last try's number
    shared: SharedStorage | None = None
    executed: Sequence[Executed] = ()
    cleanup_failures: Sequence[tuple[int, Failure]] = ()
    cancelled: bool = False
    # Keys of global_storage whose value the journal could not carry, and the job that set each.
    owed: Mapping[str, int] = field(default_factory=dict)
    told: Iterable[tuple[int, int, str, str]] = ()  # notices: key, number, notice, transport
    gates: Gates = field(default_factory=Gates)
    # Tries that the executor goes on with, by key: the number, and when it began.
    going: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    abandoned: Sequence[str] = ()  # attempts that somebody may be at yet


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
        redaction: Redaction | None = None,
        notices: Callable[[RunState], Sequence[Event]] = lambda state: (),
        turn: Callable[[], bool] | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        """``ticked`` is called with every ``tick``: some twenty times a second, by any thread.

        ``redaction``: of all that is told and written. ``notices``: what people are to be told
        when the run stands so; written with that, and told to listeners after it. ``turn``:
        whether no other run has a lock that this one wants; nothing of it starts before.
        """
        start = start or Start()
        self.plan = plan
        self.schedule = start.schedule or Schedule(plan, self.chance, only=only)
        self.shared = SharedStorage(threading.get_ident) if start.shared is None else start.shared
        self.results: dict[int, Any] = {}
        self.failures: dict[int, Failure] = {}  # of each job's last try, until it succeeds
        self.unwinding = Unwinding(start.executed, start.cleanup_failures)
        self.ignored: list[str] = []
        self._executor = executor
        self._journal = journal
        self._clock = clock
        self._record = Record(journal, listeners, redaction, clock)
        self._watched = bool(listeners)
        self._act = act
        self._cleanup = cleanup
        self._strict = strict
        # A try's number goes on counting over resumes and retries; the schedule's does not.
        self._numbers = dict(start.numbers)
        self.broken: int | None = None  # the job whose own code stopped a strict run
        self._answered: deque[Decided] = deque()  # decided, not yet applied
        self._stopping = start.cancelled
        self._leaving = False
        self._turn = turn
        self.left: RunState | None = None  # where the run stood when it was given up
        self._owed = start.owed
        self._told = set(start.told)
        self._gates = start.gates
        self._gate_keys = plan.gates
        self._paused = self.schedule.paused  # as it is answered; applied a little later
        # Where somebody is waited for, by key: the try's number, and until when, if not for ever.
        self._at_gates: dict[int, tuple[int, float | None]] = {}
        self._going = start.going  # until the executor has been given them
        self._looked = 0.0
        self._ticked = ticked
        self._notices = notices
        self._work = Work(
            definitions=definitions,
            rules=plan.rules,
            shared=self.shared,
            closings=plan.closings,
            args=tuple(args),
            kwargs=dict(inputs or {}),
            act=act,
            trace=trace,
            watches_phases=watches_phases,
            abandoned=start.abandoned,
            run=journal.run if journal is not None else "",
            intends=self._intends,
            claimed=self._claimed,
            given_back=self._given_back,
            rechecks=self._rechecks,
            notifies=self._notifies,
            after=(lambda effect: effect()) if journal is None else journal.after,
            redacted=(lambda text: text) if redaction is None else redaction.text,
            phase_ended=self._phase_ended,
            wrote=self._record.wrote,
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
            self._await_turn()
            try:
                self._say_started()
                self._drive_on()
            except BrokenJob as broken:
                self._broke(broken)
                self._put_away()
            except KeyboardInterrupt:
                self._interrupted()
                self._put_away()
                self._finish(RunState.INTERRUPTED)
                raise
            except HeadwayError:
                # Perhaps the run is somebody else's now: what is done for it is to end.
                executor.stop()
                raise
            return self._finish(self._state())
        finally:
            executor.close()

    def advance(self, is_heard_out: Callable[[], bool] = lambda: True) -> RunState | None:
        """Do all that can be done without waiting; where the run stands, once it is over.

        For whoever drives many runs in one thread, with an executor that does not block and is
        open. What is done to the world waits for the journal's commit (``Journal.after``).
        ``is_heard_out``: whether nothing is to be said any more of what has ended.
        Raises: as ``run``.
        """
        if not self._drive_on(patient=False):
            return None
        self._has_heard(0.0)
        return self._finish(self._state()) if is_heard_out() else None

    def open(self) -> None:
        """Make the executor ready, for ``advance``."""
        self._executor.open(self._work)
        self._say_started()

    def close(self) -> None:
        """Let the executor go."""
        self._executor.close()

    @property
    def wake_at(self) -> float | None:
        """When the schedule wants to be asked again, though nothing was heard; monotonic."""
        own = self.schedule.wake_at if self._executor.free else None
        waits = [at for at in (own, self._gates_end_at) if at is not None]
        return min(waits) if waits else None

    def unwind_now(self) -> None:
        """Run the Cleanups that are due and nothing else."""
        self._executor.open(self._work)
        try:
            if self.plan.closings:
                self._stopping = True
                self._cancel()
                self._put_away()
            self.clean_up()
            self._hear_out()
        finally:
            self._executor.close()

    def unwind(self, state: RunState) -> RunState:
        """Run the Cleanups that are due, of a run that stood at ``state``; where it stands then."""
        self._await_turn(state)
        self.unwind_now()
        return self._left(state)

    def _await_turn(self, otherwise: RunState = RunState.CANCELLED) -> None:
        """Wait for the locks, unless the run is cancelled.

        Raises: KeyboardInterrupt; the run stands at ``otherwise`` then, and its place among those
        who wait is given up. It has begun nothing since it took that place.
        """
        try:
            while self._turn is not None and not self._stopping and not self._turn():
                time.sleep(LOOK_S)
                self._keep_up()
        except KeyboardInterrupt:
            self.schedule.cancel()
            self._leave(otherwise)
            raise

    def _put_away(self) -> None:
        """Carry out what puts away, of a schedule that was cancelled: nothing else starts there."""
        if self.plan.closings and self._act:
            self._drive_on(closing=True)

    def _drive_on(self, *, closing: bool = False, patient: bool = True) -> bool:
        while True:
            self._apply()  # what was answered before: a run in doubt would seem over without it
            try:
                return self._drive(closing=closing, patient=patient)
            except CutShort as short:
                self._cut_short(short)

    def _drive(self, *, closing: bool, patient: bool) -> bool:
        """Whether it is over, or all that closes is. ``closing``: until nothing more is put away,
        whatever else goes on. ``patient``: or else until it would have to wait."""
        schedule, executor, journal = self.schedule, self._executor, self._journal
        ready, started = schedule.ready, schedule.started
        start = self._start_or_reach if self._gate_keys else executor.start
        tries, numbers, ended = schedule.tries, self._numbers, self._ended
        may_be_needless = schedule.may_be_needless
        (clock, now_us), watched = self._clock, self._watched
        told = watched or journal is not None
        if self._stopping:
            self._cancel()
        self._bring_back()
        self._go_on()
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
                    self._record.tell(TryStarted(at_us, key, number))
                if may_be_needless and schedule.is_needless(key):
                    outcome: Outcome | None = PASSED
                else:
                    outcome = start(key, number)
                if outcome is not None:
                    now = clock()
                    at_us = now_us() if told else 0
                    ended(key, number, outcome, now, at_us)
                    if self._answered:
                        self._apply()
            if self._is_through(closing=closing):
                return True
            if patient:
                self._has_heard(self._wait_s(now))
                self._keep_up()
            elif not self._has_heard(0.0):
                return False
            if self._answered:
                self._apply()

    def leave(self) -> None:
        """Have ``run`` give the run up as it stands, as Ctrl-C would. Any thread."""
        self._leaving = True
        self._executor.wake()

    def _go_on(self) -> None:
        """With the tries that were under way, whether or not anything may start now."""
        if not self._going:
            return
        going, self._going = self._going, {}
        for key, (number, began_us) in going.items():
            if self._journal is not None:
                self._journal.going[key] = (number, began_us)
            self._executor.start(key, number)
        if self._stopping:
            self._executor.stop()

    def _keep_up(self) -> None:
        if self._leaving:
            self._leaving = False
            raise KeyboardInterrupt
        if self._journal is not None and not self._executor.blocks:
            self.tick()

    def _has_heard(self, timeout_s: float | None) -> bool:
        """Take what has ended, or ends within that time; whether there is anything to go on."""
        news = self._executor.wait(timeout_s)
        self._hear(news)
        left = bool(self._at_gates) and self._look_at_gates()
        return bool(news) or bool(self._answered) or left

    def _is_through(self, *, closing: bool) -> bool:
        if self.schedule.is_over or not closing:
            return self.schedule.is_over
        under_way = (JobState.RUNNING, JobState.WAITING)
        return not any(self.schedule.states[key] in under_way for key in self.plan.closings)

    def _hear(self, news: Iterable[Ended | Late]) -> None:
        clock, now_us = self._clock
        for one in news:
            if isinstance(one, Ended):
                self._ended(one.key, one.number, one.outcome, clock(), now_us())
            else:
                self._ignore(Ignored(f"{self.plan.names[one.key]} {one.what}"))

    def _bring_back(self) -> None:
        """Ask again the Checks of jobs that set what the journal could not carry.

        Raises: DefinitionError when a job is still to start and that does not bring it back.
        """
        owed, self._owed = self._owed, {}
        for name, key in sorted(owed.items(), key=lambda item: item[1]):
            if not self._has(name) and self.plan.rules[key].has_check:
                self._executor.ask(key)
            if not self._has(name) and not self.schedule.is_over:
                self._leave(RunState.INTERRUPTED)
                job = self.plan.names[key]
                raise DefinitionError(
                    f"global_storage[{name!r}], set by {job}, held what a journal cannot carry,"
                    f" and the Check of {job} does not bring it back: let it set what is missing,"
                    " or keep only what JSON can carry there"
                )

    def _has(self, name: str) -> bool:
        # The journal names a key that is no text by its text.
        return name in self.shared or any(str(key) == name for key in self.shared)

    def _wait_s(self, now: float) -> float | None:
        wake_at = self.schedule.wake_at if self._executor.free else None
        waits = [] if wake_at is None else [max(0.0, wake_at - now)]
        if self._gates_end_at is not None:
            waits.append(max(0.0, self._gates_end_at - now))
        if self._journal is not None:
            waits.append(TICK_S)
        return min(waits) if waits else None

    # Gates, at which a person is waited for; no executor has a part in that

    def _start_or_reach(self, key: int, number: int) -> Outcome | None:
        if key in self._gate_keys:
            return self._reached(key, number)
        return self._executor.start(key, number)

    def _reached(self, key: int, number: int) -> Outcome | None:
        """A try came to a gate: its outcome, if somebody has answered it already."""
        answer = self._gates.answer_to(key, number)
        if answer is not None:
            outcome = outcome_of(answer)
            self._tell_people(key, number, _notice_of(outcome))
            return outcome
        reached = self._gates.waiting.get(key)
        if reached is None:
            message = str(self._work.definitions[key].run.parameters.get("message", ""))
            reached = GateReached(self._clock.now_us(), key, number, message)
            self._gates.apply(reached)
            self._record.write(reached)
            self._tell_people(key, number, "started")
        timeout_s = self.plan.rules[key].timeout_s
        ends_at = None
        if timeout_s is not None:
            waited_s = max(0.0, (self._clock.now_us() - reached.at_us) / 1e6)
            ends_at = self._clock.monotonic() + timeout_s - waited_s
        self._at_gates[key] = number, ends_at
        return None

    @property
    def _gates_end_at(self) -> float | None:
        ends = [ends_at for _, ends_at in self._at_gates.values() if ends_at is not None]
        return min(ends) if ends else None

    def _look_at_gates(self) -> bool:
        """Leave those whose time is over, and all where nothing more starts; whether there were."""
        if self.schedule.is_stopped_for_good:
            self._leave_gates()
            return True
        now = self._clock.monotonic()
        over = [key for key, (_, at) in self._at_gates.items() if at is not None and at <= now]
        for key in over:
            timeout_s = self.plan.rules[key].timeout_s or 0.0
            self._leave_gate(key, unanswered(timeout_s))
        return bool(over)

    def _leave_gate(self, key: int, outcome: Outcome) -> None:
        number, _ = self._at_gates.pop(key)
        self._gates.waiting.pop(key, None)
        self._tell_people(key, number, _notice_of(outcome))
        self._ended(key, number, outcome, self._clock.monotonic(), self._clock.now_us())

    def _tell_people(self, key: int, number: int, notice: str) -> None:
        """Whoever listens to the run publishes it, once it is written."""
        for transport in self._work.definitions[key].run.notify.get(notice, ()):
            self._notifies(key, number, notice, transport)

    def _leave_gates(self) -> None:
        """Nobody needs to answer any more: to have waited there does not count."""
        while self._at_gates:
            key, (number, _) = self._at_gates.popitem()
            self._gates.waiting.pop(key, None)
            self.schedule.withdrawn(key)
            if self._journal is not None:
                self._journal.going.pop(key, None)
            stood = JobState.CANCELLED if self.schedule.cancelled else JobState.BLOCKED
            self._record.tell(JobStood(self._clock.now_us(), key, number, stood))

    def _cancel(self) -> None:
        self.schedule.cancel()
        self._leave_gates()

    def _ended(self, key: int, number: int, outcome: Outcome, now: float, at_us: int) -> None:
        if outcome is PASSED and not self._watched:
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
            if self.unwinding.executed:
                self.unwinding.ended(key, number, outcome)
            stood = self.schedule.ended(
                key, outcome.ending, now, outcome.final, executed=outcome.executed
            )
        if isinstance(stood, Ignored):
            self._ignore(stood)
        elif self._watched:
            again_in_s = 0.0
            if stood is JobState.WAITING:
                again_in_s = self.schedule.waits_until[key] - now
            self._record.tell(JobStood(at_us, key, number, stood, again_in_s))

    def _write_end(self, key: int, number: int, outcome: Outcome, at_us: int) -> None:
        if not self._record.is_wanted:
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
        self._record.write(event)

    def _failed(self, key: int, failure: Failure) -> None:
        self.failures[key] = failure
        if self._strict and failure.looks_broken:
            self.broken = key
            self._stop()
            self._cancel()

    # What the executor tells while a try goes on

    def _intends(
        self, key: int, number: int, outcome: Outcome, attempt: str = "", replies: str = ""
    ) -> None:
        if self._stopping and key not in self.plan.closings:
            raise CutShort(key, number)
        failure = outcome.failure and outcome.failure._replace(exception=None)
        if self._strict and failure is not None and failure.looks_broken:
            # A slip in the code says nothing about the world: Run must not act on it.
            raise BrokenJob(key, number, failure)
        now_us, shared, storage = self._clock.now_us(), outcome.shared, outcome.storage
        event = RunIntended(now_us, key, number, failure, shared, storage, attempt, replies)
        self._record.write(event)
        if self.plan.rules[key].has_cleanup:
            self.unwinding.entered(key, number, outcome)

    def _claimed(self, key: int, number: int, attempt: str, worker: str, address: str) -> None:
        self._record.write(StepClaimed(self._clock.now_us(), key, number, attempt, worker, address))

    def _given_back(self, key: int, number: int, attempt: str, worker: str) -> None:
        self._record.write(StepGivenBack(self._clock.now_us(), key, number, attempt, worker))

    def _rechecks(self, key: int, number: int, failure: Failure | None) -> None:
        told = failure and failure._replace(exception=None)
        self._record.write(RecheckIntended(self._clock.now_us(), key, number, told))

    def _notifies(self, key: int, number: int, notice: str, transport: str) -> bool:
        told = (key, number, notice, transport)
        if told in self._told:
            return False
        self._told.add(told)
        self._record.write(NoticeIntended(self._clock.now_us(), *told))
        return True

    def _phase_ended(self, key: int, number: int, phase: Phase, failure: Failure | None) -> None:
        self._record.tell(PhaseEnded(self._clock.now_us(), key, number, phase, failure))

    def _started_process(self, key: int, number: int, pid: int) -> None:
        if self._journal is not None:
            started, boot = process_started(pid), boot_id()
            self._journal.write(
                ProcessStarted(self._clock.now_us(), key, number, pid, started, boot)
            )

    def _say_started(self) -> None:
        """Before anything is done, and not for a run that is only to be ended."""
        notices = () if self._stopping else self._notices(RunState.RUNNING)
        if notices:
            self._record.write(*notices)

    # Requests and stopping

    def tick(self) -> None:
        """Write what waits, look for requests. May be called by a thread beside the runner's."""
        journal = self._journal
        assert journal is not None
        try:
            journal.tick()
        except Conflict:
            self._executor.stop()  # the run is somebody else's now
            raise
        if self._ticked is not None:
            self._ticked()
        now = self._clock.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        for request in journal.asked():
            self.asked(request)

    def asked(self, request: Request) -> None:
        """Answer a request, and do what it wants. Any thread."""
        journal = self._journal
        assert journal is not None
        answer, event = decide(
            request,
            self.plan,
            self._in_doubt,
            self._clock.now_us(),
            self._gates.waiting,
            paused=self._paused,
        )
        event = event and self._record.redacted(event)
        # First, so that no Run starts once the answer is there.
        self._stopping = self._stopping or isinstance(event, RunCancelled)
        journal.answer(request.id, answer, *([event] if event else []))
        if event is not None:
            self._gates.apply(event)
            if isinstance(event, (RunPaused, RunUnpaused)):
                self._paused = isinstance(event, RunPaused)
            self._record.tell(event)
            self._answered.append(event)
            if isinstance(event, RunCancelled):
                self._stop()
            self._executor.wake()

    def _in_doubt(self, key: int) -> bool:
        answered = any(isinstance(e, Settled) and e.key == key for e in self._answered)
        return self.schedule.states[key] is JobState.IN_DOUBT and not answered

    def _apply(self) -> None:
        while self._answered:
            event = self._answered.popleft()
            if isinstance(event, RunCancelled):
                self._cancel()
            elif isinstance(event, RunPaused):
                ignored = self.schedule.pause()
                if ignored is not None:
                    self._ignore(ignored)
            elif isinstance(event, RunUnpaused):
                self.schedule.unpause()
            elif isinstance(event, GateAnswered):
                if event.key in self._at_gates:  # else it is asked for when the gate is reached
                    self._leave_gate(event.key, outcome_of(event))
            else:
                stood = self.schedule.settled(event.key, event.how)
                if isinstance(stood, Ignored):
                    self._ignore(stood)
                elif stood is JobState.PENDING:
                    # The schedule forgets the try that was in doubt; its number is used up.
                    self._numbers[event.key] = self._numbers.get(event.key, 0) + 1

    def _stop(self) -> None:
        self._stopping = True
        self._executor.stop()

    def _broke(self, broken: BrokenJob) -> None:
        """A strict run met a slip in a job's code: the try is over, and so is the run."""
        outcome = Outcome(Ending.FAILED, failure=broken.failure, final=True)
        clock, now_us = self._clock
        self._ended(broken.key, broken.number, outcome, clock(), now_us())
        self._interrupted()

    def _interrupted(self) -> None:
        """Give what still runs a short while to end, and take note of its ends."""
        self._stop()
        self._cancel()
        if self._executor.blocks:
            return
        give_up_at = self._clock.monotonic() + STOP_GRACE_S
        while self._executor.running and self._clock.monotonic() < give_up_at:
            try:
                self._hear(self._executor.wait(TICK_S))
            except CutShort as short:
                self._cut_short(short)

    def _cut_short(self, short: CutShort) -> None:
        """A try that had not come to its Run does not count."""
        self._cancel()
        self.schedule.withdrawn(short.key)
        if self._journal is not None:
            self._journal.going.pop(short.key, None)
        self._record.tell(
            JobStood(self._clock.now_us(), short.key, short.number, JobState.CANCELLED)
        )

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
        return self._left(state)

    def _left(self, state: RunState) -> RunState:
        if self.unwinding.failures and state is RunState.SUCCEEDED:
            state = RunState.FAILED
        self._leave(state)
        return state

    def _leave(self, state: RunState) -> None:
        """Give the run up: it is over, or for somebody else to go on with."""
        self._hear_out()
        if self._journal is not None and state in _OVER:
            for request in self._journal.asked():
                self._journal.answer(request.id, OVER)
        if self._record.is_wanted:
            counts = Counter(self.schedule.states_shown())
            told = {str(shown): count for shown, count in counts.items()}
            ended = RunEnded(self._clock.now_us(), state, told, len(self.ignored))
            self._record.write(*self._notices(state), ended, state=state)
        self._work.is_written = True
        self.left = state

    def _hear_out(self) -> None:
        """A worker's last line comes after its answer, which may have ended the run."""
        try:
            self._hear(self._executor.hear_out())
        except KeyboardInterrupt:
            pass  # somebody is impatient, and all that matters is here

    def clean_up(self) -> None:
        """Run the Cleanups that are due, last first."""
        states, blocks = self.schedule.states, self._executor.blocks

        def goes_on(key: int) -> bool:
            return states[key] is JobState.RUNNING and not blocks

        self.unwinding.clean_up(self._executor, self._record, goes_on)

    def _ignore(self, ignored: Ignored) -> None:
        self.ignored.append(ignored.reason)


def _notice_of(outcome: Outcome) -> str:
    return "completed" if outcome.failure is None else "failed"
