"""Brings up the site that is to be released to: three servers, and the proxy before them.

headway run fleet.py          bring it up, with version 1 where there is none yet
headway run fleet.py:Down     take it down
"""

from typing import Any

from machines import HOSTS, SITE, Place, Server

from headway import DummyJob, Job

FIRST = "1"
PROXY = Place("proxy", SITE)


class Servers(Job):
    def Check(self, **inputs: Any) -> None:
        for server in map(Server, HOSTS):
            if not server.kept or not server.answers(server.kept):
                raise LookupError(f"{server.address} does not run what it is to run")

    def Run(self, **inputs: Any) -> None:
        for server in map(Server, HOSTS):
            server.run(server.kept or FIRST)
            server.kept = server.kept or FIRST


class Proxy(Job):
    DEPS = (Servers,)

    def Check(self, **inputs: Any) -> None:
        if not PROXY.answers():
            raise LookupError(f"nobody answers at {PROXY.address}")

    def Run(self, **inputs: Any) -> None:
        PROXY.start("proxy.py")


class Up(DummyJob):
    """All of it."""

    DEPS = (Proxy,)


class Down(Job):
    """No process of the site runs."""

    def Check(self, **inputs: Any) -> None:
        left = [place.address for place in everything() if place.running()]
        if left:
            raise ValueError(f"still running: {', '.join(left)}")

    def Run(self, **inputs: Any) -> None:
        for place in everything():
            place.stop()


def everything() -> list[Place]:
    return [PROXY, *map(Server, HOSTS)]


ROOT = Up
