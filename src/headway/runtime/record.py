"""Where what happens in a run goes: to its journal, and to those who look on.

Values that nobody is to see are taken out here, once for all of them.
"""

from collections.abc import Sequence
from typing import TypeVar

from headway.jobs.events import Event, Listener, Live, OutputWritten
from headway.jobs.redaction import Redaction
from headway.jobs.states import RunState
from headway.runtime.clocks import SYSTEM, Clock
from headway.runtime.journal import Journal

E = TypeVar("E")


class Record:
    """Tells and writes the events of one run."""

    def __init__(
        self,
        journal: Journal | None,
        listeners: Sequence[Listener] = (),
        redaction: Redaction | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self.journal = journal
        self.clock = clock
        self.listeners = tuple(listeners)
        self._redaction = redaction

    @property
    def is_wanted(self) -> bool:
        """Whether anybody writes or listens."""
        return self.journal is not None or bool(self.listeners)

    def redacted(self, event: E) -> E:
        """The event as it is told and written."""
        return event if self._redaction is None else self._redaction.event(event)

    def write(self, *events: Event, state: RunState | None = None) -> None:
        """Returns when they are committed, and told. Raises: as the journal's ``write``."""
        written = [self.redacted(event) for event in events]
        if self.journal is not None:
            self.journal.write(*written, state=state)
        for event in written:
            for listener in self.listeners:
                listener(event)

    def tell(self, event: Event | Live) -> None:
        """What only those who look on are told, or what has been written."""
        event = self.redacted(event)
        for listener in self.listeners:
            listener(event)

    def wrote(self, key: int, number: int, stream: str, text: str) -> None:
        """A job wrote a line. Any thread."""
        if self._redaction is not None:
            text = self._redaction.text(text)
        if self.journal is not None:
            self.journal.wrote(key, number, stream, text)
        for listener in self.listeners:
            listener(OutputWritten(self.clock.now_us(), key, number, stream, text))
