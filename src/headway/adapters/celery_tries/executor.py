"""Carries out tries by Celery workers, each as one Celery task on the queue that its job names."""

import logging
import queue
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

from headway.adapters.celery_tries import looking, machine
from headway.adapters.celery_tries.attempts import Attempt
from headway.adapters.celery_tries.definitions import described
from headway.adapters.celery_tries.line import Line, Publication
from headway.adapters.celery_tries.messages import (
    ATTEMPT,
    LEASE_S,
    LOST_S,
    TASK,
    Said,
    holder_queue,
    run_queue,
    said,
)
from headway.adapters.child import HARD_GRACE_S
from headway.errors import DefinitionError, HeadwayError, Unavailable
from headway.jobs.outcomes import (
    Ending,
    Failure,
    Outcome,
    Phase,
    changes_to_plain,
    failure_from_plain,
    outcome_from_json,
)
from headway.jobs.shared import Changes, encode, portable
from headway.ports.executor import Ended, Late, Work
from headway.releases.steps import StepNode

NOBODY_S = 60.0  # how long a queue may have no consumer; of a job with a TIMEOUT, that
LONGEST_WAIT_S = 3_600.0  # how long a task may wait for Celery workers that are busy
LOOK_AFTER_S = 5.0  # who consumes a queue is asked when a task has waited so long, and so often
AGAIN_S = 30.0  # a task that nobody took is sent again after that, then after twice that, and so on
CLOSE_S = 10.0  # how long what is given up may take to end
_TURN_S = 0.5  # how often who is lost is looked for
_LOST = "its Celery worker {worker} was not heard of for {s:g} s"
_KILLED = "the process of its Celery worker {worker} was ended"
_STOPPED = Failure("Rejected", "the run was stopped before a Celery worker took it")

logger = logging.getLogger(__name__)


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
        self._app = app
        self._name = name or str(app.main or "proj")
        self._grace_s = grace_s
        self._nobody_s = nobody_s
        self._lease_s = lease_s
        self._lost_after_s = lease_s + LOST_S
        self._attempts: dict[str, Attempt] = {}  # those not over; the hearing thread looks here
        self._gone: dict[str, Attempt] = {}  # over here before they were over there
        self._left: set[str] = set()  # attempts of which nothing is left
        self._done: set[str] = set()  # holders that told the end
        self._news: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._ended: list[Ended | Late] = []
        # Of Checks and Cleanups that are waited for: how they ended, or why nobody asked them.
        self._over: dict[str, Outcome | HeadwayError] = {}
        self._stopped = False
        self._looking = False
        self._looked_at = 0.0
        self._line: Line | None = None
        self._definitions: Sequence[Any] = ()
        self._work: Work

    @property
    def free(self) -> int:
        return self.slots - self.running

    @property
    def running(self) -> int:
        return sum(one.what == "try" or one.settles is not None for one in self._all())

    def _all(self) -> list[Attempt]:
        return list(self._attempts.values())

    # Opening and closing

    def open(self, work: Work) -> None:
        """Raises: DefinitionError for jobs and inputs that cannot travel, Unavailable, Refused."""
        self._work = work
        self._require_broker()
        self._definitions = [
            None if isinstance(one, StepNode) else described(one) for one in work.definitions
        ]
        _require_portable(work)
        self._require_queues()
        self._news = queue.SimpleQueue()
        self._replies = run_queue(work.run or uuid4().hex)
        self._line = Line(
            self._app, self._replies, self._heard, lasts=True, reconnected=self._send_again
        )
        self._line.open()
        # Their workers ask whether they are to go on, and are told that they are not.
        abandoned = {one for one in work.abandoned if one.startswith(ATTEMPT)}
        self._await_left(abandoned, self._lost_after_s)

    def close(self) -> None:
        line = self._line
        if line is None:
            return
        waiting = [one.id for one in self._all() if one.withdraw()]
        going = {one.id for one in self._all() if one.holder}
        for one in self._all():
            self._give_up(one)
        try:
            self._await_left(going, CLOSE_S)
        finally:
            self._line = None
            line.close()
            self._revoke(waiting)
            self._attempts.clear()
            self._gone.clear()
            self._left.clear()
            self._over.clear()
            self._done.clear()
            self._ended.clear()
            self._stopped = False

    def _await_left(self, attempts: set[str], longest_s: float) -> None:
        """Wait until nothing of them is left, as far as anybody is there who could say so."""
        give_up_at = time.monotonic() + longest_s
        while (left_s := give_up_at - time.monotonic()) > 0 and not attempts <= self._left:
            try:
                self._news.get(timeout=min(left_s, _TURN_S))
            except queue.Empty:
                pass

    def _revoke(self, attempts: Sequence[str]) -> None:
        """Nobody is to begin with them; who does finds out, but only after a while."""
        if attempts:
            try:
                self._app.control.revoke(list(attempts))
            except Exception as error:
                logger.info("the tasks that nobody took are left in their queues: %s", error)

    def _require_broker(self) -> None:
        if self._app.connection_for_write().transport_cls == "sqs":
            raise DefinitionError(
                f"the Celery app {self._name} is on SQS, which has no queues that come and go with"
                " a run: run jobs on an app whose broker is RabbitMQ or Redis"
            )

    def _require_queues(self) -> None:
        for name in dict.fromkeys(map(_queue_of, self._work.definitions)):
            try:
                self._route(name)
            except Exception as error:
                raise DefinitionError(
                    f"the Celery app {self._name} has no queue {name!r} to send tries to"
                    f" ({type(error).__name__}: {error}): add it to the queues of its"
                    " configuration, or change QUEUE"
                ) from error

    def _route(self, name: str | None) -> Any:
        return self._app.amqp.router.route({"queue": name} if name else {}, TASK)

    def _consumed(self, attempt: Attempt) -> str:
        """The name of the queue that its task is in."""
        found = self._route(attempt.queue).get("queue")
        return str(getattr(found, "name", found) or self._app.conf.task_default_queue)

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
        while not self._ended and not woken:
            left_s = _TURN_S if until is None else min(_TURN_S, max(0.0, until - time.monotonic()))
            woken = self._turn(left_s)
            if until is not None and time.monotonic() >= until:
                break
        # Kept until here, so that what an interrupted wait has heard is not lost.
        ended, self._ended = self._ended, []
        return ended

    def hear_out(self) -> Iterable[Late]:
        return ()

    def stop(self) -> None:
        self._stopped = True
        for one in self._all():
            if one.what == "try":
                self._ask_to_end(one)

    def wake(self) -> None:
        self._news.put(("woken",))

    def _ask_to_end(self, attempt: Attempt) -> None:
        if attempt.key not in self._work.closings and attempt.withdraw():
            self._news.put(("withdrawn", attempt))
            return
        attempt.stop = True
        self._tell(attempt)

    def _at_once(
        self, what: str, key: int, number: int, phase: Phase, storage: Changes | None = None
    ) -> Outcome:
        """Have one phase carried out, and wait for its end."""
        outcome = self._begin(what, key, number, phase, storage)
        if outcome is not None:
            return outcome
        id = next(reversed(self._attempts))
        try:
            while id not in self._over:
                self._turn(_TURN_S)
        except BaseException:
            if id in self._attempts:
                self._give_up(self._attempts[id])
            raise
        over = self._over.pop(id)
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
        work = self._work
        shared = portable(dict(work.shared.alone()))
        if shared.opaque:
            name, kind = next(iter(shared.opaque.items()))
            text = f"global_storage[{name!r}] holds a {kind}, which JSON cannot carry to Celery"
            failure = Failure("DefinitionError", f"{text} workers: use --on threads")
            return Outcome(Ending.FAILED, failure=failure, final=True, phase=phase)
        payload = {
            "what": what,
            "job": self._definitions[key],
            "key": key,
            "number": number,
            "run": work.run,
            "rules": work.rules[key]._asdict(),
            "args": list(work.args),
            "kwargs": dict(work.kwargs),
            "shared": shared.set,
            "storage": storage and changes_to_plain(storage),
            "act": work.act,
            "diffs": work.diffs,
            "trace": work.trace,
            "grace_s": self._grace_s,
            "lease_s": self._lease_s,
            "machine": machine.this(),
        }
        definition = work.definitions[key]
        attempt = Attempt(
            ATTEMPT + uuid4().hex,
            what,
            key,
            number,
            str(getattr(definition, "name", "") or definition.__name__),
            _queue_of(definition),
            payload,
            phase,
            settles=settles,
        )
        self._attempts[attempt.id] = attempt
        self._send(attempt)
        return None

    # Sending, by the line's thread

    def _send(self, attempt: Attempt) -> None:
        self._open_line().due(attempt.id, lambda producer: self._sent(attempt, producer))

    def _sent(self, attempt: Attempt, producer: Any) -> Iterable[Publication]:
        if attempt.over or attempt.holder:
            return ()
        attempt.again_s = 2 * attempt.again_s or AGAIN_S
        attempt.again_at = time.monotonic() + attempt.again_s
        where = {} if attempt.queue is None else {"queue": attempt.queue}
        try:
            self._app.send_task(
                TASK,
                kwargs={"attempt": attempt.id, "replies": self._replies, "job": attempt.name},
                task_id=attempt.id,
                producer=producer,
                serializer="json",
                ignore_result=True,
                result_cls=_NoResult,
                expires=LONGEST_WAIT_S,
                retry=False,
                **where,
            )
        except Exception as error:
            connection = producer.connection
            if isinstance(error, (*connection.connection_errors, *connection.channel_errors)):
                raise
            self._news.put(("refused", attempt, error))
        return ()

    def _send_again(self) -> None:
        """A broker that was restarted may have lost what it had: what nobody has yet is sent anew.

        Who gets a message twice finds the attempt granted, or over.
        """
        for one in self._all():
            if not one.holder:
                self._send(one)

    def _tell(self, attempt: Attempt, holder: str = "") -> None:
        holder = holder or attempt.holder
        if holder:
            self._open_line().due(
                holder,
                lambda producer: [Publication(holder_queue(holder), attempt.stands(holder).text())],
            )

    def _open_line(self) -> Line:
        assert self._line is not None, "open comes first"
        return self._line

    # Hearing, by the line's other thread

    def _heard(self, body: str | bytes) -> None:
        heard = said(body)
        if heard is None:
            return
        if heard.kind == "beat" and heard.holder in self._done:
            return  # it was said before it knew that we had heard the end; its queue is gone by now
        attempt = self._attempts.get(heard.attempt) or self._gone.get(heard.attempt)
        if heard.kind == "left":
            self._left.add(heard.attempt)
            self._done.add(heard.holder)
            self._news.put(("left",))
        elif heard.kind == "lost":
            self._news.put(("lost", heard.attempt))
        elif attempt is None:  # of an earlier owner of this run, or delivered once more
            unknown = Attempt(heard.attempt, "", 0, 0, "", None, {}, Phase.CHECK, over=True)
            self._tell(unknown, heard.holder)
        else:
            if attempt.hear(heard):
                if heard.kind in ("ended", "refused", "interrupted"):
                    self._done.add(heard.holder)
                self._tell(attempt, heard.holder)  # first: the news may be all that is waited for
                self._news.put(("frame", attempt, heard))
                return
            self._tell(attempt, heard.holder)

    # The runner's thread

    def _turn(self, timeout_s: float) -> bool:
        """Take what has come, waiting for the first; whether somebody called ``wake``."""
        woken = False
        try:
            woken = self._take(self._news.get(timeout=timeout_s))
            while True:
                woken = self._take(self._news.get_nowait()) or woken
        except queue.Empty:
            pass
        self._look_at_all()
        return woken

    def _take(self, news: tuple[Any, ...]) -> bool:
        match news:
            case ("frame", attempt, heard):
                self._take_frame(attempt, heard)
            case ("lost", id) if id in self._attempts:
                self._lost(self._attempts[id], _KILLED)
            case ("withdrawn", attempt) if attempt.id in self._attempts:
                self._end(attempt, Outcome(Ending.FAILED, failure=_STOPPED, phase=attempt.phase))
            case ("refused", attempt, error) if attempt.id in self._attempts:
                text = f"it could not be sent to Celery: {error}"
                self._not_begun(attempt, type(error).__name__, text)
            case ("looked", workers):
                self._looking = False
                self._judge_waiting(workers)
            case _:
                pass  # "woken", "left", and what is over by now
        return bool(news[0] == "woken")

    def _take_frame(self, attempt: Attempt, heard: Said) -> None:
        work, key, number, value = self._work, attempt.key, attempt.number, heard.value
        if attempt.id not in self._attempts:
            if heard.kind == "ended" and attempt.what == "try":
                self._ended.append(Late(key, number, "ended after its worker was taken for lost"))
            return
        try:
            match heard.kind:
                case "wrote":
                    for stream, text in value:
                        work.wrote(key, number, stream, text)
                case "phase":
                    self._phase_ended(attempt, Phase(value[0]), value[1])
                case "intends":
                    self._intends(attempt, outcome_from_json(value))
                    self._written(attempt, heard.number)
                case "process":
                    work.started_process(key, number, value)
                    self._written(attempt, heard.number)
                case "over":
                    work.process_ended(key, number, value)
                case "interrupted":
                    self._give_up(attempt)
                    raise KeyboardInterrupt
                case "ended":
                    self._has_ended(attempt, outcome_from_json(value))
                case "refused":
                    self._refused(attempt, value)
                case _:
                    pass  # of a newer Headway
        except BaseException:
            if attempt.id in self._attempts:
                self._give_up(attempt)
            raise

    def _phase_ended(self, attempt: Attempt, phase: Phase, failure: Any) -> None:
        attempt.follow(phase)
        if self._work.watches_phases and attempt.what == "try":
            told = failure and failure_from_plain(failure)
            self._work.phase_ended(attempt.key, attempt.number, phase, told)

    def _intends(self, attempt: Attempt, outcome: Outcome) -> None:
        self._merge(outcome)
        self._work.intends(attempt.key, attempt.number, outcome, attempt.id)
        attempt.intended, attempt.executed, attempt.phase = outcome, True, Phase.RUN

    def _written(self, attempt: Attempt, number: int) -> None:
        attempt.written = number
        self._tell(attempt)

    def _merge(self, outcome: Outcome) -> None:
        if outcome.shared is not None:
            self._work.shared.apply(outcome.shared)

    def _has_ended(self, attempt: Attempt, outcome: Outcome) -> None:
        self._merge(outcome)
        if attempt.settles is not None:
            outcome = _settled(attempt.settles, outcome)
        self._end(attempt, outcome)

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        """It is over, and whoever has it is told so."""
        self._leave(attempt)
        if attempt.what == "try" or attempt.settles is not None:
            self._ended.append(Ended(attempt.key, attempt.number, outcome))
        else:
            self._over[attempt.id] = outcome

    def _not_begun(self, attempt: Attempt, type_: str, text: str) -> None:
        """No Celery worker ever had it."""
        if attempt.settles is not None:
            self._end(attempt, attempt.settles)
        elif attempt.what == "check":
            self._not_asked(attempt, Unavailable, text)
        else:
            failure = Failure(type_, text)
            self._end(attempt, Outcome(Ending.FAILED, failure=failure, phase=attempt.phase))

    def _refused(self, attempt: Attempt, text: str) -> None:
        """The job is not where its Celery worker is."""
        if attempt.what == "check" and attempt.settles is None:
            self._not_asked(attempt, DefinitionError, text)
        else:
            failure = Failure("DefinitionError", text)
            self._has_ended(attempt, Outcome(Ending.FAILED, failure=failure, final=True))

    def _not_asked(self, attempt: Attempt, error: type[HeadwayError], text: str) -> None:
        self._leave(attempt)
        self._over[attempt.id] = error(
            f"the Check of {attempt.name} could not be asked on Celery: {text}"
        )

    def _leave(self, attempt: Attempt) -> None:
        attempt.over = True
        self._attempts.pop(attempt.id, None)
        if attempt.holder not in self._done:
            self._tell(attempt)

    def _give_up(self, attempt: Attempt) -> None:
        """Nobody waits for it any more, and it may go on for a moment."""
        self._gone[attempt.id] = attempt
        self._leave(attempt)

    # Those that are not heard of

    def _look_at_all(self) -> None:
        now = time.monotonic()
        line = self._open_line()
        if line.connected_at is None:
            self._give_up_waiting(now, line)
            return
        waits = False
        for one in self._all():
            if one.holder:
                # What was said while we could not hear waits for us.
                if now - max(one.heard_at, line.connected_at) >= self._lost_after_s:
                    self._lost(one, _LOST)
            elif now - one.began_at >= min(LOOK_AFTER_S, self._bound_s(one)):
                waits = True
        if waits and not self._looking and now - self._looked_at >= LOOK_AFTER_S:
            self._looking, self._looked_at = True, now
            threading.Thread(target=self._look, name="headway-celery-look", daemon=True).start()

    def _lost(self, attempt: Attempt, how: str) -> None:
        rules = self._work.rules[attempt.key]
        said_how = how.format(worker=attempt.worker or "", s=self._lost_after_s).replace("  ", " ")
        self._gone[attempt.id] = attempt
        if attempt.settles is not None:
            self._end(attempt, attempt.settles)
            return
        outcome = attempt.lost(rules, said_how)
        asks = attempt.executed and rules.has_check and attempt.what == "try" and not self._stopped
        if not asks:
            self._end(attempt, outcome)
            return
        # Its Run may have done all: only its Check knows, and another worker can ask that.
        self._leave(attempt)
        unsent = self._begin(
            "check", attempt.key, attempt.number, Phase.CHECK, outcome.storage, settles=outcome
        )
        if unsent is not None:
            self._ended.append(Ended(attempt.key, attempt.number, outcome))

    def _look(self) -> None:
        try:
            found: looking.Workers | None = looking.look(self._app)
        except Exception as error:
            logger.info("the Celery workers could not be asked what they consume: %s", error)
            found = None
        self._news.put(("looked", found))

    def _bound_s(self, attempt: Attempt) -> float:
        timeout_s = self._work.rules[attempt.key].timeout_s
        return self._nobody_s if timeout_s is None else min(timeout_s, self._nobody_s)

    def _judge_waiting(self, workers: looking.Workers | None) -> None:
        now = time.monotonic()
        for one in self._all():
            waited_s = now - one.began_at
            if workers is None or one.holder or waited_s < min(LOOK_AFTER_S, self._bound_s(one)):
                continue
            name = self._consumed(one)
            why = workers.why_not(name, self._name)
            bound_s = self._bound_s(one) if why else LONGEST_WAIT_S
            if waited_s >= bound_s and one.withdraw():
                busy = f"the Celery workers that consume the queue {name!r} are busy"
                text = f"no Celery worker took it for {bound_s:g} s: {why or busy}"
                self._not_begun(one, "TimedOut", text)
            elif why is None and one.again_at and now >= one.again_at:
                # A worker that was killed just then may have acknowledged it, and no more.
                self._send(one)

    def _give_up_waiting(self, now: float, line: Line) -> None:
        for one in self._all():
            bound_s = self._bound_s(one)
            if now - max(one.began_at, line.away_since) >= bound_s and one.withdraw():
                text = f"the Celery app's broker was away for {bound_s:g} s: {line.failure}"
                self._not_begun(one, "Unavailable", text)


class _NoResult:
    """What the app is given in place of a result, which would connect to where results are."""

    ignored = True

    def __init__(self, id: str) -> None:
        self.id = id


def _settled(lost: Outcome, check: Outcome) -> Outcome:
    """How a try ends whose worker was lost: as its Check says."""
    if check.ending is not Ending.PASSED:
        return lost
    return lost._replace(
        ending=Ending.REPAIRED,
        result=check.result,
        failure=None,
        phase=Phase.RECHECK,
        shared=check.shared,
    )


def _queue_of(definition: Any) -> str | None:
    found = getattr(getattr(definition, "job", definition), "QUEUE", None)
    return None if found is None else str(found)


def _require_portable(work: Work) -> None:
    try:
        encode("the arguments", list(work.args))
        for name, value in work.kwargs.items():
            encode(name, value)
    except ValueError as error:
        raise DefinitionError(
            f"{error}: Celery workers are given only what JSON can carry"
        ) from error
