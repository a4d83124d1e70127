"""Finds what a TARGET names: ``file.py[:Root]`` or ``package.module:Root``.

Root is a job class, or a function that is given the inputs as keywords and returns one. Without
a Root: the file's ``plan`` function, its ``ROOT``, or the only public job class it defines that
no other needs and none derives from.
"""

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from headway.errors import DefinitionError, HeadwayError
from headway.jobs.compiling import compile_jobs
from headway.jobs.job import Job
from headway.jobs.plan import Plan, Policy
from headway.runtime.arguments import require_accepted


class UnknownTarget(DefinitionError):
    """What was named is not there, or could be several things: name another."""


class Loaded(NamedTuple):
    """A target, compiled."""

    target: str
    plan: Plan
    definitions: Sequence[Any]
    inputs: Mapping[str, Any]


def load(target: str, inputs: Mapping[str, Any], policy: Policy | None = None) -> Loaded:
    """Load a target and compile its plan.

    Raises: DefinitionError saying what is wrong, UnknownTarget also what to type instead.
    """
    place, _, name = target.partition(":")
    if place.endswith((".yaml", ".yml", ".json")):
        raise UnknownTarget(
            f"{place} looks like a playbook; this Headway carries out job files only (file.py)"
        )
    module = load_module(place, target)
    root = _named(module, name, place) if name else _found(module, place)
    if inspect.isfunction(root) or (callable(root) and not isinstance(root, type)):
        root = _returned(root, inputs, target)
    plan, definitions, looks = compile_jobs(root, policy)
    require_accepted(looks, (), inputs)
    return Loaded(target, plan, definitions, inputs)


def load_module(place: str, target: str) -> ModuleType:
    """A module by its file or its name. Raises: DefinitionError, UnknownTarget."""
    if place.endswith(".py") or os.sep in place:
        return _from_file(Path(place))
    if Path(place + ".py").is_file() or Path(place).exists():
        raise UnknownTarget(f"there is no target {target!r}. Did you mean {place}.py?")
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and not f"{place}.".startswith(f"{error.name}."):
            raise _broken(place, error) from error
        raise UnknownTarget(
            f"there is no module {place!r}: a target is file.py[:Root] or package.module:Root"
        ) from error
    except (Exception, SystemExit) as error:
        raise _broken(place, error) from error
    finally:
        sys.path.remove(os.getcwd())


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UnknownTarget(f"there is no file {path}: a target is file.py[:Root]")
    directory = str(path.resolve().parent)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    # A name of its own: the file may be called like a module that somebody imports.
    name = f"headway_target_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise DefinitionError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _broken(str(path), error) from error
    return module


def _broken(place: str, error: BaseException) -> DefinitionError:
    where = f"{place}{_line(place, error)}"
    if isinstance(error, SystemExit):
        return DefinitionError(
            f"{where} ended the program when it was loaded: put what is not to happen then"
            ' under if __name__ == "__main__":'
        )
    return DefinitionError(f"{where} cannot be loaded: {type(error).__name__}: {error}")


def _line(place: str, error: BaseException) -> str:
    """Where in the file it happened."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f", line {error.lineno}"
    line = ""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(os.path.basename(place)):
            line = f", line {trace.tb_lineno}"
        trace = trace.tb_next
    return line


def _named(module: ModuleType, name: str, place: str) -> Any:
    root: Any = module
    for part in name.split("."):
        root = getattr(root, part, None)
    if root is None or not (callable(root) or hasattr(root, "plan_node")):
        candidates = [cls.__name__ for cls in _jobs_of(module)]
        raise UnknownTarget(
            f"{place} defines no job or function {name!r}."
            + (f" It defines: {', '.join(candidates)}." if candidates else "")
        )
    return root


def _found(module: ModuleType, place: str) -> Any:
    function = getattr(module, "plan", None)
    if inspect.isfunction(function) and function.__module__ == module.__name__:
        return function
    root = getattr(module, "ROOT", None)
    if root is not None:
        return root
    jobs = _jobs_of(module)
    needed: set[Any] = set()
    for job in jobs:
        if isinstance(job.DEPS, Iterable) and not isinstance(job.DEPS, (str, type)):
            needed.update(job.DEPS)
        needed.update(job.__mro__[1:])
    roots = [job for job in jobs if job not in needed]
    if len(roots) == 1:
        return roots[0]
    if not jobs:
        raise UnknownTarget(
            f"{place} defines no job: derive a class from headway.Job, or define"
            " plan(**inputs) that returns the root job"
        )
    if not roots:
        names = ", ".join(job.__name__ for job in jobs)
        raise UnknownTarget(
            f"{place} has no root: each of its jobs is needed by another ({names})."
            f" Name the one you want: {place}:{jobs[-1].__name__}"
        )
    lines = "\n".join(f"  {place}:{job.__name__}" for job in roots)
    raise UnknownTarget(
        f"{place} has {len(roots)} jobs that nothing needs. Say which is the root:\n{lines}"
    )


def _jobs_of(module: ModuleType) -> list[type[Job]]:
    """The public job classes that a module itself defines, in its order."""
    return [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Job)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]


def _returned(function: Any, inputs: Mapping[str, Any], target: str) -> Any:
    name = getattr(function, "__name__", repr(function))
    signature = inspect.signature(function)
    try:
        signature.bind(**inputs)
    except TypeError as error:
        raise DefinitionError(
            f"{name}{signature} of {target} cannot take these inputs"
            f" ({', '.join(inputs) or 'none'}): {error}. Give them with --set name=value."
        ) from None
    try:
        root = function(**inputs)
    except HeadwayError:
        raise
    except Exception as error:
        place = target.partition(":")[0]
        raise DefinitionError(
            f"{name}() of {place}{_line(place, error)} failed: {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(root, type) and issubclass(root, Job)) and not hasattr(root, "plan_node"):
        raise DefinitionError(
            f"{name}() of {target} returned {root!r}: it must return the root job class"
        )
    return root
