"""The store over SQL: one row codec and one set of statements, whatever the database."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headway.adapters import statements
from headway.adapters.database import Database, require_version
from headway.adapters.exclusive_use import ExclusiveUse
from headway.adapters.sql_playbooks import SqlPlaybooks
from headway.errors import Conflict, Rejected
from headway.jobs.events import PlainRow, Row, RunBegan, encode
from headway.jobs.states import RunState
from headway.ports.store import Entry, Launch, Line, Owner, Request, RunRecord, storable

_PAGE = 5_000  # rows of a journal read, or rows of a forgotten run deleted, at once
_HEX = frozenset("0123456789abcdef")


class SqlStore(SqlPlaybooks):
    """Keeps runs and playbooks in a database. Thread-safe: one connection, one lock."""

    def __init__(self, database: Database, *, check_version: bool = True) -> None:
        super().__init__(database, ExclusiveUse())
        self._numbers: dict[str, int] = {}  # id to the number that stands for it in the tables
        if check_version:
            require_version(database)

    def begin(self, id: str, launch: Launch, plan: str, jobs: int, owner: Owner, at_us: int) -> int:
        with self._use, self._database.transaction():
            self._database.change(
                statements.BEGIN_RUN,
                id=id,
                launch=json.dumps(launch._asdict()),
                plan=plan,
                jobs=jobs,
                at_us=at_us,
                **_stored(owner),
            )
            self._insert_events(id, 1, 1, [encode(RunBegan(at_us))])
        return 1

    def take(self, id: str, epoch: int, owner: Owner, *, next_lap: bool = False) -> int:
        with self._use, self._database.transaction():
            taken = self._database.change(
                statements.TAKE_RUN, id=id, epoch=epoch, laps=int(next_lap), **_stored(owner)
            )
            if not taken:
                raise self._lost(id)
        return epoch + 1

    def append(
        self,
        id: str,
        epoch: int,
        lap: int,
        first_seq: int,
        rows: Sequence[PlainRow],
        *,
        state: RunState | None = None,
        lines: Sequence[Line] = (),
        answers: Sequence[tuple[int, str]] = (),
    ) -> None:
        with self._use, self._database.transaction():
            if state is None or state is RunState.RUNNING:
                held = self._database.change(statements.HOLD_RUN, id=id, epoch=epoch)
            else:
                held = self._database.change(
                    statements.LEAVE_RUN, id=id, epoch=epoch, state=str(state)
                )
            if not held:
                raise self._lost(id)
            if rows:
                self._insert_events(id, lap, first_seq, rows)
            if lines:
                self._insert_lines(self._number(id), lines)
            for request, answer in answers:
                self._database.change(
                    statements.ANSWER, id=request, run=self._number(id), answer=storable(answer)
                )

    def add_output(self, id: str, lines: Sequence[Line]) -> None:
        with self._use, self._database.transaction():
            self._insert_lines(self._number(id, afresh=True), lines)
            del self._numbers[id]  # who keeps the output of all runs is not to remember each

    def beat(self, id: str, epoch: int) -> None:
        with self._use, self._database.transaction():
            if not self._database.change(statements.HOLD_RUN, id=id, epoch=epoch):
                raise self._lost(id)

    def ask(self, id: str, verb: str, args: Mapping[str, Any], who: str, at_us: int) -> int:
        with self._use, self._database.transaction():
            return self._database.add(
                statements.ASK,
                run=self._number(id, afresh=True),
                verb=storable(verb),
                args=json.dumps(args),
                who=storable(who),
                at_us=at_us,
            )

    def asked(self, id: str) -> Sequence[Request]:
        rows = self._query(statements.ASKED, run=self._number(id))
        return [_request(row) for row in rows]

    def request(self, number: int) -> Request | None:
        rows = self._query(statements.REQUEST, id=number)
        return _request(rows[0]) if rows else None

    def find(self, prefix: str | None) -> RunRecord:
        if prefix is None:
            rows = self._query(statements.LAST_RUN)
            if not rows:
                raise Rejected(f"{self.place} holds no run yet: type headway run TARGET")
            return _record(rows[0])
        low = prefix.lower()
        rows = []
        if _HEX.issuperset(low):
            rows = self._query(statements.FIND_RUNS, low=low, high=low + "g")
        if not rows:
            raise Rejected(
                f"no run's id begins with {prefix!r} in {self.place}: headway runs lists them"
            )
        if len(rows) > 1 and rows[0][0] != low:
            raise Rejected(
                f"several runs' ids begin with {prefix!r}, {rows[0][0]} and {rows[1][0]} among"
                " them: type more of it"
            )
        return _record(rows[0])

    def runs(self, limit: int = 20, before_us: int | None = None) -> Sequence[RunRecord]:
        before = 2**62 if before_us is None else before_us
        return [_record(r) for r in self._query(statements.LIST_RUNS, limit=limit, before=before)]

    def plan(self, id: str) -> str:
        rows = self._query(statements.PLAN, id=id)
        if not rows:
            raise self._unknown(id)
        return str(rows[0][0])

    def journal(self, id: str, after: int = 0) -> Iterator[Entry]:
        run = self._number(id)
        while True:
            rows = self._query(statements.JOURNAL, run=run, after=after, limit=_PAGE)
            for seq, *row in rows:
                yield Entry(seq, Row(*row))
            if len(rows) < _PAGE:
                return
            after = rows[-1][0]

    def output(
        self, id: str, key: int | None = None, after: int = 0, limit: int = 1000
    ) -> Sequence[Line]:
        run = self._number(id)
        if key is None:
            rows = self._query(statements.OUTPUT, run=run, after=after, limit=limit)
        else:
            rows = self._query(statements.OUTPUT_OF_JOB, run=run, after=after, limit=limit, job=key)
        return [Line(*row) for row in rows]

    def prune(self, ended_before_us: int, keep: int) -> int:
        found = self._query(statements.PRUNABLE, before=ended_before_us, keep=keep)
        # Each is looked at again: somebody may have taken it up meanwhile.
        pruned = sum(
            self._change(statements.MARK_PRUNED, no=number, before=ended_before_us)
            for (number,) in found
        )
        self._numbers.clear()
        for (number,) in self._query(statements.PRUNED):
            for statement in statements.FORGET_SOME:
                while self._change(statement, no=number, limit=_PAGE) == _PAGE:
                    pass
            self._change(statements.FORGET_RUN, no=number)
        with self._use:
            self._database.shrink()
        return pruned

    def upgrade(self) -> int:
        """Bring the schema to the newest version; the version it had."""
        with self._use:
            return self._database.migrate()

    def version(self) -> int:
        """The schema's version."""
        with self._use:
            return self._database.version()[0]

    def close(self) -> None:
        if not self._use.was_forked:
            with self._use:
                self._database.close()

    def _change(self, sql: str, **parameters: Any) -> int:
        with self._use, self._database.transaction():
            return self._database.change(sql, **parameters)

    def _insert_events(self, id: str, lap: int, seq: int, rows: Sequence[PlainRow]) -> None:
        run = self._number(id)
        self._database.insert(
            statements.ADD_EVENTS,
            [
                (run, place, at_us, kind, key, number, lap, body)
                for place, (kind, at_us, key, number, body) in enumerate(rows, seq)
            ],
        )

    def _insert_lines(self, run: int, lines: Sequence[Line]) -> None:
        self._database.insert(
            statements.ADD_LINES,
            [
                (run, key, number, at_us, storable(stream), storable(text), lost)
                for key, number, at_us, stream, text, lost, _ in lines
            ],
        )

    def _number(self, id: str, *, afresh: bool = False) -> int:
        number = self._numbers.get(id)
        if number is None or afresh:
            rows = self._query(statements.RUN_NUMBER, id=id)
            if not rows:
                raise self._unknown(id)
            number = self._numbers[id] = rows[0][0]
        return number

    def _unknown(self, id: str) -> Rejected:
        return Rejected(f"there is no run {id} in {self.place}")

    def _lost(self, id: str) -> Conflict:
        rows = self._database.query(statements.OWNER_OF, id=id)
        if not rows:
            return Conflict(f"run {id} is gone: it was pruned")
        host, pid = rows[0]
        whose = f"process {pid} on {host} owns it now" if host else "it has been ended meanwhile"
        return Conflict(f"run {id} is no longer ours: {whose}")


def _stored(owner: Owner) -> dict[str, Any]:
    return {
        name: storable(value) if isinstance(value, str) else value
        for name, value in owner._asdict().items()
    }


def _record(row: Sequence[Any]) -> RunRecord:
    id, state, launch, began_us, ended_us, host, pid, started, boot, epoch, lap, jobs, seen = row
    return RunRecord(
        id,
        RunState(state),
        Launch(**json.loads(launch)),
        began_us,
        ended_us,
        Owner(host, pid, started, boot) if host is not None else None,
        epoch,
        lap,
        seen / 1e6,
        jobs,
    )


def _request(row: Sequence[Any]) -> Request:
    id, run, verb, args, who, at_us, answer = row
    return Request(id, run, verb, json.loads(args), who, at_us, answer)
