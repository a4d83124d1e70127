"""Which broker a command is for: --mq FILE or --bus URL, else HEADWAY_BUS, else headway.toml."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli.exits import Mistyped
from headway.doors.cli.options import Decorator, together
from headway.doors.cli.settings import bus_settled
from headway.errors import DefinitionError

if TYPE_CHECKING:
    from headway.adapters.bus_address import BusAddress

EITHER = "--mq mqconf.json  or  --bus amqp://user:password@host/vhost"

named: Decorator = together(
    click.option("--mq", metavar="FILE", help="JSON: user, password, server, vhost; port, ssl."),
    click.option(
        "--bus", metavar="URL",
        help="amqp://… or amqps://…, in place of --mq.  [env: HEADWAY_BUS]",
    ),
)  # fmt: skip


def url_of(arguments: Mapping[str, Any]) -> str:
    """What --bus says, or is said in its place; "" for the bus of this process.

    Raises: Mistyped, Refused.
    """
    url = bus_settled(arguments, os.environ, Path.cwd())
    return "" if url.startswith("memory:") else url


def address_of(mq: str | None, url: str | None) -> "BusAddress":
    """Without either, the bus of this process.

    Raises: Mistyped for both, and for what is no address; Refused for what must not be used.
    """
    from headway.adapters.bus_address import MemoryAddress, parse_bus_url, parse_mq_config

    if mq and url:
        raise Mistyped("--mq and --bus both say where the bus is: give one")
    try:
        if mq:
            from headway.runtime.worker_config import read_config

            return parse_mq_config(read_config(mq))
        url = url_of({"bus": url})
        return parse_bus_url(url) if url else MemoryAddress()
    except DefinitionError as error:
        raise Mistyped(str(error)) from error
