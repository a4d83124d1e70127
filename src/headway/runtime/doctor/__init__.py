"""Looks at everything that Headway stands on, changes nothing, and says what to do."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headway.adapters.bus_address import BusAddress, MemoryAddress, RabbitAddress
from headway.errors import HeadwayError
from headway.runtime import limits
from headway.runtime.doctor import bus, clock, store, versions
from headway.runtime.doctor.finding import Area, Finding, Grade
from headway.runtime.limits import Limit
from headway.wire.rights import Component

HEARTBEAT = "adapters.bus_address.HEARTBEAT_S"


class Asked(NamedTuple):
    """What is to be looked at."""

    bus: BusAddress | HeadwayError  # the error: why the address may not be used
    db: str
    durable: str
    db_was_named: bool
    components: Sequence[Component] = ()  # for which the bus's user has to suffice
    rabbitmqctl: Sequence[str] = ()  # how it is called; empty: it is not


class Report(NamedTuple):
    """What was found, and what holds."""

    findings: Sequence[Finding]
    limits: Sequence[tuple[Limit, float]]

    def count(self, grade: Grade) -> int:
        return sum(one.grade is grade for one in self.findings)

    @property
    def is_away(self) -> bool:
        """Whether a bus or store that was asked for does not answer."""
        return any(one.is_away for one in self.findings)


def examine(asked: Asked) -> Report:
    began = clock.Watch.read()
    areas = {name: Area(name) for name in ("store", "bus", "permissions", "clock", "versions")}
    in_store = store.examine(areas["store"], asked.db, asked.durable, was_named=asked.db_was_named)
    on_bus = _bus(areas["bus"], areas["permissions"], asked)
    others = []
    if in_store.server is not None:
        server = in_store.server
        others.append(clock.Other("the database's", server.ahead_s, server.unsure_s))
    if on_bus.node is not None:
        others.append(clock.Other("the broker's", on_bus.node.ahead_s, on_bus.node.unsure_s))
    clock.examine(areas["clock"], began, clock.Watch.read(), others, in_store.newest_us)
    if on_bus.broker is not None and on_bus.node is None:
        areas["clock"].unknown("the broker's clock cannot be seen by a client")
    versions.examine(
        areas["versions"],
        (on_bus.broker.product, on_bus.broker.version) if on_bus.broker else None,
        in_store.server.version if in_store.server else None,
    )
    findings = [finding for area in areas.values() for finding in area.findings]
    return Report(findings, _limits(asked))


def _bus(area: Area, rights: Area, asked: Asked) -> bus.Seen:
    match asked.bus:
        case MemoryAddress():
            area.ok("in this process: nothing to connect to")
        case RabbitAddress() as address:
            area.ok(str(address))
            return bus.examine(area, rights, address, asked.components, asked.rabbitmqctl)
        case HeadwayError() as error:
            area.problem(str(error), "give each component a user and a password of its own")
    return bus.Seen()


def _limits(asked: Asked) -> Sequence[tuple[Limit, float]]:
    """Those in force: of a server that is not used, none are."""
    other: Mapping[str, float] = {}
    if isinstance(asked.bus, RabbitAddress):
        other = {HEARTBEAT: asked.bus.heartbeat_s}
    unused = []
    if not isinstance(asked.bus, RabbitAddress):
        unused.append("adapters.rabbitmq.")
    if not asked.db.startswith(("postgresql://", "postgres://")):
        unused.append("adapters.postgres.")
    return limits.in_force(other, tuple(unused))
