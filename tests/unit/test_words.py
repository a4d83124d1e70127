"""How values are told on a terminal."""

import subprocess

import pytest

from headway.doors.cli.words import duration, listed, number, printable, quoted, table, took, width
from headway.jobs.states import JobState, RunState, Verdict
from headway.pictures.looks import LOOKS


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-3, "0.00 s"),
        (0.004, "0.00 s"),
        (0.0949, "0.09 s"),
        (0.095, "0.1 s"),
        (1.25, "1.2 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (7860, "2 h 11 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_duration_is_told_as_exactly_as_anybody_wants(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_an_unknown_moment_gives_no_duration() -> None:
    assert took(0, 5) == took(5, 0) == ""
    assert took(1_000_000, 3_000_000) == "2.0 s"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], ""),
        (["A"], "A"),
        (["A", "B"], "A and B"),
        (["A", "B", "C"], "A, B and C"),
        (["A", "B", "C", "D"], "A, B, C and D"),
        (["A", "B", "C", "D", "E"], "A, B, C and 2 more"),
    ],
)
def test_many_names_are_cut_short(names: list[str], told: str) -> None:
    assert listed(names) == told


def test_numbers_agree_with_their_nouns() -> None:
    told = [number(1, "try"), number(2, "try"), number(0, "run"), number(1, "Cleanup")]
    assert told == ["1 try", "2 tries", "0 runs", "1 Cleanup"]


@pytest.mark.parametrize(
    "character", ["\x1b", "\x07", "\n", "\x7f", "\x9b", "\u202e", "\u2066", "\ud800"]
)
def test_no_character_that_steers_a_terminal_is_printed(character: str) -> None:
    shown = printable(f"a{character}b")
    assert character not in shown
    assert shown.startswith("a\\")
    assert printable("Grüße, 世界 ✓") == "Grüße, 世界 ✓"


@pytest.mark.parametrize(
    "name", ["Job", "Invite Ada", "it's", "-x", "a\x1b[31m'b\\", "$HOME", "a\nb"]
)
def test_a_name_that_is_told_can_be_pasted_into_a_shell(name: str) -> None:
    command = f"printf '%s' {quoted(name)}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == name
    assert printable(quoted(name)) == quoted(name)


def test_columns_stay_in_line_for_wide_characters() -> None:
    first, second = table([("世界", "x"), ("ab", "y")])
    assert width(first) == width(second)


def test_every_state_has_a_look() -> None:
    for state in (*JobState, *Verdict):
        assert state in LOOKS
    known = {*LOOKS, RunState.SUCCEEDED, RunState.INTERRUPTED, RunState.QUEUED}
    assert {str(state) for state in RunState} <= {str(state) for state in known}
