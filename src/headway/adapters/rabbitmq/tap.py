"""Stands between a worker and its broker: passes everything on, and tells what it sees.

The one thing it changes is the heartbeat that the broker proposes, so that a step need not last
minutes to be longer than it. Whoever connects here speaks plainly; towards the broker it is TLS
where the address says so.
"""

import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, TypeVar

from pika import frame, spec

from headway.adapters.bus_address import RabbitAddress
from headway.adapters.rabbitmq.talk import Talk
from headway.adapters.traffic import Traffic

_READ_BYTES = 1 << 16
_FRAME = struct.Struct(">BHL")
CONNECT_S = 10.0
_T = TypeVar("_T")


class _Secured:
    """A TLS connection that one thread reads while another one writes.

    OpenSSL takes one of them at a time: both at once now and then break the connection. So nobody
    waits within it.
    """

    def __init__(self, made: ssl.SSLSocket) -> None:
        made.setblocking(False)
        self._made = made
        self._lock = threading.Lock()
        self.setsockopt = made.setsockopt
        self.close = made.close

    def recv(self, most: int) -> bytes:
        return self._done(partial(self._made.recv, most), select.POLLIN)

    def sendall(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._done(partial(self._made.send, left), select.POLLOUT) :]

    def shutdown(self, how: int) -> None:
        with self._lock:
            self._made.shutdown(how)

    def _done(self, call: Callable[[], _T], event: int) -> _T:
        while True:
            with self._lock:
                try:
                    return call()
                except ssl.SSLWantReadError:
                    wanted = select.POLLIN
                except ssl.SSLWantWriteError:
                    wanted = select.POLLOUT
                except BlockingIOError:  # it was shut down, and speaks plainly now
                    wanted = event
            waiting = select.poll()
            waiting.register(self._made, wanted)
            waiting.poll()


_Connection = socket.socket | _Secured


class Tap:
    """Listens on loopback, on a port of its own.

    Threads: one that accepts, two a connection. ``tell`` is called in any of them.
    """

    def __init__(
        self,
        address: RabbitAddress,
        tell: Callable[[Traffic], object],
        heartbeat_s: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._tell = tell
        self._heartbeat_s = heartbeat_s
        self._monotonic = monotonic
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[_Connection] = set()
        self._threads: list[threading.Thread] = []
        self._over = False
        self._connections = count(1)
        self._channels = count(1)
        self._begin(self._accept)

    def cut(self) -> None:
        """Break every connection, as a network does."""
        with self._lock:
            broken, self._open = self._open, set()
        for one in broken:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._lock:
            self._over = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _begin(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, name="headway-tap", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                worker, _ = self._listener.accept()
            except OSError:
                return
            try:
                broker = self._dial()
            except OSError:
                worker.close()  # as an unreachable broker would look
                continue
            with self._lock:
                if self._over:
                    worker.close()
                    broker.close()
                    return
                self._open |= {worker, broker}
            self._begin(self._serve, worker, broker)

    def _dial(self) -> _Connection:
        address = self._address
        plain = socket.create_connection((address.host, address.port), CONNECT_S)
        context = address.tls_context()
        if context is not None:
            name = address.server_name or address.host
            return _Secured(context.wrap_socket(plain, server_hostname=name))
        plain.settimeout(None)
        return plain

    def _serve(self, worker: socket.socket, broker: _Connection) -> None:
        for one in (worker, broker):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talk = Talk(next(self._connections), self._tell, self._channels, self._monotonic)
        back = threading.Thread(
            target=self._pass_on,
            args=(broker, worker, Frames(lambda raw: self._from_broker(talk, raw))),
            name="headway-tap back",
            daemon=True,
        )
        back.start()
        self._pass_on(worker, broker, Frames(talk.from_worker))
        back.join()
        with self._lock:
            self._open -= {worker, broker}
        worker.close()
        broker.close()
        talk.ended()

    def _pass_on(
        self,
        source: _Connection,
        target: _Connection,
        frames: "Frames",
    ) -> None:
        try:
            while data := source.recv(_READ_BYTES):
                target.sendall(frames.seen(data))
        except OSError:
            pass
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _from_broker(self, talk: Talk, raw: bytes) -> bytes:
        method = talk.from_broker(raw)
        if isinstance(method, spec.Connection.Tune):
            method.heartbeat = self._heartbeat_s
            return frame.Method(0, method).marshal()
        return raw


class Frames:
    """Cuts a stream into frames, and has each looked at before it goes on."""

    def __init__(self, look: Callable[[bytes], bytes]) -> None:
        self._look = look
        self._rest = b""
        self._broken = False  # no AMQP, or not any more: passed on as it comes

    def seen(self, data: bytes) -> bytes:
        self._rest += data
        out = []
        while size := self._size():
            raw, self._rest = self._rest[:size], self._rest[size:]
            out.append(raw if self._broken else self._look(raw))
        return b"".join(out)

    def _size(self) -> int:
        """Of the frame that is there, 0 if it is not complete."""
        if self._broken:
            return len(self._rest)
        if self._rest[:4] == b"AMQP":
            return 8 if len(self._rest) >= 8 else 0
        if len(self._rest) < _FRAME.size:
            return 0
        kind, _, length = _FRAME.unpack_from(self._rest)
        if kind not in (1, 2, 3, 4, 8):
            self._broken = True
            return len(self._rest)
        size = _FRAME.size + int(length) + 1
        return size if len(self._rest) >= size else 0
