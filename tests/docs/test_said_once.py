"""What is looked up stands in one place."""

import re
from collections import Counter

import pytest

from tests.docs.console import REPOSITORY

DOCS = REPOSITORY / "docs"


@pytest.mark.parametrize("page", ["glossary.md", "reference/command-line.md"])
def test_no_row_of_a_table_begins_like_another(page: str) -> None:
    for section in re.split(r"^#+ ", (DOCS / page).read_text("utf-8"), flags=re.M):
        firsts = re.findall(r"^\| (.+?) \|", section, re.M)
        assert [first for first, count in Counter(firsts).items() if count > 1] == []


def test_the_shelf_names_each_page_once() -> None:
    links = re.findall(r"\]\(([^)]+)\)", (DOCS / "README.md").read_text("utf-8"))
    assert [link for link, count in Counter(links).items() if count > 1] == []
