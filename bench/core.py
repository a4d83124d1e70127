"""Measures deployments through one core, on RabbitMQ and PostgreSQL, beside raw pika.

    python bench/core.py                      1,000 deployments of 10 steps, all asked for at once
    python bench/core.py --deployments 100    fewer
    python bench/core.py --sqlite             the journal in a file
    python bench/core.py --profile            where the core's time goes

The core is a process of its own (`headway core`), as are the worker (`headway worker
--concurrency 10`, whose step exchanges ten messages; see bench/bus.py) and whoever asks, over the
bus. It has taken as long as it took from the first request until the last deployment's end was in
the store. Beside it stands raw_pika.py exchanging the ten messages of as many steps, 1,000 at
once, without a store.

Memory: of the core, before, at most, and after; a deployment's is what the most is above before.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import raw_pika
from bench.bus import in_a_process, open_bus, quiet, resident_mb, steps
from bench.servers import broker

IN_HAND = 10
STEPS = 10
LEAST_A_SECOND = 300
LEAST_SHARE = 0.25
PLAYBOOK = f"""\
group: bench
name: Ten steps
execution:
  - description: one after another
    hosts: [localhost]
    steps: [{", ".join([f"{raw_pika.COMMAND}:Run"] * STEPS)}]
"""


def serve(url: str, told: Any) -> None:
    from bench.bus import serve as serve_steps

    serve_steps(url, IN_HAND, told)


def ask(url: str, playbook: str, number: int) -> list[str]:
    """Ask for so many deployments at once; their ids."""
    from headway.ports.bus import DIRECT_REPLY_TO, Message
    from headway.wire import names
    from headway.wire.messages import JobAnswer, JobRequest

    bus = open_bus(url)
    ids: list[str] = []
    over = threading.Event()

    def answered(delivery: Any) -> None:
        ids.append(JobAnswer.decode(delivery.message.body).id or "")
        if len(ids) == number:
            over.set()

    bus.consume(DIRECT_REPLY_TO, answered, inline=True)
    while not bus.exists("core"):
        time.sleep(0.05)  # it has just been started
    body = JobRequest(group="bench", playbook_id=playbook).encode()
    for _ in range(number):
        message = Message(
            body, names.JSON, reply_to=DIRECT_REPLY_TO, message_id=os.urandom(12).hex()
        )
        bus.publish(message, names.JOB_CREATE, names.EXCHANGE)
    if not over.wait(300):
        sys.exit(f"only {len(ids)} of {number} requests were answered")
    bus.close()
    return ids


class CoreProcess:
    """`headway core`, and what it weighs."""

    def __init__(self, url: str, db: str, profile: str | None) -> None:
        script = str(Path(sys.executable).with_name("headway"))
        command = [sys.executable, script, "core", "--bus", url, "--db", db]
        if profile:
            command[1:1] = ["-m", "cProfile", "-o", profile]
        self.most_mb = 0.0
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self.process = subprocess.Popen(command, stderr=self._log)
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch)
        self._watching.start()

    @property
    def mb(self) -> float:
        return resident_mb(self.process.pid)

    @property
    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            with contextlib.suppress(OSError):
                self.most_mb = max(self.most_mb, self.mb)

    def close(self) -> None:
        self._over.set()
        self._watching.join()
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(60):
            self._log.seek(0)
            print(self._log.read().decode()[-2000:])


def measure(url: str, db: str, number: int, profile: str | None) -> float:
    """Steps a second."""
    from headway.adapters.opening import open_store
    from headway.jobs.states import RunState
    from headway.runtime.stored_playbooks import add

    store = open_store(db)
    playbook = add(store, PLAYBOOK.encode(), "YAML", "ten steps", who="bench")
    raw_pika.make_queues(url)
    core = CoreProcess(url, db, profile)
    try:
        in_a_process(ask, url, playbook.id, 1)  # it leads
        before_mb, threads = core.mb, core.threads
        from bench.bus import Served

        with Served(serve, url):
            began = time.perf_counter()
            ids = in_a_process(ask, url, playbook.id, number)
            asked_s = time.perf_counter() - began
            over = (RunState.SUCCEEDED, RunState.FAILED, RunState.IN_DOUBT, RunState.CANCELLED)
            while not all(record.state in over for record in store.runs(limit=number)):
                time.sleep(0.1)
            took_s = time.perf_counter() - began
        failed = [one for one in store.runs(limit=number) if one.state is not RunState.SUCCEEDED]
        assert len(set(ids)) == number
        a_second = number * STEPS / took_s
        print(f"{number:,} deployments of {STEPS} steps: {took_s:.1f} s, all asked for after")
        print(
            f"{asked_s:.1f} s; {a_second:.0f} steps/s (bar {LEAST_A_SECOND}); {len(failed)} failed"
        )
        print(f"core: {threads} threads before, {core.threads} after; {before_mb:.1f} MB before,")
        each_kb = 1000 * (core.most_mb - before_mb) / number
        print(f"{core.most_mb:.1f} at most, {core.mb:.1f} after: {each_kb:.1f} KB a deployment")
        return a_second
    finally:
        core.close()
        store.close()


@contextlib.contextmanager
def database(*, sqlite: bool) -> Iterator[str]:
    if sqlite:
        with tempfile.TemporaryDirectory() as directory:
            yield f"{directory}/headway.db"
        return
    from tests.services.postgres import PostgresServer, find_binaries

    binaries = find_binaries()
    if binaries is None:
        sys.exit("there is no PostgreSQL to measure on: ./check --services installs it")
    server = PostgresServer(binaries)
    try:
        yield server.url(server.create_database())
    finally:
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--deployments", type=int, default=1000)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--profile", metavar="FILE", help="of the core, for pstats")
    arguments = parser.parse_args()
    quiet()
    with broker() as url, database(sqlite=arguments.sqlite) as db:
        raw = steps("pika", url, 1000, 1000, IN_HAND)
        print(f"raw pika: {raw:.0f} steps/s")
        ours = measure(url, db, arguments.deployments, arguments.profile)
        print(f"share of raw pika: {ours / raw:.2f} (bar {LEAST_SHARE})")


if __name__ == "__main__":
    main()
