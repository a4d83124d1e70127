"""Begins releases of stored playbooks, for a core to carry out: the same for every way in.

A release is only stored here: nothing of it is begun, no secret is looked up, nobody is asked.
"""

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import headway
from headway.errors import Rejected
from headway.jobs.plan import Plan
from headway.ports.playbooks import PlaybookRecord
from headway.ports.store import Launch, Store
from headway.releases.compiling import CompiledPlaybook, compile_playbook
from headway.releases.inputs import WrongInputs, is_reference, resolved
from headway.releases.playbook import PYTHON, Playbook
from headway.releases.surroundings import NOTHING, Surroundings, surrounded
from headway.runtime import clocks
from headway.runtime.arguments import require_accepted
from headway.runtime.launching import Options, python_version
from headway.runtime.loading import on_path
from headway.runtime.playbooks import hosts_of, job_called
from headway.runtime.sources import fingerprints
from headway.runtime.stored_playbooks import read_back, require_there, target_of

MOST_JOBS = 50_000  # of one release
_IMPORTING = threading.Lock()  # where modules are looked for is one place for all threads


class OtherRequest(Rejected):
    """The key of a request was used before, for another one."""


class Release(NamedTuple):
    """A version of a stored playbook, ready to be begun."""

    target: str
    playbook: Playbook
    compiled: CompiledPlaybook
    surroundings: Surroundings = NOTHING  # compiled in

    @property
    def plan(self) -> Plan:
        return self.compiled.plan

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host that any of its steps has to do with, each once."""
        return hosts_of(self.playbook, self.compiled)


class Deployment(NamedTuple):
    """A release that is stored."""

    run: str
    is_new: bool  # False: it was stored by an earlier request with the same key


def read_release(
    store: Store,
    record: PlaybookRecord,
    version: int | None = None,
    surroundings: Surroundings = NOTHING,
) -> Release:
    """Read a version of a playbook (None: the newest) and compile it, with what surrounds it.

    Raises: Rejected for a playbook that was removed or a version that is not there, and for more
    than MOST_JOBS jobs; DefinitionError for a Python job that cannot be loaded.
    """
    require_there(record)
    return release_of(store, record, version or record.version, surroundings)


def release_of(
    store: Store, record: PlaybookRecord, version: int, surroundings: Surroundings
) -> Release:
    """The same of one that may have been removed, for a deployment that goes on."""
    stored = store.playbook_version(record.id, version)
    playbook = read_back(record, stored)
    require_few_jobs(surrounded(playbook, surroundings.triggers))
    compiled = _compiled(playbook, surroundings)
    return Release(target_of(record, stored.number), playbook, compiled, surroundings)


def deploy(
    store: Store,
    release: Release,
    inputs: Mapping[str, Any],
    *,
    who: str,
    source: str = "",
    key: str | None = None,
    asked: str = "",
    options: Options | None = None,
    token: str = "",
) -> Deployment:
    """Store a release, so that the core carries it out.

    ``inputs``: as they were given; secrets as references. ``source``: the address that it was
    asked from. ``key``: names the request, so that to repeat it begins nothing twice. ``asked``:
    a digest of the request; the same key with another one is an error. ``token``: the id of the
    one that it was asked for with.

    Raises: WrongInputs with all that is wrong with the inputs, literal secrets among it;
    OtherRequest.
    """
    playbook = release.playbook
    given = resolved(playbook.inputs, release.surroundings.asked_of(playbook), inputs)
    require_references(playbook, given)
    require_accepted(release.compiled.looks, (), given)
    launch = Launch(
        target=release.target,
        root=playbook.name,
        inputs=given,
        directory=os.getcwd(),
        options=(options or Options()).as_json(),
        sources=fingerprints(release.compiled.definitions),
        who=who,
        version=headway.__version__,
        python=python_version(),
        group=playbook.group,
        locks=playbook.lock,
        surroundings=release.surroundings.to_plain(),
        source=source,
        hosts=release.hosts,
        asked=asked,
        token=token,
    )
    run = clocks.new_id()
    plan = release.plan
    stored = store.enqueue(run, launch, plan.to_json(), len(plan), clocks.now_us(), key=key)
    if stored != run:
        require_same(store, stored, asked)
    return Deployment(stored, is_new=stored == run)


def deployed_before(store: Store, key: str, asked: str) -> Deployment | None:
    """What an earlier request with this key began, whatever became of the playbook since.

    Raises: OtherRequest.
    """
    run = store.run_with_key(key)
    if run is None:
        return None
    require_same(store, run, asked)
    return Deployment(run, is_new=False)


def digest_of(request: Any) -> str:
    """What tells a request from others: ``asked`` of ``deploy``, and keys of any length."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def require_same(store: Store, run: str, asked: str) -> None:
    """The run was begun by this very request. Raises: OtherRequest."""
    if store.find(run).launch.asked != asked:
        raise OtherRequest(
            "this key was used for another request: take a new key for each deployment, and the"
            " old one only to repeat what was sent before"
        )


def require_references(playbook: Playbook, given: Mapping[str, Any]) -> None:
    """Every secret says where it is. Raises: WrongInputs; no secret is in it."""
    literal = [
        one.name
        for one in playbook.inputs
        if one.secret and one.name in given and not is_reference(given[one.name])
    ]
    if literal:
        raise WrongInputs(
            f"input {name!r} is a secret, and a deployment keeps only where it is. Give env:NAME"
            " or file:PATH, a variable or file of the core"
            for name in literal
        )


def require_few_jobs(playbook: Playbook) -> None:
    """It can be compiled in reasonable time. Raises: Rejected."""
    jobs = sum(
        len(one.hosts) * (len(one.preflight) + 2 * len(one.steps)) for one in playbook.execution
    )
    if jobs > MOST_JOBS:
        raise Rejected(
            f"{playbook.name} comes to some {jobs:,} jobs, and {MOST_JOBS:,} is the most: make"
            " several playbooks of it"
        )


def _compiled(playbook: Playbook, surroundings: Surroundings) -> CompiledPlaybook:
    steps = (step for one in playbook.execution for step in (*one.preflight, *one.steps))
    if all(step.command != PYTHON for step in steps):
        return compile_playbook(playbook, job_called, surroundings=surroundings)
    with _IMPORTING, on_path(Path.cwd()):
        return compile_playbook(playbook, job_called, surroundings=surroundings)
