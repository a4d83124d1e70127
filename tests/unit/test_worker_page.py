"""The page on workers and the picture of their life are those of the code."""

import pytest

from headway.pictures.states import Way, states_svg
from headway.wire.lifecycle import TRANSITIONS
from tools.worker_page import CALLED, DEFINED, PAGE, PICTURE, page, parts, picture

AGAIN = "write it again: python -m tools.worker_page"


def test_the_page_on_workers_is_up_to_date() -> None:
    text = PAGE.read_text("utf-8")
    assert text == page(text), AGAIN


def test_the_picture_of_a_workers_life_is_up_to_date() -> None:
    assert PICTURE.read_text("utf-8") == picture(), AGAIN


@pytest.mark.parametrize("part", parts())
def test_the_page_has_a_place_for_every_part(part: str) -> None:
    assert PAGE.read_text("utf-8").count(f"<!-- {part}: written by tools.worker_page -->") == 1


def test_everything_that_an_author_may_use_is_told() -> None:
    text = PAGE.read_text("utf-8")
    for name in (*DEFINED, *CALLED, "app_logger", "output", "_config", "serves"):
        assert f"self.{name}" in text
    assert text.count("| `dynamic` |") == text.count("| `answers_later` |") == 1


def test_the_picture_shows_all_that_can_happen() -> None:
    drawn = picture().replace("</text>", " ")
    for one in TRANSITIONS:
        assert f">{one.state} " in drawn
        assert one.event.split()[0] in drawn
    assert drawn.count("back to listening") == sum(
        one.after == "listening" for one in TRANSITIONS
    ) - 1  # fmt: skip


def test_a_picture_of_states_does_not_break_on_what_they_are_called() -> None:
    drawn = states_svg([Way("a & b", "<tag>", "c", ["“x” > y"])], "a < b")
    assert "a &amp; b" in drawn
    assert "&lt;tag&gt;" in drawn
    assert "<title>a &lt; b</title>" in drawn
