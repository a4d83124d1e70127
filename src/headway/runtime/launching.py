"""Begins runs and takes them up again: from a target and a store to a runner."""

import getpass
import os
import sys
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import headway
from headway.errors import Conflict, DefinitionError, Rejected
from headway.jobs.events import (
    Event,
    Listener,
    RunEnded,
    RunPaused,
    RunResumed,
    RunRetried,
    RunUnpaused,
    Settled,
    decode,
)
from headway.jobs.gates import Gates
from headway.jobs.plan import Plan
from headway.jobs.schedule import Schedule
from headway.jobs.standing import SUCCEEDED
from headway.jobs.states import JobState, RunState
from headway.ports.executor import Executor
from headway.ports.store import Launch, RunRecord, Store, short_id
from headway.releases.surroundings import NOTHING
from headway.runtime import clocks, ownership
from headway.runtime.gate_notices import GateNotices
from headway.runtime.journal import Journal
from headway.runtime.keeper import Keeper
from headway.runtime.loading import Loaded
from headway.runtime.phase_notices import Announce, PhaseNotices
from headway.runtime.recovery import Stood
from headway.runtime.requests import OVER, decide
from headway.runtime.runner import Runner
from headway.runtime.sources import fingerprints
from headway.runtime.targets import load
from headway.runtime.turns import Ahead, Turn


@dataclass(slots=True)
class Options:
    """How a run is to be carried out; stored with it."""

    cleanup: bool = True
    strict: bool = False
    slots: int | None = None  # None: one for jobs alone, else as many as may start
    on: str = ""  # "" for inline with one slot, threads with more
    app: str = ""  # of Celery, if they run there: as for celery -A
    limits: Mapping[str, int] = field(default_factory=dict)
    workers: Sequence[str] = ()  # of its steps, served by whoever works on the run
    bus: str = ""  # where its steps' workers are, without password; "": in its own process

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Watch:
    """What somebody who looks on wants of a run."""

    phases: bool = False  # to be told of each phase's end
    trace: bool = False  # failures with their tracebacks
    ticked: Callable[[], None] | None = None  # called some twenty times a second, by any thread
    waits: Callable[[Sequence[Ahead]], object] | None = None  # told who is ahead for its locks


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
    announce: Announce | None = None,
) -> Runner:
    """Store a new run and make the runner that carries it out.

    ``announce``: tells people of it on a bus, where they are to be told.
    """
    watch = watch or Watch()
    run = clocks.new_id()
    now_us = clocks.now_us()
    plan = loaded.plan
    launch = Launch(
        target=loaded.target,
        root=loaded.name or plan.names[-1],
        inputs=loaded.kept_inputs,
        directory=os.getcwd(),
        options=options.as_json(),
        sources=fingerprints(loaded.definitions),
        who=who(),
        version=headway.__version__,
        python=python_version(),
        surroundings=loaded.surroundings.to_plain(),
        group=loaded.group,
        locks=loaded.locks,
        hosts=loaded.hosts,
    )
    owner = ownership.this_process()
    epoch = store.begin(run, launch, plan.to_json(), len(plan), owner, now_us)
    journal = Journal(store, run, epoch, now_us=clocks.now_us)
    notices = PhaseNotices(
        loaded.surroundings.phase_notice, launch.root, journal, announce=announce
    )
    at_gates = GateNotices(loaded.definitions, journal, announce=announce)
    return Runner(
        plan,
        loaded.definitions,
        executor,
        inputs=loaded.inputs,
        journal=journal,
        listeners=[*listeners, *notices.listeners, *at_gates.listeners],
        notices=notices.due,
        watches_phases=watch.phases,
        trace=watch.trace,
        ticked=watch.ticked,
        redaction=loaded.redaction,
        cleanup=options.cleanup,
        strict=options.strict,
        turn=_turn(store, run, launch, watch),
    )


def _turn(store: Store, run: str, launch: Launch, watch: Watch) -> Callable[[], bool] | None:
    return Turn(store, run, watch.waits).has_come if launch.locks else None


def reload(
    store: Store, record: RunRecord, again: Mapping[str, Any] | None = None
) -> tuple[Loaded, list[str]]:
    """The target of a run as it is now, and in words what differs in its code.

    ``again``: inputs that nobody kept, because they are secret.

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
    for name in again or ():
        if name in launch.inputs:
            raise DefinitionError(
                f"run {short_id(record.id)} has its {name!r}: it stays what it is"
            )
    inputs = {**launch.inputs, **(again or {})}
    surroundings = NOTHING
    if launch.surroundings:
        from headway.runtime.playbooks import surrounding

        surroundings = surrounding(record)
    loaded = load(launch.target, inputs, stored.policy._asdict(), surroundings, stored=store)
    stored.require_same(loaded.plan, launch.target, short_id(record.id))
    return loaded, _changed_sources(launch, loaded)


def _changed_sources(launch: Launch, loaded: Loaded) -> list[str]:
    if launch.python != python_version():
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
    announce: Announce | None = None,
) -> Runner:
    """Become the owner of a run that nobody works on, and make the runner that goes on with it.

    ``retry``: keys to be tried anew. ``announce``: as for ``begin``. What the dead owner's jobs
    left running is ended first.
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
    stood = Stood(loaded.plan, events)
    stood.end_processes(record.id)
    told: list[Event] = [RunResumed(clocks.now_us(), str(ownership.this_process()))]
    told += stood.lost()
    if retry is not None:
        told.append(RunRetried(clocks.now_us(), tuple(retry), who()))
    journal.write(*told)
    events += told
    events += _answer_requests(store, journal, loaded.plan, events, retried=retry is not None)
    undecided = _undecided(loaded.plan, events)
    if undecided:
        counts = Counter(map(str, Schedule.from_journal(loaded.plan, events).states_shown()))
        ended = RunEnded(clocks.now_us(), RunState.IN_DOUBT, dict(counts))
        journal.write(ended, state=RunState.IN_DOUBT)
        raise Undecided(record.id, [loaded.plan.names[key] for key in undecided])
    notices = PhaseNotices(
        loaded.surroundings.phase_notice, record.launch.root, journal, events, announce
    )
    at_gates = GateNotices(loaded.definitions, journal, events, announce)
    return Runner(
        loaded.plan,
        loaded.definitions,
        executor,
        inputs=loaded.inputs,
        journal=journal,
        listeners=[*listeners, *notices.listeners, *at_gates.listeners],
        notices=notices.due,
        watches_phases=watch.phases,
        trace=watch.trace,
        ticked=watch.ticked,
        redaction=loaded.redaction,
        cleanup=options.cleanup,
        strict=options.strict,
        start=Stood(loaded.plan, events).start(),
        turn=_turn(store, record.id, record.launch, watch),
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


def require_unowned(record: RunRecord) -> None:
    """Nobody works on the run. Raises: Conflict naming who does."""
    if ownership.lives(record):
        short = short_id(record.id)
        raise Conflict(
            f"run {short} is being worked on by {record.owner}:"
            f" headway logs {short} -f shows it, headway cancel {short} stops it"
        )


def retry_keys(plan: Plan, events: Sequence[Event], from_job: str | None) -> list[int]:
    """The jobs to be tried anew: those that failed, or one and all that need it.

    In a chain whose leavings were put away that begins with what left them, which is put away
    anew, too. What comes last is done anew where anything else is: it belongs to the end of that.
    """
    states = Schedule.from_journal(plan, events).states
    if from_job is not None:
        keys = set(plan.above(plan.key_of(from_job)))
    else:
        bad = (JobState.FAILED, JobState.OVERDUE, JobState.IN_DOUBT, JobState.WAITING)
        keys = {key for key, state in enumerate(states) if state in bad}
    keys |= undone(plan, states, keys)
    if any(plan.stops_at(key) for key in keys):
        keys.update(plan.lasts)
    return sorted(keys)


def undone(plan: Plan, states: Sequence[JobState], again: Container[int] = ()) -> set[int]:
    """What was put away after it was done, in chains that are not complete, and what follows it.

    To go on with such a chain is to begin again there. ``again``: what is to be tried anew.
    """
    found: set[int] = set()
    for closer, chain in plan.closings.items():
        nodes = range(chain.first, chain.last + 1)
        goes_on = any(states[key] not in SUCCEEDED or key in again for key in nodes)
        if states[closer] is JobState.PENDING or not goes_on:
            continue
        if states[closer] is not JobState.PASSED:
            found.update(range(chain.of, chain.last + 1))
        # What passed as there was nothing to put away may have something now.
        found.add(closer)
    return found


def _undecided(plan: Plan, events: Sequence[Event]) -> list[int]:
    states = Schedule.from_journal(plan, events).states
    return [key for key, state in enumerate(states) if state is JobState.IN_DOUBT]


def _answer_requests(
    store: Store, journal: Journal, plan: Plan, events: Sequence[Event], *, retried: bool
) -> list[Event]:
    """Answer what was asked of the run while nobody worked on it."""
    answered: list[Event] = []
    doubtful = set(_undecided(plan, events))
    gates = Gates(events)
    paused = Schedule.from_journal(plan, events).paused
    for request in store.asked(journal.run):
        if retried and request.verb == "cancel":
            # It came too late for the run that was over, and does not mean this one.
            journal.answer(request.id, OVER)
            continue
        now_us, doubt = clocks.now_us(), doubtful.__contains__
        answer, event = decide(request, plan, doubt, now_us, gates.waiting, paused=paused)
        journal.answer(request.id, answer, *([event] if event else []))
        if event is not None:
            answered.append(event)
            gates.apply(event)
        if isinstance(event, (RunPaused, RunUnpaused)):
            paused = isinstance(event, RunPaused)
        if isinstance(event, Settled):
            doubtful.discard(event.key)
    return answered


def require_whole(store: Store, record: RunRecord, plan: Plan) -> None:
    """Nothing was put away that the rest of the run builds on. Raises: Rejected."""
    if keys := _undone_now(store, record, plan):
        short = short_id(record.id)
        raise Rejected(
            f"run {short} has put away what {plan.names[min(keys)]} did, and cannot simply go on:"
            f" headway retry {short} does that again first"
        )


def _undone_now(store: Store, record: RunRecord, plan: Plan) -> set[int]:
    events = [decode(one.row) for one in store.journal(record.id)]
    # As for whoever goes on with it: to take up a cancelled run is a change of mind.
    schedule = Schedule.from_journal(plan, [*events, RunResumed(0, "")])
    return set() if schedule.is_stopped_for_good else undone(plan, schedule.states)


def require_over(store: Store, record: RunRecord) -> None:
    """The run is over, or cannot simply go on. Raises: Rejected saying what to type instead."""
    state = ownership.state_now(record)
    if state is RunState.INTERRUPTED:
        plan = Plan.from_json(store.plan(record.id))
        if _undone_now(store, record, plan):
            return
    short = short_id(record.id)
    if state is RunState.QUEUED:
        raise Rejected(f"run {short} is queued, not over: headway cancel {short} gives it up")
    if state in (RunState.RUNNING, RunState.INTERRUPTED, RunState.IN_DOUBT):
        raise Rejected(f"run {short} is {state}, not over: headway resume {short} goes on")


def who() -> str:
    """The person at the keyboard, as the system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def python_version() -> str:
    """Python's, as a run keeps it: major and minor."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _quoted(name: str) -> str:
    import shlex

    return shlex.quote(name)
