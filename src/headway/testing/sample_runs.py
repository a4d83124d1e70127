"""Runs to fill a store with."""

from typing import Any

from headway.jobs.events import Row, TryEnded, encode
from headway.jobs.outcomes import Ending
from headway.ports.store import Launch, Owner, Store

EVER = 2**62  # later than any moment


def launch(**changes: Any) -> Launch:
    """How a run was started, with every kind of JSON value in it."""
    given: dict[str, Any] = {
        "target": "release.py",
        "root": "Root",
        "inputs": {"": None, "list": [1, 2.5, -(2**70), True, {"a": "ä\0\ud800"}]},
        "directory": "/tmp",
        "options": {"slots": 4},
        "sources": ["1f", "2e"],
        "who": "me",
        "version": "1",
        "python": "3.11",
        "group": "shop",
        "locks": [],
        "surroundings": {"triggers": [{"WHEN": "ä"}]},
        "source": "10.0.0.7",
        "hosts": ["web1"],
        "asked": "digest",
    }
    return Launch(**{**given, **changes})


def owner(pid: int = 1) -> Owner:
    return Owner("here", pid, "when it started", "a boot")


def run_id(number: int) -> str:
    """An id, and the order of numbers is that of ids."""
    return f"{number:08x}" + "5" * 16


def passed(key: int, number: int = 1) -> Row:
    return Row("passed", 1_000_000 + key, key, number, None)


def ended(kind: Ending, key: int, number: int) -> Row:
    return encode(TryEnded(1_000_000, key, number, kind))


def rows_of(store: Store, id: str) -> list[Row]:
    return [entry.row for entry in store.journal(id)][1:]


RUN, OTHER = run_id(1), run_id(2)
