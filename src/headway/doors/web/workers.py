"""Workers as the API tells them. They serve everybody: only whose runs they work on is a secret."""

from functools import cache
from typing import Any

from headway.doors.cli.workers import worker_document
from headway.doors.web.cursors import cursor_of, place_of
from headway.doors.web.guard import Caller
from headway.doors.web.problems import Problem
from headway.doors.web.runs import visible_run
from headway.ports.store import Store
from headway.ports.workers import FIRST
from headway.runtime import clocks
from headway.runtime.worker_listing import seen_of


def worker_page(store: Store, caller: Caller, limit: int, cursor: str | None) -> dict[str, Any]:
    queue, worker = FIRST if cursor is None else place_of(cursor, str, str)
    found = store.workers(limit + 1, (queue, worker))
    now_us = clocks.now_us()
    documents = [worker_document(seen_of(one, now_us), now_us) for one in found[:limit]]
    if caller.groups is not None:
        _hide(store, caller, documents)
    last = found[limit - 1].presence if len(found) > limit else None
    return {
        "workers": documents,
        "next": cursor_of(last.queue, last.worker) if last is not None else None,
    }


def _hide(store: Store, caller: Caller, documents: list[dict[str, Any]]) -> None:
    """Take out which runs these are that the caller may not see."""

    @cache
    def may_see(run: str) -> bool:
        try:
            return bool(visible_run(store, caller, run))
        except Problem:
            return False

    for document in documents:
        for step in document["doing"]:
            if not may_see(step["run"]):
                step["run"] = step["attempt"] = None
