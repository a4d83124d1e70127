"""Celery apps whose workers carry out tries, and such workers as processes."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery import Celery

from tests.services.worker_process import WorkerProcess, worker_process

REPOSITORY = Path(__file__).parents[2]
TRIES = "headway.toolbox.tries"


def an_app(broker: str, **settings: Any) -> Celery:
    """As whoever runs jobs has it; nothing of it is the current app's."""
    app = Celery("proj", broker=broker, set_as_current=False)
    app.conf.update(worker_hijack_root_logger=False, **settings)
    return app


def write_project(place: Path, broker: str, include: str = TRIES, **settings: Any) -> None:
    """A module ``proj`` with the app, for workers and for ``-A proj:app``."""
    (place / "proj.py").write_text(
        "from celery import Celery\n"
        f"app = Celery('proj', broker={broker!r}, include={[include] if include else []!r})\n"
        f"app.conf.update({settings!r})\n"
    )


@contextmanager
def tries_worker(
    place: Path,
    broker: str,
    *words: str,
    cwd: Path | None = None,
    more_env: Mapping[str, str] | None = None,
    include: str = TRIES,
    **settings: Any,
) -> Iterator[WorkerProcess]:
    """A Celery worker of the project in PLACE that is ready; ended in good order.

    ``cwd``: where its jobs run.
    """
    write_project(place, broker, include, **settings)
    command = ["-m", "celery", "-A", "proj", "worker", "-l", "INFO", "--without-gossip"]
    command += ["--without-mingle", *words]
    path = os.pathsep.join([str(place), str(REPOSITORY)])
    environment = {"PYTHONPATH": path, **(more_env or {})}
    with worker_process(*command, cwd=cwd or place, more_env=environment) as worker:
        worker.wait_for(" ready.")
        yield worker
        if worker.process.poll() is None:
            worker.end(signal.SIGTERM)
