"""headway db …"""

import os
from pathlib import Path
from typing import Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.settings import settled
from headway.doors.cli.stores import open_store, require_there


@click.group(short_help="Look after the store.")
def command() -> int:
    """Look after the store."""
    return exits.DONE


@command.command(short_help="Bring the store to this Headway's schema.")
@options.reading
def upgrade(**arguments: Any) -> int:
    """Bring the store to the schema of this Headway. It takes a moment; runs stay as they are."""
    settings = settled(arguments, os.environ, Path.cwd())
    require_there(settings)
    store = open_store(settings, check_version=False)
    try:
        had = store.upgrade()
        now = store.version()
        if had == now:
            click.echo(f"{store.place} has the newest schema already ({now})")
        else:
            click.echo(f"{store.place} now has schema {now} (it had {had})")
    finally:
        store.close()
    return exits.DONE
