"""headway why RUN JOB"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.documents import job_document, line_document
from headway.doors.cli.listing import Seen, key_of, looked_at
from headway.doors.cli.stores import found_run, opened
from headway.doors.cli.telling import ended_as, failure_line
from headway.doors.cli.waiting import BEGIN_A_CORE
from headway.doors.cli.words import (
    as_json,
    coloured,
    duration,
    faint,
    listed,
    moment,
    number,
    printable,
    quoted,
    symbol,
    took,
)
from headway.jobs.gates import DONE
from headway.jobs.outcomes import Ending, Failure, Phase
from headway.jobs.states import JobState, RunState
from headway.ports.store import short_id

if TYPE_CHECKING:
    from headway.ports.store import Line, RunRecord, Store

MOST_LINES = 10  # of output
_TROUBLE = (JobState.FAILED, JobState.OVERDUE, JobState.IN_DOUBT, JobState.WAITING)


@click.command(short_help="Say why a job stands where it stands.")
@options.run
@click.argument("job", metavar="[JOB]", required=False)
@options.reading_json
def command(run: str | None, job: str | None, **arguments: Any) -> int:
    """Say in words why JOB of RUN stands where it stands.

    RUN may be left out: the last one is meant. Without JOB: every job that is in trouble.
    """
    with opened(arguments) as store:
        record, name = _meant(store, run, job)
        found = looked_at(store, record)
        plan, states = found.progress.plan, found.states
        if name is not None:
            keys = [key_of(plan, name)]
        else:
            awaits = found.progress.awaits
            keys = [k for k, state in enumerate(states) if state in _TROUBLE or k in awaits]
        if arguments["as_json"]:
            documents = [_document(store, found, key) for key in keys]
            click.echo(as_json(documents if name is None else documents[0]))
            return exits.DONE
        if not keys:
            click.echo(f"no job of run {short_id(record.id)} is in trouble: it is {found.state}")
            for line in found.waits:
                click.echo(f"  {line}")
        for place, key in enumerate(keys):
            if place:
                click.echo()
            for line in _lines(store, found, key):
                click.echo(line)
    return exits.DONE


def _meant(store: "Store", run: str | None, job: str | None) -> "tuple[RunRecord, str | None]":
    """A run and a job's name; one word alone is a job of the last run, or else a run."""
    if job is not None or run is None:
        return found_run(store, run), job
    from headway.jobs.plan import Plan

    last = found_run(store, None)
    if run in Plan.from_json(store.plan(last.id)).names:
        return last, run
    if all(character in "0123456789abcdef" for character in run):
        return found_run(store, run), None
    return last, run


def _document(store: "Store", found: Seen, key: int) -> dict[str, Any]:
    progress = found.progress
    names = progress.plan.names
    state = found.states[key]
    document = job_document(progress, key, state, history=True)
    document["run"] = found.record.id
    document["because"] = [_plainly(line) for line in _because(found, key)]
    document["waits_for"] = [names[other] for other in progress.waits_for(key)]
    document["blocked_by"] = [names[other] for other in progress.blocked_by(key)]
    document["output"] = [
        line_document(line, progress.plan) for line in _tail(store, found.record.id, key)
    ]
    return document


def _plainly(text: str) -> str:
    return click.unstyle(text)


def _lines(store: "Store", found: Seen, key: int) -> list[str]:
    progress, shown = found.progress, found.shown[key]
    name = printable(progress.plan.names[key])
    short = short_id(found.record.id)
    lines = [f"{coloured(symbol(shown), shown)} {name} is {coloured(shown, shown)}"]
    lines += [f"  {line}" for line in _because(found, key)]
    lines += _tries(found, key)
    tail = _tail(store, found.record.id, key)
    if tail:
        lines.append("  it wrote last:")
        lines += [f"    {printable(line.text.expandtabs())}" for line in tail]
        lines.append(faint(f"  headway logs {short} --job {quoted(name)} shows all of it"))
    return lines + [f"  {line}" for line in _next(found, key)]


def _because(found: Seen, key: int) -> list[str]:
    """Why it stands so, in sentences."""
    progress, state = found.progress, found.states[key]
    last = progress.last_try(key)
    settled = progress.settled.get(key)
    if settled is not None and state in (JobState.REPAIRED, JobState.FAILED):
        why = f": {printable(settled.why)}" if settled.why else ""
        return [f"{printable(settled.who)} settled it as {settled.how}{why}"]
    if progress.plan.is_gate(key) and (lines := _at_gate(found, key)):
        return lines
    match state:
        case JobState.PASSED:
            return _passed(found, key)
        case JobState.REPAIRED:
            return _repaired(found, key)
        case JobState.FAILED:
            return _failed(found, key)
        case JobState.BLOCKED:
            return _blocked(found, key)
        case JobState.PENDING:
            return _pending(found, key)
        case JobState.WAITING:
            return _waiting(found, key)
        case JobState.RUNNING:
            going = progress.going[key]
            since_s = time.time() - going.since_us / 1e6
            return [f"its try {going.number} has been in {going.phase} for {duration(since_s)}"]
        case JobState.OVERDUE:
            return [_why(last.failure) if last is not None else "its deadline passed"]
        case JobState.IN_DOUBT:
            return [
                "its Run began and nobody knows how it ended: look for yourself, then settle it"
            ]
        case JobState.CANCELLED:
            return _cancelled(found, key)


def _at_gate(found: Seen, key: int) -> list[str]:
    """Of a gate that was reached."""
    progress, short = found.progress, short_id(found.record.id)
    awaited, answer = progress.awaited(key), progress.answer(key)
    if awaited is not None:
        lines = [f"waits for an answer since {moment(awaited.at_us)}: headway approve {short}"]
        return lines + ([f"it asks: {printable(awaited.message)}"] if awaited.message else [])
    if answer is not None and found.states[key] in (JobState.REPAIRED, JobState.FAILED):
        why = f": {printable(answer.why)}" if answer.why else ""
        decided = f"{DONE[answer.decision]} it {moment(answer.at_us)}"
        return [f"{printable(answer.who)} {decided}{why}"]
    return []


def _why(failure: Failure | None) -> str:
    return failure_line(failure) if failure is not None else "nobody knows why"


def _passed(found: Seen, key: int) -> list[str]:
    plan = found.progress.plan
    if plan.rules[key].has_check:
        return ["its Check passed at once: there was nothing to do for it"]
    if key in plan.closings:
        of = printable(plan.names[plan.closings[key].of])
        return [f"there was nothing to put away: {of} did nothing"]
    when = plan.rules[key].when
    return [_NEEDLESS.get(when, "there was nothing to do for it")]


_NEEDLESS = {
    "completed": "it is for a release that was completed, and this one failed",
    "failed": "it is for a release that failed, and this one was completed",
}


def _repaired(found: Seen, key: int) -> list[str]:
    last = found.progress.last_try(key)
    if not found.progress.plan.rules[key].has_check:
        is_step = found.progress.plan.is_step(key)
        return ["its worker said that it is done" if is_step else "its Run ended well"]
    if last is None or last.reason is None:
        return ["its Check failed, its Run was carried out, and then its Check passed"]
    return [
        f"its Check said: {failure_line(last.reason)}",
        "then its Run was carried out, and then its Check passed",
    ]


def _failed(found: Seen, key: int) -> list[str]:
    progress = found.progress
    rules, last = progress.plan.rules[key], progress.last_try(key)
    tries = progress.tries_in_lap(key)
    if progress.was_waiting(key):
        return _not_tried_again(found, key)
    if tries >= rules.tries:
        used = (
            f"all of its {number(rules.tries, 'try')} failed"
            if rules.tries > 1
            else ("its only try failed")
        )
    else:
        used = "it is not tried again: its RETRY_ON does not name what was raised"
        if last is not None and last.failure is not None and last.failure.type == "Lost":
            used = "its process ended while Run was going on, and its ON_LOST says fail"
    if last is None:
        return [used]
    phase = "Run" if last.phase is Phase.RUN else f"{last.phase} after Run"
    if last.phase is Phase.CHECK:
        phase = "Check"
    return [used, f"the last {phase} said: {_why(last.failure)}"]


def _not_tried_again(found: Seen, key: int) -> list[str]:
    """Of a job whose next try waited when the run stopped."""
    progress = found.progress
    last, names = progress.last_try(key), progress.plan.names
    tries, allowed = progress.tries_in_lap(key), progress.plan.rules[key].tries
    stopped_by = [printable(names[other]) for other in progress.stopped_by()]
    others = listed(stopped_by) or "another job"
    return [
        f"try {tries} of {allowed} failed: {_why(last.failure if last is not None else None)}",
        f"the next one did not start: the run had stopped, because {others} failed",
    ]


def _blocked(found: Seen, key: int) -> list[str]:
    progress, states = found.progress, found.states
    names = progress.plan.names
    lines = []
    for other in progress.blocked_by(key):
        path = _path(found, key, other)
        through = f" (through {' and '.join(path)})" if path else ""
        lines.append(
            f"it needs {printable(names[other])}{through}, which is {states[other]}:"
            f" {_why(progress.failure(other))}"
        )
    return lines or ["the run stopped at the first failure before its turn came"]


def _path(found: Seen, key: int, other: int) -> list[str]:
    """The jobs between one and another that it needs, nearest first."""
    plan = found.progress.plan
    above = plan.above(other)
    path = []
    while other not in plan.needs[key]:
        key = next(need for need in plan.needs[key] if need in above)
        path.append(printable(plan.names[key]))
    return path


def _pending(found: Seen, key: int) -> list[str]:
    progress, states = found.progress, found.states
    names = progress.plan.names
    lines = []
    going = progress.going.get(key)
    last = progress.last_try(key)
    if going is not None or (last is not None and last.ending is None):
        phase = going.phase if going is not None else (last and last.phase)
        if progress.plan.rules[key].has_check:
            then = "when the run goes on, its Check is asked first"
        else:
            then = "it has no Check, so resume follows its ON_LOST"
        lines.append(f"it was cut off in its {phase}; {then}")
    for other in progress.waits_for(key)[:5]:
        lines.append(f"it waits for {printable(names[other])}, which is {states[other]}")
    if not lines:
        lines.append("all it needs is done; its turn has not come")
    if not found.living:
        lines.append(f"nobody works on the run: it is {found.state}")
    return [*lines, *found.waits]


def _waiting(found: Seen, key: int) -> list[str]:
    progress = found.progress
    last, tries = progress.last_try(key), progress.tries_in_lap(key)
    assert last is not None
    allowed = progress.plan.rules[key].tries
    left_s = last.waits_us / 1e6 - time.time()
    when = f"in {duration(left_s)}" if left_s > 0 else "as soon as there is a slot"
    if not found.living:
        when = "when the run goes on"
    return [
        f"try {tries} of {allowed} failed: {_why(last.failure)}",
        f"the next one starts {when}",
    ]


def _cancelled(found: Seen, key: int) -> list[str]:
    turn = "its next try" if found.progress.was_waiting(key) else "its turn came"
    for change in reversed(found.progress.changes):
        if change.what == "cancelled" and change.who:
            why = f": {printable(change.why)}" if change.why else ""
            return [f"the run was cancelled by {printable(change.who)} before {turn}{why}"]
    return [f"the run was stopped before {turn}"]


def _tries(found: Seen, key: int) -> list[str]:
    has_check = found.progress.plan.rules[key].has_check
    tries = found.progress.tries.get(key, ())
    if len(tries) < 2 and not any(one.failure and one.failure.trace for one in tries):
        return []
    lines = []
    for one in tries:
        ended = ended_as(one, has_check=has_check)
        why = f": {_why(one.failure)}" if one.ending is Ending.FAILED else ""
        length = took(one.began_us, one.ended_us)
        when = moment(one.began_us or one.ended_us)
        lines.append(f"  try {one.number}  {when}  {length:>6}  {ended}{why}")
        if one.failure is not None and one.failure.trace:
            lines += [f"    {printable(line)}" for line in one.failure.trace.splitlines()]
    return lines


def _tail(store: "Store", run: str, key: int) -> "Sequence[Line]":
    """The last lines a job wrote."""
    tail: list[Line] = []
    after = 0
    while lines := store.output(run, key, after):
        tail = [*tail, *lines][-MOST_LINES:]
        after = lines[-1].id
    return tail


def _next(found: Seen, key: int) -> list[str]:
    """What to type."""
    short = short_id(found.record.id)
    name = quoted(found.progress.plan.names[key])
    state = found.states[key]
    if state is JobState.IN_DOUBT:
        return [f"headway settle {short} {name} --done (or --again, or --failed)"]
    if found.living or found.state is RunState.QUEUED:
        return []
    if found.record.core and found.state is RunState.INTERRUPTED:
        return [f"a core goes on with it: {BEGIN_A_CORE}"]
    if found.progress.ended is None or found.state in ("interrupted", "cancelled"):
        return [f"headway resume {short} goes on"]
    if state in (JobState.FAILED, JobState.OVERDUE, JobState.BLOCKED):
        return [f"headway retry {short} tries what failed again"]
    return []
