"""What listings read of a run: its record, its plan, its progress."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from headway.doors.cli.exits import Mistyped
from headway.doors.cli.stores import found_run
from headway.doors.cli.waiting import waits_of
from headway.errors import DefinitionError

if TYPE_CHECKING:
    from headway.jobs.plan import Plan
    from headway.jobs.progress import Progress
    from headway.jobs.states import JobState, RunState, Verdict
    from headway.ports.store import RunRecord, Store


class Seen(NamedTuple):
    """A run as it stands now."""

    record: "RunRecord"
    state: "RunState"
    progress: "Progress"
    living: bool
    waits: "Sequence[str]" = ()  # what keeps it waiting before anything can begin, in sentences

    @property
    def states(self) -> "list[JobState]":
        return self.progress.states(living=self.living)

    @property
    def shown(self) -> "list[JobState | Verdict]":
        return self.progress.shown(living=self.living)


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
    state = ownership.state_now(record)
    waits = [*waits_of(store, record, state), *_paused(record, progress)]
    return Seen(record, state, progress, ownership.lives(record), waits)


def _paused(record: "RunRecord", progress: "Progress") -> list[str]:
    from headway.doors.cli.words import moment, printable
    from headway.ports.store import short_id

    if not progress.paused:
        return []
    paused = next(one for one in reversed(progress.changes) if one.what == "paused")
    why = f" ({printable(paused.why)})" if paused.why else ""
    by = f"by {printable(paused.who)} since {moment(paused.at_us)}{why}"
    return [f"it is paused {by}: headway resume {short_id(record.id)} goes on"]


def run_and_job(store: "Store", run: str, job: str | None) -> "tuple[RunRecord, Plan, int]":
    """A run, its plan, and the key of a job of it; of one name alone, the job of the last run.

    Raises: Mistyped, Rejected, DefinitionError.
    """
    from headway.jobs.plan import Plan

    prefix, name = (run, job) if job is not None else (None, run)
    record = found_run(store, prefix)
    plan = Plan.from_json(store.plan(record.id))
    return record, plan, key_of(plan, name)


def key_of(plan: "Plan", name: str) -> int:
    """The key of the job called so. Raises: Mistyped naming those nearest to it."""
    try:
        return plan.key_of(name)
    except DefinitionError as error:
        raise Mistyped(str(error)) from error
