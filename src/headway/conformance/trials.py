"""The scenes that a worker is put into. Each takes a worker that is well, and says what it saw."""

from collections.abc import Callable, Mapping

from headway.adapters.traffic import Consuming
from headway.conformance.claiming import claims
from headway.conformance.findings import Finding, fault, not_tried, not_used, ok
from headway.conformance.lasting import long_step, stop
from headway.conformance.rules import TO_START, WITHOUT_TAP
from headway.conformance.visit import Visit, is_direct, why

RETURN = 3  # times the patience: to connect again
MALFORMED: Mapping[str, bytes] = {
    "a body that breaks off in the middle": b'{"parameters": {"command": ',
    "a body that is not UTF-8": b'{"parameters": "\xff\xfe"}',
    "a bare number as its body": b"42",
    "an empty object as its body": b"{}",
    "a list where parameters should be": b'{"parameters": [], "dynamic": {}, "notify": {}}',
}


def valid_step(visit: Visit) -> Finding:
    step = visit.send("a valid step")
    status = visit.done(step)
    if status is None:
        return visit.explained("valid-step", step)
    said = " and ".join(f"`{one}`" for one in visit.said(step))
    if status == "failed":
        return fault(
            "valid-step",
            f"it answered a valid step {said}{why(visit, step)}",
            "name a step that it can do: COMMAND:SUBCOMMAND, with --host, --param and --set",
        )
    return ok("valid-step", f"{said} after {visit.log.now() - step.sent_at:.2f} s")


def bad_subcommand(visit: Visit) -> Finding:
    step = visit.send("a subcommand that it does not have", visit.asking.body(visit.bad))
    status = visit.done(step)
    if status is None:
        return visit.explained("bad-subcommand", step)
    if status == "completed":
        return fault(
            "bad-subcommand",
            f"it answered the subcommand {visit.bad} `completed`: a playbook with a slip of the pen"
            " would look like a success",
            "answer `failed` to every subcommand that it does not know; if it is to know them all,"
            " name one that fails with --bad",
        )
    return ok("bad-subcommand", f"`failed`{why(visit, step)}")


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
    return ok("missing-dynamic", f"`failed`{why(visit, step)}")


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
            f"it answered `failed`{why(visit, step)}",
            "a worker that died may have left a step behind: do it as any other",
        )
    if not all(one.redelivered for one in visit.deliveries(step)):
        return not_tried("redelivery", "the broker did not mark it as delivered before")
    return ok("redelivery", "`completed`")


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
