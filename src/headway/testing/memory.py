"""A store in plain dictionaries: quick, gone with the process, and a model to compare with."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from headway.errors import Conflict, Lost, Rejected, WireError
from headway.jobs.events import Event, PlainRow, Row, RunBegan, decode, encode
from headway.jobs.outcomes import Ending
from headway.jobs.standing import PAUSING, is_paused
from headway.jobs.states import OVER, RunState
from headway.ports.leases import CORE
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
from headway.testing.memory_leases import MemoryLeases, kept_owner
from headway.testing.memory_playbooks import MemoryPlaybooks
from headway.testing.memory_tasks import MemoryTasks
from headway.testing.memory_tokens import MemoryTokens
from headway.testing.memory_workers import MemoryWorkers

_ENDS = frozenset(ending.value for ending in Ending)
_SUCCESSES = frozenset((Ending.PASSED.value, Ending.REPAIRED.value))
_TO_TAKE_UP = (RunState.QUEUED, RunState.RUNNING, RunState.INTERRUPTED)
_Ends = set[tuple[int | None, int | None]]  # (key, number)
_Successes = set[tuple[int | None, int]]  # (key, lap)


def _utc_us() -> int:
    return time.time_ns() // 1000


@dataclass(slots=True)
class _Run:
    record: RunRecord
    plan: str
    seen_us: int
    rows: dict[int, Row] = field(default_factory=dict)  # by their places
    ends: _Ends = field(default_factory=set)
    successes: _Successes = field(default_factory=set)
    lines: list[Line] = field(default_factory=list)
    tickets: dict[str, Lock] = field(default_factory=dict)  # by tag
    key: str | None = None


class MemoryStore(MemoryPlaybooks, MemoryLeases, MemoryTokens, MemoryWorkers):
    """Keeps all of a store in memory."""

    place = "memory"

    def __init__(self, now_us: Callable[[], int] = _utc_us) -> None:
        MemoryPlaybooks.__init__(self, threading.RLock())
        MemoryLeases.__init__(self, now_us)
        MemoryTokens.__init__(self)
        MemoryWorkers.__init__(self, now_us)
        self._tasks = MemoryTasks()
        self._runs: dict[str, _Run] = {}  # in the order they were begun
        self._requests: dict[int, Request] = {}
        self._last_request = 0
        self._last_line = 0
        self._last_ticket = 0

    @property
    def tasks(self) -> MemoryTasks:
        return self._tasks

    def begin(self, id: str, launch: Launch, plan: str, jobs: int, owner: Owner, at_us: int) -> int:
        owner = kept_owner(owner)
        record = RunRecord(id, RunState.RUNNING, launch, at_us, None, owner, 1, 1, 0.0, jobs)
        self._store(record, plan, None)
        return 1

    def enqueue(
        self, id: str, launch: Launch, plan: str, jobs: int, at_us: int, *, key: str | None = None
    ) -> str:
        record = RunRecord(id, RunState.QUEUED, launch, at_us, None, None, 0, 1, 0.0, jobs, True)
        with self._lock:
            if key is not None and (found := self.run_with_key(key)):
                return found
            self._store(record, plan, None if key is None else storable(key))
            return id

    def run_with_key(self, key: str) -> str | None:
        with self._lock:
            kept = storable(key)
            return next((one.record.id for one in self._runs.values() if one.key == kept), None)

    def _store(self, record: RunRecord, plan: str, key: str | None) -> None:
        require_indexable(record.launch, key)
        with self._lock:
            if record.id in self._runs:
                raise Conflict(f"run {record.id} is there already")
            carried = Launch(**json.loads(json.dumps(record.launch._asdict())))
            run = _Run(record._replace(launch=carried), plan, self._now_us(), key=key)
            run.rows[1] = encode(RunBegan(record.began_us))
            self._runs[record.id] = run
            self._take_tickets(run)

    def _take_tickets(self, run: _Run) -> None:
        for tag in map(storable, run.record.launch.locks):
            if tag not in run.tickets:
                self._last_ticket += 1
                run.tickets[tag] = Lock(tag, run.record.id, self._last_ticket, self._now_us())

    def take(self, id: str, epoch: int, owner: Owner, *, next_lap: bool = False) -> int:
        with self._lock:
            run = self._runs.get(id)
            if run is None or run.record.epoch != epoch:
                raise Lost(f"run {id} was taken up by somebody else, or is gone", id)
            run.seen_us = self._now_us()
            run.record = run.record._replace(
                state=RunState.RUNNING,
                ended_us=None,
                owner=kept_owner(owner),
                epoch=epoch + 1,
                lap=run.record.lap + next_lap,
            )
            self._take_tickets(run)
            return epoch + 1

    def release(self, id: str, epoch: int) -> None:
        with self._lock:
            run = self._held(id, epoch)
            run.seen_us = self._now_us()
            run.record = run.record._replace(owner=None)

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
        if len({write.id for write in writes}) != len(writes):
            raise Rejected("a run is written to twice at once")
        with self._lock:
            # All is looked at before anything is changed, and the first that refuses is told.
            allowed = [(write, *self._allowed(write)) for write in writes]
            for write, ends, successes in allowed:
                run = self._runs[write.id]
                run.ends |= ends
                run.successes |= successes
                self._write(run, write)

    def _allowed(self, write: Write) -> tuple[_Ends, _Successes]:
        """What the rows add to the run's ends and successes. Raises: Lost."""
        self._held(write.id, write.epoch)
        run, places = (
            self._runs[write.id],
            range(write.first_seq, write.first_seq + len(write.rows)),
        )
        if not run.rows.keys().isdisjoint(places):
            raise Lost(f"the journal of run {write.id} has something there already", write.id)
        return _new_ends(run, write.lap, [Row(*row) for row in write.rows])

    def _write(self, run: _Run, write: Write) -> None:
        run.rows.update(enumerate((Row(*row) for row in write.rows), write.first_seq))
        self._add_lines(run, write.lines)
        for number, answer in write.answers:
            request = self._requests.get(number)
            if request is not None and request.run == write.id and request.answer is None:
                self._requests[number] = request._replace(answer=storable(answer))
        run.seen_us = self._now_us()
        if write.state is not None and write.state is not RunState.RUNNING:
            ended_us = None if write.state is RunState.QUEUED else run.seen_us
            run.record = run.record._replace(state=write.state, ended_us=ended_us, owner=None)
        if write.state in OVER:
            run.tickets.clear()

    def add_output(self, id: str, lines: Sequence[Line]) -> None:
        with self._lock:
            self._add_lines(self._run(id), lines)

    def beat(self, id: str, epoch: int) -> None:
        with self._lock:
            self._held(id, epoch).seen_us = self._now_us()

    def ask(self, id: str, verb: str, args: Mapping[str, Any], who: str, at_us: int) -> int:
        with self._lock:
            self._run(id)
            self._last_request += 1
            number, carried = self._last_request, json.loads(json.dumps(args))
            self._requests[number] = Request(
                number, id, storable(verb), carried, storable(who), at_us
            )
            return number

    def asked(self, id: str) -> Sequence[Request]:
        with self._lock:
            self._run(id)
            return [
                request
                for request in self._requests.values()
                if request.run == id and request.answer is None
            ]

    def open_requests(self, after: int = 0) -> Sequence[Request]:
        with self._lock:
            return [
                request
                for request in self._requests.values()
                if request.id > after
                and request.answer is None
                and self._runs[request.run].record.core
            ]

    def answer(self, number: int, answer: str) -> None:
        with self._lock:
            request = self._requests.get(number)
            if request is not None and request.answer is None:
                self._requests[number] = request._replace(answer=storable(answer))

    def request(self, number: int) -> Request | None:
        with self._lock:
            return self._requests.get(number)

    def find(self, prefix: str | None) -> RunRecord:
        with self._lock:
            found = [id for id in self._runs if prefix is None or id.startswith(prefix.lower())]
            if prefix is None and found:
                return self.runs(1)[0]
            if len(found) != 1 and prefix not in found:
                raise Rejected(f"{len(found)} runs' ids begin with {prefix!r}")
            return self._seen(self._runs[found[0] if len(found) == 1 else str(prefix)])

    def runs(
        self,
        limit: int = 20,
        before_us: int | None = None,
        *,
        groups: Sequence[str] | None = None,
        states: Sequence[RunState] | None = None,
    ) -> Sequence[RunRecord]:
        with self._lock:
            records = [self._seen(run) for run in self._newest_first()]
        if before_us is not None:
            records = [record for record in records if record.began_us < before_us]
        if groups is not None:
            wanted = {storable(group) for group in groups}
            records = [record for record in records if storable(record.launch.group) in wanted]
        if states is not None:
            records = [record for record in records if record.state in states]
        return records[:limit]

    def core_runs(self, *, unowned: bool) -> Sequence[RunRecord]:
        with self._lock:
            return [
                self._seen(run)
                for run in self._runs.values()
                if run.record.core
                and run.record.state in _TO_TAKE_UP
                and not (unowned and run.record.owner)
                and not self.ahead_of(run.record.id)
            ]

    def locks(self) -> Sequence[Lock]:
        with self._lock:
            tickets = [lock for run in self._runs.values() for lock in run.tickets.values()]
            return sorted(tickets, key=lambda lock: (lock.tag, lock.ticket))

    def ahead_of(self, id: str) -> Sequence[Lock]:
        with self._lock:
            own = self._run(id).tickets
            return [
                lock
                for lock in self.locks()
                if lock.tag in own and lock.ticket < own[lock.tag].ticket
            ]

    def paused(self, ids: Sequence[str]) -> frozenset[str]:
        with self._lock:
            known = {id: self._runs[id].rows for id in ids if id in self._runs}
            rows = {id: [found[seq] for seq in sorted(found)] for id, found in known.items()}
        return frozenset(id for id, found in rows.items() if is_paused(_pausing(found)))

    def plan(self, id: str) -> str:
        with self._lock:
            return self._run(id).plan

    def journal(self, id: str, after: int = 0) -> Iterator[Entry]:
        with self._lock:
            rows = self._run(id).rows
            return iter([Entry(seq, rows[seq]) for seq in sorted(rows) if seq > after])

    def output(
        self, id: str, key: int | None = None, after: int = 0, limit: int = 1000
    ) -> Sequence[Line]:
        with self._lock:
            return [
                line
                for line in self._run(id).lines
                if line.id > after and (key is None or line.key == key)
            ][:limit]

    def prune(self, ended_before_us: int, keep: int) -> int:
        with self._lock:
            pruned = [
                run.record.id
                for run in self._newest_first()[keep:]
                if run.record.state in OVER
                and run.record.ended_us is not None
                and run.record.ended_us < ended_before_us
            ]
            for id in pruned:
                del self._runs[id]
            self._requests = {
                number: request
                for number, request in self._requests.items()
                if request.run not in pruned
            }
            return len(pruned)

    def close(self) -> None: ...

    def _run(self, id: str) -> _Run:
        if id not in self._runs:
            raise Rejected(f"there is no run {id}")
        return self._runs[id]

    def _held(self, id: str, epoch: int) -> _Run:
        run = self._runs.get(id)
        if run is None or run.record.epoch != epoch or run.record.owner is None:
            raise Lost(f"run {id} is no longer ours", id)
        return run

    def _seen(self, run: _Run) -> RunRecord:
        lease = self.lease_of(CORE)
        if run.record.core and lease is not None and lease.owner == run.record.owner:
            return run.record._replace(seen_s=lease.seen_s)
        return run.record._replace(seen_s=(self._now_us() - run.seen_us) / 1e6)

    def _newest_first(self) -> list[_Run]:
        newest = list(reversed(self._runs.values()))
        newest.sort(key=lambda run: run.record.began_us, reverse=True)
        return newest

    def _add_lines(self, run: _Run, lines: Sequence[Line]) -> None:
        for line in lines:
            self._last_line += 1
            run.lines.append(
                line._replace(
                    stream=storable(line.stream), text=storable(line.text), id=self._last_line
                )
            )


def _new_ends(run: _Run, lap: int, rows: Sequence[Row]) -> tuple[_Ends, _Successes]:
    """What new rows add to a run's ends and successes. Raises: Lost."""
    id = run.record.id
    ends: _Ends = set()
    successes: _Successes = set()
    for row in rows:
        end, success = (row.key, row.number), (row.key, lap)
        if row.kind in _ENDS:
            if end in run.ends or end in ends:
                raise Lost(f"try {row.number} of job {row.key} has ended already", id)
            ends.add(end)
        if row.kind in _SUCCESSES:
            if success in run.successes or success in successes:
                raise Lost(f"job {row.key} has succeeded already", id)
            successes.add(success)
    return ends, successes


def _pausing(rows: Sequence[Row]) -> Iterator[Event]:
    for row in rows:
        with suppress(WireError):  # a test may write anything into a journal
            event = decode(row)
            if isinstance(event, PAUSING):
                yield event
