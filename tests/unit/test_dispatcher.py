"""What a dispatcher holds to when its caller and its news cross."""

import queue
import sys
import threading
from collections.abc import Iterator

import pytest

from headway.adapters.dispatching import (
    Answered,
    Claimed,
    Dispatch,
    Dispatcher,
    GivenBack,
    Heard,
    Line,
)
from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus
from headway.ports.bus import Binding, Delivery, Exchange, Message, Queue, QueueKind
from headway.runtime.sending import StepSender
from headway.wire import names
from headway.wire.messages import Claim, StepMessage
from tests.unit.serving import DEADLINE_S

STEP = StepMessage(parameters={"command": "frob", "subcommand": "Ok", "hosts": ["localhost"]})


@pytest.fixture
def bus() -> Iterator[MemoryBus]:
    opened = MemoryBus(MemoryBroker("test"))
    opened.open()
    opened.declare(Exchange(names.EXCHANGE))
    key = names.worker_key("frob")
    opened.declare(Queue(key, QueueKind.CLASSIC, (Binding(names.EXCHANGE, key),)))
    yield opened
    opened.close()


@pytest.fixture
def dispatcher(bus: MemoryBus) -> Iterator[Dispatcher]:
    made = Dispatcher(bus, "re.step.test")
    made.open()
    yield made
    made.close()


def test_a_grant_that_comes_after_its_worker_gave_the_attempt_back_is_nobodys(
    bus: MemoryBus, dispatcher: Dispatcher
) -> None:
    told: queue.SimpleQueue[Heard] = queue.SimpleQueue()
    for worker in ("first", "second"):
        bus.declare(Queue(worker, QueueKind.CLASSIC))

    def claim(worker: str, *, give_back: bool = False) -> Heard:
        body = Claim(attempt="attempt", worker=worker, give_back=give_back).encode()
        bus.publish(Message(body, names.JSON, reply_to=worker), dispatcher.claims_queue)
        return told.get(timeout=DEADLINE_S)

    dispatcher.offer(Dispatch("attempt", "run", "frob", STEP, lambda _, heard: told.put(heard)))
    first = claim("first")
    assert isinstance(first, Claimed)
    given_back = claim("first", give_back=True)
    assert isinstance(given_back, GivenBack)
    assert given_back.worker == "first"
    first.grant()
    second = claim("second")
    assert isinstance(second, Claimed)
    assert not second.again
    second.grant()
    granted: queue.SimpleQueue[str] = queue.SimpleQueue()
    for worker in ("first", "second"):
        bus.consume(worker, lambda delivery: granted.put(delivery.queue))
    assert granted.get(timeout=DEADLINE_S) == "second"


def test_a_run_may_be_given_an_attempt_while_its_last_one_is_forgotten(
    dispatcher: Dispatcher,
) -> None:
    offered: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def forget() -> None:
        while (attempt := offered.get()) is not None:
            dispatcher.forget(attempt)

    forgetting = threading.Thread(target=forget)
    switches_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    forgetting.start()
    try:
        for number in range(3000):
            dispatcher.offer(Dispatch(str(number), "run", "frob", STEP, lambda _, heard: None))
            offered.put(str(number))
    finally:
        sys.setswitchinterval(switches_s)
        offered.put(None)
        forgetting.join(DEADLINE_S)


def test_a_step_sent_by_hand_is_shown_to_its_last_line_where_one_was_promised(
    bus: MemoryBus,
) -> None:
    def later(delivery: Delivery) -> None:
        """Answer, and say the last line when that has been taken."""
        step = delivery.message
        known = Message(
            b'{"status": "completed"}',
            names.JSON,
            {names.CLOSING: True},
            correlation_id=step.correlation_id,
            message_id=step.message_id,
        )
        bus.publish(known, step.reply_to or "")
        assert answered.wait(DEADLINE_S)
        line = known._replace(body=b'{"message": "frobbed"}')
        bus.publish(line, names.OUTPUT, names.EXCHANGE)

    answered = threading.Event()
    bus.consume(names.worker_key("frob"), later)
    sender = StepSender(bus)
    sender.open()
    sent = sender.send("frob", STEP)
    assert [type(news) for news in sent.heard()] == [Answered]
    answered.set()
    assert [str(news.text) for news in sent.rest() if isinstance(news, Line)] == ["frobbed"]
    sender.close()
