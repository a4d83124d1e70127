"""The runner of documentation pages finds what a page promises in vain."""

from pathlib import Path

import pytest

from tests.docs.console import complaints, matches


def page(text: str, kind: str = "console") -> str:
    return f"Some text.\n\n```{kind}\n{text}\n```\n"


@pytest.mark.parametrize(
    "text",
    [
        "$ echo one\none",
        "$ echo one two\none …",
        "$ printf '1\\n2\\n3\\n'\n1\n…\n3",
        "$ printf 'a   b\\n'\na b",
        "$ echo whatever",
        "$ cd /\n$ pwd\n/",
        "$ false\n$ echo $?\n1",
        "$ for word in a b; do\n>     echo $word\n> done\na\nb",
        "$ ls $HOME",
        "$ cat missing\ncat: missing: …\n$ echo $?\n1",
    ],
)
def test_a_true_page_has_no_complaints(text: str, tmp_path: Path) -> None:
    assert complaints(page(text), tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        "$ echo one\ntwo",
        "$ false",
        "$ echo one\none\ntwo",
        "$ exit 0\n$ echo one",
        "$ no-such-command",
    ],
)
def test_a_page_that_promises_in_vain_is_complained_of(text: str, tmp_path: Path) -> None:
    assert len(complaints(page(text), tmp_path)) == 1


def test_a_named_block_becomes_a_file_at_its_place_in_the_page(tmp_path: Path) -> None:
    first = "<!-- file: in/a.txt -->\n```text\nit's one\n```\n"
    second = first.replace("one", "two")
    show = "```console\n$ cat in/a.txt\n{}\n```\n"
    text = first + show.format("it's one") + second + show.format("it's two")
    assert complaints(text, tmp_path) == []


def test_blocks_of_another_kind_are_not_run(tmp_path: Path) -> None:
    assert complaints(page("$ false", kind="sh"), tmp_path) == []


def test_headway_is_on_the_path_of_a_page(tmp_path: Path) -> None:
    assert complaints(page("$ command -v headway\n/…/headway"), tmp_path) == []


def test_an_ellipsis_stands_for_no_line_too() -> None:
    assert matches(("a", "…", "b"), "a\nb\n")
