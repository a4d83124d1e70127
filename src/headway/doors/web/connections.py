"""Connections that must come to the point: one whose request does not arrive is closed."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from headway.doors.web.limits import HEAD_S


class PromptProtocol(H11Protocol):
    """HTTP as uvicorn speaks it, with a bound on how long the head of a request may take.

    Bytes that trickle in do not move that bound: else a few thousand of them, well timed, would
    keep every connection that the server has.
    """

    _slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._slow is None:
            self._slow = asyncio.get_running_loop().call_later(HEAD_S, self._too_slow)

    def _forget(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def _too_slow(self) -> None:
        self._slow = None
        if self.conn.their_state is h11.IDLE:
            self.transport.close()
