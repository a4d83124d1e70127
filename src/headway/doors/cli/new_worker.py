"""headway new worker NAME"""

import re
from pathlib import Path
from typing import Any

import click

from headway.doors.cli import exits
from headway.doors.cli.exits import Mistyped
from headway.errors import Rejected

LONGEST = 40  # of a name; it goes into the names of queues, accounts and services
NEXT = """\
it serves the command {command}. Now type
  cd {directory}
  python -m pytest
  headway step {command}:Greet --param whom=Ada --worker replugin/{package}/__init__.py"""


@click.command(short_help="Write a first worker, with all that it takes to serve it.")
@click.argument("name")
@click.option("--debug", is_flag=True, hidden=True)
def worker(name: str, **_: Any) -> int:
    """Write re-worker-NAME: a worker that runs as it stands, and all that it takes to serve it.

    With it come a test, configurations, a README, a pyproject.toml that builds a wheel, and a
    service file. NAME is a word or two, such as megafrobber, MegaFrobber or mega-frobber.
    """
    from headway.doors.cli.worker_files import files

    values = _values(name)
    directory = Path(values["directory"])
    if directory.exists() or directory.is_symlink():
        raise Rejected(f"{directory} is there already and stays as it is: take another name")
    for path, text in files(values).items():
        file = directory / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
            if text.startswith("#!"):
                mode = file.stat().st_mode
                file.chmod(mode | (mode & 0o444) >> 2)  # who may read it may run it
        except OSError as error:
            raise Rejected(f"{file} cannot be written: {error.strerror}") from error
        click.echo(f"wrote {file}")
    click.echo(NEXT.format_map(values))
    return exits.DONE


def _values(name: str) -> dict[str, str]:
    """What a worker of this name is called, in code, on the bus and on disk. Raises: Mistyped."""
    import headway
    from headway.runtime.worker_config import STOP_LIMIT_S
    from headway.wire import names

    if not re.fullmatch(r"[A-Za-z][0-9A-Za-z]*(-[0-9A-Za-z]+)*", name):
        raise Mistyped(f"{name!r} cannot name a worker: {_ADVICE}")
    # The directory's name, the class's and the package's name the same worker.
    word = re.sub(r"^re-worker-", "", name)
    word = re.sub(r"-?worker$", "", word, flags=re.IGNORECASE)
    class_name = "".join(part[:1].upper() + part[1:] for part in word.split("-")) + "Worker"
    command = names.command_of(class_name)
    if not word or not class_name.isidentifier() or len(command) > LONGEST:
        raise Mistyped(f"{name!r} cannot name a worker: {_ADVICE}")
    return {
        "command": command,
        "class": class_name,
        "package": f"{command}worker",
        "directory": f"re-worker-{command}",
        "version": headway.__version__,
        "stop_limit": f"{STOP_LIMIT_S:g}",
        "stop_timeout": f"{STOP_LIMIT_S + 30:g}",
    }


_ADVICE = (
    "take a word or two of letters, digits and hyphens, such as megafrobber, MegaFrobber or"
    f" mega-frobber, that begin with a letter; {LONGEST} characters at most"
)
