"""headway workers"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import brokers, exits, options
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.stores import opened, store_is_there
from headway.doors.cli.words import (
    as_json,
    coloured,
    duration,
    iso,
    moment,
    number,
    printable,
    table,
)
from headway.jobs.states import JobState

if TYPE_CHECKING:
    from headway.adapters.bus_address import BusAddress
    from headway.ports.bus import Bus
    from headway.ports.store import Store
    from headway.ports.workers import WorkerRecord
    from headway.releases.presences import Seen
    from headway.runtime.worker_listing import Heard
    from headway.wire.messages import StepUnderWay

NOWHERE = f"""\
no core leads here that would know who is there, and no broker is named to listen on: on the bus \
of one process nobody else can serve, or listen.
Name a broker:  {brokers.EITHER}
Or the store of a core:  --db URL
Try a worker out without one:  headway step COMMAND:SUBCOMMAND --worker FILE.py:Class"""
HEADINGS = ("SERVES", "QUEUE", "WORKER", "WHERE", "SINCE", "DOING")
PAGE = 500


@click.command(short_help="List the workers that are there.")
@brokers.named
@options.reading_json
def command(mq: str | None, bus: str | None, as_json: bool, **arguments: Any) -> int:
    """List who serves what, since when, and doing which step.

    Workers say every few seconds that they are there. Where a core leads, it writes that into its
    store, which is shown. Without one, and on the broker that --mq or --bus names, this command
    listens until each must have said so.
    """
    if not mq and not bus and _show_kept(arguments, as_json):
        return exits.DONE

    from headway.adapters.bus_address import MemoryAddress

    address = brokers.address_of(mq, bus)
    if isinstance(address, MemoryAddress):
        raise Mistyped(NOWHERE)

    from headway.runtime.worker_listing import LISTEN_S, listen

    with closing(_opened(address)) as opened_bus:
        if not as_json:
            click.echo(f"listening for {LISTEN_S:g} s on {opened_bus.place}", err=True)
        heard = listen(opened_bus)
        _show(heard, LISTEN_S, opened_bus.place, as_json)
    return exits.DONE


def _show_kept(arguments: Mapping[str, Any], in_json: bool) -> bool:
    """Show who is there by the store of a core that leads; whether one does."""
    from headway.runtime import clocks
    from headway.runtime.worker_listing import Heard, seen_of

    if not store_is_there(arguments):
        return False
    with opened(arguments) as store:
        if not _is_led(store):
            return False
        now_us = clocks.now_us()
        workers = [seen_of(one, now_us) for one in _all_kept(store)]
        _show_known(Heard(workers, now_us, 0), store.place, in_json)
    return True


def _is_led(store: "Store") -> bool:
    from headway.ports.leases import CORE
    from headway.runtime.ownership import LEASE_S

    lease = store.lease_of(CORE)
    return lease is not None and lease.seen_s < LEASE_S


def _all_kept(store: "Store") -> "Iterator[WorkerRecord]":
    page = store.workers(PAGE)
    while page:
        yield from page
        last = page[-1].presence
        page = store.workers(PAGE, (last.queue, last.worker))


def _opened(address: "BusAddress") -> "Bus":
    from headway.runtime.buses import make_bus

    bus = make_bus(address, name="headway workers")
    bus.open()
    return bus


def _show(heard: "Heard", listened_s: float, place: str, in_json: bool) -> None:
    if in_json:
        _echo_documents(heard, listened_s, None)
        return
    since = f"in {listened_s:g} s"
    _echo_workers(heard, f"heard of {since}", f"no worker was heard of {since} on {place}.")
    if heard.flawed:
        click.echo(f"{number(heard.flawed, 'message')} of others could not be read", err=True)


def _show_known(heard: "Heard", place: str, in_json: bool) -> None:
    if in_json:
        _echo_documents(heard, None, place)
        return
    core = f"the core of {place}"
    _echo_workers(heard, f"known to {core}", f"{core} has heard of no worker.")


def _echo_workers(heard: "Heard", how_known: str, nobody: str) -> None:
    if heard.workers:
        for line in _lines(heard):
            click.echo(line)
        click.echo(f"\n{number(len(heard.workers), 'worker')} {how_known}")
    else:
        click.echo(
            f"{nobody} Serve one:  headway worker TARGET --mq mqconf.json\n"
            "Workers of other libraries may be there without saying so."
        )


def _echo_documents(heard: "Heard", listened_s: float | None, store: str | None) -> None:
    workers = [worker_document(seen, heard.at_us) for seen in heard.workers]
    click.echo(as_json({"listened_s": listened_s, "store": store, "workers": workers}))


def _lines(heard: "Heard") -> list[str]:
    rows = [row for seen in heard.workers for row in _rows(seen, heard.at_us)]
    lines = table(rows, HEADINGS)
    for place, row in enumerate(rows, 1):
        if row[5].startswith(("leaving;", "lost;")):
            lines[place] = coloured(lines[place], JobState.WAITING)
    return lines


def _rows(seen: "Seen", now_us: int) -> Iterator[tuple[str, str, str, str, str, str]]:
    """A line for the worker, and one more for each further step it does at once."""
    one = seen.presence
    more = f" ×{one.concurrency}" if one.concurrency > 1 else ""
    first, *rest = [_doing(step, now_us) for step in one.doing] or ["nothing"]
    if (state := seen.state(now_us)) in ("leaving", "lost"):
        first = f"{state}; {first}"
    yield (
        printable(", ".join(_commands(seen))),
        printable(one.queue),
        printable(f"{one.kind or '?'}{more}"),
        printable(f"{one.host or '?'}, pid {one.pid}" if one.pid else one.host or "?"),
        moment(one.since_us),
        first,
    )
    for step in rest:
        yield "", "", "", "", "", step


def _commands(seen: "Seen") -> list[str]:
    """What steps must begin with to get there, as far as the worker knows."""
    from headway.wire import names

    prefix = names.worker_key("")
    keys = seen.presence.bindings or [prefix + seen.presence.command]
    return [key.removeprefix(prefix) for key in keys]


def _doing(step: "StepUnderWay", now_us: int) -> str:
    name = f"{step.command}:{step.subcommand}" if step.subcommand else "a step"
    run = f" of {step.run}" if step.run else ""
    return printable(f"{name}{run} for {duration((now_us - step.since_us) / 1e6)}")


def worker_document(seen: "Seen", now_us: int) -> dict[str, Any]:
    """docs/reference/command-line.md and the API show it."""
    one = seen.presence
    return {
        "worker": one.worker,
        "state": seen.state(now_us),
        "command": one.command,
        "queue": one.queue,
        "bindings": list(one.bindings),
        "class": one.kind,
        "version": one.version,
        "host": one.host,
        "pid": one.pid,
        "since_at": iso(one.since_us),
        "heard_at": iso(seen.heard_us),
        "interval_s": one.interval_s,
        "concurrency": one.concurrency,
        "doing": [
            {
                "run": step.run,
                "attempt": step.attempt,
                "command": step.command,
                "subcommand": step.subcommand,
                "since_at": iso(step.since_us),
            }
            for step in one.doing
        ],
    }
