"""The store behind the API: few threads that work on it, and a short queue before them.

A store call blocks, and an event loop must not. Each thread has a store of its own, opened when
it is first needed; what does not answer in time is answered for, and never waited for.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from headway.doors.web.limits import ANSWER_S, THREADS, WAITING
from headway.doors.web.problems import Problem, unavailable
from headway.ports.store import Store

P = ParamSpec("P")
T = TypeVar("T")


class Desk:
    """Hands calls to the store. Threads: the event loop's only."""

    def __init__(self, store_or_opener: Store | Callable[[], Store]) -> None:
        self._shared = None if callable(store_or_opener) else store_or_opener
        self._opener = store_or_opener if callable(store_or_opener) else None
        self._own = threading.local()
        self._opened: list[Store] = []
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="headway-api")
        self._calls = 0

    async def call(
        self, work: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What ``work(store, …)`` returns. Raises: what it raises; Problem when it is too late."""
        if self._calls >= THREADS + WAITING:
            raise unavailable("too much is asked at once: try again")
        self._calls += 1
        future = self._pool.submit(lambda: work(self._store(), *args, **kwargs))
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: _told(loop, self._ended))
        try:
            async with asyncio.timeout(ANSWER_S):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise self._too_slow() from None

    def close(self) -> None:
        """Begin nothing more, and close what was opened here."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for store in self._opened:
            store.close()

    def _store(self) -> Store:
        if self._shared is not None:
            return self._shared
        store: Store | None = getattr(self._own, "store", None)
        if store is None:
            assert self._opener is not None
            store = self._own.store = self._opener()
            self._opened.append(store)
        return store

    def _ended(self) -> None:
        self._calls -= 1

    def _too_slow(self) -> Problem:
        return unavailable(
            f"the store has not answered for {ANSWER_S:g} s; what was asked may have been done:"
            " look, then try again"
        )


def _told(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(what)
    except RuntimeError:
        pass  # the loop is closed: nobody counts any more
