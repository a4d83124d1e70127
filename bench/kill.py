"""Kills cores, and now and then the broker and the database, under deployments with effects.

    python bench/kill.py --count 200          200 kills, of which 15 in 35 are not of a core alone
    python bench/kill.py --count 20 --seed 7  the same moments again, as far as a machine allows

What is promised is looked at in the end, over the journals and what the steps did outside; see
tests/faults/core_kills.py. It stops at the first promise broken.
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults.core_kills import Place, carry_out
from tests.services.postgres import PostgresServer
from tests.services.postgres import find_binaries as find_postgres
from tests.services.rabbitmq import RabbitNode
from tests.services.rabbitmq import find_server as find_rabbitmq

MIX = ["core"] * 20 + ["broker"] * 5 + ["database"] * 5 + ["takeover"] * 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=len(MIX), metavar="N", help="of kills")
    parser.add_argument("--each", type=int, default=2, help="deployments asked for before each")
    parser.add_argument("--seed", type=int, default=4)
    arguments = parser.parse_args()
    rabbitmq, postgres = find_rabbitmq(), find_postgres()
    if rabbitmq is None or postgres is None:
        sys.exit("it needs RabbitMQ and PostgreSQL: ./check --services installs them")
    plan = [MIX[number * len(MIX) // arguments.count] for number in range(arguments.count)]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        node = RabbitNode(rabbitmq)
        stack.callback(node.close)
        server = PostgresServer(postgres)
        stack.callback(server.close)
        vhost, password = node.make_vhost()
        url, db = node.url(vhost, password, vhost), server.url(server.create_database())
        place = stack.enter_context(ExitStack())
        told = carry_out(
            Place(place, directory, node, url, server, db, arguments.seed), plan, arguments.each
        )
    kinds = ", ".join(f"{plan.count(kind)} {kind}" for kind in dict.fromkeys(plan))
    print(f"{arguments.count} kills ({kinds}), seed {arguments.seed}, {told.took_s:.0f} s:")
    print(f"{told.deployments} deployments ({told.states}), {told.steps} effects,")
    print(f"{told.settled} steps settled by hand; {told.hits} kills")
    print("came while deployments were under way; every promise was kept")


if __name__ == "__main__":
    main()
