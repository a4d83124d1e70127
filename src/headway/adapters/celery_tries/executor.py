"""Carries out tries by Celery workers, each as one Celery task on the queue that its job names."""

import queue
import time
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

from headway.adapters.celery_tries import grants
from headway.adapters.celery_tries.absent import NOBODY_S, Absent, Watch
from headway.adapters.celery_tries.attempts import Attempt
from headway.adapters.celery_tries.definitions import described
from headway.adapters.celery_tries.endings import Endings
from headway.adapters.celery_tries.messages import ATTEMPT, LEASE_S, LOST_S, Said, run_queue
from headway.adapters.celery_tries.reports import Reports
from headway.adapters.celery_tries.run_line import TURN_S, RunLine
from headway.adapters.celery_tries.tasks import Tasks, queue_of
from headway.adapters.child import HARD_GRACE_S
from headway.errors import HeadwayError
from headway.jobs.outcomes import Ending, Failure, Outcome, Phase, outcome_from_json
from headway.jobs.shared import Changes
from headway.ports.executor import Ended, Late, Work
from headway.releases.steps import StepNode

CLOSE_S = 10.0  # how long what is given up may take to end


class OnCelery:
    """Carries out up to ``slots`` tries at once.

    What a job begins with, it is given when a Celery worker claims it: the task message itself has
    no inputs, so that no monitor, and no log of Celery's, has any secret of them.
    """

    blocks = False

    def __init__(
        self,
        app: Any,
        slots: int,
        *,
        name: str = "",
        grace_s: float = HARD_GRACE_S,
        nobody_s: float = NOBODY_S,
        lease_s: float = LEASE_S,
    ) -> None:
        """``name``: what the Celery app is called on command lines."""
        self.slots = slots
        self._tasks = Tasks(app, name)
        self._grace_s = grace_s
        self._nobody_s = nobody_s
        self._lease_s = lease_s
        self._stopped = False
        self._line: RunLine | None = None
        self._watch: Watch
        self._reports: Reports
        self._endings: Endings
        self._definitions: Sequence[Any] = ()
        self._work: Work

    @property
    def free(self) -> int:
        return self.slots - self.running

    @property
    def running(self) -> int:
        going = [] if self._line is None else self._line.going
        return sum(one.what == "try" or one.settles is not None for one in going)

    def open(self, work: Work) -> None:
        """Raises: DefinitionError for jobs and inputs that cannot travel, Unavailable, Refused."""
        self._work = work
        self._tasks.require_fit()
        self._definitions = [
            None if isinstance(one, StepNode) else described(one) for one in work.definitions
        ]
        grants.require_portable(work)
        self._tasks.require_queues(work.definitions)
        lost_after_s = self._lease_s + LOST_S
        line = self._line = RunLine(self._tasks, run_queue(work.run or uuid4().hex))
        self._watch = Watch(self._tasks, line, work.rules, self._nobody_s, lost_after_s)
        self._reports = Reports(work, line)
        self._endings = Endings(line, self._reports, self._ask_again)
        line.open()
        # Their workers ask whether they are to go on, and are told that they are not.
        line.await_left({one for one in work.abandoned if one.startswith(ATTEMPT)}, lost_after_s)

    def close(self) -> None:
        if self._line is None:
            return
        try:
            self._line.close(CLOSE_S)
        finally:
            self._line = None
            self._stopped = False

    # What the runner asks for

    def start(self, key: int, number: int) -> Outcome | None:
        phase = Phase.CHECK if self._work.rules[key].has_check else Phase.RUN
        return self._begin("try", key, number, phase)

    def ask(self, key: int) -> Outcome:
        return self._at_once("check", key, 1, Phase.CHECK)

    def cleanup(self, key: int, number: int, job: Any, storage: Changes | None) -> Failure | None:
        return self._at_once("cleanup", key, number, Phase.CLEANUP, storage).failure

    def wait(self, timeout_s: float | None) -> Iterable[Ended | Late]:
        until = None if timeout_s is None else time.monotonic() + timeout_s
        woken = False
        endings = self._endings
        while not endings.tries and not woken:
            left_s = TURN_S if until is None else min(TURN_S, max(0.0, until - time.monotonic()))
            woken = self._turn(left_s)
            if until is not None and time.monotonic() >= until:
                break
        # Kept until here, so that what an interrupted wait has heard is not lost.
        ended, endings.tries = endings.tries, []
        return ended

    def hear_out(self) -> Iterable[Late]:
        return ()

    def stop(self) -> None:
        self._stopped = True
        line = self._line
        if line is not None:
            for one in line.going:
                if one.what == "try":
                    self._ask_to_end(one, line)

    def wake(self) -> None:
        line = self._line
        if line is not None:
            line.news.put(("woken",))

    def _ask_to_end(self, attempt: Attempt, line: RunLine) -> None:
        if attempt.key not in self._work.closings and attempt.withdraw():
            line.news.put(("withdrawn", attempt))
            return
        attempt.stop = True
        line.tell(attempt)

    def _at_once(
        self, what: str, key: int, number: int, phase: Phase, storage: Changes | None = None
    ) -> Outcome:
        """Have one phase carried out, and wait for its end."""
        outcome = self._begin(what, key, number, phase, storage)
        if outcome is not None:
            return outcome
        line = self._open_line()
        attempt = line.going[-1]
        try:
            while attempt.id not in self._endings.waited_for:
                self._turn(TURN_S)
        except BaseException:
            if line.is_going(attempt.id):
                line.give_up(attempt)
            raise
        over = self._endings.waited_for.pop(attempt.id)
        if isinstance(over, HeadwayError):
            raise over
        return over

    def _begin(
        self,
        what: str,
        key: int,
        number: int,
        phase: Phase,
        storage: Changes | None = None,
        settles: Outcome | None = None,
    ) -> Outcome | None:
        """Send it. Its outcome, if it cannot be sent."""
        failure = grants.why_not(self._work)
        if failure is not None:
            return Outcome(Ending.FAILED, failure=failure, final=True, phase=phase)
        definition = self._work.definitions[key]
        granted = grants.grant(self._work, self._definitions[key], what, key, number, storage)
        attempt = Attempt(
            ATTEMPT + uuid4().hex,
            what,
            key,
            number,
            str(getattr(definition, "name", "") or definition.__name__),
            queue_of(definition),
            {**granted, "grace_s": self._grace_s, "lease_s": self._lease_s},
            phase,
            settles=settles,
        )
        self._open_line().add(attempt)
        return None

    def _open_line(self) -> RunLine:
        assert self._line is not None, "open comes first"
        return self._line

    def _ask_again(self, attempt: Attempt, lost: Outcome) -> bool:
        """The Check of a try whose worker was lost; whether it is asked."""
        if self._stopped:
            return False
        key, number = attempt.key, attempt.number
        unsent = self._begin("check", key, number, Phase.CHECK, lost.storage, settles=lost)
        return unsent is None

    # What comes of it

    def _turn(self, timeout_s: float) -> bool:
        """Take what has come, waiting for the first; whether somebody called ``wake``."""
        news = self._open_line().news
        woken = False
        try:
            woken = self._take(*news.get(timeout=timeout_s))
            while True:
                woken = self._take(*news.get_nowait()) or woken
        except queue.Empty:
            pass
        for one in self._watch.found():
            self._give_up_on(one)
        return woken

    def _take(self, kind: str, about: Any = None, told: Any = None) -> bool:
        is_going = self._open_line().is_going
        match kind:
            case "frame":
                self._take_frame(about, told)
            case "lost":
                self._take_lost(about)
            case "withdrawn" if is_going(about.id):
                self._endings.withdrawn(about)
            case "unsent" if is_going(about.id):
                text = f"it could not be sent to Celery: {told}"
                self._endings.not_begun(Absent(about, type(told).__name__, text))
            case "looked":
                for one in self._watch.looked(about):
                    self._give_up_on(one)
            case _:
                pass  # "woken", "left", and what is over by now
        return kind == "woken"

    def _take_frame(self, attempt: Attempt, heard: Said) -> None:
        line = self._open_line()
        if not line.is_going(attempt.id):
            if heard.kind == "ended":
                self._endings.ended_late(attempt)
            return
        try:
            match heard.kind:
                case "ended":
                    self._endings.ended(attempt, outcome_from_json(heard.value))
                case "refused":
                    self._endings.refused(attempt, heard.value)
                case "interrupted":
                    raise KeyboardInterrupt
                case _:
                    self._reports.take(attempt, heard)
        except BaseException:
            if line.is_going(attempt.id):
                line.give_up(attempt)
            raise

    def _take_lost(self, id: str) -> None:
        attempt = self._open_line().find(id)
        if attempt is not None:
            how = f"the process of its Celery worker {attempt.worker} was ended"
            self._endings.lost(attempt, self._work.rules[attempt.key], how.replace("  ", " "))

    def _give_up_on(self, absent: Absent) -> None:
        if absent.type == "WorkerLost":
            rules = self._work.rules[absent.attempt.key]
            self._endings.lost(absent.attempt, rules, absent.text)
        else:
            self._endings.not_begun(absent)
