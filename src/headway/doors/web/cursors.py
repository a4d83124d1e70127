"""Where a page ended, as a text that a client sends back: what it holds is nobody's business."""

import base64
import json
from typing import Any

from headway.doors.web.problems import Problem

_MOST = 2**62  # a number that every store can hold, and somewhat more


def cursor_of(*place: str | int) -> str:
    text = json.dumps(place)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(cursor: str, *kinds: type[str] | type[int]) -> list[Any]:
    """What a cursor holds, which is of these kinds. Raises: Problem."""
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        place = json.loads(base64.b64decode(padded, b"-_", validate=True))
    except (ValueError, RecursionError):
        place = None
    if not isinstance(place, list) or [type(part) for part in place] != list(kinds):
        raise no_cursor()
    if any(isinstance(part, int) and not 0 <= part < _MOST for part in place):
        raise no_cursor()
    return place


def no_cursor() -> Problem:
    return Problem(400, "this is no cursor: send what the page before said as next")
