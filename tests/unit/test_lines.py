"""Lines that are too long are cut, and say so, whichever way a job wrote them."""

import pytest

from headway.adapters.lines import CUT, LONGEST_LINE, Lines
from headway.adapters.tools import JobOutput


@pytest.mark.parametrize("letter", ["x", "ß", "漢", "\U0001f680"])
@pytest.mark.parametrize("piece", [7, 4_096, 10**6])
def test_a_line_of_a_process_is_cut_where_it_is_too_long(letter: str, piece: int) -> None:
    told: list[str] = []
    lines = Lines(told.append)
    fits, too_long = letter * LONGEST_LINE, letter * (LONGEST_LINE + 1)
    data = f"{fits}\n{too_long}\r\nshort\n{too_long * 2}".encode()
    for start in range(0, len(data), piece):
        lines.feed(data[start : start + piece])
    lines.finish()
    assert told == [fits, fits + CUT, "short", fits + CUT]


def test_a_line_of_a_job_is_cut_where_it_is_too_long() -> None:
    told: list[str] = []
    out = JobOutput(lambda stream, text: told.append(text))
    fits = "x" * LONGEST_LINE
    out.info(fits)
    out.info(fits + "x")
    for _ in range(10):
        out.write(fits)
    out.write("\nshort\n")
    assert told == [fits, fits + CUT, fits + CUT, "short"]


def test_what_came_before_is_not_kept_without_bounds() -> None:
    told: list[str] = []
    lines = Lines(told.append)
    for _ in range(1_000):
        lines.feed(b"x" * 65_536)
    assert len(lines._rest) < 100_000
    assert told == []
