"""A broker, its certificates and a worker, all as the page on TLS has them."""

import json
import logging
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headway.adapters.bus_address import parse_mq_config
from headway.adapters.dispatching import Answered
from headway.adapters.rabbitmq.bus import RabbitBus
from headway.adapters.rabbitmq.examination import certificate
from headway.errors import HeadwayError
from headway.ports.bus import Closed
from headway.runtime.worker_trial import served
from headway.testing.buses import DEADLINE_S, Heard
from tests.docs.console import REPOSITORY, blocks, complaints
from tests.doors.typed import Place
from tests.services.rabbitmq import RabbitMQ, RabbitNode, find_server, free_ports
from tests.services.test_permissions import FrobWorker, send
from tests.unit.serving import Log, logger_to

if TYPE_CHECKING:
    from tests.conftest import RequireService

pytestmark = pytest.mark.services

PAGE = (REPOSITORY / "docs/how-to/tls.md").read_text("utf-8")
FILES = {block.file: block.text for block in blocks(PAGE) if block.file}


class Encrypted:
    """A node that speaks TLS by the page's configuration, with the page's certificates."""

    def __init__(self, node: RabbitNode, port: int, directory: Path) -> None:
        self.broker = RabbitMQ(node, *node.make_vhost())
        self.port = port
        self.directory = directory

    def config(self, **changes: Any) -> dict[str, Any]:
        """The page's mqconf.json, for here."""
        config = {
            **json.loads(FILES["mqconf.json"]),
            "server": "localhost",
            "port": self.port,
            "vhost": self.broker.vhost,
            "user": self.broker.vhost,
            "password": self.broker.password,
            "cacertfile": str(self.directory / "authority.pem"),
            **changes,
        }
        return {key: value for key, value in config.items() if value is not None}

    def bus(self, **changes: Any) -> RabbitBus:
        return RabbitBus(parse_mq_config(self.config(**changes)))


@pytest.fixture(scope="module")
def encrypted(
    require_service: "RequireService", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Encrypted]:
    server = find_server()
    require_service("rabbitmq-server", server is not None, "./check --services installs it")
    require_service("openssl", shutil.which("openssl") is not None, "apt-get install openssl")
    assert server is not None
    directory = tmp_path_factory.mktemp("certificates")
    assert complaints(PAGE, directory) == []  # that is, make them
    directory /= "work"
    (port,) = free_ports(1)
    config = FILES["rabbitmq.conf"].replace("/etc/rabbitmq/tls", str(directory))
    config = config.replace("listeners.tcp = none\n", "")  # the tests' own way in
    config = config.replace("ssl.default = 5671", f"ssl.default = 127.0.0.1:{port}")
    with ExitStack() as stack:
        node = RabbitNode(server, config)
        stack.callback(node.close)
        yield Encrypted(node, port, directory)


def test_a_worker_and_a_sender_meet_through_tls(encrypted: Encrypted) -> None:
    with served(FrobWorker, encrypted.bus(), logger=logger_to(Log())):
        ours = encrypted.bus()
        ours.open(20.0)
        try:
            final = [news for news in send(ours).heard() if isinstance(news, Answered)][-1]
        finally:
            ours.close()
    assert final.response.status == "completed"


def test_doctor_tells_of_the_certificate(encrypted: Encrypted, tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write("mqconf.json", json.dumps(encrypted.config()))
    told = place.type("doctor", "--mq", "mqconf.json", env={"COLUMNS": "80"}).out
    assert "encrypted by TLSv1.3" in told
    flat = " ".join(told.split())
    assert "its certificate is for mq.example.net, localhost, signed by Releases authority" in flat


def test_doctor_warns_of_a_certificate_that_ends_soon(
    encrypted: Encrypted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headway.runtime.doctor import bus
    from headway.runtime.doctor.finding import Area, Grade

    monkeypatch.setattr(bus, "SOON_DAYS", 366)
    found = Area("bus")
    bus.examine(found, Area("permissions"), parse_mq_config(encrypted.config()), [], [])
    assert [one.grade for one in found.findings if "certificate" in one.says] == [Grade.WARNING]


def test_a_name_that_the_certificate_lacks_can_be_told(encrypted: Encrypted) -> None:
    config = encrypted.config(server="127.0.0.1", server_name_indication="mq.example.net")
    assert certificate(parse_mq_config(config)).protocol == "TLSv1.3"


def wrong(what: str, encrypted: Encrypted) -> dict[str, Any]:
    match what:
        case "self-signed certificate in certificate chain":
            return {"cacertfile": None}
        case "Hostname mismatch":
            return {"server_name_indication": "other.example.net"}
        case "no TLS connection to":
            return {"port": encrypted.broker.node.port}
        case _:
            raise AssertionError(f"nobody knows how to bring about {what!r}")


def why_not_open(bus: RabbitBus) -> str:
    """What is told of the first attempt to connect."""

    def open_it() -> None:
        with suppress(HeadwayError):
            bus.open(DEADLINE_S)

    news, opening = Heard(bus), threading.Thread(target=open_it)
    opening.start()
    try:
        return news.wait_for(Closed).reason
    finally:
        bus.close()
        opening.join(DEADLINE_S)


@pytest.mark.parametrize(
    "what",
    ["self-signed certificate in certificate chain", "Hostname mismatch", "no TLS connection to"],
)
def test_what_goes_wrong_is_told_as_the_page_has_it(
    encrypted: Encrypted, what: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    assert what in PAGE
    caplog.set_level(logging.CRITICAL)
    changes = wrong(what, encrypted)
    assert what in why_not_open(encrypted.bus(**changes))
    place = Place(tmp_path)
    place.write("mqconf.json", json.dumps(encrypted.config(**changes)))
    told = place.type("doctor", "--mq", "mqconf.json", code=None)
    assert told.code in (1, 69)
    assert what in " ".join(told.out.split())


@pytest.fixture
def strict(encrypted: Encrypted) -> int:
    """A port at which the broker wants certificates of its clients."""
    (port,) = free_ports(1)
    encrypted.broker.node.tell(
        "{ok, Options} = application:get_env(rabbit, ssl_options),"
        f' rabbit_networking:start_ssl_listener({{"127.0.0.1", {port}}},'
        " lists:keystore(fail_if_no_peer_cert, 1, Options, {fail_if_no_peer_cert, true}), 1)."
    )
    return port


def test_a_broker_that_wants_certificates_is_given_one(
    encrypted: Encrypted, strict: int, tmp_path: Path
) -> None:
    place = Place(tmp_path)
    place.write("without.json", json.dumps(encrypted.config(port=strict)))
    told = place.type("doctor", "--mq", "without.json", code=69)
    assert re.search("wants a client certificate|was lost|certificate required", told.out)
    keys = {name: str(encrypted.directory / file) for name, file in
            (("certfile", "frob.pem"), ("keyfile", "frob.key"))}  # fmt: skip
    place.write("with.json", json.dumps(encrypted.config(port=strict, **keys)))
    assert "encrypted by TLSv1.3" in place.type("doctor", "--mq", "with.json").out
