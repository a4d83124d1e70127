"""The store over SQL: one row codec and one set of statements, whatever the database."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from headway.adapters import statements
from headway.adapters.database import Database, require_version
from headway.adapters.exclusive_use import ExclusiveUse
from headway.adapters.sql_leases import SqlLeases, stored_owner
from headway.adapters.sql_playbooks import SqlPlaybooks
from headway.adapters.sql_tokens import SqlTokens
from headway.adapters.sql_workers import SqlWorkers
from headway.errors import Conflict, Lost, Rejected
from headway.jobs.events import Event, PlainRow, Row, RunBegan, decode, encode
from headway.jobs.standing import is_paused
from headway.jobs.states import OVER, RunState
from headway.ports.store import (
    Entry,
    Launch,
    Line,
    Lock,
    Owner,
    Request,
    RunRecord,
    Write,
    require_indexable,
    storable,
)

if TYPE_CHECKING:
    from headway.adapters.sql_tasks import SqlTasks

_PAGE = 5_000  # rows of a journal read, or rows of a forgotten run deleted, at once
_RUNS = 500  # asked about in one statement
_HEX = frozenset("0123456789abcdef")


class SqlStore(SqlPlaybooks, SqlLeases, SqlTokens, SqlWorkers):
    """Keeps all of a store in a database. Thread-safe: one connection, one lock."""

    def __init__(self, database: Database, *, check_version: bool = True) -> None:
        super().__init__(database, ExclusiveUse())
        self._numbers: dict[str, int] = {}  # id to the number that stands for it in the tables
        if check_version:
            require_version(database)

    @property
    def tasks(self) -> "SqlTasks":
        """The Celery tasks in the same database, by the same connection."""
        from headway.adapters.sql_tasks import SqlTasks

        return SqlTasks(self._database, self._use)

    def begin(self, id: str, launch: Launch, plan: str, jobs: int, owner: Owner, at_us: int) -> int:
        stored = _stored_launch(launch, plan, jobs, at_us)
        with self._use, self._database.transaction():
            ((number,),) = self._database.query(
                statements.BEGIN_RUN, id=id, **stored, **stored_owner(owner)
            )
            self._begun(number, launch, at_us)
        self._numbers[id] = number
        return 1

    def enqueue(
        self, id: str, launch: Launch, plan: str, jobs: int, at_us: int, *, key: str | None = None
    ) -> str:
        stored = _stored_launch(launch, plan, jobs, at_us, key)
        key = None if key is None else storable(key)
        with self._use, self._database.transaction():
            # Asked first, so that who asks again with the same id is answered, too.
            if found := self._with_key(key):
                return found
            if rows := self._database.query(statements.ENQUEUE_RUN, id=id, key=key, **stored):
                self._begun(rows[0][0], launch, at_us)
                return id
            if found := self._with_key(key):
                return found
        raise Conflict(f"the run that had the key {key!r} was pruned meanwhile: ask again")

    def run_with_key(self, key: str) -> str | None:
        with self._use:
            return self._with_key(storable(key))

    def take(self, id: str, epoch: int, owner: Owner, *, next_lap: bool = False) -> int:
        with self._use, self._database.transaction():
            taken = self._database.query(
                statements.TAKE_RUN, id=id, epoch=epoch, laps=int(next_lap), **stored_owner(owner)
            )
            if not taken:
                raise self._lost(id)
            ((number, launch),) = taken
            self._take_tickets(number, json.loads(launch).get("locks", ()))
        self._numbers[id] = number
        return epoch + 1

    def release(self, id: str, epoch: int) -> None:
        with self._use, self._database.transaction():
            if not self._database.change(statements.RELEASE_RUN, id=id, epoch=epoch):
                raise self._lost(id)

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
        self.append_all([Write(id, epoch, lap, first_seq, rows, state, lines, answers)])

    def append_all(self, writes: Sequence[Write]) -> None:
        if len({write.id for write in writes}) < len(writes):
            raise Rejected("a run is written to twice at once: put its rows into one Write")
        try:
            with self._use, self._database.transaction():
                self._write(writes)
        except Conflict as error:
            raise self._refusal(writes, error) from error
        for write in writes:
            if write.state in OVER:
                self._numbers.pop(write.id, None)  # a core outlives its runs

    def _write(self, writes: Sequence[Write]) -> None:
        self._hold(writes)
        events, lines, answers = [], [], []
        for id, _, lap, first_seq, rows, _, more_lines, more_answers in writes:
            run = self._number(id)
            events += _event_rows(run, lap, first_seq, rows)
            lines += _line_rows(run, more_lines)
            # An answer stays: of two to one request, the first.
            first = dict(reversed(more_answers))
            answers += [(request, run, storable(text)) for request, text in first.items()]
        over = [(self._number(write.id),) for write in writes if write.state in OVER]
        if events:
            self._database.insert(statements.ADD_EVENTS, events)
        if lines:
            self._database.insert(statements.ADD_LINES, lines)
        if answers:
            self._database.batch(statements.ANSWER, answers)
        if over:
            self._database.batch(statements.DROP_TICKETS, over)

    def _hold(self, writes: Sequence[Write]) -> None:
        """Have the right to write to all of the runs. Raises: Lost."""
        staying, leaving = [], []
        for id, epoch, _, _, _, state, _, _ in writes:
            if state is None or state is RunState.RUNNING:
                staying.append((id, epoch))
            else:
                leaving.append((id, epoch, str(state)))
        held = self._database.batch(statements.HOLD_RUNS, staying) if staying else 0
        held += self._database.batch(statements.LEAVE_RUNS, leaving) if leaving else 0
        if held < len(writes):
            raise self._lost(writes[-1].id)

    def _refusal(self, writes: Sequence[Write], error: Conflict) -> Lost:
        """What the first run says that refuses; found by trying them alone, and nothing stays."""
        for write in writes[:-1]:
            with suppress(_Tried):
                try:
                    with self._use, self._database.transaction():
                        self._write([write])
                        raise _Tried
                except Conflict as refusal:
                    return _lost_to(refusal, write.id)
        return _lost_to(error, writes[-1].id)

    def add_output(self, id: str, lines: Sequence[Line]) -> None:
        with self._use, self._database.transaction():
            number = self._number(id, afresh=True)
            self._database.insert(statements.ADD_LINES, _line_rows(number, lines))
            del self._numbers[id]  # who keeps the output of all runs is not to remember each

    def beat(self, id: str, epoch: int) -> None:
        with self._use, self._database.transaction():
            if not self._database.change(statements.HOLD_RUN, id=id, epoch=epoch):
                raise self._lost(id)

    def ask(self, id: str, verb: str, args: Mapping[str, Any], who: str, at_us: int) -> int:
        with self._use, self._database.transaction():
            self._database.alone(statements.NUMBERING_REQUESTS)
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

    def open_requests(self, after: int = 0) -> Sequence[Request]:
        return [_request(row) for row in self._query(statements.OPEN_REQUESTS, after=after)]

    def answer(self, number: int, answer: str) -> None:
        with self._use, self._database.transaction():
            rows = self._database.query(statements.REQUEST, id=number)
            if rows:
                run = self._number(rows[0][1], afresh=True)
                self._database.batch(statements.ANSWER, [(number, run, storable(answer))])

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

    def runs(
        self,
        limit: int = 20,
        before_us: int | None = None,
        *,
        groups: Sequence[str] | None = None,
        states: Sequence[RunState] | None = None,
    ) -> Sequence[RunRecord]:
        wanted: dict[str, Any] = {
            "limit": limit,
            "before": 2**62 if before_us is None else before_us,
        }
        counts: list[int | None] = []
        for name, values in (("group", groups), ("state", states)):
            if values is not None:
                wanted |= {f"{name}_{n}": storable(value) for n, value in enumerate(values)}
            counts.append(None if values is None else len(values))
        if 0 in counts:
            return []
        return [_record(row) for row in self._query(statements.list_runs(*counts), **wanted)]

    def core_runs(self, *, unowned: bool) -> Sequence[RunRecord]:
        wanted = statements.UNOWNED_CORE_RUNS if unowned else statements.ALL_CORE_RUNS
        return [_record(row) for row in self._query(wanted)]

    def locks(self) -> Sequence[Lock]:
        return [Lock(*row) for row in self._query(statements.LOCKS)]

    def ahead_of(self, id: str) -> Sequence[Lock]:
        return [Lock(*row) for row in self._query(statements.AHEAD_OF, run=self._number(id))]

    def paused(self, ids: Sequence[str]) -> frozenset[str]:
        found: dict[str, list[Event]] = {}
        for first in range(0, len(ids), _RUNS):
            some = ids[first : first + _RUNS]
            wanted = {f"run_{n}": id for n, id in enumerate(some)}
            for id, *row in self._query(statements.pausings(len(some)), **wanted):
                found.setdefault(id, []).append(decode(Row(*row)))
        return frozenset(id for id, events in found.items() if is_paused(events))

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

    def _begun(self, run: int, launch: Launch, at_us: int) -> None:
        """Write what every run begins with."""
        rows = _event_rows(run, 1, 1, [encode(RunBegan(at_us))])
        self._database.insert(statements.ADD_EVENTS, rows)
        self._take_tickets(run, launch.locks)

    def _take_tickets(self, run: int, tags: Sequence[str]) -> None:
        """Of each tag that the run has none of."""
        if tags:
            self._database.alone(statements.NUMBERING_TICKETS)
            wanted = [(run, tag) for tag in dict.fromkeys(map(storable, tags))]
            self._database.batch(statements.TAKE_TICKETS, wanted)

    def _with_key(self, key: str | None) -> str | None:
        rows = self._database.query(statements.RUN_WITH_KEY, key=key) if key is not None else []
        return str(rows[0][0]) if rows else None

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

    def _lost(self, id: str) -> Lost:
        rows = self._database.query(statements.OWNER_OF, id=id)
        if not rows:
            return Lost(f"run {id} is gone: it was pruned", id)
        host, pid = rows[0]
        whose = f"process {pid} on {host} owns it now" if host else "it has been ended meanwhile"
        return Lost(f"run {id} is no longer ours: {whose}", id)


class _Tried(Exception):
    """Takes back what was only tried."""


def _lost_to(error: Conflict, id: str) -> Lost:
    return error if isinstance(error, Lost) else Lost(str(error), id)


def _stored_launch(
    launch: Launch, plan: str, jobs: int, at_us: int, key: str | None = None
) -> dict[str, Any]:
    """How a run was started, as columns. Raises: Rejected."""
    require_indexable(launch, key)
    kept = launch._asdict()
    token = kept.pop("token")  # of a column of its own, so that an older Headway reads the rest
    return {
        "launch": json.dumps(kept),
        "token": storable(token) or None,
        "plan": plan,
        "jobs": jobs,
        "at_us": at_us,
        "group": storable(launch.group),
    }


def _event_rows(
    run: int, lap: int, first_seq: int, rows: Sequence[PlainRow]
) -> list[tuple[Any, ...]]:
    return [
        (run, place, at_us, kind, key, number, lap, body)
        for place, (kind, at_us, key, number, body) in enumerate(rows, first_seq)
    ]


def _line_rows(run: int, lines: Sequence[Line]) -> list[tuple[Any, ...]]:
    return [
        (run, key, number, at_us, storable(stream), storable(text), lost)
        for key, number, at_us, stream, text, lost, _ in lines
    ]


def _record(row: Sequence[Any]) -> RunRecord:
    id, state, launch, began_us, ended_us, *owner, epoch, lap, jobs, seen_us, core, token = row
    return RunRecord(
        id,
        RunState(state),
        Launch(**json.loads(launch), token=token or ""),
        began_us,
        ended_us,
        Owner(*owner) if owner[0] is not None else None,
        epoch,
        lap,
        seen_us / 1e6,
        jobs,
        bool(core),
    )


def _request(row: Sequence[Any]) -> Request:
    id, run, verb, args, who, at_us, answer = row
    return Request(id, run, verb, json.loads(args), who, at_us, answer)
