"""Bugs that were planted on purpose are caught: the tests of recovery can fail.

Each file in ``planted`` is a difference to the source and names the test that is to catch it. A
block of the difference is found by its text, wherever it stands.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.lives import REPOSITORY

PATCHES = sorted((Path(__file__).parent / "planted").glob("*.patch"))
TESTS_FAILED = 1  # as pytest ends


def plant(patch: str, directory: Path) -> None:
    """Apply a difference below a directory."""
    for part in re.split(r"^--- ", patch, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        file = directory / name
        text = file.read_text()
        for block in re.split(r"^@@\n", body, flags=re.MULTILINE)[1:]:
            lines = block.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            assert text.count(old) == 1, f"{name} does not hold this once any more:\n{old}"
            text = text.replace(old, new)
        file.write_text(text)


def test_there_are_planted_bugs() -> None:
    assert len(PATCHES) >= 8


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_planted_bug_is_caught(patch: Path, tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "src", tmp_path / "src")
    text = patch.read_text()
    plant(text, tmp_path)
    found = re.search(r"^caught by: (\S+)$", text, flags=re.MULTILINE)
    assert found is not None
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", found[1]],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src"), "HEADWAY_PLANTED": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == TESTS_FAILED, tested.stdout + tested.stderr
