"""Writes the journals of many runs together, and then does what waited for that.

What a run writes in a core is only put down; the core's next commit writes what all runs have put
down, in one transaction. What a run does to the world (a step sent, a grant, an answer settled)
is done after that, and never if it fails: a core whose commit failed is thrown away, with all that
its runs were about to do, and begins anew from the store.

Threads: one drives the runs and commits. Lines of output are put down by any.
"""

import threading
from collections.abc import Callable, Sequence

from headway.errors import Conflict, Lost
from headway.jobs.events import Event
from headway.jobs.states import RunState
from headway.ports.store import Request, Store, Write
from headway.runtime.journal import Journal


class StagedJournal(Journal):
    """The journal of one run, whose writes wait for the ledger's commit."""

    def __init__(
        self,
        ledger: "Ledger",
        run: str,
        epoch: int,
        *,
        lap: int,
        next_seq: int,
        now_us: Callable[[], int],
    ) -> None:
        super().__init__(ledger.store, run, epoch, lap=lap, next_seq=next_seq, now_us=now_us)
        self._ledger = ledger
        self._state: RunState | None = None
        self._answers: list[tuple[int, str]] = []
        self._effects: list[Callable[[], object]] = []

    def passed(self, at_us: int, key: int, number: int) -> None:
        super().passed(at_us, key, number)
        self._ledger.note(self)

    def write(self, *events: Event, state: RunState | None = None) -> None:
        super().write(*events, state=state)
        self._ledger.note(self)

    def after(self, effect: Callable[[], object]) -> None:
        self._effects.append(effect)
        self._ledger.note(self)

    def wrote(self, key: int, number: int, stream: str, text: str) -> None:
        super().wrote(key, number, stream, text)
        self._ledger.note(self)

    def asked(self) -> Sequence[Request]:
        return ()  # the core looks for all its runs at once

    def look(self) -> None:
        """Let what has gone on for a while be written, if it stands nowhere yet."""
        with self._lock:
            before = len(self._rows)
            self._add_going()
            if len(self._rows) > before:
                self._ledger.note(self)

    def taken(self) -> Write | None:
        """What is to be written now; None for nothing."""
        with self._lock:
            lines = self._output.take(all_gaps=self._state is not None)
            if not (self._rows or lines or self._answers or self._state):
                return None
            return Write(
                self.run,
                self.epoch,
                self.lap,
                self._next_seq,
                list(self._rows),
                self._state,
                lines,
                list(self._answers),
            )

    def written(self, write: Write | None) -> list[Callable[[], object]]:
        """That is committed: what waited for it."""
        with self._lock:
            if write is not None:
                self._next_seq += len(write.rows)
                del self._rows[: len(write.rows)]
                del self._answers[: len(write.answers)]
                self._state = None
                self._written_us = self._now_us()
            effects, self._effects = self._effects, []
            return effects

    def _commit(
        self, *, state: RunState | None = None, answers: Sequence[tuple[int, str]] = ()
    ) -> None:
        self._state = state or self._state
        self._answers += answers
        self._ledger.note(self)


class Ledger:
    """The journals of one core's runs."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._waiting: dict[StagedJournal, None] = {}

    def note(self, journal: StagedJournal) -> None:
        """It has something to be written, or to be done after that."""
        with self._lock:
            self._waiting[journal] = None

    def commit(self) -> list[tuple[str, Conflict]]:
        """Write what all have put down, and do what waited for that.

        The runs that could not be written, because they are somebody else's now: nothing that
        they waited to do is done. Raises: Unavailable; nothing is done then.
        """
        lost: list[tuple[str, Conflict]] = []
        with self._lock:
            journals, self._waiting = self._waiting, {}
        writes = {journal: journal.taken() for journal in journals}
        while True:
            try:
                wanted = [write for write in writes.values() if write is not None]
                if wanted:
                    self.store.append_all(wanted)
                break
            except Lost as error:
                lost.append((error.run, error))
                writes = {one: write for one, write in writes.items() if one.run != error.run}
        for effect in [effect for one, write in writes.items() for effect in one.written(write)]:
            effect()
        return lost
