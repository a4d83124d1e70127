"""Everything that happens in a run, in the past tense: the journal is made of these.

``at_us`` is a moment in microseconds of UTC since 1970. A row of the journal holds the kind, the
moment, the key of the job, the number of the try and, for what is left, a JSON object. Events
that are only shown while they are new (``Live``) are not written.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from headway.errors import WireError
from headway.jobs.outcomes import (
    Ending,
    Failure,
    Phase,
    changes_from_plain,
    changes_to_plain,
    failure_from_plain,
    failure_to_plain,
)
from headway.jobs.shared import Changes
from headway.jobs.states import JobState, RunState

FORMAT = 1


class RunBegan(NamedTuple):
    """A run was stored; its launch and plan stand beside the journal."""

    at_us: int


class RunResumed(NamedTuple):
    """A run without a living owner was taken up again."""

    at_us: int
    owner: str


class RunRetried(NamedTuple):
    """A person asked for these jobs to be tried anew in a run that was over."""

    at_us: int
    keys: tuple[int, ...]
    who: str = ""


class TryStarted(NamedTuple):
    """A try began. Written only for one that is still going when the journal is next written."""

    at_us: int
    key: int
    number: int


class RunIntended(NamedTuple):
    """Check failed and Run is about to start. Nobody starts Run before this is committed."""

    at_us: int
    key: int
    number: int
    failure: Failure | None = None  # the Check's
    shared: Changes | None = None  # what Check did to global_storage
    storage: Changes | None = None  # the job's own storage, whole
    attempt: str = ""  # of a step: what its message is called, and all that is heard of it
    replies: str = ""  # the queue on which it is answered, if that outlives its process


class StepClaimed(NamedTuple):
    """A worker has the attempt at a step. It is told so when this is committed."""

    at_us: int
    key: int
    number: int
    attempt: str
    worker: str  # "" for one that does not name itself
    address: str = ""  # exists for as long as the worker's connection; "" if none was given


class StepGivenBack(NamedTuple):
    """The worker that had the attempt has not begun and does not want it: somebody else may."""

    at_us: int
    key: int
    number: int
    attempt: str
    worker: str


class RecheckIntended(NamedTuple):
    """A step itself is over, and its Check is about to be asked again."""

    at_us: int
    key: int
    number: int
    failure: Failure | None = None  # the step's, which decides nothing


class NoticeIntended(NamedTuple):
    """People are about to be told of a step. The same is not told again."""

    at_us: int
    key: int
    number: int
    notice: str  # "started", "completed" or "failed"
    transport: str


class PhaseNoticeIntended(NamedTuple):
    """People are about to be told of the run as a whole. The same is not told again."""

    at_us: int
    notice: str  # "started", "completed", "failed" or "cancelled"
    topic: str  # the routing key
    targets: tuple[str, ...]
    text: str


class ProcessStarted(NamedTuple):
    """A job started a command that is to die with it."""

    at_us: int
    key: int
    number: int
    pid: int  # also its process group
    started: str  # the process's start, as the system tells it: a pid alone is used again
    boot: str


class TryEnded(NamedTuple):
    """A try ended; the one terminal record of it."""

    at_us: int
    key: int
    number: int
    ending: Ending
    began_us: int = 0  # 0: with no time to speak of
    phase: Phase = Phase.CHECK
    executed: bool = False
    final: bool = False
    failure: Failure | None = None
    shared: Changes | None = None
    storage: Changes | None = None


class CleanupIntended(NamedTuple):
    """The Cleanup of a try is about to start."""

    at_us: int
    key: int
    number: int


class CleanupEnded(NamedTuple):
    """The Cleanup of a try ended; it is not run again."""

    at_us: int
    key: int
    number: int
    failure: Failure | None = None


class Settled(NamedTuple):
    """A person answered for a job in doubt."""

    at_us: int
    key: int
    how: str  # "done", "again" or "failed"
    who: str = ""
    why: str = ""


class GateReached(NamedTuple):
    """A try came to a gate: it waits until somebody answers. Written once for each try."""

    at_us: int
    key: int
    number: int
    message: str = ""  # what the playbook says to whoever is to answer


class GateAnswered(NamedTuple):
    """A person answered at a gate; the end of its try follows from it."""

    at_us: int
    key: int
    number: int
    decision: str  # "approve" or "reject"
    who: str = ""
    why: str = ""


class RunCancelled(NamedTuple):
    """The run was asked to stop: nothing new starts."""

    at_us: int
    who: str = ""
    why: str = ""


class RunPaused(NamedTuple):
    """The run was asked to start nothing new until it is told otherwise."""

    at_us: int
    who: str = ""
    why: str = ""


class RunUnpaused(NamedTuple):
    """The run was asked to go on, that was paused."""

    at_us: int
    who: str = ""
    why: str = ""


class RequestAnswered(NamedTuple):
    """The run's owner answered a request, once."""

    at_us: int
    request: int
    answer: str


class RunEnded(NamedTuple):
    """Nothing more happens in this run unless somebody resumes or retries it."""

    at_us: int
    state: RunState
    counts: dict[str, int]  # JobState to the number of jobs
    ignored: int = 0  # news that came late, twice or from elsewhere
    why: str = ""  # it could not be gone on with, if that is how it ended


class PhaseEnded(NamedTuple):
    """Live: a phase of a try ended."""

    at_us: int
    key: int
    number: int
    phase: Phase
    failure: Failure | None = None


class JobStood(NamedTuple):
    """Live: where a job stands after its try ended."""

    at_us: int
    key: int
    number: int
    state: JobState
    again_in_s: float = 0.0  # of a job that waits for its next try


class OutputWritten(NamedTuple):
    """Live: a job wrote a line. Lines are kept in a table of their own."""

    at_us: int
    key: int
    number: int
    stream: str
    text: str


Event = (
    RunBegan
    | RunResumed
    | RunRetried
    | TryStarted
    | RunIntended
    | StepClaimed
    | StepGivenBack
    | RecheckIntended
    | NoticeIntended
    | PhaseNoticeIntended
    | ProcessStarted
    | TryEnded
    | CleanupIntended
    | CleanupEnded
    | Settled
    | GateReached
    | GateAnswered
    | RunCancelled
    | RunPaused
    | RunUnpaused
    | RequestAnswered
    | RunEnded
)
Live = PhaseEnded | JobStood | OutputWritten
Listener = Callable[[Event | Live], None]


PlainRow = tuple[str, int, int | None, int | None, str | None]  # a Row, without its names


class Row(NamedTuple):
    """An event as a row of the journal."""

    kind: str
    at_us: int
    key: int | None
    number: int | None
    body: str | None


_KINDS: dict[str, type[Any]] = {
    "run-began": RunBegan,
    "run-resumed": RunResumed,
    "run-retried": RunRetried,
    "try-started": TryStarted,
    "run-intended": RunIntended,
    "step-claimed": StepClaimed,
    "step-given-back": StepGivenBack,
    "recheck-intended": RecheckIntended,
    "notice-intended": NoticeIntended,
    "phase-notice-intended": PhaseNoticeIntended,
    "process-started": ProcessStarted,
    "cleanup-intended": CleanupIntended,
    "cleanup-ended": CleanupEnded,
    "settled": Settled,
    "gate-reached": GateReached,
    "gate-answered": GateAnswered,
    "run-cancelled": RunCancelled,
    "run-paused": RunPaused,
    "run-unpaused": RunUnpaused,
    "request-answered": RequestAnswered,
    "run-ended": RunEnded,
}
_NAMES = {cls: name for name, cls in _KINDS.items()}
_LIVE = {PhaseEnded: "phase-ended", JobStood: "job-stood", OutputWritten: "output-written"}
# The end of a try is stored under its ending, so that "one success a job" is an index.
_ENDINGS = {ending.value: ending for ending in Ending}


def name_of(event: Event | Live) -> str:
    """An event's name for a program that reads it."""
    if isinstance(event, TryEnded):
        return "try-ended"
    return _LIVE.get(type(event)) or _NAMES[type(event)]


def encode(event: Event) -> Row:
    """An event as a row. The commonest one, a try that passed at once, has no body."""
    cls = type(event)
    fields = event._asdict()
    kind: str = _NAMES[cls] if cls is not TryEnded else fields.pop("ending")._value_
    at_us = fields.pop("at_us")
    key = fields.pop("key", None)
    number = fields.pop("number", None)
    usual = cls._field_defaults
    kept = {
        name: _plain(value)
        for name, value in fields.items()
        if name not in usual or value != usual[name]
    }
    body = json.dumps(kept, separators=(",", ":")) if kept else None
    return Row(kind, at_us, key, number, body)


def _plain(value: Any) -> Any:
    if isinstance(value, Failure):
        return failure_to_plain(value)
    if isinstance(value, Changes):
        return changes_to_plain(value)
    return value


def decode(row: Row) -> Event:
    """The event of a row.

    Raises: WireError for a kind this version does not know (a newer Headway wrote it), and for
    a row that makes no event.
    """
    ending = _ENDINGS.get(row.kind)
    cls = TryEnded if ending else _KINDS.get(row.kind)
    if cls is None:
        raise WireError(
            f"the journal holds an event of kind {row.kind!r}, written by a newer Headway:"
            " upgrade this one to read it"
        )
    try:
        fields: dict[str, Any] = json.loads(row.body) if row.body else {}
        fields = {name: _typed(name, value) for name, value in fields.items()}
        if ending is not None:
            fields["ending"] = ending
        for name, value in (("key", row.key), ("number", row.number)):
            if name in cls._fields:
                if value is None:
                    raise ValueError(f"it has no {name}")
                fields[name] = value
        event: Event = cls(at_us=row.at_us, **fields)
    except (ValueError, TypeError, AttributeError) as error:
        raise WireError(
            f"the journal holds an event of kind {row.kind!r} that cannot be read: {error}"
        ) from error
    return event


def _typed(name: str, value: Any) -> Any:
    if name == "failure":
        return failure_from_plain(value)
    if name in ("shared", "storage"):
        return changes_from_plain(value)
    if name == "phase":
        return Phase(value)
    if name == "state":
        return RunState(value)
    if name in ("keys", "targets"):
        return tuple(value)
    return value
