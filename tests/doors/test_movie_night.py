"""The film night runs as a program of its own and by the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "movie_night.py"
PICTURE = EXAMPLE.parents[1] / "docs" / "pictures" / "movie_night.svg"
HEADWAY = Path(sys.executable).parent / "headway"
DEADLINE_S = 60.0

# The order in which the DoJobber documentation shows its own movie example's retries.
TV = 'TurnOnTV.recheck: fail "Remote batteries are dead."'
COUCH = 'SitOnCouch.recheck: fail "No space on couch."'
BOWL = 'PopcornBowl.recheck: fail "Dishwasher cycle not done yet."'
PIZZA = 'Pizza.recheck: fail "Giordano\'s did not arrive yet."'
POPCORN = 'Popcorn.recheck: fail "Still popping..."'
RETRIES = [TV, COUCH, BOWL, PIZZA, TV, COUCH, BOWL, PIZZA, TV, COUCH, BOWL, BOWL, BOWL]
RETRIES += [POPCORN, POPCORN]


def typed(*words: str | Path, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=directory, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


def watched(*words: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return typed(sys.executable, EXAMPLE, *words, directory=directory)


@pytest.mark.parametrize("evening", range(5))
def test_retries_take_turns_in_the_documented_order(evening: int, tmp_path: Path) -> None:
    done = watched("-v", directory=tmp_path)
    assert [line for line in done.stderr.splitlines() if "recheck: fail" in line] == RETRIES
    assert (done.returncode, done.stdout) == (0, "")


def test_the_evening_leaves_nothing_on_disk(tmp_path: Path) -> None:
    watched("-v", directory=tmp_path)
    assert os.listdir(tmp_path) == []


def test_without_acting_nothing_is_run(tmp_path: Path) -> None:
    done = watched("-v", "--no-act", directory=tmp_path)
    assert done.returncode == 1
    assert "FindTVRemote.check: fail" in done.stderr
    assert ".run:" not in done.stderr


def test_a_film_that_is_not_there_is_not_watched(tmp_path: Path) -> None:
    done = watched("-v", "--movie", "Zardoz", directory=tmp_path)
    assert done.returncode == 1
    assert "ChooseMovie: There is no Zardoz" in done.stdout
    assert "Popcorn.recheck: pass" in done.stderr
    assert "WatchMovie" not in done.stderr


def test_each_friend_gets_an_invitation(tmp_path: Path) -> None:
    done = watched("-v", "--friends", "Ada, Grace Hopper", directory=tmp_path)
    assert "Invite Ada.recheck: pass" in done.stderr
    assert "Invite Grace Hopper.recheck: pass" in done.stderr
    assert "Invite Linus" not in done.stderr


def test_the_graph_is_drawn_in_the_format_of_the_files_name(tmp_path: Path) -> None:
    watched("--graph", "night.dot", directory=tmp_path)
    assert "Invite Ada" in (tmp_path / "night.dot").read_text()


def test_a_picture_in_no_known_format_is_refused_before_the_evening_begins(tmp_path: Path) -> None:
    done = watched("-v", "--graph", "night.gif", directory=tmp_path)
    assert done.returncode == 2
    assert "not .gif" in done.stderr
    assert "check:" not in done.stderr


def test_the_picture_in_the_readme_is_what_the_example_draws(tmp_path: Path) -> None:
    watched("--movie", "Zardoz", "--graph", "night.svg", directory=tmp_path)
    # If not: python examples/movie_night.py --movie Zardoz --graph docs/pictures/movie_night.svg
    assert (tmp_path / "night.svg").read_text() == PICTURE.read_text()


def test_the_command_line_runs_the_same_file_with_the_same_inputs(tmp_path: Path) -> None:
    done = typed(
        HEADWAY,
        "run",
        EXAMPLE,
        "--set",
        "movie=Playtime",
        "--set",
        "friends=Ada",
        directory=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = typed(HEADWAY, "show", directory=tmp_path).stdout
    assert "Invite Ada" in shown
    assert "Invite Grace" not in shown
