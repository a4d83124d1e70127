"""Whether the jobs of a plan can be called with the arguments of a run."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headway.errors import DefinitionError

_TAKES_ALL = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


def require_accepted(looks: Iterable[type], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """The Check and Run of each job class can take the arguments of the run.

    Raises: DefinitionError naming the method, what it was to be called with and the remedy.
    """
    for look in looks:
        for phase in ("Check", "Run"):
            method = getattr(look, phase, None)
            if method is not None and not _takes_all(method):
                _bind(look, phase, method, args, kwargs)


def _takes_all(method: Any) -> bool:
    code = getattr(method, "__code__", None)
    if code is None:
        return False
    plain = code.co_argcount <= 1 and not code.co_kwonlyargcount
    return plain and code.co_flags & _TAKES_ALL == _TAKES_ALL


def _bind(
    look: type, phase: str, method: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):
        return  # written in C: only the call can tell
    static = inspect.getattr_static(look, phase)
    me = [] if isinstance(static, (staticmethod, classmethod)) else [object()]
    try:
        signature.bind(*me, *args, **kwargs)
    except TypeError as error:
        given = [repr(arg) for arg in args] + [f"{key}=…" for key in kwargs]
        raise DefinitionError(
            f"{look.__name__}.{phase}{signature} cannot be called with the arguments of this run"
            f" ({', '.join(given) or 'none'}): {error}."
            f" Write it as def {phase}(self, *args, **kwargs), or give what it asks for."
        ) from None
