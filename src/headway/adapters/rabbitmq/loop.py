"""pika's loop, made to let other threads in while it waits."""

import select
import threading
from collections.abc import Callable
from typing import Any

from pika.adapters.select_connection import EPollPoller, IOLoop


class Loop(IOLoop):
    """Runs under its lock, and lets go of that only while it waits for the network.

    A thread that gets the lock may use pika's objects as the I/O thread does. It spares a message
    the way through the I/O thread: two changes of threads, which cost more than to send it. Such
    a thread may only *try* the lock, and should leave it alone while it is ``wanted``; what it
    cannot do then it leaves ``pending``. Whoever has the lock looks for that after letting go: the
    I/O thread before it waits, others in a loop of their own.
    """

    def __init__(self, pending: Callable[[], bool], do_pending: Callable[[], None]) -> None:
        """``pending``: whether something is left to do; ``do_pending`` does it, under the lock."""
        self.lock = threading.Lock()
        self.wanted = False  # the I/O thread has been woken: nobody else is to begin
        self._io_thread = threading.get_ident()
        self._pending = pending
        self._do_pending = do_pending
        super().__init__()

    @property
    def lets_in_this_thread(self) -> bool:
        """Whether the calling thread may try the lock.

        Never the main thread: Ctrl-C could interrupt it anywhere, and leave the connection with
        half a message sent, or one too many numbered. And only where a wait that is under way
        notices a change of what it waits for.
        """
        return _EPOLL and threading.current_thread() is not threading.main_thread()

    def call_later(self, delay: float, callback: Callable[[], object]) -> Any:
        timer = super().call_later(delay, callback)
        if threading.get_ident() != self._io_thread:
            self.add_callback_threadsafe(lambda: None)  # how long to wait was worked out without it
        return timer

    def _get_poller(self, get_wait_seconds: Any, process_timeouts: Any) -> Any:
        if not _EPOLL:
            return super()._get_poller(get_wait_seconds, process_timeouts)  # type: ignore[misc]
        poller = _Poller(get_wait_seconds, process_timeouts)
        poller.loop = self
        return poller

    def wait(self, wait: Callable[[float], Any], timeout_s: float) -> Any:
        """Do what is pending and wait, without the lock, for events."""
        if self._pending():
            self._do_pending()
            timeout_s = 0.0  # it may have made timers, and left more to do
        self.lock.release()
        try:
            # Whoever came before this, and did not get the lock, has left something to do.
            return wait(0.0 if self._pending() else timeout_s)
        finally:
            self.wanted = True
            self.lock.acquire()
            self.wanted = False


class _Poller(EPollPoller):
    loop: Loop

    def _create_poller(self) -> Any:
        return _Gate(self.loop)


class _Gate:
    """The system's epoll, as pika's poller uses it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self.register = self._epoll.register
        self.modify = self._epoll.modify
        self.unregister = self._epoll.unregister
        self.close = self._epoll.close

    def poll(self, timeout_s: float) -> Any:
        return self._loop.wait(self._epoll.poll, timeout_s)


_EPOLL = hasattr(select, "epoll")
