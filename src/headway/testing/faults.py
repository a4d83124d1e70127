"""Faults on purpose: a store that dies at a chosen commit."""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from headway.jobs.events import PlainRow
from headway.jobs.states import RunState
from headway.ports.leases import LeaseRecord
from headway.ports.playbooks import PlaybookRecord, PlaybookText, PlaybookVersion
from headway.ports.store import (
    Entry,
    Launch,
    Line,
    Lock,
    Owner,
    Request,
    RunRecord,
    Store,
    Write,
)
from headway.ports.tokens import Token
from headway.ports.tracking import Tasks
from headway.ports.workers import FIRST, WorkerRecord


class DyingStore:
    """A store that ends the process by SIGKILL before or after its ``n``-th commit.

    A commit is what a resumed run can see: ``begin``, ``enqueue``, ``take``, ``release``,
    ``append``, ``append_all`` and ``add_output``, counted from 1; ``commits`` has how many were
    made. With ``n`` 0 the store lives on and only counts.

    ``raises``: raise this instead of ending the process. A dead store commits nothing more: from
    then on every write raises it.
    """

    def __init__(
        self,
        store: Store,
        n: int,
        when: Literal["before", "after"],
        *,
        raises: BaseException | None = None,
    ) -> None:
        self.commits = 0
        self._store = store
        self._n = n
        self._when = when
        self._raises = raises
        self._dead = False

    @property
    def place(self) -> str:
        return self._store.place

    @property
    def tasks(self) -> Tasks:
        return self._store.tasks

    def begin(self, id: str, launch: Launch, plan: str, jobs: int, owner: Owner, at_us: int) -> int:
        with self._commit():
            return self._store.begin(id, launch, plan, jobs, owner, at_us)

    def enqueue(
        self, id: str, launch: Launch, plan: str, jobs: int, at_us: int, *, key: str | None = None
    ) -> str:
        with self._commit():
            return self._store.enqueue(id, launch, plan, jobs, at_us, key=key)

    def run_with_key(self, key: str) -> str | None:
        return self._store.run_with_key(key)

    def take(self, id: str, epoch: int, owner: Owner, *, next_lap: bool = False) -> int:
        with self._commit():
            return self._store.take(id, epoch, owner, next_lap=next_lap)

    def release(self, id: str, epoch: int) -> None:
        with self._commit():
            self._store.release(id, epoch)

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
        with self._commit():
            self._store.append(
                id, epoch, lap, first_seq, rows, state=state, lines=lines, answers=answers
            )

    def append_all(self, writes: Sequence[Write]) -> None:
        with self._commit():
            self._store.append_all(writes)

    def add_output(self, id: str, lines: Sequence[Line]) -> None:
        with self._commit():
            self._store.add_output(id, lines)

    def beat(self, id: str, epoch: int) -> None:
        self._require_life()
        self._store.beat(id, epoch)

    def ask(self, id: str, verb: str, args: Mapping[str, Any], who: str, at_us: int) -> int:
        self._require_life()
        return self._store.ask(id, verb, args, who, at_us)

    def asked(self, id: str) -> Sequence[Request]:
        return self._store.asked(id)

    def open_requests(self, after: int = 0) -> Sequence[Request]:
        return self._store.open_requests(after)

    def answer(self, number: int, answer: str) -> None:
        self._require_life()
        self._store.answer(number, answer)

    def request(self, number: int) -> Request | None:
        return self._store.request(number)

    def find(self, prefix: str | None) -> RunRecord:
        return self._store.find(prefix)

    def runs(
        self,
        limit: int = 20,
        before_us: int | None = None,
        *,
        groups: Sequence[str] | None = None,
        states: Sequence[RunState] | None = None,
    ) -> Sequence[RunRecord]:
        return self._store.runs(limit, before_us, groups=groups, states=states)

    def core_runs(self, *, unowned: bool) -> Sequence[RunRecord]:
        return self._store.core_runs(unowned=unowned)

    def locks(self) -> Sequence[Lock]:
        return self._store.locks()

    def ahead_of(self, id: str) -> Sequence[Lock]:
        return self._store.ahead_of(id)

    def paused(self, ids: Sequence[str]) -> frozenset[str]:
        return self._store.paused(ids)

    def plan(self, id: str) -> str:
        return self._store.plan(id)

    def journal(self, id: str, after: int = 0) -> Iterator[Entry]:
        return self._store.journal(id, after)

    def output(
        self, id: str, key: int | None = None, after: int = 0, limit: int = 1000
    ) -> Sequence[Line]:
        return self._store.output(id, key, after, limit)

    def prune(self, ended_before_us: int, keep: int) -> int:
        self._require_life()
        return self._store.prune(ended_before_us, keep)

    def add_playbook(
        self, id: str, group: str, name: str, typed: PlaybookText, who: str, at_us: int
    ) -> None:
        self._require_life()
        self._store.add_playbook(id, group, name, typed, who, at_us)

    def edit_playbook(
        self, id: str, expected: int, name: str, typed: PlaybookText, who: str, at_us: int
    ) -> int:
        self._require_life()
        return self._store.edit_playbook(id, expected, name, typed, who, at_us)

    def remove_playbook(self, id: str, who: str, at_us: int) -> None:
        self._require_life()
        self._store.remove_playbook(id, who, at_us)

    def find_playbook(self, called: str) -> PlaybookRecord:
        return self._store.find_playbook(called)

    def playbooks(
        self, group: str | None = None, limit: int = 100, after: tuple[str, str] = ("", "")
    ) -> Sequence[PlaybookRecord]:
        return self._store.playbooks(group, limit, after)

    def playbook_version(self, id: str, number: int) -> PlaybookVersion:
        return self._store.playbook_version(id, number)

    def playbook_versions(
        self, id: str, limit: int = 100, before: int | None = None
    ) -> Sequence[PlaybookVersion]:
        return self._store.playbook_versions(id, limit, before)

    def lease(self, name: str, owner: Owner, lease_s: float) -> int:
        self._require_life()
        return self._store.lease(name, owner, lease_s)

    def renew(self, name: str, epoch: int) -> None:
        self._require_life()
        self._store.renew(name, epoch)

    def leave(self, name: str, epoch: int) -> None:
        self._require_life()
        self._store.leave(name, epoch)

    def lease_of(self, name: str) -> LeaseRecord | None:
        return self._store.lease_of(name)

    def add_token(self, token: Token) -> None:
        self._require_life()
        self._store.add_token(token)

    def token(self, digest: str) -> Token | None:
        return self._store.token(digest)

    def token_with_id(self, id: str) -> Token | None:
        return self._store.token_with_id(id)

    def tokens(self) -> Sequence[Token]:
        return self._store.tokens()

    def revoke_token(self, id: str, at_us: int) -> None:
        self._require_life()
        self._store.revoke_token(id, at_us)

    def note_workers(self, heard: Sequence[WorkerRecord]) -> None:
        self._require_life()
        self._store.note_workers(heard)

    def workers(self, limit: int, after: tuple[str, str] = FIRST) -> Sequence[WorkerRecord]:
        return self._store.workers(limit, after)

    def forget_workers(self, lost_before_us: int) -> int:
        self._require_life()
        return self._store.forget_workers(lost_before_us)

    def close(self) -> None:
        self._store.close()

    @contextmanager
    def _commit(self) -> Iterator[None]:
        self._require_life()
        if self._when == "before" and self.commits + 1 == self._n:
            self._die()
        yield
        self.commits += 1
        if self._when == "after" and self.commits == self._n:
            self._die()

    def _require_life(self) -> None:
        if self._dead:
            self._die()

    def _die(self) -> None:
        self._dead = True
        if self._raises is not None:
            raise self._raises
        os.kill(os.getpid(), signal.SIGKILL)
