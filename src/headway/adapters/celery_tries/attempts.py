"""One attempt to have a try, a Check or a Cleanup carried out by a Celery worker, as its run sees
it.

Threads: the one that hears settles who holds it, which frame comes next and whether it was the
last; all else is the runner's.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headway.adapters.celery_tries.messages import Said, Stands
from headway.jobs.job import Rules
from headway.jobs.outcomes import Failure, Outcome, Phase
from headway.jobs.trycycle import cut_off


@dataclass(slots=True)
class Attempt:
    """``what``: "try", "check" or "cleanup"."""

    id: str
    what: str
    key: int
    number: int
    name: str  # the job's
    queue: str | None  # the job's; None: where the app sends it
    payload: Mapping[str, Any]
    phase: Phase
    began_at: float = field(default_factory=time.monotonic)
    again_at: float = 0.0  # monotonic: when to send it anew, if nobody has it; 0: not sent yet
    again_s: float = 0.0  # and how long to wait after that
    holder: str = ""  # who claimed it first
    worker: str = ""  # its Celery worker's name
    heard: int = 0
    heard_at: float = 0.0  # monotonic: anything
    written: int = 0
    beat: int = 0
    stop: bool = False
    over: bool = False
    told_end: bool = False  # by its holder, who needs to hear nothing more
    executed: bool = False
    intended: Outcome | None = None  # what was so when Run was about to start
    settles: Outcome | None = None  # how the try is to end if its Check, asked anew, fails
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # The thread that hears

    def hear(self, said: Said) -> bool:
        """Take note of it; whether it is a frame that comes next."""
        with self._lock:
            if not self.holder and not self.over and said.kind == "claims":
                self.holder, self.worker = said.holder, str(said.value)
        if said.holder != self.holder:
            return False
        self.heard_at = time.monotonic()
        if said.kind == "beat":
            self.beat = max(self.beat, said.number)
        if said.kind in ("beat", "claims", "left") or said.number != self.heard + 1:
            return False
        self.heard = said.number
        return True

    def stands(self, holder: str) -> Stands:
        """What a holder, or one who would like to be it, is to know."""
        if holder != self.holder:
            return Stands(holder, over=True)
        granted = None if self.heard or self.over else self.payload
        return Stands(holder, granted, self.heard, self.written, self.beat, self.stop, self.over)

    # The runner

    def withdraw(self) -> bool:
        """Take it back, if nobody has it; whether that is so."""
        with self._lock:
            self.over = self.over or not self.holder
            return not self.holder

    def follow(self, phase: Phase) -> None:
        """A phase is over: the next one was entered, if there is one."""
        if phase is Phase.RUN:
            self.phase = Phase.RECHECK

    def lost(self, rules: Rules, how: str) -> Outcome:
        """Its outcome if its worker is gone, and nobody knows how far it came."""
        failure = Failure("WorkerLost", f"{how} while its {self.phase} went on")
        return cut_off(failure, self.phase, rules, self.intended, executed=self.executed)
