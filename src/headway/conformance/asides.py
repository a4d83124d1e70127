"""What a worker says besides its answers: output lines, notifications, presence."""

from collections.abc import Sequence
from typing import NamedTuple

from headway.adapters.traffic import Sent
from headway.conformance.desk import Step
from headway.conformance.findings import Finding, fault, not_tried, not_used, ok
from headway.conformance.log import Log, Overheard
from headway.conformance.rules import TO_START, WITHOUT_TAP, shown
from headway.errors import WireError
from headway.ports.bus import Message
from headway.wire import names
from headway.wire.messages import Notification, Output, Presence, WireMessage


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
                f"it sent {shown(one.message.body)} with the key {one.key!r}: {error}",
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
