"""What a worker weighs that has nothing to do."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from headway.adapters.bus_address import parse_bus_url
from headway.ports.bus import Message, Queue
from headway.runtime.buses import make_bus
from headway.testing.buses import Inbox
from headway.wire import names
from tests.services.rabbitmq import RabbitMQ

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc to read"),
]

MOST_KB = 45_000
WORKER = """\
from reworker.worker import Worker

class FrobWorker(Worker):
    def process(self, channel, basic_deliver, properties, body, output):
        self.send(properties.reply_to, properties.correlation_id, {"status": "completed"}, "")
"""


def resident_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmRSS:")]
    return int(line.split()[1])


def test_an_idle_worker_takes_less_than_45_mb(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    (tmp_path / "frob.py").write_text(WORKER)
    headway = Path(sys.executable).with_name("headway")
    key = names.worker_key("frob")
    bus = make_bus(parse_bus_url(rabbitmq.url))
    bus.open()
    with closing(bus):
        answers = Inbox()
        # The worker's queue is there before the worker is, so that the step waits for it.
        bus.declare(Queue(key), Queue("answers"))
        bus.consume("answers", answers)
        bus.publish(Message(b"{}", reply_to="answers", correlation_id="run"), key)
        command = [str(headway), "worker", "frob.py", "--bus", rabbitmq.url]
        with subprocess.Popen(command, cwd=tmp_path) as worker:
            try:
                assert answers.get().message.body == b'{"status":"completed"}'
                assert resident_kb(worker.pid) < MOST_KB
            finally:
                worker.terminate()
        assert worker.returncode == 0
