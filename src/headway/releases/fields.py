"""A field of a document under check: what it holds, or a problem that says what it should."""

import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from headway.releases.document import UNREAD, Located, Position, Problem, below, clipped
from headway.wire.shapes import shown


class Field(NamedTuple):
    """Each method that finds something wrong notes it, and gives what one can go on with."""

    located: Located
    path: str
    problems: list[Problem]  # of the whole document

    def wrong(self, what: str, remedy: str, at: Position | None = None) -> None:
        self.problems.append(Problem(at or self.located.at, self.path, what, remedy))

    def mistyped(self, wanted: str, remedy: str) -> None:
        """Nothing is said of what could not be read: that was said before."""
        if self.located.value is not UNREAD:
            self.wrong(f"is {shown(self.located.value)}, not {wanted}", remedy)

    def text(self, *, longest: int | None = None) -> str:
        """``longest``: in characters."""
        value = self.located.value
        if not isinstance(value, str):
            self.mistyped("a text", _quotes(value))
            return ""
        if not value.strip():
            self.wrong("is empty", "Write a text")
        if longest is not None and len(value) > longest:
            self.wrong(f"has {len(value):,} characters", f"Write at most {longest}")
        return value

    def whole(self, *, least: int) -> int | None:
        value = self.located.value
        if isinstance(value, int) and not isinstance(value, bool) and value >= least:
            return value
        self.mistyped(f"a whole number from {least}", f"Write {least} or more, without quotes")
        return None

    def seconds(self, *, zero: bool) -> float | None:
        value = self.located.value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            number = float(value)
            if number > 0 or (zero and number == 0):
                return number
        least = "0 or more" if zero else "more than 0"
        self.mistyped(f"a number of seconds, {least}", "Write one, such as 30 or 0.5")
        return None

    def flag(self) -> bool:
        value = self.located.value
        if isinstance(value, bool):
            return value
        self.mistyped("true or false", "Write true or false, without quotes")
        return False

    def one_of(self, words: Sequence[str]) -> str | None:
        value = self.located.value
        if isinstance(value, str) and value in words:
            return value
        near = nearest(value, words) if isinstance(value, str) else ""
        remedy = f"Did you mean {near}?" if near else "Write one of them"
        self.mistyped(f"one of {', '.join(words)}", remedy)
        return None

    def items(self, remedy: str, *, empty: str = "") -> "list[Field]":
        """Of a list. ``empty``: what an empty one is to be told; "" if it may be."""
        value = self.located.value
        if not isinstance(value, list):
            self.mistyped("a list", remedy)
            return []
        if empty and not value:
            self.wrong("is empty", empty)
        return [
            Field(item, f"{self.path}[{index}]", self.problems) for index, item in enumerate(value)
        ]

    def texts(self, remedy: str, *, empty: str = "", twice: str = "") -> tuple[str, ...]:
        """Of a list of texts. ``twice``: what to do about one that is there already."""
        found: dict[str, None] = {}
        for item in self.items(remedy, empty=empty):
            text = item.text()
            if twice and text and text in found:
                item.wrong(f"{shown(text)} is there already", twice)
            found[text] = None
        return tuple(found)

    def members(self, remedy: str) -> "dict[str, Field]":
        """Of an object, by key."""
        value = self.located.value
        if not isinstance(value, dict):
            self.mistyped("an object", remedy)
            return {}
        return {
            key: Field(member, below(self.path, key), self.problems)
            for key, member in value.items()
        }

    def known(
        self, keys: Sequence[str], whose: str, remedy: str, needs: Iterable[tuple[str, str]] = ()
    ) -> "dict[str, Field]":
        """Of an object that has only these keys. ``needs``: keys that it must have, each with
        what to write."""
        found = self.members(remedy)
        meant = set()
        for key in [key for key in found if key not in keys]:
            near = nearest(key, keys)
            meant.add(near)
            found.pop(key).wrong(
                f"{clipped(key)!r} is no key of {whose}",
                f"Did you mean {near}?" if near else f"It may have {', '.join(keys)}",
                self.located.keys.get(key),
            )
        if isinstance(self.located.value, dict):
            for key, write in needs:
                if key not in found and key not in meant:
                    self._replace(path=below(self.path, key)).wrong("is missing", write)
        return found


def nearest(word: str, words: Iterable[str]) -> str:
    """The one that was probably meant; "" when nothing is near."""
    near = difflib.get_close_matches(word[:80], words, n=1)
    return near[0] if near else ""


def _quotes(value: object) -> str:
    return "Put it in quotes" if isinstance(value, (bool, int, float)) else "Write a text"
