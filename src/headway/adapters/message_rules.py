"""What a message must be to be published: the same on every bus, before it is encoded."""

from typing import Any

from headway.errors import Rejected, Unavailable
from headway.ports.bus import DIRECT_REPLY_TO, Limits, Message

SHORT_BYTES = 255  # of a name, a key, an id: the protocol's own limit
HEADER_BYTES = 64 << 10
HEADER_DEPTH = 16
_NAMED = ("content_type", "correlation_id", "reply_to", "message_id", "app_id", "user_id", "type")


def is_direct_reply(address: str) -> bool:
    """Whether it is the address of one connection, with no queue behind it."""
    return address.startswith(DIRECT_REPLY_TO + ".")


def refusal(message: Message, routing_key: str, exchange: str, limits: Limits) -> Rejected | None:
    """Why the message cannot be published as it is."""
    size = len(message.body)
    if size > limits.body_bytes:
        return Rejected(
            f"a message of {size} bytes is larger than the limit of {limits.body_bytes}: send"
            " less, or a reference to it"
        )
    for name in _NAMED:
        text = getattr(message, name)
        if text is not None and (why := _text_refusal(text)):
            return Rejected(f"a message's {name} {why}")
    for name, text in (("routing key", routing_key), ("exchange's name", exchange)):
        if why := _text_refusal(text):
            return Rejected(f"a {name} {why}")
    if message.headers:
        try:
            spent = _spent(dict(message.headers), HEADER_DEPTH)
        except ValueError as error:
            return Rejected(f"a message's headers {error}")
        if spent > HEADER_BYTES:
            return Rejected(f"a message's headers take more than {HEADER_BYTES} bytes")
    return None


def no_room(limits: Limits, unconfirmed: int, unconfirmed_bytes: int) -> Unavailable | None:
    """Why nothing more can be published for now: the bus holds what nobody has confirmed."""
    if unconfirmed < limits.unconfirmed and unconfirmed_bytes < limits.unconfirmed_bytes:
        return None
    return Unavailable(
        f"{unconfirmed} messages of {unconfirmed_bytes} bytes wait for the broker to confirm"
        " them, and that is the limit: wait for confirmations before you publish more"
    )


def _text_refusal(text: str) -> str | None:
    if text.isascii():
        size = len(text)
    else:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            return "is no text that can be sent: it holds half a surrogate pair"
    return None if size <= SHORT_BYTES else f"is longer than {SHORT_BYTES} bytes"


def _spent(value: Any, depth: int) -> int:
    """About how many bytes a header takes. Raises: ValueError for what cannot be sent."""
    if depth == 0:
        raise ValueError(f"are nested more than {HEADER_DEPTH} deep")
    match value:
        case None | bool():
            return 2
        case str():
            try:
                return 5 + len(value.encode())
            except UnicodeEncodeError:
                raise ValueError("hold half a surrogate pair") from None
        case int():
            if not -(1 << 63) <= value < 1 << 63:
                raise ValueError("hold a number of more than 64 bits")
            return 9
        case float():
            # Whole brokers carry them, but not every client: pika has no code to send one.
            raise ValueError(f"hold {value}, and only whole numbers can be sent")
        case list():
            return 5 + sum(_spent(item, depth - 1) for item in value)
        case dict():
            spent = 5
            for name, item in value.items():
                if not isinstance(name, str) or _text_refusal(name):
                    raise ValueError(f"are named by text of up to {SHORT_BYTES} bytes only")
                spent += 1 + len(name) + _spent(item, depth - 1)
            return spent
        case _:
            raise ValueError(f"hold a {type(value).__name__}, which is no JSON value")
