"""Fingerprints of jobs' code, to tell at a resume what was changed since."""

import hashlib
from collections.abc import Sequence
from types import CodeType
from typing import Any

_PHASES = frozenset(("Check", "Run", "Cleanup", "Diff"))


def fingerprints(definitions: Sequence[Any]) -> list[str]:
    """By key: a fingerprint of the code of each job's methods, its base classes' included.

    Made from compiled code: comments, blank lines and moved lines change nothing. Comparable
    only within one minor version of Python.
    """
    by_class: dict[type, str] = {}
    found = []
    for definition in definitions:
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
