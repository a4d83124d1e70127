"""A document that people write: its values, and where each of them stands.

Lines and columns count from 1, columns in characters; 0 where nobody knows. Whatever notation a
document was written in, its values are those of JSON, with three things left out: NUL, halves of
surrogate pairs (no database keeps them) and numbers beyond all bounds.
"""

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from headway.errors import DefinitionError

LIMIT_BYTES = 1 << 16
DEPTH = 64
VALUES = 10_000  # keys not counted; an alias counts for all that it stands for
WHOLE = "playbook"  # the field of a problem with the document as such

_PLAIN_KEY = re.compile(r"[\w:-]{1,80}")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Unread(Enum):
    """The value of what could not be read; a problem says why."""

    UNREAD = "unread"


UNREAD = Unread.UNREAD


class Position(NamedTuple):
    line: int
    column: int


NOWHERE = Position(0, 0)


class Located(NamedTuple):
    """A value and where it begins. Lists and objects hold Located values."""

    value: Any
    at: Position = NOWHERE
    keys: Mapping[str, Position] = {}  # of an object: where each key stands

    @classmethod
    def of(cls, plain: Any) -> "Located":
        """From what JSON holds, without positions."""
        match plain:
            case Mapping():
                return cls({key: cls.of(value) for key, value in plain.items()})
            case list() | tuple():
                return cls([cls.of(value) for value in plain])
            case _:
                return cls(plain)

    def plain(self) -> Any:
        """What JSON holds of it."""
        match self.value:
            case dict() as members:
                return {key: member.plain() for key, member in members.items()}
            case list() as items:
                return [item.plain() for item in items]
            case value:
                return value


class Problem(NamedTuple):
    """One thing that is wrong with a document."""

    at: Position
    field: str  # "execution[0].steps[2].service:Restart.notify.failed"
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field}: {self.what}. {self.remedy}"


class DocumentError(DefinitionError):
    """A document is written wrongly: everything that is wrong with it, in its order."""

    def __init__(self, place: str, problems: Iterable[Problem]) -> None:
        """``place``: its file, or what else people call it."""
        self.place = place
        self.problems = tuple(sorted(problems, key=lambda problem: problem.at))
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        return [
            f"{self.place}:{problem.at.line}:{problem.at.column}: {problem}"
            if problem.at != NOWHERE
            else f"{self.place}: {problem}"
            for problem in self.problems
        ]


class Document(NamedTuple):
    """What was read. With problems, parts of it may be UNREAD, and nothing may be built on it."""

    place: str
    root: Located
    problems: tuple[Problem, ...] = ()


def called(document: Document, whole: str) -> Document:
    """What is wrong with the document as such is said of a ``whole``, not of a playbook."""
    problems = [
        problem._replace(field=whole) if problem.field == WHOLE else problem
        for problem in document.problems
    ]
    return document._replace(problems=tuple(problems))


class Unreadable(Exception):
    """Where nothing more can be read. Only readers of documents raise and catch it."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem


def below(field: str, key: str) -> str:
    """The path of a member."""
    if not _PLAIN_KEY.fullmatch(key):
        return f"{'' if field == WHOLE else field}[{clipped(key)!r}]"
    return key if field == WHOLE else f"{field}.{key}"


def clipped(text: str, longest: int = 40) -> str:
    return text if len(text) <= longest else text[:longest] + "…"


def flaw_of(text: str) -> str | None:
    """Why a text cannot be kept; None when it can."""
    if "\0" in text:
        return "holds the character NUL"
    if _SURROGATE.search(text):
        return "holds half a surrogate pair"
    return None


def empty() -> Problem:
    return Problem(Position(1, 1), WHOLE, "is empty", "Write its keys into it")


def too_large() -> Problem:
    return Problem(
        Position(1, 1),
        WHOLE,
        f"has more than {LIMIT_BYTES:,} bytes",
        "Make several files of it",
    )


def too_deep(at: Position) -> Problem:
    return Problem(
        at, WHOLE, f"is nested more than {DEPTH} deep here", "Take lists and objects apart"
    )


def too_many(at: Position) -> Problem:
    return Problem(
        at,
        WHOLE,
        f"holds more than {VALUES:,} values, what aliases stand for counted in",
        "Make several files of it",
    )


def twice(at: Position, field: str, first: Position) -> Problem:
    return Problem(
        at,
        field,
        f"is there already, in line {first.line}",
        "Take one of the two out, or rename it",
    )


def unfit(at: Position, field: str, flaw: str) -> Problem:
    return Problem(at, field, flaw, "Take that character out")
