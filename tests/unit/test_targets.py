"""What a target's own function raises reaches the reader as one sentence."""

from pathlib import Path

import pytest

from headway.errors import DefinitionError, Unavailable
from headway.runtime.targets import load


def written(directory: Path, plan: str) -> str:
    file = directory / "made.py"
    file.write_text(f"from headway.errors import Unavailable\n\ndef plan():\n    {plan}\n")
    return str(file)


def test_a_function_that_raises_is_named_with_what_it_raised(tmp_path: Path) -> None:
    target = written(tmp_path, "raise ValueError('no port')")
    with pytest.raises(DefinitionError, match=r"plan\(\) of .*, line 4 failed: ValueError: no"):
        load(target, {})


def test_an_error_of_headway_is_let_through(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="later"):
        load(written(tmp_path, "raise Unavailable('later')"), {})
