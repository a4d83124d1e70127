"""The page on what surrounds releases tells every key that the code knows, and no other."""

import re

import pytest

from headway.jobs.job import WHEN
from headway.releases.surroundings_reading import (
    ACTION_KEYS,
    CHECK_KEYS,
    NOTICE_KEYS,
    SURROUNDINGS_KEYS,
    TRIGGER_KEYS,
    WHEN_KEYS,
)
from tests.docs.console import REPOSITORY

PAGE = (REPOSITORY / "docs/reference/surroundings.md").read_text("utf-8")


def rows_of(heading: str) -> dict[str, str]:
    """Of the table below a heading: what each key's row says."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.M))


@pytest.mark.parametrize(
    ("heading", "keys"),
    [
        ("The file", SURROUNDINGS_KEYS),
        ("A trigger", TRIGGER_KEYS),
        ("A check", CHECK_KEYS),
        ("An action", ACTION_KEYS),
        ("Phase notification", tuple(key for key in NOTICE_KEYS if key != "taboot_url")),
    ],
)
def test_every_key_is_told_where_it_belongs(heading: str, keys: tuple[str, ...]) -> None:
    assert tuple(rows_of(heading)) == keys


def test_the_keys_and_words_within_are_told() -> None:
    assert all(f"`{key}`" in rows_of("A trigger")["when"] for key in WHEN_KEYS)
    assert rows_of("An action")["when"].startswith(", ".join(f"`{word}`" for word in WHEN))
    assert "`TABOOT_URL`" in rows_of("Phase notification")["url"]
