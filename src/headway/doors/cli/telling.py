"""What is said of an event, in one line: the same words on a terminal, in a file and in a log."""

from headway.doors.cli.words import coloured, number, printable, symbol
from headway.jobs.events import (
    CleanupEnded,
    Event,
    GateAnswered,
    GateReached,
    JobStood,
    Live,
    OutputWritten,
    PhaseNoticeIntended,
    RunCancelled,
    RunIntended,
    RunPaused,
    RunUnpaused,
    Settled,
)
from headway.jobs.gates import DONE
from headway.jobs.outcomes import Ending, Failure
from headway.jobs.progress import Progress, Try
from headway.jobs.states import JobState, shown_as


def line_of(event: Event | Live, progress: Progress, *, verbose: bool = False) -> str | None:
    """The line for an event that has been applied to ``progress``; None for none.

    Jobs that passed at once are told only when ``verbose``; so is output.
    """
    names = progress.plan.names
    match event:
        case JobStood(_, key, _, state, again_in_s):
            if state is JobState.PASSED and not verbose:
                return None
            return stood_line(names[key], state, progress.last_try(key), progress, key, again_in_s)
        case RunIntended(_, key, _, failure) if failure is not None and failure.looks_broken:
            said = f"{printable(names[key])}: its Check looks broken: {failure_line(failure)}"
            return coloured(f"! {said}", JobState.WAITING)
        case CleanupEnded(_, key, _, failure) if failure is not None:
            said = f"Cleanup of {printable(names[key])} failed: {failure_line(failure)}"
            return coloured(f"{symbol(JobState.FAILED)} {said}", JobState.FAILED)
        case RunCancelled(_, who, why):
            reason = f": {printable(why)}" if why else ""
            return f"cancelled by {printable(who)}{reason}; what runs is asked to end"
        case RunPaused(_, who, why):
            reason = f": {printable(why)}" if why else ""
            return f"paused by {printable(who)}{reason}; nothing new starts (headway resume)"
        case RunUnpaused(_, who):
            return f"told to go on by {printable(who)}"
        case Settled(_, key, how, who):
            return f"{printable(names[key])} is settled as {how} by {printable(who)}"
        case GateReached(_, key, _, message):
            asks = f": {printable(message)}" if message else ""
            sign = coloured(symbol(JobState.WAITING), JobState.WAITING)
            return f"{sign} {printable(names[key])} waits for an answer (headway approve){asks}"
        case GateAnswered(_, key, _, decision, who, why):
            reason = f": {printable(why)}" if why else ""
            return f"{printable(names[key])} is {DONE[decision]} by {printable(who)}{reason}"
        case PhaseNoticeIntended(_, _, topic, targets, text):
            return (
                f"notice to {printable(', '.join(targets))} ({printable(topic)}): {printable(text)}"
            )
        case OutputWritten(_, key, _, _, text) if verbose:
            return f"{printable(names[key])} | {printable(text.expandtabs())}"
        case _:
            return None


def stood_line(
    name: str,
    state: JobState,
    last: Try | None,
    progress: Progress,
    key: int,
    again_in_s: float = 0.0,
) -> str:
    """How a try left a job."""
    told = shown_as(state, has_check=progress.plan.rules[key].has_check)
    sign = coloured(symbol(told), told)
    shown = printable(name)
    why = f": {failure_line(last.failure)}" if last is not None and last.failure else ""
    tries = progress.tries_in_lap(key)
    if state is JobState.WAITING:
        allowed = progress.plan.rules[key].tries
        return f"{sign} {shown} failed try {tries} of {allowed}, again in {again_in_s:.3g} s{why}"
    if state is JobState.FAILED and tries > 1:
        return f"{sign} {shown} {coloured('failed', state)} after {number(tries, 'try')}{why}"
    after = f" on try {tries}" if state is JobState.REPAIRED and tries > 1 else ""
    return f"{sign} {shown} {coloured(told, told)}{after}{why}"


def ended_as(one: Try, *, has_check: bool) -> str:
    """How a try ended, in a word."""
    if one.ending is None:
        return f"cut off in its {one.phase}"
    if one.ending is Ending.REPAIRED:
        return shown_as(JobState.REPAIRED, has_check=has_check)
    return one.ending


def failure_line(failure: Failure) -> str:
    """Why something failed, in one line."""
    said = printable(failure.line())
    if failure.looks_broken:
        return f"{failure.type}: {said} (looks broken: a slip in the job's own code)"
    return said if failure.message.strip() else failure.type
