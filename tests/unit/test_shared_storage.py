"""Storage that jobs share tells exactly what a full comparison before and after would tell."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.jobs.shared import Changes, SharedStorage, encode, portable
from tests.properties.drive import calls_made


class Opaque:
    """A value that JSON cannot carry."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque)  # equal, and yet another one

    def __hash__(self) -> int:
        return 1


def storage(**values: Any) -> SharedStorage:
    return SharedStorage(lambda: 1, values.items())


# The reference: a look at everything, before and after

Look = tuple[str, Any]


def look_at(key: Any, value: Any) -> Look:
    try:
        text = json.dumps(value, allow_nan=False)
        carried = isinstance(key, str) and json.loads(text) == value
    except (TypeError, ValueError):
        carried = False
    return ("text", text) if carried else ("object", value)


def full_look(values: dict[Any, Any]) -> dict[Any, Look]:
    return {key: look_at(key, value) for key, value in dict.items(values)}


def full_comparison(before: dict[Any, Look], after: dict[Any, Look]) -> Changes:
    changes = Changes({}, tuple(str(key) for key in before if key not in after), {})
    for key, (kind, look) in after.items():
        old_kind, old = before.get(key, ("", None))
        if kind == "text" and (old_kind, old) != (kind, look):
            changes.set[key] = json.loads(look)
        elif kind == "object" and not (old_kind == kind and old is look):
            kind = type(look).__name__
            text = isinstance(key, str)
            changes.opaque[str(key)] = (
                kind if text else f"{kind} under a key that is no text but {key!r}"
            )
    return changes


def same(told: Changes | None, expected: Changes) -> None:
    told = told or Changes({}, (), {})
    assert told.set == expected.set
    assert sorted(told.deleted) == sorted(expected.deleted)
    assert told.opaque == expected.opaque


# What a job may do with the storage

KEYS = st.sampled_from(["a", "b", "c", 1, ("d", 2)])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.text(max_size=2),
    st.floats(),
    st.builds(Opaque),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=1) | st.integers(0, 1), inner, max_size=3)
        | st.tuples(inner)
    ),
    max_leaves=6,
)
READS: dict[str, Callable[[Any, Any], Any]] = {
    "[]": lambda s, key: s[key],
    "get": lambda s, key: s.get(key),
    "setdefault": lambda s, key: s.setdefault(key, 0),
    "values": lambda s, key: list(s.values())[list(s).index(key)],
    "items": lambda s, key: dict(s.items())[key],
    "dict()": lambda s, key: dict(s)[key],
    "{**}": lambda s, key: {**s}[key],
    "copy": lambda s, key: s.copy()[key],
    "|": lambda s, key: (s | {})[key],
    "| from the right": lambda s, key: ({} | s)[key],
    "update of another": lambda s, key: updated({}, s)[key],
    "popped and put back": lambda s, key: put(s, key, s.pop(key)),
}


def updated(values: dict[Any, Any], other: Any) -> dict[Any, Any]:
    values.update(other)
    return values


def put(values: Any, key: Any, value: Any) -> Any:
    values[key] = value
    return value


def containers_in(value: Any) -> list[Any]:
    found = [value] if isinstance(value, (list, dict)) else []
    if isinstance(value, (list, tuple)):
        return found + [one for item in value for one in containers_in(item)]
    if isinstance(value, dict):
        return found + [one for item in value.values() for one in containers_in(item)]
    return found


def change_in_place(draw: Callable[..., Any], container: Any) -> None:
    if isinstance(container, list):
        verb = draw(st.sampled_from(["append", "clear", "reverse", "set"]))
        if verb == "append":
            container.append(draw(VALUES))
        elif verb == "set" and container:
            container[0] = draw(VALUES)
        elif verb != "set":
            getattr(container, verb)()
    elif container and draw(st.booleans()):
        del container[next(iter(container))]
    else:
        container[draw(st.text(max_size=1))] = draw(VALUES)


def act(draw: Callable[..., Any], shared: SharedStorage, held: list[Any]) -> None:
    """Something a job does; ``held`` is what it has of the storage's values in its hands."""
    verb = draw(
        st.sampled_from(
            [
                "set",
                "delete",
                "pop",
                "popitem",
                "setdefault",
                "update",
                "|=",
                "clear",
                "read",
                "read",
                "read",
                "change what it holds",
                "change what it holds",
            ]
        )
    )
    key = draw(KEYS)
    if verb == "set":
        shared[key] = draw(VALUES)
    elif verb == "delete":
        if key in shared:
            del shared[key]
        else:
            with pytest.raises(KeyError):
                del shared[key]
    elif verb == "pop":
        shared.pop(key, None)
    elif verb == "popitem" and shared:
        shared.popitem()
    elif verb == "setdefault":
        shared.setdefault(key, draw(VALUES))
    elif verb == "update":
        shared.update({key: draw(VALUES)}, extra=draw(VALUES))
    elif verb == "|=":
        shared |= {key: draw(VALUES)}
    elif verb == "clear" and draw(st.integers(0, 3)) == 0:
        shared.clear()
    elif verb == "read" and key in shared:
        held.extend(containers_in(READS[draw(st.sampled_from(sorted(READS)))](shared, key)))
    elif verb == "change what it holds" and held:
        change_in_place(draw, draw(st.sampled_from(held)))


@given(st.dictionaries(KEYS, VALUES), st.data())
def test_what_is_told_of_each_phase_is_what_a_full_comparison_before_and_after_gives(
    values: dict[Any, Any], data: st.DataObject
) -> None:
    shared = SharedStorage(lambda: 1, values.items())
    mirror = SharedStorage(lambda: 1)
    mirror.apply(portable(dict(values)) or Changes({}))
    for _ in range(data.draw(st.integers(1, 4), label="tries")):
        held: list[Any] = []
        for goes_on in (True, False):  # Check, then Run with Recheck
            before = full_look(shared)
            for _ in range(data.draw(st.integers(0, 4), label="acts")):
                act(data.draw, shared, held)
            after = full_look(shared)
            told = shared.changes(goes_on=goes_on)
            same(told, full_comparison(before, after))
            if told is not None:
                mirror.apply(json_round_trip(told))
            carried = {key: look[1] for key, look in after.items() if look[0] == "text"}
            assert {key: encode(key, value) for key, value in dict.items(mirror)} == carried


def json_round_trip(changes: Changes) -> Changes:
    """As a journal keeps them."""
    return Changes(
        json.loads(json.dumps(changes.set)),
        tuple(json.loads(json.dumps(changes.deleted))),
        json.loads(json.dumps(changes.opaque)),
    )


@given(st.data())
def test_what_threads_tell_one_after_the_other_adds_up_to_what_all_of_them_did(
    data: st.DataObject,
) -> None:
    me = 0
    shared = SharedStorage(lambda: me)
    mirror = SharedStorage(lambda: 9)
    held: dict[int, list[Any]] = {0: [], 1: [], 2: []}
    for _ in range(data.draw(st.integers(1, 12), label="turns")):
        me = data.draw(st.integers(0, 2), label="thread")
        if data.draw(st.booleans(), label="its try ends"):
            touched = set(shared._touched.get(me, ()))
            mirror.apply(shared.changes() or Changes({}))
            held[me].clear()
            # What it touched is told now: its outcome is committed with it, whoever else looks.
            for key in touched:
                look = look_at(key, dict.get(shared, key)) if key in shared else ("object", 0)
                assert (key in mirror) == (look[0] == "text")
                if look[0] == "text":
                    assert encode(key, dict.get(mirror, key)) == look[1]
        else:
            act(data.draw, shared, held[me])
    for me in held:  # noqa: B007
        mirror.apply(shared.changes() or Changes({}))
    assert full_look(mirror) == {
        key: look for key, look in full_look(shared).items() if look[0] == "text"
    }


@given(st.dictionaries(KEYS, VALUES), st.data())
def test_it_answers_as_a_dictionary_does(values: dict[Any, Any], data: st.DataObject) -> None:
    shared, plain = SharedStorage(lambda: 1, values.items()), dict(values)
    key = data.draw(KEYS)
    asks: list[Callable[[Any], Any]] = [
        lambda s: s.get(key),
        lambda s: s.get(key, 7),
        lambda s: s.pop(key, 7),
        lambda s: s.setdefault(key, 5),
        lambda s: s[key],
        lambda s: list(s.items()),
        lambda s: list(s.values()),
        lambda s: list(s),
        lambda s: len(s),
        lambda s: key in s,
        lambda s: s.copy(),
        lambda s: s | {"z": 1},
        lambda s: {"z": 1} | s,
        lambda s: s.popitem(),
    ]
    for ask in asks:
        try:
            expected = ask(plain)
        except KeyError:
            with pytest.raises(KeyError):
                ask(shared)
        else:
            assert json_free(ask(shared)) == json_free(expected)


def json_free(value: Any) -> str:
    return repr(value)


# By example


def test_nothing_touched_is_nothing_told() -> None:
    assert storage(a=1).changes() is None


def test_what_it_began_with_is_not_told_when_it_is_read() -> None:
    shared = storage(a=[1])
    assert shared["a"] == [1]
    assert shared.changes() is None


def test_a_value_changed_in_place_is_told() -> None:
    shared = storage(a=[1])
    shared["a"].append(2)
    assert shared.changes() == Changes({"a": [1, 2]})


@pytest.mark.parametrize("read", READS)
def test_a_value_changed_in_place_is_told_however_it_was_come_by(read: str) -> None:
    shared = storage(a=[1], b=2)
    READS[read](shared, "a").append(2)
    told = shared.changes()
    assert told == Changes({"a": [1, 2]})


def test_a_value_changed_in_place_is_told_when_it_came_from_a_walk_through_all() -> None:
    shared = storage(a=[1], b=[2])
    for value in shared.values():
        value.append(0)
    assert shared.changes() == Changes({"a": [1, 0], "b": [2, 0]})


def test_a_thread_tells_only_what_it_touched_itself() -> None:
    me = 1
    shared = SharedStorage(lambda: me)
    shared["a"] = 1
    me = 2
    shared["b"] = 2
    me = 1
    assert shared.changes() == Changes({"a": 1})
    me = 2
    assert shared.changes() == Changes({"b": 2})


def test_a_value_set_to_what_it_was_is_not_told() -> None:
    shared = storage(a=[1])
    shared["a"] = [1]
    assert shared.changes() is None


def test_a_value_set_and_taken_away_within_a_phase_is_not_told() -> None:
    shared = storage()
    shared["a"] = 1
    del shared["a"]
    assert shared.changes() is None
    shared.pop("never there", None)
    assert shared.changes() is None


def test_what_is_told_does_not_change_when_the_value_does_later() -> None:
    shared = storage()
    shared["a"] = [1]
    told = shared.changes()
    shared["a"].append(2)
    assert told == Changes({"a": [1]})


def test_what_check_was_given_and_run_changed_without_asking_again_is_told() -> None:
    shared = storage(a=[1])
    held = shared["a"]
    assert shared.changes(goes_on=True) is None
    held.append(2)
    assert shared.changes() == Changes({"a": [1, 2]})


def test_a_value_that_json_cannot_carry_is_told_by_name_and_type() -> None:
    shared = storage()
    shared["socket"] = Opaque()
    assert shared.changes() == Changes({}, (), {"socket": "Opaque"})


def test_who_only_reads_a_value_that_json_cannot_carry_is_not_told_to_have_set_it() -> None:
    shared = storage()
    shared["socket"] = Opaque()
    shared.changes()
    assert isinstance(shared["socket"], Opaque)
    assert shared.changes() is None


def test_another_value_that_json_cannot_carry_is_told_though_it_is_equal() -> None:
    shared = storage(socket=Opaque())
    shared["socket"] = Opaque()
    assert shared.changes() == Changes({}, (), {"socket": "Opaque"})


@pytest.mark.parametrize(
    "value", [(1, 2), {1: "a"}, {1}, b"bytes", float("nan"), [float("inf")], {"a": (1,)}]
)
def test_a_value_that_json_would_change_is_not_carried(value: Any) -> None:
    shared = storage()
    shared["a"] = value
    assert shared.changes() == Changes({}, (), {"a": type(value).__name__})
    with pytest.raises(ValueError, match="'a' holds what JSON"):
        encode("a", value)


def test_a_value_within_itself_is_not_carried() -> None:
    loop: list[Any] = []
    loop.append(loop)
    shared = storage()
    shared["a"] = loop
    assert shared.changes() == Changes({}, (), {"a": "list"})


def test_a_key_that_is_not_text_is_told_by_its_text_and_kept_out_of_the_values() -> None:
    shared = storage()
    shared[1] = "one"
    assert shared.changes() == Changes({}, (), {"1": "str under a key that is no text but 1"})
    del shared[1]
    assert shared.changes() == Changes({}, ("1",))


def test_applied_to_another_storage_a_value_that_was_not_carried_takes_the_old_one_away() -> None:
    shared, other = storage(a=1), storage(a=1)
    shared["a"] = Opaque()
    other.apply(shared.changes() or Changes({}))
    assert "a" not in other


def test_what_was_applied_is_not_told_again() -> None:
    shared = storage()
    shared.apply(Changes({"a": [1]}, ("b",)))
    assert shared["a"] == [1]
    assert shared.changes() is None


def test_a_thread_that_reads_does_not_take_from_another_what_it_has_to_tell() -> None:
    me = 1
    shared = SharedStorage(lambda: me)
    shared["a"] = [1]
    me = 2
    assert shared["a"] == [1]
    me = 1
    assert shared.changes() == Changes({"a": [1]})
    me = 2
    assert shared.changes() is None


def test_telling_costs_by_what_was_touched_and_not_by_what_is_there() -> None:
    def cost(size: int) -> int:
        shared = SharedStorage(lambda: 1, [(str(n), [n]) for n in range(size)])

        def phase() -> None:
            shared["0"].append(1)
            shared.changes()

        return calls_made(phase)

    assert cost(4000) == cost(10)


def test_a_jobs_own_storage_is_told_whole() -> None:
    assert portable({}) == Changes({})
    told = portable({"a": [1], "b": Opaque(), 3: "three"})
    assert told == Changes(
        {"a": [1]}, (), {"b": "Opaque", "3": "str under a key that is no text but 3"}
    )
