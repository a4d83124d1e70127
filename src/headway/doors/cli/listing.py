"""What listings read of a run: its record, its plan, its progress."""

from typing import TYPE_CHECKING, NamedTuple

from headway.doors.cli.stores import found_run

if TYPE_CHECKING:
    from headway.jobs.progress import Progress
    from headway.jobs.states import JobState, RunState
    from headway.ports.store import RunRecord, Store


class Seen(NamedTuple):
    """A run as it stands now."""

    record: "RunRecord"
    state: "RunState"
    progress: "Progress"
    living: bool

    @property
    def states(self) -> "list[JobState]":
        return self.progress.states(living=self.living)


def seen(store: "Store", prefix: str | None) -> Seen:
    """The run whose id begins so, or the last. Raises: Mistyped, Rejected."""
    return looked_at(store, found_run(store, prefix))


def looked_at(store: "Store", record: "RunRecord") -> Seen:
    from headway.jobs.events import decode
    from headway.jobs.plan import Plan
    from headway.jobs.progress import Progress
    from headway.runtime import ownership

    plan = Plan.from_json(store.plan(record.id))
    progress = Progress(plan, (decode(entry.row) for entry in store.journal(record.id)))
    return Seen(record, ownership.state_now(record), progress, ownership.lives(record))
