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
        self._touched: dict[Any, int] = {}
        # What was last told of each key, as JSON text, so that a change in place is seen.
        self._told: dict[Any, str] = {}

    def _touch(self, key: Any) -> None:
        self._touched[key] = self._thread()

    def _touch_all(self) -> None:
        me = self._thread()
        for key, value in super().items():
            if type(value) not in _PLAIN:
                self._touched[key] = me

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
        if not self._touched:
            return None
        me = self._thread()
        mine = [key for key, thread in list(self._touched.items()) if thread == me]
        changes = Changes({}, (), {})
        deleted = []
        for key in mine:
            self._touched.pop(key, None)
            value = super().get(key, _MISSING)
            if value is _MISSING:
                self._told.pop(key, None)
                if isinstance(key, str):  # no other was ever told
                    deleted.append(key)
                continue
            try:
                text = encode(key, value)
            except ValueError:
                self._told.pop(key, None)
                changes.opaque[str(key)] = _kind(key, value)
                continue
            if self._told.get(key) != text:
                self._told[key] = text
                changes.set[key] = _copy(value, text)
        changes = changes._replace(deleted=tuple(deleted))
        return changes if any(changes) else None

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
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{key!r} holds what JSON cannot carry") from error
    return text


def portable(storage: dict[Any, Any]) -> Changes | None:
    """All of a plain storage, as changes to an empty one; None when it is empty."""
    if not storage:
        return None
    changes = Changes({}, (), {})
    for key, value in storage.items():
        try:
            changes.set[key] = _copy(value, encode(key, value))
        except ValueError:
            changes.opaque[str(key)] = _kind(key, value)
    return changes


def _copy(value: Any, text: str) -> Any:
    """The value, as it was when the text was made: another job may be changing it in place."""
    return value if type(value) in _PLAIN else json.loads(text)


def _kind(key: Any, value: Any) -> str:
    """What stands in the way of JSON, for a reader: the value's type, or the key's."""
    kind = type(value).__name__
    return kind if isinstance(key, str) else f"{kind} under a key that is no text but {key!r}"
