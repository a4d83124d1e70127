"""Celery tasks in plain dictionaries: a model of what the databases do."""

import threading
from collections.abc import Sequence
from typing import Any

from headway.ports.store import storable
from headway.ports.tracking import EVERYTHING, Forgotten, Sought
from headway.tracking.families import Family
from headway.tracking.heard import DeadLetter
from headway.tracking.results import Result, Seen
from headway.tracking.task import Task, merged


class MemoryTasks:
    """Keeps tasks in memory. What stands in for Celery's table is ``results``, by id."""

    place = "memory"

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._tasks: dict[str, Task] = {}
        self._letters: dict[str, DeadLetter] = {}
        self.results: dict[str, Result] = {}

    def record(self, tasks: Sequence[Task], letters: Sequence[DeadLetter] = ()) -> None:
        with self._lock:
            for task in map(_kept, tasks):
                self._tasks[task.id] = merged(self._tasks.get(task.id, task), task)
            for letter in letters:
                self._letters.setdefault(letter.digest, _kept(letter))

    def task(self, id: str) -> Seen:
        with self._lock:
            task = self._tasks.get(storable(id), Task(id))
            return Seen(task, self.results.get(storable(id)))

    def search(self, sought: Sought = EVERYTHING, limit: int = 20) -> Sequence[Seen]:
        with self._lock:
            found = [one for one in map(self._brief, self._tasks.values()) if _is(one, sought)]
        return sorted(found, key=_place, reverse=True)[:limit]

    def family(self, id: str, limit: int = 1000) -> Family:
        id = storable(id)
        with self._lock:
            known = self._tasks.get(id)
            root = (known.root if known else None) or id
            found = [self._brief(one) for one in self._tasks.values() if root in (one.root, one.id)]
        return Family(root, sorted(found, key=_place)[:limit], len(found) <= limit)

    def dead_letters(self, limit: int = 20, before: int | None = None) -> Sequence[DeadLetter]:
        with self._lock:
            newest = sorted(self._letters.values(), key=lambda one: -one.at_us)
        return [one for one in newest if before is None or one.at_us < before][:limit]

    def forget(self, ended_before_us: int, silent_before_us: int, keep: int = 0) -> Forgotten:
        def is_old(one: Seen) -> bool:
            if one.is_over:
                return one.last_us < ended_before_us
            return max(one.last_us, one.task.eta_us or 0) < silent_before_us

        with self._lock:
            newest_first = sorted(map(self._brief, self._tasks.values()), key=_place, reverse=True)
            tasks = [one.task.id for one in newest_first[keep:] if is_old(one)]
            older = list(self._letters.values())[::-1][keep:]
            letters = [one.digest for one in older if one.at_us < ended_before_us]
            for id in tasks:
                del self._tasks[id]
            for digest in letters:
                del self._letters[digest]
        return Forgotten(len(tasks), len(letters))

    def close(self) -> None:
        pass

    def _brief(self, task: Task) -> Seen:
        result = self.results.get(task.id)
        return Seen(task, Result(result.status, result.done_us) if result else None)


def _is(one: Seen, sought: Sought) -> bool:
    name, task = sought.name, one.task
    if name is not None and name.endswith("*"):
        if task.name is None or not task.name.startswith(storable(name[:-1])):
            return False
    elif name is not None and task.name != storable(name):
        return False
    return (
        sought.queue in (None, task.queue)
        and sought.state in (None, one.state)
        and (sought.since_us is None or task.at_us >= sought.since_us)
        and (sought.before is None or _place(one) < sought.before)
    )


def _place(one: Seen) -> tuple[int, str]:
    return one.task.at_us, one.task.id


def _kept(value: Any) -> Any:
    return value._make(storable(one) if isinstance(one, str) else one for one in value)
