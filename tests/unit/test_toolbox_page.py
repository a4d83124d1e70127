"""What the pages tell of ``Config`` and its functional tests is what the code does."""

import re
from ast import literal_eval
from typing import Any

import pytest

from headway.toolbox.config import _OWN, Config
from headway.toolbox.functional import build_functional_tests
from tests.docs.console import REPOSITORY
from tests.unit.toolbox_apps import an_app
from tools.tracking_picture import PICTURE, picture

PAGE = (REPOSITORY / "docs/reference/celery-config.md").read_text("utf-8")
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines()]
SETTINGS = {
    row[0].strip("`"): row[1] for row in ROWS if re.fullmatch("`[a-z_]+`", (row or [""])[0])
}
OWN = {row[0].strip("`"): row[1:3] for row in ROWS if re.fullmatch("`[A-Z_]+`", (row or [""])[0])}


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, _ in _OWN.values():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)


def test_every_setting_is_told_with_its_default() -> None:
    config = Config([])
    made = {name: value for name, value in vars(config).items() if name.islower()}
    assert SETTINGS.keys() == made.keys()
    told: dict[str, Any] = {
        name: literal_eval(text.strip("`")) for name, text in SETTINGS.items() if text
    }
    assert told == {name: made[name] for name in told}
    assert made.keys() - told.keys() == {"task_queues", "task_routes"}


def test_every_variable_is_told_with_its_default() -> None:
    told = {name: tuple(cell.strip("`") for cell in cells) for name, cells in OWN.items()}
    assert told == {"PLATFORM_QUEUE_NAME": ("", "platform.fifo"), **_OWN}


def test_every_functional_test_is_told() -> None:
    table = PAGE.partition("| test | fails when |\n")[2]
    told = [re.sub(r"\W+", "_", row).lower() for row in re.findall(r"^\| (.*?) \|", table, re.M)]
    made = dir(build_functional_tests(an_app()))
    tests = {name.removeprefix("test_") for name in made if name.startswith("test_")}
    assert set(told) == tests


def test_the_picture_of_the_tracking_is_up_to_date() -> None:
    again = "draw it again: python -m tools.tracking_picture"
    assert PICTURE.read_text("utf-8") == picture(), again
