"""What a run would do, and why: every job's verdict from its own Check. Changes nothing.

Nothing here can reach a Run or a Cleanup: an executor is asked for Checks only, and its work is
opened with ``act=False``.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from headway.adapters.inline import Inline
from headway.jobs.outcomes import Ending, Failure
from headway.jobs.plan import GATE, Plan
from headway.jobs.shared import SharedStorage
from headway.jobs.states import Verdict
from headway.ports.executor import Executor, Work


class Finding(NamedTuple):
    """What a plan says of one job."""

    key: int
    verdict: Verdict
    message: str = ""  # the Check's own, or why it was not asked
    diff: str = ""  # what the job's Diff says would change
    looks_broken: bool = False  # the Check died of a slip in its own file


def examine(
    plan: Plan,
    definitions: Sequence[Any],
    inputs: Mapping[str, Any],
    found: Callable[[Finding], None] = lambda finding: None,
    *,
    trace: bool = False,
    executor: Executor | None = None,
) -> list[Finding]:
    """Ask the Checks that can be asked, in the plan's order; a finding for each job.

    ``found`` is told of each as it comes. ``executor``: what asks, if not this thread.
    Raises: Unavailable, DefinitionError where a Check cannot be asked.
    """
    shared = SharedStorage(threading.get_ident)
    work = Work(definitions, plan.rules, shared, kwargs=inputs, act=False, diffs=True, trace=trace)
    executor = executor or Inline()
    executor.open(work)
    findings: list[Finding] = []
    try:
        for key in range(len(plan)):
            part = getattr(definitions[key], "part", "")
            finding = _examined(plan, key, part, findings, executor)
            findings.append(finding)
            found(finding)
    finally:
        executor.close()
    return findings


def _examined(
    plan: Plan, key: int, part: str, findings: list[Finding], executor: Executor
) -> Finding:
    """``part``: of a step, which one it is of a release."""
    rules = plan.rules[key]
    if not rules.has_check:
        return Finding(key, Verdict.NOT_CHECKABLE, _due(plan, key, part))
    open_needs = [n for n in plan.needs[key] if findings[n].verdict is not Verdict.DONE]
    if open_needs and not plan.policy.asks_all:
        names = [plan.names[need] for need in open_needs]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return Finding(key, Verdict.UNKNOWN, f"until {names[0]}{more}")
    outcome = executor.ask(key)
    if outcome.ending is Ending.PASSED:
        return Finding(key, Verdict.DONE)
    failure = outcome.failure or Failure("", "")
    if not rules.has_run:
        why = f"{failure.line()} (it has no Run: something else must bring it about)"
        return Finding(key, Verdict.UNKNOWN, why, looks_broken=failure.looks_broken)
    message = failure.trace or failure.line()
    return Finding(key, Verdict.WILL_RUN, message, outcome.diff, failure.looks_broken)


def _due(plan: Plan, key: int, part: str) -> str:
    """When what has no Check is carried out; "" for every time, in its turn."""
    if key in plan.closings:
        return f"it runs when its host is done, if {plan.names[plan.closings[key].of]} ran"
    if part == GATE:
        return "a person is asked when it comes to this"
    if part == "check":
        # It is only a question, as far as anybody says: to plan is to change nothing.
        return "it is asked when the release begins"
    if part == "action":
        return f"it is done when the release is over{_IF[plan.rules[key].when]}"
    return ""


_IF = {"always": "", "completed": ", if it was completed", "failed": ", if it failed"}
