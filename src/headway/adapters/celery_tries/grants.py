"""What the holder of an attempt is granted it with: all that its run knows, and it needs."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from headway.adapters.celery_tries import machine
from headway.adapters.celery_tries.definitions import definition_of
from headway.errors import DefinitionError
from headway.jobs.job import Rules
from headway.jobs.outcomes import Failure, changes_to_plain
from headway.jobs.shared import Changes, SharedStorage, encode, portable
from headway.ports.executor import Work


def require_portable(work: Work) -> None:
    """Raises: DefinitionError for inputs that JSON cannot carry."""
    try:
        encode("the arguments", list(work.args))
        for name, value in work.kwargs.items():
            encode(name, value)
    except ValueError as error:
        raise DefinitionError(
            f"{error}: Celery workers are given only what JSON can carry"
        ) from error


def why_not(work: Work) -> Failure | None:
    """Why nothing can be granted as the shared storage stands now."""
    opaque = portable(dict(work.shared.alone())).opaque
    if not opaque:
        return None
    name, kind = next(iter(opaque.items()))
    text = f"global_storage[{name!r}] holds a {kind}, which JSON cannot carry to Celery"
    return Failure("DefinitionError", f"{text} workers: use --on threads")


def grant(
    work: Work, job: Any, what: str, key: int, number: int, storage: Changes | None
) -> dict[str, Any]:
    """As JSON values. ``job``: as ``described``. ``what``: as of ``Attempt``."""
    return {
        "what": what,
        "job": job,
        "key": key,
        "number": number,
        "run": work.run,
        "rules": work.rules[key]._asdict(),
        "args": list(work.args),
        "kwargs": dict(work.kwargs),
        "shared": portable(dict(work.shared.alone())).set,
        "storage": storage and changes_to_plain(storage),
        "act": work.act,
        "diffs": work.diffs,
        "trace": work.trace,
        "machine": machine.this(),
    }


def work_of(granted: Mapping[str, Any], worker: str) -> Work:
    """The holder's own, with callbacks that do nothing yet. Raises: DefinitionError."""
    rules = Rules(**{**granted["rules"], "tags": tuple(granted["rules"]["tags"])})
    return Work(
        definitions=_Only(definition_of(granted["job"], worker)),
        rules=_Only(rules),
        shared=SharedStorage(threading.get_ident, granted["shared"].items()),
        args=granted["args"],
        kwargs=granted["kwargs"],
        act=granted["act"],
        diffs=granted["diffs"],
        trace=granted["trace"],
        run=granted["run"],
    )


def same_machine(granted: Mapping[str, Any]) -> bool:
    """Whether the run is where we are: elsewhere a process id says nothing."""
    return bool(machine.this()) and machine.this() == granted["machine"]


class _Only(Sequence[Any]):
    """By key, of the only job that is at hand."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __getitem__(self, key: Any) -> Any:
        return self._value

    def __len__(self) -> int:
        return 1
