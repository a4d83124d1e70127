"""Reads from the store how a run goes on that somebody else carries out."""

from collections.abc import Callable, Iterator

from headway.jobs.events import Event, Live, OutputWritten, decode
from headway.ports.store import NO_JOB, Line, RunRecord, Store


class Followed:
    """One run, told as it goes on: its events, and what its jobs write. Threads: one."""

    def __init__(self, store: Store, run: str, heard: Callable[[Event | Live], object]) -> None:
        self._store = store
        self._run = run
        self._heard = heard
        self._seq = 0
        self._line = 0

    def look(self) -> RunRecord:
        """Tell what was written since the last look; how the run stood before that.

        So all is told of a run that is found to be over. Raises: Unavailable; what was not told
        is told by the next look.
        """
        record = self._store.find(self._run)
        for line in self._lines():
            if line.key != NO_JOB:
                self._heard(_written(line))
        for entry in self._store.journal(self._run, self._seq):
            self._seq = entry.seq
            self._heard(decode(entry.row))
        return record

    def _lines(self) -> Iterator[Line]:
        while lines := self._store.output(self._run, None, self._line):
            for line in lines:
                self._line = line.id
                yield line


def _written(line: Line) -> OutputWritten:
    text = f"({line.lost} more lines, not kept)" if line.lost else line.text
    return OutputWritten(line.at_us, line.key, line.number, line.stream, text)
