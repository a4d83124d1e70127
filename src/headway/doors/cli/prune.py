"""headway prune"""

import re
import time
from typing import Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.stores import opened
from headway.doors.cli.words import number

UNITS_S = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@click.command(short_help="Forget old runs.")
@click.option("--older-than", metavar="AGE", help="Runs that ended longer ago: 90m, 12h, 30d, 8w.")
@click.option("--keep", metavar="N", type=click.IntRange(min=0), help="But never the newest N.")
@options.reading
def command(older_than: str | None, keep: int | None, **arguments: Any) -> int:
    """Forget runs that are over, with their journals and output.

    Without options: those that ended over 30 days ago, but never the newest 20. Runs that can
    still go on (running, interrupted, in doubt) are never forgotten. With them go workers that
    have been lost for as long.
    """
    if older_than is None and keep is None:
        older_than, keep = "30d", 20
    age_s = seconds("--older-than", older_than) if older_than is not None else 0
    with opened(arguments) as store:
        before_us = round((time.time() - age_s) * 1e6)
        told = [number(store.prune(before_us, keep or 0), "run")]
        if workers := store.forget_workers(before_us):
            told.append(number(workers, "worker"))
        click.echo(f"forgot {' and '.join(told)} of {store.place}")
    return exits.DONE


def seconds(option: str, age: str) -> float:
    """How long an age is. Raises: Mistyped naming the option."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mhdw])", age)
    if match is None:
        raise Mistyped(f"{option} {age!r}: write a number and m, h, d or w, such as 30d")
    return float(match[1]) * UNITS_S[match[2]]
