"""A core that serves the API too: one process, asked over HTTP, doing it on a broker."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headway.adapters.bus_address import parse_bus_url
from headway.runtime.buses import make_bus
from headway.runtime.worker_trial import served
from headway.workers.noop import NoopWorker
from tests.services.rabbitmq import RabbitMQ

pytestmark = pytest.mark.services
DEADLINE_S = 60.0
HEADWAY = Path(sys.executable).parent / "headway"
BOOK = "{group: shop, name: ship, execution: [{hosts: [web1], steps: [noop:Ship]}]}"


def asked(url: str, body: str | None = None, media_type: str = "application/json") -> Any:
    data = None if body is None else body.encode()
    request = urllib.request.Request(url, data, {"content-type": media_type})
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
        return json.load(answer)


@contextmanager
def core(directory: Path, url: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    words = ["core", "--bus", url, "--listen", "127.0.0.1:0", "--db", "headway.db"]
    with subprocess.Popen(
        [HEADWAY, *words], cwd=directory, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            said = re.search(r"API on (\S+),", process.stdout.readline())
            assert said is not None
            yield process, said[1]
        finally:
            process.kill()


def test_one_process_takes_a_release_over_http_and_drives_it(
    rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    bus = make_bus(parse_bus_url(rabbitmq.url), name="noop")
    bus.open()
    with core(tmp_path, rabbitmq.url) as (process, url), served(NoopWorker, bus):
        book = asked(f"{url}/playbooks", BOOK, "application/yaml")["playbook"]
        run = asked(f"{url}/playbooks/{book}/deployments", "{}")["run"]
        stream = urllib.request.Request(
            f"{url}/runs/{run}/events", headers={"accept": "text/event-stream"}
        )
        with urllib.request.urlopen(stream, timeout=DEADLINE_S) as events:
            assert b'"state": "succeeded"' in events.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    bus.close()
