"""The scene in which attempts are to be claimed: one is granted late, one is refused."""

from headway.conformance.desk import Step, response_of
from headway.conformance.findings import Finding, fault, not_used, ok
from headway.conformance.log import Asked, Granted
from headway.conformance.visit import Visit
from headway.errors import WireError
from headway.wire import names
from headway.wire.messages import Claim

HOLD_S = 1.0  # between a claim and its grant: in which nothing must begin
HOW = (
    "after the claim, wait for the grant with `granted`: true for this attempt and this worker;"
    " only then begin"
)


def claims(visit: Visit) -> Finding:
    late = visit.send("a step to be claimed", claims=True)
    visit.log.until(lambda: _claim_of(visit, late) or visit.is_over(late), visit.patience_s)
    asked = _claim_of(visit, late)
    if asked is None:
        if not visit.said(late):
            return visit.explained("claims", late)
        visit.done(late)
        return not_used("claims", "it does not claim attempts: its `started` counts as its claim")
    return _misshapen(asked) or _granted_late(visit, late) or _refused(visit)


def _misshapen(asked: Asked) -> Finding | None:
    message = asked.delivery.message
    try:
        Claim.decode(message.body)
    except WireError as error:
        return fault("claims", f"its claim is wrong: {error}", "see Claim in the messages")
    if message.reply_to is None:
        return fault(
            "claims",
            "its claim names no `reply_to`: there is nowhere to send the grant",
            "consume amq.rabbitmq.reply-to (no-ack) and claim with it as `reply_to`",
        )
    return None


def _granted_late(visit: Visit, step: Step) -> Finding | None:
    visit.log.until(lambda: visit.said(step), HOLD_S)
    if visit.said(step):
        return fault("claims", "it claimed a step and ran it without waiting for the grant", HOW)
    visit.desk.answer_claims(step, granted=True)
    status = visit.done(step)
    if status is None:
        return visit.explained("claims", step)
    claimant = _worker_of(visit, step)
    for answer in visit.answers(step):
        sender = answer.message.headers.get(names.WORKER)
        if response_of(answer) is not None and sender != claimant:
            return fault(
                "claims",
                f"it claimed as {claimant!r} and answered as {sender!r}: an answer of anybody but"
                " the claimant counts for nothing",
                f"send its name in the header `{names.WORKER}` of every answer",
            )
    return None


def _refused(visit: Visit) -> Finding:
    refused = visit.send("a step whose claim is refused", claims=True)
    visit.silent.add(refused.attempt)
    visit.desk.answer_claims(refused, granted=False)
    visit.log.until(lambda: _has_heard(visit, refused) or visit.is_over(refused), visit.patience_s)
    # By the time that it has done the next one, it would have done this one too.
    after = visit.send("a step after a refused one", claims=True)
    visit.desk.answer_claims(after, granted=True)
    status = visit.done(after)
    if visit.said(refused):
        return fault("claims", "it ran a step although its claim was refused", HOW)
    if status is None:
        return visit.explained("claims", after)
    if _worker_of(visit, after) != _worker_of(visit, refused):
        return fault(
            "claims",
            "it claims under another name each time: its grant cannot be repeated to it",
            "choose the claim's `worker` once, when the process starts",
        )
    return ok("claims", "it waits for the grant, and leaves alone what is refused")


def _claim_of(visit: Visit, step: Step) -> Asked | None:
    """The claim for a step: by its content, else the first since that names no other."""
    for asked in visit.log.all(Asked, step.sent_at):
        claim = _decoded(asked)
        if claim is None or claim.attempt == step.attempt:
            return asked
    return None


def _has_heard(visit: Visit, step: Step) -> bool:
    return any(one.attempt == step.attempt for one in visit.log.all(Granted))


def _worker_of(visit: Visit, step: Step) -> str | None:
    asked = _claim_of(visit, step)
    claim = _decoded(asked) if asked is not None else None
    return claim.worker if claim is not None else None


def _decoded(asked: Asked) -> Claim | None:
    try:
        return Claim.decode(asked.delivery.message.body)
    except WireError:
        return None
