"""What a task message says: Celery's protocol 2 (headers and body) and 1 (all in the body).

Source: Celery's documentation, "Message Protocol". Only JSON is ever looked into. Of everything
else (pickle above all) the headers alone are read, and the arguments are shown as their sender
wrote them there for people to read.
"""

import json
import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from headway.errors import WireError
from headway.tracking.heard import Heard
from headway.tracking.task import JSON, MESSAGE, REPR, Task

BODY_BYTES = 65_536  # a larger body is not looked into
ARGUMENTS_CHARACTERS = 8_192  # of args, and of kwargs, that are kept
EXTRA_CHARACTERS = 4_096
ID_CHARACTERS = 255
NAME_CHARACTERS = 255
YEAR_9999_US = 253_370_764_800_000_000
DEPTH_SAID = "nested too deep"
_JSONS = frozenset(("application/json", "application/x-json"))
_COMPRESSIONS = {
    "application/x-gzip": zlib.MAX_WBITS,
    "gzip": zlib.MAX_WBITS,
    "application/x-zlib": zlib.MAX_WBITS,
    "zlib": zlib.MAX_WBITS,
}

# Celery's own headers; all others are kept as ``extra``.
_KNOWN = frozenset(
    "lang task id shadow eta expires group group_index retries timelimit root_id parent_id"
    " argsrepr kwargsrepr origin ignore_result replaced_task_nesting stamped_headers stamps"
    " compression timestamp_in_ms".split()
)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DELAYED = re.compile(r"^(?:[01]\.){28}(?=.)")
_value_at = json.JSONDecoder(parse_constant=_refuse).raw_decode


def task_of(heard: Heard) -> Task:
    """What the copy of a task message says. Raises: WireError when it is none."""
    if "task" in heard.headers:
        return _second(heard)
    return _first(heard)


def _second(heard: Heard) -> Task:
    headers = heard.headers
    args, kwargs, form = _arguments(heard)
    unknown = () if _KNOWN.issuperset(headers) else headers.keys() - _KNOWN
    return Task(
        id_in(headers.get("id")),
        whole(headers.get("retries")),
        whole(headers.get("replaced_task_nesting")),
        MESSAGE,
        short(headers["task"]),
        queue_in(heard.key),
        short(headers.get("root_id")),
        short(headers.get("group")),
        args,
        kwargs,
        form,
        moment(headers.get("eta")),
        moment(headers.get("expires")),
        short(headers.get("origin")),
        _extra({name: headers[name] for name in sorted(unknown)}) if unknown else None,
        heard.size or len(heard.body),
        parent_in(headers.get("parent_id"), headers["id"]),
        _sent_us(heard),
        heard.at_us,
    )


def _first(heard: Heard) -> Task:
    """Everything is in the body, so without JSON there is nothing to be read."""
    if heard.content_type not in _JSONS:
        raise WireError(
            f"it has no header 'task', and a body of type {heard.content_type or 'none'!r}, which"
            " is never opened: send tasks with task_serializer 'json', or by Celery's protocol 2"
        )
    if heard.flaw:
        raise WireError(f"it has no header 'task', and {heard.flaw}")
    body = _parsed(_text(heard))
    if not isinstance(body, dict) or "task" not in body:
        raise WireError("it is no task message: neither its headers nor its body name a task")
    args, kwargs = (_written(body.get(name)) for name in ("args", "kwargs"))
    return Task(
        id_in(body.get("id")),
        retries=whole(body.get("retries")),
        told_by=MESSAGE,
        name=short(body["task"]),
        queue=queue_in(heard.key),
        group=short(body.get("taskset") or body.get("group")),
        args=cut(args),
        kwargs=cut(kwargs),
        form=_form(args, kwargs),
        eta_us=moment(body.get("eta")),
        expires_us=moment(body.get("expires")),
        body_bytes=len(heard.body),
        sent_us=_sent_us(heard),
        heard_us=heard.at_us,
    )


def _arguments(heard: Heard) -> tuple[str | None, str | None, str]:
    """args, kwargs, and what they are: the very text of the message where that is JSON."""
    if heard.content_type in _JSONS and not heard.flaw:
        try:
            text = _text(heard)
            if text[:1] == "[":
                _, args_end = _value_at(text, 1)
                begin = _after_comma(text, args_end)
                _, kwargs_end = _value_at(text, begin)
                args, kwargs = text[1:args_end].strip(), text[begin:kwargs_end]
                return cut(args), cut(kwargs), _form(args, kwargs)
            why = "its body is no list"
        except (WireError, ValueError) as error:
            why = str(error) or "its body is not JSON"
        except RecursionError:
            why = DEPTH_SAID
    else:
        why = heard.flaw or f"not opened: {heard.content_type[:80] or 'no type'}"
    shown = (heard.headers.get("argsrepr"), heard.headers.get("kwargsrepr"))
    if isinstance(shown[0], str) and isinstance(shown[1], str):
        return cut(shown[0]), cut(shown[1]), REPR
    return None, None, why[:200]


def _after_comma(text: str, at: int) -> int:
    comma = text.index(",", at)
    begin = comma + 1
    while text[begin : begin + 1].isspace():
        begin += 1
    if text[at:comma].strip():
        raise ValueError("its body is not JSON")
    return begin


def _form(args: str | None, kwargs: str | None) -> str:
    longest = max(len(args or ""), len(kwargs or ""))
    return JSON if longest <= ARGUMENTS_CHARACTERS else f"json, cut at {ARGUMENTS_CHARACTERS:,}"


def _text(heard: Heard) -> str:
    """Raises: WireError when it cannot be read."""
    body = heard.body
    compression = heard.headers.get("compression")
    if compression:
        body = _inflated(body, str(compression))
    if len(body) > BODY_BYTES:
        raise WireError(f"its body has more than {BODY_BYTES:,} bytes")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise WireError("its body is not UTF-8") from None


def _inflated(body: bytes, compression: str) -> bytes:
    """Never more than is looked into, whatever it claims to hold."""
    bits = _COMPRESSIONS.get(compression)
    if bits is None:
        raise WireError(f"compressed: {compression[:80]}")
    try:
        return zlib.decompressobj(bits).decompress(body, BODY_BYTES + 1)
    except zlib.error:
        raise WireError(f"no {compression[:80]}") from None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise WireError("its body is not JSON") from None
    except RecursionError:
        raise WireError(f"its body is {DEPTH_SAID}") from None


def _written(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _extra(headers: Mapping[str, Any]) -> str | None:
    try:
        text = json.dumps(headers, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return None
    return text if len(text) <= EXTRA_CHARACTERS else json.dumps({"left out": len(text)})


def _sent_us(heard: Heard) -> int | None:
    """As the message says, or what RabbitMQ writes, if it is configured to."""
    if heard.sent_us is not None:
        return known_us(heard.sent_us)
    stamp = heard.headers.get("timestamp_in_ms")
    return known_us(stamp * 1000) if type(stamp) is int and stamp > 0 else None


# What other messages have in common with these.


def id_in(value: Any) -> str:
    """Raises: WireError."""
    if not isinstance(value, str) or not value:
        raise WireError("it names no task's id")
    if len(value) > ID_CHARACTERS:
        raise WireError(f"its task's id has {len(value):,} characters: at most {ID_CHARACTERS}")
    return value


def short(value: Any) -> str | None:
    if value is None or value == "":
        return None
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= NAME_CHARACTERS else text[: NAME_CHARACTERS - 1] + "…"


def queue_in(key: Any) -> str | None:
    """A task that waits at the broker until it is due comes with how long it waited before its key:
    28 digits and dots. Source: kombu's native delayed delivery, for quorum queues."""
    name = short(key)
    return name if name is None or name[0] not in "01" else _DELAYED.sub("", name, count=1)


def cut(text: str | None) -> str | None:
    return text if text is None else text[:ARGUMENTS_CHARACTERS]


def parent_in(value: Any, id: Any) -> str | None:
    return None if value == id else short(value)


def whole(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 2**31 else 0


def known_us(at_us: int) -> int | None:
    """A moment that can be written down, wherever its reader lives; else it is not known."""
    return at_us if 0 <= at_us < YEAR_9999_US else None


def moment(value: Any) -> int | None:
    """ISO 8601, as Celery writes times; one without a zone is UTC."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        return known_us(round(at.timestamp() * 1_000_000))
    except (ValueError, OverflowError):
        return None
