"""A message as it came from a broker, and one that nothing can be made of."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

SHOWN_BYTES = 2_000  # of a dead letter's body


class Heard(NamedTuple):
    """What a broker delivered. Nothing in it has been looked into."""

    is_event: bool  # told by a worker; else the copy of a task message
    key: str  # the routing key
    headers: Mapping[str, Any]
    content_type: str
    body: bytes
    at_us: int  # when the monitor heard it
    sent_us: int | None = None  # as the message says, or the broker
    flaw: str | None = None  # why headers or body are not as they were sent
    size: int = 0  # of the body, where that was not delivered


class DeadLetter(NamedTuple):
    """A message that could not be recorded for its own fault."""

    digest: str  # by which the same message is the same letter, however often it comes
    at_us: int
    kind: str  # "task" or "event"
    reason: str
    key: str
    headers: str
    body: str  # its beginning, escaped
    body_bytes: int


def buried(heard: Heard, reason: str) -> DeadLetter:
    """What is kept of a message that nothing could be made of."""
    headers = repr(dict(heard.headers))
    digest = hashlib.sha256(heard.body)
    digest.update(f"\n{heard.is_event} {heard.key} {headers}".encode(errors="backslashreplace"))
    shown = heard.body[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return DeadLetter(
        digest.hexdigest(),
        heard.at_us,
        "event" if heard.is_event else "task",
        reason[:1000],
        heard.key[:255],
        headers[:SHOWN_BYTES],
        shown,
        heard.size or len(heard.body),
    )
