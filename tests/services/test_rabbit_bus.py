"""The bus on RabbitMQ, beyond what every bus does: permissions, TLS, foreign messages."""

import datetime
import logging
import shlex
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pika
import pytest
import trustme

from headway.adapters.bus_address import RabbitAddress, parse_bus_url
from headway.adapters.rabbitmq.bus import RabbitBus
from headway.errors import HeadwayError, Refused, Rejected, Unavailable
from headway.ports.bus import (
    Binding,
    Closed,
    Delivery,
    Exchange,
    Message,
    Opened,
    Queue,
    QueueKind,
    Settlement,
)
from headway.testing.buses import Heard, Inbox, confirmed, refused, text
from tests.services.forwarder import Forwarder
from tests.services.rabbitmq import RabbitMQ

pytestmark = pytest.mark.services

DEADLINE_S = 30.0


def address_of(url: str) -> RabbitAddress:
    address = parse_bus_url(url)
    assert isinstance(address, RabbitAddress)
    return address


@contextmanager
def open_bus(url: str | RabbitAddress) -> Iterator[RabbitBus]:
    bus = RabbitBus(address_of(url) if isinstance(url, str) else url)
    bus.open(DEADLINE_S)
    with closing(bus):
        yield bus


@pytest.fixture
def bus(rabbitmq: RabbitMQ) -> Iterator[RabbitBus]:
    with open_bus(rabbitmq.url) as bus:
        yield bus


# Permissions


def commands_in(error: HeadwayError) -> list[list[str]]:
    _, _, commands = str(error).partition("an administrator types: ")
    return [shlex.split(command) for command in commands.split("; ")]


def test_who_may_not_declare_is_told_what_an_administrator_types(rabbitmq: RabbitMQ) -> None:
    vhost = f"--vhost={rabbitmq.vhost}"
    with open_bus(rabbitmq.make_user("nobody", "^$", "^$", "^$")) as bus:
        with pytest.raises(Refused) as caught:
            bus.declare(Exchange("re"))
        assert commands_in(caught.value) == [
            ["rabbitmqadmin", vhost, "declare", "exchange", "name=re", "type=topic", "durable=true"]
        ]
        worker = Queue("worker.frob", bindings=(Binding("re", "worker.frob"),))
        with pytest.raises(Refused) as caught:
            bus.declare(worker)
        assert commands_in(caught.value) == [
            [
                *("rabbitmqadmin", vhost, "declare", "queue", "name=worker.frob", "durable=true"),
                'arguments={"x-queue-type": "quorum"}',
            ],
            [
                *("rabbitmqadmin", vhost, "declare", "binding", "source=re"),
                *("destination=worker.frob", "routing_key=worker.frob"),
            ],
        ]


def test_who_may_declare_but_not_bind_is_told_too(rabbitmq: RabbitMQ, bus: RabbitBus) -> None:
    bus.declare(Exchange("re"))
    with open_bus(rabbitmq.make_user("half", "^worker", "^worker", "^worker")) as half:
        with pytest.raises(Refused) as caught:
            half.declare(Queue("worker.frob", bindings=(Binding("re", "worker.frob"),)))
        assert [command[3] for command in commands_in(caught.value)] == ["binding"]


def test_a_key_that_a_user_may_not_use_harms_no_other_key(
    rabbitmq: RabbitMQ, bus: RabbitBus
) -> None:
    bus.declare(Exchange("re"), Queue("q", bindings=(Binding("re", "#"),)))
    url = rabbitmq.make_user("topical", "^$", "^re$", "^$")
    rabbitmq.node.tell(
        "rabbit_auth_backend_internal:set_topic_permissions("
        f'<<"{rabbitmq.vhost}.topical">>, <<"{rabbitmq.vhost}">>, <<"re">>, <<"^frob">>,'
        ' <<"^$">>, <<"tests">>).'
    )
    with open_bus(url) as topical:
        confirmed(topical.publish(text("x"), "frob.started", "re"))
        bad = topical.publish(text("x"), "juicer.started", "re")
        assert "'juicer.started'" in refused(bad, Refused)
        confirmed(topical.publish(text("x"), "frob.started", "re"))
        assert topical.counts().connections == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"password": "hunter2"}, "user and password"),
        ({"user": "nobody", "password": "hunter2"}, "user and password"),
        ({"vhost": "else/where", "password": None}, "rabbitmqctl add_vhost else/where"),
    ],
    ids=["password", "user", "virtual host"],
)
def test_who_is_not_let_in_is_refused_at_once_and_no_password_is_shown(
    rabbitmq: RabbitMQ, change: dict[str, Any], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    given = {key: value for key, value in change.items() if value is not None}
    address = replace(address_of(rabbitmq.url), **given)
    bus = RabbitBus(address)
    with pytest.raises(Refused, match=says) as caught:
        bus.open(None)
    shown = [repr(bus), repr(address), bus.place, str(address), caplog.text]
    error: BaseException | None = caught.value
    while error is not None:
        shown += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    for secret in ("hunter2", rabbitmq.password):
        assert all(secret not in one for one in shown)
    assert not bus.is_open
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_pika_is_quiet_when_a_connection_is_lost(
    rabbitmq: RabbitMQ, bus: RabbitBus, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard(bus)
    rabbitmq.cut()
    heard.wait_for(Opened)
    assert {record.name for record in caplog.records} == {"headway.bus"}
    assert all(record.exc_info is None for record in caplog.records)


# Messages that others send


class Raw(pika.BasicProperties):
    """Properties whose encoded form is tampered with on the way out."""

    def __init__(self, tamper: Callable[[bytes], bytes], **properties: Any) -> None:
        super().__init__(**properties)
        self._tamper = tamper

    def encode(self) -> list[bytes]:
        return [self._tamper(b"".join(super().encode()))]


def publish_raw(rabbitmq: RabbitMQ, queue: str, properties: pika.BasicProperties) -> None:
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", queue, b"hostile", properties, mandatory=True)


LONG_AGO = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
LONG_AGO_BYTES = int(LONG_AGO.timestamp()).to_bytes(8)


@pytest.mark.parametrize(
    ("tamper", "properties", "flaw", "expected"),
    [
        pytest.param(
            lambda data: data.replace(LONG_AGO_BYTES, b"\x7f" + b"\xff" * 7),
            {"headers": {"when": LONG_AGO}, "content_type": "text/plain"},
            "its headers cannot be read",
            {"content_type": "text/plain"},
            id="a moment that never was",
        ),
        pytest.param(
            lambda data: data.replace(
                b"CORRELATION", b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5"
            ),
            {"headers": {"a": 1}, "message_id": "CORRELATION"},
            "its message_id is no UTF-8",
            {"headers": {"a": 1}},
            id="an id that is no text",
        ),
        pytest.param(
            lambda data: data.replace(b"name", b"\xff\xfe\xfd\xfc"),
            {"headers": {"name": 1, "other": 2}},
            "the name of a header is no UTF-8",
            {"headers": {"other": 2}},
            id="a header's name that is no text",
        ),
    ],
)
def test_a_message_that_cannot_be_read_is_delivered_with_its_flaw(
    rabbitmq: RabbitMQ,
    bus: RabbitBus,
    tamper: Callable[[bytes], bytes],
    properties: dict[str, Any],
    flaw: str,
    expected: dict[str, Any],
) -> None:
    inbox = Inbox()
    bus.declare(Queue("hostile", QueueKind.CLASSIC))
    bus.consume("hostile", inbox, prefetch=5)
    publish_raw(
        rabbitmq, "hostile", Raw(tamper, reply_to="who sent it", delivery_mode=2, **properties)
    )
    delivery = inbox.get()
    assert delivery.flaw is not None
    assert delivery.flaw.startswith(flaw)
    assert delivery.message == Message(
        b"hostile", reply_to="who sent it", **{"headers": {}, **expected}
    )
    assert bus.settle(delivery, Settlement.REJECT) is None
    confirmed(bus.publish(text("the next one"), "hostile"))
    assert inbox.get().flaw is None
    assert bus.counts().connections == 1


def test_what_a_quorum_queue_counts_arrives_among_the_headers(bus: RabbitBus) -> None:
    inbox = Inbox()
    bus.declare(Queue("counted"))
    bus.consume("counted", inbox)
    confirmed(bus.publish(text("x"), "counted"))
    bus.settle(inbox.get(), Settlement.REQUEUE)
    again = inbox.get()
    assert (again.redelivered, again.message.headers["x-delivery-count"]) == (True, 1)
    bus.settle(again, Settlement.ACK)


def test_a_queue_that_is_full_refuses_and_says_so(bus: RabbitBus) -> None:
    bounded = {"x-max-length": 2, "x-overflow": "reject-publish"}
    bus.declare(Queue("small", QueueKind.CLASSIC, arguments=bounded))
    confirmations = [bus.publish(text(str(number)), "small") for number in range(3)]
    for confirmation in confirmations[:2]:
        confirmed(confirmation)
    assert "full" in refused(confirmations[2], Unavailable)


# Threads


def test_what_is_called_inline_cannot_wait_for_the_bus(bus: RabbitBus) -> None:
    bus.declare(Queue("q", QueueKind.CLASSIC))
    tried: list[str] = []
    over = threading.Event()

    def handler(delivery: Any) -> None:
        for call in (
            lambda: bus.declare(Queue("other")),
            lambda: bus.delete("q"),
            lambda: bus.exists("q"),
            lambda: bus.consume("q", Inbox()),
            bus.close,
        ):
            try:
                call()
            except HeadwayError as error:
                tried.append(str(error))
        bus.settle(delivery, Settlement.ACK)
        over.set()

    bus.consume("q", handler, inline=True)
    bus.publish(text("x"), "q")
    assert over.wait(DEADLINE_S)
    assert len(tried) == 5
    assert all("inline" in one for one in tried)


def test_an_inline_handler_may_cancel_its_consumer(bus: RabbitBus) -> None:
    bus.declare(Queue("q", QueueKind.CLASSIC))
    cancelled: list[bool] = []
    over = threading.Event()

    def handler(delivery: Any) -> None:
        cancelled.append(consumer.cancel())
        bus.settle(delivery, Settlement.ACK)
        over.set()

    consumer = bus.consume("q", handler, inline=True)
    confirmed(bus.publish(text("x"), "q"))
    assert over.wait(DEADLINE_S)
    rest = Inbox()
    bus.consume("q", rest)
    confirmed(bus.publish(text("y"), "q"))
    assert rest.get().message.body == b"y"
    assert cancelled == [True]


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def tls(rabbitmq: RabbitMQ) -> Iterator[Callable[[ssl.SSLContext], RabbitAddress]]:
    """Makes the address of a door to the broker that speaks TLS by this context."""
    with ExitStack() as stack:

        def make(context: ssl.SSLContext) -> RabbitAddress:
            forwarder = stack.enter_context(Forwarder(rabbitmq.node.port, context))
            plain = address_of(rabbitmq.url_at(forwarder.port))
            return replace(plain, tls=True, host="localhost")

        yield make


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path) -> str:
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(file)
    return str(file)


def test_a_broker_whose_certificate_is_trusted_is_spoken_to(
    tls: Callable[[ssl.SSLContext], RabbitAddress], authority: trustme.CA, trusted: str
) -> None:
    address = tls(server_context(authority, "localhost"))
    with open_bus(replace(address, cacertfile=trusted)) as bus:
        inbox = Inbox()
        bus.declare(Queue("q", QueueKind.CLASSIC), Queue("answers", QueueKind.CLASSIC))

        def answer(delivery: Delivery) -> None:
            bus.publish(delivery.message, "answers")
            bus.settle(delivery, Settlement.ACK)

        for _ in range(4):
            bus.consume("q", answer, prefetch=10)
        bus.consume("answers", inbox, prefetch=200)
        sent = [bus.publish(text(f"{number:10000}"), "q") for number in range(200)]
        for confirmation in sent:
            confirmed(confirmation)
        assert {int(inbox.get().message.body) for _ in range(200)} == set(range(200))
        assert bus.counts().connections == 1


def test_a_certificate_for_another_name_can_be_asked_for(
    tls: Callable[[ssl.SSLContext], RabbitAddress], authority: trustme.CA, trusted: str
) -> None:
    address = replace(tls(server_context(authority, "bus.example.net")), cacertfile=trusted)
    with open_bus(replace(address, server_name="bus.example.net")) as bus:
        assert bus.is_open
    with pytest.raises(Refused, match="Hostname mismatch"):
        RabbitBus(address).open(DEADLINE_S)


def test_a_broker_nobody_vouches_for_is_refused(
    tls: Callable[[ssl.SSLContext], RabbitAddress], authority: trustme.CA, trusted: str
) -> None:
    address = tls(server_context(trustme.CA(), "localhost"))
    for one in (address, replace(address, cacertfile=trusted)):
        with pytest.raises(Refused, match="not trusted"):
            RabbitBus(one).open(DEADLINE_S)


def test_a_certificate_that_is_over_is_refused(
    tls: Callable[[ssl.SSLContext], RabbitAddress], authority: trustme.CA, trusted: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", not_after=LONG_AGO).configure_cert(context)
    address = replace(tls(context), cacertfile=trusted)
    with pytest.raises(Refused, match="expired"):
        RabbitBus(address).open(DEADLINE_S)


def test_less_than_tls_1_2_is_not_spoken(
    tls: Callable[[ssl.SSLContext], RabbitAddress], authority: trustme.CA, trusted: str
) -> None:
    context = server_context(authority, "localhost")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    bus = RabbitBus(replace(tls(context), cacertfile=trusted))
    with pytest.raises(Unavailable, match="TLS"):
        bus.open(1.0)


def test_a_plain_broker_is_not_taken_for_a_safe_one(rabbitmq: RabbitMQ) -> None:
    bus = RabbitBus(replace(address_of(rabbitmq.url), tls=True))
    with pytest.raises(Unavailable):
        bus.open(1.0)


def test_a_broker_that_wants_a_certificate_of_ours_is_given_one(
    tls: Callable[[ssl.SSLContext], RabbitAddress],
    authority: trustme.CA,
    trusted: str,
    tmp_path: Path,
) -> None:
    context = server_context(authority, "localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    address = replace(tls(context), cacertfile=trusted)
    with pytest.raises(Unavailable, match=r"certificate|TLS|was lost"):
        RabbitBus(address).open(1.0)
    ours = authority.issue_cert("worker.example.net")
    certificate, key = tmp_path / "ours.pem", tmp_path / "ours.key"
    ours.cert_chain_pems[0].write_to_path(certificate)
    ours.private_key_pem.write_to_path(key)
    mine = replace(address, certfile=str(certificate), keyfile=str(key))
    with open_bus(mine) as bus:
        assert bus.is_open


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    file = tmp_path / "nothing.pem"
    bus = RabbitBus(RabbitAddress("localhost", "u", "p", tls=True, cacertfile=str(file)))
    with pytest.raises(Unavailable, match=r"nothing\.pem"):
        bus.open(0.2)


def test_news_of_a_closing_name_the_broker_and_no_password(
    rabbitmq: RabbitMQ, bus: RabbitBus
) -> None:
    heard = Heard(bus)
    rabbitmq.cut()
    reason = heard.wait_for(Closed).reason
    assert str(rabbitmq.node.port) in reason
    assert rabbitmq.password not in reason
    heard.wait_for(Opened)
    with pytest.raises(Rejected, match="'nowhere'"):
        bus.consume("nowhere", Inbox())
