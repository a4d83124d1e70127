"""What holds whatever a worker is given, judged from all that was seen of it."""

from collections.abc import Sequence

from headway.adapters.traffic import Closed, Sent
from headway.conformance.desk import Step, response_of
from headway.conformance.findings import Finding, fault, not_tried, ok
from headway.conformance.log import Answered, Log
from headway.errors import WireError
from headway.ports.bus import Delivery
from headway.wire import strict_json
from headway.wire.messages import Response

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
                f"its answer to {step.what} is {shown(delivery.message.body)}: {error}",
                'send a JSON object in UTF-8 whose "status" is "started", "completed" or "failed"',
            )
    return ok("bodies", f"{_count(found)} could be read") if found else nothing("bodies")


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
    return ok("correlation", f"in {_count(found)}") if found else nothing("correlation")


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
            f"it sent {shown(one.message.body)} to {where} with the key {one.routing_key!r}:"
            " nobody who waits for an answer gets it there",
            "publish answers to the default exchange (its name is the empty text), with the"
            " step's property `reply_to` as the routing key",
        )
    found = answers(log, steps)
    if found:
        return ok("reply-address", f"{_count(found)} came there")
    return nothing("reply-address") if tapped else not_tried("reply-address", WITHOUT_TAP)


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
    return ok("one-answer", f"{len(steps)} steps") if found else nothing("one-answer")


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


def nothing(check: str) -> Finding:
    return not_tried(check, "nothing was seen of it")


def _count(found: Answers) -> str:
    return "1 answer" if len(found) == 1 else f"{len(found)} answers"


def shown(body: bytes) -> str:
    text = body[:80].decode(errors="replace")
    return f"{text}…" if len(body) > 80 else text
