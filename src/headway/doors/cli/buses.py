"""The bus that a command works with: what was typed, else the environment, else headway.toml."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from headway.doors.cli.exits import Mistyped
from headway.doors.cli.options import Decorator, together
from headway.doors.cli.settings import bus_settled

broker: Decorator = together(
    click.option("--mq", metavar="FILE", help="JSON: user, password, server, vhost; port, ssl."),
    click.option(
        "--bus", metavar="URL",
        help="amqp://… or amqps://…, in place of --mq.  [env: HEADWAY_BUS]",
    ),
)  # fmt: skip


def bus_url(arguments: Mapping[str, Any]) -> str:
    """ "" for a bus in this process. Raises: Mistyped, Refused."""
    url = bus_settled(arguments, os.environ, Path.cwd())
    return "" if url.startswith("memory:") else url


def named_broker(arguments: Mapping[str, Any]) -> Mapping[str, Any] | str:
    """What --mq holds, or the URL; "" where neither is named.

    Raises: Mistyped, Refused; DefinitionError for a file that is no such configuration.
    """
    if not arguments["mq"]:
        return bus_url(arguments)
    if arguments["bus"]:
        raise Mistyped("--mq and --bus both say where the bus is: give one")
    from headway.runtime.worker_config import read_config

    return read_config(arguments["mq"])
