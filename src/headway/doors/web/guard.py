"""Who asks, and whether they may: before anything else of a request is looked at.

A token is looked up in the store with each request, so that it holds no longer than it is there:
what is revoked is refused at once. As long as the store never had a token, everybody on this
machine may do everything, if the API listens on loopback only; nobody else can reach it then.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from fastapi import Request

from headway.doors.web.desk import Desk
from headway.doors.web.limits import ADDRESSES, FAILURES, FAILURES_S, HELD, OPEN_S
from headway.doors.web.problems import Problem
from headway.ports.store import Store
from headway.ports.tokens import Token
from headway.releases.rights import EVERYTHING, Action, Rights, allows, hosts_beyond, patterns_of
from headway.runtime import tokens

ANYBODY = "anybody on this machine"
T = TypeVar("T")
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Caller(NamedTuple):
    """Who asks."""

    name: str  # kept with what they do
    rights: Rights
    token: str  # its id; "" for none
    address: str

    def may(self, action: Action, group: str, hosts: Iterable[str] = ()) -> bool:
        return allows(self.rights, action, group, hosts)

    def require(self, action: Action, group: str, hosts: Iterable[str], what: str) -> None:
        """Raises: Problem; 404 for what they may not even see."""
        if not allows(self.rights, Action.READ, group):
            raise hidden(what)
        asked = tuple(hosts)
        if not allows(self.rights, action, group, asked):
            beyond = ", ".join(hosts_beyond(self.rights, asked)[:5])
            raise Problem(
                403,
                f"{what} has to do with hosts that no environment of this token has ({beyond}):"
                " ask for a token with another --environment",
            )

    @property
    def groups(self) -> tuple[str, ...] | None:
        """Those whose things they may see; None for all."""
        return None if allows(self.rights, Action.READ, "") else self.rights.groups


def hidden(what: str) -> Problem:
    """The same for what is not there and for what they may not see."""
    return Problem(404, f"there is no {what} that you may see")


class Guard:
    """Knows callers by their tokens. Threads: the event loop's only."""

    def __init__(
        self,
        desk: Desk,
        environments: Mapping[str, tuple[str, ...]],
        *,
        is_loopback: bool,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._desk = desk
        self._environments = environments
        self._is_loopback = is_loopback
        self._now_s = now_s
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._held: OrderedDict[str, None] = OrderedDict()  # digests
        self._has_tokens = False  # once it had one, a store always has
        self._looked_s = -OPEN_S

    async def admitted(self, request: Request) -> Caller:
        """Who sends the request. Raises: Problem for nobody known."""
        address = request.client.host if request.client is not None else ""
        header = request.headers.get("authorization")
        if header is None and await self.is_open():
            _require_own_page(request)
            return Caller(ANYBODY, EVERYTHING, "", address)
        if header is None:
            raise _unknown("send a token: Authorization: Bearer hw_…")
        scheme, _, text = header.partition(" ")
        digest = tokens.digest_of(text)
        if digest not in self._held:
            self._require_few_failures(address)
        token = None
        if scheme.lower() == "bearer":
            token = await self._desk.call(tokens.found, text)
        if token is None:
            self._held.pop(digest, None)
            self._failed(address)
            raise _unknown("this token does not hold: it is no token, has expired or was revoked")
        _remember(self._held, digest, None, HELD)
        patterns = patterns_of(token.environments, self._environments)
        return Caller(token.name, Rights(tuple(token.groups), patterns), token.id, address)

    async def is_open(self) -> bool:
        """Whether everybody is let in: the store never had a token, and only loopback listens."""
        if not self._is_loopback or self._has_tokens:
            return False
        if self._now_s() - self._looked_s >= OPEN_S:
            self._has_tokens = bool(await self._desk.call(_all_tokens))
            self._looked_s = self._now_s()
        return not self._has_tokens

    def _failed(self, address: str) -> None:
        failures = self._failures.pop(address, None) or deque(maxlen=FAILURES)
        failures.append(self._now_s())
        _remember(self._failures, address, failures, ADDRESSES)

    def _require_few_failures(self, address: str) -> None:
        failures = self._failures.get(address)
        if failures is None or len(failures) < FAILURES:
            return
        wait_s = failures[0] + FAILURES_S - self._now_s()
        if wait_s > 0:
            raise Problem(
                429,
                f"{FAILURES} tokens from this address did not hold: wait, then send one that does",
                headers={"Retry-After": str(int(wait_s) + 1)},
            )


def _all_tokens(store: Store) -> tuple[Token, ...]:
    return tuple(store.tokens())


def _unknown(detail: str) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="headway"'})


def _require_own_page(request: Request) -> None:
    """Where no token is asked for, a page from elsewhere must not use the reader's browser.

    Raises: Problem.
    """
    host = request.headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    origin = request.headers.get("origin")
    if name.lower() not in _LOOPBACK or origin not in (None, f"http://{host}"):
        raise Problem(
            403,
            "without tokens this API serves only programs on this machine, by the name localhost:"
            " headway token new NAME makes a token",
        )


def _remember(kept: OrderedDict[str, T], key: str, value: T, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
