"""Releases the reading list of ``app/`` on this machine.

    headway plan examples/ship_site/ship.py           what would happen
    headway run examples/ship_site/ship.py            let it happen; again: nothing to do
    headway run examples/ship_site/ship.py:stop       take the site down again

    --set place=DIRECTORY    where to; ./ship-site unless you say
    --set port=8321          the port of 127.0.0.1 that it answers on

Each class says how to know that something is so (Check) and how to make it so (Run). What is
made is made aside and renamed into its place, so that a job killed halfway has done nothing;
that and the honest Checks are all that a resume needs.
"""

import os
import shutil
import socket
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from layout import Site, differences, files_below, files_in, remove, version_of, write_archive

from headway import DummyJob, Job

SOURCE = Path(__file__).resolve().parent / "app"
KEPT = 3  # releases, the current one among them
START_S = 10.0


class SiteJob(Job):
    """What the jobs of this file share."""

    site: Site  # set by plan()

    @property
    def version(self) -> str:
        """The version that this run ships."""
        return str(self.global_storage["version"])


class Half(SiteJob):
    """A job that makes things in scratch first. What a killed one leaves there goes with it."""

    def half_made(self) -> Path:
        self.site.scratch.mkdir(parents=True, exist_ok=True)
        return self.site.scratch / type(self).__name__

    def Cleanup(self) -> None:
        remove(self.site.scratch)


class Source(SiteJob):
    """Decides which version is shipped: a run that is resumed still ships what it began with."""

    def Check(self, **inputs: Any) -> str:
        self.global_storage["version"] = version_of(files_below(SOURCE))
        return self.version


class Port(SiteJob):
    """Nobody but the site itself uses the port. Nothing can be done about it here: no Run."""

    TRIES = 1

    def Check(self, **inputs: Any) -> None:
        serving = self.site.serving()
        if serving is not None and serving.port == self.site.port:
            return
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", self.site.port))
            except OSError as error:
                raise OSError(
                    f"port {self.site.port} cannot be used ({error.strerror}):"
                    " free it, or choose another with --set port=NUMBER"
                ) from error


class Artefact(Half):
    """The source is built into an archive whose contents are what its name says."""

    DEPS = (Port, Source)

    def Check(self, **inputs: Any) -> None:
        archive = self.site.artefact(self.version)
        if not archive.exists():
            if version_of(files_below(SOURCE)) != self.version:
                raise RuntimeError(
                    f"version {self.version} can no longer be built: its source was changed"
                    " since this run began. headway run ships what the source is now"
                )
            raise LookupError(f"version {self.version} has not been built")
        if version_of(files_in(archive)) != self.version:
            raise ValueError(f"{archive} is not what its name says")

    def Diff(self, **inputs: Any) -> str:
        """What a plan shows beside this job: the files that differ from the current release's."""
        shipped = files_below(self.site.current)
        shipped.pop("VERSION", None)
        return "\n".join(differences(shipped, files_below(SOURCE)))

    def Run(self, **inputs: Any) -> None:
        half_made, archive = self.half_made(), self.site.artefact(self.version)
        write_archive(half_made, {**files_below(SOURCE), "VERSION": f"{self.version}\n".encode()})
        archive.parent.mkdir(exist_ok=True)
        os.replace(half_made, archive)


class Unpacked(Half):
    """The artefact is unpacked into a directory of its own."""

    DEPS = (Artefact,)

    def Check(self, **inputs: Any) -> None:
        release = self.site.release(self.version)
        if not release.exists():
            raise LookupError(f"version {self.version} has not been unpacked")
        if version_of(files_below(release)) != self.version:
            raise ValueError(f"somebody has changed files in {release}")

    def Run(self, **inputs: Any) -> None:
        half_made, release = self.half_made(), self.site.release(self.version)
        remove(half_made)
        with ZipFile(self.site.artefact(self.version)) as archive:
            archive.extractall(half_made)
        release.parent.mkdir(exist_ok=True)
        remove(release)
        os.replace(half_made, release)


class Environment(SiteJob):
    """There is a Python of its own, with what the release requires; shared while that is equal."""

    DEPS = (Unpacked,)

    def Check(self, **inputs: Any) -> None:
        environment = self.site.environment(self.version)
        if not (environment / "requirements.txt").exists():
            raise LookupError(f"there is no environment {environment.name} for what it requires")
        own = "import sys; sys.exit(sys.prefix == sys.base_prefix)"
        self.run([str(self.site.python(self.version)), "-c", own])

    def Run(self, **inputs: Any) -> None:
        environment = str(self.site.environment(self.version))
        requirements = self.site.requirements(self.version)
        lines = requirements.read_text().splitlines()
        needs_pip = any(line.strip() and not line.startswith("#") for line in lines)
        pip = [] if needs_pip else ["--without-pip"]
        self.run([sys.executable, "-m", "venv", "--clear", *pip, environment])
        if needs_pip:
            python = str(self.site.python(self.version))
            self.run([python, "-m", "pip", "install", "--requirement", str(requirements)])
        # Last of all: by this the Check knows that it is whole.
        shutil.copyfile(requirements, f"{environment}/requirements.txt")


class Database(Half):
    """The database has the schema that the release wants; before a change it is copied.

    The old release goes on serving meanwhile, so a migration may only add to what there is.
    """

    DEPS = (Unpacked, Environment)

    def Check(self, **inputs: Any) -> None:
        has, wants = self.site.schema(), self.site.wanted_schema(self.version)
        if has < wants:
            raise ValueError(f"the database has schema {has}, version {self.version} wants {wants}")

    def Run(self, **inputs: Any) -> None:
        self.site.backups.mkdir(parents=True, exist_ok=True)
        if self.site.database.exists():
            half_made = self.half_made()
            with (
                closing(sqlite3.connect(self.site.database)) as database,
                closing(sqlite3.connect(half_made)) as copy,
            ):
                database.backup(copy)
                schema = copy.execute("PRAGMA user_version").fetchone()[0]
            if schema:  # else a first migration was killed, and there is nothing to keep
                os.replace(half_made, self.site.backups / f"schema-{schema}.db")
        self.run(
            self.site.program(self.version, "migrate", self.site.database),
            env=self.site.surroundings(self.version),
        )


class Current(SiteJob):
    """The link ``current`` leads to the release."""

    DEPS = (Database,)

    def Check(self, **inputs: Any) -> None:
        current = self.site.current
        if not current.is_symlink():
            raise LookupError("no release is the current one yet")
        if os.readlink(current) != f"releases/{self.version}":
            raise ValueError(f"the current release is {os.path.basename(os.readlink(current))}")

    def Run(self, **inputs: Any) -> None:
        link = self.site.place / "current.new"
        link.unlink(missing_ok=True)
        link.symlink_to(f"releases/{self.version}")
        os.replace(link, self.site.current)  # at no moment is there no current release


class Running(SiteJob):
    """The release runs, and goes on running when this run is over."""

    DEPS = (Current,)
    TRIES = 1  # one that dies at once will die again

    def Check(self, **inputs: Any) -> None:
        serving = self.site.serving()
        if serving is None:
            raise LookupError(self.storage.get("death", "the site is not running"))
        if serving[1:] != (self.site.port, self.version):
            raise ValueError(f"version {serving.version} is running on port {serving.port}")

    def Run(self, **inputs: Any) -> None:
        self.site.stop()  # from here until the new one answers, visitors are turned away
        options = ["--port", str(self.site.port), "--place", str(self.site.place / "serving.json")]
        pid = self.start(
            self.site.program(self.version, "serve", self.site.database, *options),
            env=self.site.surroundings(self.version),
            stdout=str(self.site.log),
        )
        give_up_at = time.monotonic() + START_S
        while self.site.serving() is None and time.monotonic() < give_up_at:
            if os.waitpid(pid, os.WNOHANG) != (0, 0):
                # Told to the Check that follows by way of this job's own storage.
                self.storage["death"] = f"the site died at once, saying: {self.site.last_words()}"
                return
            time.sleep(0.02)


class Healthy(SiteJob):
    """The site says over HTTP that this version is well. It may take a moment: hence the tries."""

    DEPS = (Running,)
    TRIES = 12
    RETRY_DELAY = 0.25
    RETRY_ON = OSError  # it does not answer; what it answers will not change

    def Check(self, **inputs: Any) -> None:
        if self.site.serving() is None:
            raise RuntimeError(f"the site has died, saying: {self.site.last_words()}")
        health = self.site.health()
        if health["status"] != "ok" or health["version"] != self.version:
            raise ValueError(f"{self.site.url}/health says {health}, not ok of {self.version}")


class Tidy(Half):
    """Of old releases only the newest are kept, and of the rest what these need."""

    DEPS = (Healthy,)

    def Check(self, **inputs: Any) -> None:
        surplus = self.surplus()
        if surplus:
            names = ", ".join(str(path.relative_to(self.site.place)) for path in surplus)
            raise ValueError(f"no longer needed: {names}")

    def Run(self, **inputs: Any) -> None:
        for path in self.surplus():
            half_gone = self.half_made()  # removed halfway, it must not pass for a release
            remove(half_gone)
            os.replace(path, half_gone)
            remove(half_gone)

    def surplus(self) -> list[Path]:
        place = self.site.place
        current = self.site.release(self.version)
        old = [release for release in (place / "releases").iterdir() if release != current]
        old.sort(key=lambda release: release.stat().st_mtime_ns, reverse=True)
        kept = [current.name, *(release.name for release in old[: KEPT - 1])]
        needed = {path for v in kept for path in (self.site.artefact(v), self.site.environment(v))}
        rest = [*(place / "artefacts").iterdir(), *(place / "environments").iterdir()]
        return [*old[KEPT - 1 :], *(path for path in rest if path not in needed)]


class Released(DummyJob):
    """All of it."""

    DEPS = (Healthy, Tidy)


class Stopped(SiteJob):
    """The site does not run. What it knows stays."""

    def Check(self, **inputs: Any) -> None:
        serving = self.site.serving()
        if serving is not None:
            raise ValueError(f"version {serving.version} is running as process {serving.pid}")

    def Run(self, **inputs: Any) -> None:
        self.site.stop()


def plan(place: str = "ship-site", port: str = "8321") -> type[Job]:
    """What ``headway run ship.py`` begins with; gets what is given with --set."""
    if not str(port).isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"port must be a number from 1 to 65535, not {port!r}")
    SiteJob.site = Site(Path(place).expanduser().absolute(), int(port))
    return Released


def stop(place: str = "ship-site", port: str = "8321") -> type[Job]:
    """What ``headway run ship.py:stop`` begins with."""
    plan(place, port)
    return Stopped
