"""Accepts deployments and drives all of them in one thread, whatever happens to the process.

Everything that matters is in the store. Whoever wants a deployment writes a run that nobody owns;
a core takes it up, advances it whenever there is news of it, and commits what all its runs have
put down together, before anything follows from it. A core that cannot commit throws away all that
it knows and begins again from the store: nothing has happened that is not written there.

One core at a time leads a store (``headway.runtime.leading``).

Threads: one drives. The bus tells news in its own thread, which only puts it into a queue.
"""

import logging
import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush

from headway.adapters.dispatching import Dispatcher
from headway.adapters.steps import STEP_TIMEOUT_S
from headway.errors import Conflict, DefinitionError, HeadwayError, Rejected, WireError
from headway.jobs.states import OVER, RunState
from headway.ports.bus import Bus
from headway.ports.store import Owner, Request, RunRecord, Store, short_id
from headway.releases.surroundings import NOTHING, Surroundings
from headway.runtime import clocks
from headway.runtime.deployment import Deployment, Hold, begin_anew, give_up, take_up
from headway.runtime.job_requests import JobRequests
from headway.runtime.ledger import Ledger
from headway.runtime.rights_again import Environments, refusal
from headway.runtime.shelf import Shelf
from headway.wire import names

_LOG = logging.getLogger("headway.core")
NAME = "core"  # begins the names of its queues on the bus
LOOK_S = 0.25  # how often requests and new deployments are looked for
SWEEP_S = 5.0  # how often it is looked whether a run was left to nobody
MOST_AT_ONCE = 2_000  # news taken before what follows from it is committed


@dataclass(frozen=True, slots=True)
class CoreRules:
    """How a core goes about it."""

    step_timeout_s: float = STEP_TIMEOUT_S  # for each phase of a step that says nothing of it
    look_s: float = LOOK_S
    surroundings: Surroundings = NOTHING  # of deployments that are asked for over the bus
    environments: Environments = field(default_factory=dict)  # of tokens: see rights_again


class Core:
    """Drives the deployments of one store over one bus, for as long as it leads. One thread."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        owner: Owner,
        term: int,
        rules: CoreRules | None = None,
    ) -> None:
        """``term``: which lead it is; no other core of the store has had the same."""
        self._store = store
        self._rules = rules = rules or CoreRules()
        self._ledger = Ledger(store)
        dispatcher = Dispatcher(bus, NAME, durable=str(term), watches=(names.OUTPUT,))
        self._dispatcher = dispatcher
        self._hold = Hold(store, self._ledger, dispatcher, owner, rules.step_timeout_s)
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()  # runs; "" for anything else
        asked = partial(self._news.put, "")
        self._shelf = Shelf(store)
        self._requests = JobRequests(store, self._shelf, bus, asked, rules.surroundings)
        self._deployments: dict[str, Deployment] = {}
        self._new: set[str] = set()  # those taken up that were not advanced yet
        self._timers: list[tuple[float, str]] = []
        self._look_at = 0.0
        self._sweep_at = 0.0
        self._drains = False

    def drive(self, goes_on: Callable[[], bool]) -> None:
        """Drive until told otherwise; then hand everything back.

        ``goes_on`` may raise, when this core leads no longer. Raises: Unavailable when store or
        bus do not answer; what was under way is then taken up again from the store.
        """
        self._dispatcher.open()
        self._requests.open()
        try:
            while goes_on():
                self._turn()
            self._hand_back()
        finally:
            self._requests.close()
            self._dispatcher.close()

    def drain(self) -> None:
        """Start nothing more, in any deployment; what is under way goes on. Any thread."""
        self._drains = True
        self.wake()

    def wake(self) -> None:
        """Have it look for requests and new deployments now. Any thread."""
        self._look_at = 0.0
        self._news.put("")

    # One turn: hear, advance, commit

    def _turn(self) -> None:
        heard = self._heard()
        if self._requests.answer():
            self._look_at = 0.0
        now = clocks.monotonic()
        if now >= self._look_at:
            self._look()
            self._look_at = now + self._rules.look_s
        while self._timers and self._timers[0][0] <= now:
            at, run = heappop(self._timers)
            deployment = self._deployments.get(run)
            if deployment is not None and deployment.due == at:
                deployment.due = None
                heard[run] = None
        for run in heard:
            self._advance(run)
        self._commit()
        if self._new.isdisjoint(self._deployments):
            self._dispatcher.hear_adopted()

    def _heard(self) -> dict[str, None]:
        """The runs of which there is news, waiting for the first until something else is due."""
        due = [self._look_at, *([self._timers[0][0]] if self._timers else [])]
        heard: dict[str, None] = {}
        try:
            heard[self._news.get(timeout=max(0.0, min(due) - clocks.monotonic()))] = None
            for _ in range(MOST_AT_ONCE):
                heard[self._news.get_nowait()] = None
        except queue.Empty:
            pass
        heard.pop("", None)
        return heard

    def _advance(self, run: str) -> None:
        deployment = self._deployments.get(run)
        if deployment is None:
            return  # it ended meanwhile
        state = deployment.advance()
        if deployment.has_adopted:
            self._new.discard(run)
        if state is not None:
            del self._deployments[run]
            _LOG.info("deployment %s: %s", short_id(run), state)
            return
        wake_at = deployment.wake_at
        if wake_at is not None and (deployment.due is None or wake_at < deployment.due):
            deployment.due = wake_at
            heappush(self._timers, (wake_at, run))

    def _commit(self) -> None:
        for run, error in self._ledger.commit():
            _LOG.warning("deployment %s is let go: %s", short_id(run), error)
            deployment = self._deployments.pop(run, None)
            if deployment is not None:
                deployment.forsake()

    # What comes from the store

    def _look(self) -> None:
        sweeps = clocks.monotonic() >= self._sweep_at
        for record in self._store.core_runs(unowned=not sweeps):
            if record.id not in self._deployments:
                self._take_up(record)
        if sweeps:
            self._sweep_at = clocks.monotonic() + SWEEP_S
        for request in self._store.open_requests():
            self._asked(request)
        for run, deployment in self._deployments.items():
            deployment.look()
            if self._drains:
                deployment.drain()
            if run in self._new:
                self._news.put(run)

    def _take_up(self, record: RunRecord) -> Deployment | None:
        try:
            self._require_rights(record)
            loaded = self._shelf.loaded(record)
        except (DefinitionError, Rejected, WireError) as error:
            _LOG.error("deployment %s cannot be gone on with: %s", short_id(record.id), error)
            give_up(self._hold, record, str(error))
            return None
        woken = partial(self._news.put, record.id)
        try:
            deployment = take_up(self._hold, record, loaded, woken)
        except (Conflict, DefinitionError) as error:
            _LOG.warning("deployment %s: %s", short_id(record.id), error)
            return None
        self._deployments[record.id] = deployment
        self._new.add(record.id)
        _LOG.info("deployment %s: taken up, %d steps", short_id(record.id), len(loaded.plan))
        for request in self._store.asked(record.id):
            deployment.asked(request)
        woken()
        return deployment

    def _require_rights(self, record: RunRecord) -> None:
        """Whoever asked for it may still have it begun. Raises: Rejected.

        Only before it ever began: to go on with it, or to try it anew, others may have asked.
        """
        if record.epoch == 0 and (
            why := refusal(self._store, record.launch, self._rules.environments)
        ):
            raise Rejected(why)

    def _asked(self, request: Request) -> None:
        deployment = self._deployments.get(request.run)
        if deployment is not None:
            deployment.asked(request)
            self._news.put(request.run)
            return
        record = self._store.find(request.run)
        answer = self._asked_at_rest(request, record)
        if answer:
            self._store.answer(request.id, answer)

    def _asked_at_rest(self, request: Request, record: RunRecord) -> str:
        """Do what is asked of a run that nobody works on; the answer, unless the run gives it."""
        match request.verb:
            case "retry" if record.state in (RunState.FAILED, RunState.CANCELLED):
                return self._begin_anew(request, record)
            case "resume" if record.state is RunState.CANCELLED:
                return self._begin_anew(request, record)
            case "retry" | "resume":
                return f"refused: the run is {record.state}"
            case _ if record.state in OVER:
                return "refused: the run is over"
            case "settle" | "cancel" | "approve":
                self._take_up(record)  # which answers it
                return ""
            case _:
                return f"refused: the run is {record.state}"

    def _begin_anew(self, request: Request, record: RunRecord) -> str:
        """Let a run that is over wait for its turn once more."""
        try:
            loaded = self._shelf.loaded(record)
            begin_anew(self._hold, record, loaded.plan, request)
        except (Conflict, DefinitionError, Rejected, WireError) as error:
            return f"refused: {error}"
        self._look_at = 0.0  # its turn may be now
        return ""

    def _hand_back(self) -> None:
        """Let another core take up at once what is under way."""
        self._commit()
        for run, deployment in self._deployments.items():
            try:
                deployment.hand_back(self._store)
            except HeadwayError as error:
                _LOG.info("deployment %s stays ours until the lease is over: %s", run, error)
        self._deployments.clear()
