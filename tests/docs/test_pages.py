"""Every page of the documentation does what it shows and leads where it says."""

from pathlib import Path

import pytest

from headway.doors import cli
from tests.docs.console import REPOSITORY, complaints
from tests.docs.links import broken_links

PAGES = [
    *sorted(REPOSITORY.glob("*.md")),
    *sorted(REPOSITORY.glob("docs/**/*.md")),
    *sorted(REPOSITORY.glob("examples/**/*.md")),
]

every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY))
)


@every_page
def test_a_page_shows_what_really_happens(page: Path, tmp_path: Path) -> None:
    if not hasattr(cli, "main"):
        pytest.skip("the command line is not there yet")
    assert "\n\n".join(complaints(page.read_text("utf-8"), tmp_path)) == ""


@every_page
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One word\n[a](#one-word) [b](#two) [c](other.md) [d](https://example.org)\n"
        "```\n[e](no-link.md)\n```\n`[f](no-link.md)`\n[g]: gone.md\n"
    )
    assert broken_links(page) == ["#two", "other.md", "gone.md"]
