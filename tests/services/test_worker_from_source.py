"""A worker that is not packaged is run as the page says."""

import json
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headway.ports.bus import Binding, Exchange, Queue
from headway.runtime.worker_config import STOP_LIMIT_S
from headway.wire.rights import rights_of, worker
from tests.docs.console import REPOSITORY, blocks
from tests.doors.typed import DEADLINE_S, Place
from tests.services.rabbitmq import RabbitMQ
from tests.services.test_permissions import bus_of, grant

pytestmark = pytest.mark.services

PAGE = (REPOSITORY / "docs/how-to/worker-from-source.md").read_text("utf-8")
FILES = {block.file: block.text for block in blocks(PAGE) if block.file}
UNIT = FILES["re-worker-megafrobber.service"]
HOME = "/opt/re-worker-megafrobber"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """The worker's directory, with its virtual environment."""
    made = Place(tmp_path)
    made.write("replugin/__init__.py", "")
    for name, text in FILES.items():
        assert name is not None
        made.write(name, text)
    made.write("venv/bin/python", f'#!/bin/sh\nexec {sys.executable} "$@"\n').chmod(0o755)
    return made


def started_by(unit: str) -> list[str]:
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    return shlex.split(line.removeprefix("ExecStart="))


def test_what_the_unit_starts_serves_steps_and_leaves_on_sigterm(
    rabbitmq: RabbitMQ, place: Place
) -> None:
    with bus_of(rabbitmq.url) as bus:
        # The step may be sent before the worker listens.
        queue = Queue("worker.megafrobber", bindings=(Binding("re", "worker.megafrobber"),))
        bus.declare(Exchange("re"), Queue("dead"), queue)
        grant(rabbitmq, "worker", rights_of(worker("megafrobber").acts))
        config = json.loads(FILES["mqconf.json"]) | {
            "port": rabbitmq.node.port,
            "vhost": rabbitmq.vhost,
            "user": f"{rabbitmq.vhost}.worker",
            "password": rabbitmq.password,
        }
        place.write("mqconf.json", json.dumps(config))
        place.type("doctor", "--mq", "mqconf.json", "--for", "worker:megafrobber")
        serving = subprocess.Popen(
            started_by(UNIT.replace(HOME, str(place.directory))),
            cwd=place.directory,
            env=place.environment,
            stderr=subprocess.DEVNULL,
        )
        try:
            told = place.type("step", "megafrobber:frob", "--bus", rabbitmq.url)
            assert told.lines[-1] == "completed: 3"
            serving.send_signal(signal.SIGTERM)
            assert serving.wait(DEADLINE_S) == 0
        finally:
            serving.kill()
            serving.wait()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_nothing_wrong_with_the_unit(place: Place) -> None:
    unit = UNIT.replace(HOME, str(place.directory)).replace("User=megafrobber\n", "")
    place.write("re-worker-megafrobber.service", unit)
    said = subprocess.run(
        ["systemd-analyze", "verify", "./re-worker-megafrobber.service"],
        cwd=place.directory, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert "re-worker-megafrobber" not in said.stderr, said.stderr


def test_the_unit_waits_longer_than_the_worker_for_a_step() -> None:
    (line,) = [line for line in UNIT.splitlines() if line.startswith("TimeoutStopSec=")]
    assert int(line.partition("=")[2]) > STOP_LIMIT_S
