"""Measures what it costs to track Celery: the monitor, the platform's copy, and result backends.

    python bench/track.py                    all of it, on private servers of its own
    python bench/track.py --monitor          the monitor, beside INSERTs and beside COPY
    python bench/track.py --copy             Celery with and without the platform's copy
    python bench/track.py --backends         Celery's result backend and ours
    python bench/track.py --number 2000      fewer tasks: quicker, and less to be relied on
    python bench/track.py --profile          where the monitor's time goes, thread by thread

The monitor is a process of its own on RabbitMQ (`headway monitor --broker`). The messages are
Celery's own (protocol 2, as `app.amqp` makes them) and wait in the platform queue; the clock runs
from when it listens to when the last of them is committed and acknowledged. Beside it, the same
rows go into the same table with its indexes: by one INSERT and COMMIT each, over one connection and
with no broker at all, and all of them by one COPY. PostgreSQL forces each commit to the disk, as it
comes; SQLite does not (`--durable process`, the monitor's default), and knows no COPY: executemany
instead. How fast one INSERT and COMMIT is depends on the disk more than on anything else.

The copy: the tasks that one process can send (confirmed), and that one Celery worker (solo, no
results) can work through, with the platform queue declared and without.

The backends: what a task costs its Celery worker (prefork, one child; `Config`, so that its start
is stored too) in CPU of parent and child together, beside the same task that stores nothing.

Rounds take turns; figures are medians, and so are the rounds' ratios.
"""

import argparse
import cProfile
import json
import os
import pstats
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.bus import in_a_process
from bench.servers import broker

LEAST_A_SECOND = 5_000
LEAST_TIMES = 5.0  # one INSERT and COMMIT per task
MOST_SHARE = 0.2  # of what Celery's backend adds
QUEUE = "platform.fifo"
PROJECT = Path(__file__).with_name("track_app.py")


# The monitor


def fill(url: str, number: int) -> None:
    """So many task messages of Celery's in the platform queue."""
    import pika

    from headway.adapters.bus_address import parse_bus_url
    from headway.adapters.celery_feeds.arranging import arrange
    from headway.adapters.celery_feeds.system import System

    arrange(parse_bus_url(url), System())  # type: ignore[arg-type]
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        channel = connection.channel()
        channel.queue_purge(QUEUE)
        for headers, body in messages(number):
            properties = pika.BasicProperties(
                content_type="application/json",
                content_encoding="utf-8",
                headers=headers,
                delivery_mode=2,
                correlation_id=headers["id"],
                reply_to="4a1a4a66-3d07-3c3c-8f0e-1c7e8f0b9d1e",
                priority=0,
            )
            channel.basic_publish("task_exchange", "export", body, properties)
        while channel.queue_declare(QUEUE, passive=True).method.message_count < number:
            time.sleep(0.05)


def messages(number: int) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Headers and body of each, as Celery's producer makes them."""
    from uuid import uuid4

    from celery import Celery

    with closing(Celery("bench", broker="memory://", set_as_current=False)) as app:
        for one in range(number):
            made = app.amqp.as_task_v2(str(uuid4()), "export.report", (one, "yearly"), {"rows": 3})
            yield made.headers, json.dumps(made.body).encode()


def record(url: str, db: str, number: int, batch: int) -> tuple[float, float]:
    """Seconds, and seconds of CPU, that it follows until so many tasks are recorded."""
    from headway.adapters.celery_feeds import apps
    from headway.adapters.celery_feeds.system import System
    from headway.adapters.opening import open_tasks
    from headway.runtime import clocks
    from headway.runtime import monitor as module

    module.BATCH = batch
    open_tasks(db).close()  # makes the tables

    class Counted(module.Monitor):
        def _settle(self, recording: Any) -> bool:
            is_settled = super()._settle(recording)
            if self.messages >= number:
                self.stop()
            return is_settled

        def _follow(self) -> None:
            nonlocal took, used
            began, at = time.perf_counter(), time.process_time()
            super()._follow()
            took, used = time.perf_counter() - began, time.process_time() - at

    took = used = 0.0
    Counted(apps.feed_of_broker(url, System(), clocks.now_us), lambda: open_tasks(db)).run()
    return took, used


def rows(number: int) -> list[tuple[Any, ...]]:
    """What the monitor would write."""
    from headway.adapters import sql_tasks
    from headway.tracking.heard import Heard
    from headway.tracking.messages import task_of

    return [
        sql_tasks._row(
            task_of(
                Heard(False, "export", headers, "application/json", body, 1_700_000_000_000_000)
            )
        )
        for headers, body in messages(number)
    ]


def insert_each(db: str, number: int) -> float:
    """Seconds for one INSERT and COMMIT per task."""
    made, sql = rows(number), insertion("%s" if db.startswith("postgresql") else "?")
    with table(db) as connection:
        began = time.perf_counter()
        for row in made:
            connection.execute(sql, row)
        return time.perf_counter() - began


def insert_all(db: str, number: int) -> float:
    """Seconds for one COPY, or executemany, and one COMMIT."""
    from headway.adapters.task_statements import TASKS

    made = rows(number)
    with table(db) as connection:
        began = time.perf_counter()
        if db.startswith("postgresql"):
            columns = ", ".join(TASKS.columns)
            with connection.cursor().copy(f"COPY tasks ({columns}) FROM STDIN") as copy:
                for row in made:
                    copy.write_row(row)
        else:
            connection.execute("BEGIN")
            connection.executemany(insertion("?"), made)
            connection.execute("COMMIT")
        return time.perf_counter() - began


def insertion(mark: str) -> str:
    from headway.adapters.task_statements import TASKS

    marks = ", ".join([mark] * len(TASKS.columns))
    return f"INSERT INTO tasks ({', '.join(TASKS.columns)}) VALUES ({marks})"


@contextmanager
def table(db: str) -> Iterator[Any]:
    """The empty table of tasks, over a plain connection that commits each statement."""
    import sqlite3

    import psycopg

    from headway.adapters.opening import open_tasks

    open_tasks(db).close()
    if db.startswith("postgresql"):
        with psycopg.connect(db, autocommit=True) as connection:
            yield connection
    else:
        file = db.removeprefix("sqlite:///")
        with closing(sqlite3.connect(file, isolation_level=None)) as plain:
            plain.execute("PRAGMA synchronous = NORMAL")
            yield plain


def measure_monitor(url: str, fresh: Callable[[str], str], number: int, rounds: int) -> None:
    for kind in ("PostgreSQL", "SQLite"):
        found: dict[str, list[float]] = {}

        def add(what: str, a_second: float, found: dict[str, list[float]] = found) -> None:
            found.setdefault(what, []).append(a_second)

        for _ in range(rounds):
            fill(url, number)
            took, used = in_a_process(record, url, fresh(kind), number, 1_000)
            add("monitor", number / took)
            add("cpu", 1e6 * used / number)
            few = max(number // 10, 200)
            fill(url, few)
            add("one a batch", few / in_a_process(record, url, fresh(kind), few, 1)[0])
            add("each", few / in_a_process(insert_each, fresh(kind), few))
            add("all", number / in_a_process(insert_all, fresh(kind), number))
        figures = {what: statistics.median(all_of) for what, all_of in found.items()}
        pairs = zip(found["monitor"], found["each"], strict=True)
        times = statistics.median(monitor / each for monitor, each in pairs)
        pairs = zip(found["monitor"], found["one a batch"], strict=True)
        alone = statistics.median(monitor / each for monitor, each in pairs)
        print(f"tasks recorded into {kind}")
        bar = f"  bar {LEAST_A_SECOND:,}" if kind == "PostgreSQL" else ""
        print(f"  monitor                        {figures['monitor']:10,.0f} /s{bar}")
        print(f"  its CPU, a task                {figures['cpu']:10,.0f} µs")
        print(f"  the same, one task a batch     {figures['one a batch']:10,.0f} /s")
        print(f"  INSERT and COMMIT each         {figures['each']:10,.0f} /s")
        copy = "COPY, all at once     " if kind == "PostgreSQL" else "executemany, all      "
        print(f"  {copy}         {figures['all']:10,.0f} /s")
        bar = f"  bar {LEAST_TIMES:g}" if kind == "PostgreSQL" else ""
        print(f"  monitor, times INSERT each     {times:10.1f}{bar}")
        print(f"  monitor, times one a batch     {alone:10.1f}", flush=True)


# The platform's copy


def measure_copy(url: str, number: int, rounds: int) -> None:
    found: dict[str, dict[str, list[float]]] = {"without": {}, "with": {}}
    for one in range(rounds):
        for kind in sorted(found, reverse=bool(one % 2)):  # whoever is first has a colder machine
            with worked(url, {"COPY": kind, "STORE": "nothing"}, "-P", "solo", number) as took:
                for what, a_second in took.items():
                    found[kind].setdefault(what, []).append(a_second)
    print("Celery, without results")
    for what in ("sent", "worked"):
        plain, copied = (statistics.median(figures[what]) for figures in found.values())
        pairs = zip(found["with"][what], found["without"][what], strict=True)
        shares = sorted(copied / plain for copied, plain in pairs)
        share = f"{statistics.median(shares):.2f} of it, {shares[0]:.2f} to {shares[-1]:.2f}"
        print(f"  {what:8} without the copy       {plain:10,.0f} /s")
        print(f"  {what:8} with it                {copied:10,.0f} /s  {share}", flush=True)


# The result backends


def measure_backends(url: str, fresh: Callable[[str], str], number: int, rounds: int) -> None:
    for kind in ("PostgreSQL", "SQLite"):
        found: dict[str, list[float]] = {"nothing": [], "db": [], "headway": []}
        speed: dict[str, list[float]] = {store: [] for store in found}
        for _ in range(rounds):
            for store in found:
                settings = {"STORE": store, "DATABASE": fresh(kind), "COPY": "with"}
                with worked(url, settings, "-P", "prefork", number) as took:
                    found[store].append(1e6 * took["cpu"])
                    speed[store].append(took["worked"])
        shares = [
            (ours - nothing) / (theirs - nothing)
            for nothing, theirs, ours in zip(*found.values(), strict=True)
        ]
        print(f"a task's CPU in its Celery worker, results in {kind}")
        for store, what in (("nothing", "stores nothing"), ("db", "Celery's"), ("headway", "ours")):
            cpu, a_second = statistics.median(found[store]), statistics.median(speed[store])
            print(f"  {what:20}           {cpu:10,.0f} µs  {a_second:,.0f} tasks/s")
        share = statistics.median(shares)
        print(f"  added by ours, of Celery's     {share:10.2f}  bar {MOST_SHARE}", flush=True)


@contextmanager
def worked(
    url: str, settings: dict[str, str], flag: str, pool: str, number: int
) -> Iterator[dict[str, float]]:
    """Sends tasks, then has one Celery worker work through them: tasks a second of both, and the
    worker's CPU seconds for each."""
    with tempfile.TemporaryDirectory() as directory:
        marks = Path(directory) / "marks"
        environment = {**os.environ, **settings, "BROKER": url, "MARKS": str(marks)}
        command = [sys.executable, str(PROJECT)]
        sending = subprocess.run(
            [*command, "send", str(number)], env=environment, check=True, capture_output=True
        )
        worker = subprocess.Popen(
            [*command, "worker", flag, pool, "-c", "1", "-l", "ERROR"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            begin, end = marked(marks, worker)
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.communicate(timeout=60)
        yield {
            "sent": number / float(sending.stdout),
            "worked": number / (end[0] - begin[0]),
            "cpu": (end[1] - begin[1]) / number,
        }


def marked(file: Path, worker: "subprocess.Popen[bytes]") -> Sequence[Sequence[float]]:
    """The worker's clock and CPU before the first task and after the last."""
    until = time.monotonic() + 600
    while time.monotonic() < until and worker.poll() is None:
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) == 2:
            return [[float(word) for word in line.split()] for line in lines]
        time.sleep(0.1)
    sys.exit("the Celery worker did not work through its tasks")


# All


@contextmanager
def databases() -> Iterator[Callable[[str], str]]:
    """Makes an empty database of a kind; its URL."""
    from tests.services.postgres import PostgresServer, find_binaries

    binaries = find_binaries()
    if binaries is None:
        sys.exit("there is no PostgreSQL to measure on: ./check --services installs it")
    server = PostgresServer(binaries, fsync="on", shared_buffers="128MB")
    numbers = iter(range(1_000_000))
    try:
        with tempfile.TemporaryDirectory() as directory:

            def fresh(kind: str) -> str:
                if kind == "PostgreSQL":
                    return server.url(server.create_database())
                return f"sqlite:///{directory}/{next(numbers)}.db"

            yield fresh
    finally:
        server.close()


def profile(url: str, db: str, number: int) -> None:
    fill(url, number)
    profilers: dict[str, cProfile.Profile] = {}
    original = threading.Thread.run

    def run(thread: threading.Thread) -> None:
        profiler = profilers.setdefault(thread.name, cProfile.Profile())
        return profiler.runcall(original, thread)

    threading.Thread.run = run  # type: ignore[method-assign]
    profilers["main"] = cProfile.Profile()
    print(profilers["main"].runcall(record, url, db, number, 1_000))
    for name, profiler in profilers.items():
        print(f"\n\nThread {name}")
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for part in ("monitor", "copy", "backends"):
        parser.add_argument(f"--{part}", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--number", type=int, default=20_000, help="of tasks for the monitor")
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    all_of_it = not (given.monitor or given.copy or given.backends)
    with broker() as url, databases() as fresh:
        if given.profile:
            profile(url, fresh("PostgreSQL"), given.number)
            return
        if given.monitor or all_of_it:
            measure_monitor(url, fresh, given.number, given.rounds)
        if given.copy or all_of_it:
            measure_copy(url, given.number // 10, given.rounds)
        if given.backends or all_of_it:
            measure_backends(url, fresh, given.number // 20, given.rounds)


if __name__ == "__main__":
    main()
