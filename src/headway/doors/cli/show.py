"""headway show RUN"""

from collections.abc import Sequence
from typing import Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.documents import job_document, run_document
from headway.doors.cli.listing import Seen, key_of, seen
from headway.doors.cli.stores import opened
from headway.doors.cli.telling import ended_as, failure_line
from headway.doors.cli.words import (
    as_json,
    coloured,
    faint,
    listed,
    moment,
    number,
    padded,
    printable,
    symbol,
    tally,
    took,
    width,
)
from headway.jobs.states import JobState, shown_as
from headway.ports.store import short_id

MOST_SHOWN = 100  # jobs; beyond, those that are done are only counted


@click.command(short_help="Show how a run stands, job by job.")
@options.run
@click.option("--job", "-J", metavar="JOB", help="Only this job, with all its tries.")
@click.option("--verbose", "-v", is_flag=True, help="List every job, however many.")
@options.reading_json
def command(run: str | None, job: str | None, verbose: bool, **arguments: Any) -> int:
    """Show how RUN (the last one, if left out) stands, job by job."""
    with opened(arguments) as store:
        found = seen(store, run)
    keys = range(len(found.progress.plan))
    if job is not None:
        keys = range(key := key_of(found.progress.plan, job), key + 1)
    if arguments["as_json"]:
        _print_json(found, keys, history=job is not None)
    elif job is not None:
        for line in job_lines(found, keys[0]):
            click.echo(line)
    else:
        for line in [*header_lines(found), "", *_job_table(found, verbose)]:
            click.echo(line)
    return exits.DONE


def _print_json(found: Seen, keys: range, *, history: bool) -> None:
    states = found.states
    document = run_document(found.record, found.state, paused=found.progress.paused)
    document["counts"] = found.progress.counts(living=found.living)
    document["jobs"] = [
        job_document(found.progress, key, states[key], history=history) for key in keys
    ]
    click.echo(as_json(document))


def header_lines(found: Seen) -> list[str]:
    record, launch = found.record, found.record.launch
    root = "" if launch.target.endswith(f":{launch.root}") else f" ({printable(launch.root)})"
    lines = [
        f"run {short_id(record.id)}  {printable(launch.target)}{root}"
        f"  {coloured(found.state, found.state)}{', paused' if found.progress.paused else ''}"
    ]
    duration = took(record.began_us, record.ended_us or 0)
    lines.append(
        f"  began {moment(record.began_us)} by {printable(launch.who)}"
        f" in {printable(launch.directory)}" + (f", took {duration}" if duration else "")
    )
    if launch.inputs:
        inputs = ", ".join(f"{name}={value!r}" for name, value in launch.inputs.items())
        lines.append(f"  inputs: {printable(inputs)}")
    for change in found.progress.changes[1:]:
        who = f" by {printable(change.who)}" if change.who else ""
        why = f": {printable(change.why)}" if change.why else ""
        lines.append(f"  {change.what} {moment(change.at_us)}{who}{why}")
    if found.living:
        lines.append(f"  worked on by {found.record.owner}")
    lines += [f"  {line}" for line in found.waits]
    lines.append(f"  {tally(found.progress.counts_shown(living=found.living))}")
    return lines


def _job_table(found: Seen, verbose: bool) -> list[str]:
    plan, states = found.progress.plan, found.states
    brief = len(plan) > MOST_SHOWN and not verbose
    quiet = (JobState.PASSED, JobState.REPAIRED, JobState.PENDING, JobState.BLOCKED)
    keys = [key for key in range(len(plan)) if not brief or states[key] not in quiet]
    columns = min(40, max((width(printable(plan.names[key])) for key in keys), default=0))
    blame = found.progress.blame(3)
    lines = [_job_line(found, key, states[key], columns, blame.get(key, ())) for key in keys]
    if len(keys) < len(plan):
        lines.append(faint(f"and {number(len(plan) - len(keys), 'job')} more: -v lists them all"))
    return lines


def _job_line(found: Seen, key: int, state: JobState, columns: int, blame: Sequence[int]) -> str:
    progress = found.progress
    name = padded(printable(progress.plan.names[key]), columns)
    last = progress.last_try(key)
    tries = len(progress.tries.get(key, ()))
    shown = shown_as(state, has_check=progress.plan.rules[key].has_check)
    told = [coloured(f"{shown:<9}", shown)]
    told.append(f"{number(tries, 'try') if tries > 1 else '':<8}")
    told.append(f"{took(last.began_us, last.ended_us) if last else '':>7}")
    told.append(_note(found, key, state, blame))
    return f"{coloured(symbol(shown), shown)} {name}  {'  '.join(told)}".rstrip()


def _note(found: Seen, key: int, state: JobState, blame: Sequence[int]) -> str:
    """Why it stands so, in a few words."""
    progress, names = found.progress, found.progress.plan.names
    awaited = progress.awaited(key)
    if awaited is not None:
        since = f"since {moment(awaited.at_us)[11:]}: headway approve {short_id(found.record.id)}"
        return f"waits for an answer {since}"
    going = progress.going.get(key)
    if going is not None and found.living:
        return f"in its {going.phase} since {moment(going.since_us)[11:]}"
    if going is not None:
        return f"cut off in its {going.phase}"
    match state:
        case JobState.BLOCKED:
            shown = [printable(names[other]) for other in blame[:2]]
            return (
                f"by {', '.join(shown)} and others"
                if len(blame) > 2
                else (f"by {' and '.join(shown)}")
            )
        case JobState.PENDING if progress.waits_for(key):
            return f"waits for {listed([names[o] for o in progress.waits_for(key)], 2)}"
        case JobState.FAILED | JobState.WAITING | JobState.OVERDUE | JobState.IN_DOUBT:
            failure = progress.failure(key)
            return failure_line(failure) if failure is not None else ""
        case _:
            last = progress.last_try(key)
            if last is not None and last.ending is None:
                return f"cut off in its {last.phase}"
            return ""


def job_lines(found: Seen, key: int) -> list[str]:
    """One job with all its tries."""
    progress, state = found.progress, found.shown[key]
    name = printable(progress.plan.names[key])
    needs = [progress.plan.names[need] for need in progress.plan.needs[key]]
    lines = [f"{coloured(symbol(state), state)} {name}  {coloured(state, state)}"]
    if needs:
        lines.append(f"  needs {listed(needs, 10)}")
    if progress.awaited(key) is not None:
        lines.append(f"  {_note(found, key, found.states[key], ())}")
    for one in progress.tries.get(key, ()):
        word = ended_as(one, has_check=progress.plan.rules[key].has_check)
        ending = coloured(word, word) if one.ending else word
        when = moment(one.began_us or one.ended_us)
        length = took(one.began_us, one.ended_us)
        lines.append(f"  try {one.number}  {when}  {length:>7}  {ending}".rstrip())
        if one.reason is not None and one.reason.message:
            lines.append(f"    Check said: {failure_line(one.reason)}")
        if one.failure is not None:
            lines.append(f"    {one.phase} failed: {failure_line(one.failure)}")
            if one.failure.trace:
                lines += [f"      {printable(line)}" for line in one.failure.trace.splitlines()]
    return lines
