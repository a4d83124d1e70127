"""Consumes one queue on one channel, again and again if that is lost."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pika import exceptions, spec
from pika.channel import Channel

from headway.adapters.handlers import HandlerThread, call_handler
from headway.adapters.rabbitmq import declarations
from headway.adapters.rabbitmq.connection import limit_messages
from headway.adapters.rabbitmq.encoding import message_of, sound
from headway.adapters.rabbitmq.errands import ChannelClosed, Outcome
from headway.errors import HeadwayError, Unavailable
from headway.ports.bus import (
    DIRECT_REPLY_TO,
    ConsumerBack,
    ConsumerLost,
    Delivery,
    Queue,
    Settlement,
)

if TYPE_CHECKING:
    from headway.adapters.rabbitmq.bus import RabbitBus
    from headway.adapters.rabbitmq.link import Link

_LOG = logging.getLogger("headway.bus")
REPLIES_KEPT = 10_000  # direct replies that wait for a handler; beyond, they are dropped


class Opened:
    """A consumer's channel, and what was delivered on it and is not settled.

    ``unsettled``: what can still be settled; any thread takes from it. ``untold``: of how many
    deliveries the broker was not told yet what becomes of them; in the I/O thread. A settlement
    that waits for that thread is in the second alone, and the channel must outlast it.
    """

    __slots__ = ("channel", "consumer", "epoch", "unsettled", "untold")

    def __init__(self, epoch: int, channel: Channel, consumer: "RabbitConsumer") -> None:
        self.epoch = epoch
        self.channel = channel
        self.consumer = consumer
        self.unsettled: set[int] = set()
        self.untold = 0


class RabbitConsumer:
    """A handler that is given a queue's deliveries.

    Threads: ``cancel`` and ``stop`` from any, everything else in the I/O thread.
    """

    def __init__(
        self,
        bus: "RabbitBus",
        queue: str,
        handler: Callable[[Delivery], object],
        prefetch: int,
        inline: bool,
    ) -> None:
        self.queue = queue
        self.opened: Opened | None = None
        self._bus = bus
        self._handler = handler
        self._prefetch = prefetch
        self._direct = queue == DIRECT_REPLY_TO
        self._inline = inline
        self._link: Link | None = None
        self._starting: Outcome[None] | None = None  # of the first attempt
        self._failures = 0
        self._consuming_since: float | None = None
        self._was_lost = False
        self._cancelled = False
        self._tag = ""
        self._thread = None if inline else HandlerThread(bus, queue, handler)

    # In the I/O thread.

    def start(self, link: "Link", outcome: Outcome[None] | None = None) -> None:
        """Consume on this link. ``outcome``: of the first attempt, which is not repeated."""
        if self._cancelled or link.over:
            return
        self._link, self._starting = link, outcome
        if self._direct:
            outlet = link.open_direct_outlet(self._begin)
            channel = outlet.channel
        else:
            channel = link.consuming.channel(on_open_callback=self._begin)
        channel.add_on_close_callback(self._on_close)

    def link_lost(self, error: HeadwayError) -> None:
        self._void()
        self._link = None
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.fail(error)

    def _begin(self, channel: Channel) -> None:
        if self._cancelled:
            channel.close()
            return
        self.opened = Opened(self._bus.next_epoch(), channel, self)
        limit_messages(channel, self._bus.limits.body_bytes)
        channel.add_on_cancel_callback(self._on_cancel)
        if not self._direct:
            channel.basic_qos(prefetch_count=self._prefetch, callback=lambda frame: None)
        self._tag = channel.basic_consume(
            self.queue,
            self._on_direct if self._direct else self._on_message,
            auto_ack=self._direct,
            callback=self._consuming,
        )
        if not self._direct:
            self._bus.channels[self.opened.epoch] = self.opened

    def _consuming(self, frame: Any) -> None:
        self._consuming_since = self._bus.monotonic()
        starting, self._starting = self._starting, None
        if self._direct and self._link is not None:
            self._link.direct_is_ready()
        if starting is not None:
            starting.succeed(None)
        elif self._was_lost:
            self._bus.tell(ConsumerBack(self.queue))
        self._was_lost = False

    def _on_message(
        self, channel: Channel, method: Any, properties: spec.BasicProperties, body: bytes
    ) -> None:
        opened = self.opened
        if opened is None or opened.channel is not channel:
            return
        number = method.delivery_tag
        opened.untold += 1
        opened.unsettled.add(number)
        self._give(self._delivery(method, properties, body, (opened.epoch, number)))

    def _on_direct(
        self, channel: Channel, method: Any, properties: spec.BasicProperties, body: bytes
    ) -> None:
        if self._thread is not None and self._thread.waiting >= REPLIES_KEPT:
            _LOG.warning("%s direct replies wait for their handler: one is dropped", REPLIES_KEPT)
            return
        self._give(self._delivery(method, properties, body, (0, 0)))

    def _delivery(
        self, method: Any, properties: Any, body: bytes, tag: tuple[int, int]
    ) -> Delivery:
        message, flaw = sound(message_of(properties, body), properties)
        return Delivery(
            message, self.queue, method.exchange, method.routing_key, method.redelivered, tag, flaw
        )

    def _give(self, delivery: Delivery) -> None:
        self._bus.count_delivered()
        if self._thread is not None:
            self._thread.put(delivery)
        else:
            call_handler(self._bus, self._handler, delivery)

    def settle(self, what: tuple[Opened, int, Settlement]) -> None:
        opened, number, settlement = what
        channel = opened.channel
        opened.untold -= 1
        if not channel.is_open:
            self._bus.count_late()
        elif settlement is Settlement.ACK:
            channel.basic_ack(number)
        else:
            channel.basic_nack(number, requeue=settlement is Settlement.REQUEUE)
        self._close_if_done(opened)

    def _on_cancel(self, frame: Any) -> None:
        """The broker has nothing more for us: the queue has gone."""
        if self.opened is not None and self.opened.channel.is_open:
            self.opened.channel.close()
        self._lost(f"queue {self.queue!r} was deleted")

    def _on_close(self, channel: Channel, reason: BaseException) -> None:
        if not isinstance(reason, exceptions.ChannelClosedByBroker):
            return  # we closed it, or the connection has gone and the link says so
        starting, self._starting = self._starting, None
        if starting is not None:
            closed = ChannelClosed(reason.reply_code, reason.reply_text)
            self._void()
            what = f"consume queue {self.queue!r}"
            starting.fail(declarations.refusal(closed, self._bus.address.user, what))
        elif not self._cancelled:
            self._lost(f"the broker closed its channel ({reason.reply_code}: {reason.reply_text})")
        else:
            self._void()

    def _lost(self, reason: str) -> None:
        self._void()
        link = self._link
        if link is None or link.over or self._cancelled:
            return
        # The first time at once: a channel closed over one delivery is no reason to wait.
        since, self._consuming_since = self._consuming_since, None
        if since is not None and self._bus.monotonic() - since >= self._bus.limits.longest_wait_s:
            self._failures = 0
        wait_s = self._bus.wait_s(self._failures) if self._failures else 0.0
        self._failures += 1
        self._was_lost = True
        _LOG.warning("queue %s is not consumed any more, trying again: %s", self.queue, reason)
        self._bus.tell(ConsumerLost(self.queue, reason, wait_s))
        link.later(wait_s, lambda: self._again(link))

    def _again(self, link: "Link") -> None:
        if link.over or self._cancelled or self._link is not link:
            return
        part = self._bus.declared.get(self.queue)
        if not isinstance(part, Queue):
            self.start(link)
            return
        outcome = _Then(lambda: self.start(link), lambda error: self._lost(str(error)))
        address = self._bus.address
        link.run(declarations.declare(part, address.user, address.vhost), outcome)

    def _void(self) -> None:
        """Its channel has gone: what is unsettled comes again, to us or to others."""
        opened, self.opened = self.opened, None
        if opened is not None:
            self._bus.channels.pop(opened.epoch, None)
            self._bus.count_void(len(opened.unsettled))
            opened.unsettled.clear()
        if self._thread is not None and not self._direct:
            self._thread.drop_void()

    def _stop_consuming(self, outcome: Outcome[None]) -> None:
        opened = self.opened
        if opened is None or not opened.channel.is_open:
            outcome.succeed(None)
            return

        def cancelled(frame: Any) -> None:
            if self._link is not None and self._direct:
                self._link.close_direct_outlet()
            self._close_if_done(opened)
            outcome.succeed(None)

        opened.channel.add_on_close_callback(lambda *_: outcome.succeed(None))
        opened.channel.basic_cancel(self._tag, callback=cancelled)

    def _close_if_done(self, opened: Opened) -> None:
        """A cancelled consumer's channel lasts until what it was given is settled."""
        if self._cancelled and not opened.untold and opened.channel.is_open:
            if not self._direct:
                opened.channel.close()
            self._bus.channels.pop(opened.epoch, None)
            self.opened = None

    # From any thread.

    def cancel(self, timeout_s: float | None = None) -> bool:
        if not self._cancelled:
            self._cancelled = True
            self._bus.forget(self)
            outcome: Outcome[None] = Outcome()
            link = self._link
            if self._bus.in_io_thread:
                self._stop_consuming(outcome)
            elif link is not None and link.carry(self._stop_consuming, outcome, outcome.fail):
                try:
                    outcome.wait(self._bus.limits.answer_s, f"cancel of queue {self.queue!r}")
                except Unavailable:
                    pass  # the connection has gone, and with it the consumer
            self.stop()
        return self._thread is None or self._thread.join(timeout_s)

    def stop(self) -> None:
        """Call the handler no more."""
        self._cancelled = True
        if self._thread is not None:
            self._thread.stop()


class _Then(Outcome[Any]):
    """Calls on in the I/O thread instead of waking anybody."""

    def __init__(
        self, succeeded: Callable[[], object], failed: Callable[[BaseException], object]
    ) -> None:
        super().__init__()
        self._succeeded = succeeded
        self._failed = failed

    def succeed(self, result: Any) -> None:
        self._succeeded()

    def fail(self, error: BaseException) -> None:
        self._failed(error)
