"""Reads an object of JSON key by key: a configuration, or the parameters of a step.

Every error names the key and says what it must be.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headway.errors import DefinitionError

_LONGEST_SHOWN = 60
_NEEDED: Any = object()
Error = type[Exception]


class StepFailed(Exception):
    """A step comes to nothing; its text, a sentence, is what the answer says."""

    def __init__(self, why: str, **more: Any) -> None:
        super().__init__(why)
        self.more = more  # keys of the answer besides status and data


class Keys:
    """One object. ``place`` is how errors call it: ``the configuration``, ``the step``."""

    def __init__(self, values: Mapping[str, Any], place: str, error: Error) -> None:
        self.values = values
        self.place = place
        self.error = error
        self._read: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def text(
        self,
        key: str,
        default: Any = _NEEDED,
        *,
        pattern: str = r"(?s:.+)",
        wanted: str = "a text that is not empty",
        secret: bool = False,
    ) -> str:
        """A text that the pattern matches from end to end."""
        value = self._value(key, default, wanted)
        if value is default:
            return str(value)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise self.wrong(key, wanted, secret=secret)
        return value

    def texts(
        self, key: str, default: Any = _NEEDED, *, wanted: str = "a list of texts"
    ) -> Sequence[str]:
        value = self._value(key, default, wanted)
        if not isinstance(value, (list, tuple)) or not all(isinstance(x, str) for x in value):
            raise self.wrong(key, wanted)
        return tuple(value)

    def number(
        self, key: str, default: Any = _NEEDED, *, least: float = 0, most: float, unit: str = ""
    ) -> float:
        """Also from a text that holds one."""
        wanted = f"a number from {least:g} to {most:g}{unit and ' ' + unit}"
        value = self._value(key, default, wanted)
        if value is default and isinstance(value, (int, float)):
            return float(value)
        number = _number(value)
        if number is None or not least <= number <= most:
            raise self.wrong(key, wanted)
        return number

    def whole(
        self, key: str, default: Any = _NEEDED, *, least: int, most: int, unit: str = ""
    ) -> int:
        """Also from a text that holds one."""
        wanted = f"a whole number from {least} to {most}{unit and ' ' + unit}"
        value = self._value(key, default, wanted)
        if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(key, wanted)
        return value

    def yes_no(self, key: str, default: Any = _NEEDED) -> bool:
        value = self._value(key, default, "true or false")
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def choice(self, key: str, among: Sequence[str], default: Any = _NEEDED) -> str:
        wanted = _listed(among)
        value = self._value(key, default, wanted)
        if value is default:
            return str(value)
        if value not in among:
            raise self.wrong(key, wanted)
        return str(value)

    def section(self, key: str, default: Any = _NEEDED, *, wanted: str = "an object") -> "Keys":
        value = self._value(key, default, wanted)
        if not isinstance(value, Mapping):
            raise self.wrong(key, wanted)
        return Keys(value, f"{key!r} of {self.place}", self.error)

    def sections(self) -> Iterator[tuple[str, "Keys"]]:
        """Each key of the object, whose value must be an object."""
        for key in self.values:
            yield key, self.section(key)

    def anything(self, key: str) -> Any:
        """Whatever is there."""
        return self._value(key, _NEEDED, "any value")

    def none_left(self, *, passed: Sequence[str] = ()) -> None:
        """Refuse what nobody has read: a key mistyped would be a key ignored."""
        known = sorted(self._read)
        for key in self.values:
            if key not in self._read and key not in passed:
                takes = f"it may have {', '.join(known)}" if known else "it takes none"
                raise self.error(f"{self.place} has a key {_shown(key)}: {takes}")

    def wrong(self, key: str, wanted: str, *, secret: bool = False) -> Exception:
        is_ = "" if secret else f" is {_shown(self.values.get(key))}: it"
        return self.error(f"{key!r} of {self.place}{is_} must be {wanted}")

    def _value(self, key: str, default: Any, wanted: str) -> Any:
        self._read.add(key)
        if key in self.values:
            return self.values[key]
        if default is _NEEDED:
            raise self.error(f"{self.place} lacks {key!r}: it must be {wanted}")
        return default


#: Of any worker's configuration: what the worker library reads.
LIBRARY_KEYS = ("queue", "bindings", "OUTPUT_LEVEL", "STOP_LIMIT_S")


def configuration(values: Mapping[str, Any], file: str | None) -> Keys:
    """Errors are DefinitionErrors."""
    place = f"the configuration {file}" if file else "the configuration, a JSON file given by -w,"
    return Keys(values, place, DefinitionError)


def parameters(values: Mapping[str, Any], place: str) -> Keys:
    """Errors are StepFailed."""
    return Keys(values, place, StepFailed)


def compiled(keys: Keys, key: str, pattern: str) -> "re.Pattern[str]":
    """A regular expression that a configuration holds."""
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        wanted = f"a regular expression of Python's; this one is not: {error}"
        raise keys.wrong(key, wanted) from None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?[0-9.]+([eE][+-]?[0-9]+)?\s*", value):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def _listed(words: Sequence[str]) -> str:
    *others, last = [repr(word) for word in words]
    return f"{', '.join(others)} or {last}" if others else last
