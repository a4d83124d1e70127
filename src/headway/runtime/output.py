"""Output that waits to be written: bounded, with what did not fit counted in its place.

Threads: ``add`` is called by any and never waits for the store.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headway.ports.store import Line

LINES_A_TRY = 10_000
LINES_A_RUN = 100_000  # while one process owns it
CHARACTERS_A_RUN = 50_000_000
LINES_WAITING = 10_000
CHARACTERS_WAITING = 8_000_000


@dataclass(slots=True)
class _Tally:
    """Of one try."""

    key: int
    number: int
    kept: int = 0
    lost: int = 0  # since the last gap
    gap: int = 0  # how large that one was


class Output:
    """The lines of a run on their way to the store.

    A gap is a line of the stream "lost". Where lines go on after it, it stands before them; at a
    limit that none gets past it is told when it has doubled, and when the try is over.
    """

    def __init__(self, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._lock = threading.Lock()
        self._lines = 0
        self._characters = 0
        self._waiting: list[Line] = []
        self._characters_waiting = 0
        self.tallies: dict[tuple[int, int], _Tally] = {}  # of tries under way that wrote
        self._gaps: dict[tuple[int, int], _Tally] = {}  # those of them that lost lines

    def add(self, key: int, number: int, stream: str, text: str) -> None:
        """Keep a line, or count it."""
        with self._lock:
            tally = self.tallies.get((key, number))
            if tally is None:
                tally = self.tallies[key, number] = _Tally(key, number)
            if not self._fits(tally, len(text)):
                tally.lost += 1
                self._gaps[key, number] = tally
                return
            self._close_gap(tally)
            tally.kept += 1
            self._lines += 1
            self._characters += len(text)
            self._wait(Line(key, number, self._now_us(), stream, text))

    def ended(self, key: int, number: int) -> None:
        """A try is over: what it lost is told."""
        with self._lock:
            tally = self.tallies.pop((key, number), None)
            if tally is not None:
                self._close_gap(tally)

    @property
    def is_due(self) -> bool:
        """Whether there is something to write."""
        return bool(self._waiting) or any(_grown(tally) for tally in list(self._gaps.values()))

    def take(self, *, all_gaps: bool = False) -> list[Line]:
        """What is to be written now."""
        with self._lock:
            for tally in list(self._gaps.values()):
                if all_gaps or _grown(tally):
                    self._close_gap(tally)
            lines, self._waiting = self._waiting, []
            self._characters_waiting = 0
            return lines

    def put_back(self, lines: Sequence[Line]) -> None:
        """What was taken could not be written."""
        with self._lock:
            later, self._waiting = self._waiting, []
            self._characters_waiting = 0
            for line in (*lines, *later):
                self._wait(line)

    def _fits(self, tally: _Tally, characters: int) -> bool:
        return (
            tally.kept < LINES_A_TRY
            and self._lines < LINES_A_RUN
            and self._characters + characters <= CHARACTERS_A_RUN
            and len(self._waiting) < LINES_WAITING
            and self._characters_waiting + characters <= CHARACTERS_WAITING
        )

    def _close_gap(self, tally: _Tally) -> None:
        self._gaps.pop((tally.key, tally.number), None)
        if tally.lost:
            gap = Line(tally.key, tally.number, self._now_us(), "lost", "", tally.lost)
            self._wait(gap)
            tally.gap, tally.lost = tally.lost, 0

    def _wait(self, line: Line) -> None:
        self._waiting.append(line)
        self._characters_waiting += len(line.text)


def _grown(tally: _Tally) -> bool:
    return tally.lost >= 2 * tally.gap
