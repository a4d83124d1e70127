"""Stored playbooks: checked before they are kept, read back as they were typed, carried out.

A target ``playbook:CALLED[@VERSION]`` names one: CALLED is its id, the beginning of its id, or
``group/name``; without a version the newest is meant. A run's launch names id and version.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headway.adapters.documents import read
from headway.errors import Rejected
from headway.ports.playbooks import (
    STORED,
    PlaybookRecord,
    Playbooks,
    PlaybookText,
    PlaybookVersion,
)
from headway.releases.playbook import Playbook
from headway.releases.reading import FORMAT, playbook_of
from headway.releases.surroundings import NOTHING, Surroundings
from headway.runtime import clocks
from headway.runtime.loading import Loaded, UnknownTarget
from headway.runtime.playbooks import load_read

_TARGET = re.compile(rf"{STORED}(?P<called>.+?)(?:@(?P<version>[0-9]{{1,9}}))?", re.DOTALL)


def add(
    store: Playbooks,
    body: bytes,
    notation: str,
    place: str,
    *,
    who: str,
    allowed: Callable[[str], None] = lambda group: None,
) -> PlaybookRecord:
    """Check a playbook and store it. ``place``: its file, or what else people call it.
    ``allowed``: is told its group, and raises for one that is not theirs to write.

    Raises: DocumentError with all that is wrong with it; Conflict for a name that is in use.
    """
    playbook, typed = _checked(body, notation, place)
    allowed(playbook.group)
    id = clocks.new_id()
    now_us = clocks.now_us()
    store.add_playbook(id, playbook.group, playbook.name, typed, who, now_us)
    return store.find_playbook(id)


def edit(
    store: Playbooks,
    record: PlaybookRecord,
    body: bytes,
    notation: str,
    place: str,
    *,
    who: str,
    expected: int | None = None,
) -> PlaybookRecord:
    """Check a playbook and store it as the next version; how the playbook stands then.

    The very text of the newest version makes no other. ``expected``: the version that it is to
    follow, if not the one of ``record``.
    Raises: as ``add``; Conflict also when that is not the newest version, Rejected for a playbook
    that was removed.
    """
    playbook, typed = _checked(body, notation, place, group=record.group)
    expected = record.version if expected is None else expected
    is_newest = expected == record.version and record.removed_us is None
    if is_newest and store.playbook_version(record.id, expected).typed == typed:
        return record
    store.edit_playbook(record.id, expected, playbook.name, typed, who, clocks.now_us())
    return store.find_playbook(record.id)


def read_back(record: PlaybookRecord, version: PlaybookVersion) -> Playbook:
    """Raises: Rejected for what a newer Headway stored; DocumentError where this one is stricter
    than the one that stored it."""
    typed, target = version.typed, target_of(record, version.number)
    if typed.format > FORMAT:
        raise Rejected(
            f"{target} was stored by a newer Headway (format {typed.format} of playbooks, this one"
            f" knows {FORMAT}): upgrade this Headway"
        )
    return playbook_of(read(typed.text.encode(), typed.notation, target))


def require_there(record: PlaybookRecord) -> None:
    """It can be begun and changed. Raises: Rejected for one that was removed."""
    if record.removed_us is not None:
        raise Rejected(f"playbook {record.id} ({record.title}) was removed by {record.removed_by}")


def target_of(record: PlaybookRecord, version: int) -> str:
    """The TARGET that will always mean this version."""
    return f"{STORED}{record.id}@{version}"


def found(store: Playbooks, target: str) -> tuple[PlaybookRecord, PlaybookVersion]:
    """What a TARGET names. One that was removed is found only where its version is named, as by
    a run that is taken up again. Raises: UnknownTarget."""
    match = _TARGET.fullmatch(target)
    if match is None:
        raise UnknownTarget(f"{target!r} names no playbook: write {STORED}ID or {STORED}ID@VERSION")
    try:
        record = store.find_playbook(match["called"])
        if not match["version"]:
            require_there(record)
        return record, store.playbook_version(record.id, int(match["version"] or record.version))
    except Rejected as error:
        raise UnknownTarget(str(error)) from error


def load_stored(
    store: Playbooks,
    target: str,
    inputs: Mapping[str, Any],
    changes: Mapping[str, Any],
    surroundings: Surroundings = NOTHING,
    *,
    to_look_at: bool = False,
) -> Loaded:
    """As ``load_playbook``, of a target that ``found`` understands."""
    record, version = found(store, target)
    return load_read(
        target_of(record, version.number),
        read_back(record, version),
        Path.cwd(),
        inputs,
        changes,
        surroundings,
        to_look_at=to_look_at,
    )


def _checked(
    body: bytes, notation: str, place: str, group: str | None = None
) -> tuple[Playbook, PlaybookText]:
    playbook = playbook_of(read(body, notation, place), group=group)
    return playbook, PlaybookText(body.decode(), notation, FORMAT)
