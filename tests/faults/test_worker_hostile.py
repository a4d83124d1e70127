"""One worker under ten thousand messages that nobody should send."""

import json
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headway.adapters.bus_address import RabbitAddress, parse_bus_url
from headway.adapters.rabbitmq.bus import RabbitBus
from headway.ports.bus import (
    Binding,
    Bus,
    Delivery,
    Exchange,
    Limits,
    Message,
    Queue,
    QueueKind,
    Settlement,
)
from headway.wire import names
from tests.faults.granting import DEADLINE_S, FROB
from tests.properties.test_messages import spoilt
from tests.services import frobbing
from tests.services.rabbitmq import RabbitMQ
from tests.services.worker_process import worker_process, write_mq_config

pytestmark = pytest.mark.services

NUMBER = 10_000
WARM = 1_000  # after so many, what the worker uses is what it needs
MOST_RSS_KB = 16 << 10  # more, after nine thousand others
TOO_LARGE = (1 << 20) + 1


def hostile_body(chance: random.Random, number: int) -> bytes:
    """Malformed, oversized, nested or mistyped."""
    kind = chance.randrange(10)
    if number % 100 == 0:
        return b'"' + b"x" * TOO_LARGE
    if kind == 0:
        depth = chance.choice([64, 65, 1_000, 100_000])
        return chance.choice([b"[", b'{"a":', b"[{"]) * depth
    if kind == 1:
        # Read without complaint, and of the wrong type where process looks.
        wrong: Any = chance.choice([None, 3, "x", [], {}, {"note": 5}, {"note": None}, [[]]])
        return json.dumps(chance.choice([{"parameters": wrong}, [wrong], wrong])).encode()
    return spoilt(chance)[: 1 << 16]


def hostile_properties(chance: random.Random, number: int) -> dict[str, Any]:
    wrong = chance.choice([None, 5, -1, "", [1], {"a": {"b": [None, "c" * 300]}}, 1 << 62])
    headers = {
        0: {},
        1: {names.CLAIMS: wrong if not isinstance(wrong, str) else 0},
        2: {names.DEADLINE: wrong},
        3: {names.NOTICES: wrong, names.WORKER: wrong, "x-death": wrong},
    }[number % 4]
    return {
        "headers": headers,
        "correlation_id": f"run-{number}",
        "reply_to": "replies" if number % 5 else chance.choice([None, "log", "nowhere", "x" * 255]),
        "message_id": chance.choice([None, "", "m", "\N{SNOWMAN}" * 80]),
        "content_type": chance.choice([None, "", "application/json", "text/plain"]),
        "app_id": chance.choice([None, "\x00"]),
    }


class Tally:
    """Counts what comes to a queue, by run."""

    def __init__(self, bus: Bus, queue: str) -> None:
        self._bus = bus
        self._changed = threading.Condition()
        self.runs: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        bus.consume(queue, self._take, prefetch=1000, inline=True)

    def wait_for(self, true: Callable[["Tally"], bool]) -> None:
        with self._changed:
            came = self._changed.wait_for(lambda: true(self), 2 * DEADLINE_S)
        assert came, (len(self.runs), self.statuses)

    def _take(self, delivery: Delivery) -> None:
        self._bus.settle(delivery, Settlement.ACK)
        with self._changed:
            self.runs[str(delivery.message.correlation_id)] += 1
            if delivery.queue == names.DEAD:
                self.reasons[str(delivery.message.headers.get(names.REASON, ""))[:40]] += 1
            else:
                self.statuses[json.loads(delivery.message.body)["status"]] += 1
            self._changed.notify_all()


def uses(pid: int) -> tuple[int, int, int]:
    """Kilobytes of memory, threads, open files."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = dict(line.split(":", 1) for line in status.splitlines())
    files = len(os.listdir(f"/proc/{pid}/fd"))
    return int(found["VmRSS"].split()[0]), int(found["Threads"]), files


def test_ten_thousand_hostile_messages_are_each_answered_and_kept_with_a_reason(
    rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    address = parse_bus_url(rabbitmq.url)
    assert isinstance(address, RabbitAddress)
    bus = RabbitBus(address, Limits(body_bytes=2 << 20, unconfirmed_bytes=1 << 30))
    bus.open(DEADLINE_S)
    # Classic and in memory: what is tried is the worker, not the broker's disk.
    key = (Binding(names.EXCHANGE, FROB),)
    bus.declare(Exchange(names.EXCHANGE))
    for name, bindings in (("replies", ()), (names.DEAD, ()), (FROB, key)):
        bus.declare(Queue(name, QueueKind.CLASSIC, bindings, durable=False))
    replies, dead = Tally(bus, "replies"), Tally(bus, names.DEAD)
    chance = random.Random(20)
    answered = set()
    with worker_process(frobbing.__file__, write_mq_config(tmp_path, rabbitmq.url)) as worker:
        worker.wait_for("serving")
        before = (0, 0, 0)
        for number in range(NUMBER):
            properties = hostile_properties(chance, number)
            message = Message(hostile_body(chance, number), persistent=False, **properties)
            if properties["reply_to"] == "replies":
                answered.add(f"run-{number}")
            sent = bus.publish(message, FROB, names.EXCHANGE)
            if number % 500 == 499:
                sent.wait(DEADLINE_S)
            if number == WARM:
                dead.wait_for(lambda tally: len(tally.runs) >= WARM)
                before = uses(worker.process.pid)
        dead.wait_for(lambda tally: len(tally.runs) == NUMBER)
        after = uses(worker.process.pid)
        # It goes on as if nothing had been.
        valid = {"parameters": {"note": str(tmp_path / "notes")}}
        last = Message(json.dumps(valid).encode(), correlation_id="last", reply_to="replies")
        bus.publish(last, FROB, names.EXCHANGE).wait(DEADLINE_S)
        replies.wait_for(lambda tally: tally.statuses["completed"] == 1)
        assert worker.end(signal.SIGTERM) == 0
    bus.close()
    assert set(dead.runs.values()) == {1}
    assert "" not in dead.reasons
    assert len(dead.reasons) > 10
    assert set(replies.runs) == answered | {"last"}
    assert replies.statuses == {"failed": len(answered), "started": 1, "completed": 1}
    assert after[0] - before[0] < MOST_RSS_KB
    assert after[1:] == before[1:]
