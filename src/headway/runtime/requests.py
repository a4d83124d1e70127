"""What becomes of a request to a run: decided once, by the run's owner, and put in the journal."""

from collections.abc import Callable

from headway.jobs.events import RunCancelled, Settled
from headway.jobs.plan import Plan
from headway.ports.store import Request

HOWS = ("done", "again", "failed")
OVER = "refused: the run is over"


def decide(
    request: Request, plan: Plan, in_doubt: Callable[[int], bool], now_us: int
) -> tuple[str, RunCancelled | Settled | None]:
    """The answer, and the event if the request changes anything.

    ``in_doubt`` says whether the job with a key is. A request that makes no sense is refused: it
    was written by somebody else, and what is put in the journal is read for ever.
    """
    why = str(request.args.get("why", ""))
    if request.verb == "cancel":
        return "cancelling", RunCancelled(now_us, request.who, why)
    if request.verb == "retry":
        return "refused: the run is not over", None
    if request.verb == "resume":
        return "refused: the run goes on already", None
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
