"""Names are safe to show, and fit where they are put."""

import pytest

from headway.pictures.labels import LONGEST, columns, cut, lines_of, shown, width_px


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Invite Wendell Bagg", "Invite Wendell Bagg"),
        ("Łódź 部署 🚀", "Łódź 部署 🚀"),
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("one\ntwo\ttabs\r", "one\\ntwo\\ttabs\\r"),
        ("nul\x00", "nul\\x00"),
        ("c1\x9b", "c1\\x9b"),
        ("\u202eevil", "\\u202eevil"),
        ("line\u2028break", "line\\u2028break"),
        ("half \ud800", "half \\ud800"),
        ("\ufffe\U0001ffff", "\\ufffe\\U0001ffff"),
        ("👩\u200d👧", "👩\u200d👧"),
    ],
)
def test_what_could_do_harm_is_written_as_an_escape(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_a_very_long_text_keeps_both_its_ends() -> None:
    text = shown("start" + "x" * 10_000 + "end")
    assert len(text) == LONGEST
    assert text.startswith("start")
    assert text.endswith("end")
    assert "…" in text


def test_columns_count_wide_and_joining_characters() -> None:
    assert columns("abc") == 3
    assert columns("部署") == 4
    assert columns("e\u0301") == 1


def test_a_cut_text_says_so_and_fits() -> None:
    assert cut("short", 10) == "short"
    assert cut("much too long", 8) == "much to…"
    assert columns(cut("部署部署部署", 6)) <= 6
    assert cut("anything", 0) == ""


def test_a_name_breaks_after_blanks_punctuation_and_inside_camel_case() -> None:
    widest = width_px("RemoveOld", 10)
    assert lines_of("RemoveOldReleases", 10, widest, 3) == ("Remove", "Old", "Releases")
    assert lines_of("take out of pool", 10, width_px("take out", 10), 3) == (
        "take out",
        "of pool",
    )


def test_a_name_without_a_place_to_break_is_broken_anyway() -> None:
    lines = lines_of("x" * 40, 10, width_px("x" * 15, 10) + 1, 9)
    assert "".join(lines) == "x" * 40
    assert all(len(line) <= 15 for line in lines)


def test_a_name_of_too_many_lines_loses_its_middle() -> None:
    lines = lines_of("first " + "word " * 50 + "last", 10, 100, 3)
    assert len(lines) == 3
    assert lines[0].startswith("first")
    assert lines[2].startswith("…")
    assert lines[2].endswith("last")
