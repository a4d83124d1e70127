"""A store in plain dictionaries: quick, gone with the process, and a model to compare with."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headway.errors import Conflict, Rejected
from headway.jobs.events import PlainRow, Row, RunBegan, encode
from headway.jobs.outcomes import Ending
from headway.jobs.states import RunState
from headway.ports.store import Entry, Launch, Line, Owner, Request, RunRecord, storable
from headway.testing.memory_playbooks import MemoryPlaybooks

_ENDS = frozenset(ending.value for ending in Ending)
_SUCCESSES = frozenset((Ending.PASSED.value, Ending.REPAIRED.value))
_OVER = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


def _utc_us() -> int:
    return time.time_ns() // 1000


@dataclass(slots=True)
class _Run:
    record: RunRecord
    plan: str
    seen_us: int
    rows: dict[int, Row] = field(default_factory=dict)  # by their places
    ends: set[tuple[int | None, int | None]] = field(default_factory=set)  # (key, number)
    successes: set[tuple[int | None, int]] = field(default_factory=set)  # (key, lap)
    lines: list[Line] = field(default_factory=list)


class MemoryStore(MemoryPlaybooks):
    """Keeps runs and playbooks in memory."""

    place = "memory"

    def __init__(self, now_us: Callable[[], int] = _utc_us) -> None:
        super().__init__(threading.RLock())
        self._now_us = now_us
        self._runs: dict[str, _Run] = {}  # in the order they were begun
        self._requests: dict[int, Request] = {}
        self._last_request = 0
        self._last_line = 0

    def begin(self, id: str, launch: Launch, plan: str, jobs: int, owner: Owner, at_us: int) -> int:
        with self._lock:
            if id in self._runs:
                raise Conflict(f"run {id} is there already")
            carried = Launch(**json.loads(json.dumps(launch._asdict())))
            now_us = self._now_us()
            record = RunRecord(
                id, RunState.RUNNING, carried, at_us, None, _kept(owner), 1, 1, 0.0, jobs
            )
            self._runs[id] = _Run(record, plan, now_us, {1: encode(RunBegan(at_us))})
            return 1

    def take(self, id: str, epoch: int, owner: Owner, *, next_lap: bool = False) -> int:
        with self._lock:
            run = self._runs.get(id)
            if run is None or run.record.epoch != epoch:
                raise Conflict(f"run {id} was taken up by somebody else, or is gone")
            run.seen_us = self._now_us()
            run.record = run.record._replace(
                state=RunState.RUNNING,
                ended_us=None,
                owner=_kept(owner),
                epoch=epoch + 1,
                lap=run.record.lap + next_lap,
            )
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
        with self._lock:
            run = self._held(id, epoch)
            named = [Row(*row) for row in rows]
            if any(seq in run.rows for seq in range(first_seq, first_seq + len(rows))):
                raise Conflict(f"the journal of run {id} has something at {first_seq} already")
            ends, successes = _new_ends(run, lap, named)
            run.ends |= ends
            run.successes |= successes
            run.rows.update(enumerate(named, first_seq))
            self._add_lines(run, lines)
            for number, answer in answers:
                request = self._requests.get(number)
                if request is not None and request.run == id and request.answer is None:
                    self._requests[number] = request._replace(answer=storable(answer))
            run.seen_us = self._now_us()
            if state is not None and state is not RunState.RUNNING:
                run.record = run.record._replace(state=state, ended_us=run.seen_us, owner=None)

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

    def runs(self, limit: int = 20, before_us: int | None = None) -> Sequence[RunRecord]:
        with self._lock:
            return [
                self._seen(run)
                for run in self._newest_first()
                if before_us is None or run.record.began_us < before_us
            ][:limit]

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
                if run.record.state in _OVER
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
            raise Conflict(f"run {id} is no longer ours")
        return run

    def _seen(self, run: _Run) -> RunRecord:
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


def _kept(owner: Owner) -> Owner:
    host, pid, started, boot = owner
    return Owner(storable(host), pid, storable(started), storable(boot))


def _new_ends(
    run: _Run, lap: int, rows: Sequence[Row]
) -> tuple[set[tuple[int | None, int | None]], set[tuple[int | None, int]]]:
    """What new rows add to a run's ends and successes. Raises: Conflict."""
    ends: set[tuple[int | None, int | None]] = set()
    successes: set[tuple[int | None, int]] = set()
    for row in rows:
        end, success = (row.key, row.number), (row.key, lap)
        if row.kind in _ENDS:
            if end in run.ends or end in ends:
                raise Conflict(f"try {row.number} of job {row.key} has ended already")
            ends.add(end)
        if row.kind in _SUCCESSES:
            if success in run.successes or success in successes:
                raise Conflict(f"job {row.key} has succeeded already")
            successes.add(success)
    return ends, successes
