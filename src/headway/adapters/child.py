"""A child process that carries out one try, as its parent sees it."""

import json
import os
import signal
import sys
import time
from collections import deque

from headway.adapters.bounded import too_long
from headway.adapters.forks import Fork
from headway.adapters.frames import WRITTEN, read_frame
from headway.adapters.groups import how_ended, signal_group
from headway.adapters.lines import Lines
from headway.jobs.outcomes import (
    Failure,
    Outcome,
    Phase,
    failure_from_plain,
    outcome_from_json,
)
from headway.jobs.trycycle import cut_off
from headway.ports.executor import Work

HARD_GRACE_S = 2.0  # between TERM at the deadline and KILL; also between its news and its end
_READ_BYTES = 1 << 16
_MOST_READS = 16  # at a time, so that one child that writes without end holds up nobody


class Child:
    """One child: what it told, when it must be over, and how it ended."""

    def __init__(
        self, fork: Fork, work: Work, key: int, number: int, phase: Phase, grace_s: float
    ) -> None:
        self.fork = fork
        self.key = key
        self.number = number
        self.phase = phase  # the last one entered
        self.executed = False
        self.ends_at: float | None = None  # monotonic: when its phase is to be over
        self.kill_at: float | None = None
        self.asked_to_end = False  # because the run is being stopped
        self.given_up = False  # nobody wants to hear of it any more
        self.interrupted = False  # its job raised KeyboardInterrupt
        self.outcome: Outcome | None = None
        self._grace_s = grace_s
        self._work = work
        self._rules = work.rules[key]
        self._intended: Outcome | None = None  # what was so when Run was about to start
        self._late = False
        self._dead = False
        self._reaped = False
        self._commands: set[int] = set()  # of self.run, that are not over
        self._frames: deque[bytes] = deque()
        self._rest = bytearray()
        self._lines = {
            fork.out: Lines(lambda text: self._wrote("out", text)),
            fork.err: Lines(lambda text: self._wrote("err", text)),
        }

    # What it tells

    def take(self, fd: int) -> bool:
        """Read what has come; whether there may be more some time."""
        if fd in self._lines:
            return self._take_output(fd)
        return self._take_all(_MOST_READS)

    def heed(self) -> None:
        """Act on the frames that have come. Raises: what the run's callbacks raise."""
        while self._frames:
            kind, value = read_frame(self._frames.popleft())
            self._heed(kind, value)

    def _heed(self, kind: str, value: bytes) -> None:
        if kind == "process":
            self._commands.add(int(value))
        elif kind == "over":
            self._commands.discard(int(value))
        if self.given_up:
            return
        match kind:
            case "entering":
                phase, self.ends_at = json.loads(value)
                self.phase = Phase(phase)
                self._late, self.kill_at = False, None
            case "phase":
                phase, failure = json.loads(value)
                told = failure and failure_from_plain(failure)
                self._work.phase_ended(self.key, self.number, Phase(phase), told)
            case "wrote":
                self._wrote(*json.loads(value))
            case "intends" if not self._dead:
                self._intends(outcome_from_json(value))
            case "process" if not self._dead:
                self._work.started_process(self.key, self.number, int(value))
                self._answer()
            case "ended":
                self.outcome = outcome_from_json(value)
                self._merge(self.outcome)
                self._leaves()
            case "interrupted":
                self.interrupted = True
                self._leaves()
            case _:
                pass  # "process" and "over" of one that is dead

    def _intends(self, outcome: Outcome) -> None:
        self.ends_at = None  # the time it takes to write is not the job's
        self._merge(outcome)
        self._work.intends(self.key, self.number, outcome)
        self._intended = outcome
        self.executed = True
        self._answer()

    def _leaves(self) -> None:
        self.ends_at = None
        self.kill_at = time.monotonic() + HARD_GRACE_S

    def _merge(self, outcome: Outcome) -> None:
        if outcome.shared is not None:
            self._work.shared.apply(outcome.shared)

    def _answer(self) -> None:
        try:
            self.fork.channel.send(WRITTEN)
        except OSError:
            pass  # it died meanwhile, which is noticed by itself

    def _wrote(self, stream: str, text: str) -> None:
        if not self.given_up:
            self._work.wrote(self.key, self.number, stream, text)

    def _take_all(self, reads: int) -> bool:
        more = self._take_channel(reads)
        # It wrote this before it told that it had come so far.
        for fd in self._lines:
            self._take_output(fd)
        return more

    def _take_channel(self, reads: int) -> bool:
        for _ in range(reads):
            try:
                data = self.fork.channel.recv(_READ_BYTES)
            except BlockingIOError:
                return True
            except ConnectionResetError:  # it died with an answer unread
                return False
            if not data:
                return False
            *whole, rest = data.split(b"\n")
            for line in whole:
                self._frames.append(bytes(self._rest) + line)
                self._rest.clear()
            self._rest += rest
        return True

    def _take_output(self, fd: int) -> bool:
        for _ in range(_MOST_READS):
            try:
                data = os.read(fd, _READ_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._lines[fd].feed(data)
        return True

    # Its end

    def bound(self, now: float, *, stopping: bool) -> None:
        """Ask it to end when the run is being stopped or its phase is late; KILL after a grace."""
        if stopping and not self.asked_to_end:
            self.ask_to_end()
        if self.ends_at is not None and now >= self.ends_at and not self._late:
            self._late = True
            self.kill_at = now + self._grace_s
            self._signal(signal.SIGTERM)
        if self.kill_at is not None and now >= self.kill_at:
            self.kill()

    @property
    def moments(self) -> list[float]:
        """When ``bound`` has something to do (monotonic)."""
        late_at = None if self._late else self.ends_at
        return [moment for moment in (late_at, self.kill_at) if moment is not None]

    def ask_to_end(self) -> None:
        self.asked_to_end = True
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and all that it started, but for what was started to outlive it."""
        self.kill_at = None
        self._signal(signal.SIGKILL)
        for pid in self._commands:
            signal_group(pid, signal.SIGKILL)

    def reap(self) -> bool:
        """Whether it is over; then all it told is heeded, and nothing of it is left."""
        pid = self.fork.pid
        try:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
                return False
            ours = True
        except ChildProcessError:
            ours = False  # somebody else in this program waits for every child there is
        self._dead = True
        self._take_all(sys.maxsize)
        self.heed()
        if ours and self.outcome is None:
            self.kill()  # while it is not reaped its id is nobody else's
        self._reaped = True
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if ours else None
        for fd, lines in self._lines.items():
            self._take_output(fd)
            lines.finish()
        if self.outcome is None:
            self.outcome = self._lost(code)
        return True

    def _lost(self, code: int | None) -> Outcome:
        """The outcome of a try whose process ended without telling one."""
        rules = self._rules
        if self._late:
            failure = too_long(self.phase, rules.timeout_s)
        else:
            how = "ended, nobody knows how" if code is None else how_ended(code)
            failure = Failure("ProcessLost", f"its process {how} while its {self.phase} went on")
        return cut_off(
            failure,
            self.phase,
            rules,
            self._intended,
            executed=self.executed,
            is_lost=not self._late,
        )

    def _signal(self, number: int) -> None:
        if self._reaped:
            return
        for send in (os.killpg, os.kill):  # it may not have made its group yet
            try:
                send(self.fork.pid, number)
            except (ProcessLookupError, PermissionError):
                continue
            return
