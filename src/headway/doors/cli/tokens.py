"""headway token …"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.prune import seconds
from headway.doors.cli.settings import FILE, environments_settled
from headway.doors.cli.stores import opened
from headway.doors.cli.words import as_json, iso, moment, printable, table
from headway.errors import Rejected

if TYPE_CHECKING:
    from headway.ports.tokens import Token

ALL = "*"
LONGEST_NAME = 100  # characters
HOLDS = ("token", "headway token new NAME --group GROUP")


@click.group(short_help="Look after tokens for the API.")
def command() -> int:
    """Look after tokens for the API."""
    return exits.DONE


@command.command(short_help="Make a token.")
@click.argument("name", metavar="NAME")
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="Whose runs and playbooks it may see and change; * for all. Several may be given.")  # noqa: E501  # fmt: skip
@click.option("--environment", "environments", metavar="NAME", multiple=True, help="On whose hosts it may have anything done: of [environments] in headway.toml, or * for all.")  # noqa: E501  # fmt: skip
@click.option("--expires", metavar="AGE", help="After so long: 12h, 90d, 8w.")
@options.reading_json
def new(
    name: str,
    groups: tuple[str, ...],
    environments: tuple[str, ...],
    expires: str | None,
    **arguments: Any,
) -> int:
    """Make a token called NAME and print it. It is shown this once: only its digest is kept."""
    from headway.runtime import clocks, tokens
    from headway.runtime.launching import who

    _require_sense(name, groups)
    _require_known(environments)
    expires_us = None
    if expires is not None:
        expires_us = clocks.now_us() + round(seconds("--expires", expires) * 1e6)
    with opened(arguments, make=True) as store:
        text, token = tokens.new_token(
            store, name, groups, environments, who=who(), expires_us=expires_us
        )
    click.echo(as_json({**_document(token), "secret": text}) if arguments["as_json"] else text)
    return exits.DONE


@command.command("list", short_help="List the tokens.")
@options.reading_json
def list_(**arguments: Any) -> int:
    """List the tokens, oldest first. The tokens themselves are kept nowhere."""
    with opened(arguments, holds=HOLDS) as store:
        found = store.tokens()
        place = store.place
    if arguments["as_json"]:
        click.echo(as_json([_document(one) for one in found]))
    elif not found:
        click.echo(f"{place} holds no token: {HOLDS[1]} makes the first")
    else:
        rows = [_row(one) for one in found]
        heads = ("TOKEN", "STATE", "MADE", "EXPIRES", "WHO", "GROUPS", "ENVIRONMENTS", "NAME")
        for line in table(rows, heads):
            click.echo(line)
    return exits.DONE


@command.command(short_help="Revoke a token.")
@click.argument("token", metavar="TOKEN")
@options.reading
def revoke(token: str, **arguments: Any) -> int:
    """Have TOKEN, an id or a name, hold no longer: the next request with it is refused."""
    from headway.runtime import clocks, tokens

    with opened(arguments, holds=HOLDS) as store:
        try:
            found = tokens.called(store, token)
        except Rejected as error:
            raise Mistyped(str(error)) from error
        if found.revoked_us is not None:
            click.echo(f"token {found.id} was revoked at {moment(found.revoked_us)} already")
            return exits.DONE
        store.revoke_token(found.id, clocks.now_us())
    click.echo(printable(f"revoked token {found.id} ({found.name})"))
    return exits.DONE


def _require_sense(name: str, groups: tuple[str, ...]) -> None:
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise Mistyped(f"NAME has 1 to {LONGEST_NAME} characters that can be printed")
    if not groups:
        raise Mistyped("say whose runs and playbooks it is for: --group GROUP, or --group '*'")


def _require_known(environments: tuple[str, ...]) -> None:
    """They stand in headway.toml as it is found from here. Raises: Mistyped."""
    known = environments_settled(Path.cwd())
    for name in environments:
        if name != ALL and name not in known:
            there = f"it has {', '.join(known)}" if known else "there are none yet"
            raise Mistyped(f"{FILE} has no environment {name!r} under [environments]: {there}")


def _state(token: "Token") -> str:
    from headway.runtime.tokens import is_valid

    if token.revoked_us is not None:
        return "revoked"
    return "holds" if is_valid(token) else "expired"


def _row(token: "Token") -> tuple[str, ...]:
    return (
        token.id,
        _state(token),
        moment(token.at_us),
        moment(token.expires_us) if token.expires_us is not None else "-",
        printable(token.who),
        printable(", ".join(token.groups)),
        printable(", ".join(token.environments)) or "-",
        printable(token.name),
    )


def _document(token: "Token") -> dict[str, Any]:
    return {
        "token": token.id,
        "name": token.name,
        "state": _state(token),
        "groups": list(token.groups),
        "environments": list(token.environments),
        "who": token.who,
        "at": iso(token.at_us),
        "expires_at": iso(token.expires_us),
        "revoked_at": iso(token.revoked_us),
    }
