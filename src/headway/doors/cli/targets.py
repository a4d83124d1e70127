"""Loads what was typed as TARGET."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.doors.cli.exits import Mistyped
from headway.doors.cli.settings import SurroundingFiles, surroundings_settled

if TYPE_CHECKING:
    from headway.releases.surroundings import Surroundings, Trigger
    from headway.runtime.loading import Loaded


def loaded(
    target: str,
    inputs: Mapping[str, Any],
    changes: Mapping[str, Any] | None = None,
    *,
    to_look_at: bool = False,
    arguments: Mapping[str, Any],
) -> "Loaded":
    """``arguments``: they choose the store, if the target is in it, and what surrounds a playbook.

    Raises: Mistyped for a target that is not there, DefinitionError for one that is wrong.
    """
    from headway.doors.cli.stores import PLAYBOOK, opened
    from headway.ports.playbooks import STORED
    from headway.runtime.loading import UnknownTarget
    from headway.runtime.targets import load

    try:
        surroundings = surroundings_for(target, arguments)
        if not target.startswith(STORED):
            return load(target, inputs, changes, surroundings, to_look_at=to_look_at)
        with opened(arguments, holds=PLAYBOOK) as store:
            return load(target, inputs, changes, surroundings, to_look_at=to_look_at, stored=store)
    except UnknownTarget as error:
        raise Mistyped(str(error)) from error


def surroundings_for(target: str, arguments: Mapping[str, Any]) -> "Surroundings":
    """What surrounds a playbook, as arguments and headway.toml say; nothing surrounds jobs.

    Raises: Mistyped, Refused; DefinitionError, UnknownTarget for the files.
    """
    from headway.releases.surroundings import NOTHING
    from headway.runtime.targets import is_playbook

    if not is_playbook(target):
        for option in ("surroundings", "triggers"):
            if arguments.get(option):
                raise Mistyped(f"--{option} is for a playbook, and {target} is none")
        return NOTHING
    return _read_surroundings(arguments)


def surroundings_chosen(arguments: Mapping[str, Any]) -> "Surroundings":
    """What surrounds releases, as arguments and headway.toml say.

    Raises: Mistyped, also for a file that is not there; Refused; DefinitionError for its content.
    """
    from headway.runtime.loading import UnknownTarget

    try:
        return _read_surroundings(arguments)
    except UnknownTarget as error:
        raise Mistyped(str(error)) from error


def _read_surroundings(arguments: Mapping[str, Any]) -> "Surroundings":
    from headway.releases.surroundings import NOTHING

    files = surroundings_settled(arguments, Path.cwd())
    if files == SurroundingFiles():
        return NOTHING
    from headway.runtime.playbooks import read_surroundings

    found = NOTHING if files.surroundings is None else read_surroundings(files.surroundings)
    if files.triggers is None:
        return found
    return found._replace(triggers=_triggers_of(files.triggers))


def _triggers_of(path: Path) -> "tuple[Trigger, ...]":
    from headway.releases.surroundings import NOTHING
    from headway.runtime.playbooks import read_surroundings

    found = read_surroundings(path)
    if found._replace(triggers=()) != NOTHING:
        raise Mistyped(
            f"{path} holds more than triggers: name it with --surroundings, or as surroundings in"
            " headway.toml"
        )
    return found.triggers
