"""The fixture ``redis_url``: an empty Redis on a private server, on loopback and with no file.

One server a test session (with xdist: a worker), started by the first test that asks.
"""

import shutil
import subprocess
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.services.rabbitmq import free_ports

if TYPE_CHECKING:
    from tests.conftest import RequireService


class RedisServer:
    """One private server; it keeps nothing on disk, and ends when we do."""

    def __init__(self, server: str) -> None:
        (port,) = free_ports(1)
        self._asked = 0
        self.url = f"redis://127.0.0.1:{port}/0"
        # The configuration comes by its input, which also tells it when we are gone.
        settings = f"bind 127.0.0.1\nport {port}\nsave ''\nappendonly no\n"
        self._process = subprocess.Popen(
            [server, "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        with self._process.stdin as configuration:
            configuration.write(settings)
        self._guard = watch_over(self._process.pid)
        log: IO[str] | None = self._process.stdout
        assert log is not None
        lines = []
        for line in log:
            lines.append(line)
            if "Ready to accept connections" in line:
                return
        raise RuntimeError("Redis did not start:\n" + "".join(lines))

    def connections_taken(self) -> int:
        """How many it has accepted so far, but for those that asked here."""
        import redis

        with redis.Redis.from_url(self.url) as client:
            info: Any = client.info("stats")
            self._asked += 1
            return int(info["total_connections_received"]) - self._asked

    def close(self) -> None:
        self._guard.kill()
        self._guard.communicate()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def watch_over(pid: int) -> subprocess.Popen[bytes]:
    """A shell that ends a server if we die without ending it: its input closes then."""
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _ || kill -KILL "$1"', "sh", str(pid)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.fixture(scope="session")
def redis_server(require_service: "RequireService") -> Iterator[RedisServer]:
    found = shutil.which("redis-server")
    require_service("redis-server", found is not None, "./check --services installs it")
    assert found is not None
    server = RedisServer(found)
    yield server
    server.close()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """An empty server for the test."""
    import redis  # by who asks for it

    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url
