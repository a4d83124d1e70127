"""Where a bus is: an address, read from a URL or from the keys of a worker's mq configuration.

    amqp://user:password@host:port/vhost        amqps://... for TLS
    memory://name

After a question mark may follow ``heartbeat`` (seconds, 0 for none), ``cacertfile``, ``certfile``,
``keyfile`` (paths), ``server_name_indication`` (the name that the certificate is for).
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from headway.errors import DefinitionError, Refused, Unavailable

HEARTBEAT_S = 10
PLAIN_PORT, TLS_PORT = 5672, 5671
_OPTIONS = ("heartbeat", "cacertfile", "certfile", "keyfile", "server_name_indication")
_KEYS = ("user", "password", "server", "port", "vhost", "ssl", *_OPTIONS)


@dataclass(frozen=True, slots=True)
class MemoryAddress:
    """A broker in this process."""

    name: str = ""

    def __str__(self) -> str:
        return f"memory://{self.name}"


@dataclass(frozen=True, slots=True)
class RabbitAddress:
    """A RabbitMQ broker, and who connects to it. Shows its password to nobody."""

    host: str
    user: str
    password: str = field(repr=False)
    vhost: str = "/"
    port: int = PLAIN_PORT
    tls: bool = False
    heartbeat_s: int = HEARTBEAT_S
    cacertfile: str | None = None  # who signed the broker's certificate; None: the system's list
    certfile: str | None = None  # ours, where the broker wants one
    keyfile: str | None = None
    server_name: str | None = None  # the certificate's, if it is not the host's

    def __str__(self) -> str:
        scheme = "amqps" if self.tls else "amqp"
        host = f"[{self.host}]" if ":" in self.host else self.host
        vhost = quote(self.vhost, safe="")
        return f"{scheme}://{quote(self.user, safe='')}@{host}:{self.port}/{vhost}"

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def warning(self) -> str | None:
        """What somebody should be told who uses it."""
        if self.tls or self.is_loopback:
            return None
        return (
            f"{self} is not encrypted: passwords and messages can be read on the way;"
            ' use amqps:// (in an mq configuration: "ssl": true)'
        )

    def tls_context(self) -> ssl.SSLContext | None:
        """At least TLS 1.2, and the broker's certificate is verified.

        Raises: Unavailable when a file of it cannot be read.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.cacertfile)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.certfile is not None:
                context.load_cert_chain(self.certfile, self.keyfile)
        except OSError as error:  # ssl.SSLError is one
            named = [name for name in (self.cacertfile, self.certfile, self.keyfile) if name]
            raise Unavailable(
                f"the certificates for {self} cannot be used ({', '.join(named)}): {error}"
            ) from error
        return context


BusAddress = MemoryAddress | RabbitAddress


def parse_bus_url(url: str) -> BusAddress:
    """Raises: DefinitionError for what is no address of a bus, without quoting it.

    Refused for the user everybody knows, beyond loopback.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise DefinitionError(
            "the bus's URL cannot be read: its port is a number, and any of @ : / ? # % in a"
            " user, password or vhost is written as %40 and so on"
        ) from None
    if parts.scheme == "memory":
        return MemoryAddress(unquote(parts.netloc + parts.path))
    if parts.scheme not in ("amqp", "amqps"):
        raise DefinitionError(
            "the bus's URL begins with amqp://, amqps:// or memory://,"
            f" not with {parts.scheme + '://' if parts.scheme else 'anything else'}"
        )
    if not parts.hostname:
        raise DefinitionError(f"the bus's URL names no host: {parts.scheme}://user@HOST/vhost")
    if parts.path.count("/") > 1:
        raise DefinitionError("a / within the vhost of the bus's URL is written %2F")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(set(options).difference(_OPTIONS)):
        raise DefinitionError(
            f"the bus's URL has an option {unknown[0]!r}; there are {', '.join(_OPTIONS)}"
        )
    return _address(
        host=parts.hostname,
        user=unquote(parts.username or "guest"),
        password=unquote(parts.password) if parts.password is not None else None,
        vhost=unquote(parts.path[1:]) or "/",
        port=port,
        tls=parts.scheme == "amqps",
        options=options,
    )


def parse_mq_config(config: Mapping[str, Any]) -> RabbitAddress:
    """The keys ``user``, ``password``, ``server``, ``port``, ``vhost``, ``ssl``.

    ``port`` and ``ssl`` may be left out. The options of a URL are keys too.

    Raises: as ``parse_bus_url``.
    """
    missing = [key for key in ("user", "password", "server", "vhost") if key not in config]
    if missing:
        raise DefinitionError(f"the mq configuration lacks {', '.join(missing)}")
    if unknown := [str(key) for key in config if key not in _KEYS]:
        raise DefinitionError(
            f"the mq configuration has a key {unknown[0]!r}; there are {', '.join(_KEYS)}"
        )
    for key in ("user", "password", "server", "vhost"):
        if not isinstance(config[key], str):
            raise DefinitionError(f"{key} in the mq configuration is not text")
    if not isinstance(config.get("ssl", False), bool):
        raise DefinitionError("ssl in the mq configuration is true or false")
    return _address(
        host=config["server"],
        user=config["user"],
        password=config["password"],
        vhost=config["vhost"],
        port=_number(config.get("port"), "port", 65535),
        tls=config.get("ssl", False),
        options={key: config[key] for key in _OPTIONS if config.get(key) is not None},
    )


def _address(
    host: str,
    user: str,
    password: str | None,
    vhost: str,
    port: int | None,
    tls: bool,
    options: Mapping[str, Any],
) -> RabbitAddress:
    address = RabbitAddress(
        host=host,
        user=user,
        password="guest" if password is None and user == "guest" else password or "",
        vhost=vhost,
        port=port or (TLS_PORT if tls else PLAIN_PORT),
        tls=tls,
        heartbeat_s=_or(_number(options.get("heartbeat"), "heartbeat", 65535), HEARTBEAT_S),
        cacertfile=_path(options, "cacertfile"),
        certfile=_path(options, "certfile"),
        keyfile=_path(options, "keyfile"),
        server_name=options.get("server_name_indication") or None,
    )
    return refuse_guest(address)


def refuse_guest(address: RabbitAddress) -> RabbitAddress:
    """Beyond loopback, the user everybody knows and one without password are Refused."""
    if not address.is_loopback and (address.user, address.password) == ("guest", "guest"):
        raise Refused(
            f"{address} would be used as guest, whose password everybody knows:"
            " give a user and password of your own"
        )
    if not address.password and not address.is_loopback:
        raise Refused(f"{address} has no password: give one")
    return address


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _number(value: Any, name: str, most: int) -> int | None:
    if value is None:
        return None
    text = str(value)
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or int(text) > most:
        raise DefinitionError(f"the bus's {name} is a number up to {most}")
    return int(text)


def _path(options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name)
    if value is not None and not isinstance(value, str):
        raise DefinitionError(f"the bus's {name} is a path")
    return value or None
