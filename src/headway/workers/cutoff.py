"""Ends what a connection waits for when its time is over.

A socket's own timeout begins anew with every byte that arrives, so that whoever sends one now and
then holds a reader for ever. Here a thread watches the clock, and shuts the connection down.
"""

import socket
import threading
from types import TracebackType

from headway.runtime import clocks
from headway.workers.keys import StepFailed
from headway.workers.patience import Patience

_LOOK_S = 0.5  # how often it looks whether the worker is to leave


class Cutoff:
    """The time of one exchange: in all, and of the phase it is in. A context; its thread goes
    with it."""

    def __init__(self, patience: Patience, total_s: float) -> None:
        self._patience = patience
        self._total_s = total_s
        self._ends_at = clocks.monotonic() + total_s
        self._phase = ""
        self._phase_s = total_s
        self._phase_ends_at = self._ends_at
        self._why: str | None = None
        self._socket: socket.socket | None = None
        self._changed = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._watch, name="headway-cutoff", daemon=True)

    def __enter__(self) -> "Cutoff":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join()
        if self._socket is not None:
            self._socket.close()

    def phase(self, name: str, seconds: float) -> None:
        """Another phase begins, of at most so long. Raises: StepFailed when it is too late."""
        with self._changed:
            self._phase, self._phase_s = name, seconds
            self._phase_ends_at = clocks.monotonic() + seconds
            self._changed.notify()
        self.check()

    def left_s(self) -> float:
        """Until the phase is over. Raises: StepFailed when it is."""
        self.check()
        return max(0.001, self._moment() - clocks.monotonic())

    def check(self) -> None:
        """Raises: StepFailed when the time is over."""
        if self._why is None and clocks.monotonic() >= self._moment():
            self._why = self._reason()
        if self._why is not None:
            raise StepFailed(self._why)

    def watch(self, connection: socket.socket) -> None:
        """Shut this connection down when the time is over, whoever holds it by then."""
        mine = connection.dup()
        with self._changed:
            before, self._socket = self._socket, mine
            late = self._why is not None
        if before is not None:
            before.close()
        if late:
            _shut(mine)

    def _moment(self) -> float:
        known = (self._ends_at, self._phase_ends_at, self._patience.ends_at())
        return min(moment for moment in known if moment is not None)

    def _reason(self) -> str:
        now = clocks.monotonic()
        if now >= self._ends_at:
            return f"it took longer than {self._total_s:g} s"
        if now >= self._phase_ends_at:
            return f"{self._phase} took longer than {self._phase_s:g} s"
        return f"it was given up: {self._patience.why()}"

    def _watch(self) -> None:
        with self._changed:
            while not self._over:
                left_s = self._moment() - clocks.monotonic()
                if left_s <= 0:
                    self._why = self._why or self._reason()
                    if self._socket is not None:
                        _shut(self._socket)
                    return
                self._changed.wait(min(left_s, _LOOK_S))


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it was lost already
