"""A journal with a clock that stands until it is moved, and a store that fails when told to."""

from collections.abc import Sequence
from typing import Any, Literal

from headway.errors import Unavailable
from headway.jobs.events import PlainRow, Row
from headway.ports.store import Request
from headway.runtime.journal import Journal
from headway.testing.memory import MemoryStore
from headway.testing.stores import RUN, launch, owner

# Of a call that fails: whether the store has done what it was asked for.
Fault = Literal["undone", "done", "interrupted"]


class Clock:
    def __init__(self) -> None:
        self.us = 1_000_000_000_000_000

    def __call__(self) -> int:
        return self.us

    def forward(self, seconds: float) -> None:
        self.us += round(seconds * 1e6)


class FlakyStore(MemoryStore):
    """Fails once for each of ``faults``, then works again."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.faults: list[Fault] = []
        self.appends: list[int] = []  # how many rows each had
        self.beats = 0

    def append(
        self, id: str, epoch: int, lap: int, first_seq: int, rows: Sequence[PlainRow], **more: Any
    ) -> None:
        fault = self._fault()
        if fault != "undone":
            super().append(id, epoch, lap, first_seq, rows, **more)
            self.appends.append(len(rows))
        self._fail(fault)

    def beat(self, id: str, epoch: int) -> None:
        fault = self._fault()
        if fault != "undone":
            super().beat(id, epoch)
            self.beats += 1
        self._fail(fault)

    def asked(self, id: str) -> Sequence[Request]:
        self._fail(self._fault())
        return super().asked(id)

    def _fault(self) -> Fault | None:
        return self.faults.pop(0) if self.faults else None

    def _fail(self, fault: Fault | None) -> None:
        if fault == "interrupted":
            raise KeyboardInterrupt
        if fault is not None:
            raise Unavailable("the store is away")

    def written(self) -> list[Row]:
        return [entry.row for entry in self.journal(RUN)][1:]


def begun() -> tuple[Journal, FlakyStore, Clock]:
    """The journal of the run RUN."""
    clock = Clock()
    store = FlakyStore(clock)
    epoch = store.begin(RUN, launch(), "{}", 10, owner(), clock.us)
    return Journal(store, RUN, epoch, now_us=clock), store, clock


def passes(journal: Journal, clock: Clock, key: int, number: int = 1) -> None:
    """A try begins and passes at once."""
    journal.going[key] = (number, clock.us)
    journal.passed(clock.us, key, number)
