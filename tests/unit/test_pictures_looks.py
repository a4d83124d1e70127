"""Every state can be told from the others, by anyone."""

from itertools import combinations

import pytest

from headway.jobs.states import JobState, Verdict
from headway.pictures.labels import columns
from headway.pictures.looks import BACKGROUND, LOOKS, NAME_INK, NOTE_INK, TITLE_INK

READABLE = 4.5  # the contrast that the web's accessibility guidelines ask of text
VISIBLE = 3.0  # and of shapes


def luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("state", [*JobState, *Verdict])
def test_the_text_of_every_state_can_be_read(state: JobState | Verdict) -> None:
    look = LOOKS[state]
    for ink in (look.ink, NAME_INK, NOTE_INK):
        assert contrast(ink, look.fill) >= READABLE
    assert contrast(look.ink, BACKGROUND) >= READABLE
    assert contrast(look.line, BACKGROUND) >= VISIBLE


def test_the_title_can_be_read() -> None:
    assert contrast(TITLE_INK, BACKGROUND) >= READABLE


@pytest.mark.parametrize("states", [list(JobState), list(Verdict)])
def test_no_two_states_of_a_picture_share_a_symbol_or_an_icon(
    states: list[JobState | Verdict],
) -> None:
    for one, other in combinations(states, 2):
        assert LOOKS[one].symbol != LOOKS[other].symbol
        assert (LOOKS[one].icon, LOOKS[one].hollow) != (LOOKS[other].icon, LOOKS[other].hollow)
        assert (LOOKS[one].fill, LOOKS[one].line) != (LOOKS[other].fill, LOOKS[other].line)


@pytest.mark.parametrize("state", [*JobState, *Verdict])
def test_a_symbol_is_one_column_wide(state: JobState | Verdict) -> None:
    assert columns(LOOKS[state].symbol) == 1
