"""What a value in a message may look like: each shape reads, and says its JSON Schema."""

import re
from collections.abc import Mapping
from typing import Any, Protocol

from headway.errors import WireError


class Shape(Protocol):
    def read(self, value: Any, place: str) -> Any:
        """The value, if it has the shape. Raises: WireError that names the place."""

    def schema(self) -> dict[str, Any]: ...


class Anything:
    """Any JSON value."""

    def read(self, value: Any, place: str) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {}


class Text:
    def __init__(self, *, longest: int | None = None, pattern: str | None = None) -> None:
        self._longest = longest
        self._pattern = pattern

    def read(self, value: Any, place: str) -> str:
        if not isinstance(value, str):
            raise mistyped(value, place, "a text")
        if self._longest is not None and len(value) > self._longest:
            raise WireError(f"{place} has {len(value)} characters: at most {self._longest}")
        if self._pattern is not None and not re.fullmatch(self._pattern, value, re.ASCII):
            raise WireError(f"{place} is {shown(value)}: it must match {self._pattern}")
        return value

    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "string"}
        if self._longest is not None:
            found["maxLength"] = self._longest
        if self._pattern is not None:
            found["pattern"] = f"^{self._pattern}$"
        return found


class Choice:
    """One of some words."""

    def __init__(self, *words: str) -> None:
        self._words = words

    def read(self, value: Any, place: str) -> str:
        if not isinstance(value, str) or value not in self._words:
            raise WireError(f"{place} is {shown(value)}: it must be {_or(self._words)}")
        return value

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self._words)}


class Whole:
    """A whole number, 0 or more."""

    def __init__(self, *, most: int = (1 << 63) - 1) -> None:
        self._most = most

    def read(self, value: Any, place: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= self._most:
            limit = "" if self._most == (1 << 63) - 1 else f" to {self._most}"
            raise mistyped(value, place, f"a whole number from 0{limit}")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": 0, "maximum": self._most}


class YesNo:
    def read(self, value: Any, place: str) -> bool:
        if not isinstance(value, bool):
            raise mistyped(value, place, "true or false")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


class OrNull:
    def __init__(self, of: Shape) -> None:
        self._of = of

    def read(self, value: Any, place: str) -> Any:
        return None if value is None else self._of.read(value, place)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self._of.schema(), {"type": "null"}]}


class ListOf:
    def __init__(self, of: Shape) -> None:
        self._of = of

    def read(self, value: Any, place: str) -> list[Any]:
        if not isinstance(value, list):
            raise mistyped(value, place, "a list")
        return [self._of.read(item, f"{place}[{i}]") for i, item in enumerate(value)]

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self._of.schema()}


class MapOf:
    """An object with values of one shape; with ``keys``, no other keys."""

    def __init__(self, of: Shape, *keys: str) -> None:
        self._of = of
        self._keys = keys

    def read(self, value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise mistyped(value, place, "an object")
        for key in value:
            if self._keys and key not in self._keys:
                raise WireError(f"{place} has a key {shown(key)}: it may have {_or(self._keys)}")
        return {key: self._of.read(item, f"{place}.{key[:80]}") for key, item in value.items()}

    def schema(self) -> dict[str, Any]:
        if not self._keys:
            return {"type": "object", "additionalProperties": self._of.schema()}
        properties = {key: self._of.schema() for key in self._keys}
        return {"type": "object", "properties": properties, "additionalProperties": False}


def mistyped(value: Any, place: str, wanted: str) -> WireError:
    return WireError(f"{place} is {shown(value)}: it must be {wanted}")


def shown(value: Any) -> str:
    """A value for an error's text: what kind of thing, and no more of it than fits."""
    match value:
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return repr(value if len(value) <= 40 else value[:40] + "…")
        case int() | float():
            text = str(value)
            return text if len(text) <= 24 else text[:24] + "…"
        case list():
            return "a list"
        case Mapping():
            return "an object"
        case _:
            return f"a {type(value).__name__}"


def _or(words: tuple[str, ...]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
