"""The record of a Celery task, and the one rule by which what is heard of it comes together.

What one message says of a task is a ``Task`` as well, of which most is unknown. ``merged`` joins
two of them, and it does not matter in which order, how often, or in which groups: each field is
the largest of those heard, by an order of its own. So a monitor may be killed at any moment and
hear everything again, two may work side by side, and a result may come before its task.

    what was sent   all of it from one message: of the last attempt (retries, then how often the
                    task was replaced), and there from who knows best: the task message, the event
                    of its sender, the event of the worker that received it
    parent          any there is: of several the last in the order of their characters
    sent, heard     the earliest
    received, started, retried, revoked, and by whom    the latest
    outcome         the weightiest (states.FINALITY), of these the latest
"""

from typing import Any, NamedTuple

from headway.tracking.states import BY_FINALITY, TaskState

# Who told what was sent.
NOBODY, RECEIVER, SENDER, MESSAGE = range(4)


class Task(NamedTuple):
    """Moments are microseconds of UTC since 1970, by the clock of who said so."""

    id: str
    # What was sent: the order of these is the order by which one message outweighs another.
    retries: int = 0
    nesting: int = 0  # how often another task took its place, under the same id
    told_by: int = NOBODY
    name: str | None = None
    queue: str | None = None  # the routing key
    root: str | None = None
    group: str | None = None
    args: str | None = None
    kwargs: str | None = None
    form: str | None = None  # of both: JSON, REPR, or why they are not here
    eta_us: int | None = None
    expires_us: int | None = None
    origin: str | None = None
    extra: str | None = None  # JSON: headers that are not Celery's own
    body_bytes: int | None = None
    # Who sent it, if a task did. An attempt after the first is sent by the task itself, so that
    # this cannot be of the last message.
    parent: str | None = None
    # When
    sent_us: int | None = None
    heard_us: int | None = None  # by the monitor
    received_us: int | None = None
    started_us: int | None = None
    retried_us: int | None = None
    revoked_us: int | None = None
    # The last worker that was heard of in this matter
    worker_us: int | None = None
    worker: str | None = None
    # How it ended, as its worker's event tells
    finality: int = 0
    ended_us: int | None = None
    runtime_us: int | None = None
    result: str | None = None  # as Python writes it, cut
    error: str | None = None

    @property
    def state(self) -> TaskState:
        """As far as was heard; results are not in this (results.Seen)."""
        return BY_FINALITY[self.finality] if self.finality else self.progress[1]

    @property
    def progress(self) -> tuple[int, TaskState]:
        """The latest that is no end, and when. All but the sending is told by workers' clocks."""
        received, started, retried = self.received_us, self.started_us, self.retried_us
        if received or started or retried:
            latest_us, place = max((received or 0, 1), (started or 0, 2), (retried or 0, 3))
            return latest_us, _PROGRESS[place]
        return 0, TaskState.SENT if self.told_by >= SENDER else TaskState.UNKNOWN

    @property
    def at_us(self) -> int:
        """When it was sent, as near as is known."""
        known = self.sent_us, self.heard_us, self.received_us, self.started_us, self.ended_us
        for at_us in known:
            if at_us is not None:
                return at_us
        return 0


JSON, REPR = "json", "repr"

_PROGRESS = (TaskState.SENT, TaskState.RECEIVED, TaskState.STARTED, TaskState.RETRYING)
_PLACES = {name: place for place, name in enumerate(Task._fields)}
_SENT = slice(_PLACES["retries"], _PLACES["parent"])
_PARENT = slice(_PLACES["parent"], _PLACES["sent_us"])
_EARLIEST = slice(_PLACES["sent_us"], _PLACES["received_us"])
_LATEST = slice(_PLACES["received_us"], _PLACES["worker_us"])
_WORKER = slice(_PLACES["worker_us"], _PLACES["finality"])
_OUTCOME = slice(_PLACES["finality"], len(_PLACES))


def merged(one: Task, other: Task) -> Task:
    """What is known when both were heard. They are about the same task."""
    if one == other:
        return one
    mine: tuple[Any, ...] = one
    its: tuple[Any, ...] = other
    return Task._make(
        (
            one.id,
            *_larger(mine[_SENT], its[_SENT]),
            *_larger(mine[_PARENT], its[_PARENT]),
            *map(_earliest, mine[_EARLIEST], its[_EARLIEST]),
            *map(_latest, mine[_LATEST], its[_LATEST]),
            *_larger(mine[_WORKER], its[_WORKER]),
            *_larger(mine[_OUTCOME], its[_OUTCOME]),
        )
    )


def _larger(one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[Any, ...]:
    """By the first place in which they differ; what is not known is less than anything."""
    for mine, its in zip(one, other, strict=True):
        if mine != its:
            return one if its is None or (mine is not None and mine > its) else other
    return one


def _earliest(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _latest(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
