"""Commands typed in a directory of their own, as a user would."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

HEADWAY = Path(sys.executable).parent / "headway"
DEADLINE_S = 60.0


class Said(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Place:
    """A directory with a user in it, whose home is empty."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory = directory
        self.environment = {
            "PATH": os.pathsep.join([str(HEADWAY.parent), os.environ["PATH"]]),
            "HOME": str(directory / "home"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            **environment,
        }

    def write(self, name: str, text: str) -> Path:
        file = self.directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
        return file

    def type(
        self,
        *words: str,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        code: int | None = 0,
    ) -> Said:
        """Type ``headway`` and these words. Fails unless it ends with the code, if one is given."""
        done = subprocess.run(
            [HEADWAY, *words],
            cwd=self.directory / cwd,
            env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        said = Said(done.returncode, done.stdout, done.stderr)
        assert code is None or said.code == code, f"{words}: {said}"
        assert "Traceback" not in said.err or "--debug" in words, said.err
        return said

    def begin(self, *words: str, **more: Any) -> "subprocess.Popen[str]":
        """Type a command and leave it running."""
        return subprocess.Popen(
            [HEADWAY, *words],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def signal(self, name: str) -> Path:
        """A FIFO by which a job and a test wait for each other."""
        os.mkfifo(self.directory / name)
        return self.directory / name

    def last_run(self) -> str:
        return str(self.type("runs", "--json").json[0]["run"])


@contextmanager
def begun(place: Place, *words: str) -> "Iterator[subprocess.Popen[str]]":
    """A command that is left running, and does not outlive the block."""
    with place.begin(*words) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def told(process: "subprocess.Popen[str]", words: str) -> str:
    """The next line with these words that a command says."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line
    raise AssertionError(f"{words!r} was not told")


def ended(process: "subprocess.Popen[str]") -> Said:
    """How a command that was left running ended."""
    out, err = process.communicate(timeout=DEADLINE_S)
    return Said(process.returncode, out, err)
