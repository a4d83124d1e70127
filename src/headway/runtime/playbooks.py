"""Loads a playbook: from a file to a plan, with the Python jobs that it names."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headway.adapters.documents import read_file
from headway.errors import DefinitionError
from headway.jobs.job import Job
from headway.ports.store import RunRecord, short_id
from headway.releases.compiling import POLICY, CompiledPlaybook, HostedJob, compile_playbook
from headway.releases.document import Document
from headway.releases.inputs import is_reference, resolved
from headway.releases.playbook import Playbook
from headway.releases.reading import playbook_of
from headway.releases.steps import StepNode
from headway.releases.surroundings import NOTHING, Surroundings
from headway.releases.surroundings_reading import from_plain, surroundings_of
from headway.runtime.arguments import require_accepted
from headway.runtime.loading import Loaded, UnknownTarget, imported, on_path


def load_playbook(
    target: str,
    inputs: Mapping[str, Any],
    changes: Mapping[str, Any],
    surroundings: Surroundings = NOTHING,
    *,
    to_look_at: bool = False,
) -> Loaded:
    """``changes``: to the policy of playbooks. ``to_look_at``: inputs may be missing.

    Raises: DefinitionError with all that is wrong with it, UnknownTarget.
    """
    path = Path(target)
    return load_read(
        target,
        read_playbook(path),
        path.resolve().parent,
        inputs,
        changes,
        surroundings,
        to_look_at=to_look_at,
    )


def load_read(
    target: str,
    playbook: Playbook,
    directory: Path,
    inputs: Mapping[str, Any],
    changes: Mapping[str, Any],
    surroundings: Surroundings = NOTHING,
    *,
    to_look_at: bool = False,
) -> Loaded:
    """The same of a playbook that was read already; its Python jobs are also looked for in the
    directory. Raises: DefinitionError."""
    given = dict(inputs)
    if not to_look_at:
        given = resolved(playbook.inputs, surroundings.asked_of(playbook), inputs)
    with on_path(directory):
        policy = POLICY._replace(**changes)
        compiled = compile_playbook(playbook, job_called, policy, surroundings)
    if not to_look_at:
        require_accepted(compiled.looks, (), given)
    return loaded_of(target, playbook, compiled, given, surroundings)


def loaded_of(
    target: str,
    playbook: Playbook,
    compiled: CompiledPlaybook,
    given: Mapping[str, Any],
    surroundings: Surroundings,
) -> Loaded:
    """A compiled playbook with its inputs, whose secrets are looked up. Raises: DefinitionError."""
    given = dict(given)
    secrets = {
        one.name: given[one.name] if is_reference(given[one.name]) else ""
        for one in playbook.inputs
        if one.secret and one.name in given
    }
    given |= {name: found(name, ref) for name, ref in secrets.items() if ref}
    return Loaded(
        target,
        compiled.plan,
        compiled.definitions,
        given,
        name=playbook.name,
        group=playbook.group,
        locks=playbook.lock,
        width=width(playbook),
        hosts=hosts_of(playbook, compiled),
        secrets=secrets,
        surroundings=surroundings,
    )


def found(name: str, ref: str) -> str:
    """The secret that a reference names. Raises: DefinitionError; the value is in no message."""
    kind, _, place = ref.partition(":")
    if kind == "env":
        value = os.environ.get(place)
        if value is None:
            raise DefinitionError(f"input {name!r} is {ref}, and {place} is not in the environment")
        return value
    try:
        return Path(place).expanduser().read_text("utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"input {name!r} is {ref}, which cannot be read: {error}") from error


def read_playbook(path: Path) -> Playbook:
    """Raises: DefinitionError with all that is wrong with it, UnknownTarget."""
    return playbook_of(_read(path, "playbook"))


def read_surroundings(path: Path) -> Surroundings:
    """Raises: DefinitionError with all that is wrong with it, UnknownTarget."""
    return surroundings_of(_read(path, "file of surroundings"))


def surrounding(record: RunRecord) -> Surroundings:
    """What surrounded the run when it began: what does so now is for those that begin now.

    Raises: DocumentError for what this Headway does not understand.
    """
    return from_plain(record.launch.surroundings, f"what surrounds run {short_id(record.id)}")


def _read(path: Path, noun: str) -> Document:
    try:
        return read_file(path, noun)
    except FileNotFoundError:
        raise UnknownTarget(f"there is no file {path}") from None
    except OSError as error:
        raise DefinitionError(f"{path} cannot be read: {error.strerror}") from error


def job_called(ref: str) -> type[Job]:
    """The job class that "package.module:JobClass" names. Raises: DefinitionError."""
    place, _, name = ref.partition(":")
    found: Any = imported(place)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, Job)):
        raise DefinitionError(f"python: {ref} names no job class: {place} has none called {name!r}")
    return found


def width(playbook: Playbook) -> int:
    """How many of its steps may be under way at once."""
    return max(
        max(min(one.parallel, len(one.hosts)), len(one.hosts) if one.preflight else 1)
        for one in playbook.execution
    )


def hosts_of(playbook: Playbook, compiled: CompiledPlaybook) -> tuple[str, ...]:
    """Every host that any of its steps has to do with, each once."""
    found = {host: None for one in playbook.execution for host in one.hosts}
    for one in compiled.definitions:
        if isinstance(one, (StepNode, HostedJob)) and one.host is not None:
            found[one.host] = None
    return tuple(found)
