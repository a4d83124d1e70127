"""The bus on RabbitMQ when something goes wrong: nothing is lost unsaid, and it comes back."""

import gc
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from headway.adapters.bus_address import RabbitAddress, parse_bus_url
from headway.adapters.rabbitmq.bus import RabbitBus
from headway.errors import Unavailable
from headway.ports.bus import (
    DIRECT_REPLY_TO,
    Blocked,
    Closed,
    ConsumerBack,
    ConsumerLost,
    Delivery,
    Limits,
    Message,
    Opened,
    Queue,
    QueueKind,
    Settlement,
    Unblocked,
)
from headway.testing.buses import Heard, Inbox, confirmed, refused, text
from tests.services.forwarder import Forwarder
from tests.services.rabbitmq import RabbitMQ

pytestmark = pytest.mark.services

DEADLINE_S = 60.0
ACK = Settlement.ACK


@pytest.fixture
def opened(rabbitmq: RabbitMQ) -> Iterator[Callable[..., RabbitBus]]:
    """Makes open buses, by a forwarder or directly, with a heartbeat or the default one."""
    with ExitStack() as stack:

        def make(
            via: Forwarder | None = None,
            heartbeat_s: int = 10,
            limits: Limits | None = None,
        ) -> RabbitBus:
            url = rabbitmq.url_at(via.port) if via else rabbitmq.url
            address = parse_bus_url(f"{url}?heartbeat={heartbeat_s}")
            assert isinstance(address, RabbitAddress)
            bus = RabbitBus(address, limits)
            bus.open(DEADLINE_S)
            stack.callback(bus.close)
            return bus

        yield make


@pytest.fixture
def network(rabbitmq: RabbitMQ) -> Iterator[Forwarder]:
    with Forwarder(rabbitmq.node.port) as forwarder:
        yield forwarder


class Flow:
    """Messages with numbers, published until told to stop, and what became of them."""

    def __init__(self, publisher: RabbitBus, consumer: RabbitBus, name: str) -> None:
        self._publisher = publisher
        self._name = name
        self._stop = threading.Event()
        self._known = threading.Condition()
        self.sent = 0
        self.confirmed: set[int] = set()
        self.failed: dict[int, Exception] = {}
        self.received: set[int] = set()
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self._consumer = consumer
        consumer.consume(name, self._receive, prefetch=20)
        self._thread.start()

    def wait_until(self, true: Callable[["Flow"], bool]) -> None:
        with self._known:
            assert self._known.wait_for(lambda: true(self), DEADLINE_S), self.counts()

    def stop(self) -> None:
        """Returns when everything sent is confirmed or failed, and all confirmed has come."""
        self._stop.set()
        self._thread.join(DEADLINE_S)
        self.wait_until(lambda flow: len(flow.confirmed) + len(flow.failed) == flow.sent)
        self.wait_until(lambda flow: flow.confirmed <= flow.received)

    def counts(self) -> str:
        missing = sorted(self.confirmed - self.received)
        return (
            f"{self.sent} sent, {len(self.confirmed)} confirmed, {len(self.failed)} failed,"
            f" {len(self.received)} received, missing {missing[:20]}"
        )

    def _publish(self) -> None:
        while not self._stop.is_set():
            number = self.sent
            self.sent += 1
            confirmation = self._publisher.publish(text(str(number)), self._name)
            confirmation.then(partial(self._ended, number))
            # A window of twenty: as quick as the broker, and no quicker.
            with self._known:
                self._known.wait_for(
                    lambda: self.sent - len(self.confirmed) - len(self.failed) < 20, DEADLINE_S
                )
            if confirmation.error is not None:
                self._stop.wait(0.02)  # the broker is away: try now and then

    def _ended(self, number: int, confirmation: Any) -> None:
        with self._known:
            if confirmation.error is None:
                self.confirmed.add(number)
            else:
                self.failed[number] = confirmation.error
            self._known.notify_all()

    def _receive(self, delivery: Delivery) -> None:
        with self._known:
            self.received.add(int(delivery.message.body))
            self._known.notify_all()
        self._consumer.settle(delivery, ACK)


@pytest.mark.parametrize("kind", QueueKind)
def test_every_confirmed_message_survives_a_broker_killed_while_they_flow(
    rabbitmq: RabbitMQ, opened: Callable[..., RabbitBus], kind: QueueKind
) -> None:
    publisher, consumer = opened(), opened()
    publisher.declare(Queue("flow", kind))
    heard = Heard(publisher)
    flow = Flow(publisher, consumer, "flow")
    # RabbitMQ does not survive the kill with a quorum queue younger than a second or two: that
    # queue never takes a message again.
    old_enough = time.monotonic() + 5
    flow.wait_until(lambda f: len(f.received) >= 1000 and time.monotonic() > old_enough)
    rabbitmq.kill()
    heard.wait_for(Closed)
    rabbitmq.start()
    heard.wait_for(Opened)
    before = len(flow.confirmed)
    flow.wait_until(lambda f: len(f.confirmed) >= before + 200)
    flow.stop()
    assert flow.failed
    assert all(isinstance(error, Unavailable) for error in flow.failed.values())
    assert flow.confirmed <= flow.received
    assert publisher.counts().connections == 2


def test_connections_that_are_cut_again_and_again_lose_nothing_that_was_confirmed(
    network: Forwarder, opened: Callable[..., RabbitBus]
) -> None:
    publisher, consumer = opened(network), opened(network)
    names = [f"flow{number}" for number in range(4)]
    publisher.declare(*[Queue(name, QueueKind.CLASSIC) for name in names])
    heard = Heard(publisher), Heard(consumer)
    flows = [Flow(publisher, consumer, name) for name in names]
    for _ in range(5):
        for flow in flows:
            seen = len(flow.received)
            flow.wait_until(lambda f, seen=seen: len(f.received) >= seen + 50)  # type: ignore[misc]
        network.cut()
        for one in heard:
            one.wait_for(Opened)
    for flow in flows:
        flow.stop()
    for bus in (publisher, consumer):
        assert bus.counts().connections == 6
    counts = publisher.counts()
    assert counts.published == counts.confirmed + counts.failed
    assert counts.published == sum(flow.sent for flow in flows)


def test_a_connection_that_is_stalled_is_noticed_and_replaced(
    network: Forwarder, opened: Callable[..., RabbitBus]
) -> None:
    bus, inbox = opened(network, heartbeat_s=1), Inbox()
    bus.declare(Queue("own", QueueKind.CLASSIC, durable=False, exclusive=True))
    bus.consume("own", inbox)
    heard = Heard(bus)
    network.stall()
    confirmation = bus.publish(text("into the void"), "own")
    assert "not heard of" in heard.wait_for(Closed).reason
    refused(confirmation, Unavailable)
    network.flow()
    heard.wait_for(Opened)
    confirmed(bus.publish(text("again"), "own"))
    assert inbox.get().message.body == b"again"


def test_a_queue_that_does_not_answer_its_consumer_is_told_of_with_a_remedy(
    network: Forwarder, opened: Callable[..., RabbitBus]
) -> None:
    bus = opened(network, limits=Limits(answer_s=0.2))
    bus.declare(Queue("silent", QueueKind.QUORUM))
    network.stall()
    with pytest.raises(Unavailable, match=r"may have no leader.*delete_queue silent"):
        bus.consume("silent", Inbox())
    network.flow()


def test_a_broker_that_nobody_answers_for_is_looked_for_until_it_is_back(
    network: Forwarder, opened: Callable[..., RabbitBus], rabbitmq: RabbitMQ
) -> None:
    bus = opened(network, limits=Limits(first_wait_s=0.01, longest_wait_s=0.05))
    heard = Heard(bus)
    network.refuse()
    network.cut()
    waits = [heard.wait_for(Closed).again_in_s for _ in range(8)]
    assert all(wait is not None and 0.01 <= wait <= 0.05 for wait in waits)
    refused(bus.publish(text("x"), "q"), Unavailable)
    network.accept()
    heard.wait_for(Opened)
    bus.declare(Queue("q", QueueKind.CLASSIC))


def test_a_handler_may_take_many_heartbeats(opened: Callable[..., RabbitBus]) -> None:
    bus, done = opened(heartbeat_s=1), threading.Event()
    bus.declare(Queue("long", QueueKind.CLASSIC))
    answers: queue.Queue[Any] = queue.Queue()

    def step(delivery: Delivery) -> None:
        done.wait(6.0)  # six heartbeats; nobody sets it
        answers.put((bus.settle(delivery, ACK), delivery.redelivered))

    bus.consume("long", step)
    confirmed(bus.publish(text("a long step"), "long"))
    assert answers.get(timeout=DEADLINE_S) == (None, False)
    assert bus.counts().connections == 1


def test_other_threads_settle_a_thousand_times_under_a_heartbeat_of_a_second(
    opened: Callable[..., RabbitBus],
) -> None:
    bus = opened(heartbeat_s=1)
    bus.declare(Queue("many", QueueKind.CLASSIC), Queue("answers", QueueKind.CLASSIC))
    given: queue.Queue[Delivery | None] = queue.Queue()
    bus.consume("many", given.put, prefetch=50)
    for number in range(1000):
        bus.publish(text(str(number)), "many")
    ignored: list[object] = []
    sent = []

    def settle() -> None:
        while (delivery := given.get(timeout=DEADLINE_S)) is not None:
            sent.append(bus.publish(delivery.message, "answers"))
            if (answer := bus.settle(delivery, ACK)) is not None:
                ignored.append(answer)
            if bus.counts().settled == 1000:
                for _ in threads:
                    given.put(None)

    threads = [threading.Thread(target=settle) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    for confirmation in sent:
        confirmed(confirmation)
    assert (ignored, len(sent), bus.counts().connections) == ([], 1000, 1)


def test_a_channel_closed_over_a_slow_acknowledgement_is_opened_again(
    rabbitmq: RabbitMQ, opened: Callable[..., RabbitBus]
) -> None:
    bus, go_on = opened(), threading.Event()
    bus.declare(Queue("slow", QueueKind.CLASSIC), Queue("other", QueueKind.CLASSIC))
    heard = Heard(bus)
    answers: queue.Queue[Any] = queue.Queue()

    def step(delivery: Delivery) -> None:
        if not delivery.redelivered:
            go_on.wait(DEADLINE_S)
        answers.put((delivery.redelivered, bus.settle(delivery, ACK)))

    other = Inbox()
    bus.consume("other", other)
    rabbitmq.be_patient(1000)
    try:
        bus.consume("slow", step)
        confirmed(bus.publish(text("takes longer than the broker waits"), "slow"))
        lost = heard.wait_for(ConsumerLost)
        assert (lost.queue, lost.again_in_s) == ("slow", 0.0)
        assert "timed out" in lost.reason
        heard.wait_for(ConsumerBack)
    finally:
        rabbitmq.be_patient()
    # Everything else on the connection went on, and what was delivered then is void.
    confirmed(bus.publish(text("x"), "other"))
    assert bus.settle(other.get(), ACK) is None
    go_on.set()
    redelivered, answer = answers.get(timeout=DEADLINE_S)
    assert redelivered is False
    assert answer is not None
    assert answers.get(timeout=DEADLINE_S) == (True, None)
    assert bus.counts().connections == 1
    assert bus.counts().void == 1


def test_a_bus_that_the_broker_blocks_can_be_closed(
    rabbitmq: RabbitMQ, opened: Callable[..., RabbitBus]
) -> None:
    bus = opened()
    bus.declare(Queue("q", QueueKind.CLASSIC))
    heard = Heard(bus)
    rabbitmq.block()
    try:
        held = bus.publish(text("held"), "q")
        heard.wait_for(Blocked)
        bus.close(0.1)
        assert "closed" in refused(held, Unavailable)
    finally:
        rabbitmq.unblock()


def test_a_block_outlasts_heartbeats(rabbitmq: RabbitMQ, opened: Callable[..., RabbitBus]) -> None:
    bus = opened(heartbeat_s=1)
    bus.declare(Queue("q", QueueKind.CLASSIC))
    heard = Heard(bus)
    rabbitmq.block()
    try:
        held = bus.publish(text("held"), "q")
        heard.wait_for(Blocked)
        with pytest.raises(Unavailable):
            held.wait(5.0)  # five heartbeats
    finally:
        rabbitmq.unblock()
    heard.wait_for(Unblocked)
    confirmed(held)
    assert bus.counts().connections == 1


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_starting_and_stopping_from_ten_threads_leaves_nothing_behind(
    rabbitmq: RabbitMQ, opened: Callable[..., RabbitBus]
) -> None:
    witness = opened()
    witness.declare(Queue("shared", QueueKind.CLASSIC))
    gc.collect()
    threads_before, files_before = set(threading.enumerate()), open_files()
    failed: list[BaseException] = []
    address = witness.address

    def come_and_go(number: int) -> None:
        try:
            for at in range(5):
                bus = RabbitBus(address)
                bus.open(DEADLINE_S)
                inbox = Inbox()
                consumer = bus.consume("shared", inbox, prefetch=5)
                bus.consume(DIRECT_REPLY_TO, inbox, inline=True)
                sent = [bus.publish(text("x"), "shared") for _ in range(10)]
                if at % 2:
                    consumer.cancel()
                if at % 3:
                    for confirmation in sent:
                        confirmed(confirmation)
                # From two threads at once, for good measure.
                second = threading.Thread(target=bus.close)
                second.start()
                bus.close()
                second.join(DEADLINE_S)
        except BaseException as error:
            failed.append(error)

    running = [threading.Thread(target=come_and_go, args=(number,)) for number in range(10)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(2 * DEADLINE_S)
    assert failed == []
    gc.collect()
    # What an earlier test began may have ended meanwhile.
    assert set(threading.enumerate()) <= threads_before
    assert open_files() <= files_before


def test_opening_and_closing_at_once_ends_closed(rabbitmq: RabbitMQ) -> None:
    gc.collect()
    threads_before, files_before = set(threading.enumerate()), open_files()
    address = parse_bus_url(rabbitmq.url)
    assert isinstance(address, RabbitAddress)
    for number in range(20):
        bus = RabbitBus(address)
        ended: queue.Queue[str] = queue.Queue()

        def open_it(bus: RabbitBus = bus, ended: queue.Queue[str] = ended) -> None:
            try:
                bus.open(DEADLINE_S)
                ended.put("opened")
            except Unavailable:
                ended.put("closed first")

        thread = threading.Thread(target=open_it)
        thread.start()
        thread.join(0.002 * number)  # so that the close comes at another moment each time
        bus.close()
        assert ended.get(timeout=DEADLINE_S)
        bus.close()
        thread.join(DEADLINE_S)
        assert not bus.is_open
    gc.collect()
    # What an earlier test began may have ended meanwhile.
    assert set(threading.enumerate()) <= threads_before
    assert open_files() <= files_before


def test_a_broker_that_is_not_there_is_unavailable_and_leaves_nothing_behind() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    gc.collect()
    threads_before, files_before = set(threading.enumerate()), open_files()
    bus = RabbitBus(RabbitAddress("127.0.0.1", "headway", "hunter2", port=port))
    with pytest.raises(Unavailable) as caught:
        bus.open(0.3)
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    gc.collect()
    assert set(threading.enumerate()) <= threads_before
    assert open_files() <= files_before


def test_a_server_that_says_nothing_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        bus = RabbitBus(RabbitAddress("127.0.0.1", "headway", "x", port=port))
        with pytest.raises(Unavailable):
            bus.open(0.5)


def test_what_others_send_cannot_harm_a_consumer(
    rabbitmq: RabbitMQ, opened: Callable[..., RabbitBus]
) -> None:
    bus, inbox = opened(limits=Limits(body_bytes=1000)), Inbox()
    bus.declare(Queue("hostile", QueueKind.CLASSIC))
    hostile = opened(limits=Limits(body_bytes=1 << 30))
    bus.consume("hostile", inbox, prefetch=10)
    large = Message(b"x" * 1_000_000, correlation_id="large", headers={"a": 1})
    confirmed(hostile.publish(large, "hostile"))
    given = inbox.get()
    assert given.message == large._replace(body=b"")
    assert given.flaw == "it has 1000000 bytes, more than the limit of 1000"
    assert bus.settle(given, Settlement.REJECT) is None
    confirmed(hostile.publish(text("x" * 1000), "hostile"))
    given = inbox.get()
    assert (len(given.message.body), given.flaw) == (1000, None)
    assert bus.counts().connections == 1
