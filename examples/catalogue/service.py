"""The worker ``service``: starts and stops the services of hosts.

A host is a directory of ``little-fleet/`` here, and a service a process of :mod:`catalogued`
whose file is in it. The process holds a lock on its file while it lives; by that it is known.
"""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from reworker.worker import Worker, runner

FLEET = Path("little-fleet").absolute()
PROGRAM = Path(__file__).resolve().with_name("catalogued.py")
PATIENCE_S = 10.0
LOOK_S = 0.02


class ServiceWorker(Worker):
    """``Start``, ``Stop``, ``Restart``, ``IsRunning``, ``IsStopped``; each needs ``service``."""

    def process(
        self, channel: Any, basic_deliver: Any, properties: Any, body: Any, output: Any
    ) -> bool:
        def answer(status: str, said: str | None = None) -> None:
            message = {"status": status} if said is None else {"status": status, "data": said}
            self.send(properties.reply_to, properties.correlation_id, message, exchange="")

        self.ack(basic_deliver)
        answer("started")
        parameters = body["parameters"]
        try:
            service = Service(parameters["hosts"][0], str(parameters.get("service", "")))
            step = STEPS.get(parameters["subcommand"])
            if step is None:
                raise Wrong(f"service can {', '.join(STEPS)}")
            said = step(service)
        except Wrong as error:
            answer("failed", str(error))
            return False
        output.info(said)
        answer("completed")
        return True


class Wrong(Exception):
    """It is not so, or cannot be done; says why."""


class Service:
    """A service of a host."""

    def __init__(self, host: str, name: str) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", host) or not re.fullmatch(r"[a-z]+", name):
            raise Wrong(f"there is no service {name!r} on {host!r}")
        self.title = f"{name} on {host}"
        self.file = FLEET / host / f"{name}.pid"

    def pid(self) -> int | None:
        """Of the process that is the service, if it runs."""
        with suppress(FileNotFoundError, ValueError), self.file.open() as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(opened.read())
        return None

    def start(self) -> str:
        if self.pid() is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with (self.file.parent / "log").open("ab") as log:
                subprocess.Popen(
                    [sys.executable, str(PROGRAM), str(self.file)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # it goes on when the worker has ended
                )
            self._wait(lambda: self.pid() is not None, "did not start")
        return f"{self.title} runs"

    def stop(self) -> str:
        pid = self.pid()
        if pid is not None:
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(pid, signal.SIGTERM)
            self._wait(lambda: self.pid() is None, "did not end")
        return f"{self.title} does not run"

    def restart(self) -> str:
        self.stop()
        return self.start()

    def is_running(self) -> str:
        if self.pid() is None:
            raise Wrong(f"{self.title} does not run")
        return f"{self.title} runs"

    def is_stopped(self) -> str:
        if self.pid() is not None:
            raise Wrong(f"{self.title} runs")
        return f"{self.title} does not run"

    def _wait(self, so: Callable[[], bool], otherwise: str) -> None:
        give_up_at = time.monotonic() + PATIENCE_S
        while not so():
            if time.monotonic() > give_up_at:
                raise Wrong(f"{self.title} {otherwise} within {PATIENCE_S:g} s")
            time.sleep(LOOK_S)


STEPS: dict[str, Callable[[Service], str]] = {
    "Start": Service.start,
    "Stop": Service.stop,
    "Restart": Service.restart,
    "IsRunning": Service.is_running,
    "IsStopped": Service.is_stopped,
}

if __name__ == "__main__":
    runner(ServiceWorker)
