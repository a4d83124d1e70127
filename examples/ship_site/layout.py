"""Where things are on the machine that the site is released on, and how they look from outside.

PLACE/artefacts/reading-list-VERSION.zip    what was built
      releases/VERSION/                     what was unpacked; never changed afterwards
      environments/KEY/                     Python with what releases require; shared by them
      data/books.db, data/backups/          what visitors wrote; no release ever removes it
      current -> releases/VERSION           the release that is to be running
      serving.json                          who serves; locked by that process while it lives
      site.log, scratch/                    its output; half-made things
"""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

STOP_S = 10.0  # how long the site may take to finish what it is answering


class Serving(NamedTuple):
    """The process that serves, as it said itself."""

    pid: int
    port: int
    version: str


@dataclass(frozen=True)
class Site:
    """One place and port that the site is released to."""

    place: Path
    port: int

    @property
    def current(self) -> Path:
        return self.place / "current"

    @property
    def database(self) -> Path:
        return self.place / "data" / "books.db"

    @property
    def backups(self) -> Path:
        return self.place / "data" / "backups"

    @property
    def log(self) -> Path:
        return self.place / "site.log"

    @property
    def scratch(self) -> Path:
        """For what is only half made: it is renamed into its place when it is whole."""
        return self.place / "scratch"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def artefact(self, version: str) -> Path:
        return self.place / "artefacts" / f"reading-list-{version}.zip"

    def release(self, version: str) -> Path:
        return self.place / "releases" / version

    def requirements(self, version: str) -> Path:
        return self.release(version) / "requirements.txt"

    def environment(self, version: str) -> Path:
        """Releases that require the same share an environment."""
        key = hashlib.sha256(self.requirements(version).read_bytes()).hexdigest()[:12]
        return self.place / "environments" / key

    def python(self, version: str) -> Path:
        return self.environment(version) / "bin" / "python"

    def program(self, version: str, *words: str | Path) -> list[str]:
        """The command line of a release's program; to be run with ``surroundings``."""
        return [str(self.python(version)), "-m", "reading_list", *map(str, words)]

    def surroundings(self, version: str) -> dict[str, str]:
        """The environment variables of a release's program: its code, and nothing written to it."""
        return {"PYTHONPATH": str(self.release(version)), "PYTHONDONTWRITEBYTECODE": "1"}

    def schema(self) -> int:
        """The schema that the database has; 0 where there is none yet."""
        if not self.database.exists():
            return 0
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])

    def wanted_schema(self, version: str) -> int:
        """The schema that a release's migrations lead to."""
        migrations = self.release(version).glob("reading_list/migrations/[0-9]*.sql")
        return max(int(one.name.partition("_")[0]) for one in migrations)

    def serving(self) -> Serving | None:
        """Who serves, if anybody does: a process that lives holds the lock on its file."""
        try:
            with (self.place / "serving.json").open() as opened:
                try:
                    fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return Serving(**json.load(opened))
        except (FileNotFoundError, ValueError):  # ValueError: it is just writing
            pass
        return None

    def stop(self) -> None:
        """End whoever serves: politely, and by force when that does not help."""
        for number, patience_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, STOP_S)):
            serving = self.serving()
            if serving is None:
                break
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(serving.pid, number)
            give_up_at = time.monotonic() + patience_s
            while self.serving() == serving and time.monotonic() < give_up_at:
                time.sleep(0.02)
        # The next one to serve locks first and writes then: in between, these are not its words.
        with (
            suppress(FileNotFoundError, BlockingIOError),
            (self.place / "serving.json").open("r+") as opened,
        ):
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            opened.truncate(0)

    def health(self) -> dict[str, Any]:
        """What the site says of itself. Raises: OSError when it does not answer well."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace").strip()
            raise OSError(f"{self.url}/health answers {error.code}: {said}") from error
        except urllib.error.URLError as error:
            raise OSError(f"{self.url}/health does not answer: {error.reason}") from error

    def last_words(self) -> str:
        """The last line of the site's output."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return lines[-1] if lines else "(nothing)"


def files_below(directory: Path) -> dict[str, bytes]:
    """The contents of a directory's files by their names, compiled leftovers aside."""
    return {
        file.relative_to(directory).as_posix(): file.read_bytes()
        for file in sorted(directory.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }


def files_in(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def version_of(files: Mapping[str, bytes]) -> str:
    """A version is made from what is in it: the same files are the same version, anywhere."""
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        if name != "VERSION":
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:12]


def remove(path: Path) -> None:
    """Remove a file or a directory with all that is in it, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_archive(archive: Path, files: Mapping[str, bytes]) -> None:
    """An archive that depends on nothing but the files: no times, no owners, one order."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            opened.writestr(entry, data)


def differences(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> list[str]:
    """What has to be done to the old files to make them the new ones, a line for each."""
    lines = [f"+ {name}" for name in new.keys() - old.keys()]
    lines += [f"- {name}" for name in old.keys() - new.keys()]
    lines += [f"~ {name}" for name in new.keys() & old.keys() if new[name] != old[name]]
    return sorted(lines, key=lambda line: line[2:])
