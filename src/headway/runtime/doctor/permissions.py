"""For which components a user's permissions suffice."""

from collections.abc import Sequence
from shlex import quote
from typing import NamedTuple, Protocol

from headway.runtime.doctor.finding import Area
from headway.wire.rights import (
    Act,
    Binds,
    Component,
    Consumes,
    DeclaresExchange,
    DeclaresQueue,
    Publishes,
    commands,
    components,
    rights_of,
)

ANY = "headway-doctor"  # the command of a worker where none is named
_ANY_WORKER = f"worker:{ANY}"
_FOREIGN = (DeclaresQueue(ANY), Consumes(ANY))  # what no component needs


class Broker(Protocol):
    """What has to be asked."""

    def exists(self, part: DeclaresExchange | DeclaresQueue) -> bool: ...

    def refusal_of(self, act: Act) -> str | None: ...


class Lack(NamedTuple):
    """What a component cannot do, and what nobody can tell."""

    refused: Sequence[Act]
    missing: Sequence[DeclaresExchange | DeclaresQueue]
    unsure: Sequence[Binds]  # may not be made; whether they are there cannot be seen

    @property
    def suffices(self) -> bool:
        return not self.refused and not self.missing


def wanted_component(name: str) -> Component | None:
    """The component of this name, ``worker:COMMAND`` among them; None for none."""
    kind, _, command = name.partition(":")
    if kind == "worker" and not command:
        return None
    return next((one for one in components(command or ANY) if one.name == name), None)


def lack_of(broker: Broker, component: Component) -> Lack:
    """Raises: Unavailable."""
    refused, missing, unsure = [], [], []
    for part in component.needs:
        if not broker.exists(part) and broker.refusal_of(part) is not None:
            missing.append(part)
    # Publishing last: a broker that takes no messages takes nothing else either after one.
    for act in sorted(component.acts, key=lambda act: isinstance(act, Publishes)):
        if broker.refusal_of(act) is None:
            continue
        match act:
            case DeclaresExchange() | DeclaresQueue() if broker.exists(act):
                pass
            case Binds(queue, _, _) if broker.exists(DeclaresQueue(queue)):
                unsure.append(act)
            case _:
                refused.append(act)
    return Lack(refused, missing, unsure)


def examine(area: Area, broker: Broker, user: str, vhost: str, wanted: Sequence[Component]) -> None:
    """What the user may do, and what is lacking for those components. Raises: Unavailable."""
    for component in wanted:
        _require(area, broker, user, vhost, component)
    if not wanted:
        _survey(area, broker)
    elif all(broker.refusal_of(act) is None for act in _FOREIGN):
        area.warn(
            "more than enough: this user may declare and read queues of others",
            "an administrator takes that away with",
            *_typed(wanted, user, vhost),
        )


def _survey(area: Area, broker: Broker) -> None:
    lacking = {component: lack_of(broker, component) for component in components(ANY)}
    able = [component.name for component, lack in lacking.items() if lack.suffices]
    if able:
        named = ["worker (of any command)" if name == _ANY_WORKER else name for name in able]
        area.ok(f"enough for {', '.join(named)}")
    for component, lack in lacking.items():
        if component.name == _ANY_WORKER and not lack.suffices:
            area.unknown(
                "whether they are enough for a worker depends on its command",
                "ask with --for worker:COMMAND",
            )
        elif not lack.suffices:
            area.ok(f"not enough for {component.name}: {_said(lack, most=2)}")


def _require(area: Area, broker: Broker, user: str, vhost: str, component: Component) -> None:
    lack = lack_of(broker, component)
    if lack.refused:
        area.problem(
            f"not enough for {component.name}: {_said(lack, most=9)}",
            "an administrator types",
            *_typed([component], user, vhost),
        )
    elif lack.missing:
        area.problem(
            f"enough for {component.name}, but {_said(lack, most=9)}",
            "start whoever may make it first, or import it: docs/how-to/permissions.md",
        )
    elif lack.unsure:
        bindings = "; ".join(f"{one.queue} to {one.exchange} by {one.key}" for one in lack.unsure)
        area.warn(
            f"enough for {component.name} if an administrator has bound {bindings}",
            "that can be seen with",
            f"rabbitmqctl list_bindings -p {quote(vhost)}",
        )
    else:
        area.ok(f"enough for {component.name}")


def _typed(wanted: Sequence[Component], user: str, vhost: str) -> Sequence[str]:
    return commands(rights_of(act for component in wanted for act in component.acts), user, vhost)


def _said(lack: Lack, most: int) -> str:
    words = [f"there is no {_named(part)}" for part in lack.missing]
    words += [f"may not {_described(act)}" for act in lack.refused]
    rest = len(words) - most
    return "; ".join(words[:most]) + (f"; and {rest} more" if rest > 0 else "")


def _described(act: Act) -> str:
    match act:
        case DeclaresExchange() | DeclaresQueue():
            return f"declare {_named(act)}"
        case Binds(queue, exchange, key):
            return f"bind queue {queue} to exchange {exchange} by {key}"
        case Publishes("", _):
            return "publish to queues (exchange amq.default)"
        case Publishes(exchange, key):
            return f"publish to exchange {exchange} by {key}"
        case Consumes(queue):
            return f"consume queue {queue}"


def _named(part: DeclaresExchange | DeclaresQueue) -> str:
    match part:
        case DeclaresExchange(exchange):
            return f"exchange {exchange}"
        case DeclaresQueue(queue):
            return f"queue {queue}"
