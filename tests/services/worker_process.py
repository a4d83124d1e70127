"""A worker's file run as a process, as its user types it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

DEADLINE_S = 60.0


def mq_config(url: str) -> dict[str, object]:
    """The five keys that the seed has, and the port of a private broker."""
    parts = urlsplit(url)
    return {
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "server": parts.hostname,
        "vhost": unquote(parts.path[1:]),
        "port": parts.port,
    }


def write_mq_config(directory: Path, url: str, **changed: object) -> Path:
    file = directory / "mqconf.json"
    file.write_text(json.dumps({**mq_config(url), **changed}))
    return file


class WorkerProcess:
    """Started; what it writes is read by threads, which is how we know how far it has come."""

    def __init__(
        self, *words: object, cwd: Path | None = None, more_env: Mapping[str, str] | None = None
    ) -> None:
        self._changed = threading.Condition()
        self._lines: dict[str, list[str]] = {"out": [], "err": []}
        self._ended = 0
        self.process = subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=cwd,
            env={**os.environ, **(more_env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(stream, name), daemon=True)
            for stream, name in ((self.process.stdout, "out"), (self.process.stderr, "err"))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def out(self) -> str:
        return "\n".join(self._lines["out"])

    @property
    def err(self) -> str:
        return "\n".join(self._lines["err"])

    def wait_for(self, words: str, times: int = 1) -> str:
        """The first line that has these words, on either stream, when there are so many."""

        def found() -> str | None:
            having = [line for lines in self._lines.values() for line in lines if words in line]
            return having[0] if len(having) >= times else None

        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended == 2, DEADLINE_S)
            line = found()
        assert line is not None, f"{words!r} did not come:\n{self.out}\n{self.err}"
        return line

    def end(self, signum: int) -> int:
        """Its exit code, once it has ended of this signal."""
        self.process.send_signal(signum)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        return code

    def _read(self, stream: IO[str], name: str) -> None:
        with stream:
            for line in stream:
                with self._changed:
                    self._lines[name].append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._ended += 1
            self._changed.notify_all()


@contextmanager
def worker_process(
    *words: object, cwd: Path | None = None, more_env: Mapping[str, str] | None = None
) -> Iterator[WorkerProcess]:
    """It does not outlive the block."""
    running = WorkerProcess(*words, cwd=cwd, more_env=more_env)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.wait()
