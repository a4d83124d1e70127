"""What workers tell: one event, or a list of them in one message.

Source: Celery's documentation, "Monitoring and Management Guide", Event Reference.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from headway.errors import WireError
from headway.tracking.heard import Heard
from headway.tracking.messages import (
    DEPTH_SAID,
    id_in,
    known_us,
    moment,
    parent_in,
    queue_in,
    short,
    whole,
)
from headway.tracking.states import FINALITY, TaskState
from headway.tracking.task import RECEIVER, REPR, SENDER, Task

EVENT_BYTES = 1 << 20  # workers put many events into one message
TEXT_CHARACTERS = 2_000  # of a result or an error


class Worker(NamedTuple):
    """A sign of life of a Celery worker."""

    name: str
    pid: int


class Told(NamedTuple):
    """What one message of events says."""

    tasks: list[Task]
    workers: list[Worker]
    ignored: int  # kinds of events that say nothing of these


def events_of(heard: Heard) -> Told:
    """Raises: WireError when it is none, or one of them is none."""
    told = Told([], [], 0)
    ignored = 0
    for event in _all_in(heard):
        kind = event.get("type")
        read = _TASK_EVENTS.get(kind) if isinstance(kind, str) else None
        if read is not None:
            told.tasks.append(read(event, _at_us(event), short(event.get("hostname"))))
        elif kind in _SIGNS_OF_LIFE and isinstance(event.get("hostname"), str):
            told.workers.append(Worker(event["hostname"], whole(event.get("pid"))))
        else:
            ignored += 1
    return told._replace(ignored=ignored)


def _all_in(heard: Heard) -> list[Mapping[str, Any]]:
    if heard.flaw or len(heard.body) > EVENT_BYTES:
        raise WireError(heard.flaw or f"its body has more than {EVENT_BYTES:,} bytes")
    if heard.content_type != "application/json":
        raise WireError(
            f"an event of type {heard.content_type or 'none'!r} is never opened: let workers send"
            " them with event_serializer 'json', which is Celery's default"
        )
    try:
        value = json.loads(heard.body)
    except ValueError:
        raise WireError("its body is not JSON") from None
    except RecursionError:
        raise WireError(f"its body is {DEPTH_SAID}") from None
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(one, dict) for one in found):
        raise WireError("it is no event: an event is an object")
    return found


def _at_us(event: Mapping[str, Any]) -> int:
    at_us = _microseconds(event.get("timestamp"))
    if at_us is None:
        raise WireError("an event without a time")
    return at_us


def _microseconds(seconds: Any) -> int | None:
    # No NaN is less than anything; an integer may be too large to be made a float.
    usable = type(seconds) in (int, float) and 0 <= seconds < 2**40
    return known_us(round(seconds * 1_000_000)) if usable else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)[:TEXT_CHARACTERS]


def _sent(event: Mapping[str, Any], at_us: int, worker: str | None) -> Task:
    return _described(event, SENDER)._replace(
        queue=queue_in(event.get("routing_key") or event.get("queue")), sent_us=at_us
    )


def _received(event: Mapping[str, Any], at_us: int, worker: str | None) -> Task:
    return _described(event, RECEIVER)._replace(received_us=at_us, worker_us=at_us, worker=worker)


def _described(event: Mapping[str, Any], told_by: int) -> Task:
    args, kwargs = _text(event.get("args")), _text(event.get("kwargs"))
    return Task(
        id_in(event.get("uuid")),
        retries=whole(event.get("retries")),
        told_by=told_by,
        name=short(event.get("name")),
        parent=parent_in(event.get("parent_id"), event.get("uuid")),
        root=short(event.get("root_id")),
        args=args,
        kwargs=kwargs,
        form=REPR if args is not None else None,
        eta_us=moment(event.get("eta")),
        expires_us=moment(event.get("expires")),
    )


def _started(event: Mapping[str, Any], at_us: int, worker: str | None) -> Task:
    return Task(id_in(event.get("uuid")), started_us=at_us, worker_us=at_us, worker=worker)


def _retried(event: Mapping[str, Any], at_us: int, worker: str | None) -> Task:
    return Task(id_in(event.get("uuid")), retried_us=at_us, worker_us=at_us, worker=worker)


def _succeeded(event: Mapping[str, Any], at_us: int, worker: str | None) -> Task:
    return _ended(event, at_us, worker, TaskState.SUCCEEDED)._replace(
        runtime_us=_microseconds(event.get("runtime")), result=_text(event.get("result"))
    )


def _failed(event: Mapping[str, Any], at_us: int, worker: str | None) -> Task:
    ended = _ended(event, at_us, worker, TaskState.FAILED)
    return ended._replace(error=_text(event.get("exception")))


def _revoked(event: Mapping[str, Any], at_us: int, worker: str | None) -> Task:
    why = "expired" if event.get("expired") else "terminated" if event.get("terminated") else None
    return _ended(event, at_us, worker, TaskState.REVOKED)._replace(revoked_us=at_us, error=why)


def _rejected(event: Mapping[str, Any], at_us: int, worker: str | None) -> Task:
    if event.get("requeue"):  # then it comes again, to this worker or another
        return Task(id_in(event.get("uuid")), worker_us=at_us, worker=worker)
    return _ended(event, at_us, worker, TaskState.REJECTED)


def _ended(event: Mapping[str, Any], at_us: int, worker: str | None, state: TaskState) -> Task:
    return Task(
        id_in(event.get("uuid")),
        worker_us=at_us,
        worker=worker,
        finality=FINALITY[state],
        ended_us=at_us,
    )


_TASK_EVENTS: Mapping[str, Callable[[Mapping[str, Any], int, str | None], Task]] = {
    "task-sent": _sent,
    "task-received": _received,
    "task-started": _started,
    "task-retried": _retried,
    "task-succeeded": _succeeded,
    "task-failed": _failed,
    "task-revoked": _revoked,
    "task-rejected": _rejected,
}
_SIGNS_OF_LIFE = ("worker-online", "worker-heartbeat")
