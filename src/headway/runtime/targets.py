"""Finds what a TARGET names: ``file.py[:Root]``, ``package.module:Root``, a playbook's file or a
stored playbook, ``playbook:ID[@VERSION]``.

Root is a job class, or a function that is given the inputs as keywords and returns one. Without
a Root: the file's ``plan`` function, its ``ROOT``, or the only public job class it defines that
no other needs and none derives from.
"""

import inspect
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from headway.errors import DefinitionError, HeadwayError
from headway.jobs.compiling import compile_jobs
from headway.jobs.job import Job
from headway.jobs.plan import Policy
from headway.ports.playbooks import STORED, Playbooks
from headway.releases.surroundings import NOTHING, Surroundings
from headway.runtime.arguments import require_accepted
from headway.runtime.loading import Loaded, UnknownTarget, line_of, load_module


def load(
    target: str,
    inputs: Mapping[str, Any],
    changes: Mapping[str, Any] | None = None,
    surroundings: Surroundings = NOTHING,
    *,
    to_look_at: bool = False,
    stored: Playbooks | None = None,
) -> Loaded:
    """Load a target and compile its plan.

    ``changes``: fields of the policy that are to be others. ``surroundings``: of a playbook.
    ``to_look_at``: it is not going to be carried out, and a playbook's inputs may be missing.
    ``stored``: where stored playbooks are.

    Raises: DefinitionError saying what is wrong, UnknownTarget also what to type instead.
    """
    changes = changes or {}
    if stored is not None and target.startswith(STORED):
        from headway.runtime.stored_playbooks import load_stored

        return load_stored(stored, target, inputs, changes, surroundings, to_look_at=to_look_at)
    if is_playbook(target):
        from headway.runtime.playbooks import load_playbook

        return load_playbook(target, inputs, changes, surroundings, to_look_at=to_look_at)
    place, _, name = target.partition(":")
    module = load_module(place, target)
    root = _named(module, name, place) if name else _found(module, place)
    if inspect.isfunction(root) or (callable(root) and not isinstance(root, type)):
        root = _returned(root, inputs, target)
    plan, definitions, looks = compile_jobs(root, Policy(**changes))
    require_accepted(looks, (), inputs)
    return Loaded(target, plan, definitions, inputs)


def is_playbook(target: str) -> bool:
    """Whether it names a playbook, not jobs, if it names anything."""
    return target.startswith(STORED) or target.lower().endswith((".yaml", ".yml", ".json"))


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
            f"{name}() of {place}{line_of(place, error)} failed: {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(root, type) and issubclass(root, Job)) and not hasattr(root, "plan_node"):
        raise DefinitionError(
            f"{name}() of {target} returned {root!r}: it must return the root job class"
        )
    return root
