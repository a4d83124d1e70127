"""What is asked of runs: written down for whoever works on them, and answered there."""

from collections.abc import Mapping
from typing import Any

from headway.doors.cli.words import iso
from headway.doors.web.guard import Caller, hidden
from headway.doors.web.problems import Problem
from headway.doors.web.runs import OVER, key_called, plan_of, visible_run
from headway.ports.store import RunRecord, Store, short_id
from headway.releases.rights import Action
from headway.runtime import clocks, ownership

NEVER = 2**63 - 1  # no request has a greater number


def ask(
    store: Store, caller: Caller, id: str, verb: str, args: Mapping[str, Any]
) -> dict[str, Any]:
    """Leave a request for a run. ``args`` may name a job as ``job``.

    Raises: Problem where it makes no sense, or may not be asked.
    """
    record = visible_run(store, caller, id)
    caller.require(Action.STEER, record.launch.group, record.launch.hosts, f"run {id}")
    _require_sense(record, verb)
    number = store.ask(id, verb, _kept(store, id, verb, args), caller.name, clocks.now_us())
    return {"request": number, "run": id, "verb": verb}


def _kept(store: Store, id: str, verb: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as whoever answers knows them: one to settle by key, others by name."""
    kept = {name: value for name, value in args.items() if name != "job"}
    name = args.get("job")
    if name is None:
        return kept
    key = key_called(plan_of(store, id), name)
    return {**kept, **({"key": key} if verb == "settle" else {"job": name})}


def _require_sense(record: RunRecord, verb: str) -> None:
    """Whoever works on the run decides; what nobody would ever answer is refused at once."""
    short = short_id(record.id)
    is_over = record.state in OVER
    if verb == "retry" and not is_over:
        raise Problem(409, f"run {short} is {record.state}, not over: ask for resume to go on")
    if verb in ("cancel", "pause", "approve", "settle") and is_over:
        raise Problem(409, f"run {short} is over: it is {record.state}")
    if not record.core and not ownership.lives(record):
        raise Problem(
            409,
            f"nobody works on run {short}, and no core does, for it was begun by headway run:"
            f" type headway {verb} {short} where it was begun",
        )


def request_document(store: Store, caller: Caller, number: int) -> dict[str, Any]:
    request = store.request(number) if number <= NEVER else None
    if request is None:
        raise hidden(f"request {number}")
    try:
        visible_run(store, caller, request.run)
    except Problem:
        raise hidden(f"request {number}") from None
    return {
        "request": request.id,
        "run": request.run,
        "verb": request.verb,
        "args": dict(request.args),
        "who": request.who,
        "at": iso(request.at_us),
        "answer": request.answer,
        "refused": (request.answer or "").startswith("refused"),
    }
