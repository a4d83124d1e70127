"""The life of a worker, as data: its states, what may happen in each, and what it does then.

The contract of a worker in any language. What ``process`` itself sends is not told here, only
what the library does beside it. tests/unit/test_lifecycle.py walks every path of this table with
a real worker, and the picture in the documentation is drawn from it.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """Where a worker object stands. It has one step in hand at a time."""

    STARTING = "starting"
    LISTENING = "listening"  # consumes its queue
    READING = "reading"  # has been given a step message
    CLAIMING = "claiming"  # has asked for the attempt, and waits
    WORKING = "working"  # in process; the delivery is not settled
    HOLDING = "working under a grant"  # in process; the delivery was acknowledged
    LEAVING = "leaving"


class Deed(StrEnum):
    """What the library does, as others on the bus see it."""

    DECLARE = "declares its queue"
    CLAIM = "claims the attempt"
    GIVE_BACK = "gives the attempt back"
    FAIL = "answers failed"
    BURY = "keeps it in dead"
    ACK = "acknowledges"
    REJECT = "rejects"
    REQUEUE = "has it delivered again"
    CLOSE = "disconnects"


class Transition(NamedTuple):
    """In this state that happens: the worker does so, and is in another."""

    state: State
    event: str
    after: State
    deeds: Sequence[Deed] = ()


_REFUSE = (Deed.FAIL, Deed.BURY, Deed.REJECT)
_PUT_ASIDE = (Deed.BURY, Deed.REJECT)
_LET_GO = (Deed.GIVE_BACK, Deed.REQUEUE, Deed.CLOSE)
TRANSITIONS = tuple(
    Transition(*row)
    for row in (
        (State.STARTING, "connected", State.LISTENING, (Deed.DECLARE,)),
        (State.LISTENING, "a step is delivered", State.READING),
        (State.LISTENING, "told to leave", State.LEAVING, (Deed.CLOSE,)),
        (State.READING, "it cannot be read", State.LISTENING, _REFUSE),
        (State.READING, "dynamic inputs are missing", State.LISTENING, _REFUSE),
        (State.READING, "it asks for a claim", State.CLAIMING, (Deed.CLAIM,)),
        (State.READING, "it asks for no claim", State.WORKING),
        (State.CLAIMING, "granted", State.HOLDING, (Deed.ACK,)),
        (State.CLAIMING, "denied", State.LISTENING, (Deed.ACK,)),
        (State.CLAIMING, "nobody is there to grant it", State.LISTENING, _PUT_ASIDE),
        (State.CLAIMING, "told to leave", State.LEAVING, _LET_GO),
        (State.WORKING, "process answers", State.LISTENING, (Deed.ACK,)),
        (State.WORKING, "process ends without an answer", State.LISTENING, (Deed.FAIL, Deed.ACK)),
        (State.WORKING, "process raises", State.LISTENING, _REFUSE),
        (State.WORKING, "process wants it delivered again", State.LISTENING, (Deed.REQUEUE,)),
        (State.HOLDING, "process answers", State.LISTENING),
        (State.HOLDING, "process ends without an answer", State.LISTENING, (Deed.FAIL,)),
        (State.HOLDING, "process raises", State.LISTENING, (Deed.FAIL, Deed.BURY)),
        (State.HOLDING, "process wants it delivered again", State.LISTENING, (Deed.GIVE_BACK,)),
    )
)  # fmt: skip


def transitions_from(state: State) -> Sequence[Transition]:
    return [one for one in TRANSITIONS if one.state is state]


def paths() -> Iterator[Sequence[Transition]]:
    """Every way that a step can go, from its delivery until the worker listens again or leaves."""
    (delivered,) = [one for one in TRANSITIONS if one.after is State.READING]
    waiting: list[tuple[Transition, ...]] = [(delivered,)]
    while waiting:
        path = waiting.pop()
        if path[-1].after in (State.LISTENING, State.LEAVING):
            yield path
            continue
        waiting.extend((*path, one) for one in reversed(transitions_from(path[-1].after)))
