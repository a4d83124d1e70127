"""A release with all that surrounds it, its lives, and the people who are told of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from headway.adapters.dispatching import Dispatcher
from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus
from headway.adapters.sql_store import SqlStore
from headway.jobs.events import PhaseNoticeIntended, decode
from headway.jobs.states import RunState
from headway.ports.bus import (
    Binding,
    Confirmation,
    Delivery,
    Exchange,
    Queue,
    QueueKind,
    Settlement,
)
from headway.releases.surroundings_reading import from_plain
from headway.runtime import asking, launching
from headway.runtime.step_workers import Hands, made_ready
from headway.runtime.targets import load
from headway.runtime.worker import Worker
from headway.testing.faults import DyingStore
from headway.wire import names
from headway.wire.messages import Notification

PLAYBOOK = """
group: orchard
name: Roll
execution:
  - {hosts: [a, b], steps: [ticket:Go]}
"""
AROUND = {
    "step_triggers": [
        {
            "description": "look before you go",
            "when": {"next_subcommand": "Go"},
            "command": "ticket",
            "subcommand": "Look",
        }
    ],
    "pre_deploy_check": [
        {
            "name": "open",
            "command": "ticket",
            "subcommand": "IsOpen",
            "expectation": {"data": {"open": True}},
        }
    ],
    "post_deploy_action": [
        {"name": "stamp", "command": "ticket", "subcommand": "Stamp"},
        {"name": "cheer", "command": "ticket", "subcommand": "Cheer", "when": "completed"},
        {"name": "cry", "command": "ticket", "subcommand": "Cry", "when": "failed"},
    ],
    "phase_notification": {"topic": "notify.irc", "target": ["#aurora"], "url": "https://r/%s"},
}
STEPS = ["Look a", "Go a", "Look b", "Go b"]
DEADLINE_S = 20.0


class Death(BaseException):
    """Instead of SIGKILL."""


class World:
    """What a worker was asked to do, and what is wrong with it."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.bodies: list[Any] = []
        self.fails = ""
        self.is_open = True

    def worker(self, command: str) -> type[Worker] | None:
        world = self

        class TicketWorker(Worker):
            def process(self, _: Any, deliver: Any, properties: Any, body: Any, out: Any) -> None:
                self.ack(deliver)
                run, replies = properties.correlation_id, properties.reply_to
                self.send(replies, run, {"status": "started"}, exchange="")
                step = " ".join([body["parameters"]["subcommand"], *body["parameters"]["hosts"]])
                world.done.append(step)
                world.bodies.append(body)
                status = "failed" if step == world.fails else "completed"
                data = {"open": world.is_open, "since": "today"}
                self.send(replies, run, {"status": status, "data": data}, exchange="")

        return TicketWorker if command == "ticket" else None


class Channel:
    """Where people are told, on a bus."""

    def __init__(self, store: SqlStore) -> None:
        broker = MemoryBroker("people")
        self._bus, self._theirs = MemoryBus(broker), MemoryBus(broker)
        for bus in (self._bus, self._theirs):
            bus.open()
        self._theirs.declare(
            Exchange(names.EXCHANGE),
            Queue("irc", QueueKind.CLASSIC, (Binding(names.EXCHANGE, "notify.irc"),)),
        )
        self._theirs.consume("irc", self._take, inline=True)
        self._dispatcher = Dispatcher(self._bus, "re.test")
        self._store = store
        self.notices: list[Notification] = []
        self.runs: list[str] = []
        self.stood: list[RunState] = []  # the run in the store, when each was told

    def announce(self, topic: str, notice: Notification, run: str) -> Confirmation:
        self.stood.append(self._store.find(run).state)
        confirmation = self.send(topic, notice, run)
        confirmation.wait(DEADLINE_S)
        return confirmation

    def send(self, topic: str, notice: Notification, run: str) -> Confirmation:
        return self._dispatcher.announce(topic, notice, run)

    def _take(self, delivery: Delivery) -> None:
        self._theirs.settle(delivery, Settlement.ACK)
        self.notices.append(Notification.decode(delivery.message.body))
        self.runs.append(delivery.message.correlation_id or "")

    @property
    def phases(self) -> list[str]:
        return [notice.phase for notice in self.notices]

    def close(self) -> None:
        self._bus.close()
        self._theirs.close()


class Release:
    """One release, and all its lives."""

    def __init__(self, directory: Path, store: SqlStore, around: Any = None) -> None:
        target = directory / "roll.yaml"
        target.write_text(PLAYBOOK)
        self.store = store
        self.world = World()
        self.channel = Channel(store)
        self.loaded = load(str(target), {}, surroundings=from_plain(around or AROUND, "it"))
        self.run = ""
        self._others = {record.id for record in store.runs(1000)}

    def live(self, n: int = 0, when: Literal["before", "after"] = "after") -> RunState | None:
        """One life, which dies at its n-th commit, or ends the run."""
        store: Any = DyingStore(self.store, n, when, raises=Death())
        options = launching.Options()
        try:
            with self._hands() as executor:
                if not self.run:
                    runner = launching.begin(
                        store, self.loaded, executor, options, announce=self.channel.announce
                    )
                    self.run = runner.run_id
                else:
                    runner = self.taken_up(store, executor)
                return launching.carry_out(runner)
        except Death:
            newest = self.store.runs(1)[0].id if self.store.runs(1) else ""
            self.run = self.run or ("" if newest in self._others else newest)
            is_over = self.run and self.record.state in (RunState.SUCCEEDED, RunState.FAILED)
            return self.record.state if is_over else None
        except launching.Undecided as undecided:
            for job in undecided.jobs:
                self._settle(job)
            return None

    def retry(self) -> RunState:
        keys = launching.retry_keys(self.loaded.plan, self.events, None)
        with self._hands() as executor:
            return launching.carry_out(self.taken_up(self.store, executor, retry=keys))

    def taken_up(self, store: Any, executor: Any, **more: Any) -> Any:
        return launching.take_up(
            store,
            self.record,
            self.loaded,
            executor,
            launching.Options(),
            announce=self.channel.announce,
            **more,
        )

    @contextmanager
    def _hands(self) -> Iterator[Any]:
        with made_ready(self.loaded.definitions, Hands(stock=self.world.worker)) as ready:
            assert ready.announce is None, "nobody named a worker that might hear of it"
            yield ready.executor

    def _settle(self, job: str) -> None:
        """As somebody who goes and looks."""
        subcommand = {"action stamp": "Stamp", "action cheer": "Cheer", "action cry": "Cry"}.get(
            job
        )
        done = subcommand or job.removeprefix("ticket:").partition("#")[0].replace("@", " ")
        how = "again"
        if done in self.world.done:
            how = "failed" if done == self.world.fails else "done"
        key = self.loaded.plan.key_of(job)
        asking.settle(self.store, self.record, key, how, "seen")

    @property
    def record(self) -> Any:
        return self.store.find(self.run)._replace(owner=None)

    @property
    def events(self) -> list[Any]:
        return [decode(entry.row) for entry in self.store.journal(self.run)]

    @property
    def told(self) -> list[str]:
        return [one.notice for one in self.events if isinstance(one, PhaseNoticeIntended)]
