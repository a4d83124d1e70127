"""A broker is looked at, and is the same afterwards."""

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headway.adapters.bus_address import RabbitAddress, parse_bus_url
from headway.adapters.rabbitmq.bus import RabbitBus
from headway.adapters.rabbitmq.examination import Examination
from headway.errors import Refused, Unavailable
from headway.ports.bus import Binding, Exchange, Message, Queue, QueueKind
from headway.runtime.doctor import HEARTBEAT
from headway.runtime.doctor.permissions import ANY
from headway.wire import names
from headway.wire.rights import (
    Binds,
    Consumes,
    DeclaresExchange,
    DeclaresQueue,
    Publishes,
    components,
)
from tests.doors.typed import Place, Said
from tests.services.rabbitmq import RabbitMQ
from tests.services.test_permissions import bus_of

pytestmark = pytest.mark.services

ACTS = [act for component in components("frob") for act in component.acts]
LISTENING = Queue("everything", QueueKind.CLASSIC, (Binding("re", "#"),))


def examined(url: str, answer_s: float = 10.0) -> Examination:
    address = parse_bus_url(url)
    assert isinstance(address, RabbitAddress)
    return Examination(address, answer_s)


@pytest.fixture
def busy(rabbitmq: RabbitMQ) -> Iterator[RabbitBus]:
    """A virtual host in which much is there, with messages waiting."""
    with bus_of(rabbitmq.url) as bus:
        bus.declare(Exchange("re"), Queue(names.DEAD), LISTENING)
        bus.declare(Queue("worker.frob", bindings=(Binding("re", "worker.frob"),)))
        bus.publish(Message(b"step"), "worker.frob", "re").wait(20.0)
        yield bus


def all_there_is(rabbitmq: RabbitMQ) -> list[str]:
    vhost = f'<<"{rabbitmq.vhost}">>'
    return [
        rabbitmq.node.tell(f"lists:sort(rabbit_amqqueue:list_names({vhost}))."),
        rabbitmq.node.tell(
            f"lists:sort([N || {{resource, {vhost}, _, N}} <- rabbit_exchange:list_names()])."
        ),
        rabbitmq.node.tell(f"lists:sort(rabbit_binding:list({vhost}))."),
    ]


def waiting(rabbitmq: RabbitMQ, queue: str) -> int:
    import pika

    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
        declared = connection.channel().queue_declare(queue, passive=True)
        return int(declared.method.message_count)


def test_what_is_tried_comes_to_nothing(rabbitmq: RabbitMQ, busy: RabbitBus) -> None:
    before = all_there_is(rabbitmq)
    with examined(rabbitmq.url) as examination:
        assert [examination.refusal_of(act) for act in ACTS] == [None] * len(ACTS)
        assert examination.takes(1 << 20)
    assert all_there_is(rabbitmq) == before
    assert (waiting(rabbitmq, "everything"), waiting(rabbitmq, "worker.frob")) == (1, 1)


def test_what_is_not_allowed_is_told_in_the_brokers_words(
    rabbitmq: RabbitMQ, busy: RabbitBus
) -> None:
    with examined(rabbitmq.make_user("nobody", "^$", "^$", "^$")) as examination:
        for act in ACTS:
            assert "refused for user" in (examination.refusal_of(act) or ""), act


@pytest.mark.parametrize(
    ("rights", "allowed"),
    [
        (("^worker", "^$", "^$"), {DeclaresQueue}),
        (("^re$", "^$", "^$"), {DeclaresExchange}),
        (("^$", "^re$", "^$"), {Publishes}),
        (("^$", "^$", "^worker"), {Consumes}),
        (("^$", "^worker", "^re$"), {Binds}),
        (("^$", "^worker", "^$"), set()),
    ],
)
@pytest.mark.parametrize("there", [True, False], ids=["where it is", "where it is not"])
def test_each_right_is_told_from_the_others(
    rabbitmq: RabbitMQ, rights: tuple[str, str, str], allowed: set[type], there: bool
) -> None:
    if there:
        with bus_of(rabbitmq.url) as bus:
            bus.declare(Exchange("re"), Queue("worker.frob", QueueKind.CLASSIC))
    acts = (
        DeclaresExchange("re"), DeclaresQueue("worker.frob"), Publishes("re", "output"),
        Consumes("worker.frob"), Binds("worker.frob", "re", "worker.frob"),
    )  # fmt: skip
    with examined(rabbitmq.make_user("one", *rights)) as examination:
        assert {type(act) for act in acts if examination.refusal_of(act) is None} == allowed


def test_rights_on_routing_keys_are_seen(rabbitmq: RabbitMQ, busy: RabbitBus) -> None:
    url = rabbitmq.make_user("topical", ".*", ".*", ".*")
    rabbitmq.node.limit_topics(
        f"{rabbitmq.vhost}.topical", rabbitmq.vhost, "re", "^output$", "^worker\\.frob$"
    )
    with examined(url) as examination:
        assert examination.refusal_of(Publishes("re", "output")) is None
        assert "worker.frob" in (examination.refusal_of(Publishes("re", "worker.frob")) or "")
        assert examination.refusal_of(Binds("worker.frob", "re", "worker.frob")) is None
        assert "job.create" in (examination.refusal_of(Binds("dead", "re", "job.create")) or "")


def test_a_broker_tells_who_it_is(rabbitmq: RabbitMQ) -> None:
    with examined(f"{rabbitmq.url}?heartbeat=7") as examination:
        broker = examination.broker
        assert examination.round_trip_s() > 0
    assert (broker.product, broker.heartbeat_s) == ("RabbitMQ", 7)
    assert broker.version.startswith(("3.", "4."))
    assert broker.capabilities["publisher_confirms"]


def test_who_is_not_let_in_is_told_why(rabbitmq: RabbitMQ) -> None:
    for url in (rabbitmq.url.replace(rabbitmq.password, "wrong"), rabbitmq.url + "-not-there"):
        with pytest.raises(Refused):
            examined(url)


def test_a_broker_that_takes_no_messages_is_noticed(rabbitmq: RabbitMQ) -> None:
    rabbitmq.block()
    try:
        with examined(rabbitmq.url, answer_s=1.0) as examination:
            examination.refusal_of(Publishes("", "nowhere"))  # the first still comes through
            with pytest.raises(Unavailable, match="takes no messages: low on memory"):
                examination.refusal_of(Publishes("", "nowhere"))
    finally:
        rabbitmq.unblock()


def test_a_limit_for_messages_below_ours_is_noticed(rabbitmq: RabbitMQ) -> None:
    limit = "application:set_env(rabbit, max_message_size, {})."
    rabbitmq.node.tell(limit.format(1 << 19))
    try:
        with examined(rabbitmq.url) as examination:
            assert not examination.takes(1 << 20)
            assert examination.takes(1 << 18)
    finally:
        rabbitmq.node.tell(limit.format(1 << 27))


# headway doctor


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def doctor(place: Place, *words: str, code: int = 0) -> Any:
    return place.type("doctor", "--json", *words, code=code).json


def says(report: Any, grade: str) -> str:
    return "\n".join(one["says"] for one in report["findings"] if one["grade"] == grade)


def test_doctor_finds_nothing_wrong_with_a_broker_that_is_well(
    rabbitmq: RabbitMQ, place: Place
) -> None:
    before = all_there_is(rabbitmq)
    report = doctor(place, "--bus", rabbitmq.url)
    assert "enough for worker (of any command), sender, workers, core, output" in says(report, "ok")
    assert "RabbitMQ 3" in says(report, "ok")
    assert "consumer timeout cannot be seen" in says(report, "unknown")
    assert says(report, "warning") == ""
    assert all_there_is(rabbitmq) == before


def test_doctor_reads_a_workers_own_file(rabbitmq: RabbitMQ, place: Place) -> None:
    config = {"server": "127.0.0.1", "port": rabbitmq.node.port, "vhost": rabbitmq.vhost,
              "user": rabbitmq.vhost, "password": rabbitmq.password, "heartbeat": 5}  # fmt: skip
    place.write("mq.json", json.dumps(config))
    report = doctor(place, "--mq", "mq.json")
    assert "heartbeat 5 s" in says(report, "ok")
    heartbeat = [one["value"] for one in report["limits"] if one["where"] == HEARTBEAT]
    assert heartbeat == [5]


def test_doctor_says_what_a_worker_lacks_and_what_gives_just_that(
    rabbitmq: RabbitMQ, busy: RabbitBus, place: Place
) -> None:
    url = rabbitmq.make_user("frob", "^worker\\.frob$", "^worker\\.frob$", "^worker\\.frob$")
    wanted = ("--bus", url, "--for", "worker:frob")
    (problem,) = [
        one for one in doctor(place, *wanted, code=1)["findings"] if one["grade"] == "problem"
    ]
    assert "may not publish to exchange re by output" in problem["says"]
    assert "may not consume" not in problem["says"]
    for line in problem["commands"]:
        words = shlex.split(line)[1:]
        subprocess.run([*rabbitmq.node.rabbitmqctl, "-q", *words], check=True, capture_output=True)
    report = doctor(place, *wanted)
    assert "enough for worker:frob" in says(report, "ok")
    assert "not enough for sender" in says(doctor(place, "--bus", url), "ok")


def test_doctor_warns_of_more_rights_than_are_needed(
    rabbitmq: RabbitMQ, busy: RabbitBus, place: Place
) -> None:
    report = doctor(place, "--bus", rabbitmq.url, "--for", "worker:frob")
    assert "more than enough" in says(report, "warning")


def test_doctor_asks_the_node_where_it_may(rabbitmq: RabbitMQ, place: Place) -> None:
    ask = ("--bus", rabbitmq.url, "--rabbitmqctl", shlex.join(rabbitmq.node.rabbitmqctl))
    rabbitmq.be_patient(60_000)
    try:
        report = doctor(place, *ask)
    finally:
        rabbitmq.be_patient()
    assert "consumer timeout 60 s" in says(report, "warning")
    assert "takes messages of up to 134,217,728 bytes" in says(report, "ok")
    assert "the broker's clock says the same" in says(report, "ok")


def test_doctor_says_when_rabbitmqctl_asks_somebody_else(rabbitmq: RabbitMQ, place: Place) -> None:
    place.write("ctl", "#!/bin/sh\necho '{1,2,0,3,<<\"other@host\">>}'\n").chmod(0o755)
    report = doctor(place, "--bus", rabbitmq.url, "--rabbitmqctl", "./ctl")
    assert "asks the cluster other@host" in says(report, "warning")
    place.write("ctl", "#!/bin/sh\necho 'you may not' >&2; exit 1\n")
    report = doctor(place, "--bus", rabbitmq.url, "--rabbitmqctl", "./ctl")
    assert "./ctl says: you may not" in says(report, "warning")


def test_doctor_ends_with_69_while_the_broker_takes_no_messages(
    rabbitmq: RabbitMQ, place: Place
) -> None:
    rabbitmq.block()
    try:
        report = doctor(place, "--bus", rabbitmq.url, code=69)
    finally:
        rabbitmq.unblock()
    assert "takes no messages" in says(report, "problem")


def test_the_report_fits_80_columns_but_for_what_is_to_be_copied(
    rabbitmq: RabbitMQ, place: Place
) -> None:
    told: Said = place.type(
        "doctor", "--bus", rabbitmq.make_user("none", "^$", "^$", "^$"), "--for", "worker:frob",
        env={"COLUMNS": "80"}, code=1,
    )  # fmt: skip
    wide = [line for line in told.lines if len(line) > 80]
    assert all(line.lstrip().startswith("$ ") or str(place.directory) in line for line in wide)
    assert ANY not in told.out
