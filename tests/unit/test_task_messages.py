"""What task messages and events say, and what is left alone in them."""

import json
import pickle
import zlib
from collections.abc import Mapping
from typing import Any

import pytest

from headway.errors import WireError
from headway.tracking.events import Worker, events_of
from headway.tracking.heard import Heard, buried
from headway.tracking.messages import ARGUMENTS_CHARACTERS, BODY_BYTES, task_of
from headway.tracking.results import Result, Seen, read_value
from headway.tracking.states import TaskState, state_called
from headway.tracking.task import MESSAGE, RECEIVER, SENDER, Task, merged

HEADERS: Mapping[str, Any] = {
    "lang": "py",
    "task": "export.pdf",
    "id": "t1",
    "shadow": None,
    "eta": "2026-11-28T10:00:00+01:00",
    "expires": "2026-11-28T09:00:01",
    "group": "g1",
    "group_index": 0,
    "retries": 2,
    "timelimit": [None, None],
    "root_id": "t0",
    "parent_id": "p1",
    "argsrepr": "('a',)",
    "kwargsrepr": "{}",
    "origin": "gen7@here",
    "ignore_result": False,
    "replaced_task_nesting": 0,
    "stamped_headers": None,
    "stamps": {},
}
BODY = b'[["a", 1.50], {"b": [true]}, {"callbacks": null, "chain": null}]'
HOUR_US = 1_795_856_400_000_000  # 2026-11-28 09:00 UTC


def message(body: bytes = BODY, content_type: str = "application/json", **headers: Any) -> Heard:
    return Heard(False, "export", {**HEADERS, **headers}, content_type, body, 5)


def event(*events: Mapping[str, Any], kind: str = "application/json") -> Heard:
    value = list(events) if len(events) != 1 else events[0]
    return Heard(True, "task.multi", {}, kind, json.dumps(value).encode(), 5)


def test_a_task_message_tells_all_that_was_sent() -> None:
    assert task_of(message()) == Task(
        "t1",
        retries=2,
        told_by=MESSAGE,
        name="export.pdf",
        queue="export",
        parent="p1",
        root="t0",
        group="g1",
        args='["a", 1.50]',  # as it was written, to the digit
        kwargs='{"b": [true]}',
        form="json",
        eta_us=HOUR_US,
        expires_us=HOUR_US + 1_000_000,
        origin="gen7@here",
        body_bytes=len(BODY),
        heard_us=5,
    )


@pytest.mark.parametrize("eta", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00", "soon"])
def test_a_time_that_cannot_be_written_down_is_not_known(eta: str) -> None:
    """Else one message would keep everybody from the list that it stands in."""
    assert task_of(message(eta=eta)).eta_us is None
    assert task_of(message(timestamp_in_ms=2**50)).sent_us is None
    assert task_of(message()._replace(sent_us=2**62)).sent_us is None


@pytest.mark.parametrize("at", [2**39, 10**400, -1, float("nan"), float("inf"), True, "1", None])
def test_an_event_at_no_time_is_a_dead_letter_and_no_end_of_the_monitor(at: Any) -> None:
    with pytest.raises(WireError, match="without a time"):
        events_of(event({"type": "task-started", "uuid": "t1", "timestamp": at}))


@pytest.mark.parametrize(
    ("key", "queue"),
    [
        ("export", "export"),
        ("0." * 25 + "1.0.1.export.pdf", "export.pdf"),  # 5 s
        ("0." * 56 + "export", "0." * 28 + "export"),
        ("0.1.export", "0.1.export"),
        ("0", "0"),
    ],
)
def test_a_task_that_waited_at_the_broker_is_shown_with_its_queue(key: str, queue: str) -> None:
    """As Celery sends one with a countdown for a quorum queue."""
    assert task_of(message()._replace(key=key)).queue == queue
    sent = {"type": "task-sent", "uuid": "t1", "timestamp": 1.5, "routing_key": key}
    assert events_of(event(sent)).tasks[0].queue == queue


def test_a_message_of_the_first_protocol_is_read_from_its_body() -> None:
    body = {"task": "export.pdf", "id": "t1", "args": [1], "kwargs": {}, "retries": 1, "eta": None}
    heard = Heard(False, "export", {}, "application/json", json.dumps(body).encode(), 5)
    task = task_of(heard)
    assert task[:5] == ("t1", 1, 0, MESSAGE, "export.pdf")
    assert (task.args, task.kwargs, task.form, task.queue) == ("[1]", "{}", "json", "export")


class Trap:
    """Whoever unpickles it ends."""

    def __reduce__(self) -> Any:
        return (SystemExit, ("unpickled",))


@pytest.mark.parametrize("kind", ["application/x-python-serialize", "application/x-yaml", ""])
def test_a_body_that_is_not_json_is_never_opened(kind: str) -> None:
    task = task_of(message(pickle.dumps(Trap()), kind))
    assert (task.args, task.kwargs, task.form) == ("('a',)", "{}", "repr")
    bare = task_of(message(pickle.dumps(Trap()), kind, argsrepr=None))
    assert (bare.args, bare.form) == (None, f"not opened: {kind or 'no type'}")


def test_a_pickle_that_says_it_is_json_is_not_opened_either() -> None:
    assert task_of(message(pickle.dumps(Trap()))).form == "repr"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[",
        b"[1]",
        b"[[1]; {}, 3]",
        b"[[NaN], {}, {}]",
        b"[" * 50_000,
        b'[["\xff"], {}, {}]',
        b"[" + b"9" * 10_000 + b", {}, {}]",
    ],
)
def test_a_broken_body_costs_the_arguments_and_nothing_else(body: bytes) -> None:
    task = task_of(message(body))
    assert (task.id, task.name, task.args, task.form) == ("t1", "export.pdf", "('a',)", "repr")


def test_a_compressed_body_is_read_only_as_far_as_a_plain_one() -> None:
    small = message(zlib.compress(BODY), compression="application/x-gzip")
    assert task_of(small).args == '["a", 1.50]'
    bomb = message(zlib.compress(b"[[" + b" " * 50_000_000), compression="application/x-gzip")
    assert task_of(bomb).form == "repr"
    assert task_of(message(BODY, compression="application/x-bz2")).form == "repr"


def test_long_arguments_are_cut_and_larger_bodies_left_alone() -> None:
    long = json.dumps([["x" * ARGUMENTS_CHARACTERS], {}, {}]).encode()
    task = task_of(message(long))
    assert (len(task.args or ""), task.form) == (ARGUMENTS_CHARACTERS, "json, cut at 8,192")
    large = json.dumps([["x" * BODY_BYTES], {}, {}]).encode()
    assert task_of(message(large)).form == "repr"
    assert task_of(message(b"")._replace(flaw="too large", size=10**9)).body_bytes == 10**9


def test_headers_that_are_not_celerys_own_are_kept() -> None:
    assert task_of(message(tenant="a", trace=[1])).extra == '{"tenant": "a", "trace": [1]}'
    assert task_of(message(tenant="a" * 5000)).extra == '{"left out": 5014}'


def test_a_time_that_the_broker_wrote_is_when_it_was_sent() -> None:
    assert task_of(message(timestamp_in_ms=1_700_000_000_123)).sent_us == 1_700_000_000_123_000
    assert task_of(message()._replace(sent_us=3)).sent_us == 3


@pytest.mark.parametrize(
    ("heard", "reason"),
    [
        (message(id=None), "names no task's id"),
        (message(id=7), "names no task's id"),
        (message(id="x" * 256), "has 256 characters"),
        (Heard(False, "k", {}, "application/json", b"{}", 5), "name a task"),
        (Heard(False, "k", {}, "application/json", b"[", 5), "not JSON"),
        (Heard(False, "k", {}, "application/json", b"[" * 60_000, 5), "nested too deep"),
        (Heard(False, "k", {}, "application/json", b'{"task": "t"}', 5), "names no task's id"),
        (Heard(False, "k", {}, "application/x-python-serialize", b"x", 5), "never opened"),
        (event({"type": "task-started", "uuid": "t"}), "without a time"),
        (event({"type": "task-started", "timestamp": 1}), "names no task's id"),
        (event({"type": "task-started", "uuid": "t"}, kind="text/plain"), "never opened"),
        (Heard(True, "k", {}, "application/json", b"[1]", 5), "no event"),
        (Heard(True, "k", {}, "application/json", b"{", 5), "not JSON"),
    ],
)
def test_a_message_without_a_task_says_why(heard: Heard, reason: str) -> None:
    read = events_of if heard.is_event else task_of
    with pytest.raises(WireError, match=reason):
        read(heard)


def test_a_dead_letter_shows_the_beginning_of_what_came() -> None:
    heard = message(b"\xff\0" * 5000, tenant="a")
    letter = buried(heard, "because")
    assert (letter.kind, letter.key, letter.reason) == ("task", "export", "because")
    assert letter.body.startswith("\\xff\0")
    assert letter.body_bytes == 10_000
    assert "tenant" in letter.headers
    assert letter.digest == buried(heard._replace(at_us=9), "because").digest
    assert letter.digest != buried(heard._replace(key="other"), "because").digest


# Events


def test_events_tell_a_tasks_life() -> None:
    told = events_of(
        event(
            {
                "type": "task-sent",
                "uuid": "t1",
                "timestamp": 1.5,
                "name": "export.pdf",
                "args": "(1,)",
                "kwargs": "{}",
                "routing_key": "export",
                "hostname": "gen7@here",
            },
            {
                "type": "task-received",
                "uuid": "t1",
                "timestamp": 2,
                "hostname": "w1",
                "name": "export.pdf",
                "root_id": "t0",
            },
            {"type": "task-started", "uuid": "t1", "timestamp": 3, "hostname": "w1"},
            {
                "type": "task-succeeded",
                "uuid": "t1",
                "timestamp": 4,
                "hostname": "w1",
                "runtime": 0.25,
                "result": "3",
            },
        )
    )
    sent, received, started, ended = told.tasks
    assert (sent.told_by, sent.sent_us, sent.queue) == (SENDER, 1_500_000, "export")
    assert (received.told_by, received.received_us, received.root) == (RECEIVER, 2_000_000, "t0")
    assert (started.started_us, started.worker) == (3_000_000, "w1")
    assert (ended.runtime_us, ended.result, ended.ended_us) == (250_000, "3", 4_000_000)
    states = [TaskState.SENT, TaskState.RECEIVED, TaskState.STARTED, TaskState.SUCCEEDED]
    assert [one.state for one in told.tasks] == states


@pytest.mark.parametrize(
    ("kind", "more", "state", "error"),
    [
        ("task-failed", {"exception": "KeyError('a')"}, TaskState.FAILED, "KeyError('a')"),
        ("task-retried", {"exception": "E"}, TaskState.RETRYING, None),
        ("task-revoked", {"expired": True}, TaskState.REVOKED, "expired"),
        ("task-revoked", {"terminated": True}, TaskState.REVOKED, "terminated"),
        ("task-rejected", {}, TaskState.REJECTED, None),
        ("task-rejected", {"requeue": True}, TaskState.UNKNOWN, None),
    ],
)
def test_an_event_tells_where_the_task_stands(
    kind: str, more: dict[str, Any], state: TaskState, error: str | None
) -> None:
    (task,) = events_of(event({"type": kind, "uuid": "t", "timestamp": 1, **more})).tasks
    assert (task.state, task.error) == (state, error)


def test_signs_of_life_name_the_worker_and_other_events_are_counted() -> None:
    told = events_of(
        event(
            {"type": "worker-online", "hostname": "w1", "pid": 7, "timestamp": 1},
            {"type": "worker-heartbeat", "hostname": "w2", "timestamp": 1},
            {"type": "worker-offline", "hostname": "w2", "timestamp": 1},
            {"type": "task-of-mine", "uuid": "t", "timestamp": 1},
            {},
        )
    )
    assert (told.tasks, told.workers, told.ignored) == ([], [Worker("w1", 7), Worker("w2", 0)], 3)


# The record


def test_a_retried_task_stands_where_its_last_attempt_does() -> None:
    news = [
        Task("t", told_by=MESSAGE, heard_us=1),
        Task("t", received_us=2),
        Task("t", started_us=3),
        Task("t", retried_us=4),
        Task("t", retries=1, told_by=MESSAGE, heard_us=5),
    ]
    task = news[0]
    for one in news[1:]:
        task = merged(task, one)
    assert (task.state, task.retries) == (TaskState.RETRYING, 1)
    assert merged(task, Task("t", received_us=6)).state is TaskState.RECEIVED
    assert merged(task, Task("t", started_us=7)).state is TaskState.STARTED


def test_a_success_is_not_undone_by_a_second_delivery() -> None:
    done = Task("t", finality=4, ended_us=5)
    assert merged(done, Task("t", started_us=6)).state is TaskState.SUCCEEDED
    assert merged(done, Task("t", finality=3, ended_us=7)).state is TaskState.SUCCEEDED


def test_a_task_that_ended_after_it_was_revoked_shows_both() -> None:
    seen = Seen(merged(Task("t", revoked_us=3, finality=2), Task("t", finality=4, ended_us=5)))
    assert seen.finished_after_revoke
    assert not Seen(Task("t", revoked_us=3, finality=2)).finished_after_revoke


def test_a_status_of_the_tasks_own_making_tells_that_it_is_at_work() -> None:
    assert Result("HALFWAY", None).state is TaskState.STARTED


@pytest.mark.parametrize(
    ("stored", "value"),
    [(b"3", "3"), ("[1]", "[1]"), (pickle.dumps({"a": 1}), None), (b"\xff", None), ("", None)],
)
def test_a_result_is_read_if_it_is_json(stored: bytes | str, value: str | None) -> None:
    read, form = read_value(stored, len(stored))
    assert read == value
    assert form == "json" if value else (form or "").startswith("not opened")


def test_a_state_is_called_by_our_word_or_by_celerys() -> None:
    assert state_called("FAILURE") is state_called("failed") is TaskState.FAILED
    assert state_called("Retry") is TaskState.RETRYING
    assert state_called("lost") is None
