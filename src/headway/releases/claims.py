"""Who may work on an attempt, and which answer to it counts. Pure: values in, values out.

An attempt, named by its step message's ``message_id``, goes

    OFFERED --claimed--> GRANTED --"started"--> STARTED --"completed" | "failed"--> ENDED
       |                    |                      |
       |                    +-- given back --> OFFERED (before "started" only)
       +--"started" of a worker that claims nothing: counts as its claim
       +--a final answer of anybody: counts as claim, start and end

A worker that holds an attempt may be lost: nobody else is granted it by that, because it may have
been carried out. Whoever offered it decides. What is heard of that worker after all still counts.

Each attempt is granted once, and again to the worker that holds it, whose grant may have been
lost on the way. It is ended once. News that is late, repeated or another worker's is Ignored.
Each transition makes a new value, so that a store can compare and set.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from headway.jobs.schedule import Ignored
from headway.wire.messages import Claim, Grant, Response


class Standing(StrEnum):
    """How far an attempt has come."""

    OFFERED = "offered"
    GRANTED = "granted"
    STARTED = "started"
    ENDED = "ended"


UNNAMED = ""  # the worker that claims nothing and names itself nowhere


class Attempt(NamedTuple):
    """One dispatch of one phase of a try to whoever serves the command."""

    id: str
    standing: Standing = Standing.OFFERED
    worker: str | None = None  # that holds or held it
    answer: Response | None = None  # the final one
    is_lost: bool = False  # nothing is heard of the worker that holds it

    @property
    def is_held(self) -> bool:
        return self.standing in (Standing.GRANTED, Standing.STARTED)


def claimed(attempt: Attempt, worker: str) -> tuple[Attempt, Grant]:
    """What a worker's claim is answered with."""
    if attempt.standing is Standing.ENDED:
        return attempt, _denied(attempt.id, worker, "it has ended")
    if attempt.is_held and attempt.worker != worker:
        return attempt, _denied(attempt.id, worker, "another worker has it")
    if attempt.standing is Standing.OFFERED:
        attempt = attempt._replace(standing=Standing.GRANTED, worker=worker)
    attempt = attempt._replace(is_lost=False)
    return attempt, Grant(attempt=attempt.id, worker=worker, granted=True)


def given_back(attempt: Attempt, worker: str) -> Attempt | Ignored:
    """The worker has not begun, and somebody is to be offered it again."""
    if attempt.worker != worker:
        return Ignored("another worker has it")
    if attempt.standing is not Standing.GRANTED:
        return Ignored(f"it cannot be given back: it is {attempt.standing}")
    return attempt._replace(standing=Standing.OFFERED, worker=None, is_lost=False)


def answered(attempt: Attempt, response: Response, worker: str = UNNAMED) -> Attempt | Ignored:
    """What a response, and who sent it as far as it says, makes of the attempt."""
    if attempt.standing is Standing.ENDED:
        return Ignored("it has ended")
    if attempt.is_held and attempt.worker != worker:
        return Ignored("another worker has it")
    if response.is_final:
        return Attempt(attempt.id, Standing.ENDED, worker, response)
    if attempt.standing is Standing.STARTED:
        return Ignored("it has started before")
    return attempt._replace(standing=Standing.STARTED, worker=worker, is_lost=False)


def lost(attempt: Attempt) -> Attempt | Ignored:
    """The worker that holds it has gone: whether it was carried out is unknown."""
    if not attempt.is_held:
        return Ignored(f"nobody holds it: it is {attempt.standing}")
    if attempt.is_lost:
        return Ignored("it was lost before")
    return attempt._replace(is_lost=True)


class Claims:
    """The attempts that are under way, found by what messages say of them."""

    def __init__(self) -> None:
        self._attempts: dict[str, Attempt] = {}
        self._ids: dict[tuple[str, str], str] = {}  # by run and reply queue
        self._places: dict[str, tuple[str, str]] = {}  # the other way

    def offer(
        self,
        id: str,
        run: str,
        reply_queue: str,
        worker: str | None = None,
        *,
        has_started: bool = False,
    ) -> None:
        """An attempt is being dispatched. A run has one unanswered on a reply queue at a time.

        ``worker``: who has been granted it before, by somebody whose place we take, or
        ``has_started`` it without a grant.
        """
        standing = Standing.OFFERED if worker is None else Standing.GRANTED
        standing = Standing.STARTED if has_started else standing
        self._attempts[id] = Attempt(id, standing, worker)
        self._ids[run, reply_queue] = id
        self._places[id] = run, reply_queue

    def forget(self, id: str) -> None:
        """It is over for whoever offered it; later news of it is Ignored."""
        self._attempts.pop(id, None)
        place = self._places.pop(id, None)
        if place is not None and self._ids.get(place) == id:
            del self._ids[place]

    @property
    def attempts(self) -> Mapping[str, Attempt]:
        return self._attempts

    def held_by(self, worker: str) -> Iterable[Attempt]:
        return [one for one in self._attempts.values() if one.is_held and one.worker == worker]

    def lost(self, worker: str) -> Sequence[Attempt]:
        """The attempts that are in doubt now, because this worker has gone."""
        doubtful = [
            after for one in self.held_by(worker) if isinstance(after := lost(one), Attempt)
        ]
        self._attempts.update((attempt.id, attempt) for attempt in doubtful)
        return doubtful

    def claim(self, claim: Claim) -> Grant | Attempt | Ignored:
        """What to send back; or the attempt that is free again, which is not answered."""
        attempt = self._attempts.get(claim.attempt)
        if attempt is None:
            if claim.give_back:
                return Ignored("there is no such attempt")
            return _denied(claim.attempt, claim.worker, "there is no such attempt")
        if claim.give_back:
            back = given_back(attempt, claim.worker)
            if isinstance(back, Attempt):
                self._attempts[attempt.id] = back
            return back
        self._attempts[attempt.id], grant = claimed(attempt, claim.worker)
        return grant

    def answer(
        self, response: Response, worker: str, id: str | None, run: str, reply_queue: str
    ) -> Attempt | Ignored:
        """``id``: what the response echoes, if it does; else run and reply queue name it."""
        known = id if id in self._attempts else self._ids.get((run, reply_queue))
        if id is not None and id != known:
            return Ignored("there is no such attempt")
        if known is None or known not in self._attempts:
            return Ignored("there is no such attempt")
        after = answered(self._attempts[known], response, worker)
        if isinstance(after, Attempt):
            self._attempts[known] = after
        return after


def _denied(attempt: str, worker: str, reason: str) -> Grant:
    return Grant(attempt=attempt, worker=worker, granted=False, reason=reason)
