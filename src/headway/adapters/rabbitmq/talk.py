"""One connection of a worker's, as it is heard from between: frames in, what they mean told."""

from collections.abc import Callable
from itertools import count
from typing import Any

from pika import frame, spec

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


class Talk:
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
