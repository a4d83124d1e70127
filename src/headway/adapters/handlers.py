"""Calls consumers' handlers: each in a thread of its own, or where the delivery arrives."""

import logging
import queue
import threading
from collections.abc import Callable

from headway.ports.bus import Bus, Delivery, Settlement

_LOG = logging.getLogger("headway.bus")


def call_handler(bus: Bus, handler: Callable[[Delivery], object], delivery: Delivery) -> None:
    """Give a delivery to its handler. One that raises is logged, and does not go unsettled."""
    try:
        handler(delivery)
    except Exception:
        _LOG.exception("the handler of queue %s failed on %r", delivery.queue, delivery.message)
        again = Settlement.REJECT if delivery.redelivered else Settlement.REQUEUE
        if bus.holds(delivery):
            bus.settle(delivery, again)


class HandlerThread:
    """One consumer's thread, and the deliveries that wait for it.

    They are no more than the consumer may have unsettled. It is a daemon: a handler that never
    returns does not keep the process from ending.
    """

    def __init__(self, bus: Bus, queue_name: str, handler: Callable[[Delivery], object]) -> None:
        self._bus = bus
        self._handler = handler
        self._waiting: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        self.put = self._waiting.put  # called for every delivery
        self._stopped = False
        self._thread = threading.Thread(
            target=self._serve, name=f"headway-bus {queue_name}", daemon=True
        )
        self._thread.start()

    @property
    def waiting(self) -> int:
        return self._waiting.qsize()

    def drop_void(self) -> None:
        """Let go of what waits here and cannot be settled any more."""
        kept = [one for one in self._take_all() if one is None or self._bus.holds(one)]
        for delivery in kept:
            self._waiting.put(delivery)

    def stop(self) -> None:
        """Call the handler no more, and give back what it was not yet given. It may be running."""
        self._stopped = True
        for delivery in self._take_all():
            if delivery is not None:
                self._bus.settle(delivery, Settlement.REQUEUE)
        self._waiting.put(None)

    def join(self, timeout_s: float | None) -> bool:
        """Whether the thread has ended; True in the handler itself."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
            return not self._thread.is_alive()
        return True

    def _take_all(self) -> list[Delivery | None]:
        taken = []
        try:
            while True:
                taken.append(self._waiting.get_nowait())
        except queue.Empty:
            return taken

    def _serve(self) -> None:
        get, holds = self._waiting.get, self._bus.holds
        while (delivery := get()) is not None:
            # What went with its channel while it waited here comes again; to begin it would be
            # to do it twice.
            if self._stopped:
                self._bus.settle(delivery, Settlement.REQUEUE)
            elif delivery.tag[1] == 0 or holds(delivery):
                call_handler(self._bus, self._handler, delivery)
