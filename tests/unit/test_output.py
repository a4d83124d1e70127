"""Output on its way to the store: its limits, and what is counted beyond them."""

import pytest

from headway.ports.store import Line
from headway.runtime import output
from headway.runtime.output import Output


def made() -> Output:
    return Output(lambda: 7)


def add(out: Output, count: int, key: int = 1, text: str = "text") -> None:
    for _ in range(count):
        out.add(key, 1, "out", text)


def told(lines: list[Line]) -> list[tuple[int, int]]:
    """Runs of lines as (key, 1 a line), gaps as (key, -lost)."""
    return [(line.key, -line.lost or 1) for line in lines]


def test_lines_come_out_as_they_went_in_and_once() -> None:
    out = made()
    out.add(1, 2, "err", "text")
    assert out.is_due
    assert out.take() == [Line(1, 2, 7, "err", "text")]
    assert not out.is_due
    assert out.take() == []


def test_a_try_has_ten_thousand_lines_and_then_a_gap() -> None:
    out = made()
    add(out, 9_999)
    assert len(out.take()) == 9_999
    add(out, 5)
    assert told(out.take()) == [(1, 1), (1, -4)]
    out.ended(1, 1)
    assert out.take() == []


def test_a_gap_that_grows_is_told_when_it_has_doubled_and_at_the_end() -> None:
    out = made()
    add(out, 10_000)
    out.take()
    gaps = []
    for _ in range(1_000):
        add(out, 1)
        gaps += [line.lost for line in out.take()]
    assert len(gaps) < 12
    add(out, 3)
    out.ended(1, 1)
    gaps += [line.lost for line in out.take()]
    assert sum(gaps) == 1_003


def test_one_try_that_writes_too_much_does_not_silence_another() -> None:
    out = made()
    add(out, 10_001, key=1)
    out.take()
    add(out, 1, key=2)
    assert told(out.take()) == [(2, 1)]


@pytest.mark.parametrize(("limit", "text"), [("LINES_A_RUN", ""), ("CHARACTERS_A_RUN", "x")])
def test_a_run_has_a_limit_too(monkeypatch: pytest.MonkeyPatch, limit: str, text: str) -> None:
    monkeypatch.setattr(output, limit, 5)
    out = made()
    add(out, 3, key=1, text=text)
    add(out, 3, key=2, text=text)
    assert told(out.take()) == [(1, 1)] * 3 + [(2, 1)] * 2 + [(2, -1)]


@pytest.mark.parametrize(("limit", "text"), [("LINES_WAITING", ""), ("CHARACTERS_WAITING", "x")])
def test_while_the_store_is_slow_what_waits_is_bounded(
    monkeypatch: pytest.MonkeyPatch, limit: str, text: str
) -> None:
    monkeypatch.setattr(output, limit, 5)
    out = made()
    add(out, 3, text=text)
    out.put_back(out.take())  # it could not be written
    add(out, 4, text=text)
    assert told(out.take()) == [(1, 1)] * 5 + [(1, -2)]
    add(out, 2, text=text)
    assert told(out.take()) == [(1, 1)] * 2


def test_a_gap_stands_before_the_lines_that_follow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "LINES_WAITING", 2)
    out = made()
    add(out, 4)
    waiting = out.take()
    assert told(waiting) == [(1, 1), (1, 1), (1, -2)]
    add(out, 3)
    assert told(out.take()) == [(1, 1), (1, 1)]
    add(out, 1)
    assert told(out.take()) == [(1, -1), (1, 1)]


def test_what_could_not_be_written_comes_first_the_next_time() -> None:
    out = made()
    out.add(1, 1, "out", "one")
    taken = out.take()
    out.add(1, 1, "out", "two")
    out.put_back(taken)
    assert [line.text for line in out.take()] == ["one", "two"]


def test_at_the_end_of_a_run_every_gap_is_told() -> None:
    out = made()
    for key in (1, 2):
        add(out, 10_001, key)
        out.take()
        add(out, 1, key)
    assert told(out.take()) == []
    assert told(out.take(all_gaps=True)) == [(1, -1), (2, -1)]
