"""The fixture ``sqs``: queues of nobody else's on a server of our own that answers as SQS does.

One server (moto's) a test session (with xdist: a worker), on loopback, started by the first test
that asks; each test finds it empty.
"""

import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import pytest

from tests.services.rabbitmq import free_ports
from tests.services.redis_server import watch_over

REGION = "us-west-2"


@dataclass(frozen=True)
class Sqs:
    """Where it is; ``url`` is what Celery is given."""

    port: int

    @property
    def url(self) -> str:
        return f"sqs://access:secret@127.0.0.1:{self.port}"

    def queues(self) -> list[str]:
        """The names of the queues that there are, by Amazon's own client."""
        import boto3  # by who asks for it

        client: Any = boto3.client(
            "sqs",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name=REGION,
            aws_access_key_id="access",
            aws_secret_access_key="secret",
        )
        urls = client.list_queues().get("QueueUrls", [])
        return sorted(url.rpartition("/")[2] for url in urls)

    def reset(self) -> None:
        address = f"http://127.0.0.1:{self.port}/moto-api/reset"
        with urllib.request.urlopen(urllib.request.Request(address, method="POST"), timeout=20):
            pass


@pytest.fixture(scope="session")
def sqs_server() -> Iterator[Sqs]:
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    guard = watch_over(process.pid)
    log: IO[str] | None = process.stderr
    assert log is not None
    try:
        for line in log:
            if "Running on" in line:
                break
        else:
            raise RuntimeError("moto's server did not start")
        # It writes a line a request, which somebody has to read.
        reader = threading.Thread(target=log.read, daemon=True)
        reader.start()
        yield Sqs(port)
    finally:
        guard.kill()
        guard.communicate()
        process.kill()
        process.wait()
    reader.join()
    log.close()


@pytest.fixture
def sqs(sqs_server: Sqs) -> Sqs:
    """An SQS without queues for the test."""
    sqs_server.reset()
    return sqs_server
