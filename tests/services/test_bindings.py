"""Which queue a step goes to: two instances of one class, other keys, bindings made beforehand."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from headway.adapters.bus_address import parse_bus_url
from headway.adapters.dispatching import Answered
from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus
from headway.errors import Rejected
from headway.ports.bus import Binding, Bus, Exchange, Queue
from headway.runtime.buses import make_bus
from headway.runtime.sending import StepSender
from headway.runtime.worker import Worker
from headway.runtime.worker_listing import listen
from headway.runtime.worker_trial import served
from headway.wire.messages import StepMessage
from tests.docs.console import REPOSITORY
from tests.services.rabbitmq import RabbitMQ
from tests.services.watching import often, watching_presence
from tests.unit.serving import Log, logger_to

PAGE = (REPOSITORY / "docs/how-to/queue-bindings.md").read_text("utf-8")
DEADLINE_S = 30.0

Buses = Callable[..., Bus]


class JuicerWorker(Worker):
    """Says which of the two it is, and what it was sent."""

    def process(
        self, channel: Any, basic_deliver: Any, properties: Any, body: Any, output: Any
    ) -> None:
        self.ack(basic_deliver)
        parameters = body["parameters"]
        said = f"{parameters['command']}:{parameters['subcommand']} by {self.serves}"
        answer = {"status": "completed", "data": said}
        self.send(properties.reply_to, properties.correlation_id, answer, exchange="")


def sent(bus: Bus, command: str) -> Any:
    """What came of COMMAND:promote."""
    own = {"command": command, "subcommand": "promote", "hosts": ["localhost"]}
    sender = StepSender(bus)
    sender.open()
    step = sender.send(command, StepMessage(parameters=own))
    (final,) = [news.response for news in step.heard() if isinstance(news, Answered)]
    sender.close()
    return final.data


def configured(directory: Path, **config: Any) -> str:
    file = directory / f"{config['queue']}.json"
    file.write_text(json.dumps(config))
    return str(file)


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=pytest.mark.services)])
def buses(request: pytest.FixtureRequest) -> Iterator[Buses]:
    """Makes parties on one broker; they are open."""
    with ExitStack() as stack:
        if request.param == "memory":
            broker = MemoryBroker()

            def make() -> Bus:
                return MemoryBus(broker)
        else:
            url = request.getfixturevalue("rabbitmq").url

            def make() -> Bus:
                return make_bus(parse_bus_url(url))

        def opened() -> Bus:
            bus = make()
            bus.open(DEADLINE_S)
            stack.callback(bus.close)
            return bus

        yield opened


def test_two_instances_of_one_class_are_addressed_by_two_commands(
    buses: Buses, tmp_path: Path
) -> None:
    secret = configured(tmp_path, queue="secretjuice")
    with served(JuicerWorker, buses()), served(JuicerWorker, buses(), secret):
        assert sent(buses(), "juicer") == "juicer:promote by worker.juicer"
        assert sent(buses(), "secretjuice") == "secretjuice:promote by worker.secretjuice"


def test_more_keys_may_lead_to_a_queue_and_its_own_name_always_does(
    buses: Buses, tmp_path: Path
) -> None:
    func = configured(tmp_path, queue="funcservice", bindings=["worker.service", "worker.yumcmd"])
    with served(JuicerWorker, buses(), func):
        for command in ("service", "yumcmd", "funcservice"):
            assert sent(buses(), command) == f"{command}:promote by worker.funcservice"
        with pytest.raises(Rejected, match=r"worker\.juicer"):
            sent(buses(), "juicer")


def test_bindings_made_beforehand_lead_to_a_queue_of_another_name(
    buses: Buses, tmp_path: Path
) -> None:
    operator = buses()
    keys = (Binding("re", "worker.vault"), Binding("re", "worker.backupvault"))
    operator.declare(Exchange("re"), Queue("worker.keeper", bindings=keys))
    with served(JuicerWorker, buses(), configured(tmp_path, queue="keeper")):
        assert sent(buses(), "vault") == "vault:promote by worker.keeper"
        assert sent(buses(), "backupvault") == "backupvault:promote by worker.keeper"


def test_what_a_worker_serves_is_listed_with_its_keys(buses: Buses, tmp_path: Path) -> None:
    func = configured(tmp_path, queue="funcservice", bindings=["worker.service"])
    with (
        served(JuicerWorker, buses()) as first,
        served(JuicerWorker, buses(), func) as second,
    ):
        often(first, second)
        sent(buses(), "juicer")
        sent(buses(), "service")
        heard = listen(buses(), 1.0)
    assert [(one.presence.queue, one.presence.bindings) for one in heard.workers] == [
        ("worker.funcservice", ["worker.funcservice", "worker.service"]),
        ("worker.juicer", ["worker.juicer"]),
    ]


# As the how-to has it


def shown(kind: str) -> str:
    """What the page has an administrator type, or put into a file."""
    found = re.search(rf"<!-- {re.escape(kind)} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, kind
    return found[1]


def typed(lines: str, rabbitmq: RabbitMQ, environment: Mapping[str, str], cwd: Path) -> None:
    names = {"releases": rabbitmq.vhost, "secretjuice '": f"{rabbitmq.vhost}.secret '"}
    for name, ours in {**names, "operator '": f"{rabbitmq.vhost}.operator '"}.items():
        lines = lines.replace(name, ours)
    done = subprocess.run(
        ["/bin/sh", "-e"],
        input=lines,
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.services
@pytest.mark.parametrize("way", ["rabbitmqadmin", "rabbitmqctl"])
def test_what_an_operator_declared_is_served_without_the_right_to_configure(
    rabbitmq: RabbitMQ, tmp_path: Path, way: str
) -> None:
    definitions = shown("file: definitions.json").replace("releases", rabbitmq.vhost)
    (tmp_path / "definitions.json").write_text(definitions)
    with rabbitmq.administered(tmp_path / "home") as environment:
        for block in (way, "user", "operator"):
            typed(shown(f"run: {block}"), rabbitmq, environment, tmp_path)
    log = Log()
    with ExitStack() as stack:
        presence = stack.enter_context(watching_presence(rabbitmq.url))
        user = opened(stack, rabbitmq, "secret")
        config = configured(tmp_path, queue="secretjuice")
        often(stack.enter_context(served(JuicerWorker, user, config, logger_to(log))))
        assert presence.next().queue == "worker.secretjuice"
        operator = opened(stack, rabbitmq, "operator")
        assert sent(operator, "secretjuice") == "secretjuice:promote by worker.secretjuice"
        assert [one.presence.kind for one in listen(operator, 1.0).workers] == ["JuicerWorker"]
        with pytest.raises(Rejected, match=r"worker\.juicer"):
            sent(operator, "juicer")
    assert log.text.count("we may not bind queue worker.secretjuice") == 1


def opened(stack: ExitStack, rabbitmq: RabbitMQ, user: str) -> Bus:
    name = f"{rabbitmq.vhost}.{user}"
    bus = make_bus(parse_bus_url(rabbitmq.node.url(name, "change%20me", rabbitmq.vhost)))
    bus.open(DEADLINE_S)
    return stack.enter_context(closing(bus))


@pytest.mark.services
def test_a_missing_binding_is_an_error_that_names_it_and_one_can_be_removed_as_shown(
    rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    config = configured(tmp_path, queue="funcservice", bindings=["worker.juicer"])
    (remove,) = re.findall(r"`(rabbitmqadmin [^`]* delete binding [^`]*)`", PAGE)
    with ExitStack() as stack:
        for_worker, ours = (
            stack.enter_context(closing(make_bus(parse_bus_url(rabbitmq.url)))) for _ in range(2)
        )
        for bus in (for_worker, ours):
            bus.open(DEADLINE_S)
        stack.enter_context(served(JuicerWorker, for_worker, config))
        assert sent(ours, "juicer") == "juicer:promote by worker.funcservice"
        with rabbitmq.administered(tmp_path / "home") as environment:
            typed(remove, rabbitmq, environment, tmp_path)
        with pytest.raises(Rejected, match=r"worker\.juicer"):
            sent(ours, "juicer")
