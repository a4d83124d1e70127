"""Playbooks in a store over SQL."""

from collections.abc import Sequence
from typing import Any

from headway.adapters import statements
from headway.adapters.sql_part import SqlPart
from headway.errors import Conflict, HeadwayError, Rejected
from headway.ports.playbooks import (
    PlaybookRecord,
    PlaybookText,
    PlaybookVersion,
    require_short,
)
from headway.ports.store import storable

_HEX = frozenset("0123456789abcdef")
_EVERY = 2**31 - 1  # a version's number is smaller


class SqlPlaybooks(SqlPart):
    """The part of a store that keeps playbooks."""

    def add_playbook(
        self, id: str, group: str, name: str, typed: PlaybookText, who: str, at_us: int
    ) -> None:
        require_short(group, name)
        kept = {"group": storable(group), "name": storable(name)}
        try:
            with self._use, self._database.transaction():
                self._database.change(statements.ADD_PLAYBOOK, id=id, **kept)
                self._add_version(id, typed, who, at_us)
        except Conflict as error:
            if taken := self._taken(kept, id):
                raise taken from error
            raise

    def edit_playbook(
        self, id: str, expected: int, name: str, typed: PlaybookText, who: str, at_us: int
    ) -> int:
        require_short(name)
        kept = {"name": storable(name)}
        try:
            with self._use, self._database.transaction():
                edited = self._database.change(
                    statements.NEXT_VERSION, id=id, expected=expected, **kept
                )
                if edited:
                    self._add_version(id, typed, who, at_us)
        except Conflict as error:
            if taken := self._taken({"group": self._stored(id).group, **kept}, id):
                raise taken from error
            raise
        if not edited:
            raise self._not_edited(id, expected)
        return expected + 1

    def remove_playbook(self, id: str, who: str, at_us: int) -> None:
        with self._use, self._database.transaction():
            removed = self._database.change(
                statements.REMOVE_PLAYBOOK, id=id, who=storable(who), at_us=at_us
            )
        if not removed:
            raise _gone(self._stored(id))

    def find_playbook(self, called: str) -> PlaybookRecord:
        low = called.lower()
        if "/" in called:
            rows = self._query(statements.PLAYBOOKS_CALLED, title=storable(called))
        elif _HEX.issuperset(low):
            rows = self._query(statements.FIND_PLAYBOOKS, low=low, high=low + "g")
        else:
            rows = []
        if not rows:
            raise Rejected(
                f"{self.place} has no playbook {called!r}: a playbook is named by its id, the"
                " beginning of its id, or group/name; headway playbook list lists them"
            )
        if len(rows) > 1 and rows[0][0] != low:
            raise Rejected(
                f"several playbooks may be meant by {called!r}, {rows[0][0]} and {rows[1][0]}"
                " among them: type more of the id"
            )
        return PlaybookRecord(*rows[0])

    def playbooks(
        self, group: str | None = None, limit: int = 100, after: tuple[str, str] = ("", "")
    ) -> Sequence[PlaybookRecord]:
        page: dict[str, Any] = {
            "after_group": storable(after[0]),
            "after_name": storable(after[1]),
            "limit": limit,
        }
        if group is None:
            rows = self._query(statements.LIST_PLAYBOOKS, **page)
        else:
            rows = self._query(statements.LIST_PLAYBOOKS_OF, group=storable(group), **page)
        return [PlaybookRecord(*row) for row in rows]

    def playbook_version(self, id: str, number: int) -> PlaybookVersion:
        number = min(max(number, 0), _EVERY - 1)
        rows = self._query(statements.VERSIONS, id=id, least=number, before=number + 1, limit=1)
        if not rows:
            record = self._stored(id)
            raise Rejected(f"playbook {id} has no version {number}: its newest is {record.version}")
        return _version(rows[0])

    def playbook_versions(
        self, id: str, limit: int = 100, before: int | None = None
    ) -> Sequence[PlaybookVersion]:
        before = _EVERY if before is None else before
        rows = self._query(statements.VERSIONS, id=id, least=1, before=before, limit=limit)
        if not rows:
            self._stored(id)
        return [_version(row) for row in rows]

    def _add_version(self, id: str, typed: PlaybookText, who: str, at_us: int) -> None:
        self._database.change(
            statements.ADD_VERSION,
            id=id,
            at_us=at_us,
            who=storable(who),
            notation=typed.notation,
            format=typed.format,
            text=storable(typed.text),
        )

    def _stored(self, id: str) -> PlaybookRecord:
        """By the whole of its id. Raises: Rejected."""
        rows = self._query(statements.FIND_PLAYBOOKS, low=id, high=id + "g")
        if not rows or rows[0][0] != id:
            raise Rejected(f"there is no playbook {id} in {self.place}")
        return PlaybookRecord(*rows[0])

    def _taken(self, named: dict[str, str], id: str) -> Conflict | None:
        """Says who has the name; None when it is not the name that was taken."""
        rows = self._query(statements.PLAYBOOK_NAMED, **named)
        if not rows or rows[0][0] == id:
            return None
        record = PlaybookRecord(*rows[0])
        return Conflict(
            f"playbook {record.id} of {record.group} is called {record.name!r} already: headway"
            f" playbook edit {record.id} FILE makes a new version of it"
        )

    def _not_edited(self, id: str, expected: int) -> HeadwayError:
        record = self._stored(id)
        if record.removed_us is not None:
            return _gone(record)
        return Conflict(
            f"playbook {id} has version {record.version}, typed by {record.who}, and not"
            f" {expected}: look at that one first, headway playbook show {id}"
        )


def _gone(record: PlaybookRecord) -> Rejected:
    return Rejected(f"playbook {record.id} ({record.title}) was removed by {record.removed_by}")


def _version(row: Sequence[Any]) -> PlaybookVersion:
    number, text, notation, format, who, at_us = row
    return PlaybookVersion(number, PlaybookText(text, notation, format), who, at_us)
