"""A worker for tests that run it as a process, and the steps for it.

A step's parameters: ``note``, a file to add a line to when it begins and another when it ends;
``hold``, a port of this machine to call and then wait until the other side hangs up.
"""

import os
import socket
from pathlib import Path
from typing import Any

from reworker.worker import Worker, runner

HERE = "127.0.0.1"


def note(file: str, line: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


class FrobWorker(Worker):
    def process(
        self, channel: Any, basic_deliver: Any, properties: Any, body: Any, output: Any
    ) -> None:
        parameters = body["parameters"]
        reply_to, run = properties.reply_to, properties.correlation_id
        note(parameters["note"], f"begin {run}")
        if parameters.get("ack", True):
            self.ack(basic_deliver)
        self.send(reply_to, run, {"status": "started"}, exchange="")
        if "hold" in parameters:
            with socket.create_connection((HERE, parameters["hold"])) as call:
                call.recv(1)
        note(parameters["note"], f"end {run}")
        self.send(reply_to, run, {"status": "completed"}, exchange="")


class Holding:
    """Makes steps that wait for us, and reads what was noted of them."""

    def __init__(self, directory: Path, deadline_s: float = 60.0) -> None:
        self._notes = directory / "notes"
        self._server = socket.create_server((HERE, 0))
        self._server.settimeout(deadline_s)

    def step(self, **parameters: Any) -> dict[str, Any]:
        """A step message's body."""
        return {"parameters": {**self.parameters(), "subcommand": "frob", **parameters}}

    def parameters(self) -> dict[str, Any]:
        return {"note": str(self._notes), "hold": self._server.getsockname()[1]}

    def held(self) -> socket.socket:
        """The next step that waits, once it does; closed, it goes on."""
        return self._server.accept()[0]

    def noted(self) -> list[str]:
        return self._notes.read_text().splitlines()

    def close(self) -> None:
        self._server.close()


if __name__ == "__main__":
    runner(FrobWorker)
