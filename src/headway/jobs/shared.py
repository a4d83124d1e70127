"""Storage that the jobs of a run share, which knows what was touched.

What a phase changed is journalled with its end. Comparing the whole dictionary after every
phase would cost the square of the number of jobs, so the dictionary notes the keys that were
set, deleted or read (a value that was read may have been changed in place), by thread, and
only those are compared.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

_MISSING = object()
_PLAIN = (str, int, float, bool, type(None))


class Changes(NamedTuple):
    """What a phase did to a storage: enough to do the same to another."""

    set: dict[str, Any]  # key to value, all values JSON can carry
    deleted: tuple[str, ...] = ()
    opaque: dict[str, str] = {}  # keys whose value JSON cannot carry, to the value's type


class SharedStorage(dict[Any, Any]):
    """A dictionary that remembers which keys were touched by which thread."""

    def __init__(self, thread: Callable[[], int], values: Iterable[tuple[Any, Any]] = ()) -> None:
        """``thread`` says which thread asks (an integer)."""
        super().__init__(values)
        self._thread = thread
        # By thread, the keys it touched, in that order. Two threads may touch one key: each tells
        # of it at its own end, and only what nobody has told yet is a change.
        self._touched: dict[int, dict[Any, None]] = {}
        # What was last told of each key, as JSON text, so that a change in place is seen; or the
        # value itself, where JSON cannot carry it.
        self._told: dict[Any, Any] = {}

    def _touch(self, key: Any) -> None:
        self._touched.setdefault(self._thread(), {})[key] = None

    def _touch_all(self) -> None:
        mine = self._touched.setdefault(self._thread(), {})
        for key, value in list(super().items()):
            if type(value) not in _PLAIN:
                mine[key] = None

    def __getitem__(self, key: Any) -> Any:
        value = super().__getitem__(key)
        if type(value) not in _PLAIN:
            self._touch(key)
        return value

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key] if key in self else default

    def __setitem__(self, key: Any, value: Any) -> None:
        self._touch(key)
        super().__setitem__(key, value)

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self._touch(key)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: Any, *default: Any) -> Any:
        self._touch(key)
        return super().pop(key, *default)

    def popitem(self) -> tuple[Any, Any]:
        key, value = super().popitem()
        self._touch(key)
        return key, value

    def update(self, *args: Any, **kwargs: Any) -> None:
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __ior__(self, other: Any) -> "SharedStorage":  # type: ignore[misc]
        self.update(other)
        return self

    def clear(self) -> None:
        for key in list(self):
            del self[key]

    def values(self) -> Any:
        self._touch_all()
        return super().values()

    def items(self) -> Any:
        self._touch_all()
        return super().items()

    def alone(self) -> "SharedStorage":
        """A copy for a process that carries out one try: every touch there is the try's."""
        copy = SharedStorage(lambda: 0, super().items())
        copy._told = dict(self._told)
        return copy

    def changes(self) -> Changes | None:
        """What this thread's touches changed since it was last asked; None for nothing."""
        mine = self._touched.pop(self._thread(), None) if self._touched else None
        if not mine:
            return None
        changed: dict[str, Any] = {}
        deleted: list[str] = []
        opaque: dict[str, str] = {}
        for key in mine:
            value = super().get(key, _MISSING)
            if value is _MISSING:
                if self._told.pop(key, _MISSING) is not _MISSING:
                    deleted.append(str(key))
                continue
            told = self._told.get(key, _MISSING)
            try:
                text = encode(key, value)
            except ValueError:
                # One that was only read, perhaps changed in place, is not set anew by that.
                if told is not value:
                    self._told[key] = value
                    opaque[str(key)] = _kind(key, value)
                continue
            if type(told) is not str or told != text:
                self._told[key] = text
                # A copy: the value may be changed again before this is written.
                changed[key] = value if type(value) in _PLAIN else json.loads(text)
        return Changes(changed, tuple(deleted), opaque) if changed or deleted or opaque else None

    def apply(self, changes: Changes) -> None:
        """Do what another phase did, elsewhere or earlier."""
        for key, value in changes.set.items():
            super().__setitem__(key, value)
            self._told[key] = encode(key, value)
        for key in changes.deleted:
            super().pop(key, None)
            self._told.pop(key, None)


def encode(key: Any, value: Any) -> str:
    """A value as JSON text. Raises: ValueError when reading it back gives something else."""
    if not isinstance(key, str):
        raise ValueError(f"the key {key!r} is not text")
    try:
        text = json.dumps(value, allow_nan=False)
        if type(value) not in _PLAIN and json.loads(text) != value:
            raise ValueError(f"{key!r} holds what JSON changes")
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{key!r} holds what JSON cannot carry") from error
    return text


def portable(storage: dict[Any, Any]) -> Changes:
    """All of a plain storage, as changes to an empty one."""
    changes = Changes({}, (), {})
    for key, value in storage.items():
        try:
            encode(key, value)
        except ValueError:
            changes.opaque[str(key)] = _kind(key, value)
        else:
            changes.set[key] = value
    return changes


def _kind(key: Any, value: Any) -> str:
    """What stands in the way of JSON, for a reader: the value's type, or the key's."""
    kind = type(value).__name__
    return kind if isinstance(key, str) else f"{kind} under a key that is no text but {key!r}"
