"""``headway new worker`` writes a worker that is tested, built, installed and served as it is."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

from headway.runtime.worker_config import STOP_LIMIT_S
from headway.wire.names import command_of
from tests.docs.console import complaints
from tests.doors.typed import DEADLINE_S, Place, ended
from tests.services.rabbitmq import RabbitMQ
from tests.services.watching import watching_presence

WRITTEN = [
    "README.md",
    "pyproject.toml",
    "config.json",
    "mqconf.example.json",
    "re-worker-megafrobber.service",
    ".gitignore",
    "replugin/__init__.py",
    "replugin/megafrobberworker/__init__.py",
    "tests/test_megafrobberworker.py",
]
STEP = ("step", "megafrobber:Greet", "--param", "whom=Ada")


def ran(*words: object, cwd: Path) -> str:
    # A script's own first line names the python that is first on the path.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S * 2,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def made(place: Place) -> Path:
    """A worker as it is written."""
    place.type("new", "worker", "megafrobber")
    return place.directory / "re-worker-megafrobber"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own, in which the wheel of a new worker is installed.

    The libraries are this environment's: nothing is fetched.
    """
    place = Place(tmp_path_factory.mktemp("new-worker"))
    place.type("new", "worker", "MegaFrobber")
    source = place.directory / "re-worker-megafrobber"
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    ran(*build, place.directory, source, cwd=source)
    (wheel,) = place.directory.glob("*.whl")
    venv = place.directory / "venv"
    ran(sys.executable, "-m", "venv", "--without-pip", venv, cwd=source)
    (packages,) = venv.glob("lib/python*/site-packages")
    ours = sysconfig.get_path("purelib")
    (packages / "libraries.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    pip = [sys.executable, "-m", "pip", "--python", venv / "bin/python", "--quiet"]
    ran(*pip, "install", "--no-index", wheel, cwd=source)
    return venv


def test_it_writes_the_tutorials_layout_and_says_what_to_type_next(place: Place) -> None:
    said = place.type("new", "worker", "megafrobber")
    wrote = [f"wrote re-worker-megafrobber/{name}" for name in WRITTEN]
    assert said.lines[: len(wrote)] == wrote
    assert said.lines[len(wrote)] == "it serves the command megafrobber. Now type"
    directory = place.directory / "re-worker-megafrobber"
    for line in said.lines[len(wrote) + 2 :]:
        command = line.split()
        assert command[0] in ("python", "headway")
        path = Path(sys.executable).with_name(command[0])
        ran(path, *command[1:], cwd=directory)


@pytest.mark.parametrize(
    ("name", "class_name", "directory"),
    [
        ("frob", "FrobWorker", "re-worker-frob"),
        ("MegaFrobber", "MegaFrobberWorker", "re-worker-megafrobber"),
        ("MegaFrobberWorker", "MegaFrobberWorker", "re-worker-megafrobber"),
        ("mega-frobber", "MegaFrobberWorker", "re-worker-megafrobber"),
        ("mega-frobber-worker", "MegaFrobberWorker", "re-worker-megafrobber"),
        ("megafrobberworker", "MegafrobberWorker", "re-worker-megafrobber"),
        ("re-worker-megafrobber", "MegafrobberWorker", "re-worker-megafrobber"),
        ("HTTP2", "HTTP2Worker", "re-worker-http2"),
    ],
)
def test_a_name_may_be_written_in_several_ways(
    place: Place, name: str, class_name: str, directory: str
) -> None:
    said = place.type("new", "worker", name)
    command = directory.removeprefix("re-worker-")
    assert f"it serves the command {command}." in said.out
    assert command_of(class_name) == command
    code = place.directory / directory / f"replugin/{command}worker/__init__.py"
    assert f"class {class_name}(Worker):" in code.read_text()


@pytest.mark.parametrize(
    "name", ["2fa", "Worker", "a_b", "a b", "a/b", "../up", "re-worker-9", "x" * 41, "größe", ""]
)
def test_what_cannot_name_a_worker_is_explained_and_writes_nothing(place: Place, name: str) -> None:
    said = place.type("new", "worker", name, code=64)
    assert f"{name!r} cannot name a worker" in said.err
    assert "such as megafrobber" in said.err
    assert list(place.directory.iterdir()) == []


def test_what_is_there_is_left_as_it_is(place: Place) -> None:
    place.write("re-worker-frob/README.md", "mine")
    said = place.type("new", "worker", "Frob", code=1)
    assert "re-worker-frob is there already" in said.err
    assert [file.name for file in (place.directory / "re-worker-frob").iterdir()] == ["README.md"]


def test_a_link_that_leads_nowhere_is_there_already(place: Place) -> None:
    (place.directory / "re-worker-frob").symlink_to(place.directory / "nowhere")
    assert "is there already" in place.type("new", "worker", "frob", code=1).err
    assert not (place.directory / "nowhere").exists()


def test_its_readme_shows_what_happens(made: Path, tmp_path: Path) -> None:
    begin = "```console\n$ headway new worker megafrobber\n$ cd re-worker-megafrobber\n```\n"
    readme = (made / "README.md").read_text("utf-8")
    directory = tmp_path / "page"
    directory.mkdir()
    assert "\n".join(complaints(begin + readme, directory)) == ""


def test_its_service_file_gives_the_step_in_hand_the_time_it_has(made: Path) -> None:
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(made / "re-worker-megafrobber.service")
    service = parser["Service"]
    assert float(service["TimeoutStopSec"]) > STOP_LIMIT_S
    assert service["KillMode"] == "mixed"
    # The program that the wheel installs.
    assert service["ExecStart"].split()[0].endswith("/bin/re-worker-megafrobber")
    assert '\nre-worker-megafrobber = "replugin.' in (made / "pyproject.toml").read_text()


def test_its_code_can_be_run_and_its_samples_are_read(made: Path) -> None:
    code = made / "replugin/megafrobberworker/__init__.py"
    assert "usage:" in ran(code, "--help", cwd=made)
    config = json.loads((made / "config.json").read_text())
    assert config["queue"] == "megafrobber"
    bus = json.loads((made / "mqconf.example.json").read_text())
    assert {"server", "vhost", "user", "password"} <= bus.keys()
    assert "mqconf.json" in (made / ".gitignore").read_text().split()


def test_its_wheel_holds_the_worker_and_nothing_that_another_worker_has(installed: Path) -> None:
    (wheel,) = installed.parent.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if "dist-info" not in name]
    assert names == ["replugin/megafrobberworker/__init__.py"]


def test_the_installed_worker_passes_its_test(installed: Path, tmp_path: Path) -> None:
    source = installed.parent / "re-worker-megafrobber"
    test = tmp_path / "test_it.py"
    test.write_text((source / "tests/test_megafrobberworker.py").read_text())
    said = ran(installed / "bin/python", "-m", "pytest", "-q", test, cwd=tmp_path)
    assert "3 passed" in said
    where = "import replugin.megafrobberworker as it; print(it.__file__)"
    assert str(installed) in ran(installed / "bin/python", "-c", where, cwd=tmp_path)


def test_the_installed_worker_serves_a_step_in_one_process(installed: Path, tmp_path: Path) -> None:
    program = "from headway.doors.cli import main; main()"
    target = "replugin.megafrobberworker:MegaFrobberWorker"
    python = installed / "bin/python"
    said = ran(python, "-c", program, *STEP, "--worker", target, cwd=tmp_path)
    assert said.splitlines()[-1] == "completed: Hello, Ada!"


@pytest.mark.services
def test_the_installed_worker_serves_steps_on_a_broker_and_is_listed(
    installed: Path, place: Place, rabbitmq: RabbitMQ
) -> None:
    mqconf = {
        "server": "127.0.0.1",
        "port": rabbitmq.node.port,
        "vhost": rabbitmq.vhost,
        "user": rabbitmq.vhost,
        "password": rabbitmq.password,
    }
    place.write("mqconf.json", json.dumps(mqconf))
    config = installed.parent / "re-worker-megafrobber/config.json"
    with watching_presence(rabbitmq.url) as presence:
        program = installed / "bin/re-worker-megafrobber"
        serving = subprocess.Popen(
            [program, "mqconf.json", "-w", config],
            cwd=place.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert presence.next().queue == "worker.megafrobber"
            said = place.type(*STEP, "--bus", rabbitmq.url)
            assert said.lines[-1] == "completed: Hello, Ada!"
            listing = place.begin("workers", "--mq", "mqconf.json", "--json")
            (one,) = json.loads(ended(listing).out)["workers"]
            assert (one["command"], one["class"], one["pid"], one["state"]) == (
                *("megafrobber", "MegaFrobberWorker", serving.pid, "idle"),
            )
        finally:
            serving.terminate()
            _, err = serving.communicate(timeout=DEADLINE_S)
        assert serving.returncode == 0, err
        while presence.next().state != "left":
            pass
