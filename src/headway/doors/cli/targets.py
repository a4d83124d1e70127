"""Loads what was typed as TARGET."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headway.doors.cli.exits import Mistyped

if TYPE_CHECKING:
    from headway.jobs.plan import Policy
    from headway.runtime.targets import Loaded


def loaded(target: str, inputs: Mapping[str, Any], policy: "Policy | None" = None) -> "Loaded":
    """Raises: Mistyped for a target that is not there, DefinitionError for one that is wrong."""
    from headway.runtime.targets import UnknownTarget, load

    try:
        return load(target, inputs, policy)
    except UnknownTarget as error:
        raise Mistyped(str(error)) from error
