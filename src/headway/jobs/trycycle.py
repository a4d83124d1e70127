"""The try cycle: check -> (passed) | run -> recheck -> (repaired | failed).

    phase     passed      failed
    check     PASSED      run, or recheck where there is no Run
    run       recheck     recheck (the failure of Run decides nothing)
    recheck   REPAIRED    FAILED
    run, of a run-only job:
              REPAIRED    FAILED

A try is carried out whole, in one place: here, in a thread or in another process. What it must
tell before it goes on (that Run is about to start) goes through ``Watcher``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from headway.jobs.job import Job, Rules
from headway.jobs.outcomes import PASSED, Ending, Failure, Outcome, Phase
from headway.jobs.shared import Changes, SharedStorage, portable

NEXT: Mapping[tuple[Phase, bool], Phase | Ending] = {
    (Phase.CHECK, True): Ending.PASSED,
    (Phase.CHECK, False): Phase.RUN,
    (Phase.RUN, True): Phase.RECHECK,
    (Phase.RUN, False): Phase.RECHECK,
    (Phase.RECHECK, True): Ending.REPAIRED,
    (Phase.RECHECK, False): Ending.FAILED,
}
NEXT_WITHOUT_RUN = {**NEXT, (Phase.CHECK, False): Phase.RECHECK}
NEXT_RUNONLY: Mapping[tuple[Phase, bool], Phase | Ending] = {
    (Phase.RUN, True): Ending.REPAIRED,
    (Phase.RUN, False): Ending.FAILED,
}

NO_CHECK = Failure("NoCheck", "")  # what stands in for the failed Check of a run-only job


class Watcher(Protocol):
    """Who is told of a try as it goes."""

    watches_phases: bool  # whether ``phase_ended`` wants to be called

    def entering(self, job: Job, phase: Phase) -> None:
        """A phase is about to be entered (not told of a first Check)."""

    def intends(self, job: Job, outcome: Outcome) -> None:
        """Run is about to start: returns once that is safely written. ``outcome``: so far."""

    def phase_ended(self, job: Job, phase: Phase, failure: Failure | None) -> None: ...


def carry_out(
    job: Job,
    rules: Rules,
    shared: SharedStorage,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    watcher: Watcher,
    explain: Callable[[Job, BaseException], Failure],
    act: bool = True,
) -> Outcome:
    """Carry out one try. With ``act=False`` only the Check is asked; Run is not reached.

    ``explain`` turns an exception into a Failure. KeyboardInterrupt is let through; anything
    else that a phase raises is the phase's failure.
    """
    if rules.has_check:
        try:
            result = job.Check(*args, **kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            failure: Failure | None = explain(job, error)
        else:
            if watcher.watches_phases:
                watcher.phase_ended(job, Phase.CHECK, None)
            # Reading a private slot of our own class: a call for each passing job costs more
            # than all the rest of this function.
            if result is None and not shared._touched:
                return PASSED
            return Outcome(Ending.PASSED, result, shared=shared.changes())
        if watcher.watches_phases:
            watcher.phase_ended(job, Phase.CHECK, failure)
        following = NEXT if rules.has_run else NEXT_WITHOUT_RUN
        phase = following[Phase.CHECK, False]
    else:
        failure, following, phase = NO_CHECK, NEXT_RUNONLY, Phase.RUN
        if watcher.watches_phases:
            watcher.phase_ended(job, Phase.CHECK, NO_CHECK)
    if not act:
        # Nothing was done that another try could find done.
        return Outcome(Ending.FAILED, failure=failure, final=True, shared=shared.changes())
    return _beyond_check(
        job, rules, shared, args, kwargs, watcher, explain, following, phase, failure
    )


def _beyond_check(
    job: Job,
    rules: Rules,
    shared: SharedStorage,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    watcher: Watcher,
    explain: Callable[[Job, BaseException], Failure],
    following: Mapping[tuple[Phase, bool], Phase | Ending],
    step: Phase | Ending,
    failure: Failure | None,
) -> Outcome:
    executed = False
    result: Any = None
    phase = Phase.CHECK
    while isinstance(step, Phase):
        phase = step
        if phase is Phase.RUN:
            executed = True
            watcher.intends(
                job,
                Outcome(
                    Ending.IN_DOUBT,
                    failure=failure,
                    phase=phase,
                    executed=True,
                    shared=shared.changes(goes_on=True),
                    storage=storage_of(job),
                ),
            )
        watcher.entering(job, phase)
        try:
            if phase is Phase.RUN:
                result = job.Run(*args, **kwargs)
            else:
                job._check_phase = "recheck"
                result = job.Check(*args, **kwargs)
            failure = None
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            failure = explain(job, error)
        if watcher.watches_phases:
            watcher.phase_ended(job, phase, failure)
            if following is NEXT_RUNONLY:
                watcher.phase_ended(job, Phase.RECHECK, failure)
        if phase is Phase.RUN and failure is not None and following is not NEXT_RUNONLY:
            _tell_of(job, failure)
        step = following[phase, failure is None]
    return Outcome(
        step,
        result if failure is None else None,
        failure,
        phase,
        executed,
        final=failure is not None and not _worth_retrying(job, failure),
        shared=shared.changes(),
        storage=storage_of(job) if executed and rules.has_cleanup else None,
        job=job if executed and rules.has_cleanup else None,
    )


def _tell_of(job: Job, failure: Failure) -> None:
    """The failure of Run decides nothing, but often it is why the Recheck fails."""
    if job._tools is not None:
        text = failure.message.strip()
        job.output.error("Run raised %s%s", failure.type, f": {text}" if text else "")


def cut_off(
    failure: Failure,
    phase: Phase,
    rules: Rules,
    intended: Outcome | None,
    *,
    executed: bool,
    is_lost: bool = True,
) -> Outcome:
    """The outcome of a try that ended elsewhere without telling one.

    ``intended``: the outcome so far that was written when its Run was about to start.
    ``is_lost``: nobody knows how far it came; False for one that was ended on purpose.
    """
    ending, final = Ending.FAILED, False
    if is_lost and executed and not rules.has_check:
        ending = Ending.IN_DOUBT if rules.on_lost == "ask" else Ending.FAILED
        final = rules.on_lost != "rerun"
    keep = intended if executed and rules.has_cleanup else None
    return Outcome(
        ending,
        failure=failure,
        phase=phase,
        executed=executed,
        final=final,
        storage=keep and keep.storage,
    )


def storage_of(job: Job) -> Changes | None:
    """The job's own storage, whole, as values; None when the job never asked for it."""
    storage = job.__dict__.get("storage")
    # A copy: the code of a try that is overdue may still be filling it.
    return None if storage is None else portable(dict(storage))


def _worth_retrying(job: Job, failure: Failure) -> bool:
    return job.RETRY_ON is None or isinstance(failure.exception, job.RETRY_ON)
