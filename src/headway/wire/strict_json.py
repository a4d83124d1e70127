"""JSON as the bus carries it: one way to read a text, or an error that says what and where.

Refused, before anything is parsed: more than a mebibyte, more than 64 levels. Refused after it:
what JSON does not know (NaN, Infinity, a second value), what readers of other languages take in
different ways (a key twice, half a surrogate pair) and numbers no reader can hold.
"""

import json
import math
import re
from typing import Any

from headway.errors import WireError

LIMIT_BYTES = 1 << 20
DEPTH = 64
DIGITS = 300  # of a whole number: about as far as a double goes

# A string, closed or not, is one match, so that a hostile text costs no more than its length.
_MARKS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def parse(body: bytes, what: str = "the message") -> Any:
    """The value of a JSON text in UTF-8. Raises: WireError, with ``what`` in it."""
    _require_size(body, what)
    _require_shallow(body, what)
    try:
        value = json.loads(
            body.decode(),
            parse_constant=_refused_constant,
            parse_int=_whole,
            parse_float=_fraction,
            object_pairs_hook=_once,
        )
    except UnicodeDecodeError as error:
        raise WireError(f"{what} is not UTF-8: see its byte {error.start}") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise WireError(f"{what} is not JSON: {error.msg} ({where})") from None
    except _Refused as error:
        raise WireError(f"{what} {error}") from None
    # Only an escape can smuggle one in: in UTF-8 they cannot be written.
    if (b"\\ud" in body or b"\\uD" in body) and _has_half_a_pair(value):
        raise WireError(f"{what} holds half a surrogate pair (\\ud800 to \\udfff)")
    return value


def encode(value: Any, what: str = "the message") -> bytes:
    """The JSON text of a value. Raises: WireError for what ``parse`` would refuse."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        body = text.encode()
    except UnicodeEncodeError:
        raise WireError(f"{what} holds half a surrogate pair (\\ud800 to \\udfff)") from None
    except RecursionError:
        raise WireError(f"{what} is nested more than {DEPTH} deep") from None
    except (TypeError, ValueError) as error:
        raise WireError(f"{what} cannot be written as JSON: {error}") from None
    _require_size(body, what)
    _require_shallow(body, what)
    return body


class _Refused(Exception):
    """Found while parsing."""


def _require_size(body: bytes, what: str) -> None:
    if len(body) > LIMIT_BYTES:
        raise WireError(f"{what} has {len(body)} bytes: the limit is {LIMIT_BYTES}")


def _require_shallow(body: bytes, what: str) -> None:
    if body.count(b"[") + body.count(b"{") <= DEPTH:
        return
    depth = 0
    for mark in _MARKS.finditer(body):
        character = mark[0]
        if character in (b"[", b"{"):
            depth += 1
            if depth > DEPTH:
                raise WireError(f"{what} is nested more than {DEPTH} deep at byte {mark.start()}")
        elif character in (b"]", b"}"):
            depth -= 1


def _refused_constant(name: str) -> Any:
    raise _Refused(f"holds {name}, which is not JSON")


def _whole(text: str) -> int:
    if len(text) > DIGITS:
        raise _Refused(f"holds a number of {len(text)} digits ({text[:8]}…): at most {DIGITS}")
    return int(text)


def _fraction(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Refused(f"holds {text[:24]}, which is larger than any number")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Refused(f"has the key {key[:80]!r} twice in one object")
            seen.add(key)
    return found


def _has_half_a_pair(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
