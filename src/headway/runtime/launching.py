"""Begins runs and takes them up again: from a target and a store to a runner."""

import getpass
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import headway
from headway.errors import Conflict, DefinitionError, Rejected
from headway.jobs.events import (
    CleanupEnded,
    Event,
    Listener,
    ProcessStarted,
    RunCancelled,
    RunEnded,
    RunIntended,
    RunResumed,
    RunRetried,
    Settled,
    TryEnded,
    decode,
)
from headway.jobs.outcomes import Ending, Failure, Phase
from headway.jobs.plan import Plan
from headway.jobs.schedule import Schedule
from headway.jobs.shared import SharedStorage
from headway.jobs.states import JobState, RunState
from headway.ports.executor import Executor
from headway.ports.store import Launch, RunRecord, Store, short_id
from headway.runtime import clocks, ownership
from headway.runtime.journal import Journal
from headway.runtime.keeper import Keeper
from headway.runtime.runner import Executed, Runner, Start
from headway.runtime.sources import fingerprints
from headway.runtime.targets import Loaded, load


@dataclass(slots=True)
class Options:
    """How a run is to be carried out; stored with it."""

    cleanup: bool = True
    strict: bool = False
    slots: int = 1
    on: str = ""  # "" for inline with one slot, threads with more
    limits: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Watch:
    """What somebody who looks on wants of a run."""

    phases: bool = False  # to be told of each phase's end
    trace: bool = False  # failures with their tracebacks
    ticked: Callable[[], None] | None = None  # called some twenty times a second, by any thread


class Undecided(Conflict):
    """A person must say what became of jobs whose Run began and whose end nobody saw."""

    def __init__(self, run: str, jobs: Sequence[str]) -> None:
        self.run = run
        self.jobs = tuple(jobs)
        one = jobs[0]
        super().__init__(
            f"{', '.join(jobs)}: Run began and nobody knows how it ended. Look, then type"
            f" headway settle {short_id(run)} {_quoted(one)} --done (or --again, or --failed)"
        )


def begin(
    store: Store,
    loaded: Loaded,
    executor: Executor,
    options: Options,
    listeners: Sequence[Listener] = (),
    watch: Watch | None = None,
) -> Runner:
    """Store a new run and make the runner that carries it out."""
    watch = watch or Watch()
    run = clocks.new_id()
    now_us = clocks.now_us()
    plan = loaded.plan
    launch = Launch(
        target=loaded.target,
        root=plan.names[-1],
        inputs=dict(loaded.inputs),
        directory=os.getcwd(),
        options=options.as_json(),
        sources=fingerprints(loaded.definitions),
        who=who(),
        version=headway.__version__,
        python=_python(),
    )
    owner = ownership.this_process()
    epoch = store.begin(run, launch, plan.to_json(), len(plan), owner, now_us)
    journal = Journal(store, run, epoch, now_us=clocks.now_us)
    return Runner(
        plan,
        loaded.definitions,
        executor,
        inputs=loaded.inputs,
        journal=journal,
        listeners=listeners,
        watches_phases=watch.phases,
        trace=watch.trace,
        ticked=watch.ticked,
        cleanup=options.cleanup,
        strict=options.strict,
    )


def reload(store: Store, record: RunRecord) -> tuple[Loaded, list[str]]:
    """The target of a run as it is now, and in words what differs in its code.

    Changes to the directory the run was started in. Raises: DefinitionError when the plan is no
    longer the same.
    """
    launch = record.launch
    if not Path(launch.directory).is_dir():
        raise DefinitionError(
            f"run {short_id(record.id)} was started in {launch.directory}, which is gone"
        )
    os.chdir(launch.directory)
    stored = Plan.from_json(store.plan(record.id))
    loaded = load(launch.target, launch.inputs, stored.policy)
    differences = stored.difference(loaded.plan)
    if differences:
        listed = "\n  ".join(differences[:20])
        raise DefinitionError(
            f"the plan of {launch.target} is no longer that of run {short_id(record.id)}:\n"
            f"  {listed}\nUndo that to go on with this run, or start a new one with headway run."
        )
    return loaded, _changed_sources(launch, loaded)


def _changed_sources(launch: Launch, loaded: Loaded) -> list[str]:
    if launch.python != _python():
        return []  # compiled by another Python, code cannot be compared
    now = fingerprints(loaded.definitions)
    return [
        loaded.plan.names[key]
        for key, (old, new) in enumerate(zip(launch.sources, now, strict=True))
        if old != new
    ]


def take_up(
    store: Store,
    record: RunRecord,
    loaded: Loaded,
    executor: Executor,
    options: Options,
    listeners: Sequence[Listener] = (),
    watch: Watch | None = None,
    *,
    retry: Sequence[int] | None = None,
) -> Runner:
    """Become the owner of a run that nobody works on, and make the runner that goes on with it.

    ``retry``: keys to be tried anew. What the dead owner's jobs left running is ended first.
    Raises: Conflict when the run has a living owner; Undecided when a person must decide first.
    """
    watch = watch or Watch()
    require_unowned(record)
    epoch = store.take(
        record.id, record.epoch, ownership.this_process(), next_lap=retry is not None
    )
    entries = list(store.journal(record.id))
    events = [decode(entry.row) for entry in entries]
    lap = record.lap + (retry is not None)
    journal = Journal(
        store, record.id, epoch, lap=lap, next_seq=len(entries) + 1, now_us=clocks.now_us
    )
    stood = _Stood(loaded.plan, events)
    stood.end_processes()
    told: list[Event] = [RunResumed(clocks.now_us(), str(ownership.this_process()))]
    told += stood.lost()
    if retry is not None:
        told.append(RunRetried(clocks.now_us(), tuple(retry), who()))
    journal.write(*told)
    events += told
    events += _answer_requests(store, journal, loaded.plan, events)
    undecided = _undecided(loaded.plan, events)
    if undecided:
        ended = RunEnded(clocks.now_us(), RunState.IN_DOUBT, {})
        journal.write(ended, state=RunState.IN_DOUBT)
        raise Undecided(record.id, [loaded.plan.names[key] for key in undecided])
    return Runner(
        loaded.plan,
        loaded.definitions,
        executor,
        inputs=loaded.inputs,
        journal=journal,
        listeners=listeners,
        watches_phases=watch.phases,
        trace=watch.trace,
        ticked=watch.ticked,
        cleanup=options.cleanup,
        strict=options.strict,
        start=_Stood(loaded.plan, events).start(),
    )


def carry_out(runner: Runner) -> RunState:
    """Run it to its end, with somebody keeping the journal while a job has the thread."""
    if not runner.needs_keeper:
        return runner.run()
    with Keeper(runner.tick):
        return runner.run()


def unwind(runner: Runner, state: RunState) -> RunState:
    """Run the Cleanups that are due and nothing else, of a run that stood at ``state``."""
    if not runner.needs_keeper:
        return runner.unwind(state)
    with Keeper(runner.tick):
        return runner.unwind(state)


def lost_tries(plan: Plan, events: Sequence[Event]) -> list[TryEnded]:
    """What becomes of run-only jobs whose Run began and whose end nobody saw."""
    return _Stood(plan, events).lost()


def require_unowned(record: RunRecord) -> None:
    """Nobody works on the run. Raises: Conflict naming who does."""
    if ownership.lives(record):
        short = short_id(record.id)
        raise Conflict(
            f"run {short} is being worked on by {record.owner}:"
            f" headway logs {short} -f shows it, headway cancel {short} stops it"
        )


def retry_keys(plan: Plan, events: Sequence[Event], from_job: str | None) -> list[int]:
    """The jobs to be tried anew: those that failed, or one and all that need it."""
    if from_job is not None:
        return sorted(plan.above(plan.key_of(from_job)))
    states = Schedule.from_journal(plan, events).states
    bad = (JobState.FAILED, JobState.OVERDUE, JobState.IN_DOUBT, JobState.WAITING)
    return [key for key, state in enumerate(states) if state in bad]


class _Stood:
    """Where a run stood, out of its journal."""

    def __init__(self, plan: Plan, events: Sequence[Event]) -> None:
        self.plan = plan
        self.events = events
        self.intended: dict[tuple[int, int], RunIntended] = {}
        self.ended: dict[tuple[int, int], TryEnded] = {}
        self.cleaned: set[tuple[int, int]] = set()
        self.processes: list[ProcessStarted] = []
        for event in events:
            if isinstance(event, RunIntended):
                # Done again after a death: its place among the Cleanups is the newer one.
                self.intended.pop((event.key, event.number), None)
                self.intended[event.key, event.number] = event
            elif isinstance(event, TryEnded):
                self.ended[event.key, event.number] = event
            elif isinstance(event, CleanupEnded):
                self.cleaned.add((event.key, event.number))
            elif isinstance(event, ProcessStarted):
                self.processes.append(event)

    def end_processes(self) -> None:
        """End what the dead owner's jobs left running."""
        from headway.adapters.commands import end_group

        for process in self.processes:
            over = (process.key, process.number) in self.ended
            same = process.boot == ownership.boot_id() and process.started
            if not over and same and ownership.process_started(process.pid) == process.started:
                end_group(process.pid)

    def lost(self) -> list[TryEnded]:
        """What becomes of run-only jobs whose Run began and whose end was not seen."""
        found: list[TryEnded] = []
        for place, event in self.intended.items():
            rules = self.plan.rules[event.key]
            if rules.has_check or place in self.ended or rules.on_lost == "rerun":
                continue
            ask = rules.on_lost == "ask"
            found.append(
                TryEnded(
                    clocks.now_us(),
                    event.key,
                    event.number,
                    Ending.IN_DOUBT if ask else Ending.FAILED,
                    phase=Phase.RUN,
                    executed=True,
                    final=True,
                    failure=Failure("Lost", "its process ended while Run was going on"),
                    storage=event.storage,
                )
            )
        return found

    def start(self) -> Start:
        """What a runner needs to go on."""
        schedule = Schedule.from_journal(
            self.plan,
            self.events,
            Runner.chance,
            now=clocks.monotonic(),
            at_us=clocks.now_us(),
        )
        shared = SharedStorage(threading.get_ident)
        owed: dict[str, int] = {}  # key of global_storage to the job that set what is missing
        for event in self.events:
            if isinstance(event, (RunIntended, TryEnded)) and event.shared is not None:
                shared.apply(event.shared)
                for name in (*event.shared.set, *event.shared.deleted):
                    owed.pop(name, None)
                owed.update(dict.fromkeys(event.shared.opaque, event.key))
        last: dict[int, int] = {}
        for key, number in self.ended:
            last[key] = max(number, last.get(key, 0))
        executed = [
            Executed(key, number, None, self._storage(key, number))
            for key, number in self.intended
            if (key, number) not in self.cleaned and self.plan.rules[key].has_cleanup
        ]
        return Start(
            schedule=schedule,
            numbers={key: number - schedule.tries[key] for key, number in last.items()},
            shared=shared,
            executed=executed,
            cancelled=any(_cancels(self.events)),
            owed=owed,
        )

    def _storage(self, key: int, number: int) -> Any:
        ended = self.ended.get((key, number))
        return (ended and ended.storage) or self.intended[key, number].storage


def _cancels(events: Sequence[Event]) -> list[Event]:
    """Cancellations that were not followed by the run's end or a retry."""
    found: list[Event] = []
    for event in events:
        if isinstance(event, RunCancelled):
            found.append(event)
        elif isinstance(event, (RunEnded, RunRetried)):
            found.clear()
    return found


def _undecided(plan: Plan, events: Sequence[Event]) -> list[int]:
    states = Schedule.from_journal(plan, events).states
    return [key for key, state in enumerate(states) if state is JobState.IN_DOUBT]


def _answer_requests(
    store: Store, journal: Journal, plan: Plan, events: Sequence[Event]
) -> list[Event]:
    """Answer what was asked of the run while nobody worked on it."""
    answered: list[Event] = []
    for request in store.asked(journal.run):
        now_us = clocks.now_us()
        why = str(request.args.get("why", ""))
        if request.verb == "settle":
            key, how = int(request.args["key"]), str(request.args["how"])
            if key in _undecided(plan, [*events, *answered]):
                settled = Settled(now_us, key, how, request.who, why)
                journal.answer(request.id, f"{plan.names[key]} is settled: {how}", settled)
                answered.append(settled)
            else:
                journal.answer(request.id, f"refused: {plan.names[key]} is not in doubt")
        elif request.verb == "cancel":
            cancelled = RunCancelled(now_us, request.who, why)
            journal.answer(request.id, "cancelling", cancelled)
            answered.append(cancelled)
        else:
            journal.answer(request.id, f"refused: unknown request {request.verb!r}")
    return answered


def require_over(record: RunRecord) -> None:
    """The run is over. Raises: Rejected saying what to type instead."""
    state = ownership.state_now(record)
    if state in (RunState.RUNNING, RunState.INTERRUPTED, RunState.IN_DOUBT):
        short = short_id(record.id)
        raise Rejected(f"run {short} is {state}, not over: headway resume {short} goes on")


def who() -> str:
    """The person at the keyboard, as the system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _quoted(name: str) -> str:
    import shlex

    return shlex.quote(name)
