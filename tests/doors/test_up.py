"""``headway up``: deployments without any server, in one process that may be killed."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.doors.typed import Place, ended

DEADLINE_S = 60.0
MOST_MB = 80
PLAYBOOK = """
    group: shop
    name: ship
    execution:
      - {description: web, hosts: [web1.test, web2.test], steps: [noop:Stop, held:Hold, noop:Start]}
"""
HELD = """
    from pathlib import Path

    from headway.runtime.worker import Worker


    class HeldWorker(Worker):
        def process(self, channel, basic_deliver, properties, body, output):
            with open("held.txt", "a") as file:
                file.write(properties.message_id + "\\n")
            with open("go") as go:  # until somebody writes there
                go.read()
            self.send(properties.reply_to, properties.correlation_id, {"status": "completed"}, "")
"""

LATE = """
    import time

    from headway.runtime.worker import Worker

    time.sleep(1)  # as something large to import would


    class LateWorker(Worker):
        def process(self, channel, basic_deliver, properties, body, output):
            self.send(properties.reply_to, properties.correlation_id, {"status": "completed"}, "")
"""


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        threading.Event().wait(0.05)


@contextmanager
def up(place: Place, *words: str) -> Iterator[tuple["subprocess.Popen[str]", httpx.Client]]:
    process = place.begin("up", "--listen", "127.0.0.1:0", *words)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2].rstrip(",")
        while not process.stdout.readline().startswith("workers "):
            assert process.poll() is None
        with httpx.Client(base_url=url, verify=False, timeout=DEADLINE_S) as client:
            yield process, client
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def deployed(client: httpx.Client, playbook: str) -> str:
    answer = client.post(f"/playbooks/{playbook}/deployments", json={})
    assert answer.status_code == 201, answer.text
    run: str = answer.json()["run"]
    return run


def told(client: httpx.Client, run: str, ends: int = 1) -> Any:
    """How a run stands when its stream of events has told so many ends of it."""
    accept = {"accept": "text/event-stream"}
    with client.stream("GET", f"/runs/{run}/events", headers=accept) as stream:
        for line in stream.iter_lines():
            ends -= '"run-ended"' in line
            if not ends:
                break
    return client.get(f"/runs/{run}").json()


def test_what_is_deployed_over_the_api_is_carried_out(place: Place) -> None:
    text = PLAYBOOK.replace("held:Hold", "noop:Hold")
    playbook = place.type("playbook", "add", str(place.write("ship.yaml", text))).out.strip()
    with up(place) as (process, client):
        assert client.get("/health").json()["status"] == "ok"
        run = deployed(client, playbook)
        assert told(client, run)["state"] == "succeeded"
        until(
            lambda: "noop" in [one["command"] for one in client.get("/workers").json()["workers"]]
        )
        listed = place.type("workers", "--json").json
        assert "noop" in [one["command"] for one in listed["workers"]]
        assert listed["store"].endswith("headway.db")
        used = Path(f"/proc/{process.pid}/status").read_text()
        (peak,) = [line.split()[1] for line in used.splitlines() if line.startswith("VmHWM")]
        assert int(peak) / 1000 < MOST_MB
        process.send_signal(signal.SIGTERM)
        said = ended(process)
    assert said.code == 0
    assert place.type("show", run[:12]).code == 0


def test_what_waits_is_not_begun_before_its_worker_is_there(place: Place) -> None:
    place.write("late.py", LATE)
    place.write("ship.yaml", PLAYBOOK.replace("held:Hold", "late:Come"))
    playbook = place.type("playbook", "add", "ship.yaml").out.strip()
    run = place.type("deploy", playbook, "--json").json["run"]
    with up(place, "--worker", "late.py:LateWorker") as (_, client):
        assert told(client, run)["state"] == "succeeded"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_goes_on_where_it_stopped_when_it_is_started_again(
    place: Place, number: signal.Signals
) -> None:
    os.mkfifo(place.directory / "go")
    place.write("held.py", HELD)
    playbook = place.type("playbook", "add", str(place.write("ship.yaml", PLAYBOOK))).out.strip()
    with up(place, "--worker", "held.py:HeldWorker") as (process, client):
        run = deployed(client, playbook)
        go = os.open(place.directory / "go", os.O_WRONLY)  # returns once the step has begun
        process.send_signal(number)
        if number is signal.SIGTERM:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("stopping")
        else:
            ended(process)
        os.close(go)
        ended(process)
    with up(place, "--worker", "held.py:HeldWorker") as (process, client):
        if number is signal.SIGKILL:
            # Its worker died with it: a person says what became of the step.
            assert told(client, run)["state"] == "in doubt"
            args = {"job": "held:Hold@web1.test", "how": "done"}
            assert client.post(f"/runs/{run}/settle", json=args).status_code == 202
        os.close(os.open(place.directory / "go", os.O_WRONLY))
        ends = 2 if number is signal.SIGKILL else 1
        assert told(client, run, ends)["state"] == "succeeded"
    assert len((place.directory / "held.txt").read_text().splitlines()) == 2, "once on each host"
