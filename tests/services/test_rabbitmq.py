"""The fixture ``rabbitmq`` keeps its promises."""

import os
import socket
import subprocess
import sys

import pika
import pytest
from pika.exceptions import AMQPConnectionError

from tests.services.rabbitmq import RabbitMQ, RabbitNode, find_server

pytestmark = pytest.mark.services


def connect(rabbitmq: RabbitMQ) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.URLParameters(rabbitmq.url))


@pytest.mark.parametrize("test", ["one", "another"])
def test_every_test_gets_an_empty_virtual_host_of_its_own(rabbitmq: RabbitMQ, test: str) -> None:
    with connect(rabbitmq) as connection:
        channel = connection.channel()
        declared = channel.queue_declare("seen", durable=True)
        assert declared.method.message_count == 0
        channel.basic_publish("", "seen", b"x")


def listening_sockets() -> set[tuple[str, int]]:
    """(address, port) of everything that listens on this machine, as /proc tells it."""
    found = set()
    for family in ("tcp", "tcp6"):
        with open(f"/proc/net/{family}") as table:
            for line in list(table)[1:]:
                words = line.split()
                if words[3] == "0A":
                    address, port = words[1].split(":")
                    found.add((address, int(port, 16)))
    return found


def test_the_node_listens_on_loopback_only(rabbitmq: RabbitMQ) -> None:
    loopback = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
    ours = rabbitmq.node.ports
    found = {(address, port) for address, port in listening_sockets() if port in ours}
    assert {port for _, port in found} == set(ours)
    assert {address for address, _ in found} <= loopback


def test_a_killed_node_keeps_what_it_confirmed(rabbitmq: RabbitMQ) -> None:
    with connect(rabbitmq) as connection:
        channel = connection.channel()
        channel.queue_declare("kept", durable=True)
        channel.confirm_delivery()
        channel.basic_publish("", "kept", b"x", pika.BasicProperties(delivery_mode=2), True)
    rabbitmq.kill()
    with pytest.raises(AMQPConnectionError):
        connect(rabbitmq)

    rabbitmq.restart()

    with connect(rabbitmq) as connection:
        assert connection.channel().basic_get("kept", auto_ack=True)[2] == b"x"


def test_a_test_that_leaves_the_node_dead_does_no_harm_to_the_next(rabbitmq: RabbitMQ) -> None:
    rabbitmq.kill()


def test_the_node_and_its_port_mapper_end_with_the_tests_even_if_those_are_killed(
    rabbit_node: RabbitNode,
) -> None:
    """A child makes a node and is killed; the node's connections must be closed."""
    program = """
import sys
from tests.services.rabbitmq import RabbitNode, find_server
node = RabbitNode(find_server())
print(*node.ports, flush=True)
sys.stdin.read()
"""
    assert find_server() is not None
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    ) as child:
        assert child.stdout is not None
        ports = [int(word) for word in child.stdout.readline().split()]
        connections = [socket.create_connection(("127.0.0.1", port), timeout=60) for port in ports]
        child.kill()
        child.wait()
        for connection in connections:
            with connection:
                try:
                    assert connection.recv(1) == b""
                except ConnectionResetError:
                    pass
