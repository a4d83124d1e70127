"""Deployments driven by cores that are killed, with a broker and a database that are killed too,
and what is to be true of them in the end.

The steps note what they do in a file that no death takes back. That is compared with what the
journals say.
"""

import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any, NamedTuple

from headway.adapters.bus_address import parse_bus_url
from headway.adapters.opening import open_store
from headway.errors import HeadwayError
from headway.jobs.events import Event, RunIntended, Settled, TryEnded, decode
from headway.jobs.outcomes import Ending
from headway.jobs.plan import Plan
from headway.jobs.states import OVER, RunState
from headway.ports.bus import DIRECT_REPLY_TO, Bus, Delivery, Message
from headway.ports.store import RunRecord, Store
from headway.runtime import clocks
from headway.runtime.buses import make_bus
from headway.runtime.stored_playbooks import add
from headway.wire import names
from headway.wire.messages import JobAnswer, JobRequest
from tests.services.postgres import PostgresServer
from tests.services.rabbitmq import RabbitNode
from tests.services.worker_process import WorkerProcess

REPOSITORY = Path(__file__).parents[2]
HEADWAY = Path(sys.executable).with_name("headway")
DEADLINE_S = 120.0
LOOK_S = 0.1
ASK_AGAIN_S = 3.0
LONGEST_LIFE_S = 0.6  # of a core that leads, before it is killed
WORKERS = 2
SUCCESS = (Ending.PASSED, Ending.REPAIRED)
POLICIES = ("ask", "rerun", "fail", "check")


class Effect(NamedTuple):
    """One line that a step wrote."""

    run: str
    step: int
    what: str
    attempt: str


class Found(NamedTuple):
    """One deployment as the store has it in the end."""

    record: RunRecord
    plan: Plan
    events: Sequence[Event]


def playbook(name: str, policies: Sequence[str], takes_s: float) -> str:
    """Steps one after another, each with what is to be done when nobody saw its end."""
    steps = []
    for number, policy in enumerate(policies):
        job: dict[str, Any] = {"on_lost": policy}
        if policy == "check":
            job = {"check": {"effects:IsDone": {"step": number}}}
        if number == 0:
            job["cleanup"] = {"effects:Undo": {"step": number, "takes_s": 0}}
        steps.append({"effects:Do": {"step": number, "takes_s": takes_s, "job": job}})
    sequence = {"hosts": ["web1"], "steps": steps}
    return json.dumps({"group": "faults", "name": name, "execution": [sequence]})


# The checker


def violations(
    ids: Iterable[str], found: Sequence[Found], effects: Sequence[Effect]
) -> Sequence[str]:
    """What is not as promised; one sentence each.

    ``ids``: those given out. ``effects``: in the order in which they were written.
    """
    there = {one.record.id for one in found}
    said = [f"{id}: given out, and lost" for id in ids if id not in there]
    done = Counter(effect.attempt for effect in effects)
    known: set[str] = set()
    for one in found:
        said += [f"{one.record.id}: {what}" for what in _of_one(one, done, known)]
    said += [f"attempt {one}: done, and in no journal" for one in sorted(set(done) - known)]
    return said


def _of_one(found: Found, done: Counter[str], known: set[str]) -> Iterable[str]:
    record, plan, events = found
    if record.state not in OVER:
        yield f"is {record.state}"
    ends: Counter[tuple[int, int]] = Counter()
    wins: Counter[int] = Counter()
    agains: Counter[int] = Counter()
    attempts: dict[str, int] = {}
    well: set[int] = set()
    for event in events:
        match event:
            case RunIntended(key=key, attempt=attempt):
                attempts[attempt] = key
                missing = set(plan.needs[key]) - well
                if missing and key not in plan.closings:
                    yield f"{plan.names[key]} began before {sorted(missing)} were done"
            case TryEnded(key=key, number=number, ending=ending):
                ends[key, number] += 1
                if ending in SUCCESS:
                    wins[key] += 1
                    well.add(key)
            case Settled(key=key, how=how):
                agains[key] += how == "again"
                if how == "done":
                    well.add(key)
            case _:
                pass
    known.update(attempts)
    yield from (f"try {place} has {count} ends" for place, count in ends.items() if count > 1)
    yield from (f"{plan.names[key]} succeeded twice" for key in wins if wins[key] > 1)
    times: Counter[int] = Counter()
    for attempt, key in attempts.items():
        times[key] += done[attempt]
    for key, rules in enumerate(plan.rules):
        if key in well and not rules.has_check and not times[key]:
            yield f"{plan.names[key]} is said to be done, and was not"
        may_again = rules.has_check or rules.on_lost == "rerun"
        if not may_again and times[key] > 1 + agains[key]:
            yield f"{plan.names[key]} was done {times[key]} times"


# The world


@dataclass
class Told:
    """What a run of the harness did; for people."""

    deployments: int
    steps: int
    settled: int
    states: dict[str, int]
    hits: int  # what went wrong while steps were under way
    took_s: float


class Requests:
    """Asks for deployments over the bus, until each has its id."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._open: dict[str, bytes] = {}
        self.ids: list[str] = []
        self._bus: Bus | None = None

    def ask(self, playbook_id: str) -> None:
        with self._lock:
            body = JobRequest(group="faults", playbook_id=playbook_id).encode()
            self._open[clocks.new_id()] = body
        self.send()

    @property
    def are_answered(self) -> bool:
        with self._lock:
            return not self._open

    def send(self) -> None:
        """Those that nobody has answered, once more; under the same names."""
        with suppress(HeadwayError):
            if self._bus is None:
                bus = make_bus(parse_bus_url(self._url), name="who asks")
                bus.open()
                bus.consume(DIRECT_REPLY_TO, self._answered, inline=True)
                self._bus = bus
            with self._lock:
                waiting = dict(self._open)
            for id, body in waiting.items():
                message = Message(body, names.JSON, reply_to=DIRECT_REPLY_TO, message_id=id)
                message = message._replace(correlation_id=id)
                self._bus.publish(message, names.JOB_CREATE, names.EXCHANGE)

    def _answered(self, delivery: Delivery) -> None:
        id = JobAnswer.decode(delivery.message.body).id
        with self._lock:
            name = delivery.message.correlation_id
            if name in self._open and id is not None:
                del self._open[name]
                self.ids.append(id)

    def close(self) -> None:
        if self._bus is not None:
            self._bus.close()


class Place:
    """A broker, a database, workers, and whichever core is there."""

    def __init__(
        self,
        stack: ExitStack,
        directory: Path,
        node: RabbitNode,
        bus_url: str,
        server: PostgresServer,
        db_url: str,
        seed: int,
    ) -> None:
        self.random = random.Random(seed)
        self._stack = stack
        self._node, self._server = node, server
        self._bus_url, self._db_url = bus_url, db_url
        self._effects = directory / "effects"
        self._effects.touch()
        config = directory / "effects.json"
        config.write_text(json.dumps({"effects": str(self._effects)}))
        with closing(open_store(db_url)):
            pass  # its tables are there before two cores would make them
        self._requests = Requests(bus_url)
        stack.callback(self._requests.close)
        self._settled = 0
        self._hits = 0
        self._began_s = time.monotonic()
        target = f"{REPOSITORY}/tests/faults/effects_worker.py:EffectsWorker"
        for _ in range(WORKERS):
            self._started("worker", target, "-w", config, "--concurrency", 4, "--bus", bus_url)
        self._core = self._new_core()

    def _started(self, *words: object) -> WorkerProcess:
        process = WorkerProcess(HEADWAY, *words, cwd=REPOSITORY)
        self._stack.callback(self._end, process)
        return process

    def _end(self, process: WorkerProcess) -> None:
        if process.process.poll() is None:
            process.end(SIGKILL)

    def _new_core(self) -> WorkerProcess:
        return self._started("core", "--bus", self._bus_url, "--db", self._db_url)

    def deploy(self, number: int, takes_s: float = 0.05) -> None:
        """Ask for so many more deployments, each of a playbook of its own."""
        for _ in range(number):
            policies = self.random.choices(POLICIES, k=self.random.randint(3, 6))
            name = f"effects {clocks.new_id()}"
            with closing(open_store(self._db_url)) as store:
                text = playbook(name, policies, takes_s).encode()
                made = add(store, text, "JSON", name, who="a test")
            self._requests.ask(made.id)

    # What goes wrong

    def kill_core(self) -> None:
        """Some time after it leads; another is started."""
        self._let_it_lead()
        self._core.end(SIGKILL)
        self._core = self._new_core()

    def take_over(self) -> None:
        """The core is killed while another one waits for its place."""
        self._let_it_lead()
        standby = self._new_core()
        standby.wait_for("waiting: ")
        self._core.end(SIGKILL)
        self._core = standby

    def freeze_core(self) -> float:
        """The core seems to live, but does nothing any more, until another one leads; the seconds
        that takes. Then it goes on, and is to find that it leads no longer."""
        self._let_it_lead()
        standby = self._new_core()
        standby.wait_for("waiting: ")
        frozen, self._core = self._core, standby
        frozen.process.send_signal(SIGSTOP)
        began_s = time.monotonic()
        standby.wait_for("leads, term")
        took_s = time.monotonic() - began_s
        frozen.process.send_signal(SIGCONT)
        frozen.wait_for("leads no longer")
        frozen.end(SIGKILL)
        return took_s

    def kill_broker(self) -> None:
        self._let_it_lead()
        self._node.kill()
        self._node.start()

    def kill_database(self) -> None:
        self._let_it_lead()
        self._server.kill()
        self._server.start()

    def _let_it_lead(self) -> None:
        self._core.wait_for("leads, term")
        self._pause(self.random.uniform(0, LONGEST_LIFE_S))
        self._hits += self._is_under_way()

    def _is_under_way(self) -> bool:
        with closing(open_store(self._db_url)) as store:
            return any(record.state is RunState.RUNNING for record in store.runs(limit=10_000))

    def _pause(self, pause_s: float) -> None:
        threading.Event().wait(pause_s)

    # How it ends

    def finish(self) -> Told:
        """Wait until all is over, settling what is in doubt as a person who looks would."""
        self._until(self._is_asked, ASK_AGAIN_S)
        self._until(self._is_over, LOOK_S)
        with closing(open_store(self._db_url)) as store:
            found = self._found(store)
        effects = self.effects()
        said = violations(self._requests.ids, found, effects)
        assert not said, "\n".join(said)
        states = Counter(str(one.record.state) for one in found)
        took_s = time.monotonic() - self._began_s
        return Told(len(found), len(effects), self._settled, dict(states), self._hits, took_s)

    def _until(self, holds: Callable[[], bool], look_s: float) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < deadline, self._how_it_stands()
            self._pause(look_s)

    def _is_asked(self) -> bool:
        self._requests.send()
        return self._requests.are_answered

    def _is_over(self) -> bool:
        with closing(open_store(self._db_url)) as store:
            records = store.runs(limit=10_000)
            for record in records:
                if record.state is RunState.IN_DOUBT:
                    self._settle(store, record)
            return all(record.state in OVER for record in records)

    def _settle(self, store: Store, record: RunRecord) -> None:
        if store.asked(record.id):
            return  # the core has not come to it
        events = [decode(entry.row) for entry in store.journal(record.id)]
        stands: dict[int, bool] = {}
        attempts: dict[int, set[str]] = {}
        for event in events:
            if isinstance(event, RunIntended):
                attempts.setdefault(event.key, set()).add(event.attempt)
            elif isinstance(event, TryEnded):
                stands[event.key] = event.ending is Ending.IN_DOUBT
            elif isinstance(event, Settled):
                stands[event.key] = False
        done = {effect.attempt for effect in self.effects()}
        for key in [key for key, is_in_doubt in stands.items() if is_in_doubt]:
            how = "done" if attempts[key] & done else "again"
            store.ask(record.id, "settle", {"key": key, "how": how}, "anna", clocks.now_us())
            self._settled += 1

    def effects(self) -> list[Effect]:
        lines = [line.split() for line in self._effects.read_text().splitlines()]
        return [Effect(run, int(step), what, attempt) for run, step, what, attempt in lines]

    def _found(self, store: Store) -> list[Found]:
        return [
            Found(
                record,
                Plan.from_json(store.plan(record.id)),
                [decode(entry.row) for entry in store.journal(record.id)],
            )
            for record in store.runs(limit=10_000)
        ]

    def _how_it_stands(self) -> str:
        with closing(open_store(self._db_url)) as store:
            states = Counter(str(record.state) for record in store.runs(limit=10_000))
        return f"it does not end: {dict(states)}\n{self._core.err[-3000:]}"


def carry_out(place: Place, plan: Sequence[str], each: int) -> Told:
    """What goes wrong, in the place's own random order; so many deployments are asked for
    before each."""
    acts = {
        "core": place.kill_core,
        "takeover": place.take_over,
        "broker": place.kill_broker,
        "database": place.kill_database,
    }
    for what in place.random.sample(list(plan), len(plan)):
        place.deploy(each)
        acts[what]()
    return place.finish()
