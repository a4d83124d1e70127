"""A stream of AMQP is cut into the same frames however the network cuts it."""

from hypothesis import given
from hypothesis import strategies as st
from pika import frame, spec

from headway.adapters.rabbitmq.tap import Frames

FRAMES = st.one_of(
    st.builds(lambda tag: frame.Method(1, spec.Basic.Ack(tag)).marshal(), st.integers(1, 1 << 40)),
    st.builds(lambda body: frame.Body(3, body).marshal(), st.binary(max_size=300)),
    st.just(frame.Heartbeat().marshal()),
)


@given(st.booleans(), st.lists(FRAMES, max_size=8), st.lists(st.integers(1, 40)))
def test_frames_come_whole_and_in_order_and_nothing_is_lost(
    begins: bool, frames: list[bytes], cuts: list[int]
) -> None:
    wanted = [b"AMQP\0\0\x09\x01", *frames] if begins else frames
    stream = b"".join(wanted)
    seen: list[bytes] = []
    passed = b""

    def look(raw: bytes) -> bytes:
        seen.append(raw)
        return raw

    cutter = Frames(look)
    while stream:
        size = cuts.pop() if cuts else 7
        passed += cutter.seen(stream[:size])
        stream = stream[size:]
    assert seen == wanted
    assert passed == b"".join(wanted)


@given(st.lists(st.binary(min_size=1, max_size=50)))
def test_what_is_no_amqp_is_passed_on_as_it_comes(parts: list[bytes]) -> None:
    cutter = Frames(lambda raw: raw)
    noise = [b"\xee" * 8, *parts]
    assert b"".join(cutter.seen(part) for part in noise) == b"".join(noise)
