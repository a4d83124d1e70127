"""A Celery system that is tracked: an app, its workers, and a monitor that can be waited for."""

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery import Celery, group
from kombu import Exchange, Queue

from headway.adapters.celery_feeds import apps
from headway.ports.tracking import Forgotten, Sought, Tasks
from headway.runtime import clocks
from headway.runtime.monitor import Monitor
from headway.tracking.heard import DeadLetter
from headway.tracking.results import Seen
from headway.tracking.states import TaskState
from headway.tracking.task import Task
from tests.services.worker_process import WorkerProcess, worker_process

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 90.0
EXCHANGE = Exchange("task_exchange", type="topic")
PLATFORM = Queue("platform.fifo", EXCHANGE, routing_key="#")
EXPORT = Queue("export", EXCHANGE, routing_key="export")

# What headway's Config comes to, by hand: all queues on one topic exchange.
TRACKED: Mapping[str, Any] = {
    "task_queues": [EXPORT],
    "task_default_queue": "export",
    "task_default_exchange": "task_exchange",
    "task_default_exchange_type": "topic",
    "task_default_routing_key": "export",
    "task_track_started": True,
    "task_routes": {"*": {"queue": "export", "declare": [EXPORT, PLATFORM]}},
}
FOREIGN: Mapping[str, Any] = {}  # Celery as it comes


def make_app(broker: str, configuration: Mapping[str, Any], **more: Any) -> Celery:
    app = Celery("proj", broker=broker, set_as_current=False)
    app.conf.update(configuration)
    # Nothing here waits for a broker that is away, or tells of it in the tests' process.
    app.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)
    app.conf.update(more)

    def task(**options: Any) -> Callable[[Callable[..., Any]], Any]:
        """Of this app alone: the tests make many that have tasks of the same names."""
        return lambda function: app.task(shared=False, **options)(function)

    @task(name="export.add")
    def add(x: int, y: int) -> int:
        return x + y

    @task(name="export.fail")
    def fail() -> None:
        raise ValueError("no such page")

    @task(name="export.again", bind=True, max_retries=2, default_retry_delay=0)
    def again(self: Any) -> int:
        if self.request.retries < 2:
            raise self.retry(exc=KeyError("not yet"))
        return int(self.request.retries)

    @task(name="export.fan", bind=True)
    def fan(self: Any, count: int) -> str:
        group(add.si(number, 1) for number in range(count)).apply_async()
        return "fanned out"

    return app


def write_app(directory: Path, broker: str, kind: str, **more: Any) -> Path:
    """A module ``proj`` with the app, for workers and for ``headway monitor -A proj:app``."""
    file = directory / "proj.py"
    file.write_text(
        f"import json, sys\nsys.path.insert(0, {str(REPOSITORY)!r})\n"
        f"from tests.services.tracked import {kind}, make_app\n"
        f"app = make_app({broker!r}, {kind}, **json.loads({json.dumps(more)!r}))\n"
    )
    return file


@contextmanager
def celery_worker(directory: Path, *words: str) -> Iterator[WorkerProcess]:
    """A Celery worker of ``proj``, ready for tasks."""
    command = ["-m", "celery", "-A", "proj", "worker", "-P", "solo", "-l", "INFO", *words]
    with worker_process(*command, cwd=directory) as worker:
        worker.wait_for(" ready.")
        yield worker


class Watched:
    """Tasks that tell when something was recorded."""

    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self.batches: list[int] = []
        self._changed = threading.Condition()

    @property
    def place(self) -> str:
        return self.tasks.place

    def record(self, tasks: Sequence[Task], letters: Sequence[DeadLetter] = ()) -> None:
        self.tasks.record(tasks, letters)
        with self._changed:
            self.batches.append(len(tasks))
            self._changed.notify_all()

    def wait_for(self, what: Callable[[Tasks], bool]) -> None:
        """Looks again after each batch."""
        with self._changed:
            assert self._changed.wait_for(lambda: what(self.tasks), DEADLINE_S), (
                f"did not come: {self.tasks.search(limit=100)} {self.tasks.dead_letters()}"
            )

    def wait_until(self, id: str, state: TaskState) -> Seen:
        self.wait_for(lambda tasks: tasks.task(id).state is state)
        return self.tasks.task(id)

    def wait_for_all(self, ids: Sequence[str]) -> None:
        wanted = set(ids)
        self.wait_for(
            lambda tasks: wanted <= {one.task.id for one in tasks.search(Sought(), len(ids) + 1000)}
        )

    def task(self, id: str) -> Seen:
        return self.tasks.task(id)

    def search(self, *arguments: Any) -> Sequence[Seen]:
        return self.tasks.search(*arguments)

    def family(self, id: str, limit: int = 1000) -> Any:
        return self.tasks.family(id, limit)

    def forget(self, ended_before_us: int, silent_before_us: int, keep: int = 0) -> Forgotten:
        return self.tasks.forget(ended_before_us, silent_before_us, keep)

    def dead_letters(self, limit: int = 20, before: int | None = None) -> Sequence[DeadLetter]:
        return self.tasks.dead_letters(limit, before)

    def close(self) -> None:
        """Its owner closes what is watched: tests look at it after the monitor has left."""


@contextmanager
def monitoring(app: Celery, tasks: Tasks, *, with_events: bool = False) -> Iterator[Monitor]:
    """A monitor of the app in a thread, from when it listens."""
    system = apps.system_of(app, queue=None, with_events=with_events)
    feed = apps.feed_of_app(app, system, clocks.now_us)
    monitor = Monitor(feed, lambda: tasks, with_events=with_events)
    listening = threading.Event()
    usual = feed.fetch

    def fetch(most: int, wait_s: float) -> Any:
        listening.set()
        return usual(most, wait_s)

    feed.fetch = fetch  # type: ignore[method-assign]
    failed: list[BaseException] = []

    def run() -> None:
        try:
            monitor.run()
        except BaseException as error:
            failed.append(error)
            listening.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        assert listening.wait(DEADLINE_S)
        yield monitor
    finally:
        monitor.stop()
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    assert not failed, failed


def monitor_process(directory: Path, *words: str) -> Any:
    """``headway monitor`` with these words, as a process."""
    headway = str(Path(sys.executable).parent / "headway")
    return worker_process(headway, "monitor", *words, cwd=directory)
