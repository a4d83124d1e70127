"""Monitors that are killed while tasks are sent, and what is to be true in the end: every task that
was sent is recorded, once."""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from celery import Celery

from headway.adapters.opening import open_tasks
from headway.ports.tracking import Tasks
from tests.services.postgres import Postgres, PostgresServer
from tests.services.tracked import DEADLINE_S, monitor_process
from tests.services.worker_process import WorkerProcess

SENT_BEFORE = 50  # tasks, before something is taken away
CONFIRMED = {"broker_transport_options": {"confirm_publish": True}}


class Sender:
    """Sends tasks, one after another, until told to stop; knows the ids of those that were."""

    def __init__(self, app: Celery) -> None:
        self.ids: list[str] = []
        self._app = app
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._some = threading.Condition()

    def begin(self) -> None:
        self._thread.start()
        self.wait_for(1)

    def wait_for(self, count: int) -> None:
        """So many more."""
        with self._some:
            until = len(self.ids) + count
            assert self._some.wait_for(lambda: len(self.ids) >= until, DEADLINE_S)

    def stop(self) -> list[str]:
        self._stopping.set()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        return self.ids

    def _send(self) -> None:
        task = self._app.tasks["export.add"]
        while not self._stopping.is_set():
            id = task.apply_async((len(self.ids), 1), retry=True).id
            with self._some:
                self.ids.append(id)
                self._some.notify_all()


@contextmanager
def sending(app: Celery) -> Iterator[Sender]:
    sender = Sender(app)
    sender.begin()
    try:
        yield sender
    finally:
        sender.stop()


def recorded(url: str, ids: Sequence[str]) -> Tasks:
    """The tasks of a store, when all of these are among them."""
    give_up_at = time.monotonic() + DEADLINE_S
    missing = set(ids)
    tasks = open_tasks(url)
    while missing and time.monotonic() < give_up_at:
        found = tasks.search(limit=len(ids) + 1000)
        missing = set(ids).difference(one.task.id for one in found)
        threading.Event().wait(0.1 if missing else 0)
    assert not missing, f"{len(missing)} of {len(ids)} were not recorded"
    return tasks


def require_each_once(tasks: Tasks, ids: Sequence[str]) -> None:
    found = [one.task.id for one in tasks.search(limit=len(ids) + 1000)]
    assert sorted(found) == sorted(ids)
    assert tasks.dead_letters() == []
    tasks.close()


def kill_monitors(
    app: Celery,
    words: Sequence[str],
    url: str,
    directory: Path,
    count: int,
    chance: random.Random,
    tell: Callable[[int], None] = lambda killed: None,
) -> int:
    """So many, while tasks are sent: most after they began to hear, some sooner. How many tasks.

    ``words`` of their command lines; ``url`` of the store that these name.
    """
    with sending(app) as sender:
        for number in range(1, count + 1):
            with monitor_process(directory, *words) as monitor:
                if chance.random() < 0.8:
                    monitor.wait_for("hears every task")
                sender.wait_for(chance.randrange(60))
                monitor.end(signal.SIGKILL)
            tell(number)
        ids = sender.stop()
    with monitor_process(directory, *words) as monitor:
        require_each_once(recorded(url, ids), ids)
        assert monitor.end(signal.SIGTERM) == 0
    return len(ids)


def take_away(
    app: Celery,
    words: Sequence[str],
    server: Postgres | PostgresServer,
    url: str,
    directory: Path,
    for_long: Callable[[WorkerProcess], object],
) -> int:
    """The database, while tasks are sent, until ``for_long`` returns. How many tasks."""
    with monitor_process(directory, *words) as monitor, sending(app) as sender:
        monitor.wait_for("hears every task")
        sender.wait_for(SENT_BEFORE)
        server.kill()
        for_long(monitor)
        server.restart()
        monitor.wait_for("the store is back")
        ids = sender.stop()
        require_each_once(recorded(url, ids), ids)
        assert monitor.end(signal.SIGTERM) == 0
    return len(ids)
