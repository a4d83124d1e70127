"""What a run waits for, told in words: a lock that another run has, or a core."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headway.doors.cli.words import as_json, printable
from headway.jobs.states import RunState
from headway.ports.store import short_id

if TYPE_CHECKING:
    from headway.doors.cli.carrying import Show
    from headway.ports.store import RunRecord, Store
    from headway.runtime.turns import Ahead

FOR_A_CORE = "it waits for a core to take it up (headway core)"
BEGIN_A_CORE = "headway up begins one, or headway core --bus URL"


def waits_of(store: "Store", record: "RunRecord", state: RunState) -> list[str]:
    """What a run waits for before anything of it can begin, in sentences."""
    from headway.runtime.turns import ahead_of

    if state is RunState.RUNNING and not record.launch.locks:
        return []
    if state not in (RunState.QUEUED, RunState.RUNNING, RunState.INTERRUPTED):
        return []
    lines = [line for ahead in ahead_of(store, record.id) for line in lock_lines(ahead)]
    return lines or ([FOR_A_CORE] if state is RunState.QUEUED else [])


def lock_lines(ahead: "Ahead") -> list[str]:
    """Who has a lock, and what to type if that run does not go on by itself."""
    short = short_id(ahead.run)
    whose = f"run {short} of {printable(ahead.who)} has"
    lines = [f"it waits for the lock {printable(ahead.tag)}, which {whose}"]
    return lines + [f"  {line}" for line in remedies(short, ahead.state, core=ahead.core)]


def remedies(short: str, state: RunState, *, core: bool) -> list[str]:
    """What to do about a run that has a lock and does not go on by itself. ``core``: it is one's
    to carry out."""
    match state:
        case RunState.INTERRUPTED if core:
            return [f"no core works on run {short}: {BEGIN_A_CORE}, which goes on with it"]
        case RunState.INTERRUPTED:
            return [
                f"nobody works on run {short} any more: headway resume {short} goes on with it,"
                f" headway cancel {short} ends it"
            ]
        case RunState.IN_DOUBT:
            return [f"run {short} is in doubt: headway why {short} says what to settle"]
        case _:
            return []


class LockTeller:
    """Tells whoever looks on that a run waits for a lock, and when it goes on."""

    def __init__(self, show: "Show") -> None:
        self._show = show

    def told(self, ahead: "Sequence[Ahead]") -> None:
        if self._show.as_json:
            print_json(_document(ahead))
        elif not ahead:
            tell(self._show, "it has its locks and goes on")
        else:
            for one in ahead:
                # A run that is dead is waited for in vain: that is said to whoever is listening.
                tell(self._show, *lock_lines(one), always=len(lock_lines(one)) > 1)


def _document(ahead: "Sequence[Ahead]") -> dict[str, Any]:
    if not ahead:
        return {"event": "locks-taken"}
    found = [
        {"tag": one.tag, "run": one.run, "who": one.who, "state": str(one.state)} for one in ahead
    ]
    return {"event": "locks-awaited", "locks": found}


def tell(show: "Show", *lines: str, always: bool = False) -> None:
    """``always``: also to who wants to hear nothing if all goes well."""
    import click

    if always and show.quiet:
        for line in lines:
            click.echo(line, err=True)
    elif not show.quiet:
        for line in lines:
            click.echo(line)


def print_json(document: dict[str, Any]) -> None:
    import click

    click.echo(as_json(document))
