"""Keeps a journal while a job has the runner's thread."""

import threading
from collections.abc import Callable
from types import TracebackType

from headway.errors import Conflict, HeadwayError
from headway.runtime.runner import TICK_S


class Keeper:
    """A thread that calls ``tick`` again and again, for as long as the context lasts.

    It stops when the run is somebody else's: the runner meets the same error when it next writes.
    A store that does not answer may answer again.
    """

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="headway-keeper", daemon=True)

    def __enter__(self) -> "Keeper":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._over.wait(TICK_S):
            try:
                self._tick()
            except Conflict:
                return
            except HeadwayError:
                continue
