"""JSON as people hand it in: every value with its place, every mistake with a remedy.

As strict as the bus is (``headway.wire.strict_json``), in numbers, keys and nesting.
"""

import json
import math
import re
from bisect import bisect_right
from collections.abc import Callable

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
    clipped,
    empty,
    flaw_of,
    too_deep,
    too_many,
    twice,
    unfit,
)
from headway.wire.strict_json import DIGITS

_BLANK = re.compile(r"[ \t\r\n]*")
_TEXT = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[-+\w.]+")
_WORDS = {"null": None, "true": True, "false": False}


def read_json(text: str) -> tuple[Located, list[Problem]]:
    """Raises: Unreadable for what is not JSON, or over the limits."""
    reading = _Reading(text)
    if not text.strip():
        raise Unreadable(empty())
    root = reading.value(WHOLE, 0)
    reading.end()
    return root, reading.problems


class _Reading:
    """A text, and how far it has been read."""

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._index = 0
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self._values = 0

    def value(self, field: str, depth: int) -> Located:
        """The value that comes next. ``depth``: of lists and objects around it."""
        next_ = self._peek()
        at = self._position()
        self._values += 1
        if self._values > VALUES:
            raise Unreadable(too_many(at))
        if next_ in ("{", "["):
            if depth == DEPTH:
                raise Unreadable(too_deep(at))
            return (self._object if next_ == "{" else self._list)(at, field, depth + 1)
        if next_ == '"':
            return Located(self._read_text(field), at)
        return Located(self._word(at, field), at)

    def end(self) -> None:
        if self._peek():
            raise self._wrong("something follows its end", "Take it out")

    def _object(self, at: Position, field: str, depth: int) -> Located:
        members: dict[str, Located] = {}
        keys: dict[str, Position] = {}

        def member() -> None:
            if self._peek() != '"':
                raise self._wrong("a key is missing here", 'Write keys in quotes: "key": value')
            key_at = self._position()
            key = self._read_text(field)
            path = below(field, key if isinstance(key, str) else "?")
            self._require(":", "the colon after a key is missing", "Write : here")
            value = self.value(path, depth)
            if not isinstance(key, str):
                return
            if key in members:
                self.problems.append(twice(key_at, path, keys[key]))
                return
            members[key], keys[key] = value, key_at

        self._parts("}", member)
        return Located(members, at, keys)

    def _list(self, at: Position, field: str, depth: int) -> Located:
        items: list[Located] = []
        self._parts("]", lambda: items.append(self.value(f"{field}[{len(items)}]", depth)))
        return Located(items, at)

    def _parts(self, close: str, part: Callable[[], None]) -> None:
        """What stands between brackets, the open one of which comes next."""
        self._index += 1
        if self._peek() == close:
            self._index += 1
            return
        while True:
            part()
            next_ = self._peek()
            if next_ == close:
                self._index += 1
                return
            self._require(",", f"a comma or {close} is missing", "Write it here, or before this")
            if self._peek() == close:
                raise self._wrong("a comma stands before this, and nothing between", "Take it out")

    def _read_text(self, field: str) -> object:
        at = self._position()
        match = _TEXT.match(self._text, self._index)
        if match is None:
            raise self._wrong(
                "a text begins here that has no end, a line break in it, or a \\ too many",
                'End it with ", and write \\n for a line break and \\\\ for a \\',
            )
        self._index = match.end()
        text: str = json.loads(match[0])
        flaw = flaw_of(text)
        if flaw is None:
            return text
        self.problems.append(unfit(at, field, flaw))
        return UNREAD

    def _word(self, at: Position, field: str) -> object:
        match = _WORD.match(self._text, self._index)
        if match is None:
            raise self._wrong("a value is missing here", "Write one, or take out what needs it")
        word = match[0]
        if word in _WORDS:
            self._index = match.end()
            return _WORDS[word]
        number = _NUMBER.fullmatch(word)
        if number is None:
            raise self._wrong(f"{clipped(word)!r} is not JSON", "Texts stand in quotes")
        self._index = match.end()
        value = number_of(word, is_whole=number[1] is None and number[2] is None)
        if value is None:
            self.problems.append(beyond_bounds(at, field))
            return UNREAD
        return value

    def _require(self, mark: str, what: str, remedy: str) -> None:
        if self._peek() != mark:
            raise self._wrong(what, remedy)
        self._index += 1

    def _peek(self) -> str:
        match = _BLANK.match(self._text, self._index)
        self._index = match.end() if match else self._index
        return self._text[self._index : self._index + 1]

    def _position(self) -> Position:
        line = bisect_right(self._lines, self._index)
        return Position(line, self._index - self._lines[line - 1] + 1)

    def _wrong(self, what: str, remedy: str) -> Unreadable:
        return Unreadable(Problem(self._position(), WHOLE, what, remedy))


def number_of(text: str, *, is_whole: bool) -> int | float | None:
    """The number that a text in decimal says; None beyond all bounds."""
    if is_whole:
        return int(text) if len(text) <= DIGITS else None
    value = float(text)
    return value if math.isfinite(value) else None


def beyond_bounds(at: Position, field: str) -> Problem:
    return Problem(
        at, field, "is no number that can be kept", "Write a smaller one, or a text in quotes"
    )
