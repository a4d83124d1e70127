"""Makes what carries out a plan: with steps, a bus and the workers that serve them here."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from headway.errors import DefinitionError
from headway.ports.executor import Executor
from headway.releases.steps import StepNode
from headway.runtime import clocks
from headway.runtime.executors import make
from headway.runtime.phase_notices import Announce
from headway.wire import names

if TYPE_CHECKING:
    from headway.ports.bus import Bus

MOST_WORKERS = 16  # objects of one worker class, in this process
STOP_LIMIT_S = 1.0  # for a step in hand when its run is over or was stopped, which waited before
SHOWN = 5  # commands that nobody serves, in one message


StockWorker = Callable[[str], "type[Any] | None"]  # by command


class Hands(NamedTuple):
    """With what somebody wants a plan carried out."""

    on: str = ""  # where jobs run: see ``executors.make``
    slots: int | None = None  # how many jobs and steps at once; None: as many as may start
    bus: str = ""  # of the workers; "": one in this process
    workers: Sequence[str] = ()  # served in this process: TARGET, or TARGET=CONFIG.json
    stock: StockWorker = lambda command: None  # served here where nobody else is named
    app: str = ""  # of Celery, where jobs run there


class Ready(NamedTuple):
    """What carries out a plan."""

    executor: Executor
    announce: Announce | None = None  # tells people of the run as a whole; None: there is no bus


class _Served(NamedTuple):
    worker_class: Any
    config: str | None = None  # its file


@contextmanager
def executor_for(
    definitions: Sequence[Any], hands: Hands, *, width: int = 1, asks_only: bool = False
) -> Iterator[Executor]:
    """The executor for a plan's nodes, until the block ends.

    ``width``: how many steps may be under way at once. ``asks_only``: only Checks will be asked.
    Raises: DefinitionError for steps that nobody serves in this process.
    """
    with made_ready(definitions, hands, width=width, asks_only=asks_only) as ready:
        yield ready.executor


@contextmanager
def made_ready(
    definitions: Sequence[Any],
    hands: Hands,
    *,
    width: int = 1,
    asks_only: bool = False,
    announces: bool = False,
) -> Iterator[Ready]:
    """The same, and what goes with it. ``announces``: people may be told of the whole run."""
    steps = [one for one in definitions if isinstance(one, StepNode)]
    if not steps and not (announces and hands.bus):
        yield Ready(make(hands.on, hands.slots, hands.app))
        return
    from headway.adapters.dispatching import Dispatcher
    from headway.adapters.steps import MOST_STEPS, Steps

    inner = None
    if not steps:
        inner = make(hands.on, hands.slots, hands.app)
    elif len(steps) < len(definitions):
        inner = make(hands.on or "threads", hands.slots or width, hands.app)
    needed = _needed(steps, asks_only=asks_only)
    own = not hands.bus
    make_one = _own_buses() if own else _buses_at(hands.bus)
    served = _named_workers(hands.workers, hands.stock)
    if own:
        _add_stock(served, needed, hands.stock)
        _require_served(served, needed)
    # Left in the opposite order: a worker's last answer finds its queue, and the queue its bus.
    with ExitStack() as stack:
        bus = make_one("headway run")
        bus.open()
        stack.callback(bus.close)
        dispatcher = Dispatcher(bus, f"re.run.{clocks.new_id()}", watches=(names.OUTPUT,))
        stack.callback(dispatcher.close)
        dispatcher.open()
        for command, one in served.items():
            objects = min(width, MOST_WORKERS) if command in needed else 1
            _serve(stack, command, one, objects, make_one)
        slots = hands.slots or MOST_STEPS
        executor = inner
        if executor is None or steps:
            executor = Steps(dispatcher, clocks.new_id, clocks.now_us, inner, slots=slots)
        is_heard = hands.bus or hands.workers
        yield Ready(executor, dispatcher.announce if is_heard else None)


@contextmanager
def workers_served(
    targets: Sequence[str],
    commands: Iterable[str],
    stock: StockWorker,
    objects: int,
    make_one: "Callable[[str], Bus]",
    stop_limit_s: float,
) -> Iterator[Sequence[str]]:
    """Serve workers in this process until the block ends: those named, as in ``Hands``, and the
    stock ones for the commands; each with so many objects. What they serve.

    ``stop_limit_s``: how long their steps in hand have then."""
    served = _named_workers(targets, stock)
    _add_stock(served, dict.fromkeys(commands, ""), stock)
    with ExitStack() as stack:
        for command, one in served.items():
            _serve(stack, command, one, objects, make_one, stop_limit_s)
        yield list(served)


def _serve(
    stack: ExitStack,
    command: str,
    one: _Served,
    objects: int,
    make_one: "Callable[[str], Bus]",
    stop_limit_s: float = STOP_LIMIT_S,
) -> None:
    from headway.runtime.worker_trial import served

    for _ in range(objects):
        bus = make_one(f"headway, {command}")
        bus.open()
        serving = served(one.worker_class, bus, one.config, stop_limit_s=stop_limit_s)
        stack.enter_context(serving)


def _own_buses() -> "Callable[[str], Bus]":
    """To a broker in this process, which is nobody else's."""
    from headway.adapters.memory_broker import MemoryBroker
    from headway.adapters.memory_bus import MemoryBus

    broker = MemoryBroker("run")
    return lambda name: MemoryBus(broker)


def _buses_at(url: str) -> "Callable[[str], Bus]":
    from headway.adapters.bus_address import parse_bus_url
    from headway.runtime.buses import make_bus

    address = parse_bus_url(url)
    return lambda name: make_bus(address, name=name)


def _needed(steps: Sequence[StepNode], *, asks_only: bool) -> dict[str, str]:
    """Each command that is needed, and a step that needs it."""
    needed: dict[str, str] = {}
    for step in steps:
        calls = [step.check] if asks_only else step.calls
        for call in calls:
            if call is not None:
                needed.setdefault(call.command, step.name)
    return needed


def _named_workers(targets: Sequence[str], stock: StockWorker) -> dict[str, _Served]:
    """By command: the class, and its configuration file."""
    from headway.runtime.worker_config import read_config
    from headway.runtime.worker_targets import load_worker

    found: dict[str, _Served] = {}
    for text in targets:
        target, _, config = text.partition("=")
        worker_class = stock(target) or load_worker(target)
        command = names.command_of(worker_class.__name__)
        if config:
            queue = read_config(config).get("queue")
            command = queue if isinstance(queue, str) and queue else command
        found[command] = _Served(worker_class, config or None)
    return found


def _add_stock(served: dict[str, _Served], needed: Mapping[str, str], stock: StockWorker) -> None:
    for command in needed:
        if command not in served and (worker_class := stock(command)) is not None:
            served[command] = _Served(worker_class)


def _require_served(served: Mapping[str, Any], needed: Mapping[str, str]) -> None:
    missing = [command for command in needed if command not in served]
    if not missing:
        return
    lines = "\n".join(f"  {command}, for {needed[command]}" for command in missing[:SHOWN])
    more = f"\n  and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    raise DefinitionError(
        f"nobody serves these commands in this process:\n{lines}{more}\n"
        "Name their workers with --worker FILE.py:Class, or a bus where they are with --bus URL."
    )
