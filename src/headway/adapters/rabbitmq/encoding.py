"""Messages as pika has them, and back."""

from typing import Any, Literal

from pika import spec

from headway.adapters.rabbitmq.connection import flaw_of
from headway.ports.bus import Message

_PERSISTENT: Literal[2] = 2
_TEXTS = ("content_type", "correlation_id", "reply_to", "message_id", "app_id", "user_id", "type")


def properties_of(message: Message) -> spec.BasicProperties:
    return spec.BasicProperties(
        content_type=message.content_type,
        headers=dict(message.headers) if message.headers else None,
        delivery_mode=_PERSISTENT if message.persistent else None,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        message_id=message.message_id,
        timestamp=message.timestamp_s,
        type=message.type,
        user_id=message.user_id,
        app_id=message.app_id,
    )


def message_of(properties: Any, body: bytes) -> Message:
    return Message(
        body,
        properties.content_type,
        properties.headers or {},
        properties.correlation_id,
        properties.reply_to,
        properties.message_id,
        properties.app_id,
        properties.user_id,
        properties.type,
        properties.timestamp,
        properties.delivery_mode == _PERSISTENT,
    )


def sound(message: Message, properties: Any) -> tuple[Message, str | None]:
    """A message as it came, without what cannot be read, and why that is so."""
    flaw = flaw_of(properties)
    for name in _TEXTS:
        value = getattr(message, name)
        if isinstance(value, bytes):  # pika leaves as bytes what is no UTF-8
            flaw = flaw or f"its {name} is no UTF-8"
            unset: dict[str, Any] = {name: None}
            message = message._replace(**unset)
    if any(isinstance(name, bytes) for name in message.headers):
        flaw = flaw or "the name of a header is no UTF-8"
        kept = {k: v for k, v in message.headers.items() if isinstance(k, str)}
        message = message._replace(headers=kept)
    return message, flaw
