"""A network that a test may break: forwards TCP connections until told otherwise."""

import selectors
import socket
import ssl
import struct
import threading
from types import TracebackType

_RST = struct.pack("ii", 1, 0)  # linger for no time: the peer sees the connection reset
HANDSHAKE_S = 10.0


class Forwarder:
    """Listens on a port of its own and passes everything on to another; with TLS towards whoever
    connects, if given a context.

    Threads: one of its own moves the bytes; all methods may be called from any.
    """

    def __init__(self, target_port: int, tls: ssl.SSLContext | None = None) -> None:
        self._target = ("127.0.0.1", target_port)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._wake_up, self._woken = socket.socketpair()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._flowing = True
        self._accepting = True
        self._over = False
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._forward, name="forwarder", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Forwarder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over = True
        self._wake_up.send(b"x")
        self._thread.join()
        self.cut()
        for one in (self._listener, self._wake_up, self._woken):
            one.close()
        self._selector.close()

    def cut(self) -> None:
        """Reset every connection."""
        with self._lock:
            for one in list(self._peers):
                self._drop(one)

    def stall(self) -> None:
        """Pass on nothing, in neither direction, and close nothing: as a cable pulled out."""
        with self._lock:
            self._flowing = False

    def flow(self) -> None:
        """Pass on again, also what came meanwhile."""
        with self._lock:
            self._flowing = True
        self._wake_up.send(b"x")

    def refuse(self) -> None:
        """Reset who connects from now on."""
        self._accepting = False

    def accept(self) -> None:
        self._accepting = True

    def _forward(self) -> None:
        while not self._over:
            ready = self._selector.select()
            with self._lock:
                for key, _ in ready:
                    one = key.fileobj
                    assert isinstance(one, socket.socket)
                    if one is self._listener:
                        self._take_in()
                    elif one is self._woken:
                        self._woken.recv(4096)
                    elif one in self._peers and self._flowing:
                        self._pass_on(one)
            if not self._flowing and not self._over:
                # What waits to be read would have us spin here: only a wake-up counts now.
                self._woken.recv(4096)

    def _take_in(self) -> None:
        incoming, _ = self._listener.accept()
        if not self._accepting:
            _reset(incoming)
            return
        try:
            if self._tls is not None:
                incoming.settimeout(HANDSHAKE_S)
                incoming = self._tls.wrap_socket(incoming, server_side=True)
                incoming.settimeout(None)
            outgoing = socket.create_connection(self._target)
        except OSError:  # ssl.SSLError is one
            incoming.close()
            return
        for one, other in ((incoming, outgoing), (outgoing, incoming)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, one: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                self._peers[one].sendall(data)
                # TLS may have decoded more than was asked for, which no selector can see.
                if not isinstance(one, ssl.SSLSocket) or not one.pending():
                    return
        except OSError:
            pass
        self._drop(one)

    def _drop(self, one: socket.socket) -> None:
        other = self._peers.pop(one, None)
        if other is None:
            return
        self._peers.pop(other, None)
        for end in (one, other):
            self._selector.unregister(end)
            _reset(end)


def _reset(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    one.close()
