"""The page on playbooks tells every key that the code knows, and no other."""

import re

import pytest

from headway.jobs.compiling import ON_LOST
from headway.releases.inputs import TYPES
from headway.releases.reading import INPUT_KEYS, PLAYBOOK_KEYS, SEQUENCE_KEYS
from headway.releases.step_reading import GATE_KEYS, JOB_KEYS, STEP_KEYS
from tests.docs.console import REPOSITORY

PAGE = (REPOSITORY / "docs/reference/playbook.md").read_text("utf-8")


def rows_of(heading: str) -> dict[str, str]:
    """Of the table below a heading: what each key's row says."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.M))


@pytest.mark.parametrize(
    ("heading", "keys"),
    [
        ("The playbook", PLAYBOOK_KEYS),
        ("A sequence", SEQUENCE_KEYS),
        ("A step", STEP_KEYS),
        ("`job`", JOB_KEYS),
        ("A gate", GATE_KEYS),
        ("An input", INPUT_KEYS),
    ],
)
def test_every_key_is_told_where_it_belongs(heading: str, keys: tuple[str, ...]) -> None:
    assert tuple(rows_of(heading)) == keys


def test_the_words_that_a_key_may_have_are_told() -> None:
    for words, row in (
        (ON_LOST, rows_of("`job`")["on_lost"]),
        (TYPES, rows_of("An input")["type"]),
    ):
        assert row.startswith(", ".join(f"`{word}`" for word in words))


def test_the_page_shows_playbooks_and_their_check() -> None:
    files = re.findall(r"<!-- file: (\S+) -->", PAGE)
    assert len(files) == 3
    for file in files:
        assert re.search(rf"^\$ headway playbook check .*{re.escape(file)}$", PAGE, re.M)
