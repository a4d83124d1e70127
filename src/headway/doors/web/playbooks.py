"""Stored playbooks as the API tells and changes them, and the releases begun of them."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from headway.doors.cli.stored_playbooks import record_document, version_document
from headway.doors.web.cursors import cursor_of, place_of
from headway.doors.web.guard import Caller, hidden
from headway.doors.web.problems import Problem
from headway.errors import Conflict, Rejected
from headway.ports.playbooks import PlaybookRecord
from headway.ports.store import Store
from headway.releases.rights import Action
from headway.releases.surroundings import Surroundings
from headway.runtime import clocks, stored_playbooks
from headway.runtime.deploying import (
    Release,
    deploy,
    deployed_before,
    digest_of,
    read_release,
)

PLACE = "the body"
_ID = re.compile(r"[0-9a-f]{1,64}")
_ETAG = re.compile(r'(?:W/)?"([0-9]{1,9})"')


class Typed(NamedTuple):
    """A playbook as it was sent."""

    body: bytes
    notation: str


def visible_playbook(store: Store, caller: Caller, id: str) -> PlaybookRecord:
    """The playbook with exactly this id. Raises: Problem, also where it may not be seen."""
    what = f"playbook {id[:64]}"
    if not _ID.fullmatch(id):
        raise hidden(what)
    try:
        record = store.find_playbook(id)
    except Rejected:
        raise hidden(what) from None
    if record.id != id or not caller.may(Action.READ, record.group):
        raise hidden(what)
    return record


def playbook_page(
    store: Store, caller: Caller, limit: int, cursor: str | None, group: str | None
) -> dict[str, Any]:
    after = ("", "") if cursor is None else (*place_of(cursor, str, str),)
    found: list[PlaybookRecord] = []
    for one in _groups(caller, group):
        if one is not None and one < after[0]:
            continue
        found += store.playbooks(one, limit + 1 - len(found), after)
        if len(found) > limit:
            break
    told = found[:limit]
    return {
        "playbooks": [record_document(one) for one in told],
        "next": cursor_of(told[-1].group, told[-1].name) if len(found) > limit else None,
    }


def _groups(caller: Caller, wanted: str | None) -> list[str | None]:
    """Of which groups to tell, in their order; None for all."""
    if wanted is not None:
        return [wanted] if caller.may(Action.READ, wanted) else []
    return [None] if caller.groups is None else [*sorted(set(caller.groups))]


def playbook_document(store: Store, caller: Caller, id: str) -> dict[str, Any]:
    return record_document(visible_playbook(store, caller, id))


def added(store: Store, caller: Caller, typed: Typed) -> dict[str, Any]:
    def allowed(group: str) -> None:
        if not caller.may(Action.EDIT, group):
            raise Problem(
                403,
                f"this token may not write playbooks of group {group!r}: ask for one with"
                " --group for it",
            )

    record = stored_playbooks.add(
        store, typed.body, typed.notation, PLACE, who=caller.name, allowed=allowed
    )
    return record_document(record)


def edited(
    store: Store, caller: Caller, id: str, typed: Typed, expected: str | None
) -> dict[str, Any]:
    record = _editable(store, caller, id)
    number = _expected(record, expected)
    try:
        now = stored_playbooks.edit(
            store, record, typed.body, typed.notation, PLACE, who=caller.name, expected=number
        )
    except Conflict as error:
        newest = store.find_playbook(id)
        if newest.version != number:
            raise _changed(newest) from error
        raise
    return record_document(now)


def removed(store: Store, caller: Caller, id: str, expected: str | None) -> None:
    record = _editable(store, caller, id)
    if expected is not None:
        _expected(record, expected)
    store.remove_playbook(id, caller.name, clocks.now_us())


def _editable(store: Store, caller: Caller, id: str) -> PlaybookRecord:
    record = visible_playbook(store, caller, id)
    caller.require(Action.EDIT, record.group, (), f"playbook {id}")
    _require_there(record)
    return record


def _require_there(record: PlaybookRecord) -> None:
    try:
        stored_playbooks.require_there(record)
    except Rejected as error:
        raise Problem(409, f"{error}: its versions can still be read") from error


def _expected(record: PlaybookRecord, header: str | None) -> int:
    """The version that If-Match names. Raises: Problem if it is not the newest."""
    if header is None:
        raise Problem(
            428,
            f'say which version this is to follow: If-Match: "{record.version}" is the newest, and'
            " If-Match: * follows whichever is",
        )
    if header.strip() == "*":
        return record.version
    match = _ETAG.fullmatch(header.strip())
    if match is None:
        raise Problem(400, 'If-Match is a version in quotes, such as "3", or *')
    if int(match[1]) != record.version:
        raise _changed(record)
    return record.version


def _changed(record: PlaybookRecord) -> Problem:
    return Problem(
        412,
        f"version {record.version} is the newest, by {record.who}: look at it, then send yours"
        f' with If-Match: "{record.version}"',
    )


def version_page(
    store: Store, caller: Caller, id: str, limit: int, before: int | None
) -> dict[str, Any]:
    visible_playbook(store, caller, id)
    found = store.playbook_versions(id, limit + 1, before)
    told = found[:limit]
    return {
        "versions": [version_document(one) for one in told],
        "next": told[-1].number if len(found) > limit else None,
    }


def version_in_full(store: Store, caller: Caller, id: str, number: int) -> dict[str, Any]:
    record = visible_playbook(store, caller, id)
    try:
        version = store.playbook_version(id, number)
    except Rejected:
        raise Problem(
            404, f"playbook {id} has no version {number}: its newest is {record.version}"
        ) from None
    return {**version_document(version), "text": version.typed.text}


def deployed(
    store: Store,
    caller: Caller,
    id: str,
    inputs: Mapping[str, Any],
    number: int | None,
    key: str | None,
    surroundings: Surroundings,
) -> dict[str, Any]:
    """Begin a release of a playbook. ``key``: what the client repeats the request by."""
    record = visible_playbook(store, caller, id)
    asked = digest_of([id, number, inputs])
    kept = None if key is None else "api:" + digest_of([caller.token, key])
    deployment = None if kept is None else deployed_before(store, kept, asked)
    if deployment is None:
        release = _release(store, record, number, surroundings)
        caller.require(Action.DEPLOY, record.group, release.hosts, f"playbook {record.title}")
        deployment = deploy(
            store,
            release,
            inputs,
            who=caller.name,
            source=caller.address,
            key=kept,
            asked=asked,
            token=caller.token,
        )
    run = store.find(deployment.run)
    _, _, version = run.launch.target.rpartition("@")
    return {
        "run": run.id,
        "playbook": id,
        "version": int(version) if version.isdigit() else None,
        "state": str(run.state),
        "is_new": deployment.is_new,
    }


def _release(
    store: Store, record: PlaybookRecord, number: int | None, surroundings: Surroundings
) -> Release:
    """Raises: Problem."""
    _require_there(record)
    if number is not None and number > record.version:
        detail = f"playbook {record.id} has no version {number}: its newest is {record.version}"
        raise Problem(422, detail, errors=[{"pointer": "/version", "detail": detail}])
    return read_release(store, record, number, surroundings)
