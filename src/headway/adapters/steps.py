"""Carries out tries of steps, by messages to workers, and leaves those of jobs to another executor.

A try of a step goes phase by phase: a message is published, a worker claims the attempt, is
granted it once that is written, answers. Nothing here waits for one of them alone, so that any
number is under way at once.
"""

import queue
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from headway.adapters.dispatching import (
    PAST,
    Answered,
    Claimed,
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


@dataclass(slots=True)
class _Trial:
    """One try of a step."""

    key: int
    number: int
    node: StepNode
    phase: Phase
    attempt: str
    ends_at: float
    asks_only: bool = False  # the Check, and nothing that follows from it
    executed: bool = False  # whether Run was entered
    reason: Failure | None = None  # the Check's
    run_failed: Failure | None = None  # which decides nothing, but may be why the Recheck fails
    again_at: float | None = None  # when to publish the message again
    started: bool = False  # whether the worker said so
    answered: Answered | None = None  # settled when what follows from it is stored

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
    ) -> None:
        self.slots = slots
        self._dispatcher = dispatcher
        self._new_id = new_id
        self._now_us = now_us
        self._inner = inner
        self._timeout_s = timeout_s
        self._trials: dict[int, _Trial] = {}
        self._attempts: dict[str, _Trial] = {}
        self._past: OrderedDict[str, tuple[int, int]] = OrderedDict()  # attempt to key, number
        self._backlog: list[tuple[int, int]] = []  # tries of jobs, until ``inner`` is free
        self._news: queue.SimpleQueue[tuple[str, Heard] | None] = queue.SimpleQueue()
        self._ended: list[Ended | Late] = []
        self._stored: list[Answered] = []  # answers whose consequence was handed out
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
        phase = Phase.CHECK if node.check is not None else Phase.RUN
        trial = _Trial(key, number, node, phase, "", 0.0)
        if phase is Phase.RUN:
            if not self._work.act:
                return Outcome(Ending.FAILED, failure=NO_CHECK, final=True)
            trial.reason = NO_CHECK
            self._trials[key] = trial
            return self._enter_run(trial)
        self._trials[key] = trial
        return self._dispatched(trial)

    def wait(self, timeout_s: float | None) -> Iterable[Ended | Late]:
        self._settle_stored()
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._ended:
            self._start_backlog()
            if self._ended or not self._heard_within(self._left_s(until)):
                break
            self._look_at_clocks()
            if until is not None and time.monotonic() >= until:
                break
        ended, self._ended = self._ended, []
        return ended

    def ask(self, key: int) -> Outcome:
        node = self._work.definitions[key]
        if not isinstance(node, StepNode):
            assert self._inner is not None
            return self._inner.ask(key)
        assert node.check is not None
        return self._carried_out(_Trial(key, 1, node, Phase.CHECK, "", 0.0, asks_only=True))

    def cleanup(self, key: int, number: int, job: Any, storage: Changes | None) -> Failure | None:
        node = self._work.definitions[key]
        if not isinstance(node, StepNode):
            assert self._inner is not None
            return self._inner.cleanup(key, number, job, storage)
        return self._carried_out(_Trial(key, number, node, Phase.CLEANUP, "", 0.0)).failure

    def stop(self) -> None:
        """Ask jobs to end. A step that a worker has goes on; one that nobody has is taken back."""
        if self._inner is not None:
            self._inner.stop()
        self._news.put(None)
        for trial in list(self._trials.values()):
            closes = self._work.rules[trial.key].finally_
            if not closes and self._dispatcher.withdraw(trial.attempt):
                self._news.put((trial.attempt, Undelivered(Rejected("the run is being stopped"))))

    def wake(self) -> None:
        self._tell(None)

    def close(self) -> None:
        self._settle_stored()
        for trial in self._trials.values():
            self._dispatcher.forget(trial.attempt)
        self._trials.clear()
        self._attempts.clear()
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
            key, number = self._backlog.pop(0)
            outcome = self._inner.start(key, number)
            if outcome is not None:
                self._ended.append(Ended(key, number, outcome))

    # Dispatching

    def _enter_run(self, trial: _Trial) -> Outcome | None:
        """Dispatch the step itself, once that is written."""
        trial.phase, trial.executed, trial.attempt = Phase.RUN, True, self._new_id()
        so_far = Outcome(Ending.IN_DOUBT, failure=trial.reason, phase=Phase.RUN, executed=True)
        try:
            self._work.intends(trial.key, trial.number, so_far, trial.attempt)
        except BaseException:
            self._over(trial)
            raise
        return self._dispatched(trial)

    def _dispatched(self, trial: _Trial) -> Outcome | None:
        """Dispatch its phase; the outcome, if that cannot be."""
        attempt = trial.attempt = trial.attempt or self._new_id()
        timeout_s = self._work.rules[trial.key].timeout_s or self._timeout_s
        trial.ends_at = time.monotonic() + timeout_s
        trial.started = False
        self._attempts[attempt] = trial
        node = trial.node
        message = trial.call.message(node.host, node.group, self._work.kwargs)
        deadline_us = self._now_us() + round(timeout_s * 1e6)
        try:
            self._dispatcher.offer(
                attempt,
                self._run_id,
                trial.call.command,
                message,
                self._told,
                deadline_us=deadline_us,
                claims=trial.phase in (Phase.RUN, Phase.CLEANUP),
            )
        except HeadwayError as error:
            trial.executed = False
            failure = Failure(type(error).__name__, str(error))
            return self._over(trial, Outcome(Ending.FAILED, failure=failure, phase=trial.phase))
        return None

    @property
    def _run_id(self) -> str:
        if not self._work.run:
            self._work.run = self._new_id()  # of a run that nobody records
        return self._work.run

    def _told(self, attempt: str, heard: Heard) -> None:
        self._tell((attempt, heard))

    def _tell(self, news: tuple[str, Heard] | None) -> None:
        self._news.put(news)
        if self._inner is not None:
            self._inner.wake()

    # Hearing

    def _heard_within(self, timeout_s: float | None) -> bool:
        """Take what has come, or comes in that time; whether to go on waiting."""
        inner = self._inner
        if inner is not None and inner.running:
            if self._news.empty():
                self._ended += inner.wait(timeout_s)
            timeout_s = 0.0
        going_on = True
        try:
            news = self._news.get(timeout=timeout_s) if timeout_s != 0.0 else self._news.get(False)
            while True:
                if news is None:
                    going_on = False
                else:
                    self._take(*news)
                news = self._news.get_nowait()
        except queue.Empty:
            pass
        return going_on

    def _left_s(self, until: float | None) -> float | None:
        limits = [trial.ends_at for trial in self._trials.values()]
        limits += [trial.again_at for trial in self._trials.values() if trial.again_at is not None]
        if until is not None:
            limits.append(until)
        return max(0.0, min(limits) - time.monotonic()) if limits else None

    def _take(self, attempt: str, heard: Heard) -> None:
        trial = self._attempts.get(attempt)
        if trial is None:
            if isinstance(heard, Line) and attempt in self._past:
                self._write(*self._past[attempt], heard.level, heard.text)
            return  # it is over
        match heard:
            case Claimed(worker, grant, again):
                if not again:
                    self._work.claimed(trial.key, trial.number, attempt, worker)
                grant()
            case Lost(worker):
                self._lost(trial, worker)
            case GivenBack():
                trial.again_at = time.monotonic() + AGAIN_S
            case Undelivered(error):
                self._undelivered(trial, error)
            case Answered():
                self._answered(trial, heard)
            case Line(level, text):
                self._say(trial, level, text)
            case Notified() | Overheard():
                pass

    def _undelivered(self, trial: _Trial, error: HeadwayError) -> None:
        if isinstance(error, Unavailable):
            trial.again_at = time.monotonic() + AGAIN_S
            return
        if self._dispatcher.is_held(trial.attempt):
            return  # an earlier publication of it did arrive
        failure = Failure(type(error).__name__, f"{trial.call.name}: {error}")
        trial.executed = False
        self._end(trial, Outcome(Ending.FAILED, failure=failure, phase=trial.phase))

    def _lost(self, trial: _Trial, worker: str) -> None:
        """Its worker has gone, and nobody knows how far it had come."""
        failure = Failure("Lost", f"its worker {worker} went away while it was at work")
        on_lost = self._work.rules[trial.key].on_lost
        if trial.phase is Phase.RUN and trial.node.check is None:
            if on_lost == "rerun":
                self._say(trial, "warning", f"{failure.message}; it is sent again")
                self._leave_attempt(trial)
                self._handed_out(trial, self._enter_run(trial))
                return
            ending = Ending.IN_DOUBT if on_lost == "ask" else Ending.FAILED
            self._end(trial, Outcome(ending, None, failure, Phase.RUN, executed=True, final=True))
            return
        self._go_on(trial, failure, None)

    def _answered(self, trial: _Trial, answer: Answered) -> None:
        response = answer.response
        if not response.is_final:
            answer.settle()
            trial.started = True
            self._notify(trial, "started", answer)
            return
        if not trial.started:  # a first answer that is the last counts as both
            self._notify(trial, "started", answer)
        flaw = trial.call.flaw(response)
        self._notify(trial, "completed" if flaw is None else "failed", answer)
        trial.answered = answer
        text = said(response)
        if text and flaw is None:
            self._say(trial, "info", text)
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
        if trial.asks_only:
            ending = Ending.PASSED if failure is None else Ending.FAILED
            self._end(trial, Outcome(ending, result, failure, final=True))
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
            self._end(
                trial,
                Outcome(step, result if failure is None else None, failure, phase, trial.executed),
            )
            return
        self._leave_attempt(trial)
        if step is Phase.RUN:
            trial.reason = failure
            if not self._work.act:
                self._end(trial, Outcome(Ending.FAILED, failure=failure, final=True))
                return
            outcome = self._enter_run(trial)
        else:
            trial.phase = step
            outcome = self._dispatched(trial)
        self._handed_out(trial, outcome)

    def _handed_out(self, trial: _Trial, outcome: Outcome | None) -> None:
        if outcome is not None:
            self._ended.append(Ended(trial.key, trial.number, outcome))

    def _leave_attempt(self, trial: _Trial) -> None:
        """Another will be made."""
        self._dispatcher.forget(trial.attempt)
        if self._attempts.pop(trial.attempt, None) is not None:
            self._past[trial.attempt] = (trial.key, trial.number)
            if len(self._past) > PAST:
                self._past.popitem(last=False)
        if trial.answered is not None:
            self._stored.append(trial.answered)
            trial.answered = None
        trial.attempt, trial.again_at = "", None

    def _look_at_clocks(self) -> None:
        now = time.monotonic()
        for trial in list(self._trials.values()):
            if trial.again_at is not None and now >= trial.again_at:
                trial.again_at = None
                self._dispatcher.offer_again(trial.attempt)
            if now >= trial.ends_at:
                self._late(trial)

    def _late(self, trial: _Trial) -> None:
        timeout_s = self._work.rules[trial.key].timeout_s or self._timeout_s
        taken_back = self._dispatcher.withdraw(trial.attempt)
        if taken_back:
            text = f"no worker took {trial.call.name} within {timeout_s:g} s"
            trial.executed = False
        else:
            text = f"{trial.call.name} was not over within {timeout_s:g} s"
        failure = Failure("TimeoutError", text)
        # A worker that has the step itself goes on with it: it is not tried again beside.
        goes_on = trial.phase is Phase.RUN and not taken_back
        ending = Ending.OVERDUE if goes_on else Ending.FAILED
        self._end(trial, Outcome(ending, None, failure, trial.phase, trial.executed))

    # The end of a try

    def _end(self, trial: _Trial, outcome: Outcome) -> None:
        self._over(trial)
        self._ended.append(Ended(trial.key, trial.number, outcome))

    def _over(self, trial: _Trial, outcome: Outcome | None = None) -> Outcome | None:
        self._leave_attempt(trial)
        self._trials.pop(trial.key, None)
        return outcome

    def _settle_stored(self) -> None:
        """What was handed out before has been written."""
        for answered in self._stored:
            answered.settle()
        self._stored.clear()

    def _carried_out(self, trial: _Trial) -> Outcome:
        """One phase, waited for."""
        self._trials[trial.key] = trial
        outcome = self._dispatched(trial)
        others: list[Ended | Late] = []
        while outcome is None:
            self._heard_within(self._left_s(None))
            self._look_at_clocks()
            for news in self._ended:
                if isinstance(news, Ended) and news.key == trial.key:
                    outcome = news.outcome
                else:
                    others.append(news)
            self._ended.clear()
        self._ended += others
        return outcome

    # Telling

    def _phase_ended(self, trial: _Trial, phase: Phase, failure: Failure | None) -> None:
        if self._work.watches_phases:
            self._work.phase_ended(trial.key, trial.number, phase, failure)

    def _say(self, trial: _Trial, level: str, text: str) -> None:
        self._write(trial.key, trial.number, level, text)

    def _write(self, key: int, number: int, level: str, text: str) -> None:
        for line in text.rstrip("\n").splitlines() or [""]:
            self._work.wrote(key, number, level, shortened(line))

    def _notify(self, trial: _Trial, notice: str, answer: Answered) -> None:
        """Tell whom the step names, where the worker has not."""
        if trial.phase is not Phase.RUN:
            return
        for transport, targets in trial.call.notify.get(notice, {}).items():
            by_worker = f"{notice}.{transport}" in answer.notices
            if not self._work.notifies(trial.key, trial.number, notice, transport) or by_worker:
                continue
            name = trial.node.name
            text = said(answer.response) if answer.response.is_final else ""
            message = f"{name} {notice}: {text}" if text else f"{name} {notice}"
            with suppress(HeadwayError):
                notification = Notification(
                    slug=f"{name} {notice}"[:SLUG_LONGEST],
                    message=message,
                    phase=notice,
                    target=list(targets),
                )
                sent = self._dispatcher.tell(transport, notification, self._run_id, trial.attempt)
                sent.then(partial(self._told_of_notice, trial.attempt, transport))
            self._say(trial, "notice", f"{transport} to {', '.join(targets)}: {message}")

    def _told_of_notice(self, attempt: str, transport: str, sent: Confirmation) -> None:
        if sent.error is not None:
            self._tell((attempt, Line("warning", f"nobody hears notices by {transport}")))
