"""What a newcomer types first, and what it costs."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

import headway
from headway.doors.cli.entry import COMMANDS, headway_command
from tests.docs.console import REPOSITORY
from tests.doors.typed import Place

HEAVY = (
    "rich",
    "yaml",
    "graphlay",
    "renderdag",
    "sqlite3",
    "psycopg",
    "PIL",
    "resvg_py",
    "subprocess",
)


def test_headway_alone_says_in_three_lines_what_to_type(place: Place) -> None:
    said = place.type()
    assert len(said.lines) == 3
    for command in ("headway plan TARGET", "headway run TARGET", "headway new job NAME"):
        assert command in said.out


def test_help_lists_every_command_and_each_has_its_own(place: Place) -> None:
    listed = place.type("--help").out
    for command in COMMANDS:
        assert f"\n  {command} " in listed
        assert place.type(command, "-h").out.startswith(f"Usage: headway {command}")


def options_of(command: click.Command) -> Iterator[list[str]]:
    """The names of each option of a command and of those below it."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            yield list(parameter.opts)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from options_of(below)


def test_the_reference_tells_of_every_command_and_every_option() -> None:
    page = (REPOSITORY / "docs/reference/command-line.md").read_text("utf-8")
    for command in COMMANDS:
        assert re.search(rf"`headway {command}[ `]", page), command
    told = {"--version", *re.findall(r"--?[a-z][a-z-]*", page)}
    assert [names for names in options_of(headway_command) if told.isdisjoint(names)] == []


def test_the_version_is_the_packages(place: Place) -> None:
    assert place.type("--version").out == f"headway {headway.__version__}\n"


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["--version"], []])
def test_help_imports_nothing_heavy(place: Place, words: list[str]) -> None:
    program = (
        "import sys, json, io\nfrom headway.doors.cli.entry import entered\n"
        "out, sys.stdout = sys.stdout, io.StringIO()\n"
        f"code = entered({words!r})\n"
        "print(json.dumps([code, sorted(sys.modules)]), file=out)"
    )
    # Whatever measures coverage has modules of its own.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    code, modules = json.loads(done.stdout)
    assert code == 0
    assert [name for name in HEAVY if name in modules] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_shells_script(place: Place, shell: str) -> None:
    assert "_HEADWAY_COMPLETE" in place.type("completion", shell).out
    assert place.type("completion", "cmd", code=64).out == ""


def test_commands_and_runs_are_completed(two_jobs: Place) -> None:
    two_jobs.type("run", "hello.py")

    def completed(line: str) -> list[str]:
        words = line.split(" ")
        asked = {
            "_HEADWAY_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        }
        return two_jobs.type(env=asked).lines

    assert completed("headway re") == ["plain,resume", "plain,retry"]
    assert completed("headway show ") == [f"plain,{two_jobs.last_run()[:12]}"]
    assert completed("headway run ") == ["file,"]


def test_a_new_job_runs_as_it_stands_and_its_test_passes(place: Place) -> None:
    said = place.type("new", "job", "back-up photos")
    assert said.lines[:2] == ["wrote back_up_photos.py", "wrote test_back_up_photos.py"]
    assert "class BackUpPhotos(Job)" in (place.directory / "back_up_photos.py").read_text()
    place.type("plan", "back_up_photos.py", code=2)
    place.type("run", "back_up_photos.py")
    assert "nothing to do" in place.type("run", "back_up_photos.py").out
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_back_up_photos.py"],
        cwd=place.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout
    said = place.type("new", "job", "BackUpPhotos", code=1)
    assert "is there already" in said.err
