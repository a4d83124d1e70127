"""headway api"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.settings import Settings, environments_settled, settled
from headway.doors.cli.stores import make_home, open_store
from headway.doors.cli.targets import surroundings_chosen
from headway.errors import Rejected, Unavailable

if TYPE_CHECKING:
    from headway.doors.web.serving import Listener

LISTEN = "127.0.0.1:8320"


@click.command(short_help="Serve the API.")
@click.option(
    "--listen", "place", metavar="HOST:PORT", default=LISTEN, show_default=True,
    help="Where; beyond this machine only when there are tokens.",
)  # fmt: skip
@options.surroundings
@options.durable
@options.reading
def command(place: str, **arguments: Any) -> int:
    """Serve the API over a store, until SIGTERM or Ctrl-C.

    It writes what is asked of it to the store; a core on the same store does it.
    """
    try:
        from headway.doors.web import serving
        from headway.doors.web.app import ApiSettings, make_app
    except ModuleNotFoundError as error:
        raise Unavailable(
            "the API needs FastAPI and uvicorn: pip install 'headway[web]'"
        ) from error
    settings = settled(arguments, os.environ, Path.cwd())
    environments = environments_settled(Path.cwd())
    surroundings = surroundings_chosen(arguments)
    if not settings.db_from:
        make_home(Path(settings.db).parent)
    try:
        listener = serving.listen(place)
    except Rejected as error:
        raise Mistyped(f"--listen {error}") from error
    try:
        has_tokens = serving.require_tokens(lambda: open_store(settings), listener)
        app = make_app(
            lambda: open_store(settings),
            ApiSettings(listener.is_loopback, environments, surroundings),
        )
        server = serving.Server(app, listener)
        _tell(listener, settings, has_tokens=has_tokens)
        server.serve_until_left()
    finally:
        listener.close()
    return exits.DONE


def _tell(listener: "Listener", settings: Settings, *, has_tokens: bool) -> None:
    from headway.doors.cli.settings import masked

    click.echo(f"API on {listener.url}/api/v1, store {masked(settings.db)}")
    if not has_tokens:
        click.echo(
            "There is no token yet: everybody on this machine may do everything."
            " headway token new NAME --group GROUP makes the first."
        )
    sys.stdout.flush()
