"""Two connections that live and die together, and the loop that drives them."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pika import exceptions
from pika.channel import Channel

from headway.adapters.publications import Publication
from headway.adapters.rabbitmq.connection import Connection, explain, parameters
from headway.adapters.rabbitmq.errands import Errand, Outcome, Runner
from headway.adapters.rabbitmq.loop import Loop
from headway.adapters.rabbitmq.outlets import DirectOutlet, Outlet
from headway.errors import HeadwayError, Rejected, Unavailable
from headway.ports.bus import DIRECT_REPLY_TO, Blocked, Unblocked

if TYPE_CHECKING:
    from headway.adapters.rabbitmq.bus import RabbitBus

T = TypeVar("T")
A = TypeVar("A")

GRACE_S = 1.0  # for connections to close in good order, once the link is over
_LOG = logging.getLogger("headway.bus")


class _Order(NamedTuple):
    do: Callable[[Any], object]
    what: Any
    undo: Callable[[HeadwayError], object] | None


class Link:
    """Connected to the broker, or about to be. Made and driven by the bus's I/O thread.

    Threads: ``carry`` and ``leave`` from any, everything else in the I/O thread, or in one that
    holds the loop's lock.
    """

    def __init__(self, bus: "RabbitBus") -> None:
        """Raises: Unavailable when a certificate cannot be read."""
        self._bus = bus
        self._address = bus.address
        self._io_thread = threading.get_ident()
        self._loop = Loop(self._has_carried, self._do)
        self._mutex = threading.Lock()
        self._carried: deque[_Order] = deque()
        self._poked = False
        self._doing = False  # carried orders
        self._outlets: dict[str, Outlet] = {}
        self._direct: DirectOutlet | None = None
        self._errands: list[Runner[Any]] = []
        self._open = 0
        self._closed = 0
        self._ready = False
        self._leaving = False
        self._heard: list[tuple[int, float]] = []
        self.over = False
        self.error: HeadwayError | None = None  # why it is over
        try:
            self.publishing = self._connect("publishes")
            self.consuming = self._connect("consumes")
        except BaseException:
            self._loop.close()
            raise
        self._connections = (self.publishing, self.consuming)
        for connection in self._connections:
            connection.begin, connection.end = self._hold, self._release
        self.publishing.add_on_connection_blocked_callback(self._on_blocked)
        self.publishing.add_on_connection_unblocked_callback(self._on_unblocked)

    def drive(self) -> None:
        """Returns when the link is over, and its connections are closed."""
        with self._loop.lock:
            try:
                while self._closed < 2:
                    try:
                        self._loop.start()
                    except Exception as error:  # pika's, or ours: either way, begin anew
                        _LOG.exception("the loop that serves %s failed", self._address)
                        self.end(Unavailable(f"the link to {self._address} failed: {error!r}"))
            finally:
                self._loop.close()

    # From any thread.

    def carry(
        self, do: Callable[[A], object], what: A, undo: Callable[[HeadwayError], object] | None
    ) -> bool:
        """Have it done as soon as may be, after what was carried before.

        The I/O thread does it, many at once if they come at once; or this one, while the other
        waits for the network. ``undo`` is called instead if the link ends before. Returns False
        if it is over.
        """
        with self._mutex:
            if self.over:
                return False
            self._carried.append(_Order(do, what, undo))
        if threading.get_ident() == self._io_thread and not self._doing:
            self._do()
        elif self._loop.lets_in_this_thread:
            self._do_here()
        else:
            self._poke()
        return True

    def leave(self, timeout_s: float) -> None:
        """Close in good order, when all is confirmed or this time has passed."""
        self._loop.add_callback_threadsafe(lambda: self._leave(timeout_s))

    # In the I/O thread.

    def later(self, wait_s: float, call: Callable[[], object]) -> None:
        def unless_over() -> None:
            if not self.over:
                call()

        self._loop.call_later(wait_s, unless_over)

    def run(self, errand: Errand[T], outcome: Outcome[T]) -> None:
        self._errands = [one for one in self._errands if not one.over]
        self._errands.append(Runner(self.consuming, errand, outcome))

    def publish(self, publication: Publication) -> None:
        if publication.message.reply_to == DIRECT_REPLY_TO:
            outlet: Outlet | None = self._direct
            if outlet is None or outlet.closed:
                self._bus.ended(publication, self._bus.no_direct_replies())
                return
        else:
            outlet = self._outlets.get(publication.exchange)
            if outlet is None or outlet.closed:
                outlet = Outlet(self.publishing, self._bus, self._address.user)
                outlet.on_idle = self._on_idle
                self._outlets[publication.exchange] = outlet
        outlet.publish(publication)

    def open_direct_outlet(self, begin: Callable[[Channel], None]) -> DirectOutlet:
        self._direct = DirectOutlet(self.publishing, self._bus, self._address.user, begin)
        self._direct.on_idle = self._on_idle
        return self._direct

    def direct_is_ready(self) -> None:
        if self._direct is not None:
            self._direct.ready()

    def close_direct_outlet(self) -> None:
        outlet, self._direct = self._direct, None
        if outlet is not None:
            outlet.fail(Rejected(f"nobody consumes from {DIRECT_REPLY_TO} any more"))
            if outlet.channel.is_open:
                outlet.channel.close()

    def end(self, error: HeadwayError) -> None:
        """Lost, or left: whatever is under way fails, and the connections close."""
        with self._mutex:
            if self.over:
                return
            self.over = True
            self.error = error
            carried, self._carried = self._carried, deque()
        self._bus.link_ends(self, error)
        for outlet in [*self._outlets.values(), *([self._direct] if self._direct else [])]:
            outlet.fail(error)
        for errand in self._errands:
            errand.fail(error)
        for _, _, undo in carried:
            if undo is not None:
                undo(error)
        for connection in self._connections:
            if connection.is_open or not (connection.is_closing or connection.is_closed):
                connection.close()
        self._loop.call_later(GRACE_S, self._give_up)

    def _connect(self, what_for: str) -> Connection:
        name = f"{self._bus.name} {what_for}"
        return Connection(
            parameters(self._address, name, self._bus.limits.answer_s),
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_closed,
            on_close_callback=self._on_closed,
            custom_ioloop=self._loop,
        )

    def _on_open(self, connection: Any) -> None:
        self._open += 1
        if self._open < 2 or self.over:
            return
        now = self._bus.monotonic()
        self._heard = [(one.bytes_received, now) for one in self._connections]
        if self._address.heartbeat_s:
            self._loop.call_later(self._address.heartbeat_s / 2, self._watch)
        self.run(self._bus.repeat_declarations(), _Ready(self._on_ready))
        # A declaration that a sick queue holds up must not hold up everything.
        self.later(self._bus.limits.answer_s, self._on_ready)

    def _on_ready(self) -> None:
        if not self._ready and not self.over:
            self._ready = True
            self._bus.link_opens(self)

    def _on_closed(self, connection: Any, error: BaseException) -> None:
        self._closed += 1
        self.end(explain(error, self._address))
        if self._closed == 2:
            self._loop.stop()

    def _give_up(self) -> None:
        """Close what has not closed by itself: its network does not answer."""
        for connection in self._connections:
            if not connection.is_closed:
                connection._terminate_stream(  # type: ignore[attr-defined]
                    exceptions.StreamLostError("not closed in time")
                )

    def _watch(self) -> None:
        """A connection that is silent for two and a half heartbeats is lost.

        pika notices too, but only after up to twice five seconds more.
        """
        if self.over:
            return
        now = self._bus.monotonic()
        for at, connection in enumerate(self._connections):
            received, since = self._heard[at]
            if connection.bytes_received != received:
                self._heard[at] = (connection.bytes_received, now)
            elif now - since > 2.5 * self._address.heartbeat_s:
                self.end(Unavailable(f"{self._address} was not heard of for {now - since:.1f} s"))
                return
        self._loop.call_later(self._address.heartbeat_s / 2, self._watch)

    def _on_blocked(self, connection: Any, frame: Any) -> None:
        self._bus.tell(Blocked(frame.method.reason))

    def _on_unblocked(self, connection: Any, frame: Any) -> None:
        self._bus.tell(Unblocked())

    def _has_carried(self) -> bool:
        return bool(self._carried)

    def _do_here(self) -> None:
        """Whoever cannot get the lock may leave: who has it looks again after letting go."""
        loop = self._loop
        while self._carried and not loop.wanted and loop.lock.acquire(blocking=False):
            try:
                self._do()
            finally:
                loop.lock.release()

    def _poke(self) -> None:
        if not self._poked:
            self._poked = True
            self._loop.add_callback_threadsafe(self._poked_at)

    def _poked_at(self) -> None:
        self._poked = False
        self._do()
        if self._carried:
            self._poke()

    def _do(self) -> None:
        """Do what was carried up to now, and send all that comes of it together.

        No more than that: what comes from the broker must not wait for those who never stop.
        """
        self._doing = True
        self._hold()
        try:
            for _ in range(len(self._carried)):
                if not self._carried:
                    break  # one of them ended the link
                order = self._carried.popleft()
                try:
                    order.do(order.what)
                except Exception as error:
                    _LOG.exception("what was to be done at %s failed", self._address)
                    if order.undo is not None:
                        order.undo(Unavailable(f"it failed at {self._address}: {error!r}"))
        finally:
            self._release()
            self._doing = False

    def _hold(self) -> None:
        for connection in self._connections:
            connection.hold()

    def _release(self) -> None:
        for connection in self._connections:
            connection.release()

    def _on_idle(self) -> None:
        if self._leaving and self._idle:
            self._left()

    @property
    def _idle(self) -> bool:
        outlets = [*self._outlets.values(), *([self._direct] if self._direct else [])]
        return all(outlet.idle for outlet in outlets if not outlet.closed)

    def _leave(self, timeout_s: float) -> None:
        if self.over:
            return
        while self._carried:
            self._do()
        self._leaving = True
        if self._idle:
            self._left()
        else:
            self.later(timeout_s, self._left)

    def _left(self) -> None:
        self.end(Unavailable(f"the bus {self._address} was closed"))


class _Ready(Outcome[None]):
    """Calls on, whatever came of it."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__()
        self._call = call

    def succeed(self, result: None) -> None:
        self._call()

    def fail(self, error: BaseException) -> None:
        pass  # the link has gone
