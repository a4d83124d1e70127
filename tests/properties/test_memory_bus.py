"""Whatever happens on the in-memory bus, a confirmed message is somewhere, and in one place."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus, MemoryConsumer
from headway.errors import Unavailable
from headway.ports.bus import Confirmation, Delivery, Queue, QueueKind, Settlement
from headway.testing.buses import text

QUEUE = "q"


class OneQueue(RuleBasedStateMachine):
    """Publishers, consumers that come and go, and a network that is cut, on one queue."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = MemoryBroker(by_hand=True)
        self.buses = [MemoryBus(self.broker) for _ in range(3)]
        for bus in self.buses:
            bus.open()
        self.buses[0].declare(Queue(QUEUE, QueueKind.CLASSIC))
        self.sent = 0
        self.confirmed: set[int] = set()
        self.held: list[tuple[MemoryBus, Delivery]] = []  # given to a handler, in their order
        self.done: Counter[int] = Counter()
        self.given: Counter[int] = Counter()
        self.consumers: list[MemoryConsumer] = []

    @rule(who=st.integers(0, 2))
    def publish(self, who: int) -> None:
        number, self.sent = self.sent, self.sent + 1

        def ended(confirmation: Confirmation) -> None:
            if confirmation.error is None:
                self.confirmed.add(number)

        self.buses[who].publish(text(str(number)), QUEUE).then(ended)

    @rule(who=st.integers(0, 2), prefetch=st.integers(1, 3))
    def consume(self, who: int, prefetch: int) -> None:
        bus = self.buses[who]

        def handle(delivery: Delivery) -> None:
            number = int(delivery.message.body)
            assert delivery.redelivered or self.given[number] == 0
            self.given[number] += 1
            self.held.append((bus, delivery))

        try:
            self.consumers.append(bus.consume(QUEUE, handle, prefetch=prefetch))
        except Unavailable:
            pass  # cut, and not connected again yet

    @rule(which=st.integers(0, 100))
    def cancel(self, which: int) -> None:
        if self.consumers:
            self.consumers.pop(which % len(self.consumers)).cancel()

    @rule(which=st.integers(0, 100), settlement=st.sampled_from(Settlement))
    def settle(self, which: int, settlement: Settlement) -> None:
        if not self.held:
            return
        bus, delivery = self.held[which % len(self.held)]
        held = bus.holds(delivery)
        ignored = bus.settle(delivery, settlement)
        assert (ignored is None) == held
        if ignored is None and settlement is not Settlement.REQUEUE:
            self.done[int(delivery.message.body)] += 1

    @rule()
    def cut(self) -> None:
        self.broker.cut()

    @rule(chance=st.floats(0, 1, exclude_max=True), turns=st.integers(1, 5))
    def turn(self, chance: float, turns: int) -> None:
        for _ in range(turns):
            self.broker.turn(lambda: chance)

    @rule()
    def settle_down(self) -> None:
        while self.broker.turn():
            pass

    @invariant()
    def nothing_is_done_twice(self) -> None:
        assert not self.done or max(self.done.values()) == 1

    @invariant()
    def what_is_held_is_held_once(self) -> None:
        held = [int(d.message.body) for bus, d in self.held if bus.holds(d)]
        assert len(held) == len(set(held))
        assert not set(held) & set(self.done)

    @invariant()
    def counts_add_up(self) -> None:
        for bus in self.buses:
            counts = bus.counts()
            assert counts.confirmed + counts.failed <= counts.published
            assert counts.settled + counts.void <= counts.delivered

    def teardown(self) -> None:
        """Let everybody go but one who takes all: then everything confirmed has been done."""
        self.settle_down()
        for consumer in self.consumers:
            consumer.cancel()
        self.settle_down()
        for bus, delivery in self.held:
            bus.settle(delivery, Settlement.REQUEUE)
        last = MemoryBus(self.broker)
        last.open()

        def finish(delivery: Delivery) -> None:
            self.done[int(delivery.message.body)] += 1
            last.settle(delivery, Settlement.ACK)

        last.consume(QUEUE, finish)
        self.settle_down()
        self.nothing_is_done_twice()
        assert self.confirmed <= set(self.done)
        assert self.broker.depth(QUEUE) == 0
        for bus in self.buses:
            counts = bus.counts()
            assert counts.confirmed + counts.failed == counts.published
            bus.close()
        last.close()


OneQueue.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestOneQueue = OneQueue.TestCase
