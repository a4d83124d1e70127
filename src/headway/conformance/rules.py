"""What holds whatever a worker is given, judged from all that was seen of it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headway.adapters.traffic import ChannelRefused, Closed, Consuming, Delivered, Sent, Settled
from headway.conformance.desk import Step, response_of
from headway.conformance.findings import Finding, fault, not_tried, not_used, ok
from headway.conformance.log import Answered, Log, Overheard
from headway.errors import WireError
from headway.ports.bus import DIRECT_REPLY_TO, Delivery, Message, Settlement
from headway.wire import names, strict_json
from headway.wire.messages import Notification, Output, Presence, Response, WireMessage

MOST_DELIVERIES = 3  # of one step, given back again and again
PREFETCH = 1000  # more at once is as good as without limit
WITHOUT_TAP = "only seen of a worker that is started here"
TO_START = "add -- and the command line that starts it"

Answers = Sequence[tuple[Step, Delivery]]


def answers(log: Log, steps: Sequence[Step]) -> Answers:
    """All that came to the steps' reply queues, in order."""
    by_queue = {step.replies: step for step in steps}
    return [
        (by_queue[one.delivery.queue], one.delivery)
        for one in log.all(Answered)
        if one.delivery.queue in by_queue
    ]


def bodies(log: Log, steps: Sequence[Step]) -> Finding:
    found = answers(log, steps)
    for step, delivery in found:
        try:
            Response.decode(delivery.message.body)
        except WireError as error:
            return fault(
                "bodies",
                f"its answer to {step.what} is {_shown(delivery.message.body)}: {error}",
                'send a JSON object in UTF-8 whose "status" is "started", "completed" or "failed"',
            )
    return ok("bodies", f"{_count(found)} could be read") if found else _nothing("bodies")


def correlation(log: Log, steps: Sequence[Step]) -> Finding:
    found = answers(log, steps)
    for step, delivery in found:
        id, echo = delivery.message.correlation_id, delivery.message.message_id
        if id != step.run:
            has = f"with the correlation id {id!r}" if id else "without correlation id"
            return fault(
                "correlation",
                f"it answered {step.what} {has}; the step's was {step.run!r}",
                "copy the step's property `correlation_id` to each of its answers",
            )
        if echo is not None and echo != step.attempt:
            return fault(
                "correlation",
                f"it answered {step.what} with the message id {echo!r}, which is not the step's,"
                f" {step.attempt!r}: such an answer counts for nothing",
                "copy the step's property `message_id` to its answers, or set none",
            )
    return ok("correlation", f"in {_count(found)}") if found else _nothing("correlation")


def strays(log: Log, since: float = 0.0) -> list[Sent]:
    """What the worker published that looks like an answer, and not to where one belongs."""
    return [one for one in log.all(Sent, since) if _is_stray(one)]


def _is_stray(one: Sent) -> bool:
    if not one.exchange and one.routing_key.startswith("re.conform."):
        return False
    try:
        value = strict_json.parse(one.message.body)
    except WireError:
        return False
    return isinstance(value, dict) and isinstance(value.get("status"), str)


def reply_address(log: Log, steps: Sequence[Step], *, tapped: bool) -> Finding:
    for one in strays(log):
        where = f"exchange {one.exchange!r}" if one.exchange else "the default exchange"
        return fault(
            "reply-address",
            f"it sent {_shown(one.message.body)} to {where} with the key {one.routing_key!r}:"
            " nobody who waits for an answer gets it there",
            "publish answers to the default exchange (its name is the empty text), with the"
            " step's property `reply_to` as the routing key",
        )
    found = answers(log, steps)
    if found:
        return ok("reply-address", f"{_count(found)} came there")
    return _nothing("reply-address") if tapped else not_tried("reply-address", WITHOUT_TAP)


def one_answer(log: Log, steps: Sequence[Step]) -> Finding:
    found = answers(log, steps)
    for step in steps:
        said = _statuses(log, step)
        if wrong := _wrong_order(said):
            return fault(
                "one-answer",
                f"it answered {step.what} {_listed(said)}: {wrong}",
                "send `started` once, before the work; `completed` or `failed` once, after it;"
                " and nothing more",
            )
    return ok("one-answer", f"{len(steps)} steps") if found else _nothing("one-answer")


def _statuses(log: Log, step: Step) -> list[str]:
    """What a step was answered with. The same once more is none: where a connection was lost
    before its confirmation, an answer is rightly sent again."""
    lost = [one.at for one in log.all(Closed)]
    heard: dict[bytes, float] = {}
    said = []
    for one in log.all(Answered):
        response = response_of(one.delivery) if one.delivery.queue == step.replies else None
        if response is None:
            continue
        body = one.delivery.message.body
        before = heard.setdefault(body, one.at)
        if before == one.at or not any(before <= at <= one.at for at in lost):
            said.append(response.status)
    return said


def _wrong_order(said: Sequence[str]) -> str:
    finals = [status for status in said if status != "started"]
    if len(finals) > 1:
        return "that is more than one final answer, of which the first one counts"
    if said.count("started") > 1:
        return "a step starts once"
    if finals and said[-1] == "started":
        return "`started` after the end comes too late"
    return ""


def _listed(said: Sequence[str]) -> str:
    return ", ".join(f"`{status}`" for status in said)


# What only the tap sees.


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
    return ok("settlement", f"{count} deliveries") if count else _nothing("settlement")


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
        return _nothing("prefetch")
    return ok("prefetch", f"{max(one.prefetch for one in consumers)} at once")


# What it says by the way.


def output(log: Log, steps: Sequence[Step], *, tapped: bool) -> Finding:
    said = _said_by_the_way(log, names.OUTPUT, steps, tapped=tapped)
    return _judged("output", Output, said, steps)


def notify(log: Log, steps: Sequence[Step], *, tapped: bool) -> Finding:
    said = _said_by_the_way(log, names.notify_key(""), steps, tapped=tapped)
    return _judged("notify", Notification, said, steps)


def presence(log: Log, *, tapped: bool) -> Finding:
    if not tapped:
        return not_tried("presence", WITHOUT_TAP, TO_START)
    said = _said_by_the_way(log, names.PRESENCE, (), tapped=True)
    return _judged("presence", Presence, said, ())


class _Said(NamedTuple):
    exchange: str
    key: str
    message: Message


def _said_by_the_way(log: Log, key: str, steps: Sequence[Step], *, tapped: bool) -> list[_Said]:
    """What the worker published with this key, or with one that begins so and a dot.

    Without a tap others may be heard too: only what carries a step's correlation id is its own.
    """
    if tapped:
        heard = [_Said(one.exchange, one.routing_key, one.message) for one in log.all(Sent)]
    else:
        runs = {step.run for step in steps}
        heard = [
            _Said(one.delivery.exchange, one.delivery.routing_key, one.delivery.message)
            for one in log.all(Overheard)
            if one.delivery.message.correlation_id in runs
        ]
    return [one for one in heard if one.key == key or (key[-1] == "." and one.key.startswith(key))]


def _judged(
    check: str, kind: type[WireMessage], said: Sequence[_Said], steps: Sequence[Step]
) -> Finding:
    runs = {step.run for step in steps}
    noun = kind.TITLE if check == "presence" else check
    for one in said:
        if one.exchange != names.EXCHANGE:
            return fault(
                check,
                f"it published with the key {one.key!r} to exchange {one.exchange!r}: who listens"
                f" for it is bound to exchange {names.EXCHANGE!r}",
                f"publish it to exchange {names.EXCHANGE!r}",
            )
        try:
            kind.decode(one.message.body)
        except WireError as error:
            return fault(
                check,
                f"it sent {_shown(one.message.body)} with the key {one.key!r}: {error}",
                f"send {_a(kind.TITLE)} as the reference of messages has it",
            )
        if runs and one.message.correlation_id not in runs:
            return fault(
                check,
                f"it sent {noun} with the correlation id {one.message.correlation_id!r}, which is"
                " no step's: nobody can tell which release it belongs to",
                "copy the step's property `correlation_id`",
            )
    return ok(check, f"{len(said)} sent") if said else not_used(check, "it sent none")


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _named(what: Mapping[str, str], one: Delivered) -> str:
    return what.get(one.message.message_id or "", "a step")


def _nothing(check: str) -> Finding:
    return not_tried(check, "nothing was seen of it")


def _count(found: Answers) -> str:
    return "1 answer" if len(found) == 1 else f"{len(found)} answers"


def _shown(body: bytes) -> str:
    text = body[:80].decode(errors="replace")
    return f"{text}…" if len(body) > 80 else text
