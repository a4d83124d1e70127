"""What is asked of the API is done by a core that knows nothing of it: over the store alone."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus
from headway.adapters.opening import open_store
from headway.doors.web.app import ApiSettings
from headway.doors.web.serving import beside, listen
from headway.runtime.core import CoreRules
from headway.runtime.serving_core import CoreService
from headway.runtime.worker import Worker
from headway.runtime.worker_trial import served
from headway.workers.noop import NoopWorker
from tests.doors.api_client import SHIP, Api, deployed

DEADLINE_S = 60.0
SECRET = "correct-horse-battery"


class HeldWorker(Worker):
    """Serves ``held``, and waits until it is let go."""

    begun = threading.Event()
    let_go = threading.Event()

    def process(
        self, channel: Any, basic_deliver: Any, properties: Any, body: Any, output: Any
    ) -> None:
        self.ack(basic_deliver)
        self.begun.set()
        assert self.let_go.wait(DEADLINE_S)
        self.send(properties.reply_to, properties.correlation_id, {"status": "completed"})


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def client(stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> httpx.Client:
    """Of an API with a token, beside a core and two workers that share a broker."""
    monkeypatch.setenv("SHOP_PASSWORD", SECRET)
    path = tmp_path / "headway.db"
    store = open_store(path)
    stack.callback(store.close)
    broker = MemoryBroker("api and core")
    for worker in (NoopWorker, HeldWorker):
        bus = MemoryBus(broker)
        bus.open()
        stack.callback(bus.close)
        stack.enter_context(served(worker, bus))
    core = CoreService(lambda: open_store(path), lambda: MemoryBus(broker), CoreRules(look_s=60.0))
    thread = threading.Thread(target=core.serve, name="core")
    thread.start()
    stack.callback(thread.join, DEADLINE_S)
    stack.callback(core.stop)
    assert core.leads.wait(DEADLINE_S)
    listener = listen("127.0.0.1:0")
    # The core would look in a minute: it is woken by what the API writes.
    settings = ApiSettings(is_loopback=True, written=core.wake)
    stack.enter_context(beside(lambda: open_store(path), settings, listener))
    api = Api(listener.url, store)
    client = stack.enter_context(api.client(api.token()))
    client.headers["x-playbook"] = api.playbook()
    return client


def followed(client: httpx.Client, run: str) -> list[dict[str, Any]]:
    """All events of a run, to its end."""
    accept = {"accept": "text/event-stream"}
    with client.stream("GET", f"/runs/{run}/events", headers=accept) as stream:
        lines = [line for line in stream.iter_lines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_a_release_is_asked_for_and_followed_to_its_end(client: httpx.Client) -> None:
    assert client.get("/health").json()["core"] == "alive"
    run = deployed(client, client.headers["x-playbook"])
    events = followed(client, run)
    assert (events[0]["event"], events[-1]["event"]) == ("run-began", "run-ended")
    assert events[-1]["state"] == "succeeded"
    ended = [one["job"] for one in events if one["event"] == "try-ended"]
    assert ended == [
        "noop:Noop@web1.test", "noop:Ship@web1.test", "noop:Noop@web2.test", "noop:Ship@web2.test"
    ]  # fmt: skip
    told = client.get(f"/runs/{run}").json()
    assert (told["state"], told["who"]) == ("succeeded", "ci")
    assert [one["hosts"] for one in told["record"]["executed"]] == [["web1.test"]]
    assert told["record"]["failed"] is False
    assert client.get("/locks").json() == {"locks": [], "next": None}
    for path in ("", "/jobs", "/jobs/1", "/events", "/output", "/plan"):
        answer = client.get(f"/runs/{run}{path}")
        assert answer.status_code == 200
        assert SECRET not in answer.text


def test_a_release_is_stopped_and_that_is_answered(client: httpx.Client) -> None:
    book = SHIP.replace("name: ship", "name: held").replace("noop:Noop", "held:Noop")
    typed = {"content-type": "application/yaml"}
    playbook = client.post("/playbooks", content=book, headers=typed).json()["playbook"]
    run = deployed(client, playbook)
    assert HeldWorker.begun.wait(DEADLINE_S)
    asked = client.post(f"/runs/{run}/cancel", json={"why": "wrong build"}).json()["request"]
    HeldWorker.let_go.set()
    events = followed(client, run)
    assert events[-1]["state"] == "cancelled"
    (cancelled,) = [one for one in events if one["event"] == "run-cancelled"]
    assert (cancelled["who"], cancelled["why"]) == ("ci", "wrong build")
    assert client.get(f"/requests/{asked}").json()["answer"] == "cancelling"
