"""What somebody may ask of a run: of its owner while one lives, of the core, else done at once."""

import time
from collections.abc import Mapping
from typing import Any

from headway.errors import Rejected, Unavailable
from headway.jobs.events import RunCancelled, RunEnded, Settled, decode
from headway.jobs.gates import Gates
from headway.jobs.plan import Plan
from headway.jobs.progress import Progress
from headway.jobs.states import RunState
from headway.ports.store import Request, RunRecord, Store, short_id
from headway.runtime import clocks, ownership
from headway.runtime.journal import Journal
from headway.runtime.launching import who
from headway.runtime.recovery import Stood
from headway.runtime.requests import decide
from headway.runtime.turns import leading

ANSWER_S = 5.0  # how long an owner is waited for; it looks four times a second
_LOOK_S = 0.05


def asked(
    store: Store,
    record: RunRecord,
    verb: str,
    args: Mapping[str, Any],
    *,
    patience_s: float = ANSWER_S,
) -> str:
    """Leave a request for the run's living owner, or for the core whose run it is; the answer.

    Raises: Rejected when it is refused; Unavailable when nobody is there to answer, or does not in
    time. The request stays with the run then.
    """
    number = store.ask(record.id, verb, args, who(), clocks.now_us())
    asked_of, short = record.owner, short_id(record.id)
    if record.core:
        lease = leading(store)
        if lease is None:
            raise Unavailable(
                f"no core leads {store.place}. The request stays with run {short}, and the next"
                " core does what it says: headway up begins one, or headway core --bus URL"
            )
        asked_of = lease.owner
    give_up_at = clocks.monotonic() + patience_s
    while clocks.monotonic() < give_up_at:
        request = store.request(number)
        if request is not None and request.answer is not None:
            if request.answer.startswith("refused"):
                raise Rejected(request.answer)
            return request.answer
        time.sleep(_LOOK_S)
    raise Unavailable(
        f"{asked_of} has not answered for {patience_s:g} s. The request stays with run {short}:"
        " its owner answers when it looks, or else whoever resumes it"
    )


def left_at_gate(store: Store, record: RunRecord, args: Mapping[str, Any]) -> str:
    """Leave an answer at a gate for whoever takes the run up; what they will say to it, if nobody
    is first. Raises: Rejected when no such gate waits."""
    plan = Plan.from_json(store.plan(record.id))
    gates = Gates(decode(entry.row) for entry in store.journal(record.id))
    now_us = clocks.now_us()
    request = Request(0, record.id, "approve", args, who(), now_us)
    answer, event = decide(request, plan, lambda key: False, now_us, gates.waiting)
    if event is None:
        raise Rejected(answer)
    store.ask(record.id, "approve", args, who(), now_us)
    return answer


def settle(store: Store, record: RunRecord, key: int, how: str, why: str) -> RunState:
    """Answer for a job in doubt of a run that nobody works on; where the run stands then.

    Raises: Rejected when the job is not in doubt; Conflict when somebody took the run meanwhile.
    """
    plan = Plan.from_json(store.plan(record.id))
    entries = list(store.journal(record.id))
    events = [decode(entry.row) for entry in entries]
    lost = Stood(plan, events).lost()
    progress = Progress(plan, [*events, *lost])
    doubtful = progress.in_doubt()
    if key not in doubtful:
        stands = progress.states(living=False)[key]
        others = ", ".join(plan.names[other] for other in doubtful)
        raise Rejected(
            f"{plan.names[key]} is not in doubt, it is {stands}."
            + (f" In doubt: {others}." if others else " There is nothing to settle in this run.")
        )
    epoch = store.take(record.id, record.epoch, ownership.this_process())
    journal = Journal(
        store,
        record.id,
        epoch,
        lap=record.lap,
        next_seq=len(entries) + 1,
        now_us=clocks.now_us,
    )
    state = RunState.IN_DOUBT if len(doubtful) > 1 else RunState.INTERRUPTED
    settled = Settled(clocks.now_us(), key, how, who(), why)
    journal.write(*lost, settled, state=state)
    return state


def close(store: Store, record: RunRecord, why: str) -> None:
    """End a run that nobody works on as cancelled, without its Cleanups.

    Raises: Conflict when somebody took it meanwhile.
    """
    plan = Plan.from_json(store.plan(record.id))
    entries = list(store.journal(record.id))
    progress = Progress(plan, (decode(entry.row) for entry in entries))
    epoch = store.take(record.id, record.epoch, ownership.this_process())
    journal = Journal(
        store,
        record.id,
        epoch,
        lap=record.lap,
        next_seq=len(entries) + 1,
        now_us=clocks.now_us,
    )
    cancelled = RunCancelled(clocks.now_us(), who(), why)
    progress.apply(cancelled)
    counts = {str(state): count for state, count in progress.counts(living=False).items()}
    ended = RunEnded(clocks.now_us(), RunState.CANCELLED, counts)
    journal.write(cancelled, ended, state=RunState.CANCELLED)
