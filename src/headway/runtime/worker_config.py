"""A worker's configuration: JSON from a file, and what it says of the queue."""

import os
from pathlib import Path
from typing import Any

from headway.errors import DefinitionError, WireError
from headway.ports.bus import Binding, Queue
from headway.wire import names, strict_json

STOP_LIMIT_S = 60.0  # for the step in hand when the worker is told to leave


def read_config(file: str | os.PathLike[str]) -> dict[str, Any]:
    """A configuration in JSON. Raises: DefinitionError."""
    path = Path(file).expanduser()
    try:
        found = strict_json.parse(path.read_bytes(), f"the configuration {path}")
    except OSError as error:
        raise DefinitionError(f"the configuration {path} cannot be read: {error}") from error
    except WireError as error:
        raise DefinitionError(str(error)) from error
    if not isinstance(found, dict):
        raise DefinitionError(f"the configuration {path} is no JSON object")
    return found


def queue_for(class_name: str, config: Any) -> Queue:
    """The queue that a worker consumes: its command's, or the one that its configuration names.

    Raises: DefinitionError for a configuration that names it wrongly.
    """
    named = config.get("queue")
    if named is not None and not (isinstance(named, str) and named):
        raise DefinitionError(f'the configuration\'s "queue" is {named!r}: it must be a name')
    more = config.get("bindings", [])
    if not isinstance(more, list) or not all(isinstance(key, str) for key in more):
        raise DefinitionError(f'the configuration\'s "bindings" is {more!r}: it must list keys')
    name = names.worker_key(named or names.command_of(class_name))
    keys = dict.fromkeys([name, *more])
    return Queue(name, bindings=tuple(Binding(names.EXCHANGE, key) for key in keys))


def stop_limit_s(config: Any) -> float:
    """How long the step in hand has when the worker is told to leave. Raises: DefinitionError."""
    found = config.get("STOP_LIMIT_S", STOP_LIMIT_S)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or found < 0:
        raise DefinitionError(
            f'the configuration\'s "STOP_LIMIT_S" is {found!r}: it must be a number of seconds'
        )
    return float(found)
