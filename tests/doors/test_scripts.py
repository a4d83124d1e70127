"""The scripts of the repository find a Python by running it, and say plainly what is missing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FIND = 'me=./demo; . tools/environment.sh; main_python; echo "$python"'


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """The only directory on the scripts' PATH: no Python in it yet."""
    directory = tmp_path / "bin with blanks"
    directory.mkdir()
    for name in ("cat", "cksum", "dirname", "env", "head", "sh"):
        found = shutil.which(name)
        assert found is not None
        (directory / name).symlink_to(found)
    return directory


def put(commands: Path, name: str, script: str) -> None:
    (commands / name).write_text(f"#!/bin/sh\n{script}\n")
    (commands / name).chmod(0o755)


def run(commands: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env={"PATH": str(commands), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def find(commands: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run(commands, "/bin/sh", "-euc", FIND, **environment)


def test_without_any_python_one_line_says_what_to_do(commands: Path) -> None:
    outcome = find(commands)
    assert outcome.returncode == 1
    assert outcome.stderr == (
        "./demo: no Python of version 3.11 or later found: install one, or set PYTHON to its path\n"
    )


def test_a_shim_that_fails_is_passed_over(commands: Path) -> None:
    put(commands, "python3", "echo 'no such version' >&2; exit 127")
    put(commands, "python3.12", f"exec '{sys.executable}' \"$@\"")
    outcome = find(commands)
    assert (outcome.returncode, outcome.stdout) == (0, f"{sys.executable}\n")


def test_the_versions_beside_a_shim_are_found(commands: Path, tmp_path: Path) -> None:
    shims = tmp_path / "shims"
    shims.mkdir()
    put(shims, "python3", "exit 127")
    version = tmp_path / "versions/3.12.1/bin"
    version.mkdir(parents=True)
    put(version, "python3", "echo 'ok 3.12 /found/beside/the/shim'")
    outcome = find(commands, PATH=f"{shims}:{commands}")
    assert outcome.stdout == "/found/beside/the/shim\n"


def test_the_python_that_was_asked_for_comes_first(commands: Path) -> None:
    put(commands, "python3", "echo 'ok 3.13 /usual/python3'")
    put(commands, "mine", "echo 'ok 3.12 /my/python3'")
    assert find(commands, PYTHON=str(commands / "mine")).stdout == "/my/python3\n"


def test_a_python_without_venv_is_named_with_the_package_to_install(commands: Path) -> None:
    put(commands, "python3", "echo 'lacks 3.12 /usr/bin/python3 ensurepip'")
    outcome = find(commands)
    assert outcome.returncode == 1
    assert "apt-get install python3.12-venv" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_a_python_without_sqlite_is_named_with_what_it_lacks(commands: Path) -> None:
    put(commands, "python3", "echo 'lacks 3.12 /usr/bin/python3 sqlite3'")
    assert "/usr/bin/python3 was built without sqlite3" in find(commands).stderr


@pytest.mark.parametrize("script", ["./check", "./release"])
def test_a_mistyped_command_says_how_to_type_it(script: str, commands: Path) -> None:
    outcome = run(commands, script, "--no-such-option", "x")
    assert outcome.returncode == 64
    assert outcome.stderr.startswith(f"usage: {script}")
