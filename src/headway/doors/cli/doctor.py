"""headway doctor"""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import brokers, exits, options
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.settings import settled
from headway.doors.cli.stores import file_of
from headway.doors.cli.words import as_json, coloured, faint, number, printable
from headway.errors import HeadwayError, Refused
from headway.jobs.states import JobState

if TYPE_CHECKING:
    from headway.adapters.bus_address import BusAddress
    from headway.runtime.doctor import Asked, Report
    from headway.runtime.doctor.finding import Finding
    from headway.wire.rights import Component

GRADE_COLUMNS = 9  # the longest grade and two blanks
WIDEST = 100
_LOOKS = {
    "ok": JobState.REPAIRED,
    "warning": JobState.WAITING,
    "problem": JobState.FAILED,
    "unknown": JobState.PENDING,
}


@click.command(short_help="Look at bus, store, clocks, versions and limits.")
@brokers.named
@click.option(
    "--for", "wanted", metavar="COMPONENT", multiple=True,
    help="The user must suffice for it: worker:COMMAND, sender, workers, core, output, monitor.",
)  # fmt: skip
@click.option(
    "--rabbitmqctl", metavar="COMMAND",
    help="Ask the broker's node too, by this: 'sudo rabbitmqctl'.",
)  # fmt: skip
@options.db
@options.durable
@options.as_json
@options.debug
def command(as_json: bool, **arguments: Any) -> int:
    """Look at everything that Headway stands on, change nothing, and say what to do.

    Ends with 0 when there is no problem, 1 when there is one, and 69 when the bus or the store
    does not answer: then try again later.
    """
    from headway.runtime.doctor import examine

    report = examine(_asked(arguments))
    code = _code(report)
    if as_json:
        click.echo(_document(report, code))
        return code
    columns = _columns()
    for line in [*_findings(report.findings, columns), *_limits(report, columns), *_end(report)]:
        click.echo(line)
    return code


def _asked(arguments: Mapping[str, Any]) -> "Asked":
    from headway.runtime.doctor import Asked

    settings = settled(arguments, os.environ, Path.cwd())
    file_of(settings)
    bus = _bus(arguments)
    return Asked(
        bus,
        settings.db,
        settings.durable,
        bool(settings.db_from),
        [_component(name) for name in arguments["wanted"]],
        shlex.split(arguments["rabbitmqctl"] or ""),
    )


def _bus(arguments: Mapping[str, Any]) -> "BusAddress | HeadwayError":
    """Raises: Mistyped. What must not be used for safety's sake is a finding."""
    from headway.adapters.bus_address import MemoryAddress

    try:
        address = brokers.address_of(arguments["mq"], arguments["bus"])
    except Refused as error:
        return error
    if isinstance(address, MemoryAddress) and (arguments["wanted"] or arguments["rabbitmqctl"]):
        raise Mistyped("--for and --rabbitmqctl are about a broker: name one with --bus or --mq")
    return address


def _component(name: str) -> "Component":
    from headway.runtime.doctor.permissions import wanted_component

    found = wanted_component(name)
    if found is None:
        raise Mistyped(
            f"--for {name!r}: there are worker:COMMAND, sender, workers, core, output and monitor"
        )
    return found


def _code(report: "Report") -> int:
    if report.is_away:
        return exits.UNAVAILABLE
    return exits.FAILED if report.count(_grade("problem")) else exits.DONE


def _grade(name: str) -> Any:
    from headway.runtime.doctor.finding import Grade

    return Grade(name)


def _columns() -> int:
    import shutil

    return max(40, min(WIDEST, shutil.get_terminal_size().columns))


def _findings(findings: "Sequence[Finding]", columns: int) -> Iterator[str]:
    for area, found in groupby(findings, key=lambda finding: finding.area):
        yield click.style(area, bold=True)
        for finding in found:
            yield from _finding(finding, columns)
        yield ""


def _finding(finding: "Finding", columns: int) -> Iterator[str]:
    indent = " " * (2 + GRADE_COLUMNS)
    first, *rest = _wrapped(finding.says, columns - len(indent))
    grade = finding.grade.ljust(GRADE_COLUMNS)
    yield f"  {coloured(grade, _LOOKS[finding.grade])}{first}"
    for line in rest:
        yield indent + line
    if finding.remedy:
        for at, line in enumerate(_wrapped(finding.remedy, columns - len(indent) - 3)):
            yield indent + ("   " if at else "-> ") + line
    for typed in finding.commands:  # on one line, however long: somebody will copy it
        yield f"{indent}   $ {printable(typed)}"


def _wrapped(text: str, columns: int) -> list[str]:
    import textwrap

    return textwrap.wrap(
        printable(text), columns, break_long_words=False, break_on_hyphens=False
    ) or [""]


def _limits(report: "Report", columns: int) -> Iterator[str]:
    from headway.runtime.limits import shown

    widest = max(len(shown(limit, value)) for limit, value in report.limits)
    for area, found in groupby(report.limits, key=lambda one: one[0].area):
        yield click.style(f"limits in force: {_plain(area)}", bold=True)
        for limit, value in found:
            first, *rest = _wrapped(_plain(limit.says), columns - widest - 4)
            yield f"  {shown(limit, value).rjust(widest)}  {first}"
            for line in rest:
                yield " " * (widest + 4) + line
        yield ""


def _plain(text: str) -> str:
    """What a page of Markdown has between backticks, without them."""
    return text.replace("`", "")


def _end(report: "Report") -> Iterator[str]:
    problems, warnings = report.count(_grade("problem")), report.count(_grade("warning"))
    if problems or warnings:
        yield f"{number(problems, 'problem')}, {number(warnings, 'warning')}"
    else:
        yield faint("nothing to do")


def _document(report: "Report", code: int) -> str:
    return as_json(
        {
            "findings": [
                {
                    "area": finding.area,
                    "grade": str(finding.grade),
                    "says": finding.says,
                    "remedy": finding.remedy or None,
                    "commands": list(finding.commands),
                }
                for finding in report.findings
            ],
            "limits": [
                {
                    "area": limit.area,
                    "limit": limit.says,
                    "value": value,
                    "unit": limit.unit or None,
                    "where": limit.where,
                }
                for limit, value in report.limits
            ],
            "problems": report.count(_grade("problem")),
            "warnings": report.count(_grade("warning")),
            "exit": code,
        }
    )
