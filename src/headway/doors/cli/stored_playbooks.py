"""headway playbook add, list, show, remove"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.stores import PLAYBOOK, opened
from headway.doors.cli.words import as_json, iso, moment, printable, printable_lines, table
from headway.errors import Rejected
from headway.ports.store import short_id

if TYPE_CHECKING:
    from headway.ports.playbooks import PlaybookRecord, Playbooks, PlaybookVersion

PAGE = 100


@click.command(short_help="Store a playbook.")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@options.reading_json
def add(file: Path, **arguments: Any) -> int:
    """Check the playbook in FILE, store it as version 1, and print its id."""
    from headway.runtime import stored_playbooks
    from headway.runtime.launching import who

    body, notation = read_typed(file)
    with opened(arguments, make=True) as store:
        record = stored_playbooks.add(store, body, notation, str(file), who=who())
    click.echo(as_json(record_document(record)) if arguments["as_json"] else record.id)
    return exits.DONE


@click.command("list", short_help="List the stored playbooks.")
@click.option("--group", metavar="GROUP", help="Only those of this group.")
@options.reading_json
def list_(group: str | None, **arguments: Any) -> int:
    """List the stored playbooks, by group and name."""
    with opened(arguments, holds=PLAYBOOK) as store:
        found = _all(store, group)
        place = store.place
    if arguments["as_json"]:
        click.echo(as_json([record_document(record) for record in found]))
    elif not found:
        whose = f" of group {group}" if group is not None else ""
        click.echo(
            printable(f"{place} holds no playbook{whose}: headway playbook add FILE adds one")
        )
    else:
        for line in _lines(found):
            click.echo(line)
    return exits.DONE


@click.command(short_help="Show a stored playbook as it was typed.")
@options.playbook
@click.option("--version", "number", metavar="N", type=click.IntRange(min=1), help="An older version.")  # noqa: E501  # fmt: skip
@click.option("--versions", "lists", is_flag=True, help="List its versions instead.")
@options.reading_json
def show(playbook: str, number: int | None, lists: bool, **arguments: Any) -> int:
    """Print the newest version of PLAYBOOK exactly as it was typed.

    PLAYBOOK is an id, any beginning of it that no other shares, or group/name.
    """
    with opened(arguments, holds=PLAYBOOK) as store:
        record = found_playbook(store, playbook)
        shown = version_of(store, record, number)
        versions = _all_versions(store, record) if lists or arguments["as_json"] else []
    if arguments["as_json"]:
        document = record_document(record)
        document["document"] = {**version_document(shown), "text": shown.typed.text}
        document["versions"] = [version_document(version) for version in versions]
        click.echo(as_json(document))
    elif lists:
        rows = [
            (str(one.number), moment(one.at_us), printable(one.who), one.typed.notation)
            for one in versions
        ]
        for line in table(rows, ("VERSION", "STORED", "WHO", "NOTATION")):
            click.echo(line)
    elif sys.stdout.isatty():
        click.echo(printable_lines(shown.typed.text.rstrip("\n")))
    else:
        click.echo(shown.typed.text.encode(), nl=False)
    if record.removed_us is not None and not arguments["as_json"]:
        by, at = printable(record.removed_by or ""), moment(record.removed_us)
        click.echo(f"{record.id} was removed by {by} at {at}", err=True)
    return exits.DONE


@click.command(short_help="Remove a stored playbook.")
@options.playbook
@options.reading
def remove(playbook: str, **arguments: Any) -> int:
    """Remove PLAYBOOK: it is no longer listed and cannot be begun. Runs keep what they have."""
    from headway.runtime import clocks
    from headway.runtime.launching import who

    with opened(arguments, holds=PLAYBOOK) as store:
        record = one_there(store, playbook)
        store.remove_playbook(record.id, who(), clocks.now_us())
    again = f"headway playbook show {record.id} shows what it was"
    click.echo(printable(f"removed {record.title}; {again}"))
    return exits.DONE


def found_playbook(store: "Playbooks", called: str) -> "PlaybookRecord":
    """The playbook that was meant. Raises: Mistyped for none or several."""
    try:
        return store.find_playbook(called)
    except Rejected as error:
        raise Mistyped(str(error)) from error


def record_document(record: "PlaybookRecord") -> dict[str, Any]:
    """What --json tells of a stored playbook."""
    return {
        "playbook": record.id,
        "group": record.group,
        "name": record.name,
        "version": record.version,
        "who": record.who,
        "at": iso(record.at_us),
        "removed_at": iso(record.removed_us),
        "removed_by": record.removed_by,
    }


def version_document(version: "PlaybookVersion") -> dict[str, Any]:
    return {
        "version": version.number,
        "who": version.who,
        "at": iso(version.at_us),
        "notation": version.typed.notation,
    }


def read_typed(file: Path) -> tuple[bytes, str]:
    """A playbook's file, of which no more is read than it may have. Raises: Mistyped."""
    from headway.adapters.documents import notation_of
    from headway.errors import DefinitionError
    from headway.releases.document import LIMIT_BYTES

    try:
        notation = notation_of(file)
        with file.open("rb") as opened_file:
            return opened_file.read(LIMIT_BYTES + 1), notation
    except DefinitionError as error:
        raise Mistyped(str(error)) from error
    except OSError as error:
        raise Mistyped(f"{file} cannot be read: {error.strerror or error}") from error


def one_there(store: "Playbooks", called: str) -> "PlaybookRecord":
    """One that can be changed. Raises: Mistyped; Rejected for one that was removed."""
    from headway.runtime.stored_playbooks import require_there

    record = found_playbook(store, called)
    require_there(record)
    return record


def version_of(
    store: "Playbooks", record: "PlaybookRecord", number: int | None
) -> "PlaybookVersion":
    try:
        return store.playbook_version(record.id, number or record.version)
    except Rejected as error:
        raise Mistyped(str(error)) from error


def _all(store: "Playbooks", group: str | None) -> "list[PlaybookRecord]":
    found: list[PlaybookRecord] = []
    while page := store.playbooks(
        group, PAGE, (found[-1].group, found[-1].name) if found else ("", "")
    ):
        found += page
    return found


def _all_versions(store: "Playbooks", record: "PlaybookRecord") -> "list[PlaybookVersion]":
    found: list[PlaybookVersion] = []
    while page := store.playbook_versions(record.id, PAGE, found[-1].number if found else None):
        found += page
    return found


def _lines(found: "list[PlaybookRecord]") -> list[str]:
    rows = [
        (
            short_id(one.id),
            str(one.version),
            moment(one.at_us),
            printable(one.who),
            printable(one.group),
            printable(one.name),
        )
        for one in found
    ]
    return table(rows, ("PLAYBOOK", "VERSION", "STORED", "WHO", "GROUP", "NAME"))
