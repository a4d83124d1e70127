"""What carries tries out: in this thread, in others, in child processes."""

from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from headway.jobs.job import Rules
from headway.jobs.outcomes import Failure, Outcome, Phase
from headway.jobs.shared import Changes, SharedStorage


class Ended(NamedTuple):
    """News from an executor: a try is over."""

    key: int
    number: int
    outcome: Outcome


class Late(NamedTuple):
    """News from an executor that changes nothing any more."""

    key: int
    number: int
    what: str = "ended past its deadline"


class Intends(Protocol):
    """Told before a Run: what was so far, and as which attempt a step is dispatched, and on which
    queue it is to be answered, where that is worth knowing after a restart."""

    def __call__(
        self, key: int, number: int, outcome: Outcome, attempt: str = "", replies: str = "", /
    ) -> None: ...


@dataclass(slots=True)
class Work:
    """All that an executor needs of the run whose tries it carries out.

    The callbacks are called in the runner's thread only, whatever threads the executor has.
    """

    definitions: Sequence[Any]  # by key
    rules: Sequence[Rules]  # by key
    shared: SharedStorage
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    # Keys of what puts away, which is not taken back in a run that is stopped.
    closings: Container[int] = ()
    act: bool = True  # False: ask Checks only
    # Whether a Check that is asked by itself and fails is followed by what the job's Diff says.
    diffs: bool = False
    trace: bool = False  # whether failures carry their traceback as text
    watches_phases: bool = False
    is_written: bool = False  # whether all that was told of the run is; said in the end
    # Attempts that somebody had been given when the run was cut off, and may be at yet.
    abandoned: Collection[str] = ()
    run: str = ""  # the run's id, which its commands carry in their environment; "" if not recorded
    # Run is about to start. Returns once that is committed; a step's, once that is written down.
    intends: Intends = lambda key, number, outcome, attempt="", replies="": None
    # A worker is about to be granted an attempt at a step: (key, number, attempt, worker, its
    # address). Returns once that is written down.
    claimed: Callable[[int, int, str, str, str], None] = (
        lambda key, number, attempt, worker, address: None
    )
    # It has given it back, and somebody else is about to be offered it: (key, number, attempt,
    # worker). Returns once that is written down.
    given_back: Callable[[int, int, str, str], None] = lambda key, number, attempt, worker: None
    # A step itself is over, with that failure, if any, and its Check is about to be asked again:
    # (key, number, failure). Returns once that is written down.
    rechecks: Callable[[int, int, Failure | None], None] = lambda key, number, failure: None
    # People are about to be told of a step: (key, number, notice, transport); whether they were
    # not before. Returns once that is written down.
    notifies: Callable[[int, int, str, str], bool] = lambda key, number, notice, transport: True
    # Have it done once all that was written down is committed: at once, where it is already. What
    # steps do to the world goes through here, so that a core can commit many runs together.
    after: Callable[[Callable[[], object]], object] = lambda effect: effect()
    # A text that leaves the run by another way than those below, without what nobody is to see.
    redacted: Callable[[str], str] = lambda text: text
    phase_ended: Callable[[int, int, Phase, Failure | None], None] = (
        lambda key, number, phase, failure: None
    )
    # A job wrote text ("out" or "err" of a command or process, or the level of a line). May be
    # called from any thread.
    wrote: Callable[[int, int, str, str], None] = lambda key, number, stream, text: None
    # A job started a command: (key, number, process id). May be called from any thread; returns
    # once that is committed.
    started_process: Callable[[int, int, int], None] = lambda key, number, pid: None
    # That command is over. May be called from any thread.
    process_ended: Callable[[int, int, int], None] = lambda key, number, pid: None


class Executor(Protocol):
    """Carries out whole tries. Not thread-safe, but for ``wake`` and ``stop``."""

    @property
    def blocks(self) -> bool:
        """Whether ``start`` carries the try out itself, and nobody looks meanwhile."""

    @property
    def free(self) -> int:
        """How many tries can be started now."""

    @property
    def running(self) -> int:
        """How many tries are under way, those not counted that were given up."""

    def open(self, work: Work) -> None:
        """Make ready for a run."""

    def start(self, key: int, number: int) -> Outcome | None:
        """Begin a try. Its outcome, where it is carried out at once; else ``wait`` tells it."""

    def wait(self, timeout_s: float | None) -> Iterable[Ended | Late]:
        """What has ended since, waiting for the first for so long (None: as long as it takes)."""

    def ask(self, key: int) -> Outcome:
        """Ask one Check here and now, and nothing else.

        Raises: Unavailable, DefinitionError where nobody could ask it: that says nothing of what
        it would have answered.
        """

    def cleanup(self, key: int, number: int, job: Any, storage: Changes | None) -> Failure | None:
        """Run the Cleanup of a try to its end.

        ``job``: the object whose Run was executed, if it is still at hand; else a fresh one is
        made and given ``storage``.
        """

    def hear_out(self) -> Iterable[Late]:
        """Wait a moment for what is known to be said yet of tries that have ended."""

    def stop(self) -> None:
        """Ask what runs to end soon: ``stopping`` becomes true, commands get TERM."""

    def wake(self) -> None:
        """Make a ``wait`` under way return, with nothing if need be."""

    def close(self) -> None:
        """Let go of threads and processes; what still runs is given up."""
