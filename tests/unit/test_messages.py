"""What messages are read from and written to, and how mistakes in them are named."""

from typing import Any

import pytest

from headway.errors import WireError
from headway.wire import names
from headway.wire.messages import (
    ABSENT,
    Claim,
    JobAnswer,
    JobRequest,
    Notification,
    Presence,
    Response,
    StepMessage,
    WireMessage,
    step_to_notification_format,
)


@pytest.mark.parametrize(
    ("kind", "plain", "says"),
    [
        (StepMessage, [], "the step message is a list: it must be an object"),
        (StepMessage, {}, "the step message lacks parameters"),
        (StepMessage, {"parameters": 3}, "parameters of the step message is 3"),
        (
            StepMessage,
            {"parameters": {}, "notify": {"failed": {"email": ["a", 1]}}},
            r"notify of the step message.failed.email\[1\] is 1: it must be a text",
        ),
        (StepMessage, {"parameters": {}, "notify": {"over": {}}}, "has a key 'over'"),
        (Response, {"status": "done"}, "status of the response is 'done': it must be started, "),
        (Response, {"status": []}, "status of the response is a list"),
        (JobRequest, {"group": "a", "playbook_id": "x"}, "it must match"),
        (JobRequest, {"group": "a", "playbook_id": "٣" * 24}, "it must match"),
        (JobAnswer, {"id": 3}, "id of the job answer is 3"),
        (Claim, {"attempt": "a", "worker": "b", "give_back": 1}, "must be true or false"),
        (Notification, {"slug": "x" * 81}, "has 81 characters: at most 80"),
        (
            Presence,
            {"worker": "w", "command": "c", "queue": "q", "since_us": -1, "interval_s": 1},
            "since_us of the presence is -1",
        ),
    ],
)
def test_a_mistake_in_a_message_is_named_with_its_place(
    kind: type[WireMessage], plain: Any, says: str
) -> None:
    with pytest.raises(WireError, match=says):
        kind.from_plain(plain)


def test_a_key_that_a_message_does_not_know_is_kept_and_written_back() -> None:
    response = Response.decode(b'{"status":"failed","why":["x"],"message":"no"}')
    assert (response.extra, response.message, response.data) == ({"why": ["x"]}, "no", ABSENT)
    assert Response.decode(response.encode()) == response


def test_null_and_nothing_are_two_things() -> None:
    assert Response.decode(b'{"status":"completed","data":null}').data is None
    assert Response(status="completed").encode() == b'{"status":"completed"}'


def test_a_message_that_its_readers_would_refuse_is_not_written() -> None:
    with pytest.raises(WireError, match="status"):
        Response(status="finished").encode()


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("MegafrobberWorker", "megafrobber"),
        ("HTTPRequestWorker", "httprequest"),
        ("Frob", "frob"),
        ("Worker", "worker"),
    ],
)
def test_a_class_serves_the_command_of_its_name(name: str, command: str) -> None:
    assert names.command_of(name) == command


def test_a_step_is_a_command_and_a_subcommand() -> None:
    assert names.parse_step("megafrobber:frob") == ("megafrobber", "frob")
    assert names.parse_step("no-op:Ok") == ("no-op", "Ok")
    assert names.worker_key("frob") == "worker.frob"
    for wrong in ("", "frob", "a:", ":B", "a::B", "a:b:c", "a.b:C", "a:ü"):
        with pytest.raises(WireError, match="is no step"):
            names.parse_step(wrong)


def test_a_notification_can_come_as_a_step() -> None:
    notification = {"slug": "s", "message": "m", "phase": "failed", "target": ["t"]}
    body = {"parameters": {"command": "emailnotify", **notification}}
    assert step_to_notification_format(body) == notification
    with pytest.raises(KeyError, match="slug"):
        step_to_notification_format({"parameters": {}})
