"""What each component does on the bus, and the least rights on RabbitMQ that let it.

A name or key may hold ``*``, which stands for an id that is another each time. RabbitMQ grants
rights on names of queues and exchanges by three patterns (configure, write, read), and on the
routing keys of a topic exchange by two more. What is declared where it exists needs no right.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import NamedTuple

from headway.wire import names

SOME_ID = "0" * 24  # stands for ``*`` where one name has to be tried
DEFAULT_EXCHANGE = "amq.default"  # what permissions call the exchange without a name
_ID = ".+"


@dataclass(frozen=True, slots=True)
class DeclaresExchange:
    exchange: str


@dataclass(frozen=True, slots=True)
class DeclaresQueue:
    queue: str


@dataclass(frozen=True, slots=True)
class Binds:
    queue: str
    exchange: str
    key: str


@dataclass(frozen=True, slots=True)
class Publishes:
    exchange: str
    key: str


@dataclass(frozen=True, slots=True)
class Consumes:
    queue: str


Act = DeclaresExchange | DeclaresQueue | Binds | Publishes | Consumes


class Component(NamedTuple):
    """Whoever connects to the bus with a user of its own."""

    name: str
    says: str  # what it is
    acts: Sequence[Act]
    needs: Sequence[DeclaresExchange | DeclaresQueue] = ()  # what has to be there before it


class Rights(NamedTuple):
    """Patterns as ``rabbitmqctl set_permissions`` takes them, and those for routing keys."""

    configure: str
    write: str
    read: str
    topics: Mapping[str, tuple[str, str]]  # by exchange: of keys written, of keys bound


def worker(command: str) -> Component:
    queue = names.worker_key(command)
    return Component(
        f"worker:{command}",
        f"a worker that serves {command}",
        (
            DeclaresQueue(queue),
            Binds(queue, names.EXCHANGE, queue),
            Consumes(queue),
            Publishes(names.EXCHANGE, names.OUTPUT),
            Publishes(names.EXCHANGE, names.PRESENCE),
            Publishes(names.EXCHANGE, names.notify_key("*")),
            Publishes("", "*"),  # answers, claims, dead letters
        ),
        (DeclaresExchange(names.EXCHANGE), DeclaresQueue(names.DEAD)),
    )


SENDER = Component(
    "sender",
    "headway step: sends a step by hand and watches it",
    (
        DeclaresQueue("re.step.*"),
        Binds("re.step.*", names.EXCHANGE, names.OUTPUT),
        Binds("re.step.*", names.EXCHANGE, names.notify_key("#")),
        Consumes("re.step.*"),
        Publishes(names.EXCHANGE, names.worker_key("*")),
        Publishes("", "*"),  # grants
    ),
    (DeclaresExchange(names.EXCHANGE),),
)
CORE = Component(
    "core",
    "accepts deployments, sends their steps, grants claims",
    (
        DeclaresExchange(names.EXCHANGE),
        DeclaresQueue(names.DEAD),
        DeclaresQueue("core"),
        DeclaresQueue("core.*"),
        Binds("core", names.EXCHANGE, names.JOB_CREATE),
        Binds("core.*", names.EXCHANGE, names.PRESENCE),
        Consumes("core"),
        Consumes("core.*"),
        Publishes(names.EXCHANGE, names.worker_key("*")),
        Publishes(names.EXCHANGE, names.notify_key("*")),
        Publishes("", "*"),  # ids of deployments, grants, dead letters
    ),
)
OUTPUT = Component(
    "output",
    "writes the output of steps down",
    (
        DeclaresQueue(names.worker_key(names.OUTPUT)),
        Binds(names.worker_key(names.OUTPUT), names.EXCHANGE, names.OUTPUT),
        Consumes(names.worker_key(names.OUTPUT)),
        Publishes(names.EXCHANGE, names.PRESENCE),
        Publishes("", names.DEAD),
    ),
    (DeclaresExchange(names.EXCHANGE), DeclaresQueue(names.DEAD)),
)
LISTING = Component(
    "workers",
    "headway workers: lists who serves what",
    (
        DeclaresQueue("re.workers.*"),
        Binds("re.workers.*", names.EXCHANGE, names.PRESENCE),
        Consumes("re.workers.*"),
    ),
    (DeclaresExchange(names.EXCHANGE),),
)
MONITOR = Component(
    "monitor",
    "records what is copied to the platform queue",
    (Consumes("platform.fifo"),),
    (DeclaresQueue("platform.fifo"),),
)


def components(command: str) -> Sequence[Component]:
    """All there are; the worker serves ``command``."""
    return (worker(command), SENDER, LISTING, CORE, OUTPUT, MONITOR)


def rights_of(acts: Iterable[Act]) -> Rights:
    """The least that allow these."""
    configure: dict[str, None] = {}
    write: dict[str, None] = {}
    read: dict[str, None] = {}
    written: dict[str, dict[str, None]] = {}
    bound: dict[str, dict[str, None]] = {}
    for act in acts:
        match act:
            case DeclaresExchange(name) | DeclaresQueue(name):
                configure[name] = None
            case Binds(queue, exchange, key):
                write[queue] = None
                read[exchange] = None
                bound.setdefault(exchange, {})[key] = None
            case Publishes("", _):
                write[DEFAULT_EXCHANGE] = None
            case Publishes(exchange, key):
                write[exchange] = None
                written.setdefault(exchange, {})[key] = None
            case Consumes(queue):
                read[queue] = None
    topics = {
        exchange: (_pattern(written.get(exchange, ())), _pattern(bound.get(exchange, ())))
        for exchange in dict.fromkeys([*written, *bound])
    }
    return Rights(_pattern(configure), _pattern(write), _pattern(read), topics)


def commands(rights: Rights, user: str, vhost: str) -> Sequence[str]:
    """What an administrator types to give a user these rights and no others."""
    where = ["-p", vhost, user]
    patterns = [rights.configure, rights.write, rights.read]
    lines = [["rabbitmqctl", "set_permissions", *where, *patterns]]
    for exchange, (written, bound) in rights.topics.items():
        lines.append(["rabbitmqctl", "set_topic_permissions", *where, exchange, written, bound])
    return [" ".join(map(_word, words)) for words in lines]


def tried(name: str) -> str:
    """One name that a name with ``*`` stands for."""
    return name.replace("*", SOME_ID)


def _pattern(names_: Iterable[str]) -> str:
    alternatives = [name.replace(".", r"\.").replace("*", _ID) for name in names_]
    if not alternatives:
        return "^$"
    return f"^{alternatives[0]}$" if len(alternatives) == 1 else f"^({'|'.join(alternatives)})$"


def _word(text: str) -> str:
    """Patterns always in quotes, though not all of them need them."""
    return f"'{text}'" if text.startswith("^") and "'" not in text else quote(text)
