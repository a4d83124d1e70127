"""What every bus must do, as tests: run them on a bus of your own.

    class TestMyBus(BusContract):
        @pytest.fixture
        def broker(self) -> Iterator[Broker]:
            yield MyBroker()

Needs pytest. Call ``pytest.register_assert_rewrite("headway.testing.buses")`` before the import
to be shown what an assertion compared.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import pytest

from headway.errors import Conflict, DefinitionError, HeadwayError, Refused, Rejected, Unavailable
from headway.jobs.schedule import Ignored
from headway.ports.bus import (
    DIRECT_REPLY_TO,
    Binding,
    Blocked,
    Bus,
    Closed,
    Confirmation,
    Consumer,
    ConsumerBack,
    ConsumerLost,
    Declared,
    Delivery,
    Exchange,
    Limits,
    Message,
    News,
    Opened,
    Queue,
    QueueKind,
    Settlement,
    Unblocked,
)

DEADLINE_S = 20.0
N = TypeVar("N", bound=News)
ACK, REQUEUE, REJECT = Settlement.ACK, Settlement.REQUEUE, Settlement.REJECT


class Broker(Protocol):
    """A broker of its own for a test, and hands on it."""

    def bus(self, limits: Limits | None = None, user: str | None = None) -> Bus:
        """A new bus, not yet open: of a user made by ``make_user``, or of one who may do all."""

    def make_user(self, name: str, configure: str, write: str, read: str) -> None:
        """A user who may only configure, write to and read what these patterns match."""

    def cut(self) -> None:
        """Lose every connection, as a network does."""

    def stop(self) -> None:
        """Shut the broker down in good order."""

    def start(self) -> None: ...

    def block(self) -> None:
        """Have it take no more messages."""

    def unblock(self) -> None: ...


class Inbox:
    """A handler that keeps what it is given."""

    def __init__(self) -> None:
        self._given: queue.Queue[Delivery] = queue.Queue()

    def __call__(self, delivery: Delivery) -> None:
        self._given.put(delivery)

    def get(self) -> Delivery:
        return self._given.get(timeout=DEADLINE_S)

    @property
    def is_empty(self) -> bool:
        return self._given.empty()


class Heard:
    """A listener that keeps the news, to be waited for."""

    def __init__(self, bus: Bus) -> None:
        self._news: queue.Queue[News] = queue.Queue()
        bus.listen(self._news.put)

    def wait_for(self, kind: type[N]) -> N:
        while True:
            news = self._news.get(timeout=DEADLINE_S)
            if isinstance(news, kind):
                return news


def text(content: str, **properties: Any) -> Message:
    return Message(content.encode(), **properties)


def confirmed(confirmation: Confirmation) -> None:
    confirmation.wait(DEADLINE_S)


def refused(confirmation: Confirmation, kind: type[HeadwayError]) -> str:
    """What the error says, which is of this kind."""
    with pytest.raises(kind) as caught:
        confirmation.wait(DEADLINE_S)
    assert isinstance(confirmation.error, kind)
    return str(caught.value)


def name(prefix: str = "q") -> str:
    return f"{prefix}.{uuid4().hex[:8]}"


class BusContract:
    """Subclass it and give the fixture ``broker``."""

    @pytest.fixture
    def opened(self, broker: Broker) -> Iterator[Callable[..., Bus]]:
        """Makes open buses, which are closed after the test."""
        with ExitStack() as stack:

            def make(**kwargs: Any) -> Bus:
                bus = broker.bus(**kwargs)
                bus.open(DEADLINE_S)
                stack.callback(bus.close)
                return bus

            yield make

    @pytest.fixture
    def bus(self, opened: Callable[..., Bus]) -> Bus:
        return opened()

    @pytest.fixture
    def place(self, bus: Bus) -> str:
        """A queue that is there."""
        declared = Queue(name(), QueueKind.CLASSIC)
        bus.declare(declared)
        return declared.name

    # Messages

    def test_a_message_arrives_as_it_was_sent(self, bus: Bus, place: str) -> None:
        inbox = Inbox()
        bus.consume(place, inbox)
        sent = Message(
            bytes(range(256)) * 20,
            "application/json",
            {"number": -(2**63), "ä": "漢\0字", "yes": True, "none": None, "empty": ""},
            "correlation",
            "reply",
            "id",
            "app",
            None,
            "type",
            1_700_000_000,
            True,
        )

        confirmed(bus.publish(sent, place))

        delivery = inbox.get()
        assert delivery.message == sent
        assert delivery[1:5] == (place, "", place, False)
        assert delivery.flaw is None
        assert bus.settle(delivery, ACK) is None

    @pytest.mark.parametrize(
        "headers",
        [
            {"nested": {"list": [1, [2, {"deep": None}], "three"], "empty": [], "none": {}}},
            {"long": "x" * 10_000},
            {"k" * 255: 1},
            {f"n{number}": number for number in range(-200, 200)},
        ],
        ids=["nested", "long", "long name", "many"],
    )
    def test_headers_arrive_as_they_were_sent(
        self, bus: Bus, place: str, headers: dict[str, Any]
    ) -> None:
        inbox = Inbox()
        bus.consume(place, inbox)
        confirmed(bus.publish(Message(b"", headers=headers, persistent=False), place))
        message = inbox.get().message
        assert message == Message(b"", headers=headers, persistent=False)

    def test_what_nobody_set_arrives_unset(self, bus: Bus, place: str) -> None:
        inbox = Inbox()
        bus.consume(place, inbox)
        confirmed(bus.publish(Message(b"body"), place))
        assert inbox.get().message == Message(b"body", headers={})

    def test_neither_a_message_nor_its_delivery_shows_what_is_in_it(self) -> None:
        message = Message(b"hunter2", headers={"key": "hunter2"}, correlation_id="c0ffee")
        delivery = Delivery(message, "q", "", "q", False, (1, 1))
        assert "hunter2" not in f"{message!r} {message} {delivery!r} {delivery}"
        assert "c0ffee" in repr(message)

    @pytest.mark.parametrize(
        ("message", "says"),
        [
            (Message(b"x" * 2**20 + b"x"), "1048577 bytes"),
            (Message(b"", correlation_id="x" * 256), "correlation_id is longer than 255"),
            (Message(b"", app_id="ä" * 128), "app_id is longer than 255"),
            (Message(b"", type="\ud800"), "type is no text"),
            (Message(b"", headers={"when": object()}), "object, which is no JSON value"),
            (Message(b"", headers={"x" * 256: 1}), "named by text of up to 255"),
            (Message(b"", headers={"n": 2**63}), "more than 64 bits"),
            (Message(b"", headers={"n": 0.5}), "whole numbers"),
            (Message(b"", headers={"n": "\udcff"}), "surrogate"),
            (Message(b"", headers={"n": "x" * 2**16}), "65536 bytes"),
        ],
        ids=lambda value: "" if isinstance(value, Message) else value,
    )
    def test_a_message_that_cannot_be_sent_is_rejected_and_says_why(
        self, bus: Bus, place: str, message: Message, says: str
    ) -> None:
        assert says in refused(bus.publish(message, place), Rejected)
        confirmed(bus.publish(text("the next one"), place))

    def test_headers_nested_too_deep_are_rejected(self, bus: Bus, place: str) -> None:
        deep: list[Any] = []
        for _ in range(10_000):
            deep = [deep]
        assert "deep" in refused(bus.publish(Message(b"", headers={"n": deep}), place), Rejected)

    def test_a_message_of_the_largest_size_arrives(self, bus: Bus, place: str) -> None:
        inbox = Inbox()
        bus.consume(place, inbox)
        confirmed(bus.publish(Message(b"x" * 2**20), place))
        assert len(inbox.get().message.body) == 2**20

    def test_nobody_can_send_as_somebody_else(self, bus: Bus, place: str) -> None:
        forged = Message(b"", user_id="somebody else")
        assert "somebody else" in refused(bus.publish(forged, place), Rejected)
        confirmed(bus.publish(text("the next one"), place))

    # Confirmations

    def test_a_confirmation_can_be_waited_for_asked_and_followed(
        self, bus: Bus, place: str
    ) -> None:
        calls: queue.Queue[Confirmation] = queue.Queue()
        confirmation = bus.publish(text("hello"), place)
        confirmation.then(calls.put)
        confirmed(confirmation)
        assert calls.get(timeout=DEADLINE_S) is confirmation
        assert (confirmation.done, confirmation.error) == (True, None)
        confirmation.then(calls.put)
        assert calls.get_nowait() is confirmation

    def test_what_fails_when_a_confirmation_comes_harms_nobody_else(
        self, bus: Bus, place: str
    ) -> None:
        calls: queue.Queue[Confirmation] = queue.Queue()
        confirmation = bus.publish(text("hello"), place)
        confirmation.then(lambda one: one / 0)  # type: ignore[operator]
        confirmation.then(calls.put)
        assert calls.get(timeout=DEADLINE_S) is confirmation
        confirmed(bus.publish(text("again"), place))

    def test_a_message_to_a_queue_that_is_not_there_is_rejected_by_name(self, bus: Bus) -> None:
        assert "'worker.nobody'" in refused(bus.publish(text("x"), "worker.nobody"), Rejected)

    def test_a_message_that_no_queue_is_bound_for_is_rejected_by_name(self, bus: Bus) -> None:
        exchange = Exchange(name("x"))
        bus.declare(exchange)
        says = refused(bus.publish(text("x"), "worker.nobody", exchange.name), Rejected)
        assert f"{exchange.name!r}" in says
        assert "'worker.nobody'" in says

    def test_a_message_to_an_exchange_that_is_not_there_harms_only_itself(
        self, bus: Bus, place: str
    ) -> None:
        good = [bus.publish(text("before"), place) for _ in range(20)]
        bad = [bus.publish(text("x"), "key", "nowhere") for _ in range(20)]
        good += [bus.publish(text("after"), place) for _ in range(20)]
        for confirmation in bad:
            assert "'nowhere'" in refused(confirmation, Rejected)
        for confirmation in good:
            confirmed(confirmation)

    def test_unroutable_messages_among_others_are_told_apart(self, bus: Bus, place: str) -> None:
        sent = [
            (number, bus.publish(text(str(number)), name() if number % 3 == 0 else place))
            for number in range(300)
        ]
        for number, confirmation in sent:
            if number % 3 == 0:
                refused(confirmation, Rejected)
            else:
                confirmed(confirmation)

    def test_messages_of_one_publisher_arrive_in_order(self, bus: Bus, place: str) -> None:
        inbox = Inbox()
        bus.consume(place, inbox, prefetch=100)
        sent = [bus.publish(text(str(number)), place) for number in range(1000)]
        for number in range(1000):
            delivery = inbox.get()
            assert delivery.message.body == str(number).encode()
            bus.settle(delivery, ACK)
        for confirmation in sent:
            confirmed(confirmation)

    # Routing

    @pytest.mark.parametrize(
        ("pattern", "key", "reaches"),
        [
            ("worker.frob", "worker.frob", True),
            ("worker.frob", "worker.frob.x", False),
            ("worker.frob", "worker.Frob", False),
            ("worker.*", "worker.frob", True),
            ("worker.*", "worker", False),
            ("worker.*", "worker.a.b", False),
            ("worker.*", "worker.", True),
            ("*.frob", "worker.frob", True),
            ("#", "anything.at.all", True),
            ("#", "", True),
            ("worker.#", "worker", True),
            ("worker.#", "worker.a.b.c", True),
            ("worker.#", "workers", False),
            ("#.end", "end", True),
            ("#.end", "a.b.end", True),
            ("#.end", "a.end.b", False),
            ("a.#.z", "a.z", True),
            ("a.#.z", "a.b.c.z", True),
            ("a.#.*", "a", False),
            ("#.#", "", True),
            ("*", "", False),
            ("*.#", "a", True),
            ("a.#.b.#.c", "a.x.b.y.b.c", True),
        ],
    )
    def test_topics_match_by_words(self, bus: Bus, pattern: str, key: str, reaches: bool) -> None:
        exchange = Exchange(name("x"))
        declared = Queue(name(), QueueKind.CLASSIC, (Binding(exchange.name, pattern),))
        bus.declare(exchange, declared)
        confirmation = bus.publish(text("x"), key, exchange.name)
        if reaches:
            confirmed(confirmation)
        else:
            refused(confirmation, Rejected)

    def test_every_queue_bound_gets_a_copy_and_none_gets_two(self, bus: Bus) -> None:
        exchange = Exchange(name("x"))
        every, some, other = (name() for _ in range(3))
        bus.declare(
            exchange,
            Queue(every, QueueKind.CLASSIC, (Binding(exchange.name, "#"),)),
            Queue(
                some,
                QueueKind.CLASSIC,
                (Binding(exchange.name, "a.*"), Binding(exchange.name, "*.b")),
            ),
            Queue(other, QueueKind.CLASSIC, (Binding(exchange.name, "c"),)),
        )
        inboxes = {queue: Inbox() for queue in (every, some, other)}
        for queue_name, inbox in inboxes.items():
            bus.consume(queue_name, inbox, prefetch=10)
        confirmed(bus.publish(text("1"), "a.b", exchange.name))
        confirmed(bus.publish(text("2"), "c", exchange.name))
        assert [inboxes[every].get().message.body for _ in range(2)] == [b"1", b"2"]
        first = inboxes[some].get()
        assert (first.message.body, first.exchange, first.routing_key, first.queue) == (
            b"1",
            exchange.name,
            "a.b",
            some,
        )
        assert inboxes[other].get().message.body == b"2"
        assert all(inbox.is_empty for inbox in inboxes.values())

    # Declarations

    def test_what_exists_is_used_whatever_its_type(self, bus: Bus) -> None:
        classic, quorum = name(), name()
        assert bus.declare(Queue(classic, QueueKind.CLASSIC)) == [Declared(classic, True)]
        assert bus.declare(Queue(classic)) == [Declared(classic, False)]
        assert bus.declare(Queue(quorum), Queue(quorum, QueueKind.CLASSIC)) == [
            Declared(quorum, True),
            Declared(quorum, False),
        ]
        exchange = name("x")
        assert bus.declare(Exchange(exchange)) == [Declared(exchange, True)]
        assert bus.declare(Exchange(exchange)) == [Declared(exchange, False)]

    def test_a_binding_can_be_added_to_a_queue_that_is_there(self, bus: Bus, place: str) -> None:
        exchange = Exchange(name("x"))
        bus.declare(exchange, Queue(place, bindings=(Binding(exchange.name, "key"),)))
        confirmed(bus.publish(text("x"), "key", exchange.name))

    def test_a_queue_cannot_be_bound_to_an_exchange_that_is_not_there(self, bus: Bus) -> None:
        with pytest.raises(Rejected, match="'nowhere'"):
            bus.declare(Queue(name(), QueueKind.CLASSIC, (Binding("nowhere", "key"),)))
        bus.declare(Queue(name(), QueueKind.CLASSIC))

    def test_a_queue_is_there_until_it_is_deleted(self, bus: Bus, place: str) -> None:
        assert bus.exists(place)
        bus.delete(place)
        assert not bus.exists(place)
        bus.delete(place)
        refused(bus.publish(text("x"), place), Rejected)

    def test_an_exclusive_queue_is_one_connections_own_and_goes_with_it(
        self, bus: Bus, opened: Callable[..., Bus]
    ) -> None:
        owner, reply = opened(), name("reply")
        inbox = Inbox()
        owner.declare(Queue(reply, QueueKind.CLASSIC, durable=False, exclusive=True))
        owner.consume(reply, inbox)
        assert bus.exists(reply)
        with pytest.raises(Conflict, match=reply):
            bus.consume(reply, Inbox())
        confirmed(bus.publish(text("an answer"), reply))
        assert inbox.get().message.body == b"an answer"
        owner.close()
        refused(bus.publish(text("x"), reply), Rejected)

    def test_an_auto_delete_queue_goes_with_its_last_consumer(self, bus: Bus) -> None:
        passing = name()
        bus.declare(Queue(passing, QueueKind.CLASSIC, auto_delete=True))
        first, second = (bus.consume(passing, Inbox()) for _ in range(2))
        first.cancel()
        assert bus.exists(passing)
        second.cancel()
        assert not bus.exists(passing)

    # Consuming and settling

    def test_a_queue_that_is_not_there_cannot_be_consumed(self, bus: Bus, place: str) -> None:
        with pytest.raises(Rejected, match=r"'worker\.nobody'"):
            bus.consume("worker.nobody", Inbox())
        bus.consume(place, Inbox())

    @pytest.mark.parametrize("prefetch", [1, 3])
    def test_no_more_than_the_prefetch_is_unsettled_at_once(
        self, bus: Bus, place: str, prefetch: int
    ) -> None:
        inbox, other = Inbox(), Inbox()
        for number in range(prefetch + 1):
            confirmed(bus.publish(text(str(number)), place))
        bus.consume(place, inbox, prefetch=prefetch)
        given = [inbox.get() for _ in range(prefetch)]
        # Whatever the first consumer is not given, a second one is.
        bus.consume(place, other)
        assert other.get().message.body == str(prefetch).encode()
        assert inbox.is_empty
        bus.settle(given[-1], ACK)
        confirmed(bus.publish(text("next"), place))
        assert inbox.get().message.body == b"next"

    def test_deliveries_can_be_settled_in_any_order(self, bus: Bus, place: str) -> None:
        inbox = Inbox()
        consumer = bus.consume(place, inbox, prefetch=5)
        for number in range(5):
            confirmed(bus.publish(text(str(number)), place))
        given = [inbox.get() for _ in range(5)]
        for at in (3, 0, 4):
            assert bus.settle(given[at], ACK) is None
        for at in (2, 1):
            assert bus.settle(given[at], REQUEUE) is None
        again = [inbox.get() for _ in range(2)]
        assert sorted(d.message.body for d in again) == [b"1", b"2"]
        assert [d.redelivered for d in again] == [True, True]
        consumer.cancel()

    def test_a_delivery_is_settled_once(self, bus: Bus, place: str) -> None:
        inbox = Inbox()
        bus.consume(place, inbox, prefetch=2)
        confirmed(bus.publish(text("x"), place))
        delivery = inbox.get()
        assert bus.holds(delivery)
        assert bus.settle(delivery, ACK) is None
        assert not bus.holds(delivery)
        for settlement in Settlement:
            assert isinstance(bus.settle(delivery, settlement), Ignored)
        assert bus.counts().ignored == 3
        # And the channel it came on is none the worse for it.
        confirmed(bus.publish(text("next"), place))
        assert bus.settle(inbox.get(), ACK) is None

    def test_one_of_many_threads_settles(self, bus: Bus, place: str) -> None:
        inbox = Inbox()
        bus.consume(place, inbox)
        confirmed(bus.publish(text("x"), place))
        delivery = inbox.get()
        answers: list[Ignored | None] = []
        barrier = threading.Barrier(8)

        def settle() -> None:
            barrier.wait(DEADLINE_S)
            answers.append(bus.settle(delivery, ACK))

        threads = [threading.Thread(target=settle) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
        assert len([answer for answer in answers if answer is None]) == 1
        assert len(answers) == 8

    def test_a_rejected_message_does_not_come_again(self, bus: Bus, place: str) -> None:
        inbox = Inbox()
        bus.consume(place, inbox)
        for content in ("bad", "good"):
            confirmed(bus.publish(text(content), place))
        assert bus.settle(inbox.get(), REJECT) is None
        delivery = inbox.get()
        assert (delivery.message.body, delivery.redelivered) == (b"good", False)

    def test_a_message_given_back_goes_to_somebody_marked_as_redelivered(
        self, bus: Bus, place: str
    ) -> None:
        first, second = Inbox(), Inbox()
        consumer = bus.consume(place, first)
        confirmed(bus.publish(text("x"), place))
        delivery = first.get()
        assert not delivery.redelivered
        bus.consume(place, second)
        consumer.cancel()
        bus.settle(delivery, REQUEUE)
        again = second.get()
        assert (again.message, again.redelivered) == (delivery.message, True)

    def test_a_cancelled_consumer_gets_no_more_and_can_settle_what_it_has(
        self, bus: Bus, place: str
    ) -> None:
        begun, go_on, rest = threading.Event(), threading.Event(), Inbox()
        settled: list[Ignored | None] = []

        def handler(delivery: Delivery) -> None:
            begun.set()
            go_on.wait(DEADLINE_S)
            settled.append(bus.settle(delivery, ACK))

        consumer = bus.consume(place, handler, prefetch=10)
        for number in range(3):
            confirmed(bus.publish(text(str(number)), place))
        assert begun.wait(DEADLINE_S)
        assert consumer.cancel(0.0) is False
        bus.consume(place, rest, prefetch=10)
        assert sorted(rest.get().message.body for _ in range(2)) == [b"1", b"2"]
        go_on.set()
        assert consumer.cancel(DEADLINE_S) is True
        assert settled == [None]
        assert rest.is_empty

    def test_what_is_settled_just_after_its_consumer_was_cancelled_is_settled(
        self, bus: Bus, opened: Callable[..., Bus], place: str
    ) -> None:
        inbox, rest, leaving = Inbox(), Inbox(), opened()
        consumer = leaving.consume(place, inbox, prefetch=100)
        for number in range(100):
            bus.publish(text(str(number)), place)
        given = [inbox.get() for _ in range(100)]
        consumer.cancel()
        assert {leaving.settle(delivery, ACK) for delivery in given} == {None}
        leaving.close(DEADLINE_S)
        assert leaving.counts().ignored == 0
        bus.consume(place, rest)
        confirmed(bus.publish(text("the last"), place))
        assert rest.get().message.body == b"the last"

    def test_a_handler_may_cancel_its_own_consumer(self, bus: Bus, place: str) -> None:
        answers: queue.Queue[bool] = queue.Queue()
        consumers: list[Consumer] = []

        def handler(delivery: Delivery) -> None:
            bus.settle(delivery, ACK)
            answers.put(consumers[0].cancel(DEADLINE_S))

        consumers.append(bus.consume(place, handler))
        confirmed(bus.publish(text("x"), place))
        assert answers.get(timeout=DEADLINE_S) is True

    def test_several_consumers_share_a_queue(self, bus: Bus, place: str) -> None:
        inboxes = [Inbox() for _ in range(4)]
        for inbox in inboxes:
            bus.consume(place, inbox, prefetch=5)
        for number in range(20):
            confirmed(bus.publish(text(str(number)), place))
        given = [inbox.get().message.body for inbox in inboxes for _ in range(5)]
        assert sorted(given, key=int) == [str(number).encode() for number in range(20)]

    def test_a_handler_that_blocks_holds_up_nobody_else(self, bus: Bus, place: str) -> None:
        release, other, inbox = threading.Event(), name(), Inbox()
        bus.declare(Queue(other, QueueKind.CLASSIC))
        bus.consume(place, lambda delivery: release.wait(DEADLINE_S))
        bus.consume(other, inbox)
        confirmed(bus.publish(text("blocks"), place))
        for number in range(10):
            confirmed(bus.publish(text(str(number)), other))
            assert bus.settle(inbox.get(), ACK) is None
        release.set()

    def test_a_handler_that_raises_is_given_it_once_more_and_then_no_more(
        self, bus: Bus, place: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        seen: queue.Queue[tuple[bytes, bool]] = queue.Queue()

        def handler(delivery: Delivery) -> None:
            seen.put((delivery.message.body, delivery.redelivered))
            if delivery.message.body == b"poison":
                raise ArithmeticError("it hurts")
            bus.settle(delivery, ACK)

        bus.consume(place, handler)
        confirmed(bus.publish(text("poison"), place))
        confirmed(bus.publish(text("food"), place))
        given = [seen.get(timeout=DEADLINE_S) for _ in range(3)]
        assert sorted(given) == [(b"food", False), (b"poison", False), (b"poison", True)]
        assert "it hurts" in caplog.text

    def test_an_inline_handler_may_publish_and_settle(self, bus: Bus, place: str) -> None:
        answers, inbox = name(), Inbox()
        bus.declare(Queue(answers, QueueKind.CLASSIC))
        bus.consume(answers, inbox, prefetch=100)

        def answer(delivery: Delivery) -> None:
            bus.publish(delivery.message, answers)
            bus.settle(delivery, ACK)

        bus.consume(place, answer, prefetch=100, inline=True)
        for number in range(100):
            bus.publish(text(str(number)), place)
        assert [int(inbox.get().message.body) for _ in range(100)] == list(range(100))

    # Direct reply

    def test_an_answer_comes_back_directly(self, bus: Bus, opened: Callable[..., Bus]) -> None:
        asker, claims = opened(), name("claims")
        bus.declare(Queue(claims, QueueKind.CLASSIC))

        def grant(delivery: Delivery) -> None:
            asked = delivery.message
            assert asked.reply_to is not None
            bus.publish(text("granted", correlation_id=asked.correlation_id), asked.reply_to)
            bus.settle(delivery, ACK)

        bus.consume(claims, grant, prefetch=10)
        inbox = Inbox()
        asker.consume(DIRECT_REPLY_TO, inbox)
        for number in range(10):
            claim = text("claim", reply_to=DIRECT_REPLY_TO, correlation_id=str(number))
            confirmed(asker.publish(claim, claims))
            delivery = inbox.get()
            assert delivery.message.body == b"granted"
            assert delivery.message.correlation_id == str(number)
            assert delivery.queue == DIRECT_REPLY_TO
            assert isinstance(asker.settle(delivery, ACK), Ignored)

    def address_of(self, asker: Bus, bus: Bus) -> str:
        asked, inbox = name(), Inbox()
        bus.declare(Queue(asked, QueueKind.CLASSIC))
        consumer = bus.consume(asked, inbox)
        asker.publish(text("who am I?", reply_to=DIRECT_REPLY_TO), asked)
        address = inbox.get().message.reply_to
        consumer.cancel()
        assert address is not None
        assert address.startswith(DIRECT_REPLY_TO + ".")
        return address

    def test_whether_anybody_is_behind_a_direct_reply_address_can_be_asked(
        self, bus: Bus, opened: Callable[..., Bus]
    ) -> None:
        asker = opened()
        asker.consume(DIRECT_REPLY_TO, Inbox())
        address = self.address_of(asker, bus)
        assert bus.exists(address)
        asker.close()
        assert not bus.exists(address)

    def test_an_answer_to_somebody_who_has_gone_vanishes(
        self, bus: Bus, opened: Callable[..., Bus]
    ) -> None:
        asker = opened()
        consumer = asker.consume(DIRECT_REPLY_TO, Inbox())
        address = self.address_of(asker, bus)
        consumer.cancel()
        confirmed(bus.publish(text("nobody hears this"), address))

    def test_who_wants_direct_replies_has_to_consume_them(self, bus: Bus, place: str) -> None:
        asking = text("?", reply_to=DIRECT_REPLY_TO)
        assert DIRECT_REPLY_TO in refused(bus.publish(asking, place), Rejected)
        confirmed(bus.publish(text("the next one"), place))

    def test_direct_replies_are_consumed_once_on_a_bus(self, bus: Bus) -> None:
        first = bus.consume(DIRECT_REPLY_TO, Inbox())
        with pytest.raises(Conflict):
            bus.consume(DIRECT_REPLY_TO, Inbox())
        first.cancel()
        inbox = Inbox()
        bus.consume(DIRECT_REPLY_TO, inbox)
        confirmed(bus.publish(text("to myself"), self.address_of(bus, bus)))
        assert inbox.get().message.body == b"to myself"

    # Permissions

    def test_what_a_user_may_not_do_is_refused_by_name(
        self, bus: Bus, broker: Broker, opened: Callable[..., Bus], place: str
    ) -> None:
        exchange = Exchange(name("x"))
        mine = name("worker")
        bus.declare(exchange, Queue(mine, QueueKind.CLASSIC, (Binding(exchange.name, mine),)))
        broker.make_user("little", "^$", rf"^{exchange.name}$", rf"^{mine}$")
        little = opened(user="little")
        inbox = Inbox()

        # What it needs, it may.
        little.consume(mine, inbox)
        confirmed(little.publish(text("mine"), mine, exchange.name))
        assert little.settle(inbox.get(), ACK) is None
        assert little.exists(mine)

        # What is there needs no permission, and nobody knows whether it is bound.
        binding = Binding(exchange.name, mine)
        assert little.declare(exchange, Queue(mine, bindings=(binding,))) == [
            Declared(exchange.name, False),
            Declared(mine, False, (binding,)),
        ]

        for forbidden, named in (
            (lambda: little.declare(Queue("worker.other")), "worker.other"),
            (lambda: little.declare(Exchange("other")), "other"),
            (lambda: little.consume(place, Inbox()), place),
            (lambda: little.delete(place), place),
        ):
            with pytest.raises(Refused, match=named) as caught:
                forbidden()
            assert "little" in str(caught.value)
        assert "little" in refused(little.publish(text("x"), place), Refused)
        # And it is none the worse for it.
        confirmed(little.publish(text("mine again"), mine, exchange.name))
        assert inbox.get().message.body == b"mine again"

    # Connections

    def test_a_bus_is_opened_once_and_closed_as_often_as_you_like(self, broker: Broker) -> None:
        bus = broker.bus()
        assert not bus.is_open
        bus.close()
        for _ in range(3):
            bus.open(DEADLINE_S)
            assert bus.is_open
            with pytest.raises(DefinitionError):
                bus.open(DEADLINE_S)
            bus.close()
            bus.close()
            assert not bus.is_open

    def test_without_a_connection_nothing_can_be_done_and_it_says_so(
        self, broker: Broker, bus: Bus, place: str
    ) -> None:
        closed = broker.bus()
        assert closed.place in refused(closed.publish(text("x"), place), Unavailable)
        for what in (
            lambda: closed.declare(Queue("q")),
            lambda: closed.delete("q"),
            lambda: closed.exists("q"),
            lambda: closed.consume("q", Inbox()),
        ):
            with pytest.raises(Unavailable):
                what()
        delivery = Delivery(Message(b""), "q", "", "q", False, (1, 1))
        assert not closed.holds(delivery)
        assert isinstance(closed.settle(delivery, ACK), Ignored)

    def test_what_a_closed_bus_had_unsettled_goes_to_others(
        self, bus: Bus, opened: Callable[..., Bus], place: str
    ) -> None:
        first, second = Inbox(), Inbox()
        leaving = opened()
        leaving.consume(place, first)
        confirmed(bus.publish(text("x"), place))
        delivery = first.get()
        leaving.close()
        assert not leaving.holds(delivery)
        assert isinstance(leaving.settle(delivery, ACK), Ignored)
        bus.consume(place, second)
        assert second.get().redelivered

    def test_what_was_settled_and_published_just_before_the_close_is_done(
        self, bus: Bus, opened: Callable[..., Bus], place: str
    ) -> None:
        answers, inbox, rest = name(), Inbox(), Inbox()
        bus.declare(Queue(answers, QueueKind.CLASSIC))
        leaving = opened()
        leaving.consume(place, inbox, prefetch=100)
        for number in range(100):
            bus.publish(text(str(number)), place)
        given = [inbox.get() for _ in range(100)]
        sent = [leaving.publish(delivery.message, answers) for delivery in given]
        assert {leaving.settle(delivery, ACK) for delivery in given} == {None}
        leaving.close(DEADLINE_S)
        for confirmation in sent:
            assert (confirmation.done, confirmation.error) == (True, None)
        bus.consume(answers, rest, prefetch=100)
        for _ in range(100):
            assert not rest.get().redelivered
        bus.consume(place, rest)
        confirmed(bus.publish(text("the last"), place))
        assert rest.get().message.body == b"the last"

    def test_news_of_opening_and_closing_are_told(self, broker: Broker) -> None:
        bus = broker.bus()
        heard = Heard(bus)
        bus.listen(lambda news: 1 / 0)
        bus.open(DEADLINE_S)
        assert heard.wait_for(Opened).connection == 1
        bus.close()
        assert heard.wait_for(Closed).again_in_s is None

    def test_after_a_lost_connection_everything_goes_on(
        self, bus: Bus, broker: Broker, opened: Callable[..., Bus], place: str
    ) -> None:
        served = opened()
        exchange, own, inbox, replies = Exchange(name("x")), name("own"), Inbox(), Inbox()
        served.declare(
            exchange,
            Queue(
                own,
                QueueKind.CLASSIC,
                (Binding(exchange.name, "own.key"),),
                durable=False,
                exclusive=True,
            ),
        )
        served.consume(own, inbox)
        served.consume(place, inbox, prefetch=5)
        served.consume(DIRECT_REPLY_TO, replies)
        confirmed(bus.publish(text("before"), place))
        delivery = inbox.get()
        heard, bus_heard = Heard(served), Heard(bus)

        broker.cut()

        assert heard.wait_for(Closed).again_in_s is not None
        assert heard.wait_for(Opened).connection == 2
        bus_heard.wait_for(Opened)
        assert not served.holds(delivery)
        assert isinstance(served.settle(delivery, ACK), Ignored)
        again = inbox.get()
        assert (again.message, again.redelivered) == (delivery.message, True)
        assert served.settle(again, ACK) is None
        confirmed(bus.publish(text("after"), "own.key", exchange.name))
        assert inbox.get().message.body == b"after"
        address = self.address_of(served, bus)
        confirmed(bus.publish(text("direct"), address))
        assert replies.get().message.body == b"direct"
        assert served.counts().connections == 2

    def test_a_cancelled_consumer_does_not_come_back(
        self, bus: Bus, broker: Broker, opened: Callable[..., Bus], place: str
    ) -> None:
        served, never, inbox = opened(), Inbox(), Inbox()
        served.consume(place, never).cancel()
        heard, own = Heard(served), Heard(bus)
        broker.cut()
        heard.wait_for(Opened)
        own.wait_for(Opened)
        bus.consume(place, inbox, prefetch=2)
        for number in range(2):
            confirmed(bus.publish(text(str(number)), place))
        assert [inbox.get().message.body for _ in range(2)] == [b"0", b"1"]
        assert never.is_empty

    def test_a_deleted_queue_is_declared_again_by_who_declared_it(
        self, bus: Bus, opened: Callable[..., Bus]
    ) -> None:
        served, worker, inbox = opened(), name("worker"), Inbox()
        served.declare(Queue(worker, QueueKind.CLASSIC))
        served.consume(worker, inbox)
        heard = Heard(served)
        bus.delete(worker)
        assert heard.wait_for(ConsumerLost).queue == worker
        assert heard.wait_for(ConsumerBack).queue == worker
        confirmed(bus.publish(text("x"), worker))
        assert inbox.get().message.body == b"x"

    def test_a_deleted_queue_is_consumed_again_when_somebody_declares_it(
        self, bus: Bus, opened: Callable[..., Bus], place: str
    ) -> None:
        served, inbox = opened(), Inbox()
        served.consume(place, inbox)
        heard = Heard(served)
        bus.delete(place)
        heard.wait_for(ConsumerLost)
        bus.declare(Queue(place, QueueKind.CLASSIC))
        heard.wait_for(ConsumerBack)
        confirmed(bus.publish(text("x"), place))
        assert inbox.get().message.body == b"x"

    @contextmanager
    def blocked(self, broker: Broker, heard: Heard, bus: Bus, place: str) -> Iterator[Confirmation]:
        """While the broker blocks; gives what was published then, which it has not taken."""
        broker.block()
        try:
            confirmation = bus.publish(text("held"), place)
            heard.wait_for(Blocked)
            yield confirmation
        finally:
            broker.unblock()

    def test_a_broker_that_blocks_takes_nothing_and_still_delivers(
        self, broker: Broker, opened: Callable[..., Bus], bus: Bus, place: str
    ) -> None:
        publisher, inbox = opened(), Inbox()
        for number in range(20):
            confirmed(publisher.publish(text(str(number)), place))
        heard = Heard(publisher)
        with self.blocked(broker, heard, publisher, place) as held:
            # The one who publishes also settles, in a window smaller than what there is.
            publisher.consume(place, inbox, prefetch=2)
            for number in range(20):
                delivery = inbox.get()
                assert delivery.message.body == str(number).encode()
                assert publisher.settle(delivery, ACK) is None
            assert not held.done
            with pytest.raises(Unavailable, match="within"):
                held.wait(0.05)
        heard.wait_for(Unblocked)
        confirmed(held)
        assert inbox.get().message.body == b"held"

    def test_what_waits_for_confirmation_is_bounded(
        self, broker: Broker, opened: Callable[..., Bus], place: str, bus: Bus
    ) -> None:
        by_number = opened(limits=Limits(unconfirmed=10))
        by_bytes = opened(limits=Limits(unconfirmed_bytes=1000))
        hearing = Heard(by_number), Heard(by_bytes)
        with self.blocked(broker, hearing[0], by_number, place) as held:
            more = [by_number.publish(text(str(number)), place) for number in range(9)]
            assert "limit" in refused(by_number.publish(text("too many"), place), Unavailable)
            large = by_bytes.publish(text("x" * 1000), place)
            assert "1000 bytes" in refused(by_bytes.publish(text("x"), place), Unavailable)
        for confirmation in [held, *more, large]:
            confirmed(confirmation)
        confirmed(by_number.publish(text("now there is room"), place))
        confirmed(by_bytes.publish(text("here too"), place))

    def test_a_stopped_broker_keeps_what_is_durable_and_is_found_again(
        self, broker: Broker, opened: Callable[..., Bus]
    ) -> None:
        bus, inbox = opened(), Inbox()
        heard = Heard(bus)
        durable, passing, quorum = name(), name(), name()
        bus.declare(
            Queue(durable, QueueKind.CLASSIC),
            Queue(passing, QueueKind.CLASSIC, durable=False),
            Queue(quorum),
        )
        for queue_name in (durable, passing, quorum):
            confirmed(bus.publish(text("kept"), queue_name))
            confirmed(bus.publish(text("lost", persistent=False), queue_name))
        broker.stop()
        heard.wait_for(Closed)
        refused(bus.publish(text("meanwhile"), durable), Unavailable)
        late = broker.bus()
        with pytest.raises(Unavailable):
            late.open(0.2)
        assert not late.is_open
        broker.start()
        heard.wait_for(Opened)
        # Declared again, the one that was not durable is there again, and empty.
        for queue_name in (durable, passing, quorum):
            bus.consume(queue_name, inbox)
        first = [inbox.get() for _ in range(2)]
        assert {(d.queue, d.message.body) for d in first} == {
            (durable, b"kept"),
            (quorum, b"kept"),
        }
        confirmed(bus.publish(text("anew"), passing))
        assert inbox.get().queue == passing

    # Counting

    def test_the_counts_add_up(
        self, bus: Bus, broker: Broker, opened: Callable[..., Bus], place: str
    ) -> None:
        served, inbox = opened(), Inbox()
        heard = Heard(served)
        for number in range(10):
            confirmed(served.publish(text(str(number)), place))
        for _ in range(3):
            refused(served.publish(text("x"), name()), Rejected)
        served.consume(place, inbox, prefetch=8)
        given = [inbox.get() for _ in range(8)]
        for delivery in given[:2]:
            served.settle(delivery, ACK)
        given += [inbox.get() for _ in range(2)]
        served.settle(given[0], ACK)
        counts = served.counts()
        assert (counts.published, counts.confirmed, counts.failed) == (13, 10, 3)
        assert (counts.delivered, counts.settled, counts.ignored, counts.void) == (10, 2, 1, 0)
        broker.cut()
        heard.wait_for(Opened)
        for _ in range(8):
            served.settle(inbox.get(), ACK)
        counts = served.counts()
        assert counts.delivered == 18
        assert counts.delivered == counts.settled + counts.void

    def test_many_threads_publish_consume_and_settle_at_once(
        self, bus: Bus, opened: Callable[..., Bus], place: str
    ) -> None:
        served, each, threads = opened(), 100, 8
        inbox: queue.Queue[bytes] = queue.Queue()
        failed: list[BaseException] = []

        def handle(delivery: Delivery) -> None:
            assert served.settle(delivery, ACK) is None
            inbox.put(delivery.message.body)

        for _ in range(4):
            served.consume(place, handle, prefetch=10)

        def publish(first: int) -> None:
            try:
                sent = [bus.publish(text(str(first + n)), place) for n in range(each)]
                for confirmation in sent:
                    confirmed(confirmation)
            except BaseException as error:
                failed.append(error)

        running = [
            threading.Thread(target=publish, args=(number * each,)) for number in range(threads)
        ]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join(DEADLINE_S)
        got = sorted(int(inbox.get(timeout=DEADLINE_S)) for _ in range(each * threads))
        assert got == list(range(each * threads))
        assert failed == []
