"""Two hosts, what steps do to them, and the workers that do it."""

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from headway.ports.executor import Executor
from headway.runtime.step_workers import Hands, executor_for
from headway.runtime.worker import Worker


class World:
    """Two hosts, and what was done to them."""

    def __init__(self, fails: str = "") -> None:
        self.out: set[str] = set()
        self.mounted: set[str] = set()
        self.done: Counter[tuple[str, str]] = Counter()
        self.fails = fails
        self.before: Callable[[str], object] = str  # called with "Step@host" before it is done
        self._lock = threading.Lock()

    def do(self, what: str, host: str) -> bool:
        self.before(f"{what}@{host}")
        with self._lock:
            if what == "IsOut":
                return host in self.out
            if f"{what}@{host}" == self.fails:
                self.done[what, host] += 1
                return False
            if what == "Deploy":
                assert host in self.out
                assert host in self.mounted
            self.done[what, host] += 1
            changes: dict[str, Callable[[str], object]] = {
                "Out": self.out.add,
                "In": self.out.discard,
                "Mount": self.mounted.add,
                "Unmount": self.mounted.discard,
            }
            changes.get(what, str)(host)
            return True

    def workers(self) -> dict[str, type[Worker]]:
        world = self

        def process(self: Any, _: Any, deliver: Any, properties: Any, body: Any, out: Any) -> None:
            self.ack(deliver)
            run, replies = properties.correlation_id, properties.reply_to
            self.send(replies, run, {"status": "started"}, exchange="")
            parameters = body["parameters"]
            well = world.do(parameters["subcommand"], parameters["hosts"][0])
            self.send(replies, run, {"status": "completed" if well else "failed"}, exchange="")

        return {
            command: type(f"{command.title()}Worker", (Worker,), {"process": process})
            for command in ("proxy", "ship")
        }


class InOneProcess:
    """Broker and workers end with whoever runs the playbook."""

    def __init__(self, world: World) -> None:
        self._workers = world.workers()

    def hands(self, definitions: Any) -> AbstractContextManager[Executor]:
        return executor_for(definitions, Hands(stock=self._workers.get), width=2)

    def close(self) -> None: ...
