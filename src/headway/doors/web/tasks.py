"""Celery tasks as the API tells them. They are of no group: only who may see every group sees them.

Their arguments and results may be anybody's, and nothing in a task says whose.
"""

from datetime import datetime
from typing import Any, NamedTuple

from headway.doors.cli.tasks import family_document, letter_document, task_document
from headway.doors.web.cursors import cursor_of, no_cursor, place_of
from headway.doors.web.guard import Caller
from headway.doors.web.limits import FAMILY_MOST
from headway.doors.web.problems import Problem
from headway.doors.web.runs import AT_ONCE
from headway.ports.store import Store
from headway.ports.tracking import Sought, Tasks
from headway.releases.rights import Action
from headway.tracking.states import TaskState


class Wanted(NamedTuple):
    """Which tasks are asked for. What is None is not asked for."""

    name: str | None = None
    state: TaskState | None = None
    queue: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def tasks_of(store: Store, caller: Caller) -> Tasks:
    """Raises: Problem for who may not see them."""
    if not caller.may(Action.TRACK, ""):
        raise Problem(
            403, "Celery tasks are of no group: ask for a token with --group '*' to see them"
        )
    return store.tasks


def task_page(
    store: Store, caller: Caller, wanted: Wanted, limit: int, cursor: str | None
) -> dict[str, Any]:
    tasks = tasks_of(store, caller)
    before = None if wanted.until is None else (_us(wanted.until), "")
    if cursor is not None:
        at_us, id = place_of(cursor, int, str)
        before = (at_us, id)
    since_us = None if wanted.since is None else _us(wanted.since)
    sought = Sought(wanted.name, wanted.state, wanted.queue, since_us, before)
    found = tasks.search(sought, limit + 1)
    last = found[limit - 1].task if len(found) > limit else None
    return {
        "tasks": [task_document(one) for one in found[:limit]],
        "next": cursor_of(last.at_us, last.id) if last is not None else None,
    }


def task_in_full(store: Store, caller: Caller, id: str) -> dict[str, Any]:
    return task_document(tasks_of(store, caller).task(id))


def family_page(store: Store, caller: Caller, id: str, after: int, limit: int) -> dict[str, Any]:
    document = family_document(tasks_of(store, caller).family(id, FAMILY_MOST))
    members = document["members"]
    document["members"] = members[after : after + limit]
    more = len(members) > after + limit
    return {**document, "next": after + limit if more else None}


def letter_page(store: Store, caller: Caller, limit: int, cursor: str | None) -> dict[str, Any]:
    tasks = tasks_of(store, caller)
    at_us, passed = (None, 0) if cursor is None else place_of(cursor, int, int)
    if passed > AT_ONCE:
        raise no_cursor()
    # Several may have come in one microsecond: those already told are passed over.
    before = None if at_us is None else at_us + 1
    found = tasks.dead_letters(limit + passed + 1, before)[passed:]
    told = found[:limit]
    following = None
    if len(found) > limit:
        last_us = told[-1].at_us
        same = sum(one.at_us == last_us for one in told)
        following = cursor_of(last_us, same + (passed if at_us == last_us else 0))
    return {"letters": [letter_document(one) for one in told], "next": following}


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
