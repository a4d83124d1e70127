"""Where a bus is: read from URLs and mq configurations, and shown without passwords."""

import ssl
from typing import Any

import pytest
import trustme

from headway.adapters.bus_address import (
    MemoryAddress,
    RabbitAddress,
    parse_bus_url,
    parse_mq_config,
)
from headway.errors import DefinitionError, Refused, Unavailable

SEED = {
    "user": "frob",
    "password": "s3cret",
    "server": "bus.example.net",
    "port": 5672,
    "vhost": "/",
}


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("memory://", MemoryAddress("")),
        ("memory://test", MemoryAddress("test")),
        ("memory://a%20b", MemoryAddress("a b")),
        ("amqp://u:p@h", RabbitAddress("h", "u", "p", "/", 5672)),
        ("amqp://u:p@h/", RabbitAddress("h", "u", "p", "/", 5672)),
        ("amqp://u:p@h/%2F", RabbitAddress("h", "u", "p", "/", 5672)),
        ("amqp://u:p@h:1234/v%2Fw", RabbitAddress("h", "u", "p", "v/w", 1234)),
        ("amqp://u%40x:p%3A%2F%40@h/v", RabbitAddress("h", "u@x", "p:/@", "v", 5672)),
        ("amqps://u:p@h/v", RabbitAddress("h", "u", "p", "v", 5671, tls=True)),
        ("amqp://u:p@[::1]:99/v", RabbitAddress("::1", "u", "p", "v", 99)),
        ("amqp://localhost", RabbitAddress("localhost", "guest", "guest")),
        ("amqp://guest:guest@127.0.0.1", RabbitAddress("127.0.0.1", "guest", "guest")),
        ("amqp://u:@localhost", RabbitAddress("localhost", "u", "")),
        ("amqp://u:p@h/v?heartbeat=0", RabbitAddress("h", "u", "p", "v", heartbeat_s=0)),
        (
            "amqps://u:p@h/v?cacertfile=/ca.pem&certfile=/c.pem&keyfile=/k.pem"
            "&server_name_indication=n&heartbeat=3",
            RabbitAddress("h", "u", "p", "v", 5671, True, 3, "/ca.pem", "/c.pem", "/k.pem", "n"),
        ),
    ],
)
def test_a_url_is_read(url: str, address: MemoryAddress | RabbitAddress) -> None:
    assert parse_bus_url(url) == address


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "begins with amqp://"),
        ("localhost", "begins with amqp://"),
        ("http://u:hunter2@h", "not with http://"),
        ("redis://h", "not with redis://"),
        ("amqp://", "names no host"),
        ("amqp:///vhost", "names no host"),
        ("amqp://u:hunter2@h:port/v", "its port is a number"),
        ("amqp://u:hunter2@h:99999/v", "its port is a number"),
        ("amqp://u:hunter2@h/a/b", "written %2F"),
        ("amqp://u:hunter2@h/v?heartbeat=soon", "heartbeat is a number"),
        ("amqp://u:hunter2@h/v?heartbeat=-1", "heartbeat is a number"),
        ("amqp://u:hunter2@h/v?verify=none", "'verify'"),
        ("amqp://u:hunter2@[::1/v", "cannot be read"),
    ],
)
def test_what_is_no_url_of_a_bus_is_said_without_its_password(url: str, says: str) -> None:
    with pytest.raises(DefinitionError, match=says) as caught:
        parse_bus_url(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "address"),
    [
        ({}, RabbitAddress("bus.example.net", "frob", "s3cret")),
        ({"port": None}, RabbitAddress("bus.example.net", "frob", "s3cret")),
        ({"port": "5673"}, RabbitAddress("bus.example.net", "frob", "s3cret", port=5673)),
        ({"ssl": False}, RabbitAddress("bus.example.net", "frob", "s3cret")),
        ({"ssl": True}, RabbitAddress("bus.example.net", "frob", "s3cret", tls=True)),
        (
            {"ssl": True, "port": None},
            RabbitAddress("bus.example.net", "frob", "s3cret", port=5671, tls=True),
        ),
        (
            {"vhost": "re", "heartbeat": 5, "cacertfile": "ca.pem"},
            RabbitAddress(
                "bus.example.net", "frob", "s3cret", "re", heartbeat_s=5, cacertfile="ca.pem"
            ),
        ),
    ],
)
def test_an_mq_configuration_is_read(change: dict[str, Any], address: RabbitAddress) -> None:
    assert parse_mq_config({**SEED, **change}) == address


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"user": 1}, "user in the mq configuration is not text"),
        ({"ssl": "yes"}, "ssl in the mq configuration is true or false"),
        ({"port": "many"}, "port is a number"),
        ({"port": True}, "port is a number"),
        ({"port": 70000}, "port is a number"),
        ({"pasword": "hunter2"}, "'pasword'"),
        ({"cacertfile": 1}, "cacertfile is a path"),
    ],
)
def test_what_is_wrong_with_an_mq_configuration_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says) as caught:
        parse_mq_config({**SEED, **change})
    assert "hunter2" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_what_an_mq_configuration_lacks_is_named() -> None:
    with pytest.raises(DefinitionError, match="lacks password, vhost"):
        parse_mq_config({"user": "frob", "server": "h"})


@pytest.mark.parametrize(
    "url",
    ["amqp://bus.example.net", "amqps://guest:guest@10.0.0.1/v", "amqp://guest@bus.example.net"],
)
def test_guest_is_refused_beyond_loopback(url: str) -> None:
    with pytest.raises(Refused, match="guest"):
        parse_bus_url(url)


def test_no_password_is_refused_beyond_loopback() -> None:
    with pytest.raises(Refused, match="no password"):
        parse_bus_url("amqps://frob@bus.example.net")


def test_an_address_is_shown_without_its_password() -> None:
    address = parse_bus_url("amqps://fr%40b:hunter2@h:1/v%2Fw?heartbeat=3")
    assert str(address) == "amqps://fr%40b@h:1/v%2Fw"
    assert "hunter2" not in repr(address)
    assert str(parse_bus_url("amqp://u:p@[::1]")) == "amqp://u@[::1]:5672/%2F"
    assert str(parse_bus_url("memory://x")) == "memory://x"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("bus.localhost", True),
        ("localhost.example.net", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
    ],
)
def test_what_is_plain_beyond_loopback_is_warned_of(host: str, loopback: bool) -> None:
    plain = RabbitAddress(host, "u", "hunter2")
    assert plain.is_loopback is loopback
    assert (plain.warning is None) is loopback
    assert "hunter2" not in str(plain.warning)
    assert RabbitAddress(host, "u", "p", tls=True).warning is None


def test_tls_is_of_1_2_at_least_and_verified(tmp_path: Any) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(file)
    context = RabbitAddress("h", "u", "p", tls=True, cacertfile=str(file)).tls_context()
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert RabbitAddress("h", "u", "p").tls_context() is None


def test_a_certificate_that_is_none_is_named(tmp_path: Any) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(Unavailable, match=r"ca\.pem"):
        RabbitAddress("h", "u", "p", tls=True, cacertfile=str(file)).tls_context()
