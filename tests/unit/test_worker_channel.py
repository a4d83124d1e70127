"""The channel that process is given: pika's on RabbitMQ, and no more of it than a step may use."""

import queue
import random
from typing import Any

import pytest

from headway.errors import DefinitionError
from headway.ports.bus import Delivery, Message, Settlement
from headway.runtime.worker_channel import given
from headway.wire import names
from tests.properties.test_messages import spoilt
from tests.unit.serving import desk, step, worker

AT_RABBITMQ, IN_MEMORY = "amqp://frob@localhost:5672/%2F", "memory://here"


class Author:
    """Keeps what the channel asks of it."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def settle_tag(self, delivery_tag: int, settlement: Settlement) -> None:
        self.asked.append((delivery_tag, settlement))

    def publish_raw(self, message: Message, routing_key: str, exchange: str) -> None:
        self.asked.append((message, routing_key, exchange))


DELIVERY = Delivery(
    Message(b"{}", "text/x", {"a": 1}, "run-1", "replies", "m-1", timestamp_s=7, persistent=False),
    "worker.frob", "re", "worker.frob", True, (1, 1),
)  # fmt: skip


def test_on_rabbitmq_they_are_pikas_own() -> None:
    pytest.importorskip("pika")
    from pika.channel import Channel
    from pika.spec import Basic, BasicProperties

    channel, deliver, properties = given(AT_RABBITMQ, Author(), Author(), DELIVERY, 5)
    assert isinstance(channel, Channel)
    assert isinstance(deliver, Basic.Deliver)
    assert isinstance(properties, BasicProperties)


@pytest.mark.parametrize("place", [AT_RABBITMQ, IN_MEMORY])
def test_they_say_the_same_wherever_the_bus_is(place: str) -> None:
    _, deliver, properties = given(place, Author(), Author(), DELIVERY, 5)
    assert (deliver.delivery_tag, deliver.redelivered) == (5, True)
    assert (deliver.exchange, deliver.routing_key) == ("re", "worker.frob")
    assert (properties.correlation_id, properties.reply_to) == ("run-1", "replies")
    assert (properties.message_id, properties.headers) == ("m-1", {"a": 1})
    assert (properties.content_type, properties.timestamp, properties.delivery_mode) == (
        "text/x", 7, 1,
    )  # fmt: skip
    assert properties.app_id is None


@pytest.mark.parametrize("place", [AT_RABBITMQ, IN_MEMORY])
def test_its_calls_reach_the_worker(place: str) -> None:
    author = Author()
    channel, _, properties = given(place, author, author, DELIVERY, 5)
    channel.basic_ack(5)
    channel.basic_nack(delivery_tag=5)
    channel.basic_reject(5, requeue=False)
    channel.basic_publish("re", "output", "text", properties, mandatory=True)
    channel.basic_publish(exchange="", routing_key="replies", body=b"bytes")
    assert channel.is_open
    assert "step" in repr(channel)
    assert author.asked == [
        (5, Settlement.ACK),
        (5, Settlement.REQUEUE),
        (5, Settlement.REJECT),
        (DELIVERY.message._replace(body=b"text", timestamp_s=None), "output", "re"),
        (Message(b"bytes"), "replies", ""),
    ]


def test_what_a_step_may_not_do_to_the_channel_is_refused_by_name() -> None:
    pytest.importorskip("pika")
    channel, _, _ = given(AT_RABBITMQ, Author(), Author(), DELIVERY, 5)
    for call in ("close", "basic_qos", "queue_declare", "confirm_delivery", "tx_select"):
        with pytest.raises(DefinitionError, match=rf"channel\.{call} is not for a step"):
            getattr(channel, call)()


def test_spoilt_messages_are_each_answered_and_kept_and_the_worker_goes_on() -> None:
    worked: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        worked.put(body)
        self.send(props.reply_to, props.correlation_id, {"status": "completed"}, exchange="")

    chance = random.Random(7)
    with desk() as at, at.serving(at.make(worker(process))):
        answers: dict[str, int] = {"failed": 0, "completed": 0}
        for number in range(1_000):
            body = spoilt(chance)[: 1 << 20]
            at.send(body, correlation_id=f"run-{number}")
            message = at.next()
            answers["failed" if b'"failed"' in message.message.body else "completed"] += 1
            assert message.message.correlation_id == f"run-{number}"
        for _ in range(answers["failed"]):
            assert at.next("dead-watch").message.headers[names.REASON]
        at.send(step())
        assert b"completed" in at.next().message.body
    assert answers["failed"] > 500
    assert worked.qsize() == answers["completed"] + 1
    assert at.is_silent("dead-watch")
