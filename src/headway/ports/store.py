"""What remembers runs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from headway.jobs.events import PlainRow, Row
from headway.jobs.states import RunState
from headway.ports.leases import Leases
from headway.ports.playbooks import Playbooks, require_short
from headway.ports.tokens import Tokens
from headway.ports.workers import Workers

if TYPE_CHECKING:
    from headway.ports.tracking import Tasks


class Owner(NamedTuple):
    """The process that works on a run. A process id alone is used again by the system."""

    host: str
    pid: int
    started: str  # when the process started, as the system tells it
    boot: str  # which boot of the system

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Launch(NamedTuple):
    """How a run was started: all that is needed to take it up again."""

    target: str  # as it was typed
    root: str  # the name of the root job, or the playbook's own
    inputs: Mapping[str, Any]  # JSON values
    directory: str
    options: Mapping[str, Any]  # e.g. {"cleanup": True, "slots": 4, "on": "threads"}
    sources: Sequence[str]  # by key: a fingerprint of each job's code
    who: str
    version: str  # Headway's
    python: str  # Python's, major and minor: fingerprints hold only within one
    group: str = ""  # whose it is
    locks: Sequence[str] = ()  # tags: of the runs with one tag, one goes on at a time
    surroundings: Mapping[str, Any] = {}  # of a release, as it began: Surroundings.to_plain
    source: str = ""  # the address it was asked from
    hosts: Sequence[str] = ()  # all that its steps have to do with; none: nobody knows
    asked: str = ""  # a digest of the request for it, to know another one by the same key
    token: str = ""  # the id of the token that it was asked for with; "": it took none


def short_id(id: str) -> str:
    """As much of a run's id as a reader is shown: all of its time, enough of its chance."""
    return id[:12]


class RunRecord(NamedTuple):
    """One run as the store has it. Moments are microseconds of UTC since 1970."""

    id: str
    state: RunState  # RUNNING also when its owner died or left: see runtime.ownership
    launch: Launch
    began_us: int
    ended_us: int | None
    owner: Owner | None
    epoch: int  # how often the run was taken up; every write carries it
    lap: int  # 1, and 1 more for each retry
    seen_s: float  # seconds since its owner was last heard of, by the store's clock; see Store
    jobs: int
    core: bool = False  # a core carries it out, whichever is there


class Entry(NamedTuple):
    """A row of a journal with its place: consecutive from 1."""

    seq: int
    row: Row


NO_JOB = -1  # the key of lines that are a run's, of no job that is known


class Line(NamedTuple):
    """A line of output. ``lost`` > 0: so many lines were not kept here."""

    key: int  # the job's, or NO_JOB
    number: int
    at_us: int
    stream: str
    text: str
    lost: int = 0
    id: int = 0  # grows; given by the store


class Request(NamedTuple):
    """What somebody wants of a run."""

    id: int
    run: str
    verb: str  # "cancel", "settle", "approve", "retry", "pause", "resume"
    args: Mapping[str, Any]
    who: str
    at_us: int
    answer: str | None = None


class Lock(NamedTuple):
    """A run's place in the queue of a tag: the smallest ticket of a tag has the lock."""

    tag: str
    run: str
    ticket: int
    at_us: int  # when it was taken, by the store's clock


class Write(NamedTuple):
    """What is written to one run, as ``Store.append`` has it."""

    id: str
    epoch: int
    lap: int
    first_seq: int
    rows: Sequence[PlainRow]
    state: RunState | None = None
    lines: Sequence[Line] = ()
    answers: Sequence[tuple[int, str]] = ()


def storable(text: str) -> str:
    """Text as every store keeps it: NUL and lone surrogates are escaped (\\x00, \\udc80)."""
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


class Store(Playbooks, Leases, Tokens, Workers, Protocol):
    """Keeps runs, their journals, output and requests, playbooks, leases, tokens, and which
    workers are there. Thread-safe.

    A run's id is made of lower-case hex digits and is never used again. Text is kept as
    ``storable`` has it, JSON as JSON has it.

    Locks: a run takes a ticket of every tag of ``launch.locks`` when it is stored, all at once,
    and again when it is taken up after it was over. Tickets grow in the order in which they can be
    seen. They go with the write that ends the run as succeeded, failed or cancelled; a run that is
    interrupted, in doubt or queued keeps its own. Of each tag the smallest has the lock, so two
    runs never wait for each other. The store only says who is ahead; to wait is the owner's part.

    A run of a core (``core``) is looked after by whoever holds the lease CORE. Its owner does not
    beat: while that process holds the lease, ``seen_s`` is that of the lease.

    Raises, in every method: Unavailable when the database does not answer (what ``append`` was to
    write may then be there or not), Rejected for a run that is not there, Refused in a process
    that was forked from the one that opened it.
    """

    @property
    def place(self) -> str:
        """Where it is, for a reader; without password."""

    @property
    def tasks(self) -> "Tasks":
        """The Celery tasks in the same place. It is closed with the store, not by itself."""

    def begin(self, id: str, launch: Launch, plan: str, jobs: int, owner: Owner, at_us: int) -> int:
        """Store a run and its first event; its epoch, 1.

        Raises: Conflict for an id in use, Rejected for a group or a tag that is too long.
        """

    def enqueue(
        self, id: str, launch: Launch, plan: str, jobs: int, at_us: int, *, key: str | None = None
    ) -> str:
        """Store a run for a core, and its first event: queued, nobody's, its epoch 0; its id.

        ``key``: names what is asked for, so that it may be asked again when nobody knows whether
        it was stored. If a run has this key already, nothing is stored and that run's id is
        returned.

        Raises: Conflict for an id in use, Rejected for a group, a tag or a key that is too long.
        """

    def run_with_key(self, key: str) -> str | None:
        """The run that was stored by ``enqueue`` with this key, as long as it is there."""

    def take(self, id: str, epoch: int, owner: Owner, *, next_lap: bool = False) -> int:
        """Become the owner of a run that stood at ``epoch``; the new epoch.

        Raises: Lost when somebody took it meanwhile.
        """

    def release(self, id: str, epoch: int) -> None:
        """Give up the ownership and leave the run as it stands, for somebody to go on with it.

        Raises: Lost as ``append``.
        """

    def append(
        self,
        id: str,
        epoch: int,
        lap: int,
        first_seq: int,
        rows: Sequence[PlainRow],
        *,
        state: RunState | None = None,
        lines: Sequence[Line] = (),
        answers: Sequence[tuple[int, str]] = (),
    ) -> None:
        """Write to a run's journal, in one transaction.

        ``state``: where the run stands now, if that changed; a state other than RUNNING also
        gives up the ownership, and ends the run unless it is QUEUED. ``lines``: output.
        ``answers``: (request, answer); one that was answered already keeps its answer.

        Raises: Lost when ``epoch`` is no longer the run's (somebody else owns it, or nobody), for
        a place in the journal that is taken, for a second end of a try and for a second success of
        a job in one lap. Nothing is written then.
        """

    def append_all(self, writes: Sequence[Write]) -> None:
        """``append`` to many runs, in one transaction: all is written, or nothing.

        Raises: Lost as ``append``, for the first run that refuses; Rejected for a run that is
        named twice.
        """

    def add_output(self, id: str, lines: Sequence[Line]) -> None:
        """Keep output of a run, whoever owns it, or nobody; no sign that its owner lives."""

    def beat(self, id: str, epoch: int) -> None:
        """Say that the owner lives. Raises: Lost as ``append``."""

    def ask(self, id: str, verb: str, args: Mapping[str, Any], who: str, at_us: int) -> int:
        """Leave a request for the owner of a run; its number.

        Numbers grow in the order in which requests can be seen.
        """

    def asked(self, id: str) -> Sequence[Request]:
        """Requests that nobody has answered, oldest first."""

    def open_requests(self, after: int = 0) -> Sequence[Request]:
        """Those of all runs of a core that nobody has answered, with greater numbers."""

    def answer(self, number: int, answer: str) -> None:
        """Answer a request of a run that nobody owns; one that was answered keeps its answer."""

    def request(self, number: int) -> Request | None:
        """A request, answered or not; None for none."""

    def find(self, prefix: str | None) -> RunRecord:
        """The run whose id begins so; None: the last. Raises: Rejected for none or several."""

    def runs(
        self,
        limit: int = 20,
        before_us: int | None = None,
        *,
        groups: Sequence[str] | None = None,
        states: Sequence[RunState] | None = None,
    ) -> Sequence[RunRecord]:
        """The newest runs, newest first.

        ``groups``, ``states``: only runs of these; a state as it is stored. None: of all.
        """

    def core_runs(self, *, unowned: bool) -> Sequence[RunRecord]:
        """Runs that a core is to take up, in the order they were stored.

        Runs of a core that are queued, running or interrupted, and that no lock keeps waiting.
        ``unowned``: only those that nobody owns.
        """

    def locks(self) -> Sequence[Lock]:
        """Every ticket, by tag and ticket."""

    def ahead_of(self, id: str) -> Sequence[Lock]:
        """The tickets that a run waits for, by tag and ticket; none: it may go on."""

    def paused(self, ids: Sequence[str]) -> frozenset[str]:
        """Those of these runs that are paused, by their journals."""

    def plan(self, id: str) -> str:
        """The run's plan as JSON text."""

    def journal(self, id: str, after: int = 0) -> Iterator[Entry]:
        """The rows of a run's journal after a place, in order."""

    def output(
        self, id: str, key: int | None = None, after: int = 0, limit: int = 1000
    ) -> Sequence[Line]:
        """Lines after the given line id, oldest first."""

    def prune(self, ended_before_us: int, keep: int) -> int:
        """Forget runs that ended before, but for the newest ``keep`` of all; how many.

        Only runs that are over are forgotten: succeeded, failed or cancelled.
        """

    def close(self) -> None: ...


def require_indexable(launch: Launch, key: str | None = None) -> None:
    """What of a run stands in an index has the length for it. Raises: Rejected."""
    require_short(launch.group)
    require_short(*launch.locks, what="tags of locks")
    require_short(key or "", what="keys of runs")
