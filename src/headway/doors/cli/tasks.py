"""headway tasks"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.prune import seconds
from headway.doors.cli.stores import opened
from headway.doors.cli.words import (
    as_json,
    coloured,
    iso,
    moment,
    number,
    printable,
    printable_lines,
    table,
    took,
)
from headway.jobs.states import JobState

if TYPE_CHECKING:
    from headway.ports.tracking import Tasks
    from headway.tracking.families import Family
    from headway.tracking.heard import DeadLetter
    from headway.tracking.results import Seen
    from headway.tracking.states import TaskState

TASK = ("task", "headway monitor -A proj.celery:app")
HEADINGS = ("TASK", "STATE", "SENT", "TOOK", "NAME", "QUEUE")
# A task looks like a job that stands so.
_LOOKS: Mapping[str, JobState] = {
    "started": JobState.RUNNING,
    "retrying": JobState.WAITING,
    "succeeded": JobState.REPAIRED,
    "failed": JobState.FAILED,
    "rejected": JobState.FAILED,
    "revoked": JobState.CANCELLED,
}


@click.command(short_help="List Celery tasks, or show one with its family.")
@click.argument("id", required=False)
@click.option("--name", metavar="NAME", help="Tasks of this name, or NAME.*: that begin so.")
@click.option(
    "--state", metavar="STATE", help="started, failed, …; or Celery's STARTED, FAILURE, …"
)
@click.option("--queue", metavar="NAME", help="Tasks sent to this queue.")
@click.option("--since", metavar="AGE", help="Tasks sent in the last 90m, 12h, 30d, 8w.")
@click.option("--until", metavar="AGE", help="Tasks sent longer ago than that.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1, 10**9), default=20, help="How many (20)."
)
@click.option("--dead", is_flag=True, help="List messages of which no task could be made.")
@options.reading_json
def command(id: str | None, limit: int, dead: bool, **arguments: Any) -> int:
    """List the newest Celery tasks that the monitor has heard of, newest first.

    With ID: all that is known of one task, its result, and where its family stands, which is the
    task at its root and all that were sent because of it.
    """
    state = _state(arguments["state"])
    _require_together(id, arguments, dead=dead)
    with opened(arguments, holds=TASK) as store:
        tasks, in_json = store.tasks, arguments["as_json"]
        if dead:
            _show_letters(tasks.dead_letters(limit), tasks.place, in_json)
        elif id is not None:
            _show_one(tasks, id, in_json)
        else:
            _show_list(tasks, arguments, state, limit)
    return exits.DONE


def _state(typed: str | None) -> "TaskState | None":
    from headway.tracking.states import TaskState, state_called

    if typed is None:
        return None
    state = state_called(typed)
    if state is None:
        raise Mistyped(f"--state {typed!r}: there are {', '.join(TaskState)}")
    return state


def _require_together(id: str | None, arguments: Mapping[str, Any], *, dead: bool) -> None:
    """What is typed has a meaning, all of it. Raises: Mistyped."""
    asked = [
        name for name in ("name", "state", "queue", "since", "until") if arguments[name] is not None
    ]
    if id == "":
        raise Mistyped("the ID is empty: leave it out to list tasks")
    if id is not None and dead:
        raise Mistyped("--dead lists messages of which no task could be made: leave the ID out")
    if asked and (dead or id is not None):
        other = "--dead" if dead else "an ID"
        raise Mistyped(f"--{asked[0]} searches the list of tasks: it says nothing beside {other}")
    name = arguments["name"]
    if name is not None and "*" in name[:-1]:
        raise Mistyped(f"--name {name!r}: a star stands at the end, as in 'export.*'")


def _show_list(
    tasks: "Tasks", arguments: Mapping[str, Any], state: "TaskState | None", limit: int
) -> None:
    from headway.ports.tracking import Sought

    since_us, until_us = (_ago_us(option, arguments[option]) for option in ("since", "until"))
    before = None if until_us is None else (until_us, "")
    sought = Sought(arguments["name"], state, arguments["queue"], since_us, before)
    found = tasks.search(sought, limit)
    if arguments["as_json"]:
        click.echo(as_json([task_document(seen) for seen in found]))
    elif found:
        for line in _lines(found):
            click.echo(line)
    elif sought == Sought():
        click.echo(f"{tasks.place} holds no task yet: {TASK[1]} records them")
    else:
        click.echo(f"{tasks.place} holds no such task")


def _ago_us(option: str, age: str | None) -> int | None:
    return None if age is None else round((time.time() - seconds(f"--{option}", age)) * 1e6)


def _lines(found: "Sequence[Seen]") -> list[str]:
    rows = [
        (
            printable(seen.task.id),
            str(seen.state),
            moment(seen.task.at_us) if seen.task.at_us else "",
            _took(seen),
            printable(seen.task.name or ""),
            printable(seen.task.queue or ""),
        )
        for seen in found
    ]
    lines = table(rows, HEADINGS)
    for place, seen in enumerate(found, 1):
        state = str(seen.state)
        lines[place] = lines[place].replace(state, _coloured(state), 1)
    return lines


def _coloured(state: str) -> str:
    looks = _LOOKS.get(state)
    return coloured(state, looks) if looks else state


def _took(seen: "Seen") -> str:
    task = seen.task
    if task.runtime_us is not None:
        return took(1, 1 + task.runtime_us)
    return took(task.started_us or 0, task.ended_us or 0)


# One task


def _show_one(tasks: "Tasks", id: str, in_json: bool) -> None:
    from headway.tracking.task import Task

    seen = tasks.task(id)
    family = tasks.family(id)
    if in_json:
        click.echo(as_json({**task_document(seen), "family": family_document(family)}))
        return
    click.echo(f"task {printable(id)}: {_coloured(str(seen.state))}{_aside(seen)}")
    if seen == (Task(id), None):
        click.echo(
            "Nobody has heard of it; that does not say whether it was sent. Is the id right, and"
            " was headway monitor there, or its queue?"
        )
        return
    for line in table([(f"  {name}", value) for name, value in _facts(seen)]):
        click.echo(line)
    if seen.result is not None and seen.result.trace:
        click.echo(printable_lines(seen.result.trace.rstrip()))
    if len(family.members) > 1:
        counts = ", ".join(f"{count} {state}" for state, count in family.counts.items())
        click.echo(f"family of {printable(family.root)}: {family.state} ({counts})")
        for line in _tree(family):
            click.echo(line)
        if not family.is_whole:
            click.echo(f"  … and more: these are the first {len(family.members):,}")


def _aside(seen: "Seen") -> str:
    if seen.finished_after_revoke:
        return " after it was revoked"
    if seen.result is not None and seen.task.told_by == 0:
        return " (known by its result alone)"
    return ""


def _facts(seen: "Seen") -> Iterator[tuple[str, str]]:
    task, result = seen.task, seen.result
    facts: list[tuple[str, str | int | None]] = [
        ("name", task.name),
        ("queue", task.queue),
        ("args", task.args),
        ("kwargs", task.kwargs),
        ("arguments", task.form if task.form not in ("json", None) else None),
        ("retries", task.retries or None),
        ("sent by", task.origin),
        ("parent", task.parent),
        ("group", task.group),
        ("headers", task.extra),
        ("worker", task.worker),
        ("error", task.error),
        ("result", _told_result(seen)),
        ("stored as", result.status if result is not None else None),
    ]
    for name, value in facts:
        if value is not None:
            yield name, printable(str(value))
    for name, at_us in _moments(seen):
        if at_us:
            yield name, moment(at_us)


def _told_result(seen: "Seen") -> str | None:
    """The stored one; else what the worker's event told, which Python wrote and Celery cut."""
    if seen.result is not None and (seen.result.value or seen.result.form):
        return seen.result.value or seen.result.form
    return seen.task.result


def _moments(seen: "Seen") -> list[tuple[str, int | None]]:
    task = seen.task
    return [
        ("sent", task.sent_us),
        ("heard of", task.heard_us),
        ("to start", task.eta_us),
        ("expires", task.expires_us),
        ("received", task.received_us),
        ("started", task.started_us),
        ("retried", task.retried_us),
        ("revoked", task.revoked_us),
        ("ended", task.ended_us),
        ("stored", seen.result.done_us if seen.result is not None else None),
    ]


def _tree(family: "Family") -> Iterator[str]:
    """Depth first, without recursion: a chain may be long."""
    children = family.children()
    waiting = [(1, one) for one in reversed(children.get(None, ()))]
    while waiting:
        depth, seen = waiting.pop()
        name = printable(seen.task.name or "?")
        state = _coloured(str(seen.state))
        yield f"{'  ' * min(depth, 20)}{name}  {state}  {printable(seen.task.id)}"
        waiting += [(depth + 1, one) for one in reversed(children.get(seen.task.id, ()))]


# Dead letters


def _show_letters(letters: "Sequence[DeadLetter]", place: str, in_json: bool) -> None:
    if in_json:
        click.echo(as_json([letter_document(one) for one in letters]))
        return
    for one in letters:
        click.echo(f"{moment(one.at_us)}  {one.kind}  {printable(one.reason)}")
        click.echo(f"  key {printable(one.key)!r}, {number(one.body_bytes, 'byte')}")
        click.echo(f"  {printable(one.body[:200])}")
    if not letters:
        click.echo(f"{place} holds no dead letter")


# What --json prints


def task_document(seen: "Seen") -> dict[str, Any]:
    """docs/reference/tasks.md describes it."""
    task, result = seen.task, seen.result
    found: dict[str, Any] = {
        "task": task.id,
        "state": str(seen.state),
        "name": task.name,
        "queue": task.queue,
        "args": task.args,
        "kwargs": task.kwargs,
        "arguments": task.form,
        "retries": task.retries,
        "parent": task.parent,
        "root": task.root,
        "group": task.group,
        "origin": task.origin,
        "headers": task.extra,
        "worker": task.worker,
        "error": task.error,
        "finished_after_revoke": seen.finished_after_revoke,
    }
    for name, at_us in _moments(seen):
        found[f"{name.replace(' ', '_')}_at"] = iso(at_us)
    found["runtime_s"] = task.runtime_us / 1e6 if task.runtime_us is not None else None
    found["told_result"] = task.result
    found["result"] = None if result is None else _result_document(seen)
    return found


def _result_document(seen: "Seen") -> dict[str, Any]:
    result = seen.result
    assert result is not None
    return {
        "status": result.status,
        "value": result.value,
        "form": result.form,
        "traceback": result.trace,
        "done_at": iso(result.done_us),
    }


def family_document(family: "Family") -> dict[str, Any]:
    return {
        "root": family.root,
        "state": str(family.state),
        "counts": {str(state): count for state, count in family.counts.items()},
        "is_whole": family.is_whole,
        "members": [
            {
                "task": one.task.id,
                "name": one.task.name,
                "state": str(one.state),
                "parent": one.task.parent,
            }
            for one in family.members
        ],
    }


def letter_document(letter: "DeadLetter") -> dict[str, Any]:
    found = letter._asdict()
    found["at"] = iso(found.pop("at_us"))
    return found
