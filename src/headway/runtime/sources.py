"""Fingerprints of jobs' code, to tell at a resume what was changed since."""

import hashlib
import json
from collections.abc import Sequence
from types import CodeType
from typing import Any

from headway.releases.compiling import HostedJob
from headway.releases.steps import StepNode

_PHASES = frozenset(("Check", "Run", "Cleanup", "Diff"))


def fingerprints(definitions: Sequence[Any]) -> list[str]:
    """By key: a fingerprint of the code of each job's methods, its base classes' included; of a
    step, of what it sends.

    Made from compiled code: comments, blank lines and moved lines change nothing. Comparable
    only within one minor version of Python.
    """
    by_class: dict[type, str] = {}
    found = []
    for definition in definitions:
        if isinstance(definition, HostedJob):
            definition = definition.job
        if isinstance(definition, StepNode):
            found.append(_fingerprint_of_step(definition))
            continue
        if not isinstance(definition, type):
            found.append("")
            continue
        bases = definition.__bases__
        if len(bases) == 1 and _PHASES.isdisjoint(definition.__dict__):
            # Made on the fly from another class: its code is that class's.
            definition = bases[0]
        known = by_class.get(definition)
        if known is None:
            known = by_class[definition] = _fingerprint(definition)
        found.append(known)
    return found


def _fingerprint_of_step(step: StepNode) -> str:
    calls = [call and call._asdict() for call in (step.check, step.run, step.cleanup)]
    return hashlib.sha256(json.dumps(calls, sort_keys=True).encode()).hexdigest()[:12]


def _fingerprint(cls: type) -> str:
    digest = hashlib.sha256()
    for owner in cls.__mro__:
        if owner.__module__.partition(".")[0] in ("headway", "builtins"):
            continue
        for name, value in sorted(vars(owner).items()):
            code = getattr(value, "__code__", None)
            if isinstance(code, CodeType):
                digest.update(name.encode())
                _feed(digest, code)
    return digest.hexdigest()[:12]


def _feed(digest: Any, code: CodeType) -> None:
    digest.update(code.co_code)
    digest.update(repr(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _feed(digest, constant)
        else:
            digest.update(repr(constant).encode())
