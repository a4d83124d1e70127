"""The worker ``pool``: which servers are given visitors."""

import json
import urllib.error
import urllib.request
from typing import Any

from machines import ROTATION, Server
from steps import HostWorker, StepFailed

from reworker.worker import runner

WHY = {404: "the proxy does not know it", 409: "it is the last one in rotation"}


class PoolWorker(HostWorker):
    dynamic = ("version",)

    def out_of_rotation(self, host: str, given: dict[str, Any]) -> str:
        """Visitors are sent there no more, and the last of them has been answered."""
        ask("DELETE", f"/{host}")
        return f"{host} is out of rotation"

    def in_rotation(self, host: str, given: dict[str, Any]) -> str:
        ask("PUT", f"/{host}")
        return f"{host} is in rotation"

    def is_in_rotation(self, host: str, given: dict[str, Any]) -> str:
        if host not in rotation()["in"]:
            raise StepFailed(f"{host} is out of rotation")
        return f"{host} is in rotation"

    def serves_nothing_else(self, host: str, given: dict[str, Any]) -> str:
        """No visitor there is given another version: it has this one, or no visitors."""
        if host in rotation()["out"]:
            return f"{host} is out of rotation"
        server = Server(host)
        running = server.running()
        version = running.version if running else "none"
        if (version, server.kept) != (given["version"],) * 2:
            raise StepFailed(f"version {version} is in rotation")
        return f"{host} serves version {version}"

    steps = {
        "OutOfRotation": out_of_rotation,
        "InRotation": in_rotation,
        "PutBack": in_rotation,
        "IsInRotation": is_in_rotation,
        "ServesNothingElse": serves_nothing_else,
    }


def rotation() -> dict[str, list[str]]:
    return dict(json.loads(ask("GET")))


def ask(method: str, path: str = "") -> bytes:
    """Ask the proxy. Raises: StepFailed."""
    request = urllib.request.Request(f"http://{ROTATION}/rotation{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        why = WHY.get(error.code, f"the proxy answers {error.code}")
        raise StepFailed(why) from error
    except OSError as error:
        raise StepFailed(f"the proxy at {ROTATION} does not answer: {error}") from error


if __name__ == "__main__":
    runner(PoolWorker)
