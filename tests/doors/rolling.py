"""The example of a rolling release in a place of its own: a copy, on free ports."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

from tests.docs.console import LEFT_BY_USERS, PORTS, REPOSITORY, free_ports, use_ports
from tests.doors.typed import DEADLINE_S, HEADWAY, Place, Said

DOOMED = Path(__file__).with_name("doomed.py")
EXAMPLE = REPOSITORY / "examples" / "rolling_release"
WITH = ("--worker", "pool.py", "--worker", "webapp.py", "--worker", "httprequest=httprequest.json")
WENT_WRONG = 70


class Server(NamedTuple):
    """What runs on one of the three."""

    pid: int
    version: str
    kept: str


class Fleet(Place):
    """A user in the directory of the example."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        shutil.copytree(EXAMPLE, directory, dirs_exist_ok=True, ignore=LEFT_BY_USERS)
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        use_ports(directory, ports)
        self.site = directory / "rolling-site"
        self.address, self.rotation_address = (
            f"127.0.0.1:{ports[one]}" for one in ("8321", "8322")
        )
        self.hosts = [f"127.0.0.1:{ports[one]}" for one in ("8331", "8332", "8333")]

    def releasing(self, version: str, playbook: str = "release.yaml") -> tuple[str, ...]:
        return ("run", playbook, "--set", f"version={version}", *WITH)

    def plan(self, version: str, code: int) -> dict[str, str]:
        """Verdicts by job."""
        words = ("plan", *self.releasing(version)[1:], "--json")
        return {job["job"]: job["verdict"] for job in self.type(*words, code=code).json["jobs"]}

    def visited(self, *words: str | Path, code: int | None = 0, program: Any = (HEADWAY,)) -> Said:
        """Type a command while visitors come and go; none of them may be turned away."""
        done = subprocess.run(
            [sys.executable, "visitors.py", *program, *words],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        said = Said(done.returncode, done.stdout, done.stderr)
        assert "none went wrong" in said.out, said
        assert said.code != WENT_WRONG
        assert code in (None, said.code), said
        return said

    def doomed(self, doom: str, *words: str) -> Said:
        """The same with a command that is killed at a moment: see doomed.py."""
        program = (sys.executable, str(DOOMED), str(self.site), doom)
        return self.visited(*words, code=None, program=program)

    def servers(self) -> list[Server]:
        found = []
        for host in self.hosts:
            place = self.site / host
            told = json.loads((place / "process.json").read_text())
            found.append(Server(told["pid"], told["version"], (place / "kept").read_text()))
        return found

    def versions(self) -> set[tuple[str, str]]:
        """What runs and what is kept, on all of them."""
        return {(one.version, one.kept) for one in self.servers()}

    def out_of_rotation(self) -> list[str]:
        with urlopen(f"http://{self.rotation_address}/rotation", timeout=10) as answer:
            out: list[str] = json.load(answer)["out"]
        return out

    def times(self) -> dict[str, tuple[str, str]]:
        """When each job of the last run began and ended, ISO 8601."""
        jobs = self.type("show", "--json").json["jobs"]
        return {job["job"]: (job["began_at"], job["ended_at"]) for job in jobs}


def seen_versions(said: Said) -> set[str]:
    """The versions that answered visitors."""
    return set(re.findall(r"answered by version (\S+?),", said.out))
