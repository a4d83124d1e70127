"""headway api, and the API beside another command's work"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.settings import environments_settled, settled
from headway.doors.cli.stores import make_home, open_store
from headway.doors.cli.targets import surroundings_chosen
from headway.errors import Rejected, Unavailable

if TYPE_CHECKING:
    from headway.doors.web.app import ApiSettings
    from headway.doors.web.serving import Listener
    from headway.ports.store import Store
    from headway.releases.surroundings import Surroundings

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
    require_web()
    from headway.doors.web import serving
    from headway.doors.web.app import make_app

    settings = settled(arguments, os.environ, Path.cwd())
    if not settings.db_from:
        make_home(Path(settings.db).parent)

    def opened() -> "Store":
        return open_store(settings)

    with _listening(place, opened, surroundings_chosen(arguments)) as (listener, api):
        serving.Server(make_app(opened, api), listener).serve_until_left()
    return exits.DONE


@contextmanager
def api_beside(
    place: str,
    opened: "Callable[[], Store]",
    surroundings: "Surroundings",
    written: Callable[[], object] = lambda: None,
) -> "Iterator[Listener]":
    """Serve the API by a thread of its own, for as long as the context lasts, and say where.

    ``written`` is called when a core has something to do.
    Raises: Mistyped, Unavailable; Refused where everybody would be let in.
    """
    require_web()
    from dataclasses import replace

    from headway.doors.web import serving

    with (
        _listening(place, opened, surroundings) as (listener, api),
        serving.beside(opened, replace(api, written=written), listener),
    ):
        yield listener


def require_web() -> None:
    """Raises: Unavailable where the extra is not installed."""
    try:
        import headway.doors.web.app  # noqa: F401
    except ModuleNotFoundError as error:
        raise Unavailable(
            "the API needs FastAPI and uvicorn: pip install 'headway[web]'"
        ) from error


@contextmanager
def _listening(
    place: str, opened: "Callable[[], Store]", surroundings: "Surroundings"
) -> "Iterator[tuple[Listener, ApiSettings]]":
    from headway.doors.web import serving
    from headway.doors.web.app import ApiSettings

    environments = environments_settled(Path.cwd())
    try:
        listener = serving.listen(place)
    except Rejected as error:
        raise Mistyped(f"--listen {error}") from error
    try:
        _tell(listener, opened)
        yield listener, ApiSettings(listener.is_loopback, environments, surroundings)
    finally:
        listener.close()


def _tell(listener: "Listener", opened: "Callable[[], Store]") -> None:
    """Say where it serves, and whom. Raises: Refused where everybody would be let in."""
    from headway.doors.web.serving import require_tokens

    store = opened()
    try:
        has_tokens = require_tokens(store, listener)
        click.echo(f"API on {listener.url}/api/v1, store {store.place}")
    finally:
        store.close()
    if not has_tokens:
        click.echo(
            "There is no token yet: everybody on this machine may do everything."
            " headway token new NAME --group GROUP makes the first."
        )
    sys.stdout.flush()
