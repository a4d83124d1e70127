"""headway step COMMAND:SUBCOMMAND"""

import getpass
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import brokers, exits, options
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.words import as_json, coloured, faint, printable, printable_lines, quoted
from headway.errors import Rejected, WireError
from headway.jobs.states import JobState

if TYPE_CHECKING:
    from headway.adapters.bus_address import BusAddress
    from headway.adapters.dispatching import Heard
    from headway.runtime.sending import SentStep
    from headway.runtime.worker import Worker
    from headway.wire.messages import Response, StepMessage

NOBODY = """\
nobody can serve {step} on the bus of this process. The stock workers are {stock}.
Name a worker:  --worker FILE.py:Class
Or name a broker:  {either}"""
LOST = """\
in doubt: worker {worker} has gone, and whether it did the step is unknown.
See how things stand there before you send it again."""
TRANSPORT = "terminal"  # what a step sent by hand names for its notices
OWN = ("command", "subcommand", "hosts")


@click.command(short_help="Send one step to a worker and watch it.")
@click.argument("step", metavar="COMMAND:SUBCOMMAND")
@click.option("--host", default="localhost", metavar="HOST", help="[default: localhost]")
@click.option("--param", "-p", "params", metavar="NAME=TEXT", multiple=True, help="A parameter.")
@click.option(
    "--param-json", "json_params", metavar="NAME=JSON", multiple=True,
    help="A parameter of another type.",
)  # fmt: skip
@options.inputs
@click.option(
    "--worker", "target", metavar="FILE.py:Class", help="Serve this class, or stock worker, here."
)
@click.option("-w", "--worker-config", metavar="FILE", help="JSON for that worker.")
@brokers.named
@options.debug
def command(
    step: str, target: str | None, mq: str | None, bus: str | None, **arguments: Any
) -> int:
    """Send one step, grant its claim, and show what comes of it.

    --set gives dynamic values, --param parameters of the step. With --worker, that class is
    served in this process; nothing else is needed. Without a broker, so are the stock workers:
    headway step noop:Ok.
    """
    from headway.adapters.bus_address import MemoryAddress
    from headway.wire import names

    try:
        name = names.parse_step(step)
    except WireError as error:
        raise Mistyped(str(error)) from error
    message = _message(name, arguments)
    address = brokers.address_of(mq, bus)
    worker_class = loaded_worker(target) if target is not None else None
    if worker_class is None and isinstance(address, MemoryAddress):
        worker_class = _stock_worker(step, name.command)
    exits.leave_when_terminated()
    with ExitStack() as stack:
        return _sent(stack, name, message, worker_class, address, arguments)


def _stock_worker(step: str, command: str) -> "type[Worker]":
    from headway.workers.catalogue import STOCK, stock_worker_for

    found = stock_worker_for(command)
    if found is None:
        listed = ", ".join(one.name for one in STOCK if one.takes_steps)
        raise Mistyped(NOBODY.format(step=step, stock=listed, either=brokers.EITHER))
    return found


def loaded_worker(target: str) -> "type[Worker]":
    """A stock worker by its name, or the class that a TARGET names.

    Raises: Mistyped for a worker that is not there, DefinitionError for one that is wrong.
    """
    from headway.runtime.loading import UnknownTarget
    from headway.runtime.worker_targets import load_worker
    from headway.workers.catalogue import STOCK, stock_worker

    try:
        return stock_worker(target) or load_worker(target)
    except UnknownTarget as error:
        listed = ", ".join(one.name for one in STOCK)
        raise Mistyped(f"{error}, or take a stock worker: {listed}") from error


def _message(name: Any, arguments: Mapping[str, Any]) -> "StepMessage":
    from headway.wire.messages import PHASES, StepMessage

    params = options.read_pairs(
        "--param", arguments["params"], "--param-json", arguments["json_params"]
    )
    for own in OWN:
        if own in params:
            raise Mistyped(f"--param {own}: a step has its own; see COMMAND:SUBCOMMAND and --host")
    own_values = {
        "command": name.command,
        "subcommand": name.subcommand,
        "hosts": [arguments["host"]],
    }
    return StepMessage(
        parameters={**params, **own_values},
        dynamic=options.read_inputs(arguments["texts"], arguments["values"]),
        notify={phase: {TRANSPORT: [getpass.getuser()]} for phase in PHASES},
    )


def _sent(
    stack: ExitStack,
    name: Any,
    message: "StepMessage",
    worker_class: "type[Worker] | None",
    address: "BusAddress",
    arguments: Mapping[str, Any],
) -> int:
    from headway.runtime.sending import StepSender
    from headway.runtime.worker_trial import served

    ours, theirs = _buses(stack, address)
    sender = StepSender(ours)
    sender.open()
    stack.callback(sender.close)
    worker: Any = None
    serving = ExitStack()
    stack.enter_context(serving)
    if worker_class is not None:
        worker = serving.enter_context(served(worker_class, theirs(), arguments["worker_config"]))
    sent = sender.send(name.command, message)
    try:
        sent.wait_until_taken()
    except Rejected as error:
        if worker is None:
            raise
        raise Mistyped(
            f"{type(worker).__name__} serves {worker.serves}, and {name.command}:{name.subcommand}"
            f" goes to worker.{name.command}: {error}"
        ) from error
    click.echo(
        f"{name.command}:{name.subcommand} on {quoted(arguments['host'])}, sent as {sent.run}"
    )
    return _watched(sent, serving)


def _buses(stack: ExitStack, address: "BusAddress") -> Any:
    """Our bus, open, and what makes the worker's."""
    from headway.adapters.bus_address import MemoryAddress

    if isinstance(address, MemoryAddress):
        from headway.runtime.worker_trial import bus_pair

        ours, theirs = bus_pair()
        stack.callback(ours.close)
        return ours, lambda: theirs

    from headway.runtime.buses import make_bus

    ours = make_bus(address, name="headway step")
    ours.open()
    stack.callback(ours.close)
    return ours, lambda: make_bus(address, name="headway step --worker")


def _watched(sent: "SentStep", serving: ExitStack) -> int:
    """Show what comes; when the answer is there, let the worker end, and show what came then."""
    from headway.adapters.dispatching import Answered, Lost

    final: Response | None = None
    for news in sent.heard():
        match news:
            case Answered(response) if response.is_final:
                final = response
            case Lost(worker):
                said = LOST.format(worker=printable(worker))
                click.echo(coloured(said, JobState.IN_DOUBT))
                return exits.UNDECIDED
            case _:
                _show(news)
    serving.close()
    for news in sent.rest():
        _show(news)
    if final is None:
        click.echo(coloured("given back: the worker did not want it", JobState.FAILED))
        return exits.FAILED
    state = JobState.REPAIRED if final.status == "completed" else JobState.FAILED
    for line in _ending(final):
        click.echo(coloured(line, state))
    return exits.DONE if final.status == "completed" else exits.FAILED


def _show(news: "Heard") -> None:
    from headway.adapters import dispatching as heard

    match news:
        case heard.Claimed(worker, _, again, _):
            if not again:
                click.echo(faint(f"granted to {printable(worker)}"))
        case heard.GivenBack() | heard.Lost() | heard.Undelivered():
            pass
        case heard.Answered(response):
            click.echo("\n".join([response.status, *_details(response)]))
        case heard.Line(level, text):
            for line in text.rstrip("\n").split("\n"):
                shown = f"  | {printable_lines(line)}"
                click.echo(faint(shown) if level == "debug" else shown)
        case heard.Notified(transport, notice):
            said = f"{printable(notice.slug)}: {printable(notice.message)}"
            whom = ", ".join(printable(one) for one in notice.target)
            click.echo(f"notice of {notice.phase} to {whom} by {printable(transport)}: {said}")
        case heard.Overheard(reason):
            click.echo(faint(f"ignored: {printable(reason)}"))


def _ending(response: "Response") -> Iterator[str]:
    first, *rest = [*_details(response), ""]
    yield f"{response.status}: {first.strip()}" if first else response.status
    yield from rest[:-1]


def _details(response: "Response") -> list[str]:
    """What a response says besides its status."""
    from headway.wire.messages import ABSENT

    found = []
    for value in (response.message, response.data):
        if value is not ABSENT and value is not None:
            text = value if isinstance(value, str) else as_json(value)
            found.append(f"  {printable(text)}")
    return found
