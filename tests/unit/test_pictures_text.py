"""The text picture is drawn while small, sums up beyond, and never outgrows the terminal."""

import re

import pytest

from headway.jobs.states import JobState, Verdict
from headway.pictures import Graph, text
from headway.pictures.labels import columns
from headway.pictures.looks import LOOKS
from headway.pictures.to_text import MOST_DRAWN

ANSI = re.compile(r"\x1b\[[\d;]*m")


def movie() -> Graph:
    return Graph(
        ["FindTVRemote", "TurnOnTV", "InsertDVD", "Pizza", "WatchMovie"],
        [[], [0], [1], [], [1, 2, 3]],
        [
            JobState.PASSED,
            JobState.FAILED,
            JobState.BLOCKED,
            JobState.WAITING,
            JobState.BLOCKED,
        ],
        ["", "Remote batteries are dead.", "", "try 2 of 3", ""],
        "Movie night",
    )


def star(leaves: int) -> Graph:
    needs = [*([] for _ in range(leaves)), list(range(leaves))]
    states = [JobState.FAILED if key % 20 == 3 else JobState.PASSED for key in range(leaves)]
    names = [f"leaf {key}" for key in range(leaves)]
    notes = ["no space" if state is JobState.FAILED else "" for state in states]
    return Graph([*names, "root"], needs, [*states, JobState.BLOCKED], [*notes, ""])


def test_a_small_graph_is_drawn_with_what_is_wanted_on_top() -> None:
    assert text(movie()).splitlines() == [
        "Movie night",
        "",
        "⊘      WatchMovie    blocked",
        "├─┬─╮",
        "│ ⊘ │  InsertDVD     blocked",
        "├─╯ │",
        "✗   │  TurnOnTV      failed   Remote batteries are dead.",
        "│   │",
        "✓   │  FindTVRemote  passed",
        "    ◷  Pizza         waiting  try 2 of 3",
    ]


def test_unrelated_nodes_in_one_column_are_kept_apart() -> None:
    lines = text(Graph(["a", "b"], [[], []], [JobState.PASSED] * 2)).splitlines()
    assert lines == ["✓  b  passed", "", "✓  a  passed"]


def test_colours_change_nothing_but_the_colour() -> None:
    colored = text(movie(), color=True)
    assert f"\x1b[{LOOKS[JobState.FAILED].ansi}m✗\x1b[0m" in colored
    assert ANSI.sub("", colored) == text(movie())
    assert "\x1b" not in text(movie())


def test_beyond_the_limit_it_sums_up() -> None:
    summary = text(star(300))
    assert "301 jobs" in summary
    assert re.search(r"✗ failed +15 ", summary)
    assert re.search(r"✓ passed +285 ", summary)
    assert "2 layers" in summary
    assert "  leaf 3  no space" in summary
    assert "and 7 more" in summary
    assert "headway graph … --format svg" in summary
    assert len(summary.splitlines()) < 40


def test_the_limit_itself_is_still_drawn() -> None:
    assert "layers" not in text(star(MOST_DRAWN - 1))
    assert "layers" in text(star(MOST_DRAWN))


def test_a_deep_graph_shows_the_ends_of_its_layers() -> None:
    needs = [[key - 1] if key else [] for key in range(10_000)]
    graph = Graph([f"job {key}" for key in range(10_000)], needs, [Verdict.WILL_RUN] * 10_000)
    summary = text(graph)
    assert "10,000 layers" in summary
    assert "… 9,988 more layers, 9,988 jobs" in summary
    assert len(summary.splitlines()) < 40


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 200])
@pytest.mark.parametrize("leaves", [3, 20, 23, 24, 500])
def test_no_line_is_wider_than_the_terminal(width: int, leaves: int) -> None:
    for line in text(star(leaves), width=width, color=True).splitlines():
        assert columns(ANSI.sub("", line)) <= width


def test_names_cannot_steer_the_terminal() -> None:
    names = ["\x1b[2J\x1b]0;owned\x07", "two\nlines", "right \u202eto left", "\x9b31m"]
    graph = Graph(names, [[], [], [], [0, 1, 2]], [JobState.PASSED] * 4, names, "\x1b[31m")
    picture = text(graph)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", picture)
    assert len(picture.splitlines()) == 2 + 5


def test_a_graph_without_nodes_is_an_empty_text() -> None:
    assert text(Graph([], [], [])) == ""
