"""The run's side of the line: has tasks sent, hears who claims them and what comes of them."""

import queue
import time
from collections.abc import Iterable, Sequence
from typing import Any

from headway.adapters.celery_tries.attempts import Attempt
from headway.adapters.celery_tries.line import Line, Publication
from headway.adapters.celery_tries.messages import Said, holder_queue, said
from headway.adapters.celery_tries.tasks import Tasks
from headway.jobs.outcomes import Phase

TURN_S = 0.5  # how often who is lost is looked for
ENDS = ("ended", "refused", "interrupted")  # frames after which nothing comes


class RunLine:
    """From when a run opens an executor to when it closes it.

    Threads: what is heard is taken in by the line's, and put into ``news``, which the runner's
    takes out: ("frame", attempt, said), ("lost", attempt's id), ("left",), and, of a task that the
    app does not send, ("unsent", attempt, error).
    """

    def __init__(self, tasks: Tasks, replies: str) -> None:
        self.news: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._tasks = tasks
        self._replies = replies
        self._going: dict[str, Attempt] = {}
        self._gone: dict[str, Attempt] = {}  # over here before they were over there
        self._left: set[str] = set()  # attempts of which nothing is left
        self._line = Line(tasks.app, replies, self._heard, lasts=True, reconnected=self._send_again)

    def open(self) -> None:
        """Raises: Unavailable, Refused."""
        self._line.open()

    def close(self, wait_s: float) -> None:
        """Give up what is going on, and wait for so long until nothing of it is left."""
        waiting = [one.id for one in self.going if one.withdraw()]
        going = self.going
        for one in going:
            self.give_up(one)
        try:
            self.await_left({one.id for one in going if one.holder and not one.told_end}, wait_s)
        finally:
            self._line.close()
            self._tasks.revoke(waiting)

    @property
    def connected_at(self) -> float | None:
        """Monotonic; None: nothing can be heard now."""
        return self._line.connected_at

    @property
    def away_since(self) -> float:
        """Monotonic: when the broker was lost last."""
        return self._line.away_since

    @property
    def failure(self) -> str:
        """Why."""
        return self._line.failure

    # The attempts

    @property
    def going(self) -> list[Attempt]:
        """Those not over."""
        return list(self._going.values())

    def is_going(self, id: str) -> bool:
        return id in self._going

    def find(self, id: str) -> Attempt | None:
        """One that is not over."""
        return self._going.get(id)

    def add(self, attempt: Attempt) -> None:
        """Have its task sent."""
        self._going[attempt.id] = attempt
        self.send(attempt)

    def leave(self, attempt: Attempt) -> None:
        """It is over, and whoever has it is told so."""
        attempt.over = True
        self._going.pop(attempt.id, None)
        if not attempt.told_end:
            self.tell(attempt)

    def give_up(self, attempt: Attempt) -> None:
        """Nobody waits for it any more, and it may go on for a moment."""
        self._gone[attempt.id] = attempt
        self.leave(attempt)

    def await_left(self, attempts: set[str], longest_s: float) -> None:
        """Wait until nothing of them is left, as far as anybody is there who could say so."""
        give_up_at = time.monotonic() + longest_s
        while (left_s := give_up_at - time.monotonic()) > 0 and not attempts <= self._left:
            try:
                self.news.get(timeout=min(left_s, TURN_S))
            except queue.Empty:
                pass

    # Sending, by the line's thread

    def send(self, attempt: Attempt) -> None:
        """The task that has a Celery worker claim it."""
        self._line.due(attempt.id, lambda producer: self._sent(attempt, producer))

    def _sent(self, attempt: Attempt, producer: Any) -> Sequence[Publication]:
        if not (attempt.over or attempt.holder):
            error = self._tasks.send(attempt, self._replies, producer)
            if error is not None:
                self.news.put(("unsent", attempt, error))
        return ()

    def _send_again(self) -> None:
        """A broker that was restarted may have lost what it had: what nobody has yet is sent anew.

        Who gets a message twice finds the attempt granted, or over.
        """
        for one in self.going:
            if not one.holder:
                self.send(one)

    def tell(self, attempt: Attempt, holder: str = "") -> None:
        """Where it stands: to its holder, or to one who would like to be it."""
        holder = holder or attempt.holder
        if holder:
            self._line.due(holder, lambda producer: self._told(attempt, holder))

    def _told(self, attempt: Attempt, holder: str) -> Iterable[Publication]:
        return [Publication(holder_queue(holder), attempt.stands(holder).text())]

    # Hearing, by the line's other thread

    def _heard(self, body: str | bytes) -> None:
        heard = said(body)
        if heard is None:
            return
        if heard.kind == "left":
            self._left.add(heard.attempt)
            self.news.put(("left",))
        elif heard.kind == "lost":
            self.news.put(("lost", heard.attempt))
        else:
            self._heard_of(self._known(heard.attempt), heard)

    def _known(self, id: str) -> Attempt:
        """One that is unknown was an earlier owner's of this run, or is over: nobody wants it."""
        unknown = Attempt(id, "", 0, 0, "", None, {}, Phase.CHECK, over=True)
        return self._going.get(id) or self._gone.get(id) or unknown

    def _heard_of(self, attempt: Attempt, heard: Said) -> None:
        is_next = attempt.hear(heard)
        if is_next and heard.kind in ENDS:
            attempt.told_end = True
            if attempt.id in self._gone:
                self._left.add(attempt.id)
        self.tell(attempt, heard.holder)  # first: the news may be all that is waited for
        if is_next:
            self.news.put(("frame", attempt, heard))
