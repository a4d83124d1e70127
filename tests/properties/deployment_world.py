"""A core, its store, a broker and workers in one thread, on a clock that stands still by itself.

Everything but the hands of the workers is real: runner, schedule, steps, dispatcher, ledger. Core
and workers may die at any moment; what the core does to the world is watched as it is done.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headway.adapters.dispatching import Dispatcher
from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus
from headway.adapters.publications import Publication
from headway.errors import HeadwayError, Unavailable
from headway.jobs.events import Row, decode
from headway.jobs.outcomes import Phase
from headway.jobs.schedule import Ignored
from headway.jobs.states import JobState, RunState
from headway.ports.bus import (
    DIRECT_REPLY_TO,
    Binding,
    Closed,
    Confirmation,
    Delivery,
    Exchange,
    Message,
    News,
    Opened,
    Queue,
    Settlement,
)
from headway.ports.store import Launch, Owner, Write
from headway.releases.claims import Standing
from headway.releases.compiling import CompiledPlaybook
from headway.releases.holders import BACK_WITHIN_S
from headway.runtime.clocks import Clock
from headway.runtime.deployment import Deployment, Hold, begin_anew, take_up
from headway.runtime.ledger import Ledger
from headway.runtime.loading import Loaded
from headway.testing.memory import MemoryStore
from headway.wire import names
from headway.wire.messages import Claim, Grant
from tests.properties.deployment_journal import Committed

COMMAND = "noop"
STEPS = names.worker_key(COMMAND)
STEP_TIMEOUT_S = 60.0  # of steps that name none
OVER = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
MOST_WAITS = 300  # until all runs are over
LAUNCH = Launch("pick", "Pick", {}, "/", {}, (), "somebody", "1", "3.11")


class Death(BaseException):
    """Instead of SIGKILL: of the core."""


class Time:
    def __init__(self) -> None:
        self.now_s = 1000.0
        self.clock = Clock(lambda: self.now_s, lambda: round(self.now_s * 1e6))


class WatchedStore(MemoryStore):
    """Dies or fails before or after a commit, if it is told to; reads what is committed."""

    def __init__(self, time: Time, told: Callable[[str], object]) -> None:
        super().__init__(time.clock.now_us)
        self.told = told
        self.committed: dict[str, Committed] = {}
        self.fault: tuple[str, BaseException] | None = None  # "before" or "after", and what then

    def append_all(self, writes: Sequence[Write]) -> None:
        when, error = self.fault or ("", None)
        self.fault = None
        if when == "before" and error is not None:
            raise error
        super().append_all(writes)
        for write in writes:
            for row in write.rows:
                event = decode(Row(*row))
                self.told(f"  committed {write.id[0]}: {event}")
                self.committed[write.id].read(event)
        if when == "after" and error is not None:
            raise error


class Sent(NamedTuple):
    """What an attempt is of."""

    run: str
    key: int
    number: int
    phase: Phase


class WatchedBus:
    """The core's: what is done by it is looked at before, and the core may die instead."""

    def __init__(self, bus: MemoryBus, life: "Life") -> None:
        self._bus = bus
        self._life = life

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    def publish(self, message: Message, routing_key: str, exchange: str = "") -> Publication:
        self._life.acts()
        if exchange == names.EXCHANGE and routing_key == STEPS:
            self._life.sends_step(message)
            if error := self._life.world.refusal():
                publication = Publication(message, routing_key, exchange)
                if isinstance(error, Unavailable) and error.args[0] == "it arrived":
                    self._bus.publish(message, routing_key, exchange)
                publication.end(error)
                return publication
        elif not exchange and not routing_key.startswith("core."):
            self._life.answers_claim(Grant.decode(message.body))
        return self._bus.publish(message, routing_key, exchange)

    def settle(self, delivery: Delivery, settlement: Settlement) -> Ignored | None:
        self._life.acts()
        return self._bus.settle(delivery, settlement)


class Life:
    """One core process, from its start to its death."""

    def __init__(self, world: "World", number: int) -> None:
        self.world = world
        self.bus = MemoryBus(world.broker, "core")
        self.bus.open()
        self.acts_left: int | None = None  # until it dies
        self.ledger = Ledger(world.store)
        clock = world.time.clock
        self.dispatcher = Dispatcher(
            WatchedBus(self.bus, self),
            "core",
            durable=str(number),
            watches=(names.OUTPUT,),
            look_s=None,
            monotonic=clock.monotonic,
        )
        owner = Owner("here", number, "", "")
        self.hold = Hold(world.store, self.ledger, self.dispatcher, owner, STEP_TIMEOUT_S, clock)
        self.deployments: dict[str, Deployment] = {}
        self.new: set[str] = set()  # those that were not advanced yet

    def begin(self, turns: int) -> None:
        """Take up all that is to be gone on with; meanwhile the broker has so many turns."""
        self.dispatcher.open()
        self.world.network(turns)
        for record in self.world.store.core_runs(unowned=False):
            self.take_up(record.id)
        self.world.network(turns)
        self.advance()
        self.commit()

    def take_up(self, run: str, retry: int | None = None) -> None:
        store, compiled = self.world.store, self.world.compiled
        loaded = Loaded("pick", compiled.plan, compiled.definitions, {})
        if retry is not None and (request := store.request(retry)) is not None:
            begin_anew(self.hold, store.find(run), loaded.plan, request)
        self.new.add(run)
        self.deployments[run] = take_up(self.hold, store.find(run), loaded, self.world.wake)
        for open_one in store.asked(run):
            if open_one.verb != "retry":
                self.deployments[run].asked(open_one)

    def advance(self) -> None:
        for run, deployment in list(self.deployments.items()):
            if deployment.advance() is not None:
                del self.deployments[run]
        self.new.clear()

    def commit(self) -> None:
        lost = self.ledger.commit()
        assert not lost, "what is written twice"
        if not self.new:
            self.dispatcher.hear_adopted()

    def end(self) -> None:
        self.bus.close()

    @property
    def trials(self) -> dict[str, tuple[str, Any]]:
        """By attempt that it waits for: the run, and what it knows of the try."""
        return {
            attempt: (run, trial)
            for run, deployment in self.deployments.items()
            for attempt, trial in deployment._steps._attempts.items()  # type: ignore[attr-defined]
        }

    # What it does to the world

    def acts(self) -> None:
        if self.acts_left is not None:
            self.acts_left -= 1
            if self.acts_left < 0:
                raise Death

    def sends_step(self, message: Message) -> None:
        attempt = message.message_id or ""
        run, trial = self.trials[attempt]
        committed = self.world.store.committed[run]
        assert committed.has_what_it_needs(trial.key), "sent before what it needs succeeded"
        self.world.replies[message.reply_to or ""] = None
        self.world.told(
            f"  core sends {attempt}: {run[0]} {trial.key} {trial.number} {trial.phase}"
        )
        self.world.sent[attempt] = Sent(run, trial.key, trial.number, trial.phase)
        if trial.phase is Phase.RUN:
            place = trial.key, trial.number
            assert committed.intended.get(place) == attempt, "sent before it is written"
            assert place not in committed.ends, "sent after its end"
        if committed.standing.cancelled and trial.phase is not Phase.RECHECK:
            assert trial.key in committed.plan.closings, "sent in a run that was cancelled"

    def answers_claim(self, grant: Grant) -> None:
        self.world.told(f"  core: {grant}")
        if not grant.granted:
            return
        world, attempt = self.world, grant.attempt
        sent = world.sent[attempt]
        if sent.phase is Phase.RUN:
            committed = world.store.committed[sent.run]
            assert committed.claimed.get(attempt) == grant.worker, "granted before it is written"
        holder = world.granted.setdefault(attempt, grant.worker)
        assert attempt in world.loose or holder == grant.worker, "granted to two workers"


def response(
    step: Delivery, status: str, *, worker: str, attempt: str | None
) -> tuple[Message, str]:
    """What a worker answers to a step, and where to. ``attempt``: which is echoed, if any is."""
    sent = step.message
    message = Message(
        json.dumps({"status": status}).encode(),
        names.JSON,
        {names.WORKER: worker} if worker else {},
        correlation_id=sent.correlation_id,
        message_id=attempt,
    )
    return message, sent.reply_to or ""


class Hand:
    """A worker that keeps to the protocol: it begins what it was granted, and nothing twice."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.inbox: list[Delivery] = []
        self.waits: dict[str, list[Delivery]] = {}  # for a grant, by attempt
        self.holds: dict[str, Delivery] = {}  # begun, not answered
        self.started: set[str] = set()  # of these, and it has said so
        self.begun: set[str] = set()
        self.unsent: list[tuple[Message, str]] = []
        self.bus = MemoryBus(world.broker, name)
        self.bus.open()
        bound = Binding(names.EXCHANGE, STEPS)
        self.bus.declare(Exchange(names.EXCHANGE), Queue(STEPS, bindings=(bound,)))
        self.bus.consume(DIRECT_REPLY_TO, self._told, inline=True)
        self.bus.consume(STEPS, self._take, prefetch=3, inline=True)
        self.bus.listen(self._news)

    def _take(self, delivery: Delivery) -> None:
        attempt = delivery.message.message_id or ""
        if attempt in self.begun:
            self.bus.settle(delivery, Settlement.ACK)
        elif attempt in self.waits:
            self.waits[attempt].append(delivery)
        else:
            self.inbox.append(delivery)

    def _told(self, delivery: Delivery) -> None:
        grant = Grant.decode(delivery.message.body)
        if grant.worker != self.name or grant.attempt not in self.waits:
            return
        waiting = self.waits.pop(grant.attempt)
        for one in waiting:
            self.bus.settle(one, Settlement.ACK)
        if grant.granted and grant.attempt not in self.begun:
            self.world.told(f"  {self.name} begins {grant.attempt}")
            self.begun.add(grant.attempt)
            self.holds[grant.attempt] = waiting[0]
            self.world.begins(self, grant.attempt)

    def _news(self, news: News) -> None:
        if isinstance(news, Closed):
            # What it has done nothing about is delivered again, perhaps before it hears of this.
            self.inbox = [one for one in self.inbox if self.bus.holds(one)]
        elif isinstance(news, Opened):
            unsent, self.unsent = self.unsent, []
            for message, key in unsent:
                self.publish(message, key)
            self.ask_again()

    def publish(self, message: Message, key: str) -> None:
        """Again and again, until the broker has it."""

        def confirmed(known: Confirmation) -> None:
            if known.error is not None:
                self.unsent.append((message, key))

        self.bus.publish(message, key).then(confirmed)

    def knows(self, attempt: str) -> bool:
        inbox = [one.message.message_id for one in self.inbox]
        return attempt in self.waits or attempt in self.holds or attempt in inbox

    def claim(self, which: int) -> None:
        if self.inbox:
            delivery = self.inbox.pop(which % len(self.inbox))
            attempt = delivery.message.message_id or ""
            self.waits.setdefault(attempt, []).append(delivery)
            self._send_claim(delivery)

    def ask_again(self) -> None:
        for delivery in [*self.holds.values(), *(one[0] for one in self.waits.values())]:
            self._send_claim(delivery)

    def say(self, which: int, status: str) -> None:
        if not self.holds:
            return
        self.answer(list(self.holds)[which % len(self.holds)], status)

    def answer(self, attempt: str, status: str, last_line: str | None = None) -> None:
        """``last_line``: of output, which the answer says is to follow: "written", "lost" or "",
        if it says nothing of the kind. None: as it happens."""
        if last_line is None:
            last_line = self.world.chance.choice(["", "", "", "written", "lost"])
        delivery = self.holds[attempt]
        message, replies = response(delivery, status, worker=self.name, attempt=attempt)
        if last_line and status != "started":
            message = message._replace(headers={**message.headers, names.CLOSING: True})
        self.publish(message, replies)
        if last_line == "written" and status != "started":
            self._write_last_line(message)
        self.world.told(f"  {self.name} says {status} of {attempt}")
        self.started.add(attempt)
        if status != "started":
            del self.holds[attempt]
            self.world.finished.add(attempt)

    def _write_last_line(self, answer: Message) -> None:
        body = json.dumps({"message": "that is all"}).encode()
        line = answer._replace(body=body, headers={names.CLOSING: True})
        self.bus.publish(line, names.OUTPUT, names.EXCHANGE)

    def give_back(self, which: int) -> None:
        """What it has not said that it has started."""
        found = [attempt for attempt in self.holds if attempt not in self.started]
        if not found:
            return
        attempt = found[which % len(found)]
        delivery = self.holds.pop(attempt)
        self.world.told(f"  {self.name} gives back {attempt}")
        self.begun.discard(attempt)
        self.world.is_given_back(attempt)
        self._send_claim(delivery, give_back=True)

    def _send_claim(self, delivery: Delivery, *, give_back: bool = False) -> None:
        attempt, claims = delivery.message.message_id or "", delivery.message.headers[names.CLAIMS]
        body = Claim(attempt=attempt, worker=self.name, give_back=give_back).encode()
        message = Message(body, names.JSON, reply_to=DIRECT_REPLY_TO, message_id=attempt)
        if give_back:
            self.publish(message, str(claims))
        else:
            self.bus.publish(message, str(claims))


@dataclass
class World:
    """What outlives the core, and what may be asked of it."""

    compiled: CompiledPlaybook
    seed: int
    runs: list[str]
    told: Callable[[str], object] = print  # what happens, for who looks for a bug
    time: Time = field(default_factory=Time)
    broker: MemoryBroker = field(default_factory=lambda: MemoryBroker(by_hand=True))
    sent: dict[str, Sent] = field(default_factory=dict)  # attempts
    granted: dict[str, str] = field(default_factory=dict)  # attempts, to whom first
    loose: set[str] = field(default_factory=set)  # attempts that somebody gave back
    begun: dict[str, str] = field(default_factory=dict)  # attempts that hands began, and who
    decided: dict[str, int] = field(default_factory=dict)  # what persons had decided by then
    finished: set[str] = field(default_factory=set)  # attempts that were answered by who began them
    replies: dict[str, None] = field(default_factory=dict)  # queues that were named for answers
    strayed: set[str] = field(default_factory=set)  # attempts that somebody lied about
    refusals: list[HeadwayError] = field(default_factory=list)  # of step messages, to come
    life: Life | None = None
    woken: bool = False  # there is news for the core
    is_sound: bool = True  # until something that must be so is not
    lives: int = 0

    def __post_init__(self) -> None:
        plan = self.compiled.plan
        self.chance = random.Random(self.seed)
        self.store = WatchedStore(self.time, self.told)
        for run in self.runs:
            self.store.committed[run] = Committed(plan)
            at_us = self.time.clock.now_us()
            self.store.enqueue(run, LAUNCH, plan.to_json(), len(plan), at_us)
        self.hands = [Hand(self, "anna"), Hand(self, "ben")]
        self.workers = 2  # processes there have been
        self.stranger = MemoryBus(self.broker, "stranger")
        self.stranger.open()

    # The core

    def wake(self) -> None:
        self.woken = True

    @contextmanager
    def mortal(self) -> Iterator[None]:
        """What the core does, which may be its end; so is a store that does not answer."""
        try:
            yield
        except AssertionError:
            self.is_sound = False
            raise
        except (Death, Unavailable):
            self.die()

    def die(self) -> None:
        if self.life is not None:
            self.told("  the core dies")
            life, self.life = self.life, None
            life.end()

    def die_when(self, when: str) -> None:
        """The core dies as soon as it has ``heard`` all there is, has ``decided`` what follows,
        or has it ``written``, and begins anew. "": it does not."""
        if not when:
            return
        self.network(1000)
        if when != "heard":
            self.advance()
        if when == "written":
            self.commit()
        self.die()
        self.live()

    def live(self, turns: int = 0) -> None:
        if self.life is None:
            self.lives += 1
            with self.mortal():
                self.life = Life(self, self.lives)
                self.life.begin(turns)

    def advance(self) -> None:
        with self.mortal():
            if self.life is not None:
                self.life.advance()

    def commit(self) -> None:
        with self.mortal():
            if self.life is not None:
                self.life.commit()

    def look(self) -> None:
        with self.mortal():
            if self.life is not None:
                self.life.dispatcher.look()

    # The network

    def network(self, turns: int) -> None:
        for _ in range(turns):
            if not self.turn():
                break

    def turn(self) -> bool:
        turned = True
        with self.mortal():
            turned = self.broker.turn(self.chance.random)
        return turned

    def refusal(self) -> HeadwayError | None:
        return self.refusals.pop() if self.refusals else None

    # What is so

    def begins(self, hand: Hand, attempt: str) -> None:
        """A hand begins what it was granted."""
        assert attempt not in self.begun, "begun twice"
        sent = self.sent[attempt]
        committed = self.store.committed[sent.run]
        plan, rules = committed.plan, committed.plan.rules[sent.key]
        if sent.phase is not Phase.RUN:
            return
        decided = committed.person.get(sent.key, 0)
        if not rules.has_check and rules.on_lost != "rerun":
            for other, _ in self._open(sent.run, {sent.key}):
                assert self.decided[other] < decided, "it is being carried out already"
        closing = plan.closings.get(sent.key)
        if closing is not None:
            chain = set(range(closing.first, closing.last + 1))
            for _, of in self._open(sent.run, chain):
                assert (of.key, of.number) in committed.ends, "put away while it is carried out"
        self.begun[attempt] = hand.name
        self.decided[attempt] = decided

    def _open(self, run: str, keys: set[int]) -> list[tuple[str, Sent]]:
        """Attempts at steps that were begun and, as far as who began them says, are going on."""
        return [
            (attempt, sent)
            for attempt in self.begun.keys() - self.finished
            if (sent := self.sent[attempt]).run == run and sent.key in keys
        ]

    def is_given_back(self, attempt: str) -> None:
        self.loose.add(attempt)
        self.begun.pop(attempt, None)

    def calm(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(1000):
            self.network(10_000)
            self.woken = False
            self.advance()
            self.commit()
            if not self.turn() and not self.woken:
                return
        raise AssertionError("it never comes to rest")

    def begin_all(self, death: str = "") -> None:
        """All that is offered is claimed, granted and begun. ``death``: see ``die_when``."""
        self.calm()
        for hand in self.hands:
            while hand.inbox:
                hand.claim(0)
        self.die_when(death)
        self.calm()

    def work(self, status: str, death: str = "") -> None:
        """And ends so; what is to be done is not done before it was."""
        self.begin_all()
        for hand in self.hands:
            for attempt in list(hand.holds):
                first = self.sent[attempt].phase is Phase.CHECK and status == "completed"
                hand.answer(attempt, "failed" if first and self.chance.random() < 0.7 else status)
        self.die_when(death)
        self.calm()

    def require_nothing_stuck(self) -> None:
        """Of a calm world: who is waited for knows it, or it is known when to go on."""
        if self.life is None:
            return
        standings = self.life.dispatcher._claims.attempts
        hands = {hand.name: hand for hand in self.hands}
        waiting = self.broker.depth(STEPS)
        for attempt, (_, trial) in self.life.trials.items():
            if attempt in self.strayed:
                continue
            assert trial.claimed_by is None or attempt not in self.finished, (
                "its answer is lost",
                attempt,
            )
            known = standings.get(attempt)
            standing = Standing.OFFERED if known is None else known.standing
            if trial.again_at is not None or waiting:
                continue
            if standing is Standing.OFFERED:
                assert any(hand.knows(attempt) for hand in self.hands), "nobody is offered it"
            elif known is not None and known.worker in hands:
                assert hands[known.worker].knows(attempt), "who has it knows nothing of it"

    def to_the_end(self) -> None:
        """Nobody answers any more, and nothing fails: every run is over once all time is."""
        self.refusals.clear()
        self.store.fault = None
        if self.life is not None:
            self.life.acts_left = None
        self.live()
        self.calm()
        self.require_nothing_stuck()
        for _ in range(MOST_WAITS):
            life = self.life
            assert life is not None
            if not life.deployments:
                break
            wakes = [one.wake_at for one in life.deployments.values() if one.wake_at is not None]
            assert wakes, "it waits for nothing that ever comes"
            assert min(wakes) > self.time.now_s, "it wants to go on, and does not"
            self.time.now_s = min(wakes)
            self.look()
            self.calm()
        else:
            raise AssertionError("it never ends")
        for run, committed in self.store.committed.items():
            record = self.store.find(run)
            assert record.state in (*OVER, RunState.IN_DOUBT), record.state
            assert committed.standing.ended is record.state
            assert not committed.under_way

    # Workers that die, and those who do not keep to the protocol

    def replace(self, hand: int) -> None:
        """A worker's process dies, and another is started."""
        self.hands[hand].bus.close()
        self.workers += 1
        self.hands[hand] = Hand(self, f"{self.hands[hand].name.split('-')[0]}-{self.workers}")

    def notice_lost(self) -> None:
        """Time for the core to see which workers have gone, just after it was away itself, too."""
        for _ in range(3):
            self.time.now_s += BACK_WITHIN_S
            self.look()
        self.calm()

    def answer_unclaimed(
        self, hand: int, which: int, status: str, *, echoes: bool, named: bool
    ) -> None:
        """As one that knows nothing of claims; after its last answer it has the step no more."""
        one = self.hands[hand]
        if not one.inbox:
            return
        step = one.inbox[which % len(one.inbox)]
        attempt = step.message.message_id or ""
        self.strayed.add(attempt)
        worker = one.name if named else ""
        echoed = attempt if echoes else None
        one.publish(*response(step, status, worker=worker, attempt=echoed))
        if status != "started":
            one.inbox.remove(step)
            one.bus.settle(step, Settlement.ACK)

    def stray_answer(self, which: int, status: str, worker: str) -> None:
        """Of any attempt there was, or of none."""
        attempt, sent = self._any_attempt(which)
        replies = list(self.replies)
        if not replies:
            return
        message = Message(
            json.dumps({"status": status}).encode(),
            names.JSON,
            {names.WORKER: worker} if worker else {},
            correlation_id=sent.run if sent is not None else "c" * 24,
            message_id=attempt,
        )
        if self.granted.get(attempt) != worker:
            self.strayed.add(attempt)
            self.stranger.publish(message, replies[which % len(replies)])

    def stray_claim(self, which: int, worker: str, *, give_back: bool) -> None:
        attempt, _ = self._any_attempt(which)
        self.strayed.add(attempt)
        if give_back:
            self.loose.add(attempt)
        body = Claim(attempt=attempt, worker=worker, give_back=give_back).encode()
        message = Message(body, names.JSON, reply_to="nowhere", message_id=attempt)
        self.stranger.publish(message, "core.claims")

    def _any_attempt(self, which: int) -> tuple[str, Sent | None]:
        attempts = list(self.sent)[-which - 1 :]
        return (attempts[0], self.sent[attempts[0]]) if attempts else ("f" * 24, None)

    # Persons

    def ask(self, run: int, verb: str, args: dict[str, Any]) -> None:
        """As a core does it, if one lives; else it waits in the store."""
        id = self.runs[run % len(self.runs)]
        number = self.store.ask(id, verb, args, "somebody", self.time.clock.now_us())
        self.commit()  # nothing is asked of a core between what it decides and what it writes
        if self.life is None:
            return
        with self.mortal():
            deployment, state = self.life.deployments.get(id), self.store.find(id).state
            request = self.store.request(number)
            assert request is not None
            if deployment is not None:
                deployment.asked(request)
            elif verb == "retry" and state in OVER[1:]:
                self.life.take_up(id, retry=number)
            elif state not in OVER:
                self.life.take_up(id)

    def settle(self, run: int, which: int, how: str) -> None:
        id = self.runs[run % len(self.runs)]
        states = self.store.committed[id].standing.states
        doubtful = [key for key, state in enumerate(states) if state is JobState.IN_DOUBT]
        if doubtful:
            key = doubtful[which % len(doubtful)]
            self.ask(run, "settle", {"key": key, "how": how})
