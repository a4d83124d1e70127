"""Looks at one worker, from a step to a report."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from headway.adapters.bus_address import RabbitAddress
from headway.adapters.rabbitmq.tap import Tap
from headway.adapters.rabbitmq.upkeep import Upkeep
from headway.conformance import asides, rules, settling
from headway.conformance.desk import Asking, Desk
from headway.conformance.findings import (
    NAMES,
    Finding,
    Report,
    Verdict,
    fault,
    in_order,
    not_tried,
    ok,
)
from headway.conformance.log import Log
from headway.conformance.program import Program
from headway.conformance.trials import NEED_VALID_STEP, TRIALS
from headway.conformance.visit import HEARTBEAT_S, NO_SUCH, PATIENCE_S, START_S, Visit
from headway.errors import Conflict, Rejected
from headway.runtime.buses import make_bus
from headway.wire import names

OPEN_S = 5.0  # for the broker to answer


def examine(
    asking: Asking,
    address: RabbitAddress,
    argv: Sequence[str] = (),
    *,
    long: str | None = None,
    bad: str = NO_SUCH,
    patience_s: float = PATIENCE_S,
    chosen: Sequence[str] = NAMES,
) -> Report:
    """Put the worker of a command through the checks that are chosen.

    ``argv``: what starts it; ``{mq}`` in it becomes the path of a configuration, ``{url}`` an
    address; without either the path is added at the end. Empty: it runs already. ``long``: a
    subcommand that outlasts the heartbeat; ``bad``: one that is refused.

    Raises: Conflict when the queue is somebody else's; Rejected for a program that is not there;
    Refused, Unavailable by the broker.
    """
    shown = f"{asking.command}:{asking.subcommand}"
    with _visit(asking, address, argv) as visit:
        visit.long, visit.bad, visit.patience_s = long, bad, patience_s
        findings = [_begun(visit)]
        if findings[0].verdict is Verdict.OK:
            # Without a valid step there would be nothing to judge the rest by.
            findings += [_tried(visit, one) for one in TRIALS if one in (*chosen, "valid-step")]
        else:
            findings += [not_tried(name, "see `start`") for name in TRIALS]
        findings += _judged(visit)
    return Report(shown, in_order(findings, chosen))


def _tried(visit: Visit, name: str) -> Finding:
    if name in NEED_VALID_STEP and "valid-step" in visit.cannot:
        return not_tried(name, "it cannot do a valid step yet")
    if name != "redelivery" and not visit.make_ready():  # that one starts it itself
        return fault(name, "it did not start again", "see that it can be started at any time")
    finding = TRIALS[name](visit)
    if finding.verdict not in (Verdict.OK, Verdict.NOT_USED):
        visit.cannot.add(name)
    visit.clean()
    return finding


@contextmanager
def _visit(asking: Asking, address: RabbitAddress, argv: Sequence[str]) -> Iterator[Visit]:
    with ExitStack() as stack:
        bus = make_bus(address, name="headway conform")
        bus.open(OPEN_S)
        stack.callback(bus.close)
        log, queue = Log(), names.worker_key(asking.command)
        desk = Desk(bus, log, asking.command)
        if desk.open():
            stack.callback(bus.delete, queue)  # what was not there before
        visit = Visit(asking, desk, log, Upkeep(address))
        if argv:
            _require_own(visit)
            visit.tap = Tap(address, log.note, HEARTBEAT_S, log.now)
            stack.callback(visit.tap.close)
            visit.program = Program(argv, address, visit.tap.port, HEARTBEAT_S, log)
            stack.callback(_emptied, visit)
            stack.callback(visit.program.close)
        yield visit


def _require_own(visit: Visit) -> None:
    standing = visit.upkeep.standing(visit.queue)
    if standing.consumers:
        raise Conflict(
            f"{visit.queue} is consumed already: end that worker first, or leave out the command"
            " line to look at it as it runs"
        )
    if standing.waiting:
        raise Conflict(
            f"{visit.queue} holds {standing.waiting} messages, which would be lost here: use a"
            " virtual host of its own for this"
        )


def _emptied(visit: Visit) -> None:
    """Leave none of our steps behind."""
    try:
        visit.upkeep.empty(visit.queue)
    except Rejected:
        pass  # it took its queue along


def _begun(visit: Visit) -> Finding:
    if visit.program is None:
        if visit.upkeep.standing(visit.queue).consumers:
            return ok("start", f"it consumes {visit.queue}")
        return fault("start", f"nobody consumes {visit.queue}", "start it, or add -- and what does")
    began_at = visit.log.now()
    if visit.start():
        assert visit.serving is not None
        took_s = visit.log.now() - began_at
        return ok("start", f"it consumes {visit.serving.queue} after {took_s:.1f} s")
    why = visit.program.ending() if visit.has_ended else visit._lost_since(began_at)
    return fault(
        "start",
        why or f"it consumes no queue within {START_S:g} s",
        f"connect to what {'{mq}'} or {'{url}'} names, and consume {visit.queue}",
    )


def _judged(visit: Visit) -> list[Finding]:
    log, steps, tapped = visit.log, visit.steps, visit.tap is not None
    found = [
        rules.bodies(log, steps),
        rules.correlation(log, steps),
        rules.reply_address(log, steps, tapped=tapped),
        rules.one_answer(log, steps),
        asides.output(log, steps, tapped=tapped),
        asides.notify(log, steps, tapped=tapped),
        asides.presence(log, tapped=tapped),
    ]
    if tapped:
        return [*found, settling.settlement(log, steps, visit.unsettled), settling.prefetch(log)]
    unseen = [
        not_tried(name, rules.WITHOUT_TAP, rules.TO_START) for name in ("settlement", "prefetch")
    ]
    return [*found, *unseen]
