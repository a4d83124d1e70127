"""What a child process says of its try: one frame a line, a kind and a JSON value.

    entering [phase, ends_at]    intends OUTCOME     phase [phase, failure]    wrote [stream, text]
    process PID                  over PID            ended OUTCOME             interrupted null

After ``intends`` and ``process`` the child waits for one byte from its parent: it is written.
"""

import json
import os
import socket
import sys
import threading

from headway.jobs.outcomes import Failure, Outcome, Phase, failure_to_plain, outcome_to_json
from headway.jobs.shared import Changes

WRITTEN = b"\n"


class Unportable(BaseException):
    """A try put into global_storage what cannot leave its process."""

    def __init__(self, changes: Changes) -> None:
        key, kind = next(iter(changes.opaque.items()))
        super().__init__(
            f"global_storage[{key!r}] holds a {kind}, which JSON cannot carry to other processes:"
            " keep only texts, numbers, lists and dictionaries there, or use --on threads"
        )
        rest = changes._replace(opaque={})
        self.changes = rest if any(rest) else None


def require_portable(changes: Changes | None) -> None:
    """Raises: Unportable when there is a value that JSON cannot carry."""
    if changes is not None and changes.opaque:
        raise Unportable(changes)


def read_frame(line: bytes) -> tuple[str, bytes]:
    """A frame's kind and its value, still as JSON."""
    kind, _, value = line.partition(b" ")
    return kind.decode(), value


class ChannelTeller:
    """Tells the parent of a try. Threads: any of the try's own process."""

    def __init__(self, channel: socket.socket, directory: int) -> None:
        self._channel = channel
        self._directory = directory
        self._pid = os.getpid()
        self._sending = threading.Lock()
        self._asking = threading.Lock()

    def entering(self, phase: Phase, ends_at: float | None) -> None:
        os.fchdir(self._directory)
        self._tell("entering", json.dumps([phase, ends_at]))

    def intends(self, outcome: Outcome) -> None:
        require_portable(outcome.shared)
        self._ask("intends", outcome_to_json(outcome))

    def phase_ended(self, phase: Phase, failure: Failure | None) -> None:
        self._tell("phase", json.dumps([phase, failure and failure_to_plain(failure)]))

    def ended(self, outcome: Outcome) -> None:
        self._tell("ended", outcome_to_json(outcome))

    def interrupted(self) -> None:
        self._tell("interrupted", "null")

    # What jobs do: in any thread, and sometimes in processes that they fork, which have the
    # same pipes but no channel.

    def wrote(self, key: int, number: int, stream: str, text: str) -> None:
        if os.getpid() == self._pid:
            self._send("wrote", json.dumps([stream, text]))
        else:
            print(text, file=sys.stderr if stream == "err" else sys.stdout)

    def started_process(self, key: int, number: int, pid: int) -> None:
        if os.getpid() == self._pid:
            self._ask("process", str(pid))

    def process_ended(self, key: int, number: int, pid: int) -> None:
        if os.getpid() == self._pid:
            self._send("over", str(pid))

    def _tell(self, kind: str, value: str) -> None:
        # What the job printed before must be in the pipes before.
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                pass  # the job put something else there, or closed it
        self._send(kind, value)

    def _ask(self, kind: str, value: str) -> None:
        with self._asking:
            self._tell(kind, value)
            try:
                answer = self._channel.recv(1)
            except OSError:
                answer = b""
            if not answer:
                os._exit(1)  # nobody waits for this try any more

    def _send(self, kind: str, value: str) -> None:
        with self._sending:
            try:
                self._channel.sendall(f"{kind} {value}\n".encode())
            except OSError:
                os._exit(1)
