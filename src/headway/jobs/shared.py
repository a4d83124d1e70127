"""Storage that the jobs of a run share, which knows what was touched.

What a phase changed is journalled with its end. Comparing the whole dictionary after every
phase would cost the square of the number of jobs, so the dictionary notes the keys that were
set, deleted or read (a value that was read may have been changed in place), by thread, and
only those are compared.

What it cannot see: a value that two keys or two jobs hold at once and that is changed in place
by one who did not ask the dictionary for it in this try.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

_MISSING = object()
_PLAIN = (str, int, float, bool, type(None))


class Changes(NamedTuple):
    """What a phase did to a storage: enough to do the same to another."""

    set: dict[str, Any]  # key to value, all values JSON can carry
    deleted: tuple[str, ...] = ()
    opaque: dict[str, str] = {}  # keys whose value JSON cannot carry, to the value's type


class _Opaque(NamedTuple):
    """Stands for the text of a value that JSON cannot carry: such a value is only told anew when
    another takes its place."""

    value: Any


class SharedStorage(dict[Any, Any]):
    """A dictionary that remembers which keys were touched by which thread."""

    def __init__(self, thread: Callable[[], int], values: Iterable[tuple[Any, Any]] = ()) -> None:
        """``thread`` says which thread asks (an integer). ``values`` count as told."""
        super().__init__(values)
        self._thread = thread
        # By thread. Nobody else's touch may take a thread's from it: whose try ends first tells.
        self._touched: dict[int, dict[Any, None]] = {}
        # What was last told of each key: its value as JSON text, so that a change in place is seen.
        self._told = {key: _looked_at(key, value)[0] for key, value in super().items()}

    def _touch(self, key: Any) -> None:
        me = self._thread()
        mine = self._touched.get(me)
        if mine is None:
            mine = self._touched[me] = {}
        mine[key] = None

    def _touch_all(self) -> None:
        for key, value in list(super().items()):
            if type(value) not in _PLAIN:
                self._touch(key)

    def __getitem__(self, key: Any) -> Any:
        value = super().__getitem__(key)
        if type(value) not in _PLAIN:
            self._touch(key)
        return value

    def __iter__(self) -> Iterator[Any]:
        # Written out so that copies (dict(storage), {**storage}, |) ask __getitem__ for the values.
        return super().__iter__()

    def get(self, key: Any, default: Any = None) -> Any:
        value = super().get(key, _MISSING)
        if value is _MISSING:
            return default
        if type(value) not in _PLAIN:
            self._touch(key)
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        self._touch(key)
        super().__setitem__(key, value)

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self._touch(key)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        # One step, as a dictionary's: jobs in threads set up what they share in this way.
        value = super().setdefault(key, default)
        self._touch(key)
        return value

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
        copy = SharedStorage(lambda: 0)
        dict.update(copy, super().items())
        copy._told = dict(self._told)
        return copy

    def changes(self, *, goes_on: bool = False) -> Changes | None:
        """What this thread's touches changed since it was last asked; None for nothing.

        ``goes_on``: the try that touched is not over, and may still hold what it was given.
        """
        mine = self._touched.pop(self._thread(), None)
        if not mine:
            return None
        changes = Changes({}, (), {})
        deleted = []
        for key in mine:
            value = super().get(key, _MISSING)
            if value is _MISSING:
                if self._told.pop(key, None) is not None:
                    deleted.append(str(key))
                continue
            if goes_on and type(value) not in _PLAIN:
                self._touch(key)
            look, copy = _looked_at(key, value)
            told = self._told.get(key)
            self._told[key] = look
            if isinstance(look, _Opaque):
                if not isinstance(told, _Opaque) or told.value is not value:
                    changes.opaque[str(key)] = _kind(key, value)
            elif told != look:
                changes.set[key] = copy
        changes = changes._replace(deleted=tuple(deleted))
        return changes if any(changes) else None

    def apply(self, changes: Changes) -> None:
        """Do what another phase did, elsewhere or earlier."""
        for key, value in changes.set.items():
            super().__setitem__(key, value)
            self._told[key] = encode(key, value)
        # A value that could not be carried is not here: what it took the place of is not it.
        for key in (*changes.deleted, *changes.opaque):
            super().pop(key, None)
            self._told.pop(key, None)


def encode(key: Any, value: Any) -> str:
    """A value as JSON text. Raises: ValueError when reading it back gives something else."""
    return _carried(key, value)[0]


def _carried(key: Any, value: Any) -> tuple[str, Any]:
    """A value as JSON text, and one equal to it that nobody else holds. Raises: ValueError."""
    if not isinstance(key, str):
        raise ValueError(f"the key {key!r} is not text")
    try:
        text = json.dumps(value, allow_nan=False)
        copy = value if type(value) in _PLAIN else json.loads(text)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{key!r} holds what JSON cannot carry") from error
    if copy != value:
        raise ValueError(f"{key!r} holds what JSON changes")
    return text, copy


def _looked_at(key: Any, value: Any) -> tuple[str | _Opaque, Any]:
    try:
        return _carried(key, value)
    except ValueError:
        return _Opaque(value), None


def portable(storage: dict[Any, Any]) -> Changes:
    """All of a plain storage, as changes to an empty one."""
    changes = Changes({}, (), {})
    for key, value in storage.items():
        look, copy = _looked_at(key, value)
        if isinstance(look, _Opaque):
            changes.opaque[str(key)] = _kind(key, value)
        else:
            changes.set[key] = copy
    return changes


def _kind(key: Any, value: Any) -> str:
    """What stands in the way of JSON, for a reader: the value's type, or the key's."""
    kind = type(value).__name__
    return kind if isinstance(key, str) else f"{kind} under a key that is no text but {key!r}"
