"""What the tests of workers on RabbitMQ share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.adapters.bus_address import RabbitAddress, parse_bus_url
from headway.adapters.rabbitmq.bus import RabbitBus
from headway.ports.bus import (
    Limits,
    Queue,
    QueueKind,
)
from tests.faults.granting import BusMaker, Granting
from tests.services.forwarder import Forwarder
from tests.services.frobbing import Holding
from tests.services.rabbitmq import RabbitMQ
from tests.unit.serving import CLAIMS, Desk, desk


@pytest.fixture
def make_bus(rabbitmq: RabbitMQ) -> BusMaker:
    """Makes buses, not yet open, by a forwarder or directly."""

    def make(via: Forwarder | None = None, heartbeat_s: int = 10) -> RabbitBus:
        url = rabbitmq.url_at(via.port) if via else rabbitmq.url
        address = parse_bus_url(f"{url}?heartbeat={heartbeat_s}")
        assert isinstance(address, RabbitAddress)
        return RabbitBus(address, Limits(first_wait_s=0.02, longest_wait_s=0.2))

    return make


@pytest.fixture
def at(make_bus: BusMaker) -> Iterator[Desk]:
    with desk(make_bus) as made:
        yield made


@pytest.fixture
def network(rabbitmq: RabbitMQ) -> Iterator[Forwarder]:
    with Forwarder(rabbitmq.node.port) as forwarder:
        yield forwarder


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[Holding]:
    made = Holding(tmp_path)
    yield made
    made.close()


@pytest.fixture
def granting(at: Desk) -> Granting:
    at.bus.declare(Queue("granted-replies", QueueKind.CLASSIC))
    at.unlisten(CLAIMS)
    return Granting(at)
