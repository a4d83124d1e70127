"""headway playbook edit"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.stored_playbooks import one_there, read_typed, version_of
from headway.doors.cli.stores import PLAYBOOK, opened
from headway.doors.cli.words import printable, printable_lines
from headway.errors import Conflict, HeadwayError
from headway.ports.store import short_id

if TYPE_CHECKING:
    from headway.ports.playbooks import PlaybookRecord, Playbooks

SUFFIXES = {"YAML": ".yaml", "JSON": ".json"}


@click.command(short_help="Store a new version of a playbook.")
@options.playbook
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@click.option("--expect", metavar="N", type=click.IntRange(min=1), help="Only if version N is still the newest.")  # noqa: E501  # fmt: skip
@options.reading
def edit(playbook: str, file: Path | None, expect: int | None, **arguments: Any) -> int:
    """Check what is in FILE and store it as the next version of PLAYBOOK.

    Without FILE, the newest version is opened in the editor that $VISUAL or $EDITOR names. The
    older versions stay, and runs that were begun go on with the version they began with.
    """
    if file is None:
        return _edit_by_hand(playbook, expect, arguments)
    body, notation = read_typed(file)
    with opened(arguments, holds=PLAYBOOK) as store:
        record = one_there(store, playbook)
        _tell(record, _stored(store, record, body, notation, str(file), expect))
    return exits.DONE


def _edit_by_hand(playbook: str, expect: int | None, arguments: dict[str, Any]) -> int:
    from headway.doors.cli.editor import Draft
    from headway.releases.document import DocumentError

    with opened(arguments, holds=PLAYBOOK) as store:
        record = one_there(store, playbook)
        if expect not in (None, record.version):
            raise Conflict(f"playbook {record.id} has version {record.version}, not {expect}")
        typed = version_of(store, record, None).typed
    draft = Draft(typed.text.encode(), f"{short_id(record.id)}{SUFFIXES[typed.notation]}")
    try:
        while True:
            draft.edit()
            if not draft.is_changed:
                draft.discard()
                click.echo(f"nothing was changed: version {record.version} stays the newest")
                return exits.DONE
            try:
                # Opened anew: a person may take an hour.
                with opened(arguments, holds=PLAYBOOK) as store:
                    now = _stored(
                        store, record, draft.body, typed.notation, str(draft.file), expect
                    )
                break
            except DocumentError as error:
                if not _again(error):
                    raise
    except HeadwayError as error:
        if draft.is_changed:
            error.args = (
                f"{error}\nWhat was written is kept: headway playbook edit {record.id}"
                f" {draft.file}",
            )
        else:
            draft.discard()
        raise
    draft.discard()
    _tell(record, now)
    return exits.DONE


def _again(error: Exception) -> bool:
    """Whether the person wants to put it right at once. Nobody is asked who cannot answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    click.echo(f"{printable_lines(str(error))}\nEdit it again? [Y/n] ", nl=False, err=True)
    try:
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        answer = ""
    if not answer:  # the end of all input, or Ctrl-C
        click.echo(err=True)
    return answer.strip().lower() in ("", "y", "yes") and bool(answer)


def _stored(
    store: "Playbooks",
    record: "PlaybookRecord",
    body: bytes,
    notation: str,
    place: str,
    expect: int | None,
) -> "PlaybookRecord":
    from headway.runtime import stored_playbooks
    from headway.runtime.launching import who

    return stored_playbooks.edit(store, record, body, notation, place, who=who(), expected=expect)


def _tell(before: "PlaybookRecord", now: "PlaybookRecord") -> None:
    if now.version == before.version:
        click.echo(f"nothing was changed: version {now.version} says the same")
        return
    renamed = f"; it was called {before.name}" if now.name != before.name else ""
    click.echo(printable(f"{now.title} has version {now.version} now{renamed}"))
