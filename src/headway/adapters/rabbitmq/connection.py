"""One connection to RabbitMQ, with what pika leaves to be wished for."""

import logging
import ssl
import struct
from collections.abc import Callable
from typing import Any

import pika
from pika import exceptions, frame, spec
from pika.adapters.utils import connection_workflow
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport
from pika.channel import Channel, ContentFrameAssembler
from pika.data import decode_short_string

from headway.adapters.bus_address import RabbitAddress
from headway.errors import HeadwayError, Refused, Unavailable


class Connection(pika.SelectConnection):
    """Sends what belongs together at once, and survives messages that it cannot read."""

    bytes_received: int
    frames_received: int
    bytes_sent: int
    frames_sent: int
    _frame_buffer: bytes
    _transport: Any
    _holds = 0
    _held: list[bytes]

    # Called before and after what has come is worked through, which may be many messages.
    begin: Callable[[], None] = staticmethod(lambda: None)
    end: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # By channel: who is told what the broker confirms there.
        self.confirms: dict[int, Callable[[Any], None]] = {}
        super().__init__(*arguments, **options)

    def _on_connection_workflow_done(self, conn_or_exc: Any) -> None:
        # Closed while it was opening, pika hands the exception's class on, and trips over it.
        if isinstance(conn_or_exc, type):
            conn_or_exc = conn_or_exc()
        super()._on_connection_workflow_done(conn_or_exc)  # type: ignore[misc]

    def hold(self) -> None:
        """Send nothing until ``release``: then all at once, by one call of the system's.

        Within another hold, until that is released.
        """
        if not self._holds:
            self._held = []
        self._holds += 1

    def release(self) -> None:
        self._holds -= 1
        if not self._holds and self._held and not self.is_closed:
            self._send(b"".join(self._held))

    def _output_marshaled_frames(self, marshaled_frames: list[bytes]) -> None:
        # pika sends each frame by itself, and a message has three.
        data = marshaled_frames[0] if len(marshaled_frames) == 1 else b"".join(marshaled_frames)
        self.bytes_sent += len(data)
        self.frames_sent += len(marshaled_frames)
        if self._holds:
            self._held.append(data)
        else:
            self._send(data)

    def _send(self, data: bytes) -> None:
        """Now, as far as the system takes it; pika would first wait to be told that it does."""
        transport = self._transport
        plain = isinstance(transport, _AsyncPlaintextTransport)
        if plain and not transport._tx_buffers:
            try:
                sent = transport._sock.send(data)
            except (OSError, AttributeError):  # closed (then there is no socket), or not now:
                sent = 0  # pika meets it too, and knows what to do
            if sent == len(data):
                return
            data = data[sent:]
        super()._adapter_emit_data(data)  # type: ignore[misc]

    def _on_data_available(self, data_in: bytes) -> None:
        self.begin()
        try:
            super()._on_data_available(data_in)  # type: ignore[misc]
        finally:
            self.end()

    def _process_frame(self, frame_value: Any) -> None:
        """Deliveries and confirms, most of what comes, are given to whom they concern. For each,
        pika would first search all its callbacks."""
        kind = frame_value.frame_type  # negative: of another protocol, which has no channels
        if kind > 0 and (channel := frame_value.channel_number):
            method = frame_value.method if kind == spec.FRAME_METHOD else None
            if method is None or isinstance(method, spec.Basic.Deliver):
                self.frames_received += 1
                self._deliver_frame_to_channel(frame_value)  # type: ignore[attr-defined]
                return
            if isinstance(method, (spec.Basic.Ack, spec.Basic.Nack)) and channel in self.confirms:
                self.frames_received += 1
                self.confirms[channel](frame_value)
                return
        super()._process_frame(frame_value)  # type: ignore[misc]

    def _read_frame(self) -> tuple[int, Any]:
        buffer = self._frame_buffer
        try:
            return frame.decode_frame(buffer)
        except exceptions.InvalidFrameError:
            raise
        except Exception as error:
            # One unreadable header would otherwise end the connection, and the broker would send
            # the message again to the next.
            if buffer[0] != spec.FRAME_HEADER:
                raise
            return _salvaged(buffer, error)


def _salvaged(buffer: bytes, error: Exception) -> tuple[int, frame.Header]:
    """The header frame with all its properties but the table of headers."""
    _, channel, size = struct.unpack_from(">BHL", buffer)
    end = spec.FRAME_HEADER_SIZE + size
    encoded = buffer[spec.FRAME_HEADER_SIZE : end]
    body_size = struct.unpack_from(">HHQ", encoded)[2]
    properties = salvaged_properties(encoded[12:], error)
    return end + spec.FRAME_END_SIZE, frame.Header(channel, body_size, properties)


def salvaged_properties(encoded: bytes, error: Exception) -> spec.BasicProperties:
    """Of a message whose properties could not be read: all but the table of headers."""
    properties = spec.BasicProperties()
    flaw = f"its headers cannot be read ({type(error).__name__}: {error})"
    try:
        properties.decode(_without_table(encoded))
    except Exception as second:
        properties = spec.BasicProperties()
        flaw = f"its properties cannot be read ({type(second).__name__}: {second})"
    _mark(properties, flaw)
    return properties


def _without_table(encoded: bytes) -> bytes:
    flags = struct.unpack_from(">H", encoded)[0]
    kind = spec.BasicProperties
    offset = 2
    for flag in (kind.FLAG_CONTENT_TYPE, kind.FLAG_CONTENT_ENCODING):
        if flags & flag:
            _, offset = decode_short_string(encoded, offset)
    if not flags & kind.FLAG_HEADERS:
        return encoded
    table_size = struct.unpack_from(">I", encoded, offset)[0]
    return encoded[:offset] + b"\0\0\0\0" + encoded[offset + 4 + table_size :]


class _Assembler(ContentFrameAssembler):
    """Puts messages together from their frames; of one too large, only what it says of itself.

    So a hostile message costs no memory beyond one frame of it.
    """

    _header_frame: frame.Header | None
    _seen_so_far: int

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self._most_bytes = most_bytes

    def _handle_body_frame(self, body_frame: frame.Body) -> Any:
        header = self._header_frame
        assert header is not None
        if header.body_size > self._most_bytes:
            _mark(header.properties, too_large(header.body_size, self._most_bytes))
            vars(header.properties)["size"] = header.body_size
            self._seen_so_far += len(body_frame.fragment)
            if self._seen_so_far < header.body_size:
                return None
            return self._finish()  # type: ignore[attr-defined]
        return super()._handle_body_frame(body_frame)  # type: ignore[misc]


def too_large(size: int, most_bytes: int) -> str:
    return f"it has {size} bytes, more than the limit of {most_bytes}"


def limit_messages(channel: Channel, most_bytes: int) -> None:
    """Deliver no larger bodies on this channel; such a message is marked instead."""
    channel._content_assembler = _Assembler(most_bytes)  # type: ignore[attr-defined]


def _mark(properties: spec.BasicProperties, flaw: str) -> None:
    vars(properties)["flaw"] = flaw


def flaw_of(properties: spec.BasicProperties) -> str | None:
    """Why the message cannot be used as it came."""
    flaw: str | None = vars(properties).get("flaw")
    return flaw


def size_of(properties: spec.BasicProperties) -> int:
    """Of a body that was too large to be delivered; else 0."""
    size: int = vars(properties).get("size", 0)
    return size


def parameters(address: RabbitAddress, name: str, answer_s: float) -> pika.ConnectionParameters:
    """Raises: Unavailable when a certificate cannot be read."""
    context = address.tls_context()
    tls = pika.SSLOptions(context, address.server_name or address.host) if context else None
    return pika.ConnectionParameters(
        host=address.host,
        port=address.port,
        virtual_host=address.vhost,
        credentials=pika.PlainCredentials(address.user, address.password),
        heartbeat=address.heartbeat_s,
        ssl_options=tls,
        socket_timeout=answer_s,
        stack_timeout=answer_s,
        client_properties={"connection_name": name},
    )


def quieten_pika() -> None:
    """What pika has to say, we say ourselves; it would print every loss as several tracebacks.

    A level that somebody has chosen stays.
    """
    logger = logging.getLogger("pika")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)


def explain(error: BaseException, address: RabbitAddress) -> HeadwayError:
    """Why there is no connection, and what to do."""
    if isinstance(error, HeadwayError):
        return error
    error = _innermost(error)
    text = str(error) or repr(error)
    match error:
        case exceptions.ProbableAuthenticationError() | exceptions.AuthenticationError():
            told: HeadwayError = Refused(
                f"{address} does not accept this user and password: check both"
            )
        case exceptions.ProbableAccessDeniedError():
            told = _vhost_refused(address)
        case exceptions.ConnectionClosedByBroker(reply_code=403):
            told = Refused(f"{address} does not accept this user and password: check both")
        case exceptions.ConnectionClosedByBroker(reply_code=530):
            told = _vhost_refused(address)
        case exceptions.ConnectionClosedByBroker(reply_code=code, reply_text=said):
            told = Unavailable(f"{address} closed the connection ({code}: {said})")
        case exceptions.IncompatibleProtocolError():
            told = Unavailable(
                f"{address} speaks something else than AMQP 0-9-1, or wants a client"
                " certificate: check port and TLS"
            )
        case exceptions.AMQPHeartbeatTimeout():
            told = Unavailable(f"{address} was not heard of for too long")
        case exceptions.StreamLostError():
            told = Unavailable(f"the connection to {address} was lost ({text})")
        case ssl.SSLCertVerificationError():
            told = Refused(f"the certificate of {address} is not trusted: {text}")
        case ssl.SSLError():
            told = Unavailable(f"no TLS connection to {address}, check its port: {text}")
        case _:
            told = Unavailable(f"{address} cannot be reached ({text})")
    told.__cause__ = error
    return told


def _vhost_refused(address: RabbitAddress) -> Refused:
    return Refused(
        f"{address}: there is no virtual host {address.vhost!r}, or user {address.user!r} may not"
        f" use it; its administrator types: rabbitmqctl add_vhost {address.vhost}, then:"
        f" rabbitmqctl set_permissions -p {address.vhost} {address.user} '.*' '.*' '.*'"
    )


def _innermost(error: BaseException) -> BaseException:
    """pika wraps what happened several times over."""
    while True:
        match error:
            case connection_workflow.AMQPConnectionWorkflowFailed():
                error = error.exceptions[-1]
            case connection_workflow.AMQPConnectorPhaseErrorBase():
                error = error.exception
            case exceptions.AMQPConnectionError() if error.args and isinstance(
                error.args[0], BaseException
            ):
                error = error.args[0]
            case _:
                return error
