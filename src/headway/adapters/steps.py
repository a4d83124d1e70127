"""Carries out tries of steps, by messages to workers, and leaves those of jobs to another executor.

A try of a step goes phase by phase: a message is published, a worker claims the attempt, is
granted it, answers. The grant of an attempt at the step itself is given once that is written, and
never if that fails. Nothing here waits for one of them alone, so that any number is under way at
once. What is done to the world is handed to ``Work.after``: where many runs are written together,
it is done once they are.

What ends a phase's attempt, besides its answer:

    nobody serves it          the try fails, at once
    the broker is away        it is published again, the same, until its time is over
    given back                it is published again
    its worker went away      check, recheck: the try fails; run: ``on_lost``, or the recheck
    its time is over          taken back, if nobody has it, else overdue (run), or failed
"""

import queue
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from typing import Any, NamedTuple

from headway.adapters.dispatching import (
    CLOSING_S,
    PAST,
    Answered,
    Claimed,
    Dispatch,
    Dispatcher,
    GivenBack,
    Heard,
    Line,
    Lost,
    Notified,
    Overheard,
    Undelivered,
)
from headway.adapters.lines import shortened
from headway.errors import HeadwayError, Rejected, Unavailable
from headway.jobs.outcomes import Ending, Failure, Outcome, Phase
from headway.jobs.shared import Changes
from headway.jobs.trycycle import NEXT, NEXT_RUNONLY, NO_CHECK
from headway.ports.bus import Confirmation
from headway.ports.executor import Ended, Executor, Late, Work
from headway.releases.steps import Call, StepNode, said
from headway.wire.messages import SLUG_LONGEST, Notification

STEP_TIMEOUT_S = 3600.0  # for each phase of a step that says nothing of it
AGAIN_S = 1.0  # before a message that did not arrive, or was given back, is published again
MOST_STEPS = 1000  # under way at once, of one run
MOST_LOST = 3  # workers that may go away over one try of a step that is rerun then
ADOPTED_S = 5.0  # at least, for the answer to an attempt that was offered by somebody before us

# Of one that nobody had when its run was stopped.
_TAKEN_BACK = Undelivered(Rejected("the run was stopped before a worker took it"))


class Adopted(NamedTuple):
    """An attempt at a step itself that was under way when whoever dispatched it went away."""

    attempt: str
    replies: str
    began_us: int
    worker: str | None = None  # who has it; None: nobody, as far as is written
    address: str = ""
    reason: Failure | None = None  # the Check's
    has_ended: bool = False  # it is over itself, and only its Check is to be asked again …
    run_failed: Failure | None = None  # … and this is how it failed, if it did


@dataclass(slots=True)
class _Trial:
    """One try of a step."""

    key: int
    number: int
    node: StepNode
    phase: Phase
    asks_only: bool = False  # the Check, and nothing that follows from it
    began: bool = False  # whether a worker has, or had, the last attempt at the step itself
    taken_back: bool = False  # because the run was stopped
    reason: Failure | None = None  # the Check's
    run_failed: Failure | None = None  # which decides nothing, but may be why the Recheck fails
    lost: int = 0  # workers that went away over the step itself
    notices: set[str] = field(default_factory=set)  # that workers sent, each "phase.transport"
    text: str = ""  # what the worker said in the end
    # Of the attempt under way
    attempt: str = ""
    replies: str = ""  # the queue on which it is answered, where that was written with it
    is_offered: bool = False
    ends_at: float = 0.0
    again_at: float | None = None  # when to publish the message again
    started: bool = False  # whether the worker said so
    is_closed: bool = False  # whether the last line of its output has come
    claimed_by: str | None = None  # as it is written
    answered: Answered | None = None  # settled when what follows from it is stored

    @property
    def executed(self) -> bool:
        """Whether a worker had the step itself, as far as is known."""
        return self.began or self.lost > 0

    @property
    def call(self) -> Call:
        if self.phase is Phase.CLEANUP:
            assert self.node.cleanup is not None
            return self.node.cleanup
        if self.phase is Phase.RUN:
            return self.node.run
        assert self.node.check is not None
        return self.node.check


class Steps:
    """Carries out the steps of one run; ``inner`` carries out its jobs, if it has any."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        new_id: Callable[[], str],
        now_us: Callable[[], int],
        inner: Executor | None = None,
        *,
        slots: int = MOST_STEPS,
        timeout_s: float = STEP_TIMEOUT_S,
        again_s: float = AGAIN_S,
        adopted: Mapping[tuple[int, int], Adopted] | None = None,
        woken: Callable[[], object] | None = None,
        closing_s: float = CLOSING_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``adopted``: by key and number of the try. ``woken`` is called, in any thread, when
        there is news for whoever does not wait."""
        self.slots = slots
        self._dispatcher = dispatcher
        self._new_id = new_id
        self._now_us = now_us
        self._inner = inner
        self._timeout_s = timeout_s
        self._again_s = again_s
        self._adopted = dict(adopted or {})
        self._woken = woken
        self._closing_s = closing_s
        self._monotonic = monotonic
        self._trials: dict[int, _Trial] = {}
        self._attempts: dict[str, _Trial] = {}
        self._clocks: list[tuple[float, str]] = []  # heap: when to look at an attempt
        self._past: OrderedDict[str, tuple[int, int]] = OrderedDict()  # attempt to key, number
        self._closing: set[str] = set()  # past attempts whose last line is still to come
        self._closing_until: float | None = None  # how long who does not wait is patient
        self._backlog: deque[tuple[int, int]] = deque()  # tries of jobs, until ``inner`` is free
        self._news: queue.SimpleQueue[tuple[str, Heard] | None] = queue.SimpleQueue()
        self._ended: list[Ended | Late] = []
        # Settled once their consequence was handed out and something is asked for again.
        self._to_settle: list[Answered | Overheard] = []
        self._handed_out: list[Answered | Overheard] = []
        self._stopped = False
        self._work: Work

    # An executor's surface

    @property
    def blocks(self) -> bool:
        return self._inner is not None and self._inner.blocks

    @property
    def running(self) -> int:
        inner = 0 if self._inner is None else self._inner.running
        return len(self._trials) + len(self._backlog) + inner

    @property
    def free(self) -> int:
        return max(0, self.slots - self.running)

    def open(self, work: Work) -> None:
        self._work = work
        self._news = queue.SimpleQueue()
        if self._inner is not None:
            self._inner.open(work)

    def start(self, key: int, number: int) -> Outcome | None:
        node = self._work.definitions[key]
        if not isinstance(node, StepNode):
            return self._start_job(key, number)
        if node.check is None and not self._work.act:
            return Outcome(Ending.FAILED, failure=NO_CHECK, final=True)
        self._closing_until = None  # there is more to come than last lines
        phase = Phase.RUN if node.check is None else Phase.CHECK
        trial = self._trials[key] = _Trial(key, number, node, phase, reason=NO_CHECK)
        adopted = self._adopted.pop((key, number), None)
        if adopted is not None:
            self._adopt(trial, adopted)
        elif phase is Phase.RUN:
            self._enter_run(trial)
        else:
            self._dispatch(trial)
        return None

    def wait(self, timeout_s: float | None) -> Iterable[Ended | Late]:
        self._settle_handed_out()
        until = None if timeout_s is None else self._monotonic() + timeout_s
        while not self._ended:
            self._start_backlog()
            if self._ended:
                break
            goes_on = self._heard_within(self._left_s(until))
            self._look_at_clocks()
            if not goes_on or (until is not None and self._monotonic() >= until):
                break
        ended, self._ended = self._ended, []
        self._handed_out, self._to_settle = self._to_settle, []
        return ended

    def ask(self, key: int) -> Outcome:
        node = self._work.definitions[key]
        if not isinstance(node, StepNode):
            assert self._inner is not None
            return self._inner.ask(key)
        assert node.check is not None
        return self._carried_out(_Trial(key, 1, node, Phase.CHECK, asks_only=True))

    def cleanup(self, key: int, number: int, job: Any, storage: Changes | None) -> Failure | None:
        node = self._work.definitions[key]
        if not isinstance(node, StepNode):
            assert self._inner is not None
            return self._inner.cleanup(key, number, job, storage)
        return self._carried_out(_Trial(key, number, node, Phase.CLEANUP)).failure

    def is_heard_out(self) -> bool:
        """Whether nothing is to be said any more of steps that are over, or nobody waits longer."""
        if not self._closing:
            return True
        if self._closing_until is None:
            self._closing_until = self._monotonic() + self._closing_s
        return self._monotonic() >= self._closing_until

    def hear_out(self) -> Iterable[Late]:
        until = self._closing_until or self._monotonic() + self._closing_s
        others: list[tuple[str, Heard] | None] = []
        while self._closing:
            try:
                news = self._news.get(timeout=max(0.0, until - self._monotonic()))
            except queue.Empty:
                break
            if news is None or news[0] in self._attempts:
                others.append(news)
            else:
                self._take_late(*news)
        for one in others:
            self._news.put(one)
        late = [one for one in self._ended if isinstance(one, Late)]
        self._ended = [one for one in self._ended if not isinstance(one, Late)]
        return late

    def stop(self) -> None:
        """Ask jobs to end. A step that a worker has goes on; one that nobody has is taken back."""
        if self._inner is not None:
            self._inner.stop()
        self._stopped = True
        for trial in list(self._trials.values()):
            if self._is_unwanted(trial) and (
                not trial.is_offered or self._dispatcher.withdraw(trial.attempt)
            ):
                self._take_back(trial)
        self.wake()

    def _is_unwanted(self, trial: _Trial) -> bool:
        """Whether nobody is to begin what it is about to have done."""
        return self._stopped and trial.key not in self._work.closings

    def _take_back(self, trial: _Trial) -> None:
        trial.taken_back = True
        self._news.put((trial.attempt, _TAKEN_BACK))

    def wake(self) -> None:
        self._tell(None)

    def close(self) -> None:
        if self._work.run:
            self._dispatcher.leave(self._work.run)
        if self._work.is_written:
            self._settle_all()
        self._trials.clear()
        self._attempts.clear()
        self._closing.clear()
        self._clocks.clear()
        self._backlog.clear()
        if self._inner is not None:
            self._inner.close()

    # Jobs

    def _start_job(self, key: int, number: int) -> Outcome | None:
        assert self._inner is not None
        if self._inner.free:
            return self._inner.start(key, number)
        self._backlog.append((key, number))
        return None

    def _start_backlog(self) -> None:
        while self._backlog and self._inner is not None and self._inner.free:
            key, number = self._backlog.popleft()
            outcome = self._inner.start(key, number)
            if outcome is not None:
                self._ended.append(Ended(key, number, outcome))

    # Dispatching

    def _enter_run(self, trial: _Trial) -> None:
        """Dispatch the step itself, once that is written."""
        trial.phase, trial.began, trial.attempt = Phase.RUN, False, self._new_id()
        so_far = Outcome(Ending.IN_DOUBT, failure=trial.reason, phase=Phase.RUN, executed=True)
        if self._dispatcher.is_durable:
            with suppress(HeadwayError):  # then it cannot be offered either, which is looked after
                trial.replies = self._dispatcher.reserve(self._run_id)
        try:
            self._work.intends(trial.key, trial.number, so_far, trial.attempt, trial.replies)
        except BaseException:
            self._trials.pop(trial.key, None)
            raise
        self._dispatch(trial)

    def _dispatch(self, trial: _Trial) -> None:
        """Begin an attempt at its phase."""
        if not self._work.act and trial.phase is not Phase.CHECK:
            raise RuntimeError(f"{trial.node.name}: only its Check is to be asked")
        trial.attempt = trial.attempt or self._new_id()
        trial.ends_at = self._monotonic() + self._timeout_of(trial)
        trial.is_offered = trial.started = trial.is_closed = False
        trial.claimed_by = None
        self._attempts[trial.attempt] = trial
        heappush(self._clocks, (trial.ends_at, trial.attempt))
        self._work.after(partial(self._offer, trial, trial.attempt))

    def _adopt(self, trial: _Trial, adopted: Adopted) -> None:
        """Go on with an attempt at the step itself that somebody before us dispatched."""
        trial.phase, trial.reason = Phase.RUN, adopted.reason
        if adopted.has_ended:
            trial.began, trial.run_failed = True, adopted.run_failed
            trial.phase = Phase.RECHECK
            self._dispatch(trial)
            return
        trial.attempt, trial.replies = adopted.attempt, adopted.replies
        trial.claimed_by, trial.began = adopted.worker, adopted.worker is not None
        trial.is_offered = True
        timeout_us = round(self._timeout_of(trial) * 1e6)
        left_s = (adopted.began_us + timeout_us - self._now_us()) / 1e6
        trial.ends_at = self._monotonic() + max(left_s, ADOPTED_S)
        self._attempts[trial.attempt] = trial
        heappush(self._clocks, (trial.ends_at, trial.attempt))
        dispatch = self._dispatch_of(trial, adopted.began_us + timeout_us)
        self._dispatcher.adopt(dispatch, adopted.replies, adopted.worker, adopted.address)
        if adopted.worker is None:
            # Perhaps it was never published. Who claims attempts begins it once in any case.
            self._work.after(partial(self._offer_again, trial, trial.attempt))

    def _timeout_of(self, trial: _Trial) -> float:
        return self._work.rules[trial.key].timeout_s or self._timeout_s

    def _offer(self, trial: _Trial, attempt: str) -> None:
        if self._attempts.get(attempt) is not trial or trial.taken_back:
            return  # the run was stopped before it could be sent
        left_s = trial.ends_at - self._monotonic()
        try:
            dispatch = self._dispatch_of(trial, self._now_us() + round(left_s * 1e6))
            self._dispatcher.offer(dispatch, trial.replies)
            trial.is_offered = True
        except HeadwayError as error:
            self._told(attempt, Undelivered(error))

    def _dispatch_of(self, trial: _Trial, deadline_us: int) -> Dispatch:
        node, call = trial.node, trial.call
        return Dispatch(
            trial.attempt,
            self._run_id,
            call.command,
            call.message(node.host, node.group, self._work.kwargs),
            self._told,
            deadline_us,
            notifies=True,
        )

    def _offer_again(self, trial: _Trial, attempt: str) -> None:
        """Unless somebody has it, or nobody is to have it any more."""
        is_wanted = self._attempts.get(attempt) is trial and not trial.taken_back
        if is_wanted and not self._dispatcher.is_taken(attempt):
            self._dispatcher.offer_again(attempt)

    @property
    def _run_id(self) -> str:
        if not self._work.run:
            self._work.run = self._new_id()  # of a run that nobody records
        return self._work.run

    def _again_soon(self, trial: _Trial) -> None:
        trial.again_at = self._monotonic() + self._again_s
        heappush(self._clocks, (trial.again_at, trial.attempt))

    def _told(self, attempt: str, heard: Heard) -> None:
        self._tell((attempt, heard))

    def _tell(self, news: tuple[str, Heard] | None) -> None:
        self._news.put(news)
        # Who waits for jobs looked for news after they had been started.
        if self._inner is not None and self._inner.running:
            self._inner.wake()
        if self._woken is not None:
            self._woken()

    @property
    def has_adopted(self) -> bool:
        """Whether all attempts that were under way are gone on with."""
        return not self._adopted

    @property
    def wake_at(self) -> float | None:
        """When a clock is to be looked at, though nothing was heard; monotonic seconds."""
        while self._clocks and self._clocked(*self._clocks[0]) is None:
            heappop(self._clocks)
        if self._closing and self._closing_until is not None:
            return self._closing_until
        return self._clocks[0][0] if self._clocks else None

    # Hearing

    def _heard_within(self, timeout_s: float | None) -> bool:
        """Take what has come, or comes in that time; whether to go on waiting."""
        inner = self._inner
        if inner is not None and inner.running:
            self._ended += inner.wait(timeout_s if self._news.empty() else 0.0)
            timeout_s = 0.0
        going_on = True
        with suppress(queue.Empty):
            news = self._news.get(timeout=timeout_s) if timeout_s != 0.0 else self._news.get(False)
            while True:
                if news is None:
                    going_on = False
                else:
                    self._take(*news)
                news = self._news.get_nowait()
        return going_on

    def _left_s(self, until: float | None) -> float | None:
        """Until a clock is to be looked at, or the time given."""
        wake_at = self.wake_at
        limits = [wake_at] if wake_at is not None else []
        if until is not None:
            limits.append(until)
        return max(0.0, min(limits) - self._monotonic()) if limits else None

    def _clocked(self, at: float, attempt: str) -> _Trial | None:
        """Whose clock that is, if it still is."""
        trial = self._attempts.get(attempt)
        return trial if trial is not None and at in (trial.ends_at, trial.again_at) else None

    def _look_at_clocks(self) -> None:
        now = self._monotonic()
        while self._clocks and self._clocks[0][0] <= now:
            at, attempt = heappop(self._clocks)
            trial = self._clocked(at, attempt)
            if trial is not None:
                self._look_at(trial, now)

    def _look_at(self, trial: _Trial, now: float) -> None:
        if now >= trial.ends_at:
            self._late(trial)
        elif trial.again_at is not None and now >= trial.again_at:
            trial.again_at = None
            if trial.is_offered:
                self._work.after(partial(self._offer_again, trial, trial.attempt))
            else:
                self._offer(trial, trial.attempt)

    def _take(self, attempt: str, heard: Heard) -> None:
        trial = self._attempts.get(attempt)
        if trial is None:
            self._take_late(attempt, heard)
            return
        match heard:
            case Claimed(worker, grant, _, address):
                self._claimed(trial, worker, address)
                self._work.after(partial(self._grant, trial, grant))
            case Lost(worker):
                self._lost(trial, worker)
            case GivenBack(worker, settle):
                self._given_back(trial, worker)
                self._work.after(settle)
            case Undelivered(error):
                self._undelivered(trial, error)
            case Answered():
                self._answered(trial, heard)
            case Line(level, text, closes):
                self._say(trial, level, text)
                trial.is_closed = trial.is_closed or closes
            case Overheard(reason):
                self._to_settle.append(heard)
                self._in_vain(trial.key, trial.number, reason)
            case Notified():
                pass

    def _take_late(self, attempt: str, heard: Heard) -> None:
        """Of an attempt that is over."""
        key, number = self._past.get(attempt, (None, 0))
        if key is None or isinstance(heard, GivenBack):
            if isinstance(heard, (Answered, GivenBack, Overheard)):
                self._work.after(heard.settle)
            return
        if isinstance(heard, (Answered, Overheard)):
            self._to_settle.append(heard)
        match heard:
            case Line(level, text, closes):
                self._write(key, number, level, text)
                if closes:
                    self._closing.discard(attempt)
            case Answered(response):
                self._in_vain(key, number, f"{response.status}: it is over")
            case Overheard(reason):
                self._in_vain(key, number, reason)
            case _:
                pass

    def _in_vain(self, key: int, number: int, reason: str) -> None:
        self._ended.append(Late(key, number, f"was heard of in vain: {reason}"))

    def _claimed(self, trial: _Trial, worker: str, address: str = "") -> None:
        """Nobody begins the step itself before it is written who does."""
        if trial.phase is Phase.RUN and trial.claimed_by != worker:
            self._work.claimed(trial.key, trial.number, trial.attempt, worker, address)
        trial.claimed_by = worker

    def _given_back(self, trial: _Trial, worker: str) -> None:
        if trial.phase is Phase.RUN and trial.claimed_by is not None:
            self._work.given_back(trial.key, trial.number, trial.attempt, worker)
        trial.claimed_by, trial.began = None, False
        if self._is_unwanted(trial) and self._dispatcher.withdraw(trial.attempt):
            self._take_back(trial)
        else:
            self._again_soon(trial)

    def _grant(self, trial: _Trial, grant: Callable[[], bool]) -> None:
        granted = grant()
        trial.began = trial.began or (granted and trial.phase is Phase.RUN)

    def _undelivered(self, trial: _Trial, error: HeadwayError) -> None:
        if self._dispatcher.is_taken(trial.attempt):
            return  # an earlier publication of it did arrive
        if isinstance(error, Unavailable):
            self._again_soon(trial)
            return
        trial.taken_back = error is _TAKEN_BACK.error
        failure = Failure(type(error).__name__, f"{trial.call.name}: {error}")
        self._end(trial, Outcome(Ending.FAILED, failure=failure, phase=trial.phase))

    def _lost(self, trial: _Trial, worker: str) -> None:
        """Its worker has gone, and nobody knows how far it had come."""
        failure = Failure("Lost", f"its worker {worker} went away while it was at work")
        on_lost = self._work.rules[trial.key].on_lost
        if trial.phase is Phase.RUN and trial.node.check is None:
            trial.lost += 1
            again = on_lost == "rerun" and trial.lost < MOST_LOST
            if again and not self._is_unwanted(trial):
                self._say(trial, "warning", f"{failure.message}; it is sent again")
                self._leave_attempt(trial)
                self._enter_run(trial)
                return
            ending = Ending.IN_DOUBT if on_lost == "ask" else Ending.FAILED
            final = on_lost != "rerun"
            self._end(trial, Outcome(ending, failure=failure, phase=trial.phase, final=final))
        elif trial.phase is Phase.CHECK:
            self._phase_ended(trial, Phase.CHECK, failure)
            self._end(trial, Outcome(Ending.FAILED, failure=failure))
        else:
            self._go_on(trial, failure, None)

    def _answered(self, trial: _Trial, answer: Answered) -> None:
        response = answer.response
        if trial.phase is Phase.RUN:
            trial.began = True
            trial.notices.update(answer.notices)
            if not trial.started:  # a first answer that is the last counts as both
                self._notify(trial, "started", "")
            if trial.claimed_by is None and not response.is_final:
                self._claimed(trial, answer.worker)  # who claims nothing says so in this way
        trial.started = True
        if not response.is_final:
            self._work.after(answer.settle)
            return
        trial.answered = answer
        if answer.closing and not trial.is_closed:
            self._closing.add(trial.attempt)
        flaw = trial.call.flaw(response)
        trial.text = said(response)
        if trial.text and flaw is None:
            self._say(trial, "info", trial.text)
        failure = None if flaw is None else Failure("Failed", flaw)
        self._go_on(trial, failure, response.to_plain().get("data"))

    def _go_on(self, trial: _Trial, failure: Failure | None, result: Any) -> None:
        """A phase has ended so: to the next, or to the end."""
        phase = trial.phase
        if phase is Phase.CLEANUP:
            ending = Ending.REPAIRED if failure is None else Ending.FAILED
            self._end(trial, Outcome(ending, failure=failure, phase=phase))
            return
        self._phase_ended(trial, phase, failure)
        if phase is Phase.CHECK and failure is not None and (trial.asks_only or not self._work.act):
            self._end(trial, Outcome(Ending.FAILED, failure=failure, final=True))
            return
        following = NEXT if trial.node.check is not None else NEXT_RUNONLY
        if following is NEXT and phase is Phase.RUN and failure is not None:
            trial.run_failed = failure
            self._say(trial, "error", f"{trial.call.name} failed: {failure.line()}")
        if phase is Phase.RECHECK and failure is not None and trial.run_failed is not None:
            why = f"{failure.message}; {trial.node.run.name} failed: {trial.run_failed.message}"
            failure = failure._replace(message=why)
        step = following[phase, failure is None]
        if isinstance(step, Ending):
            result = result if failure is None else None
            self._end(trial, Outcome(step, result, failure, phase))
            return
        answered, trial.answered = trial.answered, None
        self._leave_attempt(trial)
        if step is Phase.RECHECK:
            self._work.rechecks(trial.key, trial.number, failure)
        if answered is not None:
            self._work.after(answered.settle)
        if step is Phase.RUN:
            trial.reason = failure
            self._enter_run(trial)
        else:
            trial.phase = step
            self._dispatch(trial)

    def _late(self, trial: _Trial) -> None:
        timeout_s = self._timeout_of(trial)
        taken_back = not trial.is_offered or self._dispatcher.withdraw(trial.attempt)
        if not taken_back and self._dispatcher.is_answered(trial.attempt):
            return  # at the last moment: it is among the news
        if taken_back:
            text = f"no worker took {trial.call.name} within {timeout_s:g} s"
        else:
            text = f"{trial.call.name} was not over within {timeout_s:g} s"
        failure = Failure("TimeoutError", text)
        # A worker that has the step itself goes on with it: it is not tried again beside.
        goes_on = trial.phase is Phase.RUN and not taken_back
        ending = Ending.OVERDUE if goes_on else Ending.FAILED
        self._end(trial, Outcome(ending, failure=failure, phase=trial.phase))

    # The end of a try

    def _end(self, trial: _Trial, outcome: Outcome) -> None:
        outcome = outcome._replace(executed=trial.executed)
        if outcome.failure is not None and not trial.taken_back:
            self._notify(trial, "failed", outcome.failure.message)
        elif trial.executed:
            self._notify(trial, "completed", trial.text)
        self._leave_attempt(trial)
        self._trials.pop(trial.key, None)
        self._ended.append(Ended(trial.key, trial.number, outcome))

    def _leave_attempt(self, trial: _Trial) -> None:
        """It is over, and another may be made."""
        self._dispatcher.forget(trial.attempt)
        if self._attempts.pop(trial.attempt, None) is not None:
            self._past[trial.attempt] = (trial.key, trial.number)
            if len(self._past) > PAST:
                self._closing.discard(self._past.popitem(last=False)[0])
        if trial.answered is not None:
            self._to_settle.append(trial.answered)
            trial.answered = None
        trial.attempt, trial.replies, trial.again_at = "", "", None

    def _settle_handed_out(self) -> None:
        """What was handed out before has been written down."""
        for heard in self._handed_out:
            self._work.after(heard.settle)
        self._handed_out.clear()

    def _settle_all(self) -> None:
        """Nothing follows any more from what has come."""
        self._handed_out += self._to_settle
        self._to_settle.clear()
        while not self._news.empty():
            news = self._news.get()
            if news is not None and isinstance(news[1], (Answered, GivenBack, Overheard)):
                self._work.after(news[1].settle)
        self._settle_handed_out()

    def _carried_out(self, trial: _Trial) -> Outcome:
        """One phase, waited for; what is heard of others waits meanwhile."""
        self._settle_handed_out()
        self._trials[trial.key] = trial
        before, self._ended = self._ended, []
        others: list[tuple[str, Heard] | None] = []
        try:
            self._dispatch(trial)
            while self._trials.get(trial.key) is trial:
                self._hear_of(trial, others)
            (outcome,) = [one.outcome for one in self._ended if isinstance(one, Ended)]
        finally:
            self._trials.pop(trial.key, None)
            self._ended = [*before, *(one for one in self._ended if isinstance(one, Late))]
            self._handed_out, self._to_settle = self._to_settle, []
            for news in others:
                self._news.put(news)
        return outcome

    def _hear_of(self, trial: _Trial, others: list[tuple[str, Heard] | None]) -> None:
        look_at = trial.ends_at if trial.again_at is None else min(trial.ends_at, trial.again_at)
        try:
            news = self._news.get(timeout=max(0.0, look_at - self._monotonic()))
        except queue.Empty:
            self._look_at(trial, self._monotonic())
            return
        if news is not None and self._attempts.get(news[0]) is trial:
            self._take(*news)
        else:
            others.append(news)

    # Telling

    def _phase_ended(self, trial: _Trial, phase: Phase, failure: Failure | None) -> None:
        if self._work.watches_phases:
            self._work.phase_ended(trial.key, trial.number, phase, failure)

    def _say(self, trial: _Trial, level: str, text: str) -> None:
        self._write(trial.key, trial.number, level, text)

    def _write(self, key: int, number: int, level: str, text: str) -> None:
        # Before lines are made of it, and cut: a part of what nobody is to see is not found.
        text = self._work.redacted(text.rstrip("\n"))
        for line in text.splitlines() or [""]:
            self._work.wrote(key, number, level, shortened(line))

    def _notify(self, trial: _Trial, notice: str, text: str) -> None:
        """Tell whom the step names, where the worker has not."""
        if trial.asks_only or trial.phase is Phase.CLEANUP or not self._work.act:
            return
        for transport, targets in trial.node.run.notify.get(notice, {}).items():
            by_worker = f"{notice}.{transport}" in trial.notices
            if not self._work.notifies(trial.key, trial.number, notice, transport) or by_worker:
                continue
            name = trial.node.name
            words = f"{name} {notice}: {text}" if text else f"{name} {notice}"
            message = self._work.redacted(words)
            with suppress(HeadwayError):
                notification = Notification(
                    slug=f"{name} {notice}"[:SLUG_LONGEST],
                    message=message,
                    phase=notice,
                    target=list(targets),
                )
                self._work.after(partial(self._send, trial.attempt, transport, notification))
                self._say(trial, "notice", f"{transport} to {', '.join(targets)}: {message}")

    def _send(self, attempt: str, transport: str, notification: Notification) -> None:
        with suppress(HeadwayError):
            sent = self._dispatcher.tell(transport, notification, self._run_id, attempt)
            sent.then(partial(self._told_of_notice, attempt, transport))

    def _told_of_notice(self, attempt: str, transport: str, sent: Confirmation) -> None:
        if sent.error is not None:
            self._tell((attempt, Line("warning", f"nobody hears notices by {transport}")))
