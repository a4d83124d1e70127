"""``headway run --on celery`` as its user types it, with real Celery workers."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headway.testing.executors import is_gone
from headway.testing.sample_jobs import wait_for
from tests.services.celery_brokers import Broker, broker_of
from tests.services.trying import tries_worker, write_project
from tests.services.worker_process import WorkerProcess, worker_process

pytestmark = pytest.mark.services

HEADWAY = str(Path(sys.executable).parent / "headway")
JOBS = '''
import os
from pathlib import Path
from headway import DummyJob, Job
from headway.testing.sample_jobs import wait_for

HERE = Path(__file__).parent


class Base(Job):
    """What it makes, it makes in the directory of the Celery worker."""
    QUEUE = "builds"

    def Check(self, **inputs):
        assert Path(self.FILE).exists(), self.FILE + " is not there"

    def Run(self, **inputs):
        print("making", self.FILE)
        self.global_storage.setdefault("made", []).append(self.FILE)
        Path(self.FILE).touch()

    FILE = ""

class First(Base):
    FILE = "first"

class Second(Base):
    DEPS = (First,)
    FILE = "second"

    def Run(self, **inputs):
        super().Run(**inputs)
        self.output.info("after %s", self.global_storage["made"][0])

class Waits(Base):
    DEPS = (Second,)
    FILE = "waited"

    def Run(self, *, waits="", **inputs):
        if waits:
            self.storage["temporary"] = str(Path("temporary").absolute())
            Path("temporary").touch()
            with open(HERE / "pids", "a") as pids:
                print(os.getpid(), file=pids)
            (HERE / "waits").touch()
            while not self.stopping and not (HERE / "go").exists():
                try:
                    self.run(["sleep", "0.05"])
                except Exception:
                    pass
            assert not self.stopping, "stopped"
        super().Run(**inputs)

    def Cleanup(self):
        if "temporary" in self.storage:
            Path(self.storage["temporary"]).unlink()
            self.output.info("put away")

class All(DummyJob):
    DEPS = (Waits,)
'''


@pytest.fixture(params=["rabbitmq", "redis"])
def broker(request: pytest.FixtureRequest) -> Broker:
    return broker_of(request, request.param)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "jobs.py").write_text(JOBS)
    return tmp_path


@pytest.fixture
def worker(place: Path, broker: Broker) -> Iterator[WorkerProcess]:
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    words = ("-c", "2", "-Q", "builds,celery")
    with tries_worker(place, broker.url, *words, cwd=elsewhere) as running:
        yield running


def headway(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HEADWAY, *words], cwd=place, capture_output=True, text=True, timeout=120, check=False
    )


def last_run(place: Path) -> str:
    return str(json.loads(headway(place, "runs", "--json").stdout)["runs"][0]["id"])


def test_jobs_are_carried_out_where_the_worker_is_in_their_order(
    place: Path, worker: WorkerProcess
) -> None:
    done = headway(place, "run", "jobs.py", "--on", "celery", "-A", "proj:app", "--plain")
    assert done.returncode == 0, done.stderr
    assert "1 passed, 3 repaired" in done.stdout
    assert sorted(os.listdir(place / "elsewhere")) == ["first", "second", "waited"]
    logs = headway(place, "logs").stdout
    assert "making first" in logs
    assert "after first" in logs
    again = headway(place, "run", "jobs.py", "--on", "celery", "-A", "proj:app")
    assert "nothing to do" in again.stdout


def test_a_run_is_cancelled_and_its_cleanup_runs_on_the_worker(
    place: Path, worker: WorkerProcess
) -> None:
    words = ("run", "jobs.py", "--on", "celery", "-A", "proj:app", "--set", "waits=yes")
    with worker_process(HEADWAY, *words, cwd=place) as running:
        wait_for(place / "waits")
        assert (place / "elsewhere" / "temporary").exists()
        assert headway(place, "cancel").returncode == 0
        assert running.wait() == 3
    assert not (place / "elsewhere" / "temporary").exists()
    assert "put away" in headway(place, "logs").stdout


def test_a_run_that_is_killed_is_resumed_when_what_it_had_begun_has_ended(
    place: Path, worker: WorkerProcess
) -> None:
    words = ("run", "jobs.py", "--on", "celery", "-A", "proj:app", "--set", "waits=yes")
    with worker_process(HEADWAY, *words, cwd=place) as running:
        wait_for(place / "waits")
        running.process.kill()
        running.wait()
    (pid,) = (place / "pids").read_text().split()
    with worker_process(HEADWAY, "resume", cwd=place) as resumed:
        assert is_gone(int(pid))
        assert not (place / "elsewhere" / "waited").exists()
        (place / "go").touch()
        assert resumed.wait() == 0, resumed.err
    first, second = (place / "pids").read_text().split()
    assert first != second
    assert (place / "elsewhere" / "waited").exists()


def test_a_run_goes_on_from_celery_elsewhere_and_back(place: Path, worker: WorkerProcess) -> None:
    (place / "elsewhere" / "second").mkdir()  # it is there, which is all that its Check asks
    done = headway(place, "run", "jobs.py", "--on", "celery", "-A", "proj:app", "--no-cleanup")
    assert done.returncode == 0, done.stdout
    retried = headway(place, "retry", "--from", "Waits")
    assert retried.returncode == 0, retried.stderr
    refused = headway(place, "retry", "--from", "Waits", "--on", "threads", "-A", "proj:app")
    assert refused.returncode == 64
    assert "-A proj:app is for --on celery" in refused.stderr


def test_python_jobs_of_a_playbook_run_there_for_each_host(
    place: Path, worker: WorkerProcess
) -> None:
    (place / "hosted.py").write_text(
        "from pathlib import Path\n"
        "from headway import Job\n"
        "class Hosted(Job):\n"
        "    QUEUE = 'builds'\n"
        "    def Check(self, **inputs): assert Path(self.host).exists()\n"
        "    def Run(self, **inputs): Path(self.host).touch()\n"
    )
    (place / "release.yaml").write_text(
        "group: shop\nname: Build\nexecution:\n"
        "  - hosts: [web1, web2]\n    steps:\n"
        "      - python: hosted:Hosted\n      - noop:Noop\n"
    )
    done = headway(place, "run", "release.yaml", "--on", "celery", "-A", "proj:app", "--plain")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(os.listdir(place / "elsewhere")) == ["web1", "web2"]


ON = ("--on", "celery", "-A", "proj:app")
PLANNED = """
from pathlib import Path
from headway import Job

class Index(Job):
    QUEUE = "builds"

    def Check(self, *, version, **inputs):
        self.global_storage["was"] = Path("index").read_text()
        assert self.global_storage["was"] == version, "the index is of " + repr(
            self.global_storage["was"])

    def Run(self, *, version, **inputs):
        Path("index").write_text(version)

    def Diff(self, *, version, **inputs):
        return f"-{self.global_storage['was']}\\n+{version}"

class Site(Job):
    DEPS = (Index,)

    def Check(self, **inputs):
        assert self.global_storage["was"] == "2"
"""


def test_a_plan_asks_the_checks_where_the_worker_is(place: Path, worker: WorkerProcess) -> None:
    (place / "planned.py").write_text(PLANNED)
    (place / "elsewhere" / "index").write_text("1")
    words = ("plan", "planned.py", *ON, "--set", "version=2")
    said = headway(place, *words)
    assert (said.returncode, said.stderr) == (2, "")
    index, removed, added, site, *_ = said.stdout.splitlines()
    assert index.split() == "→ Index will run the index is of '1'".split()
    assert (removed.strip(), added.strip()) == ("-1", "+2")
    assert site.split()[:4] == ["…", "Site", "unknown", "until"]
    (found, _) = json.loads(headway(place, *words, "--json").stdout)["jobs"]
    assert (found["verdict"], found["diff"]) == ("will run", "-1\n+2")
    drawn = headway(place, "graph", "planned.py", "--plan", *ON, "--set", "version=2")
    assert "the index is of '1'" in drawn.stdout, drawn.stderr
    assert (place / "elsewhere" / "index").read_text() == "1"
    (place / "elsewhere" / "index").write_text("2")
    done = headway(place, *words)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        "nothing to do: all 2 jobs are done",
    )
    assert not (place / ".headway").exists()


def test_a_plan_whose_checks_cannot_be_asked_is_an_error(
    place: Path, worker: WorkerProcess
) -> None:
    job = "from headway import Job\nclass A(Job):\n {}\n def Check(self): pass\n"
    (place / "queued.py").write_text(job.format("QUEUE = 'nowhere'; TIMEOUT = 1"))
    said = headway(place, "plan", "queued.py", *ON)
    assert (said.returncode, said.stdout) == (69, "")
    assert "the Check of A could not be asked on Celery: no Celery worker took it" in said.stderr
    assert "start one with celery -A proj:app worker -Q nowhere" in said.stderr
    (place / "there").mkdir()
    (place / "there" / "absent.py").write_text(job.format(""))
    said = headway(place, "plan", "there/absent.py", *ON)
    assert (said.returncode, said.stdout) == (1, "")
    assert "cannot import absent, where A is" in said.stderr
    # A run of the same fails that job, with the same words.
    said = headway(place, "run", "there/absent.py", *ON, "--plain")
    assert said.returncode == 1
    assert "cannot import absent, where A is" in said.stdout


def test_the_app_must_be_there_and_reachable(place: Path) -> None:
    write_project(place, "amqp://guest:guest@127.0.0.1:1//")
    for words, code, said in (
        (("--on", "celery"), 64, "needs the Celery app"),
        (("-A", "proj:app"), 64, "is for --on celery"),
        (("--on", "celery", "-A", "no_such:app"), 1, "there is no Celery app 'no_such:app'"),
        (("--on", "celery", "-A", "proj:app"), 69, "does not answer"),
    ):
        for command in ("run",) if code == 69 else ("run", "plan"):
            done = headway(place, command, "jobs.py", *words)
            assert (done.returncode, said in done.stderr) == (code, True), done.stderr


@pytest.mark.parametrize(
    ("broker_url", "settings", "said"),
    [
        ("memory://", {}, "is on memory://"),
        ("redis://127.0.0.1:1/0", {"task_always_eager": True}, "has task_always_eager"),
    ],
)
def test_an_app_that_could_never_do_it_is_refused_at_once(
    place: Path, broker_url: str, settings: dict[str, Any], said: str
) -> None:
    write_project(place, broker_url, **settings)
    done = headway(place, "run", "jobs.py", *ON)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_what_cannot_travel_is_refused_before_anything_is_done(
    place: Path, worker: WorkerProcess
) -> None:
    (place / "odd.py").write_text(
        "from headway import Job\n"
        "def plan():\n"
        "    class Odd(Job):\n"
        "        def Check(self): pass\n"
        "    return Odd\n"
    )
    done = headway(place, "run", "odd.py", "--on", "celery", "-A", "proj:app")
    assert done.returncode == 1
    assert "Odd.Check is a function" in done.stderr
