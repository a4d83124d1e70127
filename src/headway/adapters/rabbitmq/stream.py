"""A connection for who takes many messages off a queue, and looks at little of each.

pika makes an object of every frame of a message, one of its properties, and copies what is left of
the network's last word after each. Here deliveries are taken where they lie. All other frames are
pika's, and so is the state of the connection and its channels.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any

from pika import frame, spec
from pika.channel import Channel

from headway.adapters.rabbitmq.connection import Connection, too_large
from headway.adapters.rabbitmq.properties import Reader, Said

READ_BYTES = 1 << 17  # at once; pika's 4 KiB cost as many changes of threads
_FRAME = Struct(">BHL").unpack_from
_HEADER = Struct(">HHQ").unpack_from
_TAG = Struct(">Q").unpack_from
_DELIVER = spec.Basic.Deliver.INDEX.to_bytes(4, "big")
_BEFORE = spec.FRAME_HEADER_SIZE
_BEFORE_PROPERTIES = 12  # class, weight, size of the body


# The number of the delivery, the routing key, what it says of itself, the body, why one of these
# is not as it was sent, and the size of a body that was too large to be kept, else 0.
Take = Callable[[int, str, Said, bytes, str | None, int], None]


class Taker:
    """Puts the messages of one channel together, which does nothing but consume."""

    def __init__(self, most_bytes: int, take: Take) -> None:
        self._most_bytes = most_bytes
        self._take = take
        self._reader = Reader()
        self._tag: int | None = None  # of the message under way
        self._key = ""
        self._size = -1  # of its body, once that is known
        self._seen = 0
        self._properties = b""
        self._parts: list[bytes] = []

    def takes(self, kind: int, buffer: bytes, begin: int, end: int) -> bool:
        """Whether the frame, between these, was one of a message."""
        if kind == spec.FRAME_METHOD:
            if buffer[begin : begin + 4] != _DELIVER:
                return False
            self._begin(buffer, begin + 4)
            return True
        if self._tag is None:
            return False
        if kind == spec.FRAME_HEADER:
            self._size = _HEADER(buffer, begin)[2]
            self._properties = buffer[begin + _BEFORE_PROPERTIES : end]
        elif kind == spec.FRAME_BODY:
            self._seen += end - begin
            if self._size <= self._most_bytes:
                self._parts.append(buffer[begin:end])
        else:
            return False
        if self._seen >= self._size >= 0:
            self._end()
        return True

    def _begin(self, buffer: bytes, at: int) -> None:
        at += 1 + buffer[at]  # the consumer's tag
        (self._tag,) = _TAG(buffer, at)
        at += 9  # and whether it was delivered before
        at += 1 + buffer[at]  # the exchange
        self._key = buffer[at + 1 : at + 1 + buffer[at]].decode("utf-8", "backslashreplace")
        self._size, self._seen, self._parts = -1, 0, []

    def _end(self) -> None:
        tag, self._tag = self._tag, None
        assert tag is not None
        said = self._reader.said_in(self._properties)
        parts, self._parts = self._parts, []
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        size, flaw = 0, said.flaw
        if self._size > self._most_bytes:
            size, flaw = self._size, too_large(self._size, self._most_bytes)
        self._take(tag, self._key, said, body, flaw, size)


class Stream(Connection):
    """Gives the messages of some channels to takers."""

    is_closed: bool
    _takers: dict[int, Taker]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._takers = {}
        super().__init__(*arguments, **options)

    def take(self, channel: Channel, taker: Taker) -> None:
        """From now on."""
        self._takers[channel.channel_number] = taker
        self._transport._MAX_RECV_BYTES = READ_BYTES

    def _on_data_available(self, data_in: bytes) -> None:
        if not self._takers:
            super()._on_data_available(data_in)
            return
        # By this pika sees that the broker is there; where it does not grow, it hangs up.
        self.bytes_received += len(data_in)
        self.begin()
        try:
            self._cut(self._frame_buffer + data_in if self._frame_buffer else data_in)
        finally:
            self.end()

    def _cut(self, buffer: bytes) -> None:
        """Into frames. What is left begins one."""
        at, length, takers = 0, len(buffer), self._takers
        while length - at > _BEFORE:
            kind, channel, size = _FRAME(buffer, at)
            end = at + _BEFORE + size
            if end >= length:
                break
            taker = takers.get(channel)
            if (
                taker is None
                or buffer[end] != spec.FRAME_END
                or not taker.takes(kind, buffer, at + _BEFORE, end)
            ):
                self._leave_to_pika(buffer[at : end + 1])
                if self.is_closed:
                    return
            at = end + 1
        self._frame_buffer = buffer[at:]

    def _leave_to_pika(self, encoded: bytes) -> None:
        self._frame_buffer = encoded
        _, value = self._read_frame()
        if isinstance(value, frame.Frame):
            self._process_frame(value)
