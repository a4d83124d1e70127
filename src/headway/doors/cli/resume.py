"""headway resume RUN"""

from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.carrying import Show, carried_out, showing
from headway.doors.cli.hands import ready_for
from headway.doors.cli.stores import found_run, opened
from headway.doors.cli.words import as_json, listed, printable
from headway.errors import Rejected
from headway.jobs.states import RunState
from headway.ports.store import short_id

if TYPE_CHECKING:
    from headway.ports.store import RunRecord, Store
    from headway.runtime.launching import Options
    from headway.runtime.loading import Loaded

changing = options.together(
    click.option("-j", "slots", metavar="N", type=click.IntRange(min=1), help="How many jobs at once."),  # noqa: E501
    options.workers,
    options.secrets,
    options.on,
    click.option("--cleanup/--no-cleanup", default=None, help="Whether Cleanups run at the end."),
    click.option("--strict/--no-strict", default=None, help="Stop at a Check that looks broken."),
)  # fmt: skip


@click.command(short_help="Go on with a run that was cut off or paused.")
@options.run
@changing
@showing
@options.db
@options.durable
def command(run: str | None, **arguments: Any) -> int:
    """Go on with RUN (the last one, if left out) where it was cut off or paused.

    A paused run that somebody works on is told to go on. Any other is carried out as it was begun;
    options given here take the place of the ones given then.
    """
    from headway.runtime import asking, clocks, ownership
    from headway.runtime.launching import reload, require_unowned, require_whole, who

    with opened(arguments) as store:
        record = found_run(store, run)
        if record.core:
            return asked_of_core(store, record, "resume", {}, arguments)
        paused = is_paused(store, record)
        if paused and ownership.lives(record):
            answer = asking.asked(store, record, "resume", {})
            click.echo(f"run {short_id(record.id)}: {printable(answer)}")
            return exits.DONE
        require_unowned(record)
        _require_unfinished(record, ownership.state_now(record))
        target, changed = reload(store, record, options.read_again(arguments))
        require_whole(store, record, target.plan)
        tell_taken_up(record, changed, arguments)
        chosen = chosen_options(record, arguments)
        if paused:
            store.ask(record.id, "resume", {}, who(), clocks.now_us())
        return taken_up(store, record, target, chosen, arguments)


def taken_up(
    store: "Store",
    record: "RunRecord",
    target: "Loaded",
    chosen: "Options",
    arguments: dict[str, Any],
    *,
    retry: list[int] | None = None,
    **more: Any,
) -> int:
    """Take a run up and carry it out; the exit code. ``more``: as ``carried_out`` takes it."""
    from headway.runtime.launching import take_up

    with ready_for(target, chosen, arguments) as ready:
        return carried_out(
            store,
            target.plan,
            Show.chosen(arguments),
            lambda watching, watch: take_up(
                store,
                record,
                target,
                ready.executor,
                chosen,
                [watching.heard],
                watch,
                retry=retry,
                announce=ready.announce,
            ),
            **more,
        )


def asked_of_core(
    store: "Store",
    record: "RunRecord",
    verb: str,
    args: dict[str, Any],
    arguments: dict[str, Any],
) -> int:
    """Have a core go on with a run of its own. Raises: Rejected, Unavailable."""
    from headway.runtime import asking, ownership

    state, short = ownership.state_now(record), short_id(record.id)
    if verb == "resume" and state is not RunState.RUNNING:
        _require_unfinished(record, state)
    _require_left_to_core(short, arguments)
    answer = asking.asked(store, record, verb, args)
    if arguments["as_json"]:
        click.echo(as_json({"run": record.id, "answer": answer}))
    elif not arguments["quiet"]:
        click.echo(f"run {short}: {printable(answer)}; headway logs {short} -f follows it")
    return exits.DONE


def _require_left_to_core(short: str, arguments: dict[str, Any]) -> None:
    """Nothing is said of how to carry it out. Raises: Mistyped."""
    ours = {
        "-j": arguments["slots"],
        "--worker": arguments["workers"],
        "--set": arguments["texts"],
        "--on": arguments["on"],
        "-A": arguments["app"],
        "--cleanup and --no-cleanup": arguments["cleanup"],
        "--strict and --no-strict": arguments["strict"],
    }
    given = [option for option, value in ours.items() if value not in (None, ())]
    if given:
        raise exits.Mistyped(
            f"run {short} is a core's, which carries it out as it was begun: leave out"
            f" {', '.join(given)}"
        )


def is_paused(store: "Store", record: "RunRecord") -> bool:
    """Whether it was asked to start nothing new, and has not been told otherwise."""
    from headway.jobs.events import decode
    from headway.jobs.plan import Plan
    from headway.jobs.standing import Standing

    standing = Standing(Plan.from_json(store.plan(record.id)))
    for entry in store.journal(record.id):
        standing.apply(decode(entry.row))
    return standing.paused


def _require_unfinished(record: "RunRecord", state: RunState) -> None:
    short = short_id(record.id)
    if state is RunState.SUCCEEDED:
        raise Rejected(f"run {short} is over: it succeeded. headway run begins a new one")
    if state is RunState.QUEUED:
        raise Rejected(
            f"run {short} is queued: a core takes it up (headway core), and headway cancel"
            f" {short} gives it up"
        )
    if state is RunState.FAILED:
        raise Rejected(f"run {short} is over: it failed. headway retry {short} tries it again")


def tell_taken_up(record: "RunRecord", changed: list[str], arguments: dict[str, Any]) -> None:
    """Say what is taken up, and whose code is no longer what it was."""
    err = bool(arguments["as_json"] or arguments["quiet"])
    if not err:
        click.echo(f"run {short_id(record.id)} of {printable(record.launch.target)} goes on")
    if changed:
        click.echo(f"changed since then: the code of {listed(changed)}; Checks decide", err=err)


def chosen_options(record: "RunRecord", arguments: dict[str, Any]) -> "Options":
    """The options the run was begun with, but for those given now."""
    from headway.runtime.launching import Options

    said = {
        name: arguments[name]
        for name in ("slots", "on", "app", "cleanup", "strict")
        if arguments.get(name) is not None
    }
    if arguments.get("workers"):
        said["workers"] = arguments["workers"]
    if (said.get("slots") or 1) > 1 and record.launch.options.get("on") == "inline":
        said.setdefault("on", "")
    chosen = Options(**{**record.launch.options, **said})
    if chosen.on != "celery" and "app" not in said:
        chosen.app = ""
    options.require_app(chosen.on, chosen.app)
    return chosen


def one_at_a_time(record: "RunRecord", arguments: dict[str, Any]) -> "Options":
    """The options for what is done only to end a run."""
    chosen = chosen_options(record, {"workers": arguments.get("workers")})
    chosen.slots = 1
    if chosen.on != "celery":  # where its jobs were, what they left is
        chosen.on = "inline"
    return chosen
