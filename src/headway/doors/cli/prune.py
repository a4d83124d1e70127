"""headway prune"""

import re
import time
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.stores import opened
from headway.doors.cli.words import number

if TYPE_CHECKING:
    from headway.adapters.sql_store import SqlStore

SILENT_S = 30 * 86400.0  # a task that nobody has heard of for so long is not waited for
LONGEST_S = 100 * 365.25 * 86400  # of an age: nothing here is older
UNITS_S = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@click.command(short_help="Forget old runs, tasks and lost workers.")
@click.option("--older-than", metavar="AGE", help="What ended longer ago: 90m, 12h, 30d, 8w.")
@click.option("--keep", metavar="N", type=click.IntRange(0, 10**9), help="But never the newest N.")
@options.reading
def command(older_than: str | None, keep: int | None, **arguments: Any) -> int:
    """Forget runs that are over, with their journals and output.

    Without options: those that ended over 30 days ago, but never the newest 20. Runs that can
    still go on (running, interrupted, in doubt) are never forgotten. By the same rule go Celery
    tasks that have ended, dead letters, and workers that are lost; a task of which no end was
    heard may be under way, and stays for 30 days at least.
    """
    if older_than is None and keep is None:
        older_than, keep = "30d", 20
    age_s = seconds("--older-than", older_than) if older_than is not None else 0
    with opened(arguments) as store:
        told = _forgotten(store, age_s, keep or 0)
        click.echo(f"forgot {_joined(told)} of {store.place}")
    return exits.DONE


def _forgotten(store: "SqlStore", age_s: float, keep: int) -> list[str]:
    now_s = time.time()
    before_us = _us(now_s - age_s)
    told = [number(store.prune(before_us, keep), "run")]
    tasks = store.tasks.forget(before_us, _us(now_s - max(age_s, SILENT_S)), keep)
    more = {"task": tasks.tasks, "dead letter": tasks.letters}
    more["worker"] = store.forget_workers(before_us)
    return told + [number(count, noun) for noun, count in more.items() if count]


def _joined(parts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _us(at_s: float) -> int:
    return round(at_s * 1e6)


def seconds(option: str, age: str) -> float:
    """How long an age is. Raises: Mistyped naming the option."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mhdw])", age)
    if match is None:
        raise Mistyped(f"{option} {age!r}: write a number and m, h, d or w, such as 30d")
    return min(float(match[1]) * UNITS_S[match[2]], LONGEST_S)
