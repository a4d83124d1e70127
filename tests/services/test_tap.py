"""The tap between a worker and RabbitMQ: passes all on unchanged, and tells what it saw."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pika
import pytest
import trustme
from pika.exceptions import AMQPError, ChannelClosedByBroker

from headway.adapters.bus_address import RabbitAddress, parse_bus_url
from headway.adapters.rabbitmq.tap import Tap
from headway.adapters.rabbitmq.upkeep import Upkeep
from headway.adapters.traffic import (
    ChannelRefused,
    Closed,
    Connected,
    Consuming,
    Delivered,
    Sent,
    Settled,
)
from headway.conformance.log import Log
from headway.errors import Rejected
from headway.ports.bus import Message, Settlement
from tests.services.forwarder import Forwarder
from tests.services.rabbitmq import RabbitMQ

pytestmark = pytest.mark.services

DEADLINE_S = 30.0
HEARTBEAT_S = 7
LARGE = bytes(range(256)) * 4096  # a mebibyte: many frames


@pytest.fixture
def address(rabbitmq: RabbitMQ) -> RabbitAddress:
    address = parse_bus_url(rabbitmq.url)
    assert isinstance(address, RabbitAddress)
    return address


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def tap(address: RabbitAddress, log: Log) -> Iterator[Tap]:
    tap = Tap(address, log.note, HEARTBEAT_S)
    yield tap
    tap.close()


def leave(connection: Any) -> None:
    with suppress(AMQPError):  # the test has broken it
        if connection.is_open:
            connection.close()


@pytest.fixture
def worker(address: RabbitAddress) -> Iterator[Callable[[Tap], Any]]:
    """Connects plainly to a tap."""
    with ExitStack() as stack:

        def connect(tap: Tap) -> Any:
            known = pika.PlainCredentials(address.user, address.password)
            connection = pika.BlockingConnection(
                pika.ConnectionParameters("127.0.0.1", tap.port, address.vhost, known)
            )
            stack.callback(leave, connection)
            return connection

        yield connect


def test_what_a_worker_does_is_told_and_passed_on_unchanged(
    tap: Tap, log: Log, worker: Callable[[Tap], Any]
) -> None:
    channel = worker(tap).channel()
    channel.queue_declare("q")
    channel.basic_qos(prefetch_count=3)
    got: list[Any] = []
    channel.basic_consume("q", lambda *delivery: got.append(delivery))
    properties = pika.BasicProperties(message_id="m-1", headers={"n": 1})
    for body in (LARGE, b"", b"last"):
        channel.basic_publish("", "q", body, properties)
    while len(got) < 3:
        channel.connection.process_data_events(DEADLINE_S)
    channel.basic_ack(got[1][1].delivery_tag, multiple=True)
    channel.basic_reject(got[2][1].delivery_tag, requeue=False)
    channel.connection.close()

    assert log.until(lambda: log.last(Closed), DEADLINE_S)
    assert [delivery[3] for delivery in got] == [LARGE, b"", b"last"]
    sent, delivered = list(log.all(Sent)), list(log.all(Delivered))
    assert [one.message.body for one in sent] == [LARGE, b"", b"last"]
    assert [one.message.body for one in delivered] == [LARGE, b"", b"last"]
    assert {(one.exchange, one.routing_key, one.message.message_id) for one in sent} == {
        ("", "q", "m-1")
    }
    settled = [(one.tag, one.multiple, one.how) for one in log.all(Settled)]
    assert settled == [(2, True, Settlement.ACK), (3, False, Settlement.REJECT)]
    (consumer,) = log.all(Consuming)
    assert (consumer.queue, consumer.prefetch, consumer.settles) == ("q", 3, True)
    assert log.last(Closed) == log.last(Closed)._replace(by_worker=True)  # type: ignore[union-attr]


def test_the_heartbeat_that_is_proposed_is_the_taps(
    tap: Tap, log: Log, worker: Callable[[Tap], Any]
) -> None:
    worker(tap)
    assert [one.heartbeat_s for one in log.all(Connected)] == [HEARTBEAT_S]


def test_what_the_broker_refuses_is_told_in_its_words(
    tap: Tap, log: Log, worker: Callable[[Tap], Any]
) -> None:
    channel = worker(tap).channel()
    channel.basic_ack(7)
    with pytest.raises(ChannelClosedByBroker):
        channel.queue_declare("q")
    (refused,) = log.all(ChannelRefused)
    assert refused.code == 406
    assert "unknown delivery tag 7" in refused.text


def test_a_cut_is_seen_on_both_sides_and_the_next_connection_is_another(
    tap: Tap, log: Log, worker: Callable[[Tap], Any]
) -> None:
    connection = worker(tap)
    tap.cut()
    with pytest.raises(AMQPError):
        connection.process_data_events(DEADLINE_S)
    assert log.until(lambda: log.last(Closed), DEADLINE_S)
    assert [one.by_worker for one in log.all(Closed)] == [False]
    worker(tap)
    assert [one.connection for one in log.all(Connected)] == [1, 2]


def test_towards_the_broker_it_is_tls_where_the_address_says_so(
    address: RabbitAddress,
    rabbitmq: RabbitMQ,
    log: Log,
    worker: Callable[[Tap], Any],
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    with Forwarder(rabbitmq.node.port, context) as broker:
        secured = replace(
            address,
            host="localhost",
            port=broker.port,
            tls=True,
            cacertfile=str(tmp_path / "ca.pem"),
        )
        tap = Tap(secured, log.note, HEARTBEAT_S)
        try:
            assert worker(tap).is_open
        finally:
            tap.close()


def test_upkeep_counts_empties_and_marks_as_delivered_before(
    address: RabbitAddress, tap: Tap, worker: Callable[[Tap], Any]
) -> None:
    channel = worker(tap).channel()
    channel.queue_declare("q")
    upkeep = Upkeep(address)
    assert upkeep.standing("q") == (0, 0)
    upkeep.redeliver("q", Message(b"one", message_id="m-1"))
    deliver, properties, body = channel.basic_get("q", auto_ack=True)
    assert (deliver.redelivered, properties.message_id, body) == (True, "m-1", b"one")

    channel.basic_publish("", "q", b"two")
    channel.basic_consume("q", lambda *delivery: None)
    assert upkeep.standing("q").consumers == 1
    channel.connection.close()
    upkeep.empty("q")
    assert upkeep.standing("q") == (0, 0)
    with pytest.raises(Rejected, match="no queue 'none'"):
        upkeep.standing("none")
