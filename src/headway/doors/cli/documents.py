"""The objects that --json prints. docs/reference/command-line.md describes them."""

from typing import Any

from headway.doors.cli.words import iso
from headway.jobs.events import Event, Live, name_of
from headway.jobs.outcomes import Failure
from headway.jobs.plan import Plan
from headway.jobs.progress import Progress, Try
from headway.jobs.shared import Changes
from headway.ports.store import NO_JOB, Line, RunRecord


def event_document(event: Event | Live, plan: Plan) -> dict[str, Any]:
    """An event: its kind, its moment, the job's name, and what else it holds."""
    found: dict[str, Any] = {"event": name_of(event), "at": iso(event.at_us)}
    for name, value in event._asdict().items():
        if name == "key":
            found["job"] = plan.names[value]
        elif name == "keys":
            found["jobs"] = [plan.names[key] for key in value]
        elif name == "number":
            found["try"] = value
        elif name.endswith("_us"):
            if name != "at_us":
                found[f"{name[:-3]}_at"] = iso(value)
        elif isinstance(value, Failure):
            found[name] = failure_document(value)
        elif isinstance(value, Changes):
            continue  # what jobs keep in their storages is between them
        else:
            found[name] = value
    return found


def failure_document(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    found: dict[str, Any] = {"type": failure.type, "message": failure.message}
    if failure.trace:
        found["trace"] = failure.trace
    if failure.looks_broken:
        found["looks_broken"] = True
    return found


def try_document(one: Try) -> dict[str, Any]:
    return {
        "try": one.number,
        "ending": one.ending,
        "began_at": iso(one.began_us),
        "ended_at": iso(one.ended_us),
        "phase": one.phase,
        "executed": one.executed,
        "failure": failure_document(one.failure),
        "reason": failure_document(one.reason),
        "lap": one.lap,
    }


def run_document(record: RunRecord, state: str, *, paused: bool) -> dict[str, Any]:
    launch = record.launch
    return {
        "run": record.id,
        "target": launch.target,
        "root": launch.root,
        "state": state,
        "paused": paused,
        "began_at": iso(record.began_us),
        "ended_at": iso(record.ended_us),
        "jobs": record.jobs,
        "lap": record.lap,
        "who": launch.who,
        "directory": launch.directory,
        "inputs": dict(launch.inputs),
        "owner": str(record.owner) if record.owner else None,
    }


def job_document(progress: Progress, key: int, state: str, *, history: bool) -> dict[str, Any]:
    plan = progress.plan
    last = progress.last_try(key)
    found: dict[str, Any] = {
        "job": plan.names[key],
        "state": state,
        "needs": [plan.names[need] for need in plan.needs[key]],
        "tries": len(progress.tries.get(key, ())),
        "failure": failure_document(last.failure) if last else None,
        "began_at": iso(last.began_us) if last else None,
        "ended_at": iso(last.ended_us) if last else None,
    }
    if history:
        found["history"] = [try_document(one) for one in progress.tries.get(key, ())]
    return found


def line_document(line: Line, plan: Plan) -> dict[str, Any]:
    found: dict[str, Any] = {
        "job": None if line.key == NO_JOB else plan.names[line.key],
        "try": line.number,
        "at": iso(line.at_us),
        "stream": line.stream,
        "text": line.text,
    }
    if line.lost:
        found["lost"] = line.lost
    return found
