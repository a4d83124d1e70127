"""Stands between a worker and its broker: passes everything on, and tells what it sees.

The one thing it changes is the heartbeat that the broker proposes, so that a step need not last
minutes to be longer than it. Whoever connects here speaks plainly; towards the broker it is TLS
where the address says so.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

from pika import frame, spec

from headway.adapters.bus_address import RabbitAddress
from headway.adapters.rabbitmq.encoding import message_of
from headway.adapters.traffic import (
    ChannelRefused,
    Closed,
    Connected,
    Consuming,
    Delivered,
    Heard,
    Sent,
    Settled,
    Traffic,
)
from headway.ports.bus import Settlement

_READ_BYTES = 1 << 16
_FRAME = struct.Struct(">BHL")
CONNECT_S = 10.0


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
        self._open: set[socket.socket] = set()
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

    def _dial(self) -> socket.socket:
        address = self._address
        plain = socket.create_connection((address.host, address.port), CONNECT_S)
        context = address.tls_context()
        made = (
            plain
            if context is None
            else context.wrap_socket(plain, server_hostname=address.server_name or address.host)
        )
        made.settimeout(None)
        return made

    def _serve(self, worker: socket.socket, broker: socket.socket) -> None:
        for one in (worker, broker):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talk = _Talk(next(self._connections), self._tell, self._channels, self._monotonic)
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

    def _pass_on(self, source: socket.socket, target: socket.socket, frames: "Frames") -> None:
        try:
            while data := source.recv(_READ_BYTES):
                target.sendall(frames.seen(data))
        except OSError:
            pass
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _from_broker(self, talk: "_Talk", raw: bytes) -> bytes:
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


class _Content:
    """A message on its way: its method came, header and body follow."""

    def __init__(self, method: Any) -> None:
        self.method = method
        self.properties: Any = spec.BasicProperties()
        self.size = 0
        self.body = b""

    @property
    def is_complete(self) -> bool:
        return len(self.body) >= self.size


class _Talk:
    """One connection: both directions, understood as far as a worker's conduct shows in them.

    Threads: each direction in one of its own; what both need is only written by one of them.
    """

    def __init__(
        self,
        connection: int,
        tell: Callable[[Traffic], object],
        channels: "count[int]",
        monotonic: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._tell = tell
        self._new_channel = channels
        self._now = monotonic
        self._channels: dict[int, int] = {0: 0}
        self._prefetch: dict[int, int] = {}
        self._asked: dict[int, list[spec.Basic.Consume]] = {}
        self._incoming: dict[int, _Content] = {}
        self._outgoing: dict[int, _Content] = {}
        self._closed_by_worker = False
        self._is_known = False

    def from_worker(self, raw: bytes) -> bytes:
        if self._is_known:
            self._tell(Heard(self._now(), self._connection))
        match _decoded(raw):
            case frame.Method(channel_number=number, method=method):
                self._asked_by_worker(number, method)
            case frame.Header() | frame.Body() as part:
                content = _grown(self._outgoing, part)
                if content is not None:
                    self._sent(part.channel_number, content)
            case _:
                pass
        return raw

    def from_broker(self, raw: bytes) -> Any:
        """The method, if it is one."""
        match _decoded(raw):
            case frame.Method(channel_number=number, method=method):
                self._said_by_broker(number, method)
                return method
            case frame.Header() | frame.Body() as part:
                content = _grown(self._incoming, part)
                if content is not None:
                    self._delivered(part.channel_number, content)
            case _:
                pass
        return None

    def ended(self) -> None:
        if self._is_known:
            self._tell(Closed(self._now(), self._connection, self._closed_by_worker))

    def _asked_by_worker(self, number: int, method: Any) -> None:
        match method:
            case spec.Connection.TuneOk():
                self._is_known = True
                self._tell(Connected(self._now(), self._connection, method.heartbeat))
            case spec.Connection.Close():
                self._closed_by_worker = True
            case spec.Channel.Open():
                self._channels[number] = next(self._new_channel)
                self._prefetch[number] = 0
            case spec.Basic.Qos():
                self._prefetch[number] = method.prefetch_count
            case spec.Basic.Consume():
                self._asked.setdefault(number, []).append(method)
            case spec.Basic.Publish():
                self._outgoing[number] = _Content(method)
            case spec.Basic.Ack():
                self._settled(number, method, Settlement.ACK)
            case spec.Basic.Nack() | spec.Basic.Reject():
                how = Settlement.REQUEUE if method.requeue else Settlement.REJECT
                self._settled(number, method, how)
            case _:
                pass

    def _said_by_broker(self, number: int, method: Any) -> None:
        match method:
            case spec.Basic.ConsumeOk():
                self._consuming(number)
            case spec.Basic.Deliver() | spec.Basic.GetOk():
                self._incoming[number] = _Content(method)
            case spec.Basic.Return():
                self._incoming[number] = _Content(method)
            case spec.Channel.Close() | spec.Connection.Close():
                channel = self._channels.get(number, 0)
                code, text = method.reply_code or 0, method.reply_text
                self._tell(ChannelRefused(self._now(), self._connection, channel, code, text))
            case _:
                pass

    def _consuming(self, number: int) -> None:
        asked = self._asked.get(number)
        if not asked:
            return
        one = asked.pop(0)
        channel, prefetch = self._channels.get(number, 0), self._prefetch.get(number, 0)
        self._tell(
            Consuming(
                self._now(), self._connection, channel, one.queue or "", prefetch, not one.no_ack
            )
        )

    def _settled(self, number: int, method: Any, how: Settlement) -> None:
        multiple = bool(getattr(method, "multiple", False))
        channel, tag = self._channels.get(number, 0), method.delivery_tag
        self._tell(Settled(self._now(), self._connection, channel, tag, multiple, how))

    def _sent(self, number: int, content: _Content) -> None:
        message = message_of(content.properties, content.body)
        channel, method = self._channels.get(number, 0), content.method
        self._tell(
            Sent(
                self._now(),
                self._connection,
                channel,
                method.exchange or "",
                method.routing_key or "",
                message,
            )
        )

    def _delivered(self, number: int, content: _Content) -> None:
        method = content.method
        if isinstance(method, spec.Basic.Return):
            return
        message = message_of(content.properties, content.body)
        channel, tag = self._channels.get(number, 0), method.delivery_tag
        self._tell(
            Delivered(
                self._now(), self._connection, channel, tag, message, bool(method.redelivered)
            )
        )


def _grown(under_way: dict[int, _Content], part: Any) -> _Content | None:
    """The message that this part completes."""
    content = under_way.get(part.channel_number)
    if content is None:
        return None
    if isinstance(part, frame.Header):
        content.properties, content.size = part.properties, part.body_size
    else:
        content.body += part.fragment
    if not content.is_complete:
        return None
    del under_way[part.channel_number]
    return content


def _decoded(raw: bytes) -> Any:
    try:
        return frame.decode_frame(raw)[1]
    except Exception:  # what cannot be read here is the broker's, or the worker's, to judge
        return None
