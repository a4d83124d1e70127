"""The line of a Celery worker's process: one, which all attempts there have, one after another or
side by side.

The first attempt opens it, and it is kept for those that follow: to connect takes longer than many
a try. It is given up when nobody has needed it for a while; when the broker is lost meanwhile;
when an attempt was left without an answer, as the line may be what is broken; when the process is
a fork of the one that opened it; and when the process ends.
"""

import os
import threading
import time
from typing import Any, Protocol
from uuid import uuid4

from headway.adapters.celery_tries.line import Line
from headway.adapters.celery_tries.messages import (
    BEAT_S,
    CLAIM_S,
    Stands,
    holder_queue,
    stands,
)

IDLE_S = 30.0  # how long it is kept while nobody needs it


class Holder(Protocol):
    """Who has an attempt, or claims it."""

    replies: str  # the run's queue

    def hear(self, heard: Stands) -> None:
        """By the thread that hears."""

    def beat(self) -> None:
        """Called every second, by the thread that sends."""


class ProcessLine:
    """One line, and who is on it. Threads: any."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._id = uuid4().hex
        self._line = Line(
            app,
            holder_queue(self._id),
            self._heard,
            every=(BEAT_S, self._every),
            wanted=self._is_wanted,
            returned=self._returned,
        )
        self.due = self._line.due
        self.close = self._line.close
        self._lock = threading.Lock()
        self._here: dict[str, Holder] = {}
        self._number = 0
        self._retired = False  # nobody else may come
        self._left_at = 0.0  # monotonic: when the last one left

    def open(self) -> None:
        """Once somebody is on it. Raises: as ``Line.open``."""
        self._line.open(CLAIM_S)

    def join(self, holder: Holder) -> str | None:
        """What the holder is called here; None if the line is being given up."""
        with self._lock:
            if self._retired:
                return None
            self._number += 1
            id = f"{self._id}.{self._number}"
            self._here[id] = holder
            return id

    def leave(self, id: str, *, answered: bool) -> None:
        with self._lock:
            self._here.pop(id, None)
            self._left_at = time.monotonic()
            self._retired = self._retired or not answered

    def _is_wanted(self) -> bool:
        with self._lock:
            self._retired = self._retired or not self._here
            return bool(self._here)

    def _every(self) -> None:
        with self._lock:
            here = list(self._here.values())
            idle = not here and time.monotonic() - self._left_at >= IDLE_S
            self._retired = self._retired or idle
            is_over = self._retired and not here
        for one in here:
            one.beat()
        if is_over:
            self._line.let_go()

    def _returned(self, queue: str) -> None:
        """A run is gone, and its queue with it: nobody wants anything of it any more."""
        with self._lock:
            gone = [(id, one) for id, one in self._here.items() if one.replies == queue]
        for id, one in gone:
            one.hear(Stands(id, over=True))

    def _heard(self, body: str | bytes) -> None:
        heard = stands(body)
        if heard is None:
            return
        with self._lock:
            holder = self._here.get(heard.holder)
        if holder is not None:
            holder.hear(heard)


class KeptLine:
    """The line that a process of a Celery worker has at present, if any. Threads: any."""

    def __init__(self) -> None:
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._line: ProcessLine | None = None

    def join(self, holder: Holder, app: Any) -> tuple[ProcessLine, str]:
        """A line that is open, and what the holder is called on it.

        Raises: Unavailable, Refused, and whatever the client of the broker does.
        """
        if self._pid != os.getpid():
            self._begin_anew()  # its threads are the other process's
        with self._lock:
            if self._line is not None and (id := self._line.join(holder)) is not None:
                return self._line, id
            line = self._line = ProcessLine(app)
            id = line.join(holder)
            assert id is not None, "nobody has given it up yet"
            try:
                line.open()
            except BaseException:
                self._line = None
                raise
        _close_in_the_end(self)
        return line, id

    def close(self, **signal: Any) -> None:
        """At the process's end."""
        if self._pid != os.getpid():
            return
        with self._lock:
            line, self._line = self._line, None
        if line is not None:
            line.close()


def _close_in_the_end(kept: KeptLine) -> None:
    from celery import signals

    for ends in (signals.worker_process_shutdown, signals.worker_shutdown):
        ends.connect(kept.close)
