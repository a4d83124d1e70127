"""Where httprequest may go: hosts by name, and for each its ports and what addresses it may have.

    "hosts": {
        "api.example.net": {},
        "*.example.org": {"ports": [443, 8443]},
        "cat.internal": {"ports": [8080], "addresses": ["10.1.0.0/16"]}
    }

An address that is not public is refused, whatever the name, unless the host has ``addresses``
with it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from headway.workers.keys import Keys, StepFailed
from headway.workers.networks import Address, Network, addresses_of, is_allowed

PORTS = {"http": 80, "https": 443}
LONGEST_URL = 8_000  # characters
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"({_LABEL}\.)*(?!\d+\.?$|0[xX][0-9A-Fa-f]*\.?$){_LABEL}\.?")
_PATTERN = re.compile(rf"\*|(\*\.)?({_LABEL}\.)*{_LABEL}")
_UNFIT = re.compile(r"[\x00-\x20\x7f\\]")
# What a URL's target may hold as it is; all else is written %XX.
_SAFE = "%/:=&?~+!$,;'@()*[]"


class Place(NamedTuple):
    """Where a request goes."""

    scheme: str
    host: str  # lower case, without brackets
    port: int
    target: str  # path and query

    @property
    def name(self) -> str:
        """For people: without the query, which may hold secrets."""
        return f"{self.origin}{self.target.partition('?')[0]}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def place_of(url: str) -> Place:
    """What a URL says. Raises: StepFailed for all that could be read in two ways."""
    if len(url) > LONGEST_URL:
        raise StepFailed(f"the URL has {len(url)} characters: at most {LONGEST_URL}")
    if _UNFIT.search(url):
        raise StepFailed("the URL holds a blank, a backslash or a control character: write it %XX")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise StepFailed(f"the URL cannot be read: {error}") from None
    if parts.scheme not in PORTS:
        raise StepFailed("the URL begins with neither http:// nor https://")
    if "@" in parts.netloc:
        raise StepFailed("the URL names a user: that is not sent; leave out what stands before @")
    host = _host(parts.hostname or "")
    bracketed = parts.netloc.startswith("[")
    if not (_is_address(host) if bracketed else _is_address(host) or _NAME.fullmatch(host)):
        raise StepFailed(
            f"the URL's host {host[:80]!r} is neither a name (in ASCII) nor an address in its"
            " usual form"
        )
    if port == 0:
        raise StepFailed("the URL's port is 0")
    path = quote(parts.path, safe=_SAFE) or "/"
    target = f"{path}?{quote(parts.query, safe=_SAFE)}" if parts.query else path
    return Place(parts.scheme, host, port or PORTS[parts.scheme], target)


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """What one entry of ``hosts`` allows."""

    pattern: str
    ports: Sequence[int]  # none: those of http and https
    addresses: Sequence[Network]  # that are allowed though they are not public

    def matches(self, host: str) -> bool:
        if self.pattern.startswith("*"):
            return not _is_address(host) and host.endswith(self.pattern[1:])
        return host == self.pattern


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """All entries; the most exact that matches counts."""

    hosts: Sequence[AllowedHost]

    def addresses(self, place: Place, timeout_s: float) -> list[Address]:
        """The addresses of a place, each of them allowed. Raises: StepFailed."""
        rule = max(
            (one for one in self.hosts if one.matches(place.host)),
            key=lambda one: (not one.pattern.startswith("*"), len(one.pattern)),
            default=None,
        )
        if rule is None:
            raise StepFailed(f"the configuration's 'hosts' does not allow {place.host}")
        if place.port not in (rule.ports or (PORTS[place.scheme],)):
            raise StepFailed(
                f"the configuration's 'hosts' does not allow port {place.port} of {place.host}"
            )
        found = addresses_of(place.host, timeout_s)
        for address in found:
            if not is_allowed(address, rule.addresses):
                raise StepFailed(
                    f"{place.host} has the address {address}, which is not public and is not"
                    " among its 'addresses' in the configuration's 'hosts'"
                )
        return found


def allowed_hosts(keys: Keys) -> AllowedHosts:
    """The configuration's ``hosts``. Raises: DefinitionError."""
    section = keys.section("hosts", wanted="an object: what is allowed, by host")
    found = [_allowed_host(pattern, rule) for pattern, rule in section.sections()]
    if not found:
        raise keys.wrong("hosts", "an object with one host at least")
    return AllowedHosts(found)


def _allowed_host(pattern: str, keys: Keys) -> AllowedHost:
    host = _host(pattern)
    if not _is_address(host) and not _PATTERN.fullmatch(host):
        raise keys.error(
            f"{keys.place} is no host: write a name, *.name, * for all names, or an address"
        )
    networks: list[Network] = []
    for text in keys.texts("addresses", (), wanted="a list of networks, like 10.1.0.0/16"):
        try:
            networks.append(ip_network(text))
        except ValueError as error:
            raise keys.error(f"'addresses' of {keys.place} has {text!r}: {error}") from None
    ports = keys.anything("ports") if "ports" in keys else []
    if not isinstance(ports, list) or not all(
        isinstance(port, int) and not isinstance(port, bool) and 0 < port < 65536 for port in ports
    ):
        raise keys.wrong("ports", "a list of whole numbers from 1 to 65535")
    if host == "*" and networks:
        raise keys.error(f"{keys.place} may have no 'addresses': any name could lead there")
    keys.none_left()
    return AllowedHost(host, ports, networks)


def _host(text: str) -> str:
    """In one form: lower case, no dot at the end, an address of version 6 as short as it gets."""
    host = text.lower().removesuffix(".")
    return str(ip_address(host)) if _is_address(host) else host


def _is_address(host: str) -> bool:
    """An address in its usual form: four numbers with dots, or any of version 6."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return "%" not in host and (address.version == 6 or str(address) == host)
