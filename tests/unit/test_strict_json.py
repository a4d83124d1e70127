"""A JSON text has one reading, or is refused in words that say what and where."""

import time

import pytest

from headway.errors import WireError
from headway.wire import strict_json


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "is not JSON: .*line 1, column 2"),
        (b"\xff{}", "is not UTF-8: see its byte 0"),
        (b'{"a": NaN}', "holds NaN"),
        (b"[-Infinity]", "holds -Infinity"),
        (b"[1e999]", "holds 1e999, which is larger"),
        (b'{"a": 1, "b": 2, "a": 3}', "has the key 'a' twice"),
        (rb'["\ud800"]', "holds half a surrogate pair"),
        (rb'{"\uDfff": 1}', "holds half a surrogate pair"),
        (b"9" * 301, "holds a number of 301 digits"),
        (b"[" * 65 + b"]" * 65, "is nested more than 64 deep at byte 64"),
        (b" " * strict_json.LIMIT_BYTES + b"1", "has 1048577 bytes: the limit is 1048576"),
        (b"{} {}", "is not JSON: Extra data"),
        (b"", "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        ("[1]".encode("utf-16"), "is not UTF-8"),
    ],
)
def test_a_text_with_no_single_reading_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(WireError, match=f"the message {says}"):
        strict_json.parse(body)


def test_what_only_looks_deep_is_read() -> None:
    assert strict_json.parse(b'"' + b"[" * 1000 + b'"') == "[" * 1000
    assert strict_json.parse(b'["\\"' + b"[" * 1000 + b'"]') == ['"' + "[" * 1000]
    assert strict_json.parse(b"[" * 64 + b"]" * 64)
    assert len(strict_json.parse(b"[" + b",".join([b"{}"] * 1000) + b"]")) == 1000


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert strict_json.parse(rb'["\ud83d\ude00"]') == ["\U0001f600"]


@pytest.mark.parametrize("body", [b'"' * (1 << 20), b'\\"' * (1 << 19), b'"' + b'\\"' * (1 << 18)])
def test_a_hostile_text_costs_no_more_than_its_length(body: bytes) -> None:
    began = time.process_time()
    with pytest.raises(WireError):
        strict_json.parse(body)
    with pytest.raises(WireError):
        strict_json.parse((b"[{" * 40 + body)[: strict_json.LIMIT_BYTES])
    assert time.process_time() - began < 20  # a square of a million would take hours


class Strange:
    pass


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (float("nan"), "cannot be written as JSON"),
        ({"a": Strange()}, "cannot be written as JSON: .*Strange"),
        ("\ud800", "half a surrogate pair"),
        ("x" * strict_json.LIMIT_BYTES, "the limit is"),
    ],
)
def test_what_would_be_refused_is_not_written(value: object, says: str) -> None:
    with pytest.raises(WireError, match=says):
        strict_json.encode(value)


def test_what_is_too_deep_is_not_written() -> None:
    deep: list[object] = []
    for _ in range(65):
        deep = [deep]
    with pytest.raises(WireError, match="deep"):
        strict_json.encode(deep)
    round_and_round: list[object] = []
    round_and_round.append(round_and_round)
    with pytest.raises(WireError):
        strict_json.encode(round_and_round)
