"""The loop that lets other threads in while it waits: no wakeup is lost, and nobody is held up."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("pika")

from headway.adapters.rabbitmq.loop import Loop

SOON_S = 4.0  # pika looks again every 5 s by itself: what is noticed only then was lost


class Served:
    """A loop in a thread of its own, and what is left for it to do."""

    def __init__(self) -> None:
        self.left: list[Callable[[], object]] = []
        self.loop: Loop
        made = threading.Event()
        self.thread = threading.Thread(target=self._serve, args=(made,))
        self.thread.start()
        assert made.wait(SOON_S)

    def _serve(self, made: threading.Event) -> None:
        self.loop = Loop(lambda: bool(self.left), self._do)
        with self.loop.lock:
            self.loop.add_callback_threadsafe(made.set)
            self.loop.start()
            self.loop.close()

    def _do(self) -> None:
        for _ in range(len(self.left)):
            self.left.pop(0)()


@contextmanager
def served() -> Iterator[Served]:
    one = Served()
    try:
        yield one
    finally:
        one.loop.add_callback_threadsafe(one.loop.stop)
        one.thread.join(SOON_S)
        assert not one.thread.is_alive()


def test_a_thread_gets_the_lock_while_the_loop_waits() -> None:
    with served() as one:
        assert one.loop.lock.acquire(timeout=SOON_S)
        one.loop.lock.release()


def test_what_a_thread_left_that_did_not_get_the_lock_is_done_before_the_wait() -> None:
    busy, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def keep_busy() -> None:
        busy.set()
        assert go_on.wait(SOON_S)

    with served() as one:
        for _ in range(50):
            for event in (busy, go_on, done):
                event.clear()
            one.loop.add_callback_threadsafe(keep_busy)
            assert busy.wait(SOON_S)
            one.left.append(done.set)
            assert not one.loop.lock.acquire(blocking=False)
            go_on.set()
            assert done.wait(SOON_S)


def test_what_has_come_is_not_held_up_by_those_who_always_leave_something() -> None:
    ours, theirs = socket.socketpair()
    came = threading.Event()

    with ours, theirs, served() as one:

        def again() -> None:
            if not came.is_set():
                one.left.append(again)

        def read(fd: int, events: int) -> None:
            theirs.recv(1)
            came.set()

        def watch() -> None:
            one.loop.add_handler(theirs.fileno(), read, one.loop.READ)
            again()
            ours.send(b"x")

        one.loop.add_callback_threadsafe(watch)
        assert came.wait(SOON_S)
        one.loop.add_callback_threadsafe(lambda: one.loop.remove_handler(theirs.fileno()))


def test_a_timer_that_another_thread_makes_is_noticed() -> None:
    with served() as one:
        for _ in range(20):
            done = threading.Event()
            assert one.loop.lock.acquire(timeout=SOON_S)
            try:
                one.loop.call_later(0.0, done.set)
            finally:
                one.loop.lock.release()
            assert done.wait(SOON_S)


def test_the_main_thread_is_not_let_in() -> None:
    with served() as one:
        assert not one.loop.lets_in_this_thread
        found: list[bool] = []
        other = threading.Thread(target=lambda: found.append(one.loop.lets_in_this_thread))
        other.start()
        other.join()
        assert found == [True]
