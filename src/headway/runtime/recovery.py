"""Where a run stood when it was cut off, out of its journal, and what becomes of what was lost."""

import threading
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from headway.jobs.events import (
    CleanupEnded,
    CleanupIntended,
    Event,
    NoticeIntended,
    ProcessStarted,
    RecheckIntended,
    RunIntended,
    RunResumed,
    RunRetried,
    StepClaimed,
    StepGivenBack,
    TryEnded,
)
from headway.jobs.gates import Gates
from headway.jobs.outcomes import Ending, Failure, Phase
from headway.jobs.plan import Plan
from headway.jobs.schedule import Schedule
from headway.jobs.shared import Changes, SharedStorage
from headway.jobs.standing import SUCCEEDED, Standing
from headway.jobs.states import JobState
from headway.runtime.clocks import SYSTEM, Clock
from headway.runtime.runner import Runner, Start
from headway.runtime.unwinding import Executed

_LOST = Failure("Lost", "its process ended while Run was going on")


class UnderWay(NamedTuple):
    """A step that may be heard of yet."""

    begun: RunIntended  # as what it was dispatched
    claimed: StepClaimed | None  # who has it, if that is known
    left: RecheckIntended | None  # if it is over itself, and only its Check is asked again


class Stood:
    """Where a run stood. A *place* is the key of a job and the number of a try of it."""

    def __init__(self, plan: Plan, events: Sequence[Event], clock: Clock = SYSTEM) -> None:
        self._plan = plan
        self._clock = clock
        self._events = events
        self._intended: dict[tuple[int, int], RunIntended] = {}  # in the order they began
        self._begun_now: set[tuple[int, int]] = set()  # first by whoever has the run now
        self._ended: dict[tuple[int, int], TryEnded] = {}
        self._cleaning: set[tuple[int, int]] = set()
        self._cleaned: set[tuple[int, int]] = set()
        self._commands: dict[tuple[int, int], list[ProcessStarted]] = {}  # perhaps still running
        self._cleanup_failures: list[tuple[int, Failure]] = []
        self._told: list[tuple[int, int, str, str]] = []  # notices
        self._left: dict[tuple[int, int], RecheckIntended] = {}
        self._claimed: dict[str, StepClaimed] = {}  # by attempt: who has it, or had it last
        self._standing = Standing(plan)
        for event in events:
            self._standing.apply(event)
            self._note(event)

    def _note(self, event: Event) -> None:
        if isinstance(event, RunIntended):
            # A try that is begun again after a death is one try, with one Cleanup to come, whose
            # place among the others is the newer one.
            place = (event.key, event.number)
            if self._intended.pop(place, None) is None:
                self._begun_now.add(place)
            self._intended[place] = event
            self._cleaning.discard(place)
            self._cleaned.discard(place)
            self._left.pop(place, None)
        elif isinstance(event, TryEnded):
            place = (event.key, event.number)
            self._ended[place] = event
            if place in self._begun_now and not event.executed:
                del self._intended[place]  # of a step that no worker took
            self._begun_now.discard(place)
            if event.ending is not Ending.OVERDUE:
                self._commands.pop((event.key, event.number), None)
        elif isinstance(event, RunResumed):
            self._begun_now.clear()
        elif isinstance(event, NoticeIntended):
            self._told.append((event.key, event.number, event.notice, event.transport))
        elif isinstance(event, ProcessStarted):
            self._commands.setdefault((event.key, event.number), []).append(event)
        elif isinstance(event, CleanupIntended):
            self._cleaning.add((event.key, event.number))
        elif isinstance(event, CleanupEnded):
            self._cleaned.add((event.key, event.number))
            self._commands.pop((event.key, event.number), None)
            if event.failure is not None:
                self._cleanup_failures.append((event.key, event.failure))
        elif isinstance(event, RunRetried):
            self._cleanup_failures.clear()
        elif isinstance(event, (StepClaimed, StepGivenBack, RecheckIntended)):
            self._note_step(event)

    def _note_step(self, event: StepClaimed | StepGivenBack | RecheckIntended) -> None:
        if isinstance(event, RecheckIntended):
            self._left[event.key, event.number] = event
        elif isinstance(event, StepClaimed):
            self._claimed[event.attempt] = event
        else:
            self._claimed.pop(event.attempt, None)

    def end_processes(self, run: str) -> None:
        """End what is left of the commands that the dead owner's jobs were running."""
        from headway.runtime.leftovers import end_leftovers

        noted = [command for commands in self._commands.values() for command in commands]
        end_leftovers(run, noted, self._is_over)

    def _is_over(self, key: int, number: int) -> bool:
        """Whether nothing of a try can be under way, its Cleanup included."""
        place = (key, number)
        ended = self._ended.get(place)
        known = ended is not None and ended.ending is not Ending.OVERDUE
        return known and (place in self._cleaned or place not in self._cleaning)

    def under_way(self) -> dict[tuple[int, int], UnderWay]:
        """By place: the steps that are gone on with, as their answers are kept for us."""
        return {
            place: UnderWay(intended, self._claimed.get(intended.attempt), self._left.get(place))
            for place, intended in self._intended.items()
            if intended.replies and place not in self._ended
        }

    def lost(self, under_way: Container[tuple[int, int]] = ()) -> list[TryEnded]:
        """The ends of tries of run-only jobs whose Run began and whose end nobody saw.

        ``under_way``: places of those that are gone on with.
        """
        found: list[TryEnded] = []
        for place, intended in self._intended.items():
            rules = self._plan.rules[intended.key]
            if rules.has_check or place in self._ended or rules.on_lost == "rerun":
                continue
            if place in under_way:
                continue
            found.append(
                TryEnded(
                    self._clock.now_us(),
                    intended.key,
                    intended.number,
                    Ending.IN_DOUBT if rules.on_lost == "ask" else Ending.FAILED,
                    phase=Phase.RUN,
                    executed=True,
                    final=True,
                    failure=_LOST,
                    storage=intended.storage,
                )
            )
        return found

    def start(self, under_way: Mapping[tuple[int, int], UnderWay] = {}) -> Start:
        """What a runner needs to go on. ``under_way``: what its executor has been given of that."""
        going = {key: (number, one.begun.at_us) for (key, number), one in under_way.items()}
        schedule = Schedule.from_journal(
            self._plan,
            self._events,
            Runner.chance,
            now=self._clock.monotonic(),
            at_us=self._clock.now_us(),
            going=going,
        )
        last: dict[int, int] = {}
        for key, number in self._ended:
            last[key] = max(number, last.get(key, 0))
        executed = [
            Executed(key, number, None, self._storage(key, number))
            for key, number in self._intended
            if (key, number) not in self._cleaned and self._plan.rules[key].has_cleanup
        ]
        return Start(
            schedule=schedule,
            numbers={key: number - schedule.tries[key] for key, number in last.items()},
            shared=self._shared(),
            executed=executed,
            cleanup_failures=self._cleanup_failures,
            cancelled=self._standing.cancelled,
            owed=self._owed(schedule.states),
            told=self._told,
            gates=Gates(self._events),
            going=going,
            abandoned=self._abandoned(),
        )

    def _abandoned(self) -> list[str]:
        """Attempts whose Run began and whose end nobody saw, that nobody goes on with."""
        return [
            intended.attempt
            for place, intended in self._intended.items()
            if intended.attempt and not intended.replies and place not in self._ended
        ]

    def _storage(self, key: int, number: int) -> Changes | None:
        """The job's own storage as its try left it, or as it was when Run began."""
        ended = self._ended.get((key, number))
        if ended is not None and ended.storage is not None:
            return ended.storage
        return self._intended[key, number].storage

    def _shared(self) -> SharedStorage:
        shared = SharedStorage(threading.get_ident)
        for event in self._events:
            if isinstance(event, (RunIntended, TryEnded)) and event.shared is not None:
                shared.apply(event.shared)
        return shared

    def _owed(self, states: Sequence[JobState]) -> dict[str, int]:
        """Keys of global_storage whose value is missing, to the job whose Check is to set it.

        Jobs that will be tried anyway owe nothing yet, and nothing that needs a job that failed
        is going to start.
        """
        owed: dict[str, int] = {}
        for event in self._events:
            if isinstance(event, (RunIntended, TryEnded)) and event.shared is not None:
                for name in (*event.shared.set, *event.shared.deleted):
                    owed.pop(name, None)
                owed.update(dict.fromkeys(event.shared.opaque, event.key))
        return {name: key for name, key in owed.items() if states[key] in SUCCEEDED}
