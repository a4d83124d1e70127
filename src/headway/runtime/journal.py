"""Writes a run's events to a store as its owner.

A try that only passed its Check may wait for up to 50 ms or 1,000 rows before it is written:
losing it means that its Check is asked again. Everything else is written at once, and with it
all that waits before it, in order. What could not be written keeps waiting.

A store that does not answer ends the run only when something cannot wait: nothing more is
written then, and the run is taken up anew from what was. Until then the owner goes on, and its
beat with it as soon as the store is back.

Threads: ``passed``, ``write`` and ``answer`` are called by whoever drives the run, ``tick``,
``asked`` and ``wrote`` by any.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from headway.errors import HeadwayError, Unavailable
from headway.jobs.events import (
    Event,
    PlainRow,
    ProcessStarted,
    RunIntended,
    TryEnded,
    TryStarted,
    encode,
)
from headway.jobs.outcomes import Ending
from headway.jobs.states import RunState
from headway.ports.store import Request, Store
from headway.runtime.output import Output

LONGEST_WAIT_US = 50_000
MOST_ROWS = 1_000
BEAT_US = 1_000_000
PAUSE_US = 1_000_000  # before a store that did not answer is asked again for what can wait


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
        self._written_us = now_us()
        self._failed_us: int | None = None  # when the store last did not answer
        self._unsure = False  # whether what waits may be in the store already, …
        self._sent = 0  # … and how many of the lines that wait
        self._over: HeadwayError | None = None  # why nothing more is written
        self._output = Output(now_us)
        # Tries under way, by key: (number, began). The runner keeps it. One is written only if it
        # is still going when the journal is next written, and once.
        self.going: dict[int, tuple[int, int]] = {}
        self._going_written: set[tuple[int, int]] = set()

    def passed(self, at_us: int, key: int, number: int) -> None:
        """A try passed at once and left nothing to tell: the short way for a ``TryEnded``."""
        with self._lock:
            del self.going[key]
            if self._going_written:
                self._going_written.discard((key, number))
            if self._output.tallies:
                self._output.ended(key, number)
            rows = self._rows
            rows.append(("passed", at_us, key, number, None))
            # A clock that was put back must not make them wait for it to come round again.
            if not 0 <= at_us - self._written_us < LONGEST_WAIT_US or len(rows) >= MOST_ROWS:
                with self._or_over():
                    self._commit()

    def write(self, *events: Event, state: RunState | None = None) -> None:
        """Write events; they are committed when this returns, unless all may wait.

        Raises: Unavailable, Conflict; this and every later write then.
        """
        with self._lock, self._or_over():
            if state is None and all(map(_may_wait, events)):
                self._rows += map(encode, events)
                self._note(events)
                if len(self._rows) >= MOST_ROWS:
                    self._commit()
                return
            self._add_going()  # first, as a try starts before its Run is intended
            self._rows += map(encode, events)
            self._note(events)
            self._commit(state=state)

    def answer(self, request: int, answer: str, *events: Event) -> None:
        """Answer a request, with what follows from it. Raises: as ``write``."""
        with self._lock, self._or_over():
            self._rows += map(encode, events)
            self._commit(answers=[(request, answer)])

    def after(self, effect: Callable[[], object]) -> None:
        """Do it once what was written is committed: now, here."""
        effect()

    def wrote(self, key: int, number: int, stream: str, text: str) -> None:
        """A job wrote a line."""
        self._output.add(key, number, stream, text)

    def asked(self) -> Sequence[Request]:
        """Requests that nobody has answered; none while the store does not answer."""
        with self._lock:
            if not self._over and not self._pauses(self._now_us()):
                with self._or_pause():
                    return self.store.asked(self.run)
            return ()

    def tick(self) -> None:
        """Write what has waited long enough; say now and then that the owner lives.

        Raises: Conflict when somebody else owns the run. A store that does not answer is asked
        again later.
        """
        with self._lock:
            now_us = self._now_us()
            if self._over or self._pauses(now_us):
                return
            with self._or_pause():
                self._add_going()
                if self._rows or self._output.is_due:
                    self._commit()
                elif not 0 <= now_us - self._written_us < BEAT_US:
                    self.store.beat(self.run, self.epoch)
                    self._written_us = now_us

    def _note(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, TryEnded):
                self._going_written.discard((event.key, event.number))
                self._output.ended(event.key, event.number)
            elif isinstance(event, (RunIntended, ProcessStarted)):
                self._going_written.add((event.key, event.number))  # these say so, too

    def _add_going(self) -> None:
        """Let tries that have gone on for a while, and stand nowhere yet, be written."""
        now_us = self._now_us()
        for key, (number, began_us) in list(self.going.items()):
            if now_us - began_us >= LONGEST_WAIT_US and (key, number) not in self._going_written:
                self._going_written.add((key, number))
                self._rows.append(encode(TryStarted(began_us, key, number)))

    def _commit(
        self, *, state: RunState | None = None, answers: Sequence[tuple[int, str]] = ()
    ) -> None:
        """Write all that waits, in one transaction."""
        if self._over is not None:
            raise type(self._over)(*self._over.args) from self._over
        if self._unsure:
            self._make_sure()
        lines = self._output.take(all_gaps=state is not None)
        if not (self._rows or lines or answers or state):
            return
        self._unsure, self._sent = True, len(lines)
        try:
            self.store.append(
                self.run,
                self.epoch,
                self.lap,
                self._next_seq,
                self._rows,
                state=state,
                lines=lines,
                answers=answers,
            )
        except BaseException:
            self._output.put_back(lines)
            raise
        self._unsure = False
        self._next_seq += len(self._rows)
        self._rows.clear()
        self._written_us = self._now_us()

    def _make_sure(self) -> None:
        """Drop what a commit that seemed to fail has brought to the store all the same.

        Its answer was lost with the connection, or Ctrl-C came in between.
        """
        landed = sum(1 for _ in self.store.journal(self.run, self._next_seq - 1))
        if landed:
            self._output.put_back(self._output.take()[self._sent :])
            self._next_seq += landed
            del self._rows[:landed]
        self._unsure = False

    def _pauses(self, now_us: int) -> bool:
        return self._failed_us is not None and 0 <= now_us - self._failed_us < PAUSE_US

    @contextmanager
    def _or_pause(self) -> Iterator[None]:
        try:
            yield
            self._failed_us = None
        except Unavailable:
            self._failed_us = self._now_us()

    @contextmanager
    def _or_over(self) -> Iterator[None]:
        try:
            yield
        except HeadwayError as error:
            self._over = self._over or error
            raise


def _may_wait(event: Event) -> bool:
    return isinstance(event, TryEnded) and event.ending is Ending.PASSED and not event.shared
