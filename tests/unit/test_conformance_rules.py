"""What conform makes of what it saw, without a worker."""

import json
from typing import Any

import pytest

from headway.adapters.traffic import (
    ChannelRefused,
    Closed,
    Consuming,
    Delivered,
    Heard,
    Sent,
    Settled,
)
from headway.conformance import asides, rules, settling
from headway.conformance.desk import Step
from headway.conformance.findings import Verdict, fault, in_order, ok
from headway.conformance.log import Answered, Log
from headway.ports.bus import Delivery, Message, Settlement

STEP = Step("a valid step", "run-1", "attempt-1", "re.conform.1", 0.0)
ACK, REQUEUE = Settlement.ACK, Settlement.REQUEUE


def answered(*contents: Any, **properties: Any) -> Log:
    """A log of one step's answers."""
    log = Log()
    known = {"correlation_id": STEP.run, **properties}
    for content in contents:
        message = Message(json.dumps(content).encode(), **known)
        log.note(Answered(1.0, Delivery(message, STEP.replies, "", STEP.replies, False, (1, 1))))
    return log


def said(*statuses: str) -> Log:
    return answered(*({"status": status} for status in statuses))


@pytest.mark.parametrize(
    "statuses", [("started", "completed"), ("started", "failed"), ("failed",), ("completed",)]
)
def test_an_orderly_end_is_no_fault(statuses: tuple[str, ...]) -> None:
    assert rules.one_answer(said(*statuses), [STEP]).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        (("started", "completed", "failed"), "more than one final answer"),
        (("started", "started", "completed"), "starts once"),
        (("completed", "started"), "too late"),
        (("completed", "completed"), "more than one final answer"),
    ],
)
def test_a_disorderly_end_is_told(statuses: tuple[str, ...], told: str) -> None:
    finding = rules.one_answer(said(*statuses), [STEP])
    assert finding.verdict is Verdict.FAULT
    assert told in finding.text


def test_an_answer_may_come_again_where_the_connection_was_lost_before_its_confirmation() -> None:
    log = said("started", "completed")
    log.note(Closed(2.0, 1, by_worker=False))
    content = json.dumps({"status": "completed"}).encode()
    again = Delivery(
        Message(content, correlation_id=STEP.run), STEP.replies, "", STEP.replies, False, (1, 1)
    )
    log.note(Answered(3.0, again))
    assert rules.one_answer(log, [STEP]).verdict is Verdict.OK
    other = again.message._replace(body=b'{"status": "failed"}')
    log.note(Answered(4.0, again._replace(message=other)))
    assert rules.one_answer(log, [STEP]).verdict is Verdict.FAULT


def test_an_echo_of_another_message_id_is_told() -> None:
    log = answered({"status": "completed"}, message_id="attempt-2")
    assert "counts for nothing" in rules.correlation(log, [STEP]).text
    log = answered({"status": "completed"}, message_id=STEP.attempt)
    assert rules.correlation(log, [STEP]).verdict is Verdict.OK


def taken(log: Log, tag: int, channel: int = 1) -> None:
    message = Message(b"{}", message_id=STEP.attempt)
    log.note(Delivered(2.0, 1, channel, tag, message, False))


def consuming(prefetch: int = 1, *, settles: bool = True) -> Log:
    log = Log()
    log.note(Consuming(1.0, 1, 1, "worker.plain", prefetch, settles))
    return log


def test_one_acknowledgement_may_cover_many_deliveries() -> None:
    log = consuming()
    for tag in (1, 2, 3):
        taken(log, tag)
    log.note(Settled(3.0, 1, 1, 2, True, ACK))
    assert [one.tag for one in settling.unsettled(log)] == [3]
    log.note(Settled(4.0, 1, 1, 0, True, ACK))
    assert settling.unsettled(log) == []
    assert settling.settlement(log, [STEP], []).verdict is Verdict.OK


def test_a_tag_of_another_channel_settles_nothing() -> None:
    log = consuming()
    taken(log, 1)
    log.note(Settled(3.0, 1, 2, 1, False, ACK))
    assert len(settling.unsettled(log)) == 1


def test_what_is_requeued_again_and_again_is_told() -> None:
    log = consuming()
    for tag in (1, 2, 3):
        taken(log, tag)
        log.note(Settled(3.0, 1, 1, tag, False, REQUEUE))
    assert "again and again" in settling.settlement(log, [STEP], []).text


def test_what_the_broker_says_of_a_tag_is_told() -> None:
    log = consuming()
    log.note(ChannelRefused(3.0, 1, 1, 406, "PRECONDITION_FAILED - unknown delivery tag 7"))
    assert "unknown delivery tag 7" in settling.settlement(log, [STEP], []).text


@pytest.mark.parametrize(
    ("prefetch", "verdict"), [(0, "fault"), (1, "ok"), (8, "ok"), (65_535, "fault")]
)
def test_a_prefetch_is_bounded(prefetch: int, verdict: str) -> None:
    assert settling.prefetch(consuming(prefetch)).verdict == verdict


def test_the_consumer_of_grants_needs_no_prefetch_and_no_settling() -> None:
    log = consuming()
    log.note(Consuming(1.0, 1, 1, "amq.rabbitmq.reply-to", 0, False))
    assert settling.prefetch(log).verdict is Verdict.OK
    assert settling.settlement(log, [STEP], []).verdict is not Verdict.FAULT


def published(key: str, content: Any, exchange: str = "re", run: str = STEP.run) -> Log:
    log = Log()
    message = Message(json.dumps(content).encode(), correlation_id=run)
    log.note(Sent(1.0, 1, 1, exchange, key, message))
    return log


NOTICE = {"slug": "x", "message": "y", "phase": "failed", "target": ["z"]}


def test_a_notification_is_looked_at_with_its_exchange_and_its_run() -> None:
    for log, told in (
        (published("notify.irc", NOTICE), "1 sent"),
        (published("notify.irc", NOTICE, exchange=""), "to exchange ''"),
        (published("notify.irc", NOTICE, run="run-2"), "no step's"),
        (published("notify.irc", {**NOTICE, "slug": "x" * 81}), "81 characters"),
        (published("notifying", NOTICE), "it sent none"),
    ):
        assert told in asides.notify(log, [STEP], tapped=True).text


def test_an_answer_that_went_astray_is_found_wherever_it_went() -> None:
    for log in (
        published("worker.x", {"status": "completed"}),
        published("log", {"status": "done"}, exchange=""),
    ):
        assert rules.reply_address(log, [STEP], tapped=True).verdict is Verdict.FAULT
    assert rules.strays(published(STEP.replies, {"status": "started"}, exchange="")) == []


def test_the_longest_silence_is_between_two_signs_of_life() -> None:
    log = Log()
    for at in (0.5, 1.0, 4.0, 9.0):
        log.note(Heard(at, 1))
    log.note(Heard(2.0, 2))
    assert log.silence_s(1, 1.0, 5.0) == 3.0
    assert log.silence_s(1, 0.0, 8.5) == 4.5
    assert log.silence_s(3, 0.0, 8.0) == 8.0


def test_a_check_has_one_finding_and_a_fault_outdoes_the_rest() -> None:
    findings = [ok("prefetch", "1"), ok("stop", "a"), fault("stop", "b", "c"), ok("start", "d")]
    kept = in_order(findings, ("start", "stop"))
    assert [(one.check, one.text) for one in kept] == [("start", "d"), ("stop", "b")]
