"""Runs as the API tells them. Nothing here is of the web: a store goes in, documents come out."""

import json
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from headway.doors.cli.documents import (
    event_document,
    job_document,
    line_document,
    run_document,
)
from headway.doors.cli.words import iso
from headway.doors.web.cursors import cursor_of, no_cursor, place_of
from headway.doors.web.guard import Caller, hidden
from headway.doors.web.problems import Problem
from headway.errors import DefinitionError, HeadwayError, Rejected
from headway.jobs.events import decode
from headway.jobs.plan import Plan
from headway.jobs.progress import Progress
from headway.jobs.states import JobState, RunState
from headway.ports.playbooks import STORED
from headway.ports.store import Lock, RunRecord, Store
from headway.releases.rights import Action
from headway.releases.state_record import Standing, state_record
from headway.releases.surroundings import surrounded
from headway.runtime import ownership, stored_playbooks
from headway.runtime.playbooks import surrounding

AT_ONCE = 10_000  # that more runs than this began in one microsecond is not believed
AHEAD = 20  # of those who are ahead of a run, so many are told
OVER = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
_ID = re.compile(r"[0-9a-f]{1,64}")
# How a state that is shown may be stored: what has no living owner is stored as running.
_STORED = {RunState.INTERRUPTED: (RunState.INTERRUPTED, RunState.RUNNING)}


class Page(NamedTuple):
    """Which part of the runs is asked for."""

    limit: int
    cursor: str | None = None
    group: str | None = None
    states: Sequence[RunState] = ()


class Seen(NamedTuple):
    """A run as it stands now."""

    record: RunRecord
    state: RunState
    progress: Progress

    @property
    def living(self) -> bool:
        return self.state is RunState.RUNNING


def visible_run(store: Store, caller: Caller, id: str) -> RunRecord:
    """The run with exactly this id. Raises: Problem, also where the caller may not see it."""
    what = f"run {id[:64]}"
    if not _ID.fullmatch(id):
        raise hidden(what)
    try:
        record = store.find(id)
    except Rejected:
        raise hidden(what) from None
    if record.id != id or not caller.may(Action.READ, record.launch.group):
        raise hidden(what)
    return record


def run_page(store: Store, caller: Caller, page: Page) -> dict[str, Any]:
    groups = _groups(caller, page.group)
    began_us, passed = (None, 0) if page.cursor is None else place_of(page.cursor, int, int)
    if passed > AT_ONCE:
        raise no_cursor()
    if groups is not None and not groups:
        return {"runs": [], "next": None}
    stored = tuple({one: None for state in page.states for one in _STORED.get(state, (state,))})
    # Several runs may have begun in one microsecond: those already told are passed over.
    found = store.runs(
        page.limit + passed + 1,
        None if began_us is None else began_us + 1,
        groups=groups,
        states=stored or None,
    )[passed:]
    records = found[: page.limit]
    told = [(record, ownership.state_now(record)) for record in records]
    paused = store.paused([record.id for record in records if record.state not in OVER])
    return {
        "runs": [
            _run(record, state, paused=record.id in paused)
            for record, state in told
            if not page.states or state in page.states
        ],
        "next": _next_cursor(records, began_us, passed) if len(found) > page.limit else None,
    }


def _groups(caller: Caller, wanted: str | None) -> Sequence[str] | None:
    """Of which groups to tell; None for all."""
    if wanted is None:
        return caller.groups
    return [wanted] if caller.may(Action.READ, wanted) else []


def _next_cursor(records: Sequence[RunRecord], began_us: int | None, passed: int) -> str:
    last = records[-1].began_us
    same = sum(one.began_us == last for one in records)
    return cursor_of(last, same + (passed if began_us == last else 0))


def _run(record: RunRecord, state: RunState, *, paused: bool) -> dict[str, Any]:
    launch = record.launch
    return {
        **run_document(record, state, paused=paused),
        "group": launch.group,
        "source": launch.source,
        "locks": list(launch.locks),
    }


def seen(store: Store, record: RunRecord) -> Seen:
    plan = Plan.from_json(store.plan(record.id))
    progress = Progress(plan, (decode(entry.row) for entry in store.journal(record.id)))
    return Seen(record, ownership.state_now(record), progress)


def run_in_full(store: Store, caller: Caller, id: str) -> dict[str, Any]:
    found = seen(store, visible_run(store, caller, id))
    counts = found.progress.counts(living=found.living)
    ahead = store.ahead_of(id)[:AHEAD]
    return {
        **_run(found.record, found.state, paused=found.progress.paused),
        "counts": {str(state): count for state, count in counts.items()},
        "changes": [
            {"at": iso(one.at_us), "what": one.what, "who": one.who, "why": one.why}
            for one in found.progress.changes
        ],
        "waits_for": lock_documents(store, caller, ahead),
        "record": _record(store, found),
    }


def _record(store: Store, found: Seen) -> dict[str, Any] | None:
    """As the original release engine told it; None for what is no release of a playbook."""
    record, launch = found.record, found.record.launch
    if not launch.target.startswith(STORED):
        return None
    try:
        kept, version = stored_playbooks.found(store, launch.target)
        around = surrounding(record)
        playbook = surrounded(stored_playbooks.read_back(kept, version), around.triggers)
    except HeadwayError:
        return None  # stored by another Headway than this one
    standing = Standing(
        run=record.id,
        playbook=kept.id,
        who=launch.who,
        state=found.state,
        began_at=iso(record.began_us),
        ended_at=iso(record.ended_us),
        inputs=launch.inputs,
        triggers=around.to_plain().get("step_triggers", ()),
        names=found.progress.plan.names,
        jobs=found.progress.states(living=found.living),
    )
    return state_record(playbook, standing)


def lock_page(store: Store, caller: Caller, limit: int, cursor: str | None) -> dict[str, Any]:
    locks = sorted(store.locks(), key=lambda one: (one.tag, one.ticket))
    held: dict[str, int] = {}
    for one in locks:
        held.setdefault(one.tag, one.ticket)
    after = None if cursor is None else (*place_of(cursor, str, int),)
    left = [one for one in locks if after is None or (one.tag, one.ticket) > after]
    page = left[:limit]
    told = lock_documents(store, caller, page)
    for one, document in zip(page, told, strict=True):
        document["holds"] = held[one.tag] == one.ticket
    more = len(left) > limit
    return {"locks": told, "next": cursor_of(page[-1].tag, page[-1].ticket) if more else None}


def lock_documents(store: Store, caller: Caller, locks: Sequence[Lock]) -> list[dict[str, Any]]:
    """Whose a run is that the caller may not see is not told."""

    def may_see(run: str) -> bool:
        return caller.groups is None or caller.may(Action.READ, store.find(run).launch.group)

    return [
        {
            "tag": one.tag,
            "run": one.run if may_see(one.run) else None,
            "ticket": one.ticket,
            "at": iso(one.at_us),
        }
        for one in locks
    ]


def job_page(
    store: Store, caller: Caller, id: str, after: int, limit: int, states: Sequence[JobState]
) -> dict[str, Any]:
    found = seen(store, visible_run(store, caller, id))
    stand = found.progress.states(living=found.living)
    keys = (key for key in range(after + 1, len(stand)) if not states or stand[key] in states)
    page = list(islice(keys, limit + 1))
    told = page[:limit]
    return {
        "jobs": [_job(found, key, stand[key], history=False) for key in told],
        "next": told[-1] if len(page) > limit else None,
    }


def job_in_full(store: Store, caller: Caller, id: str, key: int) -> dict[str, Any]:
    found = seen(store, visible_run(store, caller, id))
    stand = found.progress.states(living=found.living)
    if key >= len(stand):
        raise Problem(404, f"run {id} has no job {key}: it has {len(stand)}, from 0")
    return _job(found, key, stand[key], history=True)


def _job(found: Seen, key: int, state: JobState, *, history: bool) -> dict[str, Any]:
    return {"key": key, **job_document(found.progress, key, state, history=history)}


def event_page(
    store: Store, caller: Caller, id: str, after: int, limit: int, plan: Plan | None = None
) -> dict[str, Any]:
    """``plan``: the run's, if it is known already."""
    # In this order: a run that is over has all its events.
    record = visible_run(store, caller, id)
    plan = plan or plan_of(store, id)
    entries = list(islice(store.journal(id, after), limit))
    return {
        "events": [{"seq": one.seq, **event_document(decode(one.row), plan)} for one in entries],
        "next": entries[-1].seq if entries else after,
        "over": record.state in OVER and len(entries) < limit,
    }


def line_page(
    store: Store, caller: Caller, id: str, key: int | None, after: int, limit: int
) -> dict[str, Any]:
    visible_run(store, caller, id)
    plan = plan_of(store, id)
    lines = store.output(id, key, after, limit)
    return {
        "lines": [{"id": one.id, **line_document(one, plan)} for one in lines],
        "next": lines[-1].id if lines else after,
    }


def plan_document(store: Store, caller: Caller, id: str) -> Any:
    visible_run(store, caller, id)
    return json.loads(store.plan(id))


def plan_of(store: Store, id: str) -> Plan:
    return Plan.from_json(store.plan(id))


def key_called(plan: Plan, name: str) -> int:
    """The key of a job. Raises: Problem."""
    try:
        return plan.key_of(name)
    except DefinitionError as error:
        raise Problem(
            422, str(error), errors=[{"pointer": "/job", "detail": str(error)}]
        ) from error
