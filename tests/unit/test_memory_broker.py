"""What only the in-memory broker has: it can be interrupted, bounded, and driven by hand."""

import random
import threading
from collections.abc import Callable
from itertools import count

import pytest

from headway.adapters import memory_broker
from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus
from headway.errors import Unavailable
from headway.ports.bus import (
    Blocked,
    Closed,
    ConsumerBack,
    ConsumerLost,
    Delivery,
    News,
    Opened,
    Queue,
    Settlement,
)
from headway.testing.buses import Inbox, confirmed, refused, text

ACK, REQUEUE = Settlement.ACK, Settlement.REQUEUE


def opened(broker: MemoryBroker) -> MemoryBus:
    bus = MemoryBus(broker)
    bus.open()
    return bus


def test_a_consumer_whose_channel_was_closed_goes_on() -> None:
    broker = MemoryBroker()
    bus, inbox, news = opened(broker), Inbox(), list[News]()
    bus.listen(news.append)
    bus.declare(Queue("q"))
    bus.consume("q", inbox)
    confirmed(bus.publish(text("x"), "q"))
    delivery = inbox.get()

    broker.interrupt("q", "too slow")

    assert news == [ConsumerLost("q", "too slow", 0.0), ConsumerBack("q")]
    assert not bus.holds(delivery)
    assert bus.settle(delivery, ACK) is not None
    again = inbox.get()
    assert again.redelivered
    assert bus.settle(again, ACK) is None
    assert bus.counts().void == 1
    bus.close()


def test_who_connects_to_a_broker_that_blocks_is_told() -> None:
    broker = MemoryBroker()
    broker.block("low on memory")
    bus = MemoryBus(broker)
    news: list[News] = []
    bus.listen(news.append)
    bus.open()
    assert set(news) == {Opened(1), Blocked("low on memory")}
    bus.close()
    assert news[-1] == Closed("it was closed", None)


def test_a_queue_takes_no_more_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_broker, "QUEUE_LIMIT", 3)
    broker = MemoryBroker()
    bus = opened(broker)
    bus.declare(Queue("q"))
    sent = [bus.publish(text(str(number)), "q") for number in range(4)]
    for confirmation in sent[:3]:
        confirmed(confirmation)
    refused(sent[3], Unavailable)
    assert broker.depth("q") == 3
    bus.close()


def test_a_bus_waits_for_a_broker_that_is_started_later() -> None:
    broker = MemoryBroker()
    broker.stop()
    bus = MemoryBus(broker)
    with pytest.raises(Unavailable):
        bus.open(0.0)
    thread = threading.Thread(target=bus.open, args=(20.0,))
    thread.start()
    broker.start()
    thread.join(20.0)
    assert bus.is_open
    bus.close()


def test_a_bus_that_is_closed_while_it_waits_for_its_broker_stays_closed() -> None:
    broker = MemoryBroker()
    bus = opened(broker)
    broker.stop()
    assert not bus.is_open
    bus.close()
    broker.start()
    assert not bus.is_open


def test_driven_by_hand_nothing_happens_by_itself() -> None:
    broker = MemoryBroker(by_hand=True)
    threads = set(threading.enumerate())
    bus, given = opened(broker), list[Delivery]()
    bus.declare(Queue("q"))
    bus.consume("q", given.append)
    confirmation = bus.publish(text("x"), "q")
    assert (given, confirmation.done) == ([], False)
    while broker.turn():
        pass
    assert (len(given), confirmation.done) == (1, True)
    assert set(threading.enumerate()) <= threads
    bus.close()


def play(seed: int) -> list[str]:
    """Three workers answer thirty requests, and a network that is cut now and then."""
    chance = random.Random(seed).random
    broker = MemoryBroker(by_hand=True)
    told: list[str] = []
    asker, workers = opened(broker), [opened(broker) for _ in range(3)]
    asker.declare(Queue("requests"), Queue("replies"))

    def serve(number: int, bus: MemoryBus) -> Callable[[Delivery], None]:
        def answer(delivery: Delivery) -> None:
            told.append(f"{number} answers {delivery.message.body!r} {delivery.redelivered}")
            bus.publish(delivery.message, "replies")
            bus.settle(delivery, ACK)

        return answer

    for number, bus in enumerate(workers):
        bus.consume("requests", serve(number, bus))
    replies: set[bytes] = set()

    def take(delivery: Delivery) -> None:
        told.append(f"reply {delivery.message.body!r}")
        replies.add(delivery.message.body)
        asker.settle(delivery, ACK)

    asker.consume("replies", take, prefetch=5)
    for number in range(30):
        asker.publish(text(str(number)), "requests")
    for turn in count():
        if turn % 40 == 39 and turn < 200:
            told.append("cut")
            broker.cut()
        if not broker.turn(chance):
            break
    assert len(replies) == 30
    return told


def test_a_seed_repeats_what_happened_to_the_letter() -> None:
    played = [play(seed) for seed in range(20)]
    assert [play(seed) for seed in range(20)] == played
    assert len({tuple(told) for told in played}) == 20
