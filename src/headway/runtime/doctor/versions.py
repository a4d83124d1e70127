"""Looks at versions: what Headway was tested with, and what is known not to work."""

import platform
import re
import sqlite3
import ssl
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import headway
from headway.runtime.doctor.finding import Area

TESTED_PYTHON = ((3, 11), (3, 13))  # oldest and newest
OLDEST_SQLITE = (3, 35)


class Library(NamedTuple):
    """An extra's, if it is installed."""

    name: str
    oldest: tuple[int, ...]
    below: tuple[int, ...]
    extra: str


LIBRARIES = (
    Library("pika", (1, 4), (1, 5), "rabbitmq"),
    Library("psycopg", (3, 3), (4,), "postgres"),
)
OLDEST_RABBITMQ, TESTED_RABBITMQ = (3, 8), (3, 10)
NEW_RABBITMQ = (4, 0)


def examine(area: Area, broker: tuple[str, str] | None, postgres: str | None) -> None:
    """``broker``: product and version, if it was seen; ``postgres``: the server's, likewise."""
    _python(area)
    for library in LIBRARIES:
        _library(area, library)
    _sqlite(area)
    area.ok(ssl.OPENSSL_VERSION)
    if postgres is not None:
        area.ok(f"PostgreSQL {postgres}")
    if broker is not None:
        _broker(area, *broker)


def _python(area: Area) -> None:
    says = f"Headway {headway.__version__}, Python {platform.python_version()}"
    if TESTED_PYTHON[0] <= sys.version_info[:2] <= TESTED_PYTHON[1]:
        area.ok(says)
    else:
        oldest, newest = (".".join(map(str, one)) for one in TESTED_PYTHON)
        area.warn(f"{says}: not tested with it", f"use Python {oldest} to {newest}")


def _library(area: Area, library: Library) -> None:
    try:
        found = version(library.name)
    except PackageNotFoundError:
        area.ok(f"no {library.name}: pip install 'headway[{library.extra}]' brings it")
        return
    if library.oldest <= numbers(found) < library.below:
        area.ok(f"{library.name} {found}")
    else:
        area.problem(
            f"{library.name} {found} is none that Headway works with",
            "type",
            f"pip install 'headway[{library.extra}]'",
        )


def _sqlite(area: Area) -> None:
    if numbers(sqlite3.sqlite_version) < OLDEST_SQLITE:
        area.problem(
            f"SQLite {sqlite3.sqlite_version} is too old", "use a Python with SQLite 3.35 or later"
        )
    else:
        area.ok(f"SQLite {sqlite3.sqlite_version}")


def _broker(area: Area, product: str, found: str) -> None:
    says = f"{product} {found}"
    if product != "RabbitMQ":
        area.warn(f"{says}: not tested", "use RabbitMQ")
    elif numbers(found) < OLDEST_RABBITMQ:
        area.problem(f"{says} has no quorum queues", "use RabbitMQ 3.10 or later")
    elif numbers(found) < TESTED_RABBITMQ:
        area.warn(f"{says}: tested with 3.10", "use RabbitMQ 3.10 or later")
    elif numbers(found) >= NEW_RABBITMQ:
        area.warn(
            f"{says}: tested with 3.10. It drops a message of a quorum queue that came back 20"
            " times",
            "set delivery-limit by a policy on ^worker\\. if your workers requeue steps",
        )
    else:
        area.ok(says)


def numbers(text: str) -> tuple[int, ...]:
    """The first numbers of a version: (3, 10, 8)."""
    return tuple(int(part) for part in re.findall(r"\d+", text.split("-")[0])[:3])
