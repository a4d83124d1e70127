"""The messages, as values. Each field's shape makes the codec and the published schema both.

A key that a message does not know is kept in ``extra`` and written back. A field that is
``ABSENT`` is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from typing import Any, ClassVar, Self

from headway.errors import WireError
from headway.wire import strict_json
from headway.wire.shapes import (
    Anything,
    Choice,
    ListOf,
    MapOf,
    OrNull,
    Shape,
    Text,
    Whole,
    YesNo,
    mistyped,
)

PHASES = ("started", "completed", "failed")
FINAL = ("completed", "failed")
PRESENCE_STATES = ("serving", "leaving", "left")
SLUG_LONGEST = 80
_ID = Text(longest=255)
_MOMENT = Whole(most=10**17)  # microseconds of UTC since 1970; that is the year 5138


class Absent(Enum):
    """That a message does not have the key."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return self.name


ABSENT = Absent.ABSENT


def _key(shape: Shape, says: str, default: Any = ...) -> Any:
    metadata = {"shape": shape, "says": says}
    if default is ...:
        return field(metadata=metadata)
    if isinstance(default, (dict, list)):
        return field(metadata=metadata, default_factory=type(default))
    return field(metadata=metadata, default=default)


@dataclass(frozen=True, slots=True, kw_only=True)
class WireMessage:
    """An object on the wire."""

    TITLE: ClassVar[str] = "message"

    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Raises: WireError that says what is wrong, and where."""
        return cls.from_plain(strict_json.parse(body, f"the {cls.TITLE}"))

    @classmethod
    def from_plain(cls, value: Any) -> Self:
        """From what JSON holds. Raises: WireError."""
        if not isinstance(value, Mapping):
            raise mistyped(value, f"the {cls.TITLE}", "an object")
        rest = dict(value)
        found: dict[str, Any] = {}
        for key in keys_of(cls):
            if key.name in rest:
                place = f"{key.name} of the {cls.TITLE}"
                found[key.name] = key.shape.read(rest.pop(key.name), place)
            elif key.required:
                raise WireError(f"the {cls.TITLE} lacks {key.name}")
        return cls(**found, extra=rest)

    def to_plain(self) -> dict[str, Any]:
        found = {
            key.name: _plain(value)
            for key in keys_of(type(self))
            if (value := getattr(self, key.name)) is not ABSENT
        }
        return {**found, **self.extra}

    def encode(self) -> bytes:
        """Raises: WireError for what its own codec would refuse."""
        type(self).from_plain(plain := self.to_plain())
        return strict_json.encode(plain, f"the {self.TITLE}")


def _plain(value: Any) -> Any:
    if isinstance(value, WireMessage):
        return value.to_plain()
    return [_plain(item) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a message."""

    name: str
    shape: Shape
    says: str
    required: bool


def keys_of(message: type[WireMessage]) -> tuple[Key, ...]:
    """In the order of the class."""
    return _KEYS[message]


def object_schema(message: type[WireMessage]) -> dict[str, Any]:
    """The JSON Schema of its object. Keys that it does not name are allowed, and kept."""
    keys = keys_of(message)
    return {
        "type": "object",
        "properties": {
            key.name: {"description": marked(key.says), **key.shape.schema()} for key in keys
        },
        "required": [key.name for key in keys if key.required],
        "additionalProperties": True,
    }


def marked(text: str) -> str:
    """From the marks of docstrings to those of Markdown."""
    return text.replace("``", "`")


class Part:
    """An object within a message, which has keys of its own."""

    def __init__(self, of: type[WireMessage]) -> None:
        self.of = of

    def read(self, value: Any, place: str) -> WireMessage:
        try:
            return self.of.from_plain(value)
        except WireError as error:
            raise WireError(f"{place}: {error}") from error

    def schema(self) -> dict[str, Any]:
        return object_schema(self.of)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMessage(WireMessage):
    """A step, a check or an action, from the core to a worker; key ``worker.COMMAND``."""

    TITLE = "step message"

    parameters: Mapping[str, Any] = _key(
        MapOf(Anything()),
        "of the step; ``command``, ``subcommand`` and ``hosts`` are always among them",
    )
    group: str = _key(Text(), "whose playbook it is", "")
    dynamic: Mapping[str, Any] = _key(MapOf(Anything()), "values given for this deployment", {})
    notify: Mapping[str, Mapping[str, Sequence[str]]] = _key(
        MapOf(MapOf(ListOf(Text())), *PHASES),
        "for each notice, by transport, whom to tell",
        {},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Response(WireMessage):
    """How a step goes, from a worker to the step's reply queue on the default exchange."""

    TITLE = "response"

    status: str = _key(Choice(*PHASES), "``started`` first, then one of the others, once")
    data: Any = _key(Anything(), "what came of it, or why it failed", ABSENT)
    message: Any = _key(Anything(), "the same in words, as some workers have it", ABSENT)

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(WireMessage):
    """A worker asks for an attempt before it works on it, or gives it back; to the queue that the
    step message names in its header ``headway-claims``, with a reply address."""

    TITLE = "claim"

    attempt: str = _key(_ID, "the step message's ``message_id``")
    worker: str = _key(_ID, "who asks: the same for as long as the process lives")
    give_back: bool = _key(YesNo(), "whether it is given back, undone", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant(WireMessage):
    """Whether the attempt may be worked on, to the claim's reply address."""

    TITLE = "grant"

    attempt: str = _key(_ID, "the step message's ``message_id``")
    worker: str = _key(_ID, "who asked")
    granted: bool = _key(YesNo(), "whether this worker, and nobody else, works on it")
    reason: str = _key(Text(), "why not", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest(WireMessage):
    """Begins a deployment; key ``job.create``."""

    TITLE = "job request"

    group: str = _key(Text(), "whose playbook it is")
    playbook_id: str = _key(Text(pattern="[0-9a-f]{24}"), "which one")
    dynamic: Mapping[str, Any] | Absent = _key(MapOf(Anything()), "values for it", ABSENT)
    source_ip: str | Absent = _key(Text(), "where it was asked for", ABSENT)
    user_id: str | Absent = _key(Text(), "who asked for it", ABSENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAnswer(WireMessage):
    """What came of a job request, to its reply queue."""

    TITLE = "job answer"

    id: str | None = _key(
        OrNull(Text(pattern="[0-9a-f]{24}")), "the deployment's; null: there is no such playbook"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification(WireMessage):
    """A notice to people; key ``notify.TRANSPORT``."""

    TITLE = "notification"

    slug: str = _key(Text(longest=SLUG_LONGEST), "in short")
    message: str = _key(Text(), "at length")
    phase: str = _key(Choice("created", *PHASES), "what it is a notice of")
    target: Sequence[str] = _key(ListOf(Text()), "whom to tell; what a target is, transports know")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(WireMessage):
    """A line for those who read a step's output; key ``output``."""

    TITLE = "output"

    message: str = _key(Text(), "the line, or lines")
    level: str | Absent = _key(
        Choice("debug", "info", "warning", "error", "critical"), "how grave it is", ABSENT
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUnderWay(WireMessage):
    """One step that a worker process works on."""

    TITLE = "step under way"

    since_us: int = _key(_MOMENT, "microseconds of UTC since 1970: since when")
    run: str = _key(_ID, "the deployment's id", "")
    attempt: str = _key(_ID, "the step message's ``message_id``", "")
    command: str = _key(_ID, "as in the step's parameters", "")
    subcommand: str = _key(_ID, "as in the step's parameters", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence(WireMessage):
    """A worker process says that it is there, and what it does; key ``presence``. One for each
    queue that it serves, again and again, and when something changes."""

    TITLE = "presence"

    worker: str = _key(_ID, "the process, as in its claims")
    command: str = _key(_ID, "what it serves")
    queue: str = _key(_ID, "the queue it consumes")
    bindings: Sequence[str] = _key(ListOf(_ID), "the routing keys that lead there", [])
    state: str = _key(
        Choice(*PRESENCE_STATES),
        "whether it takes steps, only finishes what it has in hand, or is gone",
        "serving",
    )
    kind: str = _key(_ID, "the name of its class", "")
    version: str = _key(_ID, "the library's name and version", "")
    host: str = _key(Text(), "where it runs", "")
    pid: int = _key(Whole(), "its process there", 0)
    since_us: int = _key(_MOMENT, "microseconds of UTC since 1970: since when it serves")
    interval_s: int = _key(Whole(), "in how many seconds it says so again, at the latest")
    number: int = _key(Whole(), "grows with each that the process sends", 0)
    concurrency: int = _key(Whole(), "how many steps it can do at once", 1)
    doing: Sequence[StepUnderWay] = _key(
        ListOf(Part(StepUnderWay)),
        "the steps it works on: ``since_us`` and, where known, ``run``, ``attempt``, ``command``,"
        " ``subcommand`` of each",
        [],
    )


MESSAGES: tuple[type[WireMessage], ...] = (
    StepMessage,
    Response,
    Claim,
    Grant,
    JobRequest,
    JobAnswer,
    Notification,
    Output,
    Presence,
)


def _read_keys(message: type[WireMessage]) -> tuple[Key, ...]:
    return tuple(
        Key(
            one.name,
            one.metadata["shape"],
            one.metadata["says"],
            one.default is MISSING and one.default_factory is MISSING,
        )
        for one in fields(message)
        if one.name != "extra"
    )


_KEYS = {message: _read_keys(message) for message in (*MESSAGES, StepUnderWay)}


def step_to_notification_format(body: Mapping[str, Any]) -> dict[str, Any]:
    """The notification that the parameters of a step hold, so that one worker serves both.

    Raises: KeyError for what they lack.
    """
    parameters = body["parameters"]
    return {key: parameters[key] for key in ("slug", "message", "phase", "target")}
