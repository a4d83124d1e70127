"""Each component runs under exactly the rights that the page on permissions gives it."""

import json
import logging
import queue
import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from headway.adapters.bus_address import RabbitAddress, parse_bus_url
from headway.adapters.dispatching import Answered, Line, Notified
from headway.adapters.opening import open_store
from headway.adapters.rabbitmq.bus import RabbitBus
from headway.adapters.rabbitmq.examination import Examination
from headway.errors import HeadwayError, Refused, Rejected
from headway.ports.bus import Binding, Exchange, Message, Queue, Settlement
from headway.runtime import clocks
from headway.runtime.doctor.permissions import lack_of
from headway.runtime.sending import SentStep, StepSender
from headway.runtime.worker import Worker
from headway.runtime.worker_listing import listen
from headway.runtime.worker_presence import INTERVAL_S
from headway.runtime.worker_roster import roster_kept
from headway.runtime.worker_trial import served
from headway.testing.kept_workers import presence
from headway.wire import names
from headway.wire.messages import Output, StepMessage
from headway.wire.rights import (
    CORE,
    LISTING,
    MONITOR,
    OUTPUT,
    SENDER,
    Act,
    Binds,
    Consumes,
    DeclaresExchange,
    DeclaresQueue,
    Publishes,
    Rights,
    commands,
    rights_of,
    tried,
    worker,
)
from headway.workers import output as stock_output
from tests.docs.console import REPOSITORY, blocks
from tests.services.rabbitmq import RabbitMQ
from tests.unit.serving import Log, logger_to

pytestmark = pytest.mark.services

PAGE = (REPOSITORY / "docs/how-to/permissions.md").read_text("utf-8")
LINES = [
    line
    for block in blocks(PAGE)
    if block.kind == "sh"
    for line in block.text.splitlines()
    if line.startswith("rabbitmqctl ")
]
WORKER = worker("frob")
USERS = {"worker-frob": WORKER, "sender": SENDER, "looker": LISTING, "core": CORE, "output": OUTPUT,
         "monitor": MONITOR}  # fmt: skip
DEADLINE_S = 20.0
RUN = "0123456789abcdef01234567"


@pytest.fixture
def shared(rabbitmq: RabbitMQ) -> RabbitMQ:
    """A virtual host in which an administrator has made what all share."""
    with bus_of(rabbitmq.url) as bus:
        bus.declare(Exchange(names.EXCHANGE), Queue(names.DEAD), Queue("platform.fifo"))
    return rabbitmq


def grant(rabbitmq: RabbitMQ, name: str, rights: Rights) -> str:
    """A user with these rights; the url."""
    url = rabbitmq.make_user(name, rights.configure, rights.write, rights.read)
    for exchange, (write, read) in rights.topics.items():
        rabbitmq.node.limit_topics(
            f"{rabbitmq.vhost}.{name}", rabbitmq.vhost, exchange, write, read
        )
    return url


def of_page(user: str) -> Rights:
    """The rights that the page's commands give this user."""
    configure = write = read = ""
    topics: dict[str, tuple[str, str]] = {}
    for line in LINES:
        _, command, *words = shlex.split(line)
        if command == "set_permissions" and words[2] == user:
            configure, write, read = words[3:]
        elif command == "set_topic_permissions" and words[2] == user:
            topics[words[3]] = (words[4], words[5])
    return Rights(configure, write, read, topics)


@contextmanager
def bus_of(url: str) -> Iterator[RabbitBus]:
    address = parse_bus_url(url)
    assert isinstance(address, RabbitAddress)
    bus = RabbitBus(address)
    bus.open(DEADLINE_S)
    with closing(bus):
        yield bus


def examination_of(url: str) -> Examination:
    address = parse_bus_url(url)
    assert isinstance(address, RabbitAddress)
    return Examination(address)


class FrobWorker(Worker):
    """Uses everything that a worker has."""

    def process(self, channel: Any, deliver: Any, properties: Any, body: Any, output: Any) -> None:
        self.ack(deliver)
        fsm, run = properties.reply_to, properties.correlation_id
        self.send(fsm, run, {"status": "started"}, exchange="")
        output.info("frobbing")
        self.notify("Frobbed", "all of it", "completed", run)
        self.send(fsm, run, {"status": "completed"}, exchange="")


def frob_step() -> StepMessage:
    return StepMessage(
        parameters={"command": "frob", "subcommand": "frob", "hosts": ["localhost"]},
        dynamic={},
        notify={"completed": {"irc": ["#frob"]}},
    )


def send(bus: RabbitBus) -> SentStep:
    """As ``headway step`` does."""
    sender = StepSender(bus)
    sender.open()
    sent = sender.send("frob", frob_step())
    sent.wait_until_taken()
    return sent


# The page


def test_the_page_gives_each_component_the_least_that_it_needs() -> None:
    for user, component in USERS.items():
        for line in commands(rights_of(component.acts), user, "releases"):
            assert line in LINES
    granting = [line for line in LINES if " set_" in line]
    assert len(granting) == sum(
        len(commands(rights_of(one.acts), "", "")) for one in USERS.values()
    )


def test_rabbitmqctl_understands_what_the_page_says(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    vhost = f"{rabbitmq.vhost}-releases"
    (definitions,) = [block.text for block in blocks(PAGE) if block.file == "shared.json"]
    (tmp_path / "shared.json").write_text(definitions.replace("releases", vhost))
    typed = [line for line in LINES if "worker-frob" in line or "import" in line]
    assert len(typed) == 4
    for line in typed:
        words = ["-q", *shlex.split(line.replace("-p releases", f"-p {vhost}"))[1:]]
        subprocess.run(
            [*rabbitmq.node.rabbitmqctl, *words],
            cwd=tmp_path, input="a password\n", text=True, check=True, capture_output=True,
        )  # fmt: skip
    url = rabbitmq.node.url("worker-frob", "a%20password", vhost)
    with examination_of(url) as examination:
        assert examination.exists(DeclaresExchange("re"))
        assert examination.exists(DeclaresQueue("dead"))
        assert lack_of(examination, WORKER).suffices
    rabbitmq.node.drop_vhost(vhost)


# Each component under just these rights


def test_a_worker_and_a_sender_do_all_they_do_with_the_rights_of_the_page(
    shared: RabbitMQ,
) -> None:
    worker_url = grant(shared, "worker-frob", of_page("worker-frob"))
    sender_url = grant(shared, "sender", of_page("sender"))
    log = Log()
    with bus_of(sender_url) as ours:
        theirs = RabbitBus(ours.address.__class__(**_fields(worker_url)))
        with served(FrobWorker, theirs, logger=logger_to(log)):
            sent = send(ours)
            news = list(sent.heard())
        news += list(sent.rest())
    answers = [one.response.status for one in news if isinstance(one, Answered)]
    assert answers == ["started", "completed"]
    assert "frobbing" in [one.text for one in news if isinstance(one, Line)]
    assert [one.transport for one in news if isinstance(one, Notified)] == ["irc"]
    assert [line for line in log.lines if not line.startswith("DEBUG")] == []


def test_the_output_worker_keeps_output_with_the_rights_of_the_page(
    shared: RabbitMQ, tmp_path: Path
) -> None:
    url = grant(shared, "output", of_page("output"))
    config = tmp_path / "output.json"
    config.write_text(json.dumps({"output_dir": str(tmp_path / "kept")}))
    (tmp_path / "kept").mkdir()
    kept = threading.Event()

    class OutputWorker(stock_output.OutputWorker):
        def process(self, channel: Any, deliver: Any, props: Any, body: Any, output: Any) -> None:
            super().process(channel, deliver, props, body, output)
            kept.set()

    log = Log()
    theirs = RabbitBus(RabbitAddress(**_fields(url)))
    with served(OutputWorker, theirs, str(config), logger_to(log)), bus_of(shared.url) as bus:
        said = Message(Output(message="frobbed", level="info").encode(), correlation_id=RUN)
        bus.publish(said, names.OUTPUT, names.EXCHANGE).wait(DEADLINE_S)
        assert kept.wait(DEADLINE_S)
    (file,) = (tmp_path / "kept").iterdir()
    assert "frobbed" in file.read_text()
    assert [line for line in log.lines if line.startswith(("WARN", "ERROR"))] == []


def test_workers_are_listed_with_the_rights_of_the_page(shared: RabbitMQ) -> None:
    theirs = RabbitBus(RabbitAddress(**_fields(grant(shared, "frob", of_page("worker-frob")))))
    with (
        served(FrobWorker, theirs, logger=logger_to(Log())),
        bus_of(grant(shared, "looker", of_page("looker"))) as bus,
    ):
        heard = listen(bus, INTERVAL_S + 0.5)
    assert len(heard.workers) == 1


def test_a_core_writes_down_who_is_there_with_the_rights_of_the_page(
    shared: RabbitMQ, tmp_path: Path
) -> None:
    core_url = grant(shared, "core", of_page("core"))
    worker_url = grant(shared, "worker-frob", of_page("worker-frob"))
    path = tmp_path / "headway.db"
    with closing(open_store(path)) as store, bus_of(core_url) as core, bus_of(worker_url) as worker:
        with roster_kept(lambda: open_store(path), core, write_s=0.01):
            said = presence(queue="worker.frob")
            message = Message(said.encode(), names.JSON)
            worker.publish(message, names.PRESENCE, names.EXCHANGE).wait(DEADLINE_S)
            deadline = clocks.monotonic() + DEADLINE_S
            while not store.workers(1):
                assert clocks.monotonic() < deadline, "it was not written down"
                threading.Event().wait(0.01)
        assert [one.presence for one in store.workers(9)] == [said]


def _fields(url: str) -> dict[str, Any]:
    address = parse_bus_url(url)
    assert isinstance(address, RabbitAddress)
    return {name: getattr(address, name) for name in address.__dataclass_fields__}


@pytest.mark.parametrize("user", USERS)
def test_a_component_can_do_each_of_its_acts_with_the_rights_of_the_page(
    shared: RabbitMQ, user: str
) -> None:
    with bus_of(grant(shared, user, of_page(user))) as bus:
        perform_all(bus, USERS[user].acts)


@pytest.mark.parametrize("user", USERS)
def test_with_one_right_less_an_act_fails_with_an_error_that_names_it(
    shared: RabbitMQ, user: str
) -> None:
    acts = USERS[user].acts
    for number, (left_out, rights) in enumerate(lesser(acts)):
        url = grant(shared, f"{user}{number}", rights)
        with examination_of(url) as examination:
            assert not lack_of(examination, USERS[user]).suffices, left_out
        with bus_of(url) as bus, pytest.raises(Refused, match="may not"):
            perform_all(bus, acts)
        with bus_of(shared.url) as admin:
            for act in acts:  # the next one begins without them, too
                if isinstance(act, DeclaresQueue) and act.queue != names.DEAD:
                    admin.delete(tried(act.queue))


def lesser(acts: Any) -> list[tuple[Act, Rights]]:
    """The rights without one act, where that makes a difference to what has to be declared."""
    full = rights_of(acts)
    found = []
    for act in acts:
        rights = rights_of(one for one in acts if one is not act)
        existing = act in (DeclaresExchange(names.EXCHANGE), DeclaresQueue(names.DEAD))
        if rights != full and not existing:
            found.append((act, rights))
    return found


def perform_all(bus: RabbitBus, acts: Iterable[Act]) -> None:
    """Raises: Refused."""
    for act in acts:
        perform(bus, act)


def perform(bus: RabbitBus, act: Act) -> None:
    """Raises: Refused."""
    match act:
        case DeclaresExchange(exchange):
            bus.declare(Exchange(exchange))
        case DeclaresQueue(name):
            bus.declare(Queue(tried(name)))
        case Binds(name, exchange, key):
            (declared,) = bus.declare(Queue(tried(name), bindings=(Binding(exchange, tried(key)),)))
            if declared.unsure:
                raise Refused(f"may not bind {declared.unsure}")
        case Consumes(name):
            bus.consume(tried(name), lambda delivery: bus.settle(delivery, Settlement.ACK))
        case Publishes(exchange, key):
            try:
                bus.publish(Message(b"x"), tried(key), exchange).wait(DEADLINE_S)
            except Rejected:
                pass  # nobody listens


# What a worker says when it lacks a right, as the page tells it


class Heard(logging.Handler):
    """What the library logs, as it comes."""

    def __init__(self) -> None:
        super().__init__()
        self.said: queue.SimpleQueue[str] = queue.SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self.said.put(record.getMessage())

    def wait_for(self, part: str) -> str:
        while part not in (said := self.said.get(timeout=DEADLINE_S)):
            pass
        return said


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler = Heard()
    logger = logging.getLogger("headway")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def rows_of_page() -> list[tuple[str, str]]:
    table = PAGE.partition("| what is lacking |")[2]
    return re.findall(r"^\| (\w.+?) \| .*?`(.+?)`.*\|$", table, re.M)


LACKING: dict[str, Callable[[Act], bool]] = {
    "configure `worker.frob`": lambda act: isinstance(act, DeclaresQueue),
    "write `worker.frob`, or read `re`": lambda act: isinstance(act, Binds),
    "read `worker.frob`": lambda act: isinstance(act, Consumes),
    "write `re`, or a routing key of it": lambda act: (
        isinstance(act, Publishes) and act.exchange == names.EXCHANGE
    ),
    "write `amq.default`": lambda act: isinstance(act, Publishes) and act.exchange == "",
}


@pytest.mark.parametrize(("lacking", "says"), rows_of_page())
def test_a_worker_that_lacks_a_right_says_what_the_page_says(
    shared: RabbitMQ, heard: Heard, lacking: str, says: str
) -> None:
    left = [act for act in WORKER.acts if not LACKING[lacking](act)]
    url = grant(shared, "less", rights_of(left))
    sender_url = grant(shared, "sender", of_page("sender"))
    assert re.search(re.escape(says).replace("…", ".*"), complaint(url, sender_url, heard, says))


def complaint(url: str, sender_url: str, heard: Heard, says: str) -> str:
    """What the worker is stopped by, or logs, when a step is sent to it."""
    theirs = RabbitBus(RabbitAddress(**_fields(url)))
    try:
        with (
            served(FrobWorker, theirs, logger=logger_to(Log())),
            bus_of(sender_url) as ours,
        ):
            sent = send(ours)
            threading.Thread(target=lambda: list(sent.heard()), daemon=True).start()  # grants
            return heard.wait_for(says.partition("…")[2].strip() or says)
    except HeadwayError as error:
        return str(error)
    finally:
        theirs.close()


def test_every_row_of_the_page_is_tried() -> None:
    assert [lacking for lacking, _ in rows_of_page()] == list(LACKING)
