"""How a job travels to another process: as the place it is imported from, and what JSON can carry.

A class that was made on the fly is no part of any module. It travels as the class it was made
from, its name, and its own attributes.
"""

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headway.errors import DefinitionError
from headway.jobs.job import Job
from headway.jobs.shared import encode
from headway.releases.compiling import HostedJob

# Of classes in general, or known from the job's rules, which travel by themselves.
_LEFT = frozenset(
    "__module__ __doc__ __qualname__ __dict__ __weakref__ __firstlineno__ __static_attributes__"
    " DEPS TRIES RETRY_DELAY TIMEOUT BACKOFF ON_LOST TAGS QUEUE".split()
)


def described(definition: Any) -> dict[str, Any]:
    """A definition as JSON values. Raises: DefinitionError for one that cannot travel."""
    if isinstance(definition, HostedJob):
        return {**described(definition.job), "host": definition.host}
    if not isinstance(definition, type):
        raise DefinitionError(f"{definition!r} is no job class: it cannot go to a Celery worker")
    made: list[Any] = []
    cls = definition
    while not _is_imported(cls):
        made.insert(0, [cls.__name__, _attributes(cls)])
        cls = _made_from(cls)
    return {"module": _module(cls), "class": cls.__qualname__, "made": made}


def definition_of(parts: Mapping[str, Any], worker: str) -> Any:
    """What ``described`` described, imported here. Raises: DefinitionError.

    ``worker``: what the Celery worker is called, for errors.
    """
    cls = _imported(parts["module"], parts["class"], worker)
    for name, attributes in parts["made"]:
        cls = type(name, (cls,), attributes)
    if "host" in parts:
        return HostedJob(cls, parts["host"], cls.__name__)
    return cls


def _is_imported(cls: type) -> bool:
    found: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is cls


def _made_from(cls: type) -> type:
    if len(cls.__bases__) == 1:
        return cls.__bases__[0]
    raise DefinitionError(
        f"{cls.__name__} was made on the fly from {len(cls.__bases__)} classes: make it from one,"
        " which a Celery worker can import"
    )


def _attributes(cls: type) -> dict[str, Any]:
    found = {name: value for name, value in vars(cls).items() if name not in _LEFT}
    for name, value in found.items():
        try:
            encode(name, value)
        except ValueError:
            raise DefinitionError(
                f"{cls.__name__}.{name} is a {type(value).__name__}, and {cls.__name__} was made"
                " on the fly: to Celery workers such a class takes along only what JSON can carry."
                f" Put {name} into a class at the top of a module, and make {cls.__name__} from it"
            ) from None
    return found


def _module(cls: type) -> str:
    """What others import it by. A target's file has a name of its own here."""
    name = cls.__module__
    if name.startswith("headway_target_") or name == "__main__":
        file = getattr(sys.modules[name], "__file__", None)
        return _module_of(Path(file).absolute()) if file else name
    return name


def _module_of(file: Path) -> str:
    """A file in a package is a module of that."""
    names = [file.stem]
    place = file.parent
    while (place / "__init__.py").exists():
        names.insert(0, place.name)
        place = place.parent
    return ".".join(names)


def _imported(module: str, name: str, worker: str) -> type[Job]:
    # Celery finds its app in the working directory and leaves that off the path; so jobs beside
    # the app would not be found, nor what they import themselves, later.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # a script leaves when it is through
        raise DefinitionError(
            f"the Celery worker {worker} cannot import {module}, where {name} is"
            f" ({type(error).__name__}: {error}): have the module where the worker is, and start"
            " the worker again"
        ) from error
    for part in name.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, Job)):
        raise DefinitionError(
            f"{module} has no job class {name} on the Celery worker {worker}: have the same code"
            " there, and start the worker again"
        )
    return found
