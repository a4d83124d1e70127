"""headway conform COMMAND:SUBCOMMAND -- PROGRAM..."""

from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import brokers, exits, options
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.words import as_json, coloured, faint, number, printable_lines, table
from headway.errors import WireError
from headway.jobs.states import JobState

if TYPE_CHECKING:
    from headway.adapters.bus_address import RabbitAddress
    from headway.conformance.findings import Finding, Report

NOWHERE = f"""\
a worker that is a program of its own needs a broker, best a virtual host of its own.
Name it:  {brokers.EITHER}"""


@click.command(short_help="Tell a worker's author what is wrong with it.")
@click.argument("step", metavar="COMMAND:SUBCOMMAND", required=False)
@click.argument("program", metavar="[-- PROGRAM ARGUMENT...]", nargs=-1)
@brokers.named
@click.option("--host", default="localhost", metavar="HOST", help="[default: localhost]")
@click.option("--param", "-p", "params", metavar="NAME=TEXT", multiple=True, help="A parameter.")
@click.option(
    "--param-json", "json_params", metavar="NAME=JSON", multiple=True,
    help="A parameter of another type.",
)  # fmt: skip
@options.inputs
@click.option("--long", metavar="SUBCOMMAND", help="One that lasts 6 s or more.")
@click.option(
    "--bad", metavar="SUBCOMMAND", default="NoSuchSubcommand",
    help="One that it refuses.  [default: NoSuchSubcommand]",
)  # fmt: skip
@click.option(
    "--patience", "patience_s", type=click.FloatRange(0.1), metavar="SECONDS", default=10.0,
    help="How long to wait for an answer.  [default: 10]",
)  # fmt: skip
@click.option("--check", "checks", metavar="NAME", multiple=True, help="Only this check.")
@click.option("--list", "lists", is_flag=True, help="List the checks.")
@options.as_json
@options.debug
def command(
    step: str | None, program: tuple[str, ...], lists: bool, as_json: bool, **arguments: Any
) -> int:
    """Put a worker through the contract of the bus: COMMAND:SUBCOMMAND is a step it completes.

    PROGRAM starts the worker, as often as need be. {mq} in it becomes the path of a file with
    server, port, vhost, user and password in JSON, {url} an amqp:// address; without either the
    path is added at the end. Without PROGRAM the worker runs already, and less is seen of it.

    --param and --set give what its steps need.
    """
    from headway.conformance.findings import CHECKS, NAMES

    if lists:
        _list(as_json)
        return exits.DONE
    for name in arguments["checks"]:
        if name not in NAMES:
            raise Mistyped(f"there is no check {name!r}: there are {', '.join(NAMES)}")
    if step is None:
        raise Mistyped("name a step that the worker completes: headway conform frob:Ok …")
    exits.leave_when_terminated()
    report = _examined(step, program, arguments)
    if as_json:
        _print_json(report, program)
    else:
        _print(report, len(CHECKS))
    return exits.DONE if report.conforms else exits.FAILED


def _list(as_plain: bool) -> None:
    from headway.conformance.findings import CHECKS

    if as_plain:
        click.echo(as_json([one._asdict() for one in CHECKS]))
    else:
        click.echo("\n".join(table([[one.name, one.asks] for one in CHECKS])))


def _examined(step: str, program: tuple[str, ...], arguments: dict[str, Any]) -> "Report":
    import shutil

    from headway.wire import names

    try:
        name = names.parse_step(step)
    except WireError as error:
        raise Mistyped(str(error)) from error
    address = _address(arguments["mq"], arguments["bus"])
    if program and shutil.which(program[0]) is None:
        raise Mistyped(f"there is no program {program[0]!r} to start the worker with")
    from headway.conformance.desk import Asking
    from headway.conformance.examine import examine
    from headway.conformance.findings import NAMES

    parameters = options.read_pairs(
        "--param", arguments["params"], "--param-json", arguments["json_params"]
    )
    dynamic = options.read_inputs(arguments["texts"], arguments["values"])
    return examine(
        Asking(name.command, name.subcommand, arguments["host"], parameters, dynamic),
        address,
        program,
        long=arguments["long"],
        bad=arguments["bad"],
        patience_s=arguments["patience_s"],
        chosen=arguments["checks"] or NAMES,
    )


def _address(mq: str | None, url: str | None) -> "RabbitAddress":
    from headway.adapters.bus_address import RabbitAddress

    address = brokers.address_of(mq, url)
    if not isinstance(address, RabbitAddress):
        raise Mistyped(NOWHERE)
    return address


def _print_json(report: "Report", program: tuple[str, ...]) -> None:
    click.echo(as_json({**report.to_plain(), "program": list(program)}))


STATES = {
    "ok": JobState.PASSED,
    "fault": JobState.FAILED,
    "not used": JobState.BLOCKED,
    "not tried": JobState.WAITING,
}


def _print(report: "Report", of: int) -> None:
    names = max(len(one.check) for one in report.findings)
    for one in report.findings:
        click.echo("\n".join(_lines(one, names)))
    faults = len(report.faults)
    if faults:
        last = f"{report.step} does not conform: {number(faults, 'fault')}"
        click.echo(coloured(last, JobState.FAILED))
    else:
        click.echo(coloured(f"{report.step} conforms", JobState.REPAIRED))


def _lines(one: "Finding", columns: int) -> list[str]:
    state = STATES[one.verdict]
    margin = " " * (columns + 12)
    first, *rest = printable_lines(one.text).split("\n")
    head = f"{coloured(f'{one.verdict:<9}', state)} {one.check:<{columns}}  {first}"
    more = [f"{margin}{line}" for line in rest]
    hint = [f"{margin}{faint('→ ' + printable_lines(one.hint))}"] if one.hint else []
    return [head, *more, *hint]
