"""The machines of this example, all of them on this one: where they are, and their processes.

rolling-site/proxy/            what stands before the servers, at SITE
rolling-site/127.0.0.1:8331/   a web server, and so for each of HOSTS
    process.json               who serves; locked by that process while it lives
    kept                       the version that is to run there when nothing is being tried
    log                        its output
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

EXAMPLE = Path(__file__).resolve().parent
PLACE = Path("rolling-site").absolute()
SITE = "127.0.0.1:8321"  # for visitors
ROTATION = "127.0.0.1:8322"  # for whoever takes servers out of rotation
HOSTS = ("127.0.0.1:8331", "127.0.0.1:8332", "127.0.0.1:8333")
START_S = STOP_S = 10.0
LOOK_S = 0.02


class Dead(Exception):
    """A process ended before it was of any use."""


class Running(NamedTuple):
    """A process that holds its place."""

    pid: int
    version: str


class Place:
    """Where one process at a time may run."""

    def __init__(self, name: str, address: str) -> None:
        self.directory = PLACE / name
        self.address = address
        self.process = self.directory / "process.json"
        self.log = self.directory / "log"

    def running(self) -> Running | None:
        """Who runs here. A process id alone would not do: another may have been given it since."""
        with suppress(FileNotFoundError, ValueError), self.process.open() as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return Running(**json.load(opened))
        return None

    def start(self, program: str, version: str = "") -> None:
        """Start a program of this directory; it goes on when whoever started it has ended.

        Returns when it answers. Raises: Dead.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, str(EXAMPLE / program), str(self.directory), self.address, version]
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        give_up_at = time.monotonic() + START_S
        while not self.answers(version):
            if child.poll() is not None and self.running() is None:
                raise Dead(f"{program} ended at once: {self.last_words()}")
            if time.monotonic() > give_up_at:
                raise Dead(f"{program} does not answer: {self.last_words()}")
            time.sleep(LOOK_S)

    def answers(self, version: str = "") -> bool:
        """Whether that version runs and answers at all, be it badly."""
        running = self.running()
        if running is None or running.version != version:
            return False
        try:
            urllib.request.urlopen(f"http://{self.address}/health", timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End who runs here: politely, so that visitors are answered to the end; then by force."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            running = self.running()
            if running is None:
                return
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(running.pid, number)
            give_up_at = time.monotonic() + STOP_S
            while self.running() == running and time.monotonic() < give_up_at:
                time.sleep(LOOK_S)

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return lines[-1] if lines else "it said nothing"


class Server(Place):
    """One of the three that the site is made of."""

    def __init__(self, host: str) -> None:
        if host not in HOSTS:
            raise LookupError(f"there is no server {host}: there are {', '.join(HOSTS)}")
        super().__init__(host, host)
        self._kept = self.directory / "kept"

    @property
    def kept(self) -> str:
        return self._kept.read_text() if self._kept.exists() else ""

    @kept.setter
    def kept(self, version: str) -> None:
        half_made = self.directory / "kept.new"
        half_made.write_text(version)
        half_made.rename(self._kept)

    def is_running(self, version: str) -> bool:
        running = self.running()
        return running is not None and running.version == version

    def run(self, version: str) -> None:
        """Have that version running here, and no other. Raises: Dead."""
        if not self.answers(version):
            self.stop()
            self.start("server.py", version)


def version_file(version: str) -> Path:
    """Raises: LookupError."""
    versions = {path.stem: path for path in sorted((EXAMPLE / "versions").glob("*.json"))}
    if version not in versions:
        raise LookupError(f"there is no version {version!r}: there are {', '.join(versions)}")
    return versions[version]


@contextmanager
def held(directory: Path, version: str = "") -> Iterator[None]:
    """Hold a place, as the process that runs there. Raises: Dead when another does."""
    with (directory / "process.json").open("a+") as opened:
        give_up_at = time.monotonic() + 0.5  # who only looks holds the lock for an instant
        while True:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up_at:
                    raise Dead(f"another process runs in {directory}") from None
                time.sleep(LOOK_S)
        opened.truncate(0)
        opened.write(json.dumps({"pid": os.getpid(), "version": version}))
        opened.flush()
        yield
