"""Makes the bus that an address names. What a bus needs is imported when one is made."""

from collections.abc import Mapping
from typing import Any

from headway.adapters.bus_address import (
    BusAddress,
    MemoryAddress,
    parse_bus_url,
    parse_mq_config,
)
from headway.errors import Rejected
from headway.ports.bus import Bus, Limits


def address_of(where: Mapping[str, Any] | str) -> BusAddress:
    """Of a worker's configuration (user, password, server, vhost), or a URL.

    Raises: as ``parse_mq_config`` and ``parse_bus_url``.
    """
    return parse_bus_url(where) if isinstance(where, str) else parse_mq_config(where)


def make_bus(address: BusAddress, limits: Limits | None = None, name: str | None = None) -> Bus:
    """A bus, not yet open.

    Raises: Rejected for the bus in one process, which nobody else could reach; Unavailable when
    what is needed for it is not installed.
    """
    if isinstance(address, MemoryAddress):
        raise Rejected(
            f"{address} is a bus within one process, and nothing would ever reach a worker there:"
            " try a worker out with `headway step COMMAND:SUBCOMMAND --worker FILE.py:Class`, let"
            " `headway up` run workers in its own process, or name a broker (amqp://…)"
        )
    from headway.adapters.rabbitmq.bus import RabbitBus

    return RabbitBus(address, limits, name=name)
