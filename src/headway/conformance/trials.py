"""The scenes that a worker is put into. Each takes a worker that is well, and says what it saw."""

from collections.abc import Callable, Mapping

from headway.adapters.traffic import Closed, Consuming
from headway.conformance.claiming import claims
from headway.conformance.desk import Step, response_of
from headway.conformance.findings import Finding, fault, not_tried, not_used, ok
from headway.conformance.log import Ended
from headway.conformance.rules import TO_START, WITHOUT_TAP
from headway.conformance.visit import LONG_S, Visit, is_direct
from headway.wire.messages import ABSENT

RETURN = 3  # times the patience: to connect again
NO_SUCH = "NoSuchSubcommand"
MALFORMED: Mapping[str, bytes] = {
    "a body that breaks off in the middle": b'{"parameters": {"command": ',
    "a body that is not UTF-8": b'{"parameters": "\xff\xfe"}',
    "a bare number as its body": b"42",
    "an empty object as its body": b"{}",
    "a list where parameters should be": b'{"parameters": [], "dynamic": {}, "notify": {}}',
}
LONG_HINT = "give --long SUBCOMMAND, and with --param what makes it last {0:g} s or more"
HEARTBEATS = 2.5  # what a long step has to outlast; the broker is patient for two


def valid_step(visit: Visit) -> Finding:
    step = visit.send("a valid step")
    status = visit.done(step)
    if status is None:
        return visit.explained("valid-step", step)
    said = " and ".join(f"`{one}`" for one in visit.said(step))
    if status == "failed":
        return fault(
            "valid-step",
            f"it answered a valid step {said}{_why(visit, step)}",
            "name a step that it can do: COMMAND:SUBCOMMAND, with --host, --param and --set",
        )
    return ok("valid-step", f"{said} after {visit.log.now() - step.sent_at:.2f} s")


def bad_subcommand(visit: Visit) -> Finding:
    step = visit.send("a subcommand that it does not have", visit.asking.body(NO_SUCH))
    status = visit.done(step)
    if status is None:
        return visit.explained("bad-subcommand", step)
    if status == "completed":
        return fault(
            "bad-subcommand",
            f"it answered the subcommand {NO_SUCH} `completed`: a playbook with a slip of the pen"
            " would look like a success",
            "answer `failed` to every subcommand that it does not know",
        )
    return ok("bad-subcommand", f"`failed`{_why(visit, step)}")


def missing_dynamic(visit: Visit) -> Finding:
    if not visit.asking.dynamic:
        return not_used("missing-dynamic", "no dynamic values were given for its steps (--set)")
    step = visit.send("a step without its dynamic values", visit.asking.body(dynamic=False))
    status = visit.done(step)
    if status is None:
        return visit.explained("missing-dynamic", step)
    if status == "completed":
        listed = ", ".join(visit.asking.dynamic)
        return fault(
            "missing-dynamic",
            f"it answered a step without {listed} `completed`",
            "before the work, see that `dynamic` has all it needs, and answer `failed` if not",
        )
    return ok("missing-dynamic", f"`failed`{_why(visit, step)}")


def malformed_body(visit: Visit) -> Finding:
    for what, body in MALFORMED.items():
        step = visit.send(what, body)
        status = visit.done(step)
        if status is None:
            return visit.explained("malformed-body", step)
        if status == "completed":
            return fault(
                "malformed-body",
                f"it answered {what} `completed`",
                "answer `failed` to what is no step message: correlation id and `reply_to` are"
                " properties of the message, and can be read whatever the body is",
            )
    if "valid-step" not in visit.cannot:
        step = visit.send("a valid step after malformed ones")
        if visit.done(step) != "completed":
            return visit.explained("malformed-body", step)
    return ok("malformed-body", f"{len(MALFORMED)} of them, each `failed`")


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
            f"it answered `failed`{_why(visit, step)}",
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


def lost_connection(visit: Visit) -> Finding:
    if visit.tap is None:
        return not_tried("lost-connection", WITHOUT_TAP, TO_START)
    cut_at = visit.log.now()
    visit.tap.cut()

    def is_back() -> bool:
        return any(not is_direct(one.queue) for one in visit.log.all(Consuming, cut_at))

    limit_s = RETURN * visit.patience_s
    visit.log.until(lambda: is_back() or visit.has_ended, limit_s)
    if visit.has_ended:
        return ok("lost-connection", "it leaves: have something start it again")
    if not is_back():
        return fault(
            "lost-connection",
            f"{limit_s:g} s after its connection was lost it is still there, and serves nobody",
            "connect again after growing waits, or leave and be started again",
        )
    back_s = visit.log.now() - cut_at
    step = visit.send("a valid step after a lost connection")
    if visit.done(step) != "completed":
        return visit.explained("lost-connection", step)
    return ok("lost-connection", f"it was back after {back_s:.1f} s")


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


def redelivery(visit: Visit) -> Finding:
    if visit.program is None:
        return not_tried("redelivery", WITHOUT_TAP, TO_START)
    visit.end()
    visit.upkeep.empty(visit.queue)
    step, message = visit.desk.message("a step that was delivered before", visit.asking.body())
    visit.steps.append(step)
    visit.fresh.append(step)
    visit.upkeep.redeliver(visit.queue, message)
    visit.start()
    status = visit.done(step)
    if status is None:
        return visit.explained("redelivery", step)
    if status == "failed":
        return fault(
            "redelivery",
            f"it answered `failed`{_why(visit, step)}",
            "a worker that died may have left a step behind: do it as any other",
        )
    if not all(one.redelivered for one in visit.deliveries(step)):
        return not_tried("redelivery", "the broker did not mark it as delivered before")
    return ok("redelivery", "`completed`")


def _why(visit: Visit, step: Step) -> str:
    """What its final answer says besides the status."""
    for answer in visit.answers(step):
        response = response_of(answer)
        if response is not None and response.is_final:
            for value in (response.data, response.message):
                if value is not ABSENT and value is not None:
                    return f": {str(value)[:120]}"
    return ""


# What makes no sense with a worker that cannot do a valid step.
NEED_VALID_STEP = ("claims", "long-step", "lost-connection", "redelivery")
TRIALS: Mapping[str, Callable[[Visit], Finding]] = {
    "valid-step": valid_step,
    "bad-subcommand": bad_subcommand,
    "missing-dynamic": missing_dynamic,
    "malformed-body": malformed_body,
    "claims": claims,
    "long-step": long_step,
    "lost-connection": lost_connection,
    "stop": stop,
    "redelivery": redelivery,
}
