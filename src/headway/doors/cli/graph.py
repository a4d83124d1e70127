"""headway graph TARGET|RUN"""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.listing import seen
from headway.doors.cli.stores import opened
from headway.doors.cli.targets import loaded
from headway.doors.cli.words import took
from headway.errors import Rejected
from headway.jobs.outcomes import Ending
from headway.jobs.states import JobState
from headway.ports.store import short_id

if TYPE_CHECKING:
    from headway.doors.cli.listing import Seen
    from headway.pictures.graph import Graph

ENDINGS = {".svg": "svg", ".png": "png", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid",
           ".mermaid": "mermaid", ".txt": "text"}  # fmt: skip


@click.command(short_help="Draw a target or a run.")
@click.argument("what", metavar="[TARGET|RUN]", required=False)
@click.option("--format", "fmt", type=click.Choice(["text", "svg", "png", "dot", "mermaid"]), help="Default: what -o ends with, else text.")  # noqa: E501  # fmt: skip
@click.option("--output", "-o", metavar="FILE", type=click.Path(), help="Write it there.")
@click.option("--full", is_flag=True, help="Draw every job, also where many are alike.")
@click.option("--plan", "ask", is_flag=True, help="Ask the Checks of a TARGET and colour by verdict.")  # noqa: E501  # fmt: skip
@options.inputs
@options.workers
@options.surroundings
@options.on
@options.reading
def command(what: str | None, fmt: str | None, output: str | None, **arguments: Any) -> int:
    """Draw a TARGET, or a RUN as it stands (the last one, if left out)."""
    chosen = fmt or ENDINGS.get(Path(output).suffix.lower() if output else "", "text")
    graph = _graph(what, arguments)
    drawn = _drawn(graph, chosen, full=arguments["full"], to_file=output is not None)
    if output is not None:
        try:
            Path(output).write_bytes(drawn)
        except OSError as error:
            raise Rejected(f"{output} cannot be written: {error.strerror}") from error
        click.echo(f"drew {len(graph.names)} jobs into {output}")
    elif chosen == "png" and sys.stdout.isatty():
        raise Mistyped("a PNG is not for a terminal: write it to a file with -o FILE")
    else:
        click.echo(drawn if chosen == "png" else drawn.decode(), nl=False)
    return exits.DONE


def _graph(what: str | None, arguments: dict[str, Any]) -> "Graph":
    inputs = options.read_inputs(arguments["texts"], arguments["values"])
    if what is not None and _is_target(what):
        return _of_target(what, inputs, arguments)
    if inputs or arguments["ask"]:
        raise Mistyped("--set and --plan are for a TARGET: a run has its inputs and its states")
    for option in ("worker", "surroundings", "triggers", "on", "app"):
        if arguments["workers" if option == "worker" else option]:
            raise Mistyped(f"--{option} is for a TARGET: a run has its plan")
    with opened(arguments) as store:
        return _of_run(seen(store, what))


def _is_target(what: str) -> bool:
    """A run's id is nothing but hexadecimal digits; a module may be called so too."""
    return any(character not in "0123456789abcdef" for character in what)


def _of_target(target: str, inputs: dict[str, Any], arguments: dict[str, Any]) -> "Graph":
    from headway.doors.cli.hands import asking, ready_for
    from headway.pictures.graph import Graph
    from headway.runtime.planning import examine

    ask = arguments["ask"]
    options.require_app(arguments["on"], arguments["app"])
    target_ = loaded(target, inputs, to_look_at=not ask, arguments=arguments)
    plan = target_.plan
    if not ask:
        pending = [JobState.PENDING] * len(plan)
        return Graph(plan.names, plan.follows(), pending, title=target)
    with ready_for(target_, asking(arguments), arguments, asks_only=True) as ready:
        findings = examine(plan, target_.definitions, target_.inputs, executor=ready.executor)
    return Graph(
        plan.names,
        plan.follows(),
        [finding.verdict for finding in findings],
        [finding.message.partition("\n")[0] for finding in findings],
        title=target,
    )


def _of_run(found: "Seen") -> "Graph":
    from headway.pictures.graph import Graph

    plan = found.progress.plan
    title = f"{found.record.launch.target}, run {short_id(found.record.id)}: {found.state}"
    notes = [_note(found, key) for key in range(len(plan))]
    return Graph(plan.names, plan.follows(), found.shown, notes, title)


def _note(found: "Seen", key: int) -> str:
    tries = found.progress.tries.get(key, ())
    if not tries:
        return ""
    last = tries[-1]
    if last.ending is None or last.ending is Ending.PASSED:
        return ""
    length = took(last.began_us, last.ended_us)
    return f"try {len(tries)}, {length}" if len(tries) > 1 else length


def _drawn(graph: "Graph", fmt: str, *, full: bool, to_file: bool) -> bytes:
    from headway.runtime.pictures import drawn

    columns = None if to_file else shutil.get_terminal_size().columns
    color = not to_file and sys.stdout.isatty() and click.get_current_context().color is not False
    return drawn(graph, fmt, full=full, width=columns, color=color)
