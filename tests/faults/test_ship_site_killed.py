"""The example site's release, killed by SIGKILL wherever it does something, and resumed.

A release is recorded first: each change to the disk, each process started or signalled, each
commit. Then it is killed right before each of these moments and after the last, which is every
state that it can leave behind, and resumed; it must lead to what an undisturbed release leads to.

Every second of these moments, unless HEADWAY_FULL=1 asks for all.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.doors.shipping import Machine, machine

FULL = bool(os.environ.get("HEADWAY_FULL"))
PARTS = 4  # a scenario's moments are dealt to so many tests, which can run side by side
DEADLINE_S = 20.0

# Of a directory's files that are made or removed one after the other, one stands for all.
ALIKE = (r"open scratch/Unpacked/.*", r"os\.(remove|rmdir) [^/]+", r"os\.mkdir scratch/Unpacked/.*")

# Commands are killed with the run. These moments lie within their lives.
WITHIN = {
    "start python -m venv": (0.01, 0.03, 0.05),
    "start python -m reading_list migrate": (0.03, 0.06),
    "start python -m reading_list serve": (0.02, 0.05),
}


def first_release(directory: Path) -> Machine:
    """A machine on which nothing has been released yet."""
    return Machine(directory)


def fourth_release(directory: Path) -> Machine:
    """A machine that serves its third release and has a fourth to come, which changes it all."""
    made = Machine(directory)
    for number in range(3):
        (made.source / "requirements.txt").write_text(f"# Nothing, {number}.\n")
        made.ship()
    made.add_book("Persuasion")
    made.site.stop()
    (made.source / "requirements.txt").write_text("# Nothing, and more of it.\n")
    made.add_migration()
    shutil.rmtree(directory / ".headway")
    return made


class Scenario:
    """A machine before a release, to be copied as often as it takes."""

    def __init__(self, made: Machine) -> None:
        self.made = made

    @contextmanager
    def again(self, directory: Path) -> Iterator[Machine]:
        """A copy of it; with its old release serving, if it has one."""
        shutil.rmtree(directory, ignore_errors=True)
        with machine(directory) as copy:
            shutil.rmtree(copy.source)
            shutil.copytree(self.made.source, copy.source)
            old = None
            if self.made.site.place.exists():
                shutil.copytree(self.made.site.place, copy.site.place, symlinks=True)
                old = serve(copy)
            try:
                yield copy
            finally:
                copy.site.stop()
                if old is not None:
                    old.wait(DEADLINE_S)


def serve(copy: Machine) -> subprocess.Popen[bytes]:
    site = copy.site
    version = site.current.resolve().name
    place = site.place / "serving.json"
    with site.log.open("ab") as log:
        process = subprocess.Popen(
            site.program(
                version, "serve", site.database, "--port", str(site.port), "--place", place
            ),
            env=site.surroundings(version),
            stdout=log,
            stderr=log,
        )
    give_up_at = time.monotonic() + DEADLINE_S
    while True:
        try:
            site.health()
        except OSError:
            assert time.monotonic() < give_up_at, site.last_words()
        else:
            return process


def moments(recorded: list[str]) -> list[str]:
    """The moments at which to kill, out of all that were recorded."""
    chosen: list[str] = []
    last = ""
    for moment in recorded:
        if moment.startswith("after commit") and moment != recorded[-1]:
            continue  # nothing happens between it and the next moment
        kind = next((pattern for pattern in ALIKE if re.fullmatch(pattern, moment)), moment)
        if kind != last:
            chosen.append(moment)
        last = kind
        for start, delays_s in WITHIN.items():
            if moment.startswith(start):
                chosen += [f"{moment} +{delay_s}" for delay_s in delays_s]
    return chosen


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("before", [first_release, fourth_release])
def test_a_release_killed_at_any_moment_is_completed_by_resume(
    before: Any, part: int, tmp_path: Path
) -> None:
    scenario = Scenario(before(tmp_path / "before"))
    record = tmp_path / "moments"
    with scenario.again(tmp_path / "undisturbed") as undisturbed:
        assert not undisturbed.doomed(f"record {record}", *undisturbed.shipping)
        wanted = undisturbed.state()
    chosen = moments(record.read_text().splitlines())
    assert len(chosen) > 50
    killed = 0
    mine = chosen[:: 1 if FULL else 2][part::PARTS]
    for moment in mine:
        with scenario.again(tmp_path / "killed") as copy:
            port = f"--port {undisturbed.site.port}"
            doom = moment.replace(port, f"--port {copy.site.port}")
            killed += copy.doomed(doom, *copy.shipping)
            go_on(copy)
            assert copy.state() == wanted, doom
    # What is committed together depends on the clock, so that a moment may not come again.
    assert killed >= len(mine) * 0.8


def go_on(copy: Machine) -> None:
    """What a person types after a crash: resume, or run if there is no run to resume."""
    printed = copy.headway("resume", code=None)
    if "no run" in printed:
        copy.ship()
    else:
        assert re.search("^(done|nothing to do): |it succeeded", printed, re.MULTILINE), printed
