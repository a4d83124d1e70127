"""The last lines of a run: how it went, what to look at, what to type next."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headway.doors.cli.telling import failure_line
from headway.doors.cli.words import (
    coloured,
    duration,
    faint,
    listed,
    number,
    printable,
    quoted,
    tally,
)
from headway.jobs.progress import Progress
from headway.jobs.states import JobState, RunState, Verdict
from headway.ports.store import short_id

if TYPE_CHECKING:
    from headway.doors.cli.carrying import Report

MOST_FAILURES = 10  # told one by one

_SAID = {
    RunState.SUCCEEDED: "done",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "cancelled",
    RunState.INTERRUPTED: "interrupted",
    RunState.IN_DOUBT: "in doubt",
    RunState.RUNNING: "running",
    RunState.QUEUED: "queued",
}


def summary(report: "Report") -> list[str]:
    """How a run ended, and what to type next."""
    progress, state = report.progress, report.state
    short = short_id(report.run)
    counts = progress.counts_shown(living=False)
    jobs = len(progress.plan)
    all_done = f"all {jobs} jobs" if jobs > 1 else "the only job"
    told = all_done if set(counts) == {Verdict.DONE} else tally(counts)
    told += f" in {duration(report.took_s)}"
    if state is RunState.SUCCEEDED and not report.repairs:
        every = f"all {jobs} jobs are" if jobs > 1 else "the only job is"
        lines = [f"{coloured('nothing to do', state)}: {every} done ({duration(report.took_s)})"]
    else:
        lines = [f"{coloured(_SAID[state], _colour(state))}: {told}"]
    lines += _failures(progress)
    lines += _next(progress, state, short, core=report.core)
    return [*lines, recorded(report)]


def recorded(report: "Report") -> str:
    """Where the record of a run is."""
    return faint(f"run {short_id(report.run)} is recorded in {printable(report.place)}")


def _colour(state: RunState) -> str:
    return JobState.FAILED if state is RunState.FAILED else state


def _failures(progress: Progress) -> list[str]:
    """What failed, why, and what that blocks."""
    names = progress.plan.names
    states = progress.states(living=False)
    bad = (JobState.FAILED, JobState.OVERDUE, JobState.IN_DOUBT)
    failed = [key for key, state in enumerate(states) if state in bad]
    lines = []
    for key in failed[:MOST_FAILURES]:
        failure = progress.failure(key)
        why = f": {failure_line(failure)}" if failure is not None else ""
        tries = progress.tries_in_lap(key)
        after = f" after {number(tries, 'try')}" if tries > 1 else ""
        word = coloured(states[key], states[key])
        lines.append(f"  {printable(names[key])} {word}{after}{why}")
        blocked = progress.blocks(key)
        if blocked:
            lines.append(f"    blocks {listed(names[other] for other in blocked)}")
    if len(failed) > MOST_FAILURES:
        lines.append(f"  and {len(failed) - MOST_FAILURES} more: headway show lists them")
    for key, failure in progress.cleanups.items():
        if failure is not None:
            lines.append(f"  Cleanup of {printable(names[key])} failed: {failure_line(failure)}")
    return lines


def _next(progress: Progress, state: RunState, short: str, *, core: bool) -> list[str]:
    """What to type next."""
    match state:
        case RunState.FAILED:
            states = progress.states(living=False)
            first = next((k for k, s in enumerate(states) if s is JobState.FAILED), None)
            if first is None:
                return _typed((f"headway show {short}", "shows every job"))
            name = quoted(progress.plan.names[first])
            return _typed(
                (f"headway why {short} {name}", "says more"),
                (f"headway retry {short}", "tries again what failed"),
            )
        case RunState.INTERRUPTED if progress.awaits:
            return _typed(
                (f"headway approve {short}", "answers at the gate where it waits"),
                (f"headway resume {short}", "goes on"),
            )
        case RunState.INTERRUPTED | RunState.CANCELLED:
            return _typed((f"headway resume {short}", "goes on where it stopped"))
        case RunState.IN_DOUBT:
            return settle_lines(progress, short, core=core)
        case RunState.SUCCEEDED | RunState.RUNNING | RunState.QUEUED:
            return []


def settle_lines(progress: Progress, short: str, *, core: bool = False) -> list[str]:
    """The lines that answer for the jobs in doubt. ``core``: one goes on with the run then."""
    names = [quoted(progress.plan.names[key]) for key in progress.in_doubt()]
    pairs = [
        (f"headway settle {short} {name} --done", "if it was (or --again, or --failed)")
        for name in names
    ]
    return _typed(*pairs, *([] if core else [(f"headway resume {short}", "then goes on")]))


def _typed(*pairs: Sequence[str]) -> list[str]:
    columns = max(len(line) for line, _ in pairs)
    return [f"  {line:<{columns}}  {faint(says)}" for line, says in pairs]
