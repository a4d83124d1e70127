"""Options that several commands share."""

import json
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from headway.doors.cli.exits import Mistyped

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def together(*decorators: Decorator) -> Decorator:
    """Several decorators as one; the first one's option comes first in --help."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def _files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]


def _runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The newest runs of the store."""
    from headway.doors.cli.stores import opened
    from headway.errors import HeadwayError
    from headway.ports.store import short_id

    try:
        with opened(ctx.params) as store:
            runs = store.runs()
    except HeadwayError:
        return []
    return [
        CompletionItem(short_id(run.id), help=run.launch.target)
        for run in runs
        if run.id.startswith(incomplete)
    ]


def _playbooks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The playbooks of the store."""
    from headway.doors.cli.stores import opened
    from headway.errors import HeadwayError
    from headway.ports.store import short_id

    try:
        with opened(ctx.params) as store:
            found = store.playbooks()
    except HeadwayError:
        return []
    return [
        CompletionItem(short_id(one.id), help=one.title)
        for one in found
        if one.id.startswith(incomplete)
    ]


target: Decorator = click.argument("target", metavar="TARGET", shell_complete=_files)
run: Decorator = click.argument("run", metavar="[RUN]", required=False, shell_complete=_runs)
playbook: Decorator = click.argument("playbook", shell_complete=_playbooks)
db: Decorator = click.option(
    "--db", metavar="URL|PATH",
    help="The store: an SQLite file or postgresql://…  [env: HEADWAY_DB; default:"
    " .headway/headway.db, found upwards]",
)  # fmt: skip
durable: Decorator = click.option(
    "--durable", type=click.Choice(["process", "power"]),
    help="What a commit survives: the death of the process (default), or also of the machine.",
)  # fmt: skip
as_json: Decorator = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
debug: Decorator = click.option(
    "--debug", is_flag=True, help="Show tracebacks, of jobs and of errors."
)
inputs: Decorator = together(
    click.option(
        "--set", "-s", "texts", metavar="NAME=TEXT", multiple=True, help="An input, as text."
    ),
    click.option(
        "--set-json", "values", metavar="NAME=JSON", multiple=True,
        help="An input of another type: 3, true, [1,2], {\"a\":1}.",
    ),
)  # fmt: skip
bus: Decorator = click.option(
    "--bus", metavar="URL",
    help="Where workers of steps are: amqp://user:password@host/vhost  [env: HEADWAY_BUS;"
    " default: in this process]",
)  # fmt: skip
workers: Decorator = together(
    bus,
    click.option(
        "--worker", "workers", metavar="TARGET[=FILE]", multiple=True,
        help="Serve steps here: FILE.py:Class or a stock worker, and its configuration.",
    ),
)  # fmt: skip
on: Decorator = together(
    click.option(
        "--on", type=click.Choice(["inline", "threads", "processes", "celery"]),
        help="Where jobs run, and Checks are asked; default: inline for -j 1, threads for more.",
    ),
    click.option(
        "-A", "--app", metavar="APP", help="The Celery app, for --on celery: as for celery -A.",
    ),
)  # fmt: skip
surroundings: Decorator = together(
    click.option(
        "--surroundings", metavar="FILE",
        help="What surrounds a playbook: triggers, checks, actions, notices.  [default:"
        " headway.toml]",
    ),
    click.option(
        "--triggers", metavar="FILE", help="Its triggers, in place of those of the surroundings.",
    ),
)  # fmt: skip
secrets: Decorator = click.option(
    "--set", "-s", "texts", metavar="NAME=TEXT", multiple=True,
    help="A secret input, which nobody kept.",
)  # fmt: skip
reading: Decorator = together(db, debug)
reading_json: Decorator = together(as_json, db, debug)


def require_app(on: str | None, app: str | None) -> None:
    """What runs on Celery needs its app, and nothing else does. Raises: Mistyped."""
    if on == "celery" and not app:
        raise Mistyped("--on celery needs the Celery app: -A proj.celery:app")
    if app and on != "celery":
        raise Mistyped(f"-A {app} is for --on celery: give both, or neither")


def read_inputs(texts: tuple[str, ...], values: tuple[str, ...]) -> dict[str, Any]:
    """The inputs that --set and --set-json give. Raises: Mistyped."""
    for option, pairs in (("--set", texts), ("--set-json", values)):
        for pair in pairs:
            if not pair.partition("=")[0].isidentifier() or "=" not in pair:
                raise Mistyped(
                    f"{option} {pair!r}: write {option} name=value, the name being one that a"
                    " Python argument can have (letters, digits, _)"
                )
    return read_pairs("--set", texts, "--set-json", values, "input")


def read_again(arguments: dict[str, Any]) -> dict[str, Any]:
    """The secret inputs that --set gives again. Raises: Mistyped."""
    return read_pairs("--set", arguments["texts"], "--set-json", (), "input")


def read_pairs(
    text_option: str,
    texts: tuple[str, ...],
    json_option: str,
    values: tuple[str, ...],
    noun: str = "parameter",
) -> dict[str, Any]:
    """What an option for texts and its twin for JSON give. Raises: Mistyped."""
    found: dict[str, Any] = {}
    for option, pairs in ((text_option, texts), (json_option, values)):
        for pair in pairs:
            name, mark, value = pair.partition("=")
            if not mark or not name:
                raise Mistyped(f"{option} {pair!r}: write {option} name=value")
            if name in found:
                raise Mistyped(f"{option} {pair!r}: the {noun} {name!r} is given twice")
            found[name] = value if option == text_option else _parsed(option, pair, value)
    return found


def _parsed(option: str, pair: str, text: str) -> Any:
    plain = option.removesuffix("-json")
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    except ValueError as error:
        raise Mistyped(
            f"{option} {pair!r}: what follows = is not JSON ({error})."
            f" A text in JSON has quotes: name='\"text\"'; {plain} name=text needs none."
        ) from None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found
