"""headway plan TARGET"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.hands import asking, ready_for
from headway.doors.cli.targets import loaded
from headway.doors.cli.words import (
    as_json,
    coloured,
    faint,
    padded,
    printable,
    printable_lines,
    symbol,
    width,
)
from headway.jobs.states import JobState, Verdict

if TYPE_CHECKING:
    from headway.jobs.plan import Plan
    from headway.runtime.planning import Finding

MOST_SHOWN = 50  # beyond, jobs that are done and those that wait for others are only counted


@click.command(short_help="Say what a run would do, and why; change nothing.")
@options.target
@options.inputs
@options.workers
@options.surroundings
@options.on
@click.option("--verbose", "-v", is_flag=True, help="List every job, however many.")
@click.option("--strict", is_flag=True, help="Exit code 1 when a Check looks broken.")
@options.reading_json
def command(target: str, **arguments: Any) -> int:
    """Ask the Checks of what TARGET names, and say of each job what a run would do.

    Exit code 0: nothing to do. 2: a run would change something. 1: an error.
    """
    from headway.runtime.planning import examine

    options.require_app(arguments["on"], arguments["app"])
    inputs = options.read_inputs(arguments["texts"], arguments["values"])
    target_ = loaded(target, inputs, arguments=arguments)
    plan = target_.plan
    view: _AsJson | _AsLines = (
        _AsJson(plan) if arguments["as_json"] else _AsLines(plan, arguments["verbose"])
    )
    chosen = asking(arguments)
    with ready_for(target_, chosen, arguments, asks_only=True) as ready:
        findings = examine(
            plan,
            target_.definitions,
            target_.inputs,
            view.found,
            trace=arguments["debug"],
            executor=ready.executor,
        )
    code = _code(findings, strict=arguments["strict"])
    view.sum_up(findings, code, target)
    return code


def _code(findings: "Sequence[Finding]", *, strict: bool) -> int:
    if strict and any(finding.looks_broken for finding in findings):
        return exits.FAILED
    done = all(finding.verdict is Verdict.DONE for finding in findings)
    return exits.DONE if done else exits.CHANGES


class _AsJson:
    def __init__(self, plan: "Plan") -> None:
        self._plan = plan

    def found(self, finding: "Finding") -> None:
        pass

    def sum_up(self, findings: "Sequence[Finding]", code: int, target: str) -> None:
        names = self._plan.names
        jobs = [
            {
                "job": names[one.key],
                "verdict": one.verdict,
                "message": one.message,
                "diff": one.diff,
                "looks_broken": one.looks_broken,
                "needs": [names[need] for need in self._plan.needs[one.key]],
            }
            for one in findings
        ]
        counts = Counter(one.verdict for one in findings)
        click.echo(as_json({"target": target, "jobs": jobs, "counts": counts, "exit": code}))


class _AsLines:
    """A line a job, as its Check answers."""

    def __init__(self, plan: "Plan", verbose: bool) -> None:
        self._plan = plan
        self._brief = len(plan) > MOST_SHOWN and not verbose
        self._columns = min(40, max(width(printable(name)) for name in plan.names))

    def found(self, finding: "Finding") -> None:
        verdict = finding.verdict
        if self._brief and verdict in (Verdict.DONE, Verdict.UNKNOWN):
            return
        name = padded(printable(self._plan.names[finding.key]), self._columns)
        word = coloured(f"{verdict:<13}" if finding.message else verdict, verdict)
        message, *trace = printable_lines(finding.message).split("\n")
        if finding.looks_broken:
            message = f"{coloured('looks broken:', JobState.FAILED)} {message}"
        said = f"{coloured(symbol(verdict), verdict)} {name}  {word}"
        click.echo(f"{said}  {message}" if message else said)
        for line in trace + (printable_lines(finding.diff).splitlines() if finding.diff else []):
            click.echo(f"    {line}")

    def sum_up(self, findings: "Sequence[Finding]", code: int, target: str) -> None:
        counts = Counter(one.verdict for one in findings)
        if code == exits.DONE:
            every = f"all {len(findings)} jobs are" if len(findings) > 1 else "the only job is"
            click.echo(f"{coloured('nothing to do', Verdict.DONE)}: {every} done")
            return
        told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
        hint = " (no Check: they run every time)" if counts[Verdict.NOT_CHECKABLE] else ""
        hint += " (-v lists them all)" if self._brief else ""
        click.echo(f"{told}{faint(hint)}")
