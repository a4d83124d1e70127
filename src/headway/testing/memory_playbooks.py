"""Playbooks in plain dictionaries: the part of the store in memory that keeps them."""

import threading
from collections.abc import Sequence

from headway.errors import Conflict, Rejected
from headway.ports.playbooks import (
    PlaybookRecord,
    PlaybookText,
    PlaybookVersion,
    require_short,
)
from headway.ports.store import storable


class MemoryPlaybooks:
    """Keeps playbooks in memory."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._playbooks: dict[str, PlaybookRecord] = {}
        self._versions: dict[str, list[PlaybookVersion]] = {}  # oldest first

    def add_playbook(
        self, id: str, group: str, name: str, typed: PlaybookText, who: str, at_us: int
    ) -> None:
        require_short(group, name)
        with self._lock:
            if id in self._playbooks:
                raise Conflict(f"playbook {id} is there already")
            self._require_free(id, storable(group), storable(name))
            self._playbooks[id] = PlaybookRecord(
                id, storable(group), storable(name), 1, storable(who), at_us
            )
            self._versions[id] = [PlaybookVersion(1, _kept(typed), storable(who), at_us)]

    def edit_playbook(
        self, id: str, expected: int, name: str, typed: PlaybookText, who: str, at_us: int
    ) -> int:
        require_short(name)
        with self._lock:
            record = self._there(id)
            if record.version != expected:
                raise Conflict(f"playbook {id} has version {record.version}, not {expected}")
            self._require_free(id, record.group, storable(name))
            number = expected + 1
            self._playbooks[id] = record._replace(
                name=storable(name), version=number, who=storable(who), at_us=at_us
            )
            self._versions[id].append(PlaybookVersion(number, _kept(typed), storable(who), at_us))
            return number

    def remove_playbook(self, id: str, who: str, at_us: int) -> None:
        with self._lock:
            record = self._there(id)
            self._playbooks[id] = record._replace(removed_us=at_us, removed_by=storable(who))

    def find_playbook(self, called: str) -> PlaybookRecord:
        with self._lock:
            if "/" in called:
                found = [one for one in self._all_there() if one.title == storable(called)]
            else:
                low = called.lower()
                found = [one for one in self._playbooks.values() if one.id.startswith(low)]
                found = [one for one in found if one.id == low] or found
            if len(found) != 1:
                raise Rejected(f"{len(found)} playbooks may be meant by {called!r}")
            return found[0]

    def playbooks(
        self, group: str | None = None, limit: int = 100, after: tuple[str, str] = ("", "")
    ) -> Sequence[PlaybookRecord]:
        place = (storable(after[0]), storable(after[1]))
        with self._lock:
            found = [one for one in self._all_there() if (one.group, one.name) > place]
        if group is not None:
            found = [one for one in found if one.group == storable(group)]
        return sorted(found, key=lambda one: (one.group, one.name))[:limit]

    def playbook_version(self, id: str, number: int) -> PlaybookVersion:
        with self._lock:
            self._stored(id)
            for version in self._versions[id]:
                if version.number == number:
                    return version
        raise Rejected(f"playbook {id} has no version {number}")

    def playbook_versions(
        self, id: str, limit: int = 100, before: int | None = None
    ) -> Sequence[PlaybookVersion]:
        with self._lock:
            self._stored(id)
            found = [one for one in self._versions[id] if before is None or one.number < before]
        return found[::-1][:limit]

    def _stored(self, id: str) -> PlaybookRecord:
        if id not in self._playbooks:
            raise Rejected(f"there is no playbook {id}")
        return self._playbooks[id]

    def _there(self, id: str) -> PlaybookRecord:
        record = self._stored(id)
        if record.removed_us is not None:
            raise Rejected(f"playbook {id} was removed")
        return record

    def _all_there(self) -> list[PlaybookRecord]:
        return [one for one in self._playbooks.values() if one.removed_us is None]

    def _require_free(self, id: str, group: str, name: str) -> None:
        for one in self._all_there():
            if one.id != id and (one.group, one.name) == (group, name):
                raise Conflict(f"playbook {one.id} of {group} is called {name!r} already")


def _kept(typed: PlaybookText) -> PlaybookText:
    return typed._replace(text=storable(typed.text))
