"""Which addresses lie outside: those that the public network routes, and nothing else.

Python's own ``is_global`` takes for public what leads inside by another form (``::7f00:1``,
``64:ff9b::/96``, ``2002::/16``), and differs between its versions; so the table stands here.
Source: IANA's registries of special-purpose addresses.
"""

import socket
import threading
from collections.abc import Sequence
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from headway.workers.keys import StepFailed

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_INSIDE_V4 = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24
198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3
"""
# All that is public begins with 001; within that, what is not, or carries another address.
_OUTSIDE_V6 = "2000::/3"
_INSIDE_V6 = "2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20"


@cache
def _table() -> tuple[tuple[Network, ...], Network]:
    inside = tuple(ip_network(one) for one in (_INSIDE_V4 + _INSIDE_V6).split())
    return inside, ip_network(_OUTSIDE_V6)


def is_outside(address: Address) -> bool:
    """Whether it is public, whatever form it has."""
    inside, outside_v6 = _table()
    if address.version == 6 and address not in outside_v6:
        return False
    return not any(address in network for network in inside)


def is_allowed(address: Address, also: Sequence[Network]) -> bool:
    """Whether it may be connected to: public, or in one of these networks."""
    if isinstance(address, IPv6Address):
        if address.scope_id:
            return False
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
    return is_outside(address) or any(address in network for network in also)


def addresses_of(host: str, timeout_s: float) -> list[Address]:
    """All addresses of a host, asked once. Raises: StepFailed."""
    try:
        return [ip_address(host)]
    except ValueError:
        pass
    heard: list[list[Address] | OSError | UnicodeError] = []
    done = threading.Event()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            texts = dict.fromkeys(str(info[4][0]) for info in found)
            heard.append([ip_address(text) for text in texts])
        except (OSError, UnicodeError) as error:
            heard.append(error)
        finally:
            done.set()

    # In a thread of its own: nothing bounds how long the system asks.
    threading.Thread(target=ask, name="headway-resolve", daemon=True).start()
    if not done.wait(timeout_s):
        raise StepFailed(f"the addresses of {host} were not found within {timeout_s:.3g} s")
    if not isinstance(heard[0], list):
        raise StepFailed(f"the addresses of {host} cannot be found: {heard[0]}")
    return heard[0]
