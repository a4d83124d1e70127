"""Stored playbooks as a core has them at hand: read and compiled once, however often deployed.

A version of a playbook never changes, and what surrounds a release stands in its run.
"""

import json
from collections import OrderedDict

from headway.jobs.plan import Plan
from headway.ports.playbooks import PlaybookRecord
from headway.ports.store import RunRecord, Store, short_id
from headway.releases.surroundings import NOTHING, Surroundings
from headway.runtime.deploying import Release, release_of
from headway.runtime.loading import Loaded
from headway.runtime.playbooks import loaded_of, surrounding
from headway.runtime.stored_playbooks import found, require_there, target_of

MOST = 100  # versions at hand


class Shelf:
    """Not thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._releases: OrderedDict[tuple[str, str], tuple[Release, str]] = OrderedDict()

    def release(self, record: PlaybookRecord, surroundings: Surroundings = NOTHING) -> Release:
        """The newest version of a playbook. Raises: as ``read_release``."""
        require_there(record)
        return self._kept(record, record.version, surroundings)[0]

    def loaded(self, run: RunRecord) -> Loaded:
        """The playbook of a deployment as it was when that was asked for, with its plan.

        Raises: DefinitionError when the plan is no longer the same, or an input cannot be had;
        Rejected, as ``read_release``.
        """
        launch = run.launch
        record, version = found(self._store, launch.target)
        surroundings = surrounding(run)
        release, plan = self._kept(record, version.number, surroundings)
        stored = self._store.plan(run.id)
        if stored != plan:
            Plan.from_json(stored).require_same(release.plan, launch.target, short_id(run.id))
        playbook, compiled = release.playbook, release.compiled
        return loaded_of(launch.target, playbook, compiled, launch.inputs, surroundings)

    def _kept(
        self, record: PlaybookRecord, version: int, surroundings: Surroundings
    ) -> tuple[Release, str]:
        key = target_of(record, version), json.dumps(surroundings.to_plain(), sort_keys=True)
        kept = self._releases.get(key)
        if kept is None:
            release = release_of(self._store, record, version, surroundings)
            kept = self._releases[key] = release, release.plan.to_json()
            if len(self._releases) > MOST:
                self._releases.popitem(last=False)
        self._releases.move_to_end(key)
        return kept
