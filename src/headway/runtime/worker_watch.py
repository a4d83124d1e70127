"""Looks at a process's workers once a second, for those whose step takes long.

A step that was acknowledged makes room for the next delivery, which then waits here. That is
quick between short steps; behind one that lasts, it would keep work from whoever is idle.
"""

import threading
from collections.abc import Callable

LOOK_S = 1.0


class Watch:
    """Thread-safe. Its thread begins with the first call that it is to make."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[Callable[[], object]] = []
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, call: Callable[[], object]) -> None:
        """Have this called again and again until closed. It must not raise."""
        with self._lock:
            self._calls.append(call)
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(
                    target=self._look, name="headway-worker watch", daemon=True
                )
                self._thread.start()

    def remove(self, call: Callable[[], object]) -> None:
        with self._lock:
            if call in self._calls:
                self._calls.remove(call)

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _look(self) -> None:
        while not self._closed.wait(LOOK_S):
            with self._lock:
                calls = list(self._calls)
            for call in calls:
                call()
