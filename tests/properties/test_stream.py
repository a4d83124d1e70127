"""What is taken off the wire without pika is what pika would have made of it."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import frame, spec

from headway.adapters.rabbitmq.connection import flaw_of, salvaged_properties
from headway.adapters.rabbitmq.properties import SHAPES, Reader, Said
from headway.adapters.rabbitmq.stream import Stream, Taker

MOST_BYTES = 60
names = st.text(max_size=8)
plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=20)
    | st.binary(max_size=5)
    | st.decimals(-1000, 1000, places=2)
)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=10,
)
properties = st.builds(
    spec.BasicProperties,
    content_type=st.none() | names,
    content_encoding=st.none() | names,
    headers=st.none() | st.dictionaries(names, values, max_size=5),
    delivery_mode=st.sampled_from([None, 1, 2]),
    priority=st.none() | st.integers(0, 9),
    correlation_id=st.none() | names,
    reply_to=st.none() | names,
    expiration=st.none() | names,
    message_id=st.none() | names,
    timestamp=st.none() | st.integers(0, 2**63),
    type=st.none() | names,
    app_id=st.none() | names,
)


def encoded(one: spec.BasicProperties) -> bytes:
    return b"".join(one.encode())


def said_by_pika(data: bytes) -> Said:
    found = spec.BasicProperties()
    try:
        found.decode(data)
    except Exception as error:
        found = salvaged_properties(data, error)
    return Said(found.content_type or "", found.headers or {}, found.timestamp, flaw_of(found))


@given(properties)
def test_properties_are_read_as_pika_reads_them(one: spec.BasicProperties) -> None:
    data = encoded(one)
    assert Reader().said_in(data) == said_by_pika(data)


def like(value: Any) -> st.SearchStrategy[Any]:
    """Another of its kind, mostly."""
    kinds = {str: st.text(max_size=200), int: st.integers(-(2**63), 2**63 - 1)}
    return st.just(value) | kinds.get(type(value), plain)


@given(st.data())
def test_what_was_read_before_changes_nothing(data: st.DataObject) -> None:
    tables = data.draw(
        st.lists(st.dictionaries(names, values, max_size=5), min_size=1, max_size=SHAPES + 2)
    )
    reader = Reader()
    for _ in range(data.draw(st.integers(2, 6))):
        table = data.draw(st.sampled_from(tables))
        headers = {name: data.draw(like(value)) for name, value in table.items()}
        one = data.draw(properties)
        one.headers = headers
        said = encoded(one)
        assert reader.said_in(said) == said_by_pika(said)
        broken = bytearray(said)
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
        by_pika = said_by_pika(bytes(broken))
        assert reader.said_in(bytes(broken)) == by_pika or by_pika.flaw


def test_of_two_headers_with_one_name_the_last_is_read_however_alike_they_are() -> None:
    reader = Reader()
    for text in (b"once", b"again"):
        field = b"\x01aS" + len(text).to_bytes(4, "big") + text + b"\x01aV"
        table = spec.BasicProperties.FLAG_HEADERS.to_bytes(2, "big")
        table += len(field).to_bytes(4, "big") + field
        assert reader.said_in(table) == said_by_pika(table)
        assert reader.said_in(table).headers == {"a": None}


@given(properties, st.data())
def test_damaged_properties_that_pika_can_read_are_read_as_it_reads_them(
    one: spec.BasicProperties, data: st.DataObject
) -> None:
    broken = bytearray(encoded(one))
    for _ in range(data.draw(st.integers(1, 3))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(broken)))
    for damaged in (bytes(broken), bytes(broken[:cut])):
        said, by_pika = Reader().said_in(damaged), said_by_pika(damaged)
        # Behind the timestamp there may be damage that only pika looks at.
        assert by_pika.flaw is not None or said == by_pika


@given(st.binary(max_size=60))
def test_no_bytes_are_too_strange_to_be_read(data: bytes) -> None:
    Reader().said_in(data)


def test_headers_that_are_nested_too_deep_are_a_flaw() -> None:
    nested: Any = 1
    for _ in range(200):
        nested = [nested]
    table = encoded(spec.BasicProperties(headers={"deep": nested}))
    assert Reader().said_in(table).headers == {"deep": nested}
    inner = b"V"
    for _ in range(20_000):
        inner = b"A" + len(inner).to_bytes(4, "big") + inner
    field = b"\x04deep" + inner
    table = (spec.BasicProperties.FLAG_HEADERS).to_bytes(2, "big")
    table += len(field).to_bytes(4, "big") + field
    said = Reader().said_in(table)
    assert said.headers == {}
    assert "cannot be read" in (said.flaw or "")


class Sent(NamedTuple):
    """A message, and in how large parts its body is sent."""

    key: str
    said: spec.BasicProperties
    body: bytes
    part: int


sent = st.builds(
    Sent, names, properties, st.binary(max_size=2 * MOST_BYTES), st.integers(1, 2 * MOST_BYTES)
)


def frames_of(one: Sent, channel: int, tag: int) -> bytes:
    method = spec.Basic.Deliver("consumer", tag, False, "task_exchange", one.key)
    made = [frame.Method(channel, method), frame.Header(channel, len(one.body), one.said)]
    for at in range(0, len(one.body), one.part):
        made.append(frame.Body(channel, one.body[at : at + one.part]))
    return b"".join(each.marshal() for each in made)


class Wire(Stream):
    """Without a network: what is pika's is counted."""

    def __init__(self) -> None:
        self._takers = {}
        self._frame_buffer = b""
        self.bytes_received = 0
        self.left: list[bytes] = []

    @property
    def is_closed(self) -> bool:  # type: ignore[override]
        return False

    def _leave_to_pika(self, encoded: bytes) -> None:
        self.left.append(encoded)


@given(st.lists(sent, max_size=5), st.lists(st.integers(0, 400), max_size=12))
def test_messages_are_put_together_wherever_the_network_cuts_them(
    messages: list[Sent], cuts: list[int]
) -> None:
    taken: list[Any] = []
    wire = Wire()
    wire._takers[3] = Taker(MOST_BYTES, lambda *one: taken.append(one))
    heartbeat = frame.Heartbeat().marshal()
    other = frame.Method(3, spec.Basic.ConsumeOk("consumer")).marshal()
    elsewhere = b"".join(frames_of(one, 5, 1) for one in messages)
    stream = other + elsewhere
    for tag, one in enumerate(messages, 1):
        stream += frames_of(one, 3, tag) + heartbeat
    at = 0
    for cut in [*cuts, len(stream)]:
        wire._on_data_available(stream[at : at + cut])
        at += cut
    assert b"".join(wire.left) == other + elsewhere + heartbeat * len(messages)
    assert taken == [expected(one, tag) for tag, one in enumerate(messages, 1)]
    assert wire._frame_buffer == b""
    assert wire.bytes_received == len(stream)  # else pika takes the broker for dead


def expected(one: Sent, tag: int) -> tuple[Any, ...]:
    said, size = Reader().said_in(encoded(one.said)), len(one.body)
    if size <= MOST_BYTES:
        return tag, one.key, said, one.body, said.flaw, 0
    flaw = f"it has {size} bytes, more than the limit of {MOST_BYTES}"
    return tag, one.key, said, b"", flaw, size


def test_a_frame_without_its_end_is_left_to_pika_to_refuse() -> None:
    wire = Wire()
    wire._takers[3] = Taker(MOST_BYTES, lambda *_: pytest.fail("there was no message"))
    broken = frames_of(Sent("key", spec.BasicProperties(), b"", 1), 3, 1)
    length = spec.FRAME_HEADER_SIZE + int.from_bytes(broken[3:7], "big")
    broken = broken[:length] + b"\0" + broken[length + 1 :]
    wire._on_data_available(broken)
    assert wire.left[0] == broken[: length + 1]
