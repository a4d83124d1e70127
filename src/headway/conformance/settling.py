"""How a worker takes its deliveries, and settles them: what only the tap sees."""

from collections.abc import Mapping, Sequence

from headway.adapters.traffic import ChannelRefused, Consuming, Delivered, Settled
from headway.conformance.desk import Step
from headway.conformance.findings import Finding, fault, ok
from headway.conformance.log import Log
from headway.conformance.rules import nothing
from headway.ports.bus import DIRECT_REPLY_TO, Settlement

MOST_DELIVERIES = 3  # of one step, given back again and again
PREFETCH = 1000  # more at once is as good as without limit


def unsettled(log: Log) -> list[Delivered]:
    """Deliveries of steps that have to be settled and are not."""
    return [one for one, hows in settlements(log) if not hows]


def settlements(log: Log) -> list[tuple[Delivered, list[Settlement]]]:
    """Each delivery of a step, and how it was settled: once, if all is well."""
    return [(one, hows) for one, hows in _ledger(log).values() if _needs_settling(log, one)]


Ledger = dict[tuple[int, int], tuple[Delivered, list[Settlement]]]


def _ledger(log: Log) -> Ledger:
    ledger: Ledger = {}
    for event in log.everything():
        match event:
            case Delivered():
                ledger[event.channel, event.tag] = (event, [])
            case Settled():
                for key in _covered(ledger, event):
                    ledger[key][1].append(event.how)
            case _:
                pass
    return ledger


def _covered(ledger: Ledger, settled: Settled) -> list[tuple[int, int]]:
    if not settled.multiple:
        key = (settled.channel, settled.tag)
        return [key] if key in ledger else []
    return [
        key
        for key, (_, hows) in ledger.items()
        if key[0] == settled.channel and not hows and (not settled.tag or key[1] <= settled.tag)
    ]


def _needs_settling(log: Log, one: Delivered) -> bool:
    """Whether a step came that way: grants come by a consumer that settles nothing."""
    consumers = [c for c in log.all(Consuming) if c.channel == one.channel]
    return any(c.settles and c.queue != DIRECT_REPLY_TO for c in consumers)


def settlement(log: Log, steps: Sequence[Step], never: Sequence[Delivered]) -> Finding:
    what = {step.attempt: step.what for step in steps}
    for consumer in log.all(Consuming):
        if consumer.queue != DIRECT_REPLY_TO and not consumer.settles:
            return fault(
                "settlement",
                f"it consumes {consumer.queue} without acknowledgements (no-ack): a step that it"
                " has taken is lost when it dies",
                "consume with no-ack off, and acknowledge each delivery",
            )
    for one, hows in settlements(log):
        if len(hows) > 1:
            listed = ", ".join(how.value for how in hows)
            return fault(
                "settlement",
                f"it settled the delivery of {_named(what, one)} {len(hows)} times ({listed})"
                f"{_refusal(log, one)}",
                "settle each delivery once: the broker closes the channel at the second time,"
                " with all that is under way on it",
            )
    for refused in log.all(ChannelRefused):
        if "delivery tag" in refused.text:
            return fault(
                "settlement",
                f"the broker closed its channel: {refused.code} {refused.text}",
                "settle each delivery once, on the channel that it came by",
            )
    for one in never:
        return fault(
            "settlement",
            f"it never settled the delivery of {_named(what, one)}: it comes again when the worker"
            " leaves, and until then the broker counts it as in hand",
            "acknowledge each delivery (basic.ack with its delivery tag), or reject it without"
            " requeue",
        )
    if looping := _looping(log, what):
        return looping
    count = len(settlements(log))
    return ok("settlement", f"{count} deliveries") if count else nothing("settlement")


def _looping(log: Log, what: Mapping[str, str]) -> Finding | None:
    returned: dict[str, int] = {}
    for one, hows in settlements(log):
        id = one.message.message_id or ""
        returned[id] = returned.get(id, 0) + (Settlement.REQUEUE in hows)
        if returned[id] >= MOST_DELIVERIES:
            return fault(
                "settlement",
                f"it requeued {_named(what, one)} again and again",
                "what will never be understood is rejected without requeue",
            )
    return None


def _refusal(log: Log, one: Delivered) -> str:
    for refused in log.all(ChannelRefused):
        if refused.channel == one.channel:
            return f"; the broker closed its channel: {refused.code} {refused.text}"
    return ""


def prefetch(log: Log) -> Finding:
    consumers = [one for one in log.all(Consuming) if one.queue != DIRECT_REPLY_TO]
    for one in consumers:
        if one.settles and not 0 < one.prefetch <= PREFETCH:
            how = f"{one.prefetch} messages at once" if one.prefetch else "without a limit"
            return fault(
                "prefetch",
                f"it consumes {one.queue} {how}: one worker takes all the steps there are, and the"
                " others get none",
                "before consuming, call basic.qos with a prefetch count of as many steps as it"
                " works on at once; usually 1",
            )
    if not consumers:
        return nothing("prefetch")
    return ok("prefetch", f"{max(one.prefetch for one in consumers)} at once")


def _named(what: Mapping[str, str], one: Delivered) -> str:
    return what.get(one.message.message_id or "", "a step")
