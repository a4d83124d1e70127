"""What a message says of itself, off the wire, as far as who only listens looks at it.

pika makes the same of it in twice the time (measured on the headers of a Celery task: 30 µs, this
15 µs), and is asked wherever something is unusual.
"""

from collections.abc import Mapping
from struct import Struct
from typing import Any, NamedTuple

from pika import spec

from headway.adapters.rabbitmq.connection import flaw_of, salvaged_properties

_FLAGS = Struct(">H").unpack_from
_SIZE = Struct(">I").unpack_from
_BYTE = Struct(">b").unpack_from
_INT = Struct(">i").unpack_from
_LONG = Struct(">q").unpack_from
_MOMENT = Struct(">Q").unpack_from
_BOOL, _BYTE_KIND, _INT_KIND, _LONG_KIND, _TEXT, _NOTHING, _TABLE, _LIST = b"tbIlSVFA"
_PROPERTIES = spec.BasicProperties
# Those between the headers and the timestamp, in their order on the wire, and whether each is text.
_BETWEEN = (
    (_PROPERTIES.FLAG_DELIVERY_MODE, False),
    (_PROPERTIES.FLAG_PRIORITY, False),
    (_PROPERTIES.FLAG_CORRELATION_ID, True),
    (_PROPERTIES.FLAG_REPLY_TO, True),
    (_PROPERTIES.FLAG_EXPIRATION, True),
    (_PROPERTIES.FLAG_MESSAGE_ID, True),
)
_MORE_FLAGS = 1


class Said(NamedTuple):
    """``timestamp``: seconds since 1970."""

    content_type: str
    headers: Mapping[str, Any]
    timestamp: int | None
    flaw: str | None = None  # why they are not as they were sent


def said_in(encoded: bytes) -> Said:
    """Of the properties in a header frame. Raises nothing: what cannot be read is a flaw."""
    try:
        return _said(encoded)
    except Exception:  # cut off, not UTF-8, a type that is rare, or nested too deep
        return _said_to_pika(encoded)


class _Unusual(Exception):
    """Left to pika."""


def _said(encoded: bytes) -> Said:
    (flags,) = _FLAGS(encoded)
    if flags & _MORE_FLAGS:
        raise _Unusual
    at, content_type = 2, ""
    if flags & _PROPERTIES.FLAG_CONTENT_TYPE:
        end = at + 1 + encoded[at]
        content_type, at = encoded[at + 1 : end].decode(), end
    if flags & _PROPERTIES.FLAG_CONTENT_ENCODING:
        at += 1 + encoded[at]
    headers: dict[str, Any] = {}
    if flags & _PROPERTIES.FLAG_HEADERS:
        end = at + 4 + _SIZE(encoded, at)[0]
        headers, at = _table(encoded, at + 4, end), end
    timestamp = None
    if flags & _PROPERTIES.FLAG_TIMESTAMP:
        for flag, is_text in _BETWEEN:
            if flags & flag:
                at += 1 + encoded[at] if is_text else 1
        (timestamp,) = _MOMENT(encoded, at)
    elif at > len(encoded):
        raise _Unusual
    return Said(content_type, headers, timestamp)


def _table(encoded: bytes, at: int, end: int) -> dict[str, Any]:
    table: dict[str, Any] = {}
    while at < end:
        begin = at + 1
        at = begin + encoded[at]
        name = encoded[begin:at].decode()
        kind = encoded[at]
        # The kinds of which there are most, without a call for each.
        if kind == _NOTHING:
            table[name] = None
            at += 1
        elif kind == _TEXT:
            begin = at + 5
            at = begin + _SIZE(encoded, at + 1)[0]
            table[name] = encoded[begin:at].decode()
        else:
            table[name], at = _value(encoded, at)
    if at != end:
        raise _Unusual
    return table


def _value(encoded: bytes, at: int) -> tuple[Any, int]:
    kind = encoded[at]
    at += 1
    if kind == _INT_KIND:
        return _INT(encoded, at)[0], at + 4
    if kind == _BYTE_KIND:
        return _BYTE(encoded, at)[0], at + 1
    if kind == _LONG_KIND:
        return _LONG(encoded, at)[0], at + 8
    if kind == _BOOL:
        return bool(encoded[at]), at + 1
    if kind == _NOTHING:
        return None, at
    if kind == _TEXT:
        begin = at + 4
        end = begin + _SIZE(encoded, at)[0]
        return encoded[begin:end].decode(), end
    if kind == _TABLE:
        end = at + 4 + _SIZE(encoded, at)[0]
        return _table(encoded, at + 4, end), end
    if kind == _LIST:
        end = at + 4 + _SIZE(encoded, at)[0]
        return _list(encoded, at + 4, end), end
    raise _Unusual


def _list(encoded: bytes, at: int, end: int) -> list[Any]:
    values = []
    while at < end:
        value, at = _value(encoded, at)
        values.append(value)
    if at != end:
        raise _Unusual
    return values


def _said_to_pika(encoded: bytes) -> Said:
    properties = spec.BasicProperties()
    try:
        properties.decode(encoded)
    except Exception as error:
        properties = salvaged_properties(encoded, error)
    return Said(
        properties.content_type or "",
        properties.headers or {},
        properties.timestamp,
        flaw_of(properties),
    )
