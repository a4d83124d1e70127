"""Any message survives the wire; any other bytes are refused, and nothing worse happens."""

import json
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headway.errors import WireError
from headway.wire import strict_json
from headway.wire.messages import ABSENT, MESSAGES, Part, WireMessage, keys_of
from headway.wire.shapes import (
    Anything,
    Choice,
    ListOf,
    MapOf,
    OrNull,
    Shape,
    Text,
    Whole,
    YesNo,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(-(10**60), 10**60) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def fitting(shape: Shape) -> st.SearchStrategy[Any]:
    """Values of a shape."""
    inner: Any = shape
    match shape:
        case Anything():
            return VALUES
        case Text():
            pattern = shape.schema().get("pattern")
            hexadecimal = st.text("0123456789abcdef", min_size=24, max_size=24)
            return hexadecimal if pattern else TEXTS
        case Choice():
            return st.sampled_from(shape.schema()["enum"])
        case Whole():
            return st.integers(0, shape.schema()["maximum"])
        case YesNo():
            return st.booleans()
        case OrNull():
            return st.none() | fitting(inner._of)
        case ListOf():
            return st.lists(fitting(inner._of), max_size=3)
        case MapOf():
            keys = st.sampled_from(inner._keys) if inner._keys else TEXTS
            return st.dictionaries(keys, fitting(inner._of), max_size=3)
        case Part():
            return messages(shape.of)
        case _:
            raise AssertionError(shape)


@st.composite
def messages(draw: st.DrawFn, kind: type[WireMessage] | None = None) -> WireMessage:
    kind = kind or draw(st.sampled_from(MESSAGES))
    found = {}
    for key in keys_of(kind):
        if key.required or draw(st.booleans()):
            found[key.name] = draw(fitting(key.shape))
    known = {key.name for key in keys_of(kind)}
    extra = draw(st.dictionaries(TEXTS.filter(lambda name: name not in known), VALUES, max_size=2))
    return kind(**found, extra=extra)


@given(messages())
def test_a_message_comes_back_as_it_was(message: WireMessage) -> None:
    again = type(message).decode(message.encode())
    assert again == message
    assert ABSENT not in again.to_plain().values()


@given(VALUES)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert strict_json.parse(strict_json.encode(value)) == value


def spoilt(chance: random.Random) -> bytes:
    """One body that something is wrong with, or seems to be."""
    kind = chance.randrange(7)
    if kind == 0:
        return chance.randbytes(chance.randrange(60))
    if kind == 1:
        return bytes(
            chance.choice(b'{}[]",:\\u019aeE+-.tfn \n') for _ in range(chance.randrange(80))
        )
    if kind == 2:
        depth = chance.randrange(60, 20_000)
        return b"[" * depth + b"]" * chance.choice([depth, 0, depth // 2])
    if kind == 3 and chance.random() < 0.02:
        return b'{"status":"' + b"x" * (strict_json.LIMIT_BYTES + chance.randrange(10)) + b'"}'
    if kind == 4:
        wrong: Any = [None, 1, 1.5, "x", [], {}, [{}], True, 10**400, "\ud800"]
        names = [key.name for message in MESSAGES for key in keys_of(message)]
        plain = {chance.choice(names): chance.choice(wrong) for _ in range(chance.randrange(6))}
        return json.dumps(plain).encode()
    good = b'{"status":"failed","data":{"a":[1,2,{"b":"\\u00e9"}]},"parameters":{},"notify":{}}'
    body = bytearray(good)
    for _ in range(chance.randrange(1, 4)):
        body[chance.randrange(len(body))] = chance.randrange(256)
    return bytes(body)


def test_ten_thousand_spoilt_bodies_raise_nothing_but_the_error_for_it() -> None:
    chance = random.Random(20261122)
    refused = []
    for _ in range(10_000):
        body = spoilt(chance)
        kind = chance.choice(MESSAGES)
        try:
            kind.decode(body).encode()
        except WireError as error:
            refused.append(str(error))
    assert len(refused) > 9_000
    assert max(len(says) for says in refused) < 400
