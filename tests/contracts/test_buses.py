"""Every bus keeps the contract: in memory, on a server."""

from typing import TYPE_CHECKING

import pytest

from headway.adapters.bus_address import RabbitAddress, parse_bus_url
from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus
from headway.adapters.rabbitmq.bus import RabbitBus
from headway.ports.bus import Bus, Limits
from headway.testing.buses import Broker, BusContract

if TYPE_CHECKING:
    from tests.services.rabbitmq import RabbitMQ


class InMemory:
    """A memory broker, with the hands on it that the contract needs."""

    def __init__(self) -> None:
        self._broker = MemoryBroker("test")
        self.make_user = self._broker.allow
        self.cut = self._broker.cut
        self.stop = self._broker.stop
        self.start = self._broker.start
        self.unblock = self._broker.unblock

    def bus(self, limits: Limits | None = None, user: str | None = None) -> Bus:
        return MemoryBus(self._broker, user or "headway", limits)

    def block(self) -> None:
        self._broker.block("low on memory")


class TestMemory(BusContract):
    @pytest.fixture
    def broker(self) -> Broker:
        return InMemory()


class OnRabbitMQ:
    """A virtual host of its own, with the hands on its node that the contract needs."""

    def __init__(self, rabbitmq: "RabbitMQ") -> None:
        self._rabbitmq = rabbitmq
        self._urls: dict[str, str] = {}
        self.cut = rabbitmq.cut
        self.stop = rabbitmq.stop
        self.start = rabbitmq.start
        self.block = rabbitmq.block
        self.unblock = rabbitmq.unblock

    def make_user(self, name: str, configure: str, write: str, read: str) -> None:
        self._urls[name] = self._rabbitmq.make_user(name, configure, write, read)

    def bus(self, limits: Limits | None = None, user: str | None = None) -> Bus:
        address = parse_bus_url(self._urls[user] if user else self._rabbitmq.url)
        assert isinstance(address, RabbitAddress)
        return RabbitBus(address, limits)


@pytest.mark.services
class TestRabbitMQ(BusContract):
    @pytest.fixture
    def broker(self, rabbitmq: "RabbitMQ") -> Broker:
        return OnRabbitMQ(rabbitmq)
