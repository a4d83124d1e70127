"""Every bus keeps the contract: in memory, on a server."""

import pytest

pytest.register_assert_rewrite("headway.testing.buses")

from headway.adapters.memory_broker import MemoryBroker  # noqa: E402
from headway.adapters.memory_bus import MemoryBus  # noqa: E402
from headway.ports.bus import Bus, Limits  # noqa: E402
from headway.testing.buses import Broker, BusContract  # noqa: E402


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
