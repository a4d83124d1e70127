"""Follows a deployment to its end while a core carries it out: shows it, and sums it up."""

import time
from typing import TYPE_CHECKING

from headway.doors.cli import exits
from headway.doors.cli.carrying import Report, Show, sum_up
from headway.doors.cli.views import Watching, view_for
from headway.doors.cli.waiting import BEGIN_A_CORE, LockTeller, print_json, tell
from headway.errors import Unavailable
from headway.jobs.events import Event, Live, TryEnded
from headway.jobs.plan import Plan
from headway.jobs.states import OVER, RunState
from headway.ports.store import short_id

if TYPE_CHECKING:
    from headway.ports.leases import LeaseRecord
    from headway.ports.store import RunRecord, Store

LOOK_S = 0.2
CORE_LOOK_S = 1.0  # how often it is looked whether a core is there, and who has a lock
PATIENCE_S = 60.0  # with a store that does not answer


class Following:
    """One deployment, looked at again and again. Threads: one."""

    def __init__(self, store: "Store", run: str, show: Show) -> None:
        from headway.runtime import clocks
        from headway.runtime.following import Followed
        from headway.runtime.turns import Turn

        self._store = store
        self._run = run
        self._show = show
        self._clock = clocks.monotonic
        view = view_for(
            quiet=show.quiet, as_json=show.as_json, verbose=show.verbose, plain=show.plain
        )
        self._watching = Watching(Plan.from_json(store.plan(run)), view)
        self._followed = Followed(store, run, self._heard)
        self._turn = Turn(store, run, LockTeller(show).told)
        self._core_look_at = 0.0
        self._lacks_core = False
        self._state: RunState | None = None  # where it stood when things were looked at

    def to_the_end(self, timeout_s: float | None) -> int:
        """Look until the run is over, or a person must decide; the exit code.

        Raises: Unavailable when that was not so in time, or the store is away for too long.
        """
        began_s = self._clock()
        try:
            while True:
                record = self._looked()
                if record.state in OVER or record.state is RunState.IN_DOUBT:
                    break
                if timeout_s is not None and self._clock() - began_s >= timeout_s:
                    raise Unavailable(self._too_late(timeout_s))
                self._rest()
        finally:
            self._watching.close()
        return self._summed_up(record, self._clock() - began_s)

    def _looked(self) -> "RunRecord":
        give_up_at = self._clock() + PATIENCE_S
        while True:
            try:
                record = self._followed.look()
                if self._clock() >= self._core_look_at or record.state is not self._state:
                    self._look_around(record)
                return record
            except Unavailable:
                if self._clock() >= give_up_at:
                    raise
                self._rest(CORE_LOOK_S)

    def _look_around(self, record: "RunRecord") -> None:
        """Say what keeps the run waiting: no core, or a lock."""
        from headway.runtime.turns import leading

        self._core_look_at = self._clock() + CORE_LOOK_S
        self._state = record.state
        if record.state in OVER:
            return
        lease = leading(self._store)
        if (lease is None) != self._lacks_core:
            self._lacks_core = lease is None
            self._tell_core(lease)
        if record.launch.locks:
            self._turn.has_come()

    def _tell_core(self, lease: "LeaseRecord | None") -> None:
        if self._show.as_json:
            core = None if lease is None else str(lease.owner)
            print_json({"event": "core-awaited" if lease is None else "core-there", "core": core})
        elif lease is None:
            tell(self._show, no_core(self._store) + "; it is waited for", always=True)
        else:
            tell(self._show, f"a core is there now: {lease.owner}")

    def _rest(self, seconds: float = LOOK_S) -> None:
        """As long as the view wants to be drawn meanwhile."""
        until = self._clock() + seconds
        while (left := until - self._clock()) > 0:
            self._watching.tick()
            time.sleep(min(left, 0.05))

    def _heard(self, event: Event | Live) -> None:
        self._watching.heard(event)
        if isinstance(event, TryEnded):
            self._watching.heard(self._watching.progress.stood(event))

    def _too_late(self, timeout_s: float) -> str:
        short = short_id(self._run)
        return (
            f"deployment {short} was not over after {timeout_s:g} s. It goes on:"
            f" headway logs {short} -f shows it, headway cancel {short} stops it"
        )

    def _summed_up(self, record: "RunRecord", took_s: float) -> int:
        progress, code = self._watching.progress, exits.OF_STATE[record.state]
        report = Report(
            progress,
            record.state,
            code,
            self._run,
            self._store.place,
            took_s,
            progress.repairs,
            progress.cleaned,
            core=True,
        )
        sum_up(report, self._show)
        return code


def no_core(store: "Store") -> str:
    return f"no core leads {store.place}: {BEGIN_A_CORE}"
