"""From what a user names to a bus."""

from headway.adapters.bus_address import BusAddress, MemoryAddress, parse_bus_url
from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus
from headway.ports.bus import Bus, Limits


class Buses:
    """Makes buses. Those on the in-memory broker of one name meet there."""

    def __init__(self) -> None:
        self._brokers: dict[str, MemoryBroker] = {}

    def bus(self, address: str | BusAddress, limits: Limits | None = None) -> Bus:
        """A bus of this URL or address, not yet open.

        Raises: DefinitionError for a URL that is none; Refused for one nobody should use;
        Unavailable when RabbitMQ's client is not installed.
        """
        if isinstance(address, str):
            address = parse_bus_url(address)
        if isinstance(address, MemoryAddress):
            return MemoryBus(self.broker(address.name), limits=limits)
        from headway.adapters.rabbitmq.bus import RabbitBus

        return RabbitBus(address, limits)

    def broker(self, name: str = "") -> MemoryBroker:
        """The in-memory broker of this name."""
        return self._brokers.setdefault(name, MemoryBroker(name))
