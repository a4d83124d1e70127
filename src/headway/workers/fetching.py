"""Sends a request over HTTP and reads the answer, within limits, to where it is allowed.

Each place, the first and every one that a redirect names, is looked at anew: its host and port
must be allowed, its name is resolved once, every address found is checked, and one of these very
addresses is connected to. No proxy, no netrc, no credentials, no cookies.
"""

import http.client
import socket
import ssl
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urljoin

from headway.workers.allowed_hosts import AllowedHosts, Place, place_of
from headway.workers.cutoff import Cutoff
from headway.workers.keys import StepFailed
from headway.workers.networks import Address

REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 1 << 16


class Request(NamedTuple):
    """What is asked."""

    method: str
    place: Place
    body: bytes | None = None
    content_type: str | None = None


class Answer(NamedTuple):
    """What came back."""

    status: int
    place: Place  # that answered
    body: bytes


@dataclass(frozen=True, slots=True)
class Rules:
    """What a configuration says of requests."""

    hosts: AllowedHosts
    connect_s: float
    answer_s: float  # up to the end of the headers
    total_s: float  # of all, redirects too
    body_bytes: int
    redirects: int
    tls: ssl.SSLContext


def fetched(request: Request, wanted: int, rules: Rules, cutoff: Cutoff) -> Answer:
    """The answer with the wanted status, or the one that no redirect follows.

    Raises: StepFailed.
    """
    for _ in range(rules.redirects + 1):
        answer, location = _asked(request, rules, cutoff)
        if answer.status == wanted or answer.status not in REDIRECTS or location is None:
            return answer
        request = _redirected(request, answer.status, location)
    raise StepFailed(
        f"it was redirected more than {rules.redirects} times, at last to {request.place.name}"
    )


def _redirected(request: Request, status: int, location: str) -> Request:
    try:
        place = place_of(urljoin(request.place.origin + request.place.target, location))
    except (StepFailed, ValueError) as error:
        raise StepFailed(
            f"{request.place.name} redirects to what cannot be used: {error}"
        ) from None
    if request.place.scheme == "https" and place.scheme != "https":
        raise StepFailed(f"{request.place.name} redirects from https to {place.name}")
    if status == 303 or (status in (301, 302) and request.method == "POST"):
        return Request("GET", place)
    return request._replace(place=place)


def _asked(request: Request, rules: Rules, cutoff: Cutoff) -> tuple[Answer, str | None]:
    """One request at one place; also where it redirects to."""
    place = request.place
    cutoff.phase(f"connecting to {place.authority}", rules.connect_s)
    addresses = rules.hosts.addresses(place, cutoff.left_s())
    connection = http.client.HTTPConnection(place.host, place.port)
    connection.auto_open = 0
    try:
        connection.sock = _connected(place, addresses, rules, cutoff)
        cutoff.phase(f"the answer of {place.authority}", rules.answer_s)
        connection.request(request.method, place.target, request.body, _headers(request))
        with connection.getresponse() as response:
            cutoff.phase(f"reading what {place.authority} sends", rules.total_s)
            body = _body(response, rules.body_bytes)
            cutoff.check()  # a connection that was cut off looks like one that has ended
            return Answer(response.status, place, body), response.headers.get("Location")
    except (OSError, http.client.HTTPException, ValueError) as error:
        cutoff.check()
        raise StepFailed(f"{place.name} did not answer properly: {_said(error)}") from error
    finally:
        connection.close()


def _headers(request: Request) -> dict[str, str]:
    found = {
        "Host": request.place.authority,
        "User-Agent": "headway-httprequest",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    if request.content_type is not None:
        found["Content-Type"] = request.content_type
    return found


def _connected(
    place: Place, addresses: list[Address], rules: Rules, cutoff: Cutoff
) -> socket.socket:
    """Connected to the first of the addresses that accepts. Raises: StepFailed."""
    why: OSError | None = None
    for address in addresses:
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(cutoff.left_s())
            connection.connect((str(address), place.port))
            cutoff.watch(connection)
            if place.scheme == "https":
                connection = rules.tls.wrap_socket(connection, server_hostname=place.host)
            connection.settimeout(None)  # from here on the cutoff bounds what is waited for
            return connection
        except ssl.SSLError as error:
            connection.close()
            cutoff.check()
            raise StepFailed(
                f"the certificate or TLS of {place.authority} is not accepted: {_said(error)}"
            ) from error
        except OSError as error:
            connection.close()
            why = error
        except BaseException:
            connection.close()
            raise
    cutoff.check()
    said = _said(why) if why is not None else "it has no address"
    raise StepFailed(f"{place.authority} cannot be connected to: {said}")


def _body(response: http.client.HTTPResponse, limit: int) -> bytes:
    """Raises: StepFailed for more than the limit."""
    found = bytearray()
    while chunk := response.read(min(_CHUNK, limit + 1 - len(found))):
        found += chunk
        if len(found) > limit:
            raise StepFailed(f"the answer has more than {limit} bytes")
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return bytes(found)


def _said(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"[:300]
