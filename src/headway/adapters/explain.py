"""Turns what a job raised into data."""

import sys
import traceback
from typing import Any

from headway.jobs.outcomes import Failure

_SLIPS = (NameError, AttributeError, TypeError, ImportError)


def explain(job: Any, error: BaseException, *, trace: bool = False) -> Failure:
    """The failure of a phase. The exception is kept, its traceback only as text and on request.

    A kept traceback would keep every local variable of the failed call alive.
    """
    text = "".join(traceback.format_exception(error)) if trace else None
    broken = isinstance(error, _SLIPS) and _raised_in_own_file(job, error)
    _drop_tracebacks(error)
    try:
        message = str(error)
    except Exception as unprintable:
        message = f"(its message could not be made: {type(unprintable).__name__})"
    return Failure(type(error).__name__, message, text, broken, error)


def _raised_in_own_file(job: Any, error: BaseException) -> bool:
    place = error.__traceback__
    if place is None:
        return False
    while place.tb_next is not None:
        place = place.tb_next
    raised_in = place.tb_frame.f_code.co_filename
    own = {
        getattr(sys.modules.get(cls.__module__), "__file__", None) for cls in type(job).__mro__[:-2]
    }
    return raised_in in own and "site-packages" not in raised_in


def _drop_tracebacks(error: BaseException) -> None:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        waiting += [one.__cause__, one.__context__]
