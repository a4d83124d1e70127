"""How a run stands, told for a reader: a fold over its events, journalled and live alike.

The listings, the live view and the JSON outputs all read from here, so that no door works a
state out for itself.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from headway.jobs.events import (
    CleanupEnded,
    CleanupIntended,
    Event,
    GateAnswered,
    GateReached,
    JobStood,
    Live,
    NoticeIntended,
    OutputWritten,
    PhaseEnded,
    PhaseNoticeIntended,
    ProcessStarted,
    RecheckIntended,
    RequestAnswered,
    RunBegan,
    RunCancelled,
    RunEnded,
    RunIntended,
    RunPaused,
    RunResumed,
    RunRetried,
    RunUnpaused,
    Settled,
    StepClaimed,
    StepGivenBack,
    TryEnded,
    TryStarted,
)
from headway.jobs.gates import Gates
from headway.jobs.outcomes import Ending, Failure, Phase
from headway.jobs.plan import Plan
from headway.jobs.standing import HOPELESS, LOST, SUCCEEDED, Standing, states_shown
from headway.jobs.states import JobState, RunState, Verdict, shown_as


class Try(NamedTuple):
    """One try of a job. Moments are microseconds of UTC since 1970; 0: not known."""

    number: int
    ending: Ending | None  # None: under way, or cut off with nobody to see its end
    began_us: int
    ended_us: int
    phase: Phase  # the last one entered
    executed: bool  # whether Run was entered
    failure: Failure | None  # of the last phase that failed
    reason: Failure | None  # what the Check said, for which Run was entered
    lap: int
    waits_us: int = 0  # of a try that another one follows: when that may start


class Going(NamedTuple):
    """A try, or the Cleanup of one, that is under way or was cut off."""

    number: int
    phase: Phase
    began_us: int
    since_us: int  # when the phase began
    reason: Failure | None = None


class Change(NamedTuple):
    """How often, how and by whom a run was begun, taken up, retried, cancelled or ended."""

    at_us: int
    what: str  # "began", "resumed", "retried", "paused", "unpaused", "cancelled" or a RunState
    who: str = ""
    why: str = ""


class Progress:
    """A run of a plan as far as the events applied so far tell."""

    def __init__(self, plan: Plan, events: Iterable[Event] = ()) -> None:
        self.plan = plan
        self.lap = 1
        self.tries: dict[int, list[Try]] = {}
        self.going: dict[int, Going] = {}
        self.cleanups: dict[int, Failure | None] = {}  # of Cleanups that ended: what failed
        self.settled: dict[int, Settled] = {}
        self.workers: dict[int, str] = {}  # of steps: who has, or had, the last attempt
        self.changes: list[Change] = []
        self.last_line: dict[int, str] = {}  # of output, live only
        self.repairs = 0  # Runs entered
        self.cleaned = 0  # Cleanups ended
        self._gates = Gates()
        self._standing = Standing(plan)
        for event in events:
            self.apply(event)

    def apply(self, event: Event | Live) -> None:
        self._gates.apply(event)
        match event:
            case RunBegan() | RunResumed() | RunRetried() | RunCancelled() | RunEnded():
                self._changed(event)
            case RunPaused(at_us, who, why) | RunUnpaused(at_us, who, why):
                self._standing.apply(event)
                what = "paused" if isinstance(event, RunPaused) else "unpaused"
                self.changes.append(Change(at_us, what, who, why))
            case TryEnded():
                self._try_ended(event)
            case JobStood():
                self._stood(event)
            case CleanupEnded(_, key, _, failure):
                self.going.pop(key, None)
                self.cleanups[key] = failure
                self.cleaned += 1
            case Settled():
                self._standing.apply(event)
                self.settled[event.key] = event
            case OutputWritten(_, key, _, _, text):
                self.last_line[key] = text
            case TryStarted() | RunIntended() | RecheckIntended() | PhaseEnded():
                self._went_on(event)
            case CleanupIntended() | GateReached():
                self._went_on(event)
            case StepClaimed(_, key, _, _, worker, _):
                self.workers[key] = worker
            case StepGivenBack(_, key, _, _, _):
                self.workers.pop(key, None)
            case NoticeIntended() | PhaseNoticeIntended() | ProcessStarted() | RequestAnswered():
                pass
            case GateAnswered():
                pass

    def _went_on(
        self,
        event: TryStarted
        | RunIntended
        | RecheckIntended
        | PhaseEnded
        | CleanupIntended
        | GateReached,
    ) -> None:
        key, number, at_us = event.key, event.number, event.at_us
        match event:
            case TryStarted():
                going = self.going.get(key)
                if going is not None and going.number == number:
                    # A journal writes it late, and only for a try that goes on for a while.
                    self.going[key] = going._replace(began_us=at_us)
                    return
                first = Phase.CHECK if self.plan.rules[key].has_check else Phase.RUN
                self.going[key] = Going(number, first, at_us, at_us)
            case RunIntended():
                self.repairs += 1
                began_us = self._began_us(key, number) or at_us
                self.going[key] = Going(number, Phase.RUN, began_us, at_us, event.failure)
            case PhaseEnded() | RecheckIntended():
                ended = Phase.RUN if isinstance(event, RecheckIntended) else event.phase
                if ended is Phase.RUN and key in self.going:
                    going = self.going[key]
                    self.going[key] = going._replace(phase=Phase.RECHECK, since_us=at_us)
            case GateReached():
                began_us = self._began_us(key, number) or at_us
                self.going[key] = Going(number, Phase.RUN, began_us, at_us)
            case CleanupIntended():
                self.going[key] = Going(number, Phase.CLEANUP, at_us, at_us)

    def _stood(self, event: JobStood) -> None:
        if event.state is JobState.WAITING:
            tries = self.tries[event.key]
            waits_us = event.at_us + round(event.again_in_s * 1e6)
            tries[-1] = tries[-1]._replace(waits_us=waits_us)

    def _changed(self, event: RunBegan | RunResumed | RunRetried | RunCancelled | RunEnded) -> None:
        self._standing.apply(event)
        match event:
            case RunBegan(at_us):
                change = Change(at_us, "began")
            case RunResumed(at_us, owner):
                change = Change(at_us, "resumed", owner)
                self._cut_off()
            case RunRetried(at_us, _, who):
                change = Change(at_us, "retried", who)
                self.lap += 1
            case RunCancelled(at_us, who, why):
                change = Change(at_us, "cancelled", who, why)
            case RunEnded(at_us, state, _, _, why):
                change = Change(at_us, str(state), why=why)
                self._cut_off()
        self.changes.append(change)

    def _cut_off(self) -> None:
        """What was under way is under way no more: nobody saw how it ended."""
        for key, going in self.going.items():
            if going.phase is not Phase.CLEANUP:
                self.tries.setdefault(key, []).append(
                    Try(
                        number=going.number,
                        ending=None,
                        began_us=going.began_us,
                        ended_us=0,
                        phase=going.phase,
                        executed=going.phase is not Phase.CHECK,
                        failure=None,
                        reason=going.reason,
                        lap=self.lap,
                    )
                )
        self.going.clear()

    def _began_us(self, key: int, number: int) -> int:
        going = self.going.get(key)
        return going.began_us if going is not None and going.number == number else 0

    def _try_ended(self, event: TryEnded) -> None:
        key = event.key
        self._standing.apply(event)
        if event.executed and key in self.plan.closings:
            self.cleaned += 1
        going = self.going.pop(key, None)
        tries = self.tries.setdefault(key, [])
        reason = going.reason if going is not None else None
        if tries and tries[-1].number == event.number and tries[-1].ending is None:
            reason = tries.pop().reason  # cut off, then told after all: lost, or asked again
        waits_us = 0
        if self._standing.states[key] is JobState.WAITING:
            waits_us = event.at_us + round(self.plan.rules[key].retry_delay_s * 1e6)
        began_us = event.began_us or (going.began_us if going is not None else 0)
        tries.append(
            Try(
                number=event.number,
                ending=event.ending,
                began_us=began_us,
                ended_us=event.at_us,
                phase=event.phase,
                executed=event.executed,
                failure=event.failure,
                reason=reason,
                lap=self.lap,
                waits_us=waits_us,
            )
        )

    def stood(self, event: TryEnded) -> JobStood:
        """Where the end of a try, applied last, left its job: for who reads a growing journal."""
        key, again_in_s = event.key, 0.0
        last = self.last_try(key)
        if last is not None and last.waits_us:
            again_in_s = (last.waits_us - event.at_us) / 1e6
        state = self._standing.states[key]
        return JobStood(event.at_us, key, event.number, state, again_in_s)

    # What a reader asks

    def states(self, *, living: bool = True) -> list[JobState]:
        """By key, where each job stands. ``living``: whether somebody works on the run."""
        standing = self._standing
        shown = states_shown(
            self.plan,
            standing.states,
            standing.acted,
            cancelled=standing.cancelled,
            stopped=standing.stopped,
        )
        if standing.ended is RunState.FAILED:
            # A strict run stopped at a job that looks broken: the rest was not reached.
            shown = [JobState.CANCELLED if s is JobState.PENDING else s for s in shown]
        if living:
            for key, going in self.going.items():
                left = self.plan.is_gate(key) and self.awaited(key) is None
                if going.phase is not Phase.CLEANUP and not left:
                    shown[key] = JobState.RUNNING
        return shown

    def counts(self, *, living: bool = True) -> dict[JobState, int]:
        """How many jobs stand where; states without a job are left out."""
        found: dict[JobState, int] = {}
        for state in self.states(living=living):
            found[state] = found.get(state, 0) + 1
        return {state: found[state] for state in JobState if state in found}

    def shown(self, *, living: bool = True) -> list[JobState | Verdict]:
        """By key, how each job's state is told."""
        rules = self.plan.rules
        return [
            shown_as(state, has_check=rules[key].has_check)
            for key, state in enumerate(self.states(living=living))
        ]

    def counts_shown(self, *, living: bool = True) -> dict[JobState | Verdict, int]:
        """How many jobs are told to stand where."""
        counts = Counter(self.shown(living=living))
        order: list[JobState | Verdict] = list(JobState)
        order.insert(order.index(JobState.REPAIRED) + 1, Verdict.DONE)
        return {state: counts[state] for state in order if counts[state]}

    @property
    def quick_counts(self) -> dict[JobState, int]:
        """How many jobs stand where, kept up as events come: without what is only derived.

        A job whose next try is under way counts as it stood before.
        """
        return self._standing.counts

    @property
    def waiting(self) -> list[int]:
        """The jobs whose next try waits for its delay."""
        return [key for key in self._standing.ended_us if key not in self.going]

    def last_try(self, key: int) -> Try | None:
        tries = self.tries.get(key)
        return tries[-1] if tries else None

    def failure(self, key: int) -> Failure | None:
        """Why a job is not done: of its last try, if that failed."""
        last = self.last_try(key)
        return last.failure if last is not None else None

    def tries_in_lap(self, key: int) -> int:
        """How many tries of a job ended since it was last begun anew."""
        return self._standing.tries[key]

    def waits_for(self, key: int) -> list[int]:
        """The jobs it needs that are not done."""
        states = self._standing.states
        return [need for need in self.plan.needs[key] if states[need] not in SUCCEEDED]

    def was_waiting(self, key: int) -> bool:
        """Whether its next try waits for its delay, or did so when the run stopped."""
        return self._standing.states[key] is JobState.WAITING

    def stopped_by(self) -> list[int]:
        """The jobs whose loss stopped the run, where its policy says so."""
        if not self._standing.stopped:
            return []
        stops_at = self.plan.stops_at
        states = enumerate(self._standing.states)
        return [key for key, state in states if state in LOST and stops_at(key)]

    def blocked_by(self, key: int) -> list[int]:
        """The jobs, near or far, that are to blame for a blocked one: they failed themselves."""
        states = self._standing.states
        found = []
        if key in self.plan.closings:
            key = self.plan.closings[key].of
        for need in sorted(self.plan.below(key) - {key}):
            if states[need] in HOPELESS:
                found.append(need)
        return found

    def blame(self, most: int) -> dict[int, tuple[int, ...]]:
        """For each blocked job, up to so many of the jobs to blame; linear in jobs and needs."""
        states = self.states()
        found: dict[int, tuple[int, ...]] = {}
        for key, state in enumerate(states):
            if state is not JobState.BLOCKED:
                continue
            blamed: dict[int, None] = {}
            closing = self.plan.closings.get(key)
            if closing is not None:
                blamed.update(dict.fromkeys(found.get(closing.of, ())))
            for need in self.plan.needs[key]:
                if states[need] in (JobState.BLOCKED, JobState.PENDING):
                    blamed.update(dict.fromkeys(found.get(need, ())))
                elif states[need] in HOPELESS:
                    blamed[need] = None
            found[key] = tuple(blamed)[:most]
        return found

    def blocks(self, key: int) -> list[int]:
        """The jobs, near or far, that are blocked because of it."""
        states = self.states()
        return sorted(other for other in self.plan.above(key) if states[other] is JobState.BLOCKED)

    def awaited(self, key: int) -> GateReached | None:
        """Since when, and for what, a person is waited for there; None where nobody is."""
        if self._standing.cancelled or self._standing.stopped:
            return None  # nothing starts any more, whatever the answer
        return self._gates.waiting.get(key)

    @property
    def awaits(self) -> list[int]:
        """The gates that wait for an answer."""
        return sorted(key for key in self._gates.waiting if self.awaited(key) is not None)

    def answer(self, key: int) -> GateAnswered | None:
        """What a person last answered at a gate."""
        return self._gates.answered.get(key)

    def in_doubt(self) -> list[int]:
        states = self._standing.states
        return [key for key, state in enumerate(states) if state is JobState.IN_DOUBT]

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to stop, and nobody has changed their mind."""
        return self._standing.cancelled

    @property
    def paused(self) -> bool:
        """Whether the run was asked to start nothing new, and has not been told otherwise."""
        return self._standing.paused

    @property
    def ended(self) -> RunState | None:
        """How the run ended, if it is over."""
        return self._standing.ended
