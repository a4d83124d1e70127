"""Whatever is heard of a task, in whatever order and however often, the record is the same."""

import json
from collections.abc import Iterable
from functools import reduce
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headway.errors import WireError
from headway.testing.memory_tasks import MemoryTasks
from headway.tracking.events import events_of
from headway.tracking.heard import Heard, buried
from headway.tracking.messages import task_of
from headway.tracking.states import FINALITY, TaskState
from headway.tracking.task import MESSAGE, Task, merged

ID = "0f-task"

# Few values of each kind, so that what is heard often ties in some field and differs in another.
moments = st.one_of(st.none(), st.integers(1, 4))
texts = st.one_of(st.none(), st.sampled_from(["", "a", "b", "ä\0\ud800"]))
small = st.integers(0, 2)


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    if kind is int:
        return small
    return moments if kind == int | None else texts


tasks = st.builds(
    Task,
    st.just(ID),
    **{name: of_type(kind) for name, kind in Task.__annotations__.items() if name != "id"},
)

seconds = st.sampled_from([1, 2.5, 3])
second_protocol = st.builds(
    lambda headers, body, key, at: Heard(
        False,
        key,
        {"task": "t", "id": ID, **headers},
        "application/json",
        json.dumps(body).encode(),
        at,
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "retries": small,
            "replaced_task_nesting": small,
            "root_id": st.sampled_from([None, "r"]),
            "eta": st.sampled_from([None, "2026-11-28T10:00:00+00:00", "soon"]),
            "argsrepr": st.just("(1,)"),
            "kwargsrepr": st.just("{}"),
            "x": st.integers(0, 2),
        },
    ),
    st.sampled_from([[[1], {}, {}], [[], {"a": 1}, {}], {"no": "list"}, []]),
    st.sampled_from(["export", "other"]),
    st.integers(1, 3),
)
first_protocol = st.builds(
    lambda body, at: Heard(
        False,
        "export",
        {},
        "application/json",
        json.dumps({"task": "t", "id": ID, **body}).encode(),
        at,
    ),
    st.fixed_dictionaries({}, optional={"retries": small, "args": st.just([1])}),
    st.integers(1, 3),
)
one_event = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                f"task-{kind}"
                for kind in (
                    "sent received started succeeded failed retried revoked rejected".split()
                )
            ]
        ),
        "uuid": st.just(ID),
        "timestamp": seconds,
        "hostname": st.sampled_from(["w1", "w2"]),
    },
    optional={
        "retries": small,
        "name": st.just("t"),
        "args": st.just("(1,)"),
        "exception": st.sampled_from(["E1", "E2"]),
        "runtime": seconds,
        "requeue": st.booleans(),
        "expired": st.booleans(),
    },
)
events = st.builds(
    lambda all_of_one: Heard(
        True, "task.multi", {}, "application/json", json.dumps(all_of_one).encode(), 9
    ),
    st.one_of(one_event, st.lists(one_event, min_size=1, max_size=4)),
)
messages = st.one_of(second_protocol, first_protocol, events)


def told_by(heard: Heard) -> list[Task]:
    return events_of(heard).tasks if heard.is_event else [task_of(heard)]


def folded(news: Iterable[Task]) -> Task:
    return reduce(merged, news)


@given(tasks, tasks, tasks)
def test_what_is_heard_comes_together_in_any_order_and_grouping(
    one: Task, two: Task, three: Task
) -> None:
    assert merged(one, two) == merged(two, one)
    assert merged(merged(one, two), three) == merged(one, merged(two, three))
    assert merged(one, one) == one
    assert merged(merged(one, two), two) == merged(one, two)


@given(st.lists(messages, min_size=1, max_size=8), st.data())
def test_any_shuffle_and_repetition_of_the_messages_ends_in_the_same_record(
    heard: list[Heard], data: st.DataObject
) -> None:
    in_order = folded(task for one in heard for task in told_by(one))
    again = data.draw(st.permutations(heard + data.draw(st.lists(st.sampled_from(heard)))))
    assert folded(task for one in again for task in told_by(one)) == in_order


@given(st.lists(tasks, min_size=1, max_size=8), st.data())
def test_any_batches_of_it_end_in_the_same_record(news: list[Task], data: st.DataObject) -> None:
    kept, again = MemoryTasks(), MemoryTasks()
    kept.record(news)
    shuffled = data.draw(st.permutations(news + news))
    cut = data.draw(st.integers(0, len(shuffled)))
    for batch in (shuffled[:cut], shuffled[cut:]):
        again.record(batch)
    assert kept.task(ID) == again.task(ID)


@given(st.lists(messages, min_size=1, max_size=8))
def test_an_end_that_was_heard_is_where_the_task_stands(heard: list[Heard]) -> None:
    news = [task for one in heard for task in told_by(one)]
    ends = [one.finality for one in news if one.finality]
    state = folded(news).state
    if ends:
        assert FINALITY[state] == max(ends)
    else:
        assert state not in FINALITY
        sent = any(one.told_by == MESSAGE for one in news)
        assert not (sent and state is TaskState.UNKNOWN)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.sampled_from(
    "id task retries root_id parent_id eta expires argsrepr kwargsrepr compression origin"
    " timestamp_in_ms type uuid timestamp hostname pid".split()
)


@given(
    st.booleans(),
    st.dictionaries(names, json_values),
    st.sampled_from(["application/json", "application/x-python-serialize", ""]),
    st.one_of(
        st.binary(), st.dictionaries(names, json_values).map(lambda v: json.dumps(v).encode())
    ),
    st.one_of(st.none(), st.just("it is too large")),
)
def test_any_message_is_a_record_or_a_dead_letter(
    is_event: bool, headers: dict[str, Any], content_type: str, body: bytes, flaw: str | None
) -> None:
    heard = Heard(is_event, "key", headers, content_type, body, 7, flaw=flaw)
    kept = MemoryTasks()
    try:
        kept.record(told_by(heard))
    except WireError as error:
        letter = buried(heard, str(error))
        kept.record([], [letter, letter])
        assert len(kept.dead_letters()) == 1
