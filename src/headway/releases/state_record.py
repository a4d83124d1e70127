"""A release's state as the original release engine kept it: one record, sequence by sequence.

Each sequence stands in it once for each host. The first that is not complete is the active one;
with hosts side by side others may be under way as well, which this form cannot say.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from headway.jobs.states import JobState, RunState
from headway.releases.playbook import HostSequence, Playbook, Step

_DONE = (JobState.PASSED, JobState.REPAIRED)
_BAD = (JobState.FAILED, JobState.OVERDUE, JobState.IN_DOUBT)
_UNDER_WAY = (JobState.RUNNING, JobState.WAITING)
_OVER = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


class Standing(NamedTuple):
    """A release as it stands. Moments are as they are to be told."""

    run: str
    playbook: str  # its id
    who: str
    state: RunState
    began_at: str | None
    ended_at: str | None
    inputs: Mapping[str, Any]
    triggers: Sequence[Any]
    names: Sequence[str]  # by key, of the plan's jobs
    jobs: Sequence[JobState]  # by key


class _Expanded(NamedTuple):
    """A sequence for one host."""

    sequence: HostSequence
    host: str
    steps: tuple[tuple[Step, int], ...]  # in their order, each with its key
    before: tuple[tuple[Step, int], ...]  # its preflight steps

    def is_complete(self, jobs: Sequence[JobState]) -> bool:
        return all(jobs[key] in _DONE for _, key in self.steps)


def state_record(playbook: Playbook, standing: Standing) -> dict[str, Any]:
    """``playbook``: with what triggers inserted, as it was compiled."""
    expanded = _expanded(playbook, standing.names)
    jobs = standing.jobs
    complete = [one for one in expanded if one.is_complete(jobs)]
    left = [one for one in expanded if not one.is_complete(jobs)]
    is_over = standing.state in _OVER
    active = left[0] if left else expanded[-1]
    found: dict[str, Any] = {
        "_id": standing.run,
        "playbook_id": standing.playbook,
        "group": playbook.group,
        "user_id": standing.who,
        "created": standing.began_at,
        "ended": standing.ended_at if is_over else None,
        "failed": is_over and standing.state is not RunState.SUCCEEDED,
        "dynamic": dict(standing.inputs),
        "reply_to": None,  # answers are found by the attempt, not by a queue of each release
        "triggers": list(standing.triggers),
        "active_step": None if is_over else _first(active, jobs, _UNDER_WAY),
        "active_sequence": _active(active, jobs),
        "execution": [] if is_over else [_plain(one) for one in left[1:]],
        "executed": [_plain(one) for one in complete if left or one is not active],
    }
    failed = next((one for one in left if _first(one, jobs, _BAD) is not None), None)
    if is_over and failed is not None:
        found["failed_step"] = _first(failed, jobs, _BAD)
        found["failed_sequence"] = _active(failed, jobs)
        found["skipped_sequences"] = [_plain(one) for one in left if one is not failed]
    return found


def _expanded(playbook: Playbook, names: Sequence[str]) -> list[_Expanded]:
    found: list[_Expanded] = []
    numbered = iter(enumerate(names))
    for sequence in playbook.execution:
        before = [_placed(sequence.preflight, host, numbered) for host in sequence.hosts]
        for host, looked in zip(sequence.hosts, before, strict=True):
            steps = _placed(sequence.steps, host, numbered)
            found.append(_Expanded(sequence, host, steps, looked))
    return found


def _placed(
    steps: Sequence[Step], host: str, numbered: Iterator[tuple[int, str]]
) -> tuple[tuple[Step, int], ...]:
    """The plan has steps in this order, and between them what they need and what clears up."""
    return tuple(
        (step, next(key for key, name in numbered if _is_of(name, step, host))) for step in steps
    )


def _is_of(name: str, step: Step, host: str) -> bool:
    wanted = f"{step.subcommand if step.python else step.name}@{host}"
    return name == wanted or (name.startswith(f"{wanted}#") and name[len(wanted) + 1 :].isdigit())


def _first(one: _Expanded, jobs: Sequence[JobState], states: Sequence[JobState]) -> Any:
    for step, key in (*one.before, *one.steps):
        if jobs[key] in states:
            return _plain_step(step)
    return None


def _active(one: _Expanded, jobs: Sequence[JobState]) -> dict[str, Any]:
    found = _plain(one)
    found["steps"] = [_plain_step(step) for step, key in one.steps if jobs[key] not in _DONE]
    found["completed_steps"] = [_plain_step(step) for step, key in one.steps if jobs[key] in _DONE]
    return found


def _plain(one: _Expanded) -> dict[str, Any]:
    return {
        "description": one.sequence.description,
        "hosts": [one.host],
        "steps": [_plain_step(step) for step in one.sequence.steps],
    }


def _plain_step(step: Step) -> Any:
    """A step as a playbook has it."""
    name = f"python: {step.python}" if step.python else step.name
    held: dict[str, Any] = dict(step.parameters)
    if step.notify:
        held["notify"] = {
            phase: {transport: list(targets) for transport, targets in told.items()}
            for phase, told in step.notify.items()
        }
    if step.dynamic:
        held["dynamic"] = list(step.dynamic)
    return {name: held} if held else name
