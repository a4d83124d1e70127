"""Kills what is to survive it, under load: cores with their broker and database, and monitors.

    python bench/kill.py --count 200            cores; 15 kills in 35 are not of a core alone
    python bench/kill.py --count 20 --seed 7    the same moments again, as far as a machine allows
    python bench/kill.py --monitors --count 100 monitors, while Celery tasks are sent
    python bench/kill.py --monitors --away 30   and in the end the database, for so many seconds

What is promised is looked at in the end, over the journals and what the steps did outside (see
tests/faults/core_kills.py), or over the tasks that were sent (tests/faults/monitor_kills.py). It
stops at the first promise broken.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults import monitor_kills
from tests.faults.core_kills import Place, carry_out
from tests.services.postgres import PostgresServer
from tests.services.postgres import find_binaries as find_postgres
from tests.services.rabbitmq import RabbitNode
from tests.services.rabbitmq import find_server as find_rabbitmq
from tests.services.tracked import TRACKED, make_app

MIX = ["core"] * 20 + ["broker"] * 5 + ["database"] * 5 + ["takeover"] * 5


class Servers(NamedTuple):
    """Private ones, with an empty directory beside them."""

    directory: Path
    node: RabbitNode
    url: str
    server: PostgresServer
    db: str


@contextmanager
def servers() -> Iterator[Servers]:
    rabbitmq, postgres = find_rabbitmq(), find_postgres()
    if rabbitmq is None or postgres is None:
        sys.exit("it needs RabbitMQ and PostgreSQL: ./check --services installs them")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        node = RabbitNode(rabbitmq)
        stack.callback(node.close)
        server = PostgresServer(postgres)
        stack.callback(server.close)
        vhost, password = node.make_vhost()
        url, db = node.url(vhost, password, vhost), server.url(server.create_database())
        yield Servers(directory, node, url, server, db)


def kill_cores(ours: Servers, count: int, each: int, seed: int) -> None:
    plan = [MIX[number * len(MIX) // count] for number in range(count)]
    with ExitStack() as stack:
        told = carry_out(Place(stack, *ours, seed), plan, each)
    kinds = ", ".join(f"{plan.count(kind)} {kind}" for kind in dict.fromkeys(plan))
    print(f"{count} kills ({kinds}), seed {seed}, {told.took_s:.0f} s:")
    print(f"{told.deployments} deployments ({told.states}), {told.steps} effects,")
    print(f"{told.settled} steps settled by hand; {told.hits} kills")
    print("came while deployments were under way; every promise was kept")


def kill_monitors(ours: Servers, count: int, away_s: float, seed: int) -> None:
    words = ("--broker", ours.url, "--db", ours.db)
    with closing(make_app(ours.url, TRACKED, **monitor_kills.CONFIRMED)) as app:
        began = time.monotonic()
        sent = monitor_kills.kill_monitors(
            app, words, ours.db, ours.directory, count, random.Random(seed)
        )
        took_s = time.monotonic() - began
        print(f"{count} kills of monitors, seed {seed}, {took_s:.0f} s:")
        print(f"{sent:,} tasks were sent meanwhile, and every one is recorded, once", flush=True)
        if away_s:
            db = ours.server.url(ours.server.create_database())
            words = ("--broker", ours.url, "--db", db)
            sent = monitor_kills.take_away(
                app,
                words,
                ours.server,
                db,
                ours.directory,
                lambda _: threading.Event().wait(away_s),
            )
            print(f"the database was away for {away_s:g} s:")
            print(f"{sent:,} tasks were sent meanwhile, and every one is recorded, once")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=len(MIX), metavar="N", help="of kills")
    parser.add_argument("--each", type=int, default=2, help="deployments asked for before each")
    parser.add_argument("--monitors", action="store_true", help="not cores")
    parser.add_argument("--away", type=float, default=0, metavar="S", help="the database, too")
    parser.add_argument("--seed", type=int, default=4)
    given = parser.parse_args()
    with servers() as ours:
        if given.monitors:
            kill_monitors(ours, given.count, given.away, given.seed)
        else:
            kill_cores(ours, given.count, given.each, given.seed)


if __name__ == "__main__":
    main()
