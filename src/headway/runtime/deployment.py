"""One run in the hands of a core: taken up from the store, carried on, let go.

A run of steps alone is advanced by the core's own thread, whenever there is news of it. One that
has Python jobs has a thread of its own, in which its jobs' threads are waited for.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from headway.adapters.dispatching import Dispatcher
from headway.adapters.steps import Adopted, Steps
from headway.errors import DefinitionError, HeadwayError
from headway.jobs.events import Event, RunEnded, RunResumed, RunRetried, encode
from headway.jobs.events import decode as decoded
from headway.jobs.plan import Plan
from headway.jobs.states import RunState
from headway.ports.store import Owner, Request, RunRecord, Store, short_id
from headway.releases.steps import StepNode
from headway.releases.surroundings import NOTHING, Surroundings
from headway.runtime import clocks
from headway.runtime.clocks import SYSTEM, Clock
from headway.runtime.executors import make
from headway.runtime.gate_notices import GateNotices
from headway.runtime.journal import Journal
from headway.runtime.launching import require_whole, retry_keys
from headway.runtime.ledger import Ledger, StagedJournal
from headway.runtime.loading import Loaded
from headway.runtime.phase_notices import PhaseNotices
from headway.runtime.playbooks import surrounding
from headway.runtime.recovery import Stood, UnderWay
from headway.runtime.runner import STOP_GRACE_S, Runner

_LOG = logging.getLogger("headway.core")
JOB_SLOTS = 4  # Python jobs of one run at once
ADOPTS_S = 5.0  # for a run's thread to go on with what was under way


@dataclass(slots=True)
class Hold:
    """What a core works with."""

    store: Store
    ledger: Ledger
    dispatcher: Dispatcher
    owner: Owner
    step_timeout_s: float
    clock: Clock = SYSTEM


class Deployment(Protocol):
    """A run that this process owns."""

    due: float | None  # when somebody has said to look at it again

    def advance(self) -> RunState | None:
        """All that can be done without waiting; where the run stands, once it is over."""

    def asked(self, request: Request) -> None:
        """Answer a request, and do what it wants."""

    @property
    def wake_at(self) -> float | None:
        """When it is to be advanced though nothing was heard; monotonic seconds."""

    def look(self) -> None:
        """Let what has gone on for a while be written."""

    @property
    def has_adopted(self) -> bool:
        """Whether it goes on with all that was under way, as far as it will."""

    def drain(self) -> None:
        """Start nothing more; what is under way goes on."""

    def forsake(self) -> None:
        """It is somebody else's now: nothing more is done for it."""

    def hand_back(self, store: Store) -> None:
        """Leave it as it stands, for another core to go on with."""


class _Advanced:
    """A run of steps alone."""

    def __init__(self, runner: Runner, steps: Steps, journal: StagedJournal) -> None:
        self.due: float | None = None
        self._runner = runner
        self._steps = steps
        self._journal = journal
        runner.open()

    def advance(self) -> RunState | None:
        state = self._runner.advance(self._steps.is_heard_out)
        if state is not None:
            self._journal.after(self._runner.close)
        return state

    def asked(self, request: Request) -> None:
        self._runner.asked(request)

    @property
    def wake_at(self) -> float | None:
        found = [at for at in (self._steps.wake_at, self._runner.wake_at) if at is not None]
        return min(found) if found else None

    @property
    def has_adopted(self) -> bool:
        return True  # with the first advance

    def look(self) -> None:
        if self._journal.going:
            self._journal.look()

    def drain(self) -> None:
        self._steps.slots = 0

    def forsake(self) -> None:
        self._runner.close()

    def hand_back(self, store: Store) -> None:
        store.release(self._journal.run, self._journal.epoch)


class _InThread:
    """A run with Python jobs."""

    wake_at = None

    def __init__(
        self,
        runner: Runner,
        steps: Steps,
        woken: Callable[[], object],
        requests: Sequence[Request],
    ) -> None:
        """``requests``: answered first, as a run in doubt would be over without them."""
        self.due: float | None = None
        self._runner = runner
        self._steps = steps
        self._requests = requests
        self._adopts_until = clocks.monotonic() + ADOPTS_S
        self._woken = woken
        self._state: RunState | None = None
        name = f"headway-run {short_id(runner.run_id)}"
        self._thread = threading.Thread(target=self._carry_out, name=name, daemon=True)
        self._thread.start()

    def _carry_out(self) -> None:
        state = RunState.INTERRUPTED
        try:
            for request in self._requests:
                self._runner.asked(request)
            state = self._runner.run()
        except KeyboardInterrupt:
            pass  # it was handed back
        except HeadwayError as error:
            _LOG.warning("deployment %s is let go: %s", short_id(self._runner.run_id), error)
        finally:
            self._state = state
            self._woken()

    def advance(self) -> RunState | None:
        return self._state

    def asked(self, request: Request) -> None:
        pass  # its thread looks for requests itself

    @property
    def has_adopted(self) -> bool:
        # Others do not wait for ever for a thread that does not come to it.
        return self._steps.has_adopted or clocks.monotonic() >= self._adopts_until

    def look(self) -> None:
        pass

    def drain(self) -> None:
        self._steps.slots = 0

    def forsake(self) -> None:
        self._runner.leave()

    def hand_back(self, store: Store) -> None:
        self._runner.leave()
        self._thread.join(STOP_GRACE_S + 1)


def take_up(
    hold: Hold, record: RunRecord, loaded: Loaded, woken: Callable[[], object]
) -> Deployment:
    """Become the owner of a run, and make ready to go on with it where it stood.

    ``woken`` is called when there is news of it, in any thread.
    Raises: Lost when somebody took it meanwhile.
    """
    plan, now_us = loaded.plan, hold.clock.now_us
    entries = list(hold.store.journal(record.id))
    events: list[Event] = [decoded(entry.row) for entry in entries]
    epoch = hold.store.take(record.id, record.epoch, hold.owner)
    has_jobs = not all(isinstance(one, StepNode) for one in loaded.definitions)
    journal = _journal(hold, record, epoch, len(entries) + 1, staged=not has_jobs)
    stood = Stood(plan, events, hold.clock)
    under_way = stood.under_way()
    told: list[Event] = []
    if record.epoch:  # somebody had it before
        told.append(RunResumed(now_us(), str(hold.owner)))
    told += stood.lost(under_way)
    if told:
        journal.write(*told)
    if has_jobs:
        stood.end_processes(record.id)
    steps = Steps(
        hold.dispatcher,
        clocks.new_id,
        now_us,
        make("threads", JOB_SLOTS) if has_jobs else None,
        timeout_s=hold.step_timeout_s,
        adopted=_adopted(under_way),
        woken=woken,
        monotonic=hold.clock.monotonic,
    )
    notices = _notices(hold, record, loaded.surroundings, journal, events)
    at_gates = GateNotices(loaded.definitions, journal, events, hold.dispatcher.announce)
    runner = Runner(
        plan,
        loaded.definitions,
        steps,
        inputs=loaded.inputs,
        journal=journal,
        listeners=[*notices.listeners, *at_gates.listeners],
        notices=notices.due,
        redaction=loaded.redaction,
        start=Stood(plan, [*events, *told], hold.clock).start(under_way),
        clock=hold.clock,
    )
    if isinstance(journal, StagedJournal):
        return _Advanced(runner, steps, journal)
    return _InThread(runner, steps, woken, hold.store.asked(record.id))


def begin_anew(hold: Hold, record: RunRecord, plan: Plan, request: Request) -> None:
    """Let a run that is over wait for a core, and for its locks, once more; answer the request.

    A request to retry says what is done anew; to resume is to go on with what was cancelled.
    Raises: Lost when somebody took it meanwhile; DefinitionError for a job that is not there,
    Rejected for a run that cannot simply go on.
    """
    store = hold.store
    entries = list(store.journal(record.id))
    told: list[Event] = [RunResumed(hold.clock.now_us(), str(hold.owner))]
    retries = request.verb == "retry"
    if retries:
        events = [decoded(entry.row) for entry in entries]
        keys = retry_keys(plan, events, request.args.get("job"))
        told.append(RunRetried(hold.clock.now_us(), tuple(keys), request.who))
    else:
        require_whole(store, record, plan)
    epoch = store.take(record.id, record.epoch, hold.owner, next_lap=retries)
    store.append(
        record.id,
        epoch,
        record.lap + retries,
        len(entries) + 1,
        [encode(event) for event in told],
        state=RunState.QUEUED,
        answers=[(request.id, "it is tried anew" if retries else "it goes on")],
    )


def give_up(hold: Hold, record: RunRecord, why: str) -> None:
    """End a run that cannot be gone on with. Raises: Lost when somebody took it meanwhile."""
    epoch = hold.store.take(record.id, record.epoch, hold.owner)
    events = [decoded(entry.row) for entry in hold.store.journal(record.id)]
    journal = _journal(hold, record, epoch, len(events) + 1, staged=True)
    surroundings = NOTHING
    with suppress(DefinitionError):  # then that is why it cannot be gone on with
        surroundings = surrounding(record)
    notices = _notices(hold, record, surroundings, journal, events)
    told = notices.due(RunState.FAILED)
    ended = RunEnded(hold.clock.now_us(), RunState.FAILED, {}, why=why)
    journal.write(*told, ended, state=RunState.FAILED)
    for event in told:
        for listener in notices.listeners:
            listener(event)


def _notices(
    hold: Hold,
    record: RunRecord,
    surroundings: Surroundings,
    journal: Journal,
    events: Sequence[Event],
) -> PhaseNotices:
    return PhaseNotices(
        surroundings.phase_notice,
        record.launch.root,
        journal,
        events,
        hold.dispatcher.announce,
    )


def _journal(hold: Hold, record: RunRecord, epoch: int, next_seq: int, *, staged: bool) -> Journal:
    lap, now_us = record.lap, hold.clock.now_us
    if staged:
        return StagedJournal(
            hold.ledger, record.id, epoch, lap=lap, next_seq=next_seq, now_us=now_us
        )
    return Journal(hold.store, record.id, epoch, lap=lap, next_seq=next_seq, now_us=now_us)


def _adopted(under_way: Mapping[tuple[int, int], UnderWay]) -> dict[tuple[int, int], Adopted]:
    return {
        place: Adopted(
            begun.attempt,
            begun.replies,
            begun.at_us,
            None if claimed is None else claimed.worker,
            "" if claimed is None else claimed.address,
            begun.failure,
            left is not None,
            None if left is None else left.failure,
        )
        for place, (begun, claimed, left) in under_way.items()
    }
