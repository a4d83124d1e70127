"""Presence messages may come late, twice and in any order: what was last said holds."""

from hypothesis import given
from hypothesis import strategies as st

from headway.releases.presences import Presences
from headway.wire.messages import PRESENCE_STATES, Presence


@st.composite
def feeds(draw: st.DrawFn) -> tuple[list[Presence], list[Presence]]:
    """What a few workers said, in order, and what arrived of it: all, repeated, shuffled."""
    said = [
        Presence(
            worker=draw(st.sampled_from("ab")),
            command="frob",
            queue=f"worker.{draw(st.sampled_from('xy'))}",
            state=draw(st.sampled_from(PRESENCE_STATES)),
            since_us=0,
            interval_s=5,
            number=number,
        )
        for number in range(1, draw(st.integers(1, 8)) + 1)
    ]
    again = draw(st.lists(st.sampled_from(said), max_size=5))
    return said, draw(st.permutations([*said, *again]))


@given(feeds())
def test_any_order_ends_with_what_was_last_said(
    feed: tuple[list[Presence], list[Presence]],
) -> None:
    said, arrived = feed
    in_order, as_it_came = Presences(), Presences()
    for one in said:
        in_order.hear(one, 0)
    for one in arrived:
        as_it_came.hear(one, 0)
    assert as_it_came.there(1) == in_order.there(1)
    last = {(one.worker, one.queue): one for one in said}
    expected = [one for one in last.values() if one.state != "left"]
    assert len(in_order.there(1)) == len(expected)
    assert all(seen.presence in expected for seen in in_order.there(1))
