"""headway locks"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from headway.doors.cli import exits, options
from headway.doors.cli.stores import opened
from headway.doors.cli.waiting import remedies
from headway.doors.cli.words import as_json, iso, moment, printable, table
from headway.errors import Rejected
from headway.ports.store import short_id

if TYPE_CHECKING:
    from headway.jobs.states import RunState
    from headway.ports.store import Lock, Store


class Place(NamedTuple):
    """A run that has a lock, or waits for it."""

    lock: "Lock"
    holds: bool
    who: str
    target: str
    state: "RunState"
    core: bool


@click.command(short_help="List who has which lock, and who waits.")
@options.reading_json
def command(**arguments: Any) -> int:
    """List who has each lock, who waits for it, and since when.

    A playbook that says lock: [TAG] has its runs wait for each other, first come first served. A
    lock goes with the end of its run: succeeded, failed or cancelled.
    """
    with opened(arguments) as store:
        places = _places(store)
    if arguments["as_json"]:
        click.echo(as_json([_document(place) for place in places]))
    elif not places:
        click.echo("no run has a lock")
    else:
        for line in [*_lines(places), *_advice(places)]:
            click.echo(line)
    return exits.DONE


def _places(store: "Store") -> list[Place]:
    from headway.runtime.turns import standing

    found: list[Place] = []
    held: set[str] = set()
    for lock in store.locks():
        try:
            told = standing(store.find(lock.run))
        except Rejected:
            continue  # it ended, and was forgotten, meanwhile
        found.append(Place(lock, lock.tag not in held, *told))
        held.add(lock.tag)
    return found


def _document(place: Place) -> dict[str, Any]:
    return {
        "tag": place.lock.tag,
        "run": place.lock.run,
        "holds": place.holds,
        "since": iso(place.lock.at_us),
        "who": place.who,
        "target": place.target,
        "state": str(place.state),
    }


def _lines(places: Sequence[Place]) -> list[str]:
    rows = [
        (
            printable(place.lock.tag),
            "has it" if place.holds else "waits",
            short_id(place.lock.run),
            moment(place.lock.at_us),
            str(place.state),
            printable(place.who),
            printable(place.target),
        )
        for place in places
    ]
    return table(rows, ("LOCK", "", "RUN", "SINCE", "STATE", "WHO", "TARGET"))


def _advice(places: Sequence[Place]) -> list[str]:
    """What to do about runs that have a lock and do not go on by themselves."""
    said = [
        line
        for place in places
        if place.holds
        for line in remedies(short_id(place.lock.run), place.state, core=place.core)
    ]
    return list(dict.fromkeys(said))
