"""What remembers Celery tasks, and what hears of them."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from headway.tracking.families import Family
from headway.tracking.heard import DeadLetter, Heard
from headway.tracking.results import Seen
from headway.tracking.states import TaskState
from headway.tracking.task import Task


class Sought(NamedTuple):
    """Which tasks are looked for. What is None is not asked for."""

    name: str | None = None  # a name, or its beginning with a star: export.*
    state: TaskState | None = None
    queue: str | None = None
    since_us: int | None = None  # sent since, as near as is known
    before: tuple[int, str] | None = None  # (at_us, id): those that follow in the list


EVERYTHING = Sought()


class Forgotten(NamedTuple):
    """How much a store has forgotten."""

    tasks: int
    letters: int


class Tasks(Protocol):
    """Keeps tasks and dead letters, and reads results. Thread-safe.

    Text is kept as ``storable`` has it. Raises, in every method, what ``Store`` does.
    """

    @property
    def place(self) -> str:
        """Where it is, for a reader; without password."""

    def record(self, tasks: Sequence[Task], letters: Sequence[DeadLetter] = ()) -> None:
        """Add what was heard of tasks to what is known of them, in one transaction.

        Several may be about one task, and again about it, in any order and from any number of
        processes at once: ``merged`` decides. A letter that is there already stays as it is.

        Raises: Rejected for what can never be kept.
        """

    def task(self, id: str) -> Seen:
        """What is known of one task, with its result. Nothing: its state is *unknown*."""

    def search(self, sought: Sought = EVERYTHING, limit: int = 20) -> Sequence[Seen]:
        """The newest first. Their results are without values."""

    def family(self, id: str, limit: int = 1000) -> Family:
        """The family that a task belongs to, by the id of any member."""

    def dead_letters(self, limit: int = 20, before: int | None = None) -> Sequence[DeadLetter]:
        """The newest first; those that came before a moment."""

    def forget(self, ended_before_us: int, silent_before_us: int, keep: int = 0) -> Forgotten:
        """Forget old tasks and dead letters, but for the newest ``keep`` of each.

        A task that has ended, if the last that was heard of it was before ``ended_before_us``;
        any other may be under way, and is forgotten if that, and when it was to start, was before
        ``silent_before_us``. Letters that came before ``ended_before_us``. Results stay: they are
        Celery's.
        """

    def close(self) -> None: ...


class Reach(NamedTuple):
    """How much of a Celery system is heard."""

    hears_sends: bool  # every task, from the moment it is sent
    hears_workers: bool  # what happens to it then
    says: Sequence[str]  # the same in sentences, with what to do about what is missing


class Feed(Protocol):
    """Brings the messages of one Celery system. For one thread, but for ``wake``.

    Raises, in every method but ``close``: Unavailable when the broker is away or the connection
    was lost; what was brought and not settled comes again after the next ``open``.
    """

    def open(self) -> Reach:
        """Connect, and see to it that there is something to hear. Again: connect anew.

        Raises: Refused when the broker does not let us; Rejected for what can never work.
        """

    def fetch(self, most: int, wait_s: float) -> Sequence[Heard]:
        """What has come, in the order of its coming; waits so long for the first of it."""

    def settle(self, count: int) -> None:
        """So many of the oldest that were brought are safe: the broker may forget them."""

    def enable_events(self, workers: Sequence[str] = ()) -> None:
        """Ask these workers to tell what they do, or all that are there."""

    def wake(self) -> None:
        """Have ``fetch`` return now. From any thread, or a signal's handler."""

    def close(self) -> None:
        """Leave in good order: what was settled is settled."""
