"""Looks at the bus: whether it is there, whom it lets in, how safe the way to it is."""

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from headway.adapters.bus_address import RabbitAddress
from headway.errors import HeadwayError, Unavailable
from headway.runtime.doctor import permissions
from headway.runtime.doctor.finding import Area
from headway.wire import strict_json
from headway.wire.rights import Component

if TYPE_CHECKING:
    from headway.adapters.rabbitmq.examination import Broker, Examination
    from headway.adapters.rabbitmq.node import Node

SOON_DAYS = 30  # a certificate that ends within so many
SLOW_S = 0.1  # an answer of the broker's
PATIENT_MS = 1_800_000  # RabbitMQ's own consumer timeout
_NEEDED = (
    "publisher_confirms",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "direct_reply_to",
)
ASK_TIMEOUT = "rabbitmqctl eval 'application:get_env(rabbit, consumer_timeout).'"


class Seen(NamedTuple):
    """What other subjects need to know of the broker."""

    broker: "Broker | None" = None
    node: "Node | None" = None


def examine(
    bus: Area,
    rights: Area,
    address: RabbitAddress,
    wanted: Sequence[Component],
    rabbitmqctl: Sequence[str],
) -> Seen:
    """What is found goes to ``bus`` and ``rights``. ``rabbitmqctl``: how it is called, if so."""
    try:
        from headway.adapters.rabbitmq.examination import Examination
    except Unavailable:
        bus.problem("RabbitMQ's client is not installed", "type", "pip install 'headway[rabbitmq]'")
        return Seen()
    if not _encryption(bus, address):
        return Seen()
    with ExitStack() as stack:
        try:
            examination = stack.enter_context(Examination(address))
        except HeadwayError as error:
            away = isinstance(error, Unavailable)
            bus.problem(str(error), _what_to_do(error), is_away=away)
            return Seen()
        _connection(bus, examination)
        node = _node(bus, examination.broker, rabbitmqctl) if rabbitmqctl else None
        _consumer_timeout(bus, node)
        try:
            permissions.examine(rights, examination, address.user, address.vhost, wanted)
            _sizes(bus, examination, node)
        except Unavailable as error:
            _silent(bus, examination, error)
        return Seen(examination.broker, node)


def _encryption(bus: Area, address: RabbitAddress) -> bool:
    """Whether it is worth going on."""
    from headway.adapters.rabbitmq.examination import certificate

    if not address.tls:
        if address.is_loopback:
            bus.ok("not encrypted, and within this machine it need not be")
        else:
            bus.warn(
                f"{address} is not encrypted: passwords and messages can be read on the way",
                'use amqps:// (in an mq configuration: "ssl": true); docs/how-to/tls.md',
            )
        return True
    try:
        found = certificate(address)
    except HeadwayError as error:
        bus.problem(str(error), _what_to_do(error), is_away=isinstance(error, Unavailable))
        return False
    bus.ok(f"encrypted by {found.protocol} with {found.cipher}")
    days = (found.ends_at - datetime.now(UTC)).days
    names = ", ".join(found.names)
    says = f"its certificate is for {names}, signed by {found.issuer}, until {found.ends_at:%F}"
    if days < SOON_DAYS:
        bus.warn(f"{says}: {days} days", "give the broker a new one before that day")
    else:
        bus.ok(says)
    return True


def _connection(bus: Area, examination: "Examination") -> None:
    broker = examination.broker
    bus.ok(f"connected and logged in within {broker.took_s * 1000:.0f} ms")
    took_s = examination.round_trip_s()
    if took_s > SLOW_S:
        bus.warn(
            f"an answer takes {took_s * 1000:.0f} ms: each claim of a step costs twice that",
            "look at the network and at the broker's load",
        )
    else:
        bus.ok(f"an answer takes {took_s * 1000:.1f} ms")
    if broker.heartbeat_s:
        bus.ok(
            f"heartbeat {broker.heartbeat_s} s: silence of {2.5 * broker.heartbeat_s:g} s is a"
            " lost connection"
        )
    else:
        bus.warn(
            "no heartbeat: a broker that vanished without a word is not noticed",
            "leave heartbeat=0 out of the address",
        )
    bus.ok(f"frames of up to {broker.frame_bytes:,} bytes, {broker.channels:,} channels")
    if lacking := [name for name in _NEEDED if not broker.capabilities.get(name)]:
        bus.problem(
            f"{broker.product} {broker.version} cannot do {', '.join(lacking)}",
            "use RabbitMQ 3.8 or later",
        )


def _node(bus: Area, broker: "Broker", command: Sequence[str]) -> "Node | None":
    from headway.adapters.rabbitmq.node import ask_node

    try:
        node = ask_node(command)
    except HeadwayError as error:
        bus.warn(str(error), "give --rabbitmqctl as it is typed where it works, or leave it out")
        return None
    if node.cluster != broker.cluster:
        bus.warn(
            f"rabbitmqctl asks the cluster {node.cluster}, but the bus is {broker.cluster}",
            "name the node: --rabbitmqctl 'rabbitmqctl -n NODE'",
        )
        return None
    if node.alarms:
        bus.problem(
            f"the broker has {node.alarms} alarm(s), and takes no messages",
            "give it memory or disk; it says which with",
            "rabbitmqctl list_alarms",
        )
    return node


def _consumer_timeout(bus: Area, node: "Node | None") -> None:
    if node is None:
        bus.unknown(
            "the consumer timeout cannot be seen by a client; it matters to a step that is neither"
            " claimed nor acknowledged until it ends",
            "let doctor ask with --rabbitmqctl 'sudo rabbitmqctl', or type there",
            ASK_TIMEOUT,
        )
    elif node.consumer_timeout_ms is None:
        bus.ok("no consumer timeout")
    elif node.consumer_timeout_ms < PATIENT_MS:
        bus.warn(
            f"consumer timeout {node.consumer_timeout_ms / 1000:g} s: a step that is neither"
            " claimed nor acknowledged within it is delivered again while it runs",
            f"rabbitmq.conf: consumer_timeout = {PATIENT_MS}, or acknowledge first",
        )
    else:
        bus.ok(f"consumer timeout {node.consumer_timeout_ms / 1000:,g} s")


def _sizes(bus: Area, examination: "Examination", node: "Node | None") -> None:
    limit = strict_json.LIMIT_BYTES
    if not examination.takes(limit):
        bus.problem(
            f"the broker refuses messages of {limit:,} bytes, which is what Headway allows",
            f"rabbitmq.conf: max_message_size = {limit} or more",
        )
    elif node is not None and node.message_bytes is not None:
        bus.ok(
            f"takes messages of up to {node.message_bytes:,} bytes; Headway's limit is {limit:,}"
        )
    else:
        bus.ok(f"takes messages of {limit:,} bytes, which is Headway's limit; its own is not shown")


def _silent(bus: Area, examination: "Examination", error: Unavailable) -> None:
    if examination.blocked is None:
        bus.problem(str(error), "look at the broker's log", is_away=True)
    else:
        bus.problem(
            str(error),
            "give it memory or disk; it says which with",
            "rabbitmqctl list_alarms",
            is_away=True,
        )


def _what_to_do(error: HeadwayError) -> str:
    text = str(error)
    if "certificate" in text or "TLS" in text:
        return "docs/how-to/tls.md shows how the certificates and names have to be"
    if isinstance(error, Unavailable):
        return "see that the broker runs, and that host and port are right"
    return "" if "rabbitmqctl" in text else "see user and password with the broker's administrator"
