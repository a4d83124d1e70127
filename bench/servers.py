"""Private servers for the benches."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.services.rabbitmq import RabbitNode


@contextmanager
def rabbit_node() -> Iterator[tuple["RabbitNode", str]]:
    """A RabbitMQ, and the URL of an empty vhost there."""
    from tests.services.rabbitmq import RabbitNode, find_server

    server = find_server()
    if server is None:
        sys.exit("there is no RabbitMQ to measure on: ./check --services installs it")
    with closing(RabbitNode(server)) as node:
        vhost, password = node.make_vhost()
        yield node, node.url(vhost, password, vhost)


@contextmanager
def broker() -> Iterator[str]:
    with rabbit_node() as (_, url):
        yield url
