"""headway deploy PLAYBOOK"""

import getpass
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.carrying import Show, showing
from headway.doors.cli.stored_playbooks import found_playbook
from headway.doors.cli.stores import PLAYBOOK, opened
from headway.doors.cli.targets import surroundings_chosen
from headway.doors.cli.words import as_json, faint, printable
from headway.errors import Rejected
from headway.ports.store import short_id

if TYPE_CHECKING:
    from headway.ports.store import RunRecord, Store
    from headway.runtime.deploying import Deployment


@click.command(short_help="Have a core carry a stored playbook out.")
@options.playbook
@options.inputs
@options.surroundings
@click.option("--version", "number", metavar="N", type=click.IntRange(min=1), help="An older version of the playbook.")  # noqa: E501  # fmt: skip
@click.option("--key", metavar="KEY", help="Names this deployment: the same command with the same key begins it only once.")  # noqa: E501  # fmt: skip
@click.option("--wait", "waits", is_flag=True, help="Show how it goes, until it is over.")
@click.option("--timeout", "timeout_s", metavar="S", type=click.FloatRange(min=0), help="With --wait: no longer than this; the deployment goes on.")  # noqa: E501  # fmt: skip
@showing
@options.db
@options.durable
def command(
    playbook: str, key: str | None, waits: bool, timeout_s: float | None, **arguments: Any
) -> int:
    """Store a release of PLAYBOOK, for a core (headway core) to carry out, and print its id.

    PLAYBOOK is an id, any beginning of it that no other shares, or group/name. A secret input is
    given as what the core is to find it by: env:NAME or file:PATH. It may be left with Ctrl-C
    while it waits: the deployment goes on.
    """
    if timeout_s is not None and not waits:
        raise exits.Mistyped("--timeout says how long --wait waits: give both")
    show = Show.chosen(arguments)
    inputs = options.read_inputs(arguments["texts"], arguments["values"])
    with opened(arguments, holds=PLAYBOOK) as store:
        begun = _begun(store, playbook, inputs, key, arguments)
        record = store.find(begun.run)
        _tell(store, record, begun, show, waits=waits)
        return _waited(store, record, show, timeout_s) if waits else exits.DONE


def _begun(
    store: "Store",
    called: str,
    inputs: dict[str, Any],
    key: str | None,
    arguments: dict[str, Any],
) -> "Deployment":
    from headway.runtime.deploying import deploy, deployed_before, digest_of, read_release
    from headway.runtime.launching import who

    record, number = found_playbook(store, called), arguments["number"]
    asked = digest_of([record.id, number, inputs])
    kept = None if key is None else f"cli:{digest_of([getpass.getuser(), key])}"
    if kept is not None and (before := deployed_before(store, kept, asked)) is not None:
        return before
    if number is not None and number > record.version:
        raise exits.Mistyped(
            f"playbook {record.title} has no version {number}: its newest is {record.version}"
        )
    release = read_release(store, record, number, surroundings_chosen(arguments))
    return deploy(store, release, inputs, who=who(), key=kept, asked=asked)


def _tell(
    store: "Store", record: "RunRecord", begun: "Deployment", show: Show, *, waits: bool
) -> None:
    """The id for whoever asked, and what to type next."""
    if show.as_json:
        click.echo(as_json(_document(record, begun)))
        return
    if waits and show.quiet:
        return
    click.echo(record.id)
    if show.quiet:
        return
    if not begun.is_new:
        click.echo(f"was begun with this key before; it is {record.state}", err=True)
    if not waits:
        for line in _next(store, record):
            click.echo(line, err=True)


def _document(record: "RunRecord", begun: "Deployment") -> dict[str, Any]:
    target, _, version = record.launch.target.rpartition("@")
    return {
        "event": "deployed",
        "run": record.id,
        "playbook": target.partition(":")[2],
        "version": int(version),
        "state": record.state,
        "is_new": begun.is_new,
    }


def _next(store: "Store", record: "RunRecord") -> list[str]:
    from headway.doors.cli.following import no_core
    from headway.doors.cli.waiting import waits_of
    from headway.runtime.turns import leading

    short = short_id(record.id)
    lines = [
        f"  headway logs {short} -f  {faint('shows what it writes')}",
        f"  headway show {short}     {faint('shows how it stands')}",
        f"  headway cancel {short}   {faint('stops it')}",
    ]
    if leading(store) is None:
        return [printable(no_core(store)), *lines]
    if record.launch.locks:
        return [*waits_of(store, record, record.state), *lines]
    return lines


def _waited(store: "Store", record: "RunRecord", show: Show, timeout_s: float | None) -> int:
    from headway.doors.cli.following import Following

    exits.leave_when_terminated()
    short = short_id(record.id)
    try:
        return Following(store, record.id, show).to_the_end(timeout_s)
    except KeyboardInterrupt:
        click.echo(
            f"deployment {short} goes on: headway logs {short} -f shows it,"
            f" headway cancel {short} stops it",
            err=True,
        )
        return exits.INTERRUPTED
    except Rejected as error:
        raise Rejected(f"deployment {short} cannot be followed any more: {error}") from error
