"""What becomes of a request to a run: decided once, by the run's owner, and put in the journal."""

from collections.abc import Callable, Mapping
from typing import Any

from headway.errors import DefinitionError
from headway.jobs.events import (
    GateAnswered,
    GateReached,
    RunCancelled,
    RunPaused,
    RunUnpaused,
    Settled,
)
from headway.jobs.gates import APPROVE, DECISIONS, DONE
from headway.jobs.plan import Plan
from headway.ports.store import Request

HOWS = ("done", "again", "failed")
OVER = "refused: the run is over"
MOST_NAMED = 10  # gates, in one answer
Decided = RunCancelled | RunPaused | RunUnpaused | Settled | GateAnswered


def decide(
    request: Request,
    plan: Plan,
    in_doubt: Callable[[int], bool],
    now_us: int,
    gates: Mapping[int, GateReached] | None = None,
    *,
    paused: bool = False,
) -> tuple[str, Decided | None]:
    """The answer, and the event if the request changes anything.

    ``in_doubt`` says whether the job with a key is; ``gates``: those that wait; ``paused``: whether
    the run is. A request that makes no sense is refused: it was written by somebody else, and what
    is put in the journal is read for ever.
    """
    why = str(request.args.get("why", ""))
    if request.verb == "cancel":
        return "cancelling", RunCancelled(now_us, request.who, why)
    if request.verb in ("pause", "resume"):
        return _pausing(request, now_us, why, paused=paused)
    if request.verb == "approve":
        return _at_gate(request, plan, gates or {}, now_us)
    if request.verb == "retry":
        return "refused: the run is not over", None
    if request.verb != "settle":
        return f"refused: this Headway does not know the request {request.verb!r}", None
    key, how = request.args.get("key"), request.args.get("how")
    if type(key) is not int or not 0 <= key < len(plan):
        return f"refused: the plan has no job {key!r}", None
    name = plan.names[key]
    if how not in HOWS:
        return f"refused: {name} can be settled as {', '.join(HOWS)}, not as {how!r}", None
    if not in_doubt(key):
        return f"refused: {name} is not in doubt", None
    return f"{name} is settled: {how}", Settled(now_us, key, how, request.who, why)


def _pausing(
    request: Request, now_us: int, why: str, *, paused: bool
) -> tuple[str, RunPaused | RunUnpaused | None]:
    if request.verb == "pause":
        if paused:
            return "it is paused already", None
        return "paused: what runs ends, nothing new starts", RunPaused(now_us, request.who, why)
    if not paused:
        return "refused: the run goes on already", None
    return "it goes on", RunUnpaused(now_us, request.who, why)


def _at_gate(
    request: Request, plan: Plan, gates: Mapping[int, GateReached], now_us: int
) -> tuple[str, GateAnswered | None]:
    decision = request.args.get("decision", APPROVE)
    if decision not in DECISIONS:
        return f"refused: a gate is answered by {' or '.join(DECISIONS)}, not {decision!r}", None
    key = _gate_meant(request.args.get("job"), plan, gates)
    if isinstance(key, str):
        return f"refused: {key}", None
    why = str(request.args.get("why", ""))
    answered = GateAnswered(now_us, key, gates[key].number, decision, request.who, why)
    return f"{plan.names[key]} is {DONE[decision]}", answered


def _gate_meant(name: Any, plan: Plan, gates: Mapping[int, GateReached]) -> int | str:
    """Its key, or what is wrong with the name. None for the only one that waits."""
    if name is None:
        if len(gates) == 1:
            return next(iter(gates))
        if not gates:
            return "no gate of the run waits for an answer"
        names = [plan.names[key] for key in sorted(gates)]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        shown = ", ".join(names[:MOST_NAMED])
        return f"{len(names)} gates wait for an answer, say which: {shown}{more}"
    try:
        key = plan.key_of(str(name))
    except DefinitionError as error:
        return str(error)
    return key if key in gates else f"{plan.names[key]} does not wait for an answer"
