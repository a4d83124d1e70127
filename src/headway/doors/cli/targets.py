"""Loads what was typed as TARGET."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headway.doors.cli.exits import Mistyped

if TYPE_CHECKING:
    from headway.runtime.loading import Loaded


def loaded(
    target: str,
    inputs: Mapping[str, Any],
    changes: Mapping[str, Any] | None = None,
    *,
    to_look_at: bool = False,
    arguments: Mapping[str, Any],
) -> "Loaded":
    """``arguments``: they choose the store, if the target is in it.

    Raises: Mistyped for a target that is not there, DefinitionError for one that is wrong.
    """
    from headway.doors.cli.stores import PLAYBOOK, opened
    from headway.ports.playbooks import STORED
    from headway.runtime.loading import UnknownTarget
    from headway.runtime.targets import load

    try:
        if not target.startswith(STORED):
            return load(target, inputs, changes, to_look_at=to_look_at)
        with opened(arguments, holds=PLAYBOOK) as store:
            return load(target, inputs, changes, to_look_at=to_look_at, stored=store)
    except UnknownTarget as error:
        raise Mistyped(str(error)) from error
