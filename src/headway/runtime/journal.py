"""Writes a run's events to a store as its owner.

A try that only passed its Check may wait for up to 50 ms or 1,000 rows before it is written:
losing it means that its Check is asked again. Everything else is written at once, and with it
all that waits before it, in order. Output waits too, bounded: what does not fit is counted.

Threads: ``write`` and ``commit`` are called by the runner's thread, ``tick`` and ``wrote`` by any.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from headway.jobs.events import Event, PlainRow, TryEnded, TryStarted, encode
from headway.jobs.outcomes import Ending
from headway.jobs.states import RunState
from headway.ports.store import Line, Store

LONGEST_WAIT_US = 50_000
MOST_ROWS = 1_000
BEAT_US = 1_000_000
MOST_LINES_WAITING = 10_000
MOST_LINES_A_TRY = 10_000


class Journal:
    """The journal of one run, open for writing."""

    def __init__(
        self,
        store: Store,
        run: str,
        epoch: int,
        *,
        lap: int = 1,
        next_seq: int = 2,
        now_us: Callable[[], int],
    ) -> None:
        self.store = store
        self.run = run
        self.epoch = epoch
        self.lap = lap
        self._next_seq = next_seq
        self._now_us = now_us
        self._lock = threading.RLock()
        self._rows: list[PlainRow] = []
        self._unsure = 0  # rows of a commit that was cut off: perhaps written, perhaps not
        self._written_us = now_us()
        # Tries under way, by key: (number, began). The runner keeps it. One is written only if it
        # is still going when the journal is next written, and once.
        self.going: dict[int, tuple[int, int]] = {}
        self._going_written: set[tuple[int, int]] = set()
        self._lines: deque[Line] = deque()
        self._lost: dict[tuple[int, int], int] = {}
        self._lines_of: dict[tuple[int, int], int] = {}

    def passed(self, at_us: int, key: int, number: int) -> None:
        """A try passed at once and left nothing to tell: the short way for a ``TryEnded``."""
        with self._lock:
            del self.going[key]
            if self._going_written:
                self._going_written.discard((key, number))
            rows = self._rows
            rows.append(("passed", at_us, key, number, None))
            if at_us - self._written_us >= LONGEST_WAIT_US or len(rows) >= MOST_ROWS:
                self.commit()

    def write(self, *events: Event, state: RunState | None = None) -> None:
        """Write events; they are committed when this returns, unless all may wait."""
        with self._lock:
            may_wait = state is None
            self._note_going()  # a try's beginning comes before what it led to
            for event in events:
                if isinstance(event, TryEnded):
                    self._going_written.discard((event.key, event.number))
                    may_wait = may_wait and event.ending is Ending.PASSED and not event.shared
                else:
                    may_wait = False
                self._rows.append(encode(event))
            if not may_wait or len(self._rows) >= MOST_ROWS:
                self.commit(state=state)

    def answer(self, request: int, answer: str, *events: Event) -> None:
        """Answer a request, with what follows from it."""
        with self._lock:
            self._rows += [encode(event) for event in events]
            self.commit(answers=[(request, answer)])

    def wrote(self, key: int, number: int, stream: str, text: str) -> None:
        """A job wrote a line."""
        with self._lock:
            place = (key, number)
            count = self._lines_of[place] = self._lines_of.get(place, 0) + 1
            if count > MOST_LINES_A_TRY or len(self._lines) >= MOST_LINES_WAITING:
                self._lost[place] = self._lost.get(place, 0) + 1
            else:
                self._lines.append(Line(key, number, self._now_us(), stream, text))

    def tick(self) -> None:
        """Write what has waited long enough; say now and then that the owner lives."""
        with self._lock:
            self._note_going()
            if self._rows or self._lines or self._lost:
                self.commit()
                return
            now_us = self._now_us()
            if not 0 <= now_us - self._written_us < BEAT_US:
                self.store.beat(self.run, self.epoch)
                self._written_us = now_us

    def _note_going(self) -> None:
        """Take note of tries that have gone on for a while and stand nowhere yet."""
        now_us = self._now_us()
        for key, (number, began_us) in list(self.going.items()):
            if now_us - began_us >= LONGEST_WAIT_US and (key, number) not in self._going_written:
                self._rows.append(encode(TryStarted(began_us, key, number)))
                self._going_written.add((key, number))

    def commit(
        self, *, state: RunState | None = None, answers: Sequence[tuple[int, str]] = ()
    ) -> None:
        """Write all that waits, in one transaction."""
        with self._lock:
            if self._unsure:
                self._make_sure()
            rows = list(self._rows)
            lines = list(self._lines)
            now_us = self._now_us()
            lines += [
                Line(key, number, now_us, "lost", "", lost)
                for (key, number), lost in self._lost.items()
            ]
            if not (rows or lines or answers or state):
                return
            self._unsure = len(rows)
            self.store.append(
                self.run,
                self.epoch,
                self.lap,
                self._next_seq,
                rows,
                state=state,
                lines=lines,
                answers=answers,
            )
            # Only now: what could not be written still waits.
            self._written()
            self._lines.clear()
            self._lost.clear()
            self._written_us = now_us

    def _written(self) -> None:
        del self._rows[: self._unsure]
        self._next_seq += self._unsure
        self._unsure = 0

    def _make_sure(self) -> None:
        """Ask whether the last commit came about: a signal or a lost connection cut it off."""
        if any(True for _ in self.store.journal(self.run, self._next_seq - 1)):
            self._written()
        self._unsure = 0
