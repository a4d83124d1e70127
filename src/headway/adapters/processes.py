"""Carries out tries in child processes of this one.

Who does what: the runner's thread forks a child for each try and serves them all by a selector;
only values cross, as JSON. A child that must not go on before something is written waits for its
parent's answer. TIMEOUT is kept whatever the code does: TERM to the child's group, then KILL.
What a child writes to the descriptors 1 and 2, by whatever means, is the job's output.
"""

import os
import threading
import time
from collections.abc import Iterable
from typing import Any

from headway.adapters import in_child
from headway.adapters.child import HARD_GRACE_S, Child
from headway.adapters.children import Children
from headway.adapters.forks import Body, fill_standard_descriptors, fork, load_libc
from headway.jobs.outcomes import Ending, Failure, Outcome, Phase
from headway.jobs.shared import Changes
from headway.ports.executor import Ended, Late, Work

CLOSE_GRACE_S = 1.0  # between TERM and KILL for what is given up


class Processes:
    """Carries out up to ``slots`` tries at once, each in a process of its own."""

    blocks = False

    def __init__(self, slots: int, *, grace_s: float = HARD_GRACE_S) -> None:
        """``grace_s``: between TERM at a deadline and KILL."""
        self.slots = slots
        self._grace_s = grace_s
        self._libc = load_libc()
        self._lock = threading.RLock()  # between close and calls from other threads, or signals
        self._children: Children | None = None
        self._stopping = False
        self._interrupted = False
        self._ended: list[Ended | Late] = []
        self._directory = -1
        self._work: Work

    @property
    def free(self) -> int:
        return self.slots - self.running

    @property
    def running(self) -> int:
        return len(self._open().alive)

    def open(self, work: Work) -> None:
        fill_standard_descriptors()
        self._work = work
        self._directory = os.open(".", os.O_RDONLY)
        with self._lock:
            self._children = Children(self._over)
            self._children.stopping = self._stopping

    def start(self, key: int, number: int) -> None:
        phase = Phase.CHECK if self._work.rules[key].has_check else Phase.RUN
        self._begin(
            in_child.whole_try(self._work, key, number, self._directory), key, number, phase
        )

    def start_check(self, key: int, number: int) -> None:
        """Begin to ask one Check, and nothing else; ``wait`` tells its end."""
        self._begin(
            in_child.asked_check(self._work, key, self._directory), key, number, Phase.CHECK
        )

    def start_cleanup(self, key: int, number: int, storage: Changes | None) -> None:
        """Begin a Cleanup; ``wait`` tells its end."""
        body = in_child.cleanup(self._work, key, number, storage, self._directory)
        self._begin(body, key, number, Phase.CLEANUP)

    def wait(self, timeout_s: float | None) -> Iterable[Ended | Late]:
        children = self._open()
        until = None if timeout_s is None else time.monotonic() + timeout_s
        woken = False
        while not (self._ended or woken):
            woken = children.turn(until)
            if self._interrupted:
                self._interrupted = False
                raise KeyboardInterrupt
            if until is not None and time.monotonic() >= until:
                break
        # Kept until here, so that what an interrupted wait has heard is not lost.
        ended, self._ended = self._ended, []
        return ended

    def ask(self, key: int) -> Outcome:
        body = in_child.asked_check(self._work, key, self._directory)
        return self._at_once(body, key, 1, Phase.CHECK)

    def cleanup(self, key: int, number: int, job: Any, storage: Changes | None) -> Failure | None:
        body = in_child.cleanup(self._work, key, number, storage, self._directory)
        return self._at_once(body, key, number, Phase.CLEANUP).failure

    def hear_out(self) -> Iterable[Late]:
        return ()

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            if self._children is not None:
                self._children.stopping = True
                self._children.wake()

    def wake(self) -> None:
        with self._lock:
            if self._children is not None:
                self._children.wake()

    def close(self) -> None:
        with self._lock:
            children, self._children = self._children, None
            self._stopping = False
        if children is not None:
            children.end(CLOSE_GRACE_S)
            os.close(self._directory)

    def _open(self) -> Children:
        assert self._children is not None, "open comes first"
        return self._children

    def _over(self, child: Child) -> None:
        if child.interrupted:
            self._interrupted = True
        elif not child.given_up:
            assert child.outcome is not None
            self._ended.append(Ended(child.key, child.number, child.outcome))

    def _begin(self, body: Body, key: int, number: int, phase: Phase) -> None:
        try:
            self._fork(self._open(), body, key, number, phase)
        except OSError as error:
            self._ended.append(Ended(key, number, _not_started(error, phase)))

    def _at_once(self, body: Body, key: int, number: int, phase: Phase) -> Outcome:
        """Carry out one phase and wait for its end; nothing else is served meanwhile."""
        over: list[Child] = []
        children = Children(over.append)
        try:
            try:
                self._fork(children, body, key, number, phase)
            except OSError as error:
                return _not_started(error, phase)
            while not over:
                children.turn(None)
        finally:
            children.end(CLOSE_GRACE_S)
        child = over[0]
        if child.interrupted:
            raise KeyboardInterrupt
        assert child.outcome is not None
        return child.outcome

    def _fork(self, children: Children, body: Body, key: int, number: int, phase: Phase) -> None:
        held = self._open().descriptors()
        if children is not self._children:
            held += children.descriptors()
        forked = fork(body, self._libc, close=held)
        child = Child(forked, self._work, key, number, phase, self._grace_s)
        timeout_s = self._work.rules[key].timeout_s
        if timeout_s is not None:
            # Until it says so itself: a child that does not even get so far is late, too.
            child.ends_at = time.monotonic() + timeout_s
        children.add(child)


def _not_started(error: OSError, phase: Phase) -> Outcome:
    failure = Failure("ProcessLost", f"no process could be started for its {phase}: {error}")
    return Outcome(Ending.FAILED, failure=failure, phase=phase)
