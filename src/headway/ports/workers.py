"""What remembers which workers are there."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from headway.wire.messages import Presence

FIRST = ("", "")  # before every queue and worker


class WorkerRecord(NamedTuple):
    """The last that was heard of a worker process on one queue."""

    presence: Presence
    seen_s: float  # seconds since it was heard, by the store's clock; 0 or more


class Workers(Protocol):
    """Keeps one record for each worker process and queue. What was said later takes the place of
    what was said before, whoever notes it, and in whatever order.

    Raises, in every method, what ``Store`` does.
    """

    def note_workers(self, heard: Sequence[WorkerRecord]) -> None:
        """Keep what was heard, in one transaction. Who said that it left is forgotten, once no
        late message of its is to be expected."""

    def workers(self, limit: int, after: tuple[str, str] = FIRST) -> Sequence[WorkerRecord]:
        """Who has not left, the lost among them, by queue and worker; those that follow."""

    def forget_workers(self, lost_before_us: int) -> int:
        """Forget those that were lost, or gone, before that; how many."""
