"""Whether a worker keeps the contract of the bus, as an assertion for its own tests."""

from collections.abc import Mapping, Sequence
from typing import Any

from headway.adapters.bus_address import RabbitAddress, parse_bus_url
from headway.conformance.desk import Asking
from headway.conformance.examine import examine
from headway.conformance.findings import Report
from headway.conformance.visit import NO_SUCH
from headway.errors import DefinitionError
from headway.wire.names import parse_step


def assert_conforms(
    step: str,
    argv: Sequence[str],
    bus: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    dynamic: Mapping[str, Any] | None = None,
    long: str | None = None,
    bad: str = NO_SUCH,
) -> Report:
    """What ``headway conform STEP --bus BUS -- ARGV`` finds; raises AssertionError for a fault.

    ``long``: a subcommand that lasts six seconds or more; ``bad``: one that it refuses.
    Raises: as ``examine``.
    """
    name = parse_step(step)
    address = parse_bus_url(bus)
    if not isinstance(address, RabbitAddress):
        raise DefinitionError("a worker that is a program of its own needs a broker: amqp://…")
    asking = Asking(
        name.command, name.subcommand, parameters=parameters or {}, dynamic=dynamic or {}
    )
    report = examine(asking, address, argv, long=long, bad=bad)
    told = [f"{one.check}: {one.text} → {one.hint}" for one in report.faults]
    assert report.conforms, "\n".join([f"{step} does not conform", *told])
    return report
