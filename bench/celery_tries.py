"""Measures what a try costs on a Celery worker, and how many connections it has the broker take.

    python bench/celery_tries.py                     on RabbitMQ and Redis of its own
    python bench/celery_tries.py --tries 1000        so many jobs in each run
    python bench/celery_tries.py --beside OTHER/src  another Headway's code too, in turns

One run of jobs that do nothing, on one Celery worker with one process: the time from the runner's
start to its end, divided by the jobs, and the connections that the broker took meanwhile, of the
run and of the worker together. A worker is started anew for each round and carries out one job
before the clock runs. Rounds take turns; the figures are medians.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.executors import carried_out_s  # noqa: E402
from bench.servers import rabbit_node  # noqa: E402
from headway.jobs.job import Job  # noqa: E402

PROJECT = "from celery import Celery\napp = Celery('proj', broker={url!r}, include=[{include!r}])\n"


class Quick(Job):
    def Check(self, *args: Any, **kwargs: Any) -> None: ...


class Broker(NamedTuple):
    name: str
    url: str
    taken: Callable[[], int]  # connections that it took so far


@contextlib.contextmanager
def rabbitmq() -> Iterator[Broker]:
    with rabbit_node() as (node, url):
        yield Broker("RabbitMQ", url, node.connections_taken)


@contextlib.contextmanager
def redis() -> Iterator[Broker]:
    from tests.services.redis_server import RedisServer

    server = shutil.which("redis-server")
    if server is None:
        sys.exit("there is no Redis to measure on: ./check --services installs it")
    with contextlib.closing(RedisServer(server)) as running:
        yield Broker("Redis", running.url, running.connections_taken)


def measure(broker: Broker, source: Path, tries: int) -> tuple[float, float]:
    """Milliseconds, and connections, of a try with the Headway that is in SOURCE."""
    from tests.services.worker_process import worker_process

    with tempfile.TemporaryDirectory() as directory:
        project = PROJECT.format(url=broker.url, include="headway.toolbox.tries")
        (Path(directory) / "proj.py").write_text(project)
        path = os.pathsep.join([str(source), directory, str(ROOT / "bench")])
        environment = {"PYTHONPATH": path}
        words = ("-m", "celery", "-A", "proj", "worker", "-c", "1", "-l", "INFO")
        with worker_process(*words, cwd=Path(directory), more_env=environment) as worker:
            worker.wait_for(" ready.")
            run_of(broker.url, 1, environment)
            before = broker.taken()
            took_s = run_of(broker.url, tries, environment)
            return 1e3 * took_s / tries, (broker.taken() - before) / tries


def run_of(url: str, tries: int, environment: dict[str, str]) -> float:
    """Seconds, of a run in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--tries", str(tries), "--carry-out", url],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def carry_out(url: str, tries: int) -> None:
    from celery import Celery

    from headway.adapters.celery_tries.executor import OnCelery
    from headway.runtime.executors import CELERY_SLOTS

    app = Celery("proj", broker=url, set_as_current=False)
    print(carried_out_s(OnCelery(app, CELERY_SLOTS), Quick, tries))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tries", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", metavar="SRC", type=Path)
    parser.add_argument("--carry-out", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.carry_out:
        carry_out(given.carry_out, given.tries)
        return
    sources = [ROOT / "src"] + ([given.beside.absolute()] if given.beside else [])
    for one in (rabbitmq, redis):
        with one() as broker:
            found: dict[Path, list[tuple[float, float]]] = {source: [] for source in sources}
            for _ in range(given.rounds):
                for source in sources:
                    found[source].append(measure(broker, source, given.tries))
        for source, figures in found.items():
            took_ms, taken = (statistics.median(column) for column in zip(*figures, strict=True))
            whose = "" if source == sources[0] else f"  ({source})"
            print(
                f"{broker.name:9} {given.tries} tries: {took_ms:7.1f} ms a try,"
                f" {taken:6.3f} connections a try{whose}",
                flush=True,
            )


if __name__ == "__main__":
    main()
