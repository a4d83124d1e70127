"""headway new job NAME, headway new worker NAME"""

import keyword
import re
from pathlib import Path
from typing import Any

import click

from headway.doors.cli import exits
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.new_worker import worker
from headway.errors import Rejected

JOB = '''\
"""What {class_name} brings about, in one sentence."""

from pathlib import Path

from headway import Job

PLACE = Path("{file_name}.txt")


class {class_name}(Job):
    DEPS = ()  # job classes that must be done before this one: (Folder, Account)

    def Check(self, *args, **kwargs):
        """Pass if it is so already. If not, raise: the message says what is missing."""
        if not PLACE.exists():
            raise FileNotFoundError(f"{{PLACE}} is not there")

    def Run(self, *args, **kwargs):
        """Bring it about. Whether that worked, Check says afterwards."""
        self.output.info("writing %s", PLACE)
        PLACE.write_text("Replace me by something useful.\\n")
'''

TEST = '''\
"""{class_name} does what it says."""

from {file_name} import {class_name}

from headway.testing import trial


def test_it_is_brought_about_and_then_there_is_nothing_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert trial({class_name}).ending == "repaired"
    assert trial({class_name}).ending == "passed"


def test_its_check_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = trial({class_name}, act=False)
    assert asked.ending == "failed"
    assert "is not there" in asked.message
'''


@click.group(short_help="Begin a file of your own.")
def command() -> int:
    """Begin a file of your own."""
    return exits.DONE


command.add_command(worker)


@command.command(short_help="Write a first job, and a test for it.")
@click.argument("name")
@click.option("--debug", is_flag=True, hidden=True)
def job(name: str, **_: Any) -> int:
    """Write NAME.py with a job that runs as it stands, and test_NAME.py."""
    words = [word for word in re.split(r"[^0-9A-Za-z]+|(?<=[a-z0-9])(?=[A-Z])", name) if word]
    file_name = "_".join(words).lower()
    class_name = "".join(word[0].upper() + word[1:] for word in words)
    if not class_name.isidentifier() or keyword.iskeyword(file_name) or class_name == "Job":
        raise Mistyped(f"{name!r} cannot name a job: take words such as backup or BackUpPhotos")
    files = {
        Path(f"{file_name}.py"): JOB.format(file_name=file_name, class_name=class_name),
        Path(f"test_{file_name}.py"): TEST.format(file_name=file_name, class_name=class_name),
    }
    for file in files:
        if file.exists():
            raise Rejected(f"{file} is there already and stays as it is: take another name")
    for file, text in files.items():
        file.write_text(text)
        click.echo(f"wrote {file}")
    click.echo(
        f"now type\n  headway plan {file_name}.py\n  headway run {file_name}.py\n"
        f"  python -m pytest test_{file_name}.py"
    )
    return exits.DONE
