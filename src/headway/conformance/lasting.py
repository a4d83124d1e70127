"""The scenes with a step that lasts: longer than the heartbeat, and in hand at SIGTERM."""

from headway.adapters.traffic import Closed
from headway.conformance.desk import Step
from headway.conformance.findings import Finding, fault, not_tried, ok
from headway.conformance.log import Ended
from headway.conformance.rules import TO_START, WITHOUT_TAP
from headway.conformance.visit import LONG_S, Visit, why

LONG_HINT = "give --long SUBCOMMAND, and with --param what makes it last {0:g} s or more"
HEARTBEATS = 2.5  # what a long step has to outlast; the broker is patient for two


def long_step(visit: Visit) -> Finding:
    heartbeat_s = visit.heartbeat_s if visit.heartbeat_s is not None else 0
    enough_s = HEARTBEATS * heartbeat_s
    if visit.long is None:
        return not_tried("long-step", "no step that lasts was named", LONG_HINT.format(enough_s))
    step = visit.send("a long step", visit.asking.body(visit.long))
    status = _waited_for(visit, step)
    now = visit.log.now()
    visit.long_took_s = took_s = now - step.sent_at
    silence_s, connection_lost = _silence(visit, step, now)
    if connection_lost or (heartbeat_s and silence_s > 2 * heartbeat_s):
        lost = " and the broker closed it" if connection_lost else ""
        return fault(
            "long-step",
            f"while it worked, its connection was silent for {silence_s:.1f} s, at a heartbeat of"
            f" {heartbeat_s} s{lost}: the step is given to somebody else, and its end is not heard",
            "do the work where it does not hold up the connection: in a thread, a process, or"
            " without blocking the event loop",
        )
    if status is None:
        return visit.explained("long-step", step)
    if status == "failed":
        return fault(
            "long-step",
            f"it answered `failed`{why(visit, step)}",
            "name with --long a subcommand that completes",
        )
    if took_s < enough_s:
        return not_tried(
            "long-step",
            f"{visit.asking.command}:{visit.long} was over after {took_s:.1f} s, at a heartbeat of"
            f" {heartbeat_s} s",
            LONG_HINT.format(enough_s),
        )
    if visit.tap is None:
        return ok("long-step", f"`completed` after {took_s:.1f} s")
    if not heartbeat_s:
        return ok("long-step", "it switched heartbeats off: a dead network is noticed late")
    return ok("long-step", f"{took_s:.1f} s, never silent for more than {silence_s:.1f} s")


def _waited_for(visit: Visit, step: Step) -> str | None:
    """The final status of a long step; what is wrong before it begins is not waited for."""

    def begun() -> bool:
        return bool(visit.answers(step)) or visit.is_over(step) or _is_lost(visit, step)

    visit.log.until(begun, visit.patience_s)
    if visit.answers(step):
        visit.log.until(lambda: visit.is_over(step) or _is_lost(visit, step), LONG_S)
    return visit.done(step, 0.01)


def _is_lost(visit: Visit, step: Step) -> bool:
    return any(one.by_worker is False for one in visit.log.all(Closed, step.sent_at))


def _silence(visit: Visit, step: Step, now: float) -> tuple[float, bool]:
    deliveries = visit.deliveries(step)
    if not deliveries:
        return 0.0, False
    connection = deliveries[0].connection
    closed = [one for one in visit.log.all(Closed, step.sent_at) if one.connection == connection]
    until = closed[0].at if closed else now
    return visit.log.silence_s(connection, deliveries[0].at, until), bool(closed)


def stop(visit: Visit) -> Finding:
    if visit.program is None:
        return not_tried("stop", WITHOUT_TAP, TO_START)
    visit.program.tell_to_stop()
    if not visit.log.until(lambda: visit.has_ended, visit.patience_s):
        return fault(
            "stop",
            f"{visit.patience_s:g} s after SIGTERM it is still there, with nothing to do",
            "on SIGTERM take no more steps, finish the one in hand, close the connection, leave",
        )
    if visit.long is None or "long-step" in visit.cannot:
        hint = LONG_HINT.format(1)
        return ok("stop", "when idle; with a step in hand it was not tried", hint)
    if not visit.start():
        return fault("stop", visit.program.ending(), "it must start again after a stop")
    return _stopped_at_work(visit)


def _stopped_at_work(visit: Visit) -> Finding:
    assert visit.program is not None
    step = visit.send("a long step in hand at SIGTERM", visit.asking.body(visit.long))
    visit.log.until(lambda: visit.answers(step) or visit.is_over(step), visit.patience_s)
    if visit.is_over(step) or not visit.answers(step):
        return not_tried("stop", f"{visit.long} was not under way when it was to be interrupted")
    visit.program.tell_to_stop()
    limit_s = (visit.long_took_s or LONG_S) + visit.patience_s
    visit.log.until(lambda: visit.has_ended, limit_s)
    visit.log.until(lambda: visit.said(step)[-1:] != ["started"], visit.patience_s / 10)
    finished = [one for one in visit.said(step) if one != "started"]
    if not visit.has_ended:
        return fault(
            "stop",
            f"{limit_s:.0f} s after SIGTERM it is still there",
            "on SIGTERM take no more steps, finish the one in hand, close the connection, leave",
        )
    if not finished:
        return fault(
            "stop",
            "at SIGTERM it left in the middle of a step, which nobody will ever hear the end of",
            "on SIGTERM finish the step in hand and answer it, then leave",
        )
    ended = visit.log.last(Ended)
    code = f", with code {ended.code}" if ended is not None and ended.code else ""
    return ok("stop", f"when idle; and with a step in hand, which it finished{code}")
