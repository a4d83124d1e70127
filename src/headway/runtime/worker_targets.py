"""Finds the worker class that a TARGET names: ``file.py[:Class]`` or ``package.module:Class``."""

from types import ModuleType

from headway.errors import DefinitionError
from headway.runtime.loading import UnknownTarget, load_module
from headway.runtime.worker import Worker


def load_worker(target: str) -> type[Worker]:
    """The class; without a name, the only one that the module defines.

    Raises: DefinitionError, UnknownTarget with what to type instead.
    """
    place, _, name = target.partition(":")
    try:
        module = load_module(place, target)
    except UnknownTarget as error:
        raise UnknownTarget(
            f"there is no worker {target!r}: name it FILE.py:Class or package.module:Class"
        ) from error
    if not name:
        return _only_one(module, place)
    found = getattr(module, name, None)
    if found is None:
        defined = ", ".join(one.__name__ for one in _workers_of(module)) or "no worker"
        raise UnknownTarget(f"{place} has no {name!r}: it defines {defined}")
    if not (isinstance(found, type) and issubclass(found, Worker)):
        raise DefinitionError(f"{target} is no worker: derive it from reworker.worker.Worker")
    return found


def _only_one(module: ModuleType, place: str) -> type[Worker]:
    found = _workers_of(module)
    if not found:
        raise UnknownTarget(
            f"{place} defines no worker: derive a class from reworker.worker.Worker"
        )
    if len(found) > 1:
        lines = "\n".join(f"  {place}:{one.__name__}" for one in found)
        raise UnknownTarget(f"{place} defines several workers. Say which:\n{lines}")
    return found[0]


def _workers_of(module: ModuleType) -> list[type[Worker]]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Worker)
        and value.__module__ == module.__name__
    ]
