"""Keeps values that nobody is to see out of what is told and written of a run.

A value is found whole and line by line, and however it is spelled: as JSON, Python, URLs, HTML and
base64 spell it, also one of them within the other. What is not found: a value in pieces, or
encrypted, compressed, in another base or another case.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from headway.jobs.outcomes import Failure
from headway.jobs.shared import Changes

SHORTEST = 4  # characters of a value that is looked for: shorter ones are found everywhere
REDACTED = "[redacted]"
E = TypeVar("E")

# The fields of events that hold what jobs, workers and people say. The others are ours: words,
# ids and numbers that are read again.
FREE = frozenset(
    {"failure", "shared", "storage", "text", "why", "who", "answer", "message", "trace", "type"}
)
_SHORTEST_BASE64 = 5  # characters
_BACKSLASH = r"(?:\\|%5[Cc])"
_BACKSLASHES = _BACKSLASH + "++"
_SOME_BACKSLASHES = _BACKSLASH + "*+"
_NO_BACKSLASH = r"(?<!\\)(?<!%5[Cc])"  # before
_LETTERS = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
_HTML = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}


class Redaction:
    """Replaces values, and each line of them, wherever they stand in a text."""

    def __init__(self, values: Iterable[str]) -> None:
        wanted = {one for value in values for one in _parts(value)}
        # The longest first: what is part of another is found where that is not.
        spelled = [
            spelling
            for one in sorted(wanted, key=lambda one: (-len(one), one))
            for spelling in (_spelled(one), *_in_base64(one))
        ]
        self._wanted = re.compile("|".join(spelled)) if spelled else None

    def text(self, text: str) -> str:
        return self._wanted.sub(REDACTED, text) if self._wanted is not None else text

    def event(self, event: E) -> E:
        """An event, or a failure, without the values."""
        if self._wanted is None:
            return event
        changed: dict[str, Any] = {}
        for name in FREE.intersection(event._fields):  # type: ignore[attr-defined]
            value = getattr(event, name)
            after = self._of(value)
            if after is not value:
                changed[name] = after
        return event._replace(**changed) if changed else event  # type: ignore[attr-defined]

    def _of(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Failure):
            return self.event(value._replace(exception=None))
        return self._changes(value) if isinstance(value, Changes) else value

    def _changes(self, changes: Changes) -> Changes:
        """What holds a value is told like what JSON cannot carry: nobody is to be given another."""
        assert self._wanted is not None
        kept, opaque = {}, {self.text(name): kind for name, kind in changes.opaque.items()}
        for name, value in changes.set.items():
            if self._wanted.search(json.dumps({name: value}, ensure_ascii=False)):
                opaque[self.text(name)] = "secret"
            else:
                kept[name] = value
        return Changes(kept, tuple(map(self.text, changes.deleted)), opaque)


def _parts(value: str) -> Iterator[str]:
    """What is looked for of a value."""
    for one in (value, *value.splitlines()):
        for part in (one, one.strip()):
            if len(part) >= SHORTEST and part not in REDACTED:
                yield part


def _spelled(value: str) -> str:
    """A pattern that finds a value in any of its spellings.

    Backslashes are taken whole, however often they are doubled, and never twice: a long row of
    them costs no more than any other text.
    """
    found = []
    after = False  # whether backslashes have just been taken
    for place, character in enumerate(value):
        if character == "\\":
            if not after:
                found.append((_NO_BACKSLASH if place == 0 else "") + _BACKSLASHES)
            after = True
            continue
        if character.isascii() and character.isalnum():
            found.append(character)
        else:
            spellings = list(_spellings(character, place == 0, after))
            if character == "'":
                spellings.append(_in_a_shell(place == 0, after))
            found.append(f"(?:{'|'.join(spellings)})")
        after = False
    return "".join(found)


def _spellings(character: str, is_first: bool, after: bool) -> Iterator[str]:
    """Patterns, one for each. ``after``: backslashes before it have been taken."""
    code = ord(character)
    if is_first:
        some, slashes = "", _NO_BACKSLASH + _BACKSLASHES
    else:
        some, slashes = _SOME_BACKSLASHES, _SOME_BACKSLASHES if after else _BACKSLASHES
    yield some + re.escape(character)
    if character in _LETTERS:
        yield slashes + _LETTERS[character]
    if character == "\n":
        yield r"\r\n"
    if character == " ":
        yield r"\+"
    units = character.encode("utf-16-be", "surrogatepass").hex()
    halves = [units[start : start + 4] for start in range(0, len(units), 4)]
    yield _joined(slashes, [f"u{half}" for half in halves])
    if len(halves) > 1:
        yield _joined(slashes, [f"u{code:08x}"])
    pairs = [f"{byte:02x}" for byte in character.encode("utf-8", "surrogatepass")]
    yield _joined(some, [f"%{pair}" for pair in pairs])
    yield _joined(slashes, [f"x{pair}" for pair in pairs])
    if 0x7F < code < 0x100:
        yield _joined(slashes, [f"x{code:02x}"])
    yield f"{some}(?i:&#0*{code};|&#x0*{code:x};)"
    if character in _HTML:
        yield f"{some}&{_HTML[character]};"


def _in_a_shell(is_first: bool, after: bool) -> str:
    """A pattern for ``'`` as shlex has it, each mark of which may be spelled anyhow again."""
    marks = [
        "|".join(_spellings(mark, is_first and not place, after and not place))
        for place, mark in enumerate("'\"'\"'")
    ]
    return "".join(f"(?:{mark})" for mark in marks)


def _joined(slashes: str, codes: list[str]) -> str:
    first, *rest = codes
    between = "" if first.startswith("%") else _BACKSLASHES
    more = "".join(between + code for code in rest)
    return f"{slashes}(?i:{first}{more})"


def _in_base64(value: str) -> Iterator[str]:
    """Patterns for what of its encoding does not depend on what stands before and behind it."""
    content = value.encode("utf-8", "surrogatepass")
    for before, unsure in ((0, 0), (1, 2), (2, 3)):
        whole = (before + len(content)) * 8 // 6
        sure = b64encode(bytes(before) + content).decode()[unsure:whole]
        if len(sure) >= _SHORTEST_BASE64:
            yield re.sub(r"[+/]", lambda sign: r"[+\-]" if sign[0] == "+" else "[/_]", sure)
