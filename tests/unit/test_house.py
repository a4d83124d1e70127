"""The house stands: imports point one way, the inside stays inside, starting is cheap."""

import ast
import json
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from importlib.resources import files as package_files
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
SOURCE = REPOSITORY / "src"
INSIDE = ("errors", "jobs", "ports", "releases", "tracking", "wire")


def broken_import_rules(source: Path) -> str:
    """The report on the import rules of the packages in SOURCE; empty if they are kept."""
    linter = Path(sys.executable).parent / "lint-imports"
    outcome = subprocess.run(
        [linter, "--no-cache", "--config", REPOSITORY / "pyproject.toml"],
        cwd=source,  # the linter looks for the packages in its working directory first
        capture_output=True,
        text=True,
        check=False,
    )
    return outcome.stdout + outcome.stderr if outcome.returncode else ""


def test_every_import_points_the_way_the_house_allows() -> None:
    assert broken_import_rules(SOURCE) == ""


@pytest.mark.parametrize(
    ("room", "statement"),
    [
        ("jobs", "import time"),
        ("ports", "from os import environ"),
        ("jobs", "from headway import ports"),
        ("adapters", "import headway.runtime"),
        ("runtime", "import headway.testing"),
        ("runtime", "import headway.workers"),
        ("runtime", "import headway.conformance"),
        ("conformance", "import headway.testing"),
        ("runtime", "import headway.toolbox"),
        ("toolbox", "import headway.conformance"),
        ("wire", "import kombu"),
        ("errors", "import headway"),
        ("wire", "import threading"),
        ("wire", "from headway import jobs"),
        ("releases", "from headway import ports"),
        ("releases", "from headway import tracking"),
        ("tracking", "import socket"),
        ("tracking", "import pickle"),
    ],
)
def test_an_import_against_the_rules_is_found(room: str, statement: str, tmp_path: Path) -> None:
    shutil.copytree(SOURCE, tmp_path, dirs_exist_ok=True)
    (tmp_path / "headway/__init__.py").write_text("import headway.jobs\n")
    file = tmp_path / f"headway/{room}.py"
    if not file.exists():
        file = tmp_path / f"headway/{room}/planted.py"
    file.write_text(f"{statement}\n")

    assert f"headway.{room}" in broken_import_rules(tmp_path)


def inside_files() -> list[Path]:
    return [
        file
        for room in INSIDE
        for file in (SOURCE / "headway" / f"{room}.py", *(SOURCE / "headway" / room).rglob("*.py"))
        if file.exists()
    ]


def imported_packages(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def acts_on_the_world(node: ast.AST) -> bool:
    """Whether NODE calls what needs no import to touch the world: files, a terminal, the clock."""
    match node:
        case ast.Call(func=ast.Name(id="open" | "print" | "input" | "exec" | "eval")):
            return True
        case ast.Call(func=ast.Attribute(value=value, attr="now" | "utcnow" | "today")):
            return ast.unparse(value).rpartition(".")[2] in ("date", "datetime")
        case _:
            return False


@pytest.mark.parametrize("file", inside_files(), ids=lambda file: str(file.relative_to(SOURCE)))
def test_the_inside_knows_the_standard_library_and_headway_only(file: Path) -> None:
    packages = imported_packages(ast.parse(file.read_text()))
    assert packages - sys.stdlib_module_names - {"headway"} == set()


@pytest.mark.parametrize("file", inside_files(), ids=lambda file: str(file.relative_to(SOURCE)))
def test_the_inside_reads_no_clock_and_opens_no_file(file: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if acts_on_the_world(node)]
    assert [ast.unparse(call) for call in calls] == []


def test_a_clock_read_inside_would_be_found() -> None:
    source = "import datetime\nx = datetime.datetime.now(datetime.UTC)\ny = open('file')"
    assert len([node for node in ast.walk(ast.parse(source)) if acts_on_the_world(node)]) == 2


@pytest.mark.parametrize("name", ["dojobber", "reworker", "cadasta"])
def test_a_drop_in_name_imports_headway_and_nothing_else(name: str) -> None:
    for file in (SOURCE / name).rglob("*.py"):
        assert imported_packages(ast.parse(file.read_text())) <= {"headway"}, file


def modules_loaded_by(statement: str) -> set[str]:
    program = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    outcome = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert outcome.stderr == ""
    modules: list[str] = json.loads(outcome.stdout)
    return set(modules)


HEAVY = frozenset(
    "asyncio concurrent.futures email http logging.config multiprocessing socket sqlite3 ssl "
    "subprocess tempfile unittest urllib.request".split()
)


def loaded_by_importing(package: str) -> set[str]:
    return modules_loaded_by(f"import {package}") - modules_loaded_by("pass")


@pytest.mark.parametrize("package", ["headway", "dojobber", "reworker.worker"])
def test_importing_pulls_in_no_vendor(package: str) -> None:
    loaded = {name.partition(".")[0] for name in loaded_by_importing(package)}
    assert loaded - sys.stdlib_module_names == {package.partition(".")[0], "headway"}


def test_importing_headway_pulls_in_nothing_heavy() -> None:
    assert loaded_by_importing("headway") & HEAVY == set()


def test_the_drop_in_name_pulls_in_no_database_and_no_event_loop() -> None:
    assert loaded_by_importing("dojobber") & {"sqlite3", "asyncio", "multiprocessing"} == set()


def core_distributions() -> dict[str, Distribution]:
    """What ``pip install headway`` brings, Headway included, by name."""
    found: dict[str, Distribution] = {}
    wanted = ["headway"]
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name in found:
            continue
        found[name] = distribution(name)
        for line in found[name].requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                wanted.append(requirement.name)
    return found


def test_the_core_install_stays_small() -> None:
    core = core_distributions()
    files = [Path(file.locate()) for part in core.values() for file in part.files or []]
    files.extend(SOURCE.rglob("*.py"))  # an editable install counts none of our own
    size = sum(file.stat().st_size for file in files if file.is_file())
    assert len(core) <= 10, sorted(core)
    assert size <= 25_000_000


def test_the_type_marker_is_shipped() -> None:
    assert package_files("headway").joinpath("py.typed").is_file()
