"""The page of limits says what the code holds."""

import importlib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/reference/limits.md"
ROWS = re.findall(r"^\| .+? \| ([\d,.]+) .*?\| `([\w.]+)\.(\w+)` \|$", PAGE.read_text(), re.M)


def test_the_page_has_a_row_for_many_limits() -> None:
    assert len(ROWS) > 20


@pytest.mark.parametrize(("value", "module", "name"), ROWS)
def test_a_limit_is_what_the_page_says(value: str, module: str, name: str) -> None:
    held = getattr(importlib.import_module(f"headway.{module}"), name)
    assert held == float(value.replace(",", ""))
