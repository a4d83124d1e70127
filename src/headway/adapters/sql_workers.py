"""Which workers are there, in a store over SQL."""

from collections.abc import Sequence
from typing import Any

from headway.adapters import statements
from headway.adapters.sql_part import SqlPart
from headway.ports.store import storable
from headway.ports.workers import FIRST, WorkerRecord
from headway.releases.presences import lost_after_us
from headway.wire.messages import Presence


class SqlWorkers(SqlPart):
    """The part of a store that keeps who is there."""

    def note_workers(self, heard: Sequence[WorkerRecord]) -> None:
        rows = {row[:2]: row for row in map(_row, heard)}
        if not rows:
            return
        with self._use, self._database.transaction():
            self._database.batch(statements.NOTE_WORKERS, list(rows.values()))
            if any(one.presence.state == "left" for one in heard):
                self._database.change(statements.FORGET_LEFT)

    def workers(self, limit: int, after: tuple[str, str] = FIRST) -> Sequence[WorkerRecord]:
        queue, worker = map(storable, after)
        found = self._query(statements.WORKERS, queue=queue, worker=worker, limit=limit)
        return [
            WorkerRecord(Presence.decode(text.encode()), max(0, seen_us) / 1e6)
            for text, seen_us in found
        ]

    def forget_workers(self, lost_before_us: int) -> int:
        return self._change(statements.FORGET_LOST, before=lost_before_us)


def _row(heard: WorkerRecord) -> tuple[Any, ...]:
    one = heard.presence
    return (
        storable(one.queue),
        storable(one.worker),
        one.state,
        one.number,
        storable(one.encode().decode()),
        round(heard.seen_s * 1e6),
        lost_after_us(one),
    )
