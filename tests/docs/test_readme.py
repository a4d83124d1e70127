"""The README's two commands are there to be typed."""

import os

import pytest

from tests.docs.console import REPOSITORY, blocks

README = (REPOSITORY / "README.md").read_text("utf-8")


@pytest.mark.parametrize("command", ["./demo", "./check --services"])
def test_the_readme_shows_the_command_in_a_block_of_its_own(command: str) -> None:
    assert command in [block.text.strip() for block in blocks(README) if block.kind == "sh"]


@pytest.mark.parametrize("script", ["demo", "check"])
def test_the_script_can_be_typed_as_shown(script: str) -> None:
    assert os.access(REPOSITORY / script, os.X_OK)


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    assert "./check --services" in (REPOSITORY / ".ci/run").read_text("utf-8")
