"""Gates, at which a release waits for a person: answered once, over every restart of its core."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from headway.jobs.events import GateAnswered, GateReached, NoticeIntended, TryEnded, encode
from headway.jobs.states import RunState
from headway.ports.bus import Binding, Delivery, Exchange, Queue, QueueKind, Settlement
from headway.runtime import clocks, ownership
from headway.wire import names
from headway.wire.messages import Notification
from headway.workers.noop import NoopWorker
from tests.unit.test_core import Place, until

GATED = """
group: shop
name: Gated
execution:
  - hosts: [web1]
    steps:
      - noop:First
      - gate:Approve: {message: "Is web1 well?", notify: {started: {irc: ["#shop"]}}}
      - noop:Second
"""
SIDE_BY_SIDE = """
group: shop
name: Side by side
execution:
  - {hosts: [web1, web2], parallel: 2, steps: ["gate:Approve", "noop:Second"]}
"""


@pytest.fixture
def place() -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(stack)


def told(place: Place, run: str, kind: type) -> list[Any]:
    return [event for event in place.events(run) if isinstance(event, kind)]


def waits(place: Place, run: str, gates: int = 1) -> None:
    until(lambda: len(told(place, run, GateReached)) == gates)


def answer(place: Place, run: str, **args: Any) -> int:
    return place.store.ask(run, "approve", args, "anna", clocks.now_us())


def said(place: Place, number: int) -> str:
    def request() -> Any:
        return place.store.request(number)

    until(lambda: request().answer is not None)
    return str(request().answer)


def gated(place: Place, text: str = GATED) -> str:
    place.serve(NoopWorker)
    return place.deploy(place.playbook(text))


def test_a_release_goes_on_when_its_gate_is_approved(place: Place) -> None:
    run = gated(place)
    place.core()
    waits(place, run)
    assert [event.key for event in told(place, run, TryEnded)] == [0]
    number = answer(place, run, job=None, decision="approve", why="it is")
    assert place.ended(run) is RunState.SUCCEEDED
    assert said(place, number) == "gate:Approve@web1 is approved"
    (answered,) = told(place, run, GateAnswered)
    assert (answered.decision, answered.who, answered.why) == ("approve", "anna", "it is")
    assert answered.at_us > 0


def test_a_gate_that_is_rejected_fails_with_the_reason_and_stops_the_release(place: Place) -> None:
    run = gated(place)
    place.core()
    waits(place, run)
    answer(place, run, decision="reject", why="it smells")
    assert place.ended(run) is RunState.FAILED
    last = told(place, run, TryEnded)[-1]
    assert last.key == 1, "the step after it was not begun"
    assert last.failure.message == "anna rejected it: it smells"


def test_a_gate_waits_on_in_the_next_core_and_people_are_told_once(place: Place) -> None:
    run = gated(place)
    first = place.core()
    waits(place, run)
    first.stop()
    second = place.core()
    until(lambda: place.store.find(run).owner is not None)
    second.stop()
    assert place.state(run) is RunState.RUNNING
    place.core()
    answer(place, run)
    assert place.ended(run) is RunState.SUCCEEDED
    assert len(told(place, run, GateReached)) == 1
    assert len(told(place, run, NoticeIntended)) == 1


def test_an_answer_that_was_given_while_there_was_no_core_is_taken_by_the_next(
    place: Place,
) -> None:
    run = gated(place)
    first = place.core()
    waits(place, run)
    first.stop()
    number = answer(place, run, why="seen")
    place.core()
    assert place.ended(run) is RunState.SUCCEEDED
    assert said(place, number) == "gate:Approve@web1 is approved"


def test_an_answer_that_was_written_before_a_death_is_not_asked_for_again(place: Place) -> None:
    run = gated(place)
    first = place.core()
    waits(place, run)
    first.stop()
    # As a core leaves it that dies between the answer and the end of the try.
    record, entries = place.store.find(run), list(place.store.journal(run))
    answered = GateAnswered(clocks.now_us(), 1, 1, "approve", "anna", "")
    epoch = place.store.take(run, record.epoch, ownership.this_process())
    place.store.append(run, epoch, 1, len(entries) + 1, [encode(answered)])
    place.store.release(run, epoch)
    place.core()
    assert place.ended(run) is RunState.SUCCEEDED
    assert len(told(place, run, GateAnswered)) == 1


def test_where_several_gates_wait_the_answer_must_name_one(place: Place) -> None:
    run = gated(place, SIDE_BY_SIDE)
    place.core()
    waits(place, run, 2)
    assert said(place, answer(place, run)) == (
        "refused: 2 gates wait for an answer, say which: gate:Approve@web1, gate:Approve@web2"
    )
    assert said(place, answer(place, run, job="gate:Approve@web2")).endswith("is approved")
    assert said(place, answer(place, run, job="gate:Approve@web2")) == (
        "refused: gate:Approve@web2 does not wait for an answer"
    )
    answer(place, run)
    assert place.ended(run) is RunState.SUCCEEDED


@pytest.mark.parametrize(
    ("args", "refusal"),
    [
        ({"job": "noop:First@web1"}, "refused: noop:First@web1 does not wait for an answer"),
        ({"job": "gate:Aprove@web1"}, "refused: there is no job called"),
        ({"decision": "perhaps"}, "refused: a gate is answered by approve or reject"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(
    place: Place, args: dict[str, Any], refusal: str
) -> None:
    run = gated(place)
    place.core()
    waits(place, run)
    assert said(place, answer(place, run, **args)).startswith(refusal)
    assert place.state(run) is RunState.RUNNING


def test_a_gate_that_nobody_answers_in_time_fails(place: Place) -> None:
    run = gated(place, GATED.replace("message:", "job: {timeout: 0.05}, message:"))
    place.core()
    assert place.ended(run) is RunState.FAILED
    assert told(place, run, TryEnded)[-1].failure.message == "nobody answered within 0.05 s"


def test_a_rejected_gate_lets_the_others_go_that_wait_beside_it(place: Place) -> None:
    run = gated(place, SIDE_BY_SIDE)
    place.core()
    waits(place, run, 2)
    answer(place, run, job="gate:Approve@web1", decision="reject")
    assert place.ended(run) is RunState.FAILED
    assert [event.key for event in told(place, run, TryEnded)] == [0]


def test_a_release_that_waits_at_a_gate_can_be_cancelled(place: Place) -> None:
    run = gated(place)
    place.core()
    waits(place, run)
    place.store.ask(run, "cancel", {}, "anna", clocks.now_us())
    assert place.ended(run) is RunState.CANCELLED
    assert [event.key for event in told(place, run, TryEnded)] == [0]


def test_a_rejected_gate_asks_again_when_the_release_is_tried_again(place: Place) -> None:
    run = gated(place)
    place.core()
    waits(place, run)
    answer(place, run, decision="reject")
    assert place.ended(run) is RunState.FAILED
    place.store.ask(run, "retry", {}, "anna", clocks.now_us())
    waits(place, run, 2)
    answer(place, run)
    until(lambda: place.state(run) is RunState.SUCCEEDED)


def test_whom_a_gate_names_is_told_when_it_begins_to_wait(place: Place) -> None:
    bus, heard = place.open_bus(), []
    key = "notify.irc"
    binding = Binding(names.EXCHANGE, key)
    bus.declare(Exchange(names.EXCHANGE), Queue("irc", QueueKind.CLASSIC, (binding,)))

    def take(delivery: Delivery) -> None:
        bus.settle(delivery, Settlement.ACK)
        heard.append(Notification.decode(delivery.message.body))

    bus.consume("irc", take, inline=True)
    run = gated(place)
    place.core()
    until(lambda: bool(heard))
    (notice,) = heard
    assert (notice.phase, notice.target) == ("started", ["#shop"])
    assert f"waits for an answer (headway approve {run[:12]}): Is web1 well?" in notice.message
    answer(place, run)
    assert place.ended(run) is RunState.SUCCEEDED
