"""YAML as people hand it in: every value with its place, every mistake with a remedy.

PyYAML's parser in Python tells what comes next, and nothing else of it is used: what values mean
is decided here, so that a document in YAML says what it would say in JSON. No tags, no merge
keys, one document; aliases count for all that they stand for. The parser in C is never used:
deep nesting kills the process with it.
"""

import re
from typing import Any, NamedTuple

from yaml import MarkedYAMLError, events
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.scanner import Scanner

from headway.releases.document import (
    DEPTH,
    UNREAD,
    VALUES,
    WHOLE,
    Located,
    Position,
    Problem,
    Unreadable,
    below,
    empty,
    flaw_of,
    too_deep,
    too_many,
    twice,
    unfit,
)
from headway.releases.json_document import beyond_bounds, number_of
from headway.wire.shapes import shown

# A plain scalar that is none of these is a text.
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# An exponent has a sign, as every program writes it in JSON: commit 1234e56 is no number.
_NUMBER = re.compile(
    r"(?P<whole>[-+]?(?:0|[1-9][0-9]*))"
    r"|(?:[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+][0-9]+)?",
    re.ASCII,
)
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class _Said(NamedTuple):
    """What PyYAML's words begin with, and ours."""

    theirs: str
    what: str
    remedy: str
    where_it_began: bool = False  # rather than where it was noticed


_SAID = (
    _Said(
        "found character '\\t' that cannot start any token",
        "a tab stands where YAML takes blanks only",
        "Indent with blanks",
    ),
    _Said(
        "found character",
        "no text begins with this character unless it is in quotes",
        "Put the text in quotes",
    ),
    _Said(
        "found unknown escape character",
        "a \\ stands before a character that it does not go with",
        "Write \\\\ for a \\, or put the text in single quotes",
    ),
    _Said(
        "found unexpected end of stream",
        "a text in quotes begins here and has no end",
        "End it with the quote that it begins with",
        where_it_began=True,
    ),
    _Said(
        "mapping values are not allowed here",
        "a colon makes a key of this where none may stand",
        "Put the text in quotes, or see to the indentation",
    ),
    _Said(
        "could not find expected ':'",
        "this line is no key: the colon is missing",
        "Write key: value, or put a text of several lines in quotes",
        where_it_began=True,
    ),
    _Said(
        "expected <block end>",
        "this belongs to nothing that stands before it",
        "Indent it as deep as its neighbours, or put the whole text in quotes",
    ),
    _Said(
        "expected ',' or",
        "a comma or the closing bracket is missing",
        "Write it here, or before this",
    ),
    _Said(
        "expected '<document start>'",
        "this belongs to nothing that stands before it",
        "Take it out, or see to the indentation of what stands before it",
    ),
    _Said(
        "sequence entries are not allowed here",
        "a list begins where none may stand",
        "Begin it on a line of its own",
    ),
    _Said(
        "expected the node content",
        "a value is missing here",
        "Write one, or take out what needs it",
    ),
)


def read_yaml(text: str) -> tuple[Located, list[Problem]]:
    """Raises: Unreadable for what is not YAML, or over the limits."""
    reading: _Reading | None = None
    try:
        reading = _Reading(text)
        return reading.root(), reading.problems
    except ReaderError as error:
        raise _refused_character(text, error) from error
    except MarkedYAMLError as error:
        raise _in_our_words(error) from error
    except (ValueError, OverflowError, IndexError) as error:
        # PyYAML's own slips: numbers that no character has, or that Python will not read.
        at = Position(1, 1) if reading is None else reading.position()
        what = "holds an escape or a directive with a number that means nothing"
        raise Unreadable(Problem(at, WHOLE, what, "Take it out")) from error


class _Parser(Reader, Scanner, Parser):
    """PyYAML's parser in Python: a text to events."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)


class _Part(NamedTuple):
    """A value that has been read."""

    located: Located
    values: int  # in it, itself counted
    height: int  # of the lists and objects in it, itself counted


class _Reading:
    """A text that is being read."""

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self._parser = _Parser(text)
        self._anchors: dict[str, _Part | None] = {}  # None: not yet read to its end
        self._values = 0

    def root(self) -> Located:
        self._next()  # the beginning of the stream
        first = self._next()
        if isinstance(first, events.StreamEndEvent):
            raise Unreadable(empty())
        root = self._value(self._next(), WHOLE, 0)
        self._next()  # the end of the document
        another = self._next()
        if not isinstance(another, events.StreamEndEvent):
            what = "another document begins here"
            raise Unreadable(Problem(_at(another), WHOLE, what, "Put it into a file of its own"))
        return root.located

    def position(self) -> Position:
        mark = self._parser.get_mark()
        return Position(mark.line + 1, mark.column + 1)

    def _next(self) -> Any:
        return self._parser.get_event()  # type: ignore[no-untyped-call]

    def _value(self, event: Any, field: str, depth: int) -> _Part:
        """The value that begins with an event. ``depth``: of lists and objects around it."""
        at = _at(event)
        if isinstance(event, events.AliasEvent):
            return self._alias(str(event.anchor), at, field, depth)
        self._count(1, at)
        anchor: Any = event.anchor  # a text, or None
        if anchor is not None:
            self._anchors[anchor] = None
        if event.tag is not None:
            self._found(at, field, "has a tag", "Take out what begins with !")
        before = self._values
        if isinstance(event, events.ScalarEvent):
            part = _Part(Located(self._scalar(event, at, field), at), 1, 0)
        else:
            if depth == DEPTH:
                raise Unreadable(too_deep(at))
            is_list = isinstance(event, events.SequenceStartEvent)
            located, height = (self._list if is_list else self._object)(at, field, depth + 1)
            part = _Part(located, self._values - before + 1, height + 1)
        if anchor is not None:
            self._anchors[anchor] = part
        return part

    def _list(self, at: Position, field: str, depth: int) -> tuple[Located, int]:
        items: list[Located] = []
        height = 0
        while not isinstance(event := self._next(), events.SequenceEndEvent):
            part = self._value(event, f"{field}[{len(items)}]", depth)
            items.append(part.located)
            height = max(height, part.height)
        return Located(items, at), height

    def _object(self, at: Position, field: str, depth: int) -> tuple[Located, int]:
        members: dict[str, Located] = {}
        keys: dict[str, Position] = {}
        height = 0
        while not isinstance(event := self._next(), events.MappingEndEvent):
            key_at = _at(event)
            key = self._key(event, field, depth)
            path = below(field, key) if key is not None else field
            part = self._value(self._next(), path, depth)
            height = max(height, part.height)
            if key is None:
                continue
            if key in members:
                self.problems.append(twice(key_at, path, keys[key]))
                continue
            members[key], keys[key] = part.located, key_at
        return Located(members, at, keys), height

    def _key(self, event: Any, field: str, depth: int) -> str | None:
        """None for what is no key; a problem says so."""
        at = _at(event)
        begun = len(self.problems)
        located = self._value(event, field, depth).located
        self._values -= 1  # keys are not counted
        key = located.value
        if not isinstance(key, str):
            if len(self.problems) == begun:
                self._found(at, field, *_no_key(key))
            return None
        if key == "<<" and getattr(event, "implicit", (False,))[0]:
            what = "has a merge key (<<), which Headway does not know"
            self._found(at, field, what, "Write the keys out")
            return None
        return key

    def _alias(self, name: str, at: Position, field: str, depth: int) -> _Part:
        part = self._anchors.get(name)
        if part is None:
            what = (
                f"the alias *{name} stands for what it is part of"
                if name in self._anchors
                else f"there is no &{name} before the alias *{name}"
            )
            raise Unreadable(Problem(at, field, what, "Write out what it is to stand for"))
        if depth + part.height > DEPTH:
            raise Unreadable(too_deep(at))
        self._count(part.values, at)
        return part

    def _scalar(self, event: Any, at: Position, field: str) -> object:
        text: str = _PAIR.sub(_joined, event.value)
        is_plain = event.style is None
        if is_plain and text in _WORDS:
            return _WORDS[text]
        if is_plain and (number := _NUMBER.fullmatch(text)) is not None:
            value = number_of(text, is_whole=number["whole"] is not None)
            if value is not None:
                return value
            self.problems.append(beyond_bounds(at, field))
            return UNREAD
        if is_plain and _NO_NUMBER.fullmatch(text):
            self.problems.append(beyond_bounds(at, field))
            return UNREAD
        flaw = flaw_of(text)
        if flaw is not None:
            self.problems.append(unfit(at, field, flaw))
            return UNREAD
        return text

    def _count(self, values: int, at: Position) -> None:
        self._values += values
        if self._values > VALUES:
            raise Unreadable(too_many(at))

    def _found(self, at: Position, field: str, what: str, remedy: str) -> None:
        self.problems.append(Problem(at, field, what, remedy))


def _at(event: Any) -> Position:
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)


def _joined(pair: re.Match[str]) -> str:
    """The character that JSON writes as two escapes."""
    return pair[0].encode("utf-16", "surrogatepass").decode("utf-16")


def _no_key(key: object) -> tuple[str, str]:
    if isinstance(key, (list, dict)):
        return "has a list or an object for a key", "Keys are texts"
    return f"has the key {shown(key)}, which is no text", f'Put it in quotes: "{shown(key)}"'


def _refused_character(text: str, error: ReaderError) -> Unreadable:
    before = text[: error.position]
    at = Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
    number = ord(text[error.position])
    what = f"holds the character U+{number:04X}, which YAML does not"
    remedy = "Take it out"
    if number:
        remedy += f', or write it as an escape in double quotes: "\\u{number:04x}"'
    return Unreadable(Problem(at, WHOLE, what, remedy))


def _in_our_words(error: MarkedYAMLError) -> Unreadable:
    said = error.problem or "something is missing"
    ours = next(
        (one for one in _SAID if said.startswith(one.theirs)),
        _Said(said, f"is not YAML here: {said}", "Look at this line and the one above it"),
    )
    noticed, began = error.problem_mark, error.context_mark
    mark = (began or noticed) if ours.where_it_began else (noticed or began)
    at = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
    return Unreadable(Problem(at, WHOLE, ours.what, ours.remedy))
