"""A worker whose steps write down, in a file that no death takes back, that they were done."""

import os
import threading
from pathlib import Path
from typing import Any

from headway.runtime.worker import Worker


class EffectsWorker(Worker):
    """``Do`` and ``Undo`` write a line; ``IsDone`` looks for the line of the step's ``Do``."""

    def process(
        self, channel: Any, basic_deliver: Any, properties: Any, body: Any, output: Any
    ) -> None:
        given = body["parameters"]
        what, step = given["subcommand"], given["step"]
        run, replies = properties.correlation_id, properties.reply_to
        self.ack(basic_deliver)
        self.send(replies, run, {"status": "started"}, exchange="")
        file = Path(self._config["effects"])
        if what == "IsDone":
            well = f"{run} {step} Do " in file.read_text()
        else:
            threading.Event().wait(given["takes_s"])  # so that there is something to kill
            append(file, f"{run} {step} {what} {properties.message_id}\n")
            well = True
        self.send(replies, run, {"status": "completed" if well else "failed"}, exchange="")


def append(file: Path, line: str) -> None:
    """In one system call, so that lines of several processes never mix."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
