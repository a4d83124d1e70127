"""headway playbook …"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options, playbook_editing, stored_playbooks, words
from headway.doors.cli.exits import Mistyped

if TYPE_CHECKING:
    from headway.releases.document import DocumentError
    from headway.releases.playbook import Playbook


@click.group(short_help="Look after playbooks.")
def command() -> int:
    """Look after playbooks."""
    return exits.DONE


for _command in (
    stored_playbooks.add,
    stored_playbooks.list_,
    stored_playbooks.show,
    playbook_editing.edit,
    stored_playbooks.remove,
):
    command.add_command(_command)


@command.command(short_help="Say what is wrong with playbooks.")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@options.as_json
@options.debug
def check(files: tuple[Path, ...], as_json: bool, debug: bool) -> int:
    """Read playbooks and say everything that is wrong with them, each with its line and column.

    Nothing is carried out, no worker is asked, and no Python job is loaded.
    """
    found = [_checked(file) for file in _all_there(files)]
    if as_json:
        _print_json(files, found)
    else:
        for file, one in zip(files, found, strict=True):
            for line in _lines(file, one):
                click.echo(words.printable(line))
    return exits.DONE if all(isinstance(one, tuple) for one in found) else exits.FAILED


def _all_there(files: tuple[Path, ...]) -> tuple[Path, ...]:
    """Raises: Mistyped for all that cannot be playbooks."""
    from headway.adapters.documents import notation_of
    from headway.errors import DefinitionError

    wrong = []
    for file in files:
        try:
            notation_of(file)
        except DefinitionError as error:
            wrong.append(str(error))
            continue
        if not file.is_file():
            wrong.append(f"there is no file {file}")
    if wrong:
        raise Mistyped("\n".join(wrong))
    return files


def _checked(file: Path) -> "Playbook | DocumentError":
    from headway.adapters.documents import read_file
    from headway.releases.document import DocumentError
    from headway.releases.reading import playbook_of

    try:
        return playbook_of(read_file(file))
    except DocumentError as error:
        return error
    except OSError as error:
        raise Mistyped(f"{file} cannot be read: {error.strerror or error}") from error


def _lines(file: Path, one: "Playbook | DocumentError") -> list[str]:
    if not isinstance(one, tuple):
        return one.lines()
    counts = _counts(one)
    told = ", ".join(words.number(counts[key], key[:-1]) for key in counts)
    return [f"{file}: {one.name} ({one.group}): {told}"]


def _counts(playbook: "Playbook") -> dict[str, int]:
    """What a playbook holds; its keys are the plurals."""
    execution = playbook.execution
    declared = [one.name for one in playbook.inputs]
    return {
        "sequences": len(execution),
        "hosts": len({host for sequence in execution for host in sequence.hosts}),
        "steps": sum(len(sequence.preflight) + len(sequence.steps) for sequence in execution),
        "inputs": len({*declared, *playbook.dynamic}),
    }


def _print_json(files: tuple[Path, ...], found: "list[Playbook | DocumentError]") -> None:
    documents: list[dict[str, Any]] = []
    for file, one in zip(files, found, strict=True):
        if isinstance(one, tuple):
            held = {"group": one.group, "name": one.name, **_counts(one)}
            documents.append({"file": str(file), "playbook": held, "problems": []})
            continue
        problems = [
            {
                "line": problem.at.line,
                "column": problem.at.column,
                "field": problem.field,
                "what": problem.what,
                "remedy": problem.remedy,
            }
            for problem in one.problems
        ]
        documents.append({"file": str(file), "playbook": None, "problems": problems})
    click.echo(words.as_json(documents))
