"""What a run and the Celery workers that carry out its tries say to each other, as JSON."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

TASK = "headway.try"  # what the Celery task is called
ATTEMPT = "celery-"  # how the ids of attempts begin

BEAT_S = 1.0  # how often a worker says that it is there
LEASE_S = 20.0  # a try whose worker's beats are not answered for so long is ended there
LOST_S = 5.0  # and so much later, if it was not heard of, that worker is taken for lost
CLAIM_S = 10.0  # a task whose claim nobody answers for so long is dropped: its run is gone
KEPT_S = 60.0  # the queues of a run, or a worker, that has gone without a word are kept for


class Said(NamedTuple):
    """What a Celery worker says of an attempt."""

    attempt: str
    # claims, beat, left, lost; with a number what ``frames`` has, lines, and "refused": the job
    # cannot be had there.
    kind: str
    holder: str = ""
    number: int = 0  # of a frame, counted from 1; of a beat
    value: Any = None

    def text(self) -> str:
        return json.dumps(self)


class Stands(NamedTuple):
    """Where a holder stands, as its run says it."""

    holder: str
    granted: Mapping[str, Any] | None = None  # with what; said until the first frame came
    heard: int = 0  # the last frame before which none is missing
    written: int = 0  # the last frame that was acted on, of those that wait for it
    beat: int = 0  # the last one that was heard
    stop: bool = False
    over: bool = False  # nobody wants anything of it any more

    def text(self) -> str:
        return json.dumps(self)


def said(body: str | bytes) -> Said | None:
    """A message to a run; None for what is none."""
    found = _list(body)
    try:
        return Said(*found)
    except TypeError:
        return None


def stands(body: str | bytes) -> Stands | None:
    """A message to a holder; None for what is none."""
    found = _list(body)
    try:
        return Stands(*found)
    except TypeError:
        return None


def _list(body: str | bytes) -> list[Any]:
    try:
        parts = json.loads(body)
    except ValueError:
        return []
    return parts if isinstance(parts, list) else []


def run_queue(run: str) -> str:
    return f"headway.run.{run}"


def holder_queue(holder: str) -> str:
    """Where a holder hears, with all others of its line: the line's id is how theirs begin."""
    return f"headway.try.{holder.partition('.')[0]}"
