"""The example site on a machine of its own: a directory, a copy of the example, a free port."""

import json
import os
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from examples.ship_site.layout import Site, files_below

EXAMPLE = Path(__file__).parents[2] / "examples" / "ship_site"
DOOMED = Path(__file__).with_name("doomed.py")
HEADWAY = Path(sys.executable).parent / "headway"
DEADLINE_S = 60.0


class Machine:
    """Where the site is released to, and what can be done to it there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.source = directory / "ship_site" / "app"
        self.target = str(directory / "ship_site" / "ship.py")
        shutil.copytree(EXAMPLE, directory / "ship_site", ignore=shutil.ignore_patterns("__py*"))
        self.site = Site(directory / "ship-site", free_port())

    def headway(self, *words: str, code: int | None = 0) -> str:
        """Type a command; what it printed. Fails unless it ends with the exit code, if given."""
        done = self._typed(HEADWAY, *words)
        assert code in (None, done.returncode), (
            f"{words} ended with {done.returncode}: {done.stdout}"
        )
        return done.stdout

    def doomed(self, doom: str, *words: str) -> bool:
        """Type a command that is killed at a moment (see doomed.py); whether it came to that."""
        done = self._typed(sys.executable, DOOMED, str(self.site.place), doom, *words)
        killed = done.returncode == -signal.SIGKILL
        assert killed or done.returncode == 0, f"{doom}: {done.returncode}: {done.stdout}"
        return killed

    def _typed(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    @property
    def shipping(self) -> tuple[str, ...]:
        return ("run", self.target, "--set", f"port={self.site.port}")

    def ship(self, code: int = 0) -> str:
        return self.headway(*self.shipping, code=code)

    def plan(self, code: int = 0) -> str:
        return self.headway("plan", *self.shipping[1:], code=code)

    def take_down(self) -> str:
        return self.headway("run", f"{self.target}:stop", *self.shipping[2:])

    def change(self, file: str, old: str, new: str) -> None:
        path = self.source / "reading_list" / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def add_migration(self) -> None:
        migration = self.source / "reading_list" / "migrations" / "0003_notes.sql"
        migration.write_text("ALTER TABLE books ADD COLUMN note TEXT;\n")

    def add_book(self, title: str) -> None:
        body = json.dumps({"title": title}).encode()
        request = urllib.request.Request(f"{self.site.url}/api/books", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 201

    def processes(self) -> list[int]:
        """The processes of this site that live, whether or not it knows them."""
        mark = os.fsencode(self.site.place)
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if mark in words and b"reading_list\0serve" in words:
                found.append(int(entry.name))
        return found

    def wait_for_the_late(self) -> None:
        """One that finds the place taken when it comes to serve ends by itself, and has not yet.

        A run that was killed may have started one that comes later than the next run's.
        """
        while len(pids := self.processes()) > 1 and one_ends(pids):
            pass

    def state(self) -> dict[str, Any]:
        """All that a release leads to, in a form that can be compared."""
        self.wait_for_the_late()
        place = self.site.place
        return {
            "releases": {file.name: files_below(file) for file in (place / "releases").iterdir()},
            "artefacts": {file.name: file.read_bytes() for file in (place / "artefacts").iterdir()},
            "environments": sorted(path.name for path in (place / "environments").iterdir()),
            "current": os.readlink(self.site.current),
            "database": dump(self.site.database),
            "backups": {file.name: dump(file) for file in sorted(self.site.backups.iterdir())},
            "other": sorted(path.name for path in place.iterdir() if path.name != "site.log"),
            "health": self.site.health(),
            "processes": len(self.processes()),
        }

    def times(self) -> dict[str, tuple[int, int, int]]:
        """Every file below the place, with what any write to it would change."""
        return {
            str(path): (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            for path in self.site.place.rglob("*")
            if (stat := path.lstat())
        }


@contextmanager
def machine(directory: Path) -> Iterator[Machine]:
    made = Machine(directory)
    try:
        yield made
    finally:
        made.site.stop()


def one_ends(pids: Sequence[int]) -> bool:
    """Wait until one of the processes has ended; False when none has within the deadline."""
    with ExitStack() as stack:
        watched = []
        for pid in pids:
            try:
                watched.append(os.pidfd_open(pid))
            except ProcessLookupError:
                return True
            stack.callback(os.close, watched[-1])
        return bool(select.select(watched, [], [], DEADLINE_S)[0])


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def dump(database: Path) -> list[str]:
    """The schema and contents of a database, but for when a book was added."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()
        schema = connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
        books = connection.execute("SELECT title, author FROM books ORDER BY id").fetchall()
    return [str(version), str(schema), str(books)]
