"""A release's state as the original release engine told it."""

from typing import Any

import pytest

from headway.jobs.states import JobState, RunState
from headway.releases.compiling import compile_playbook
from headway.releases.document import Document, Located
from headway.releases.reading import playbook_of
from headway.releases.state_record import Standing, state_record

PLAYBOOK = {
    "group": "shop",
    "name": "ship",
    "execution": [
        {
            "description": "web",
            "hosts": ["web1", "web2"],
            "preflight": ["noop:Look"],
            "steps": [
                "noop:Drain",
                {"noop:Ship": {"cart": "demo", "job": {"cleanup": {"noop:Back": {}}}}},
                "noop:Drain",
            ],
        },
        {"description": "db", "hosts": ["db1"], "steps": [{"noop:Migrate": {"dynamic": ["cart"]}}]},
    ],
}
SHIP = {"noop:Ship": {"cart": "demo"}}


def told(state: RunState, **stand: JobState) -> dict[str, Any]:
    """The record where the jobs of these names stand so, and all others are done."""
    playbook = playbook_of(Document("p", Located.of(PLAYBOOK)))
    names = compile_playbook(playbook, lambda ref: pytest.fail(ref)).plan.names
    jobs = [stand.get(name, JobState.REPAIRED) for name in names]
    assert set(stand) <= set(names)
    standing = Standing("r1", "p1", "anna", state, "then", "now", {"cart": "a"}, [], names, jobs)
    return state_record(playbook, standing)


def test_a_release_that_is_complete_has_nothing_left() -> None:
    found = told(RunState.SUCCEEDED)
    assert (found["_id"], found["playbook_id"], found["group"]) == ("r1", "p1", "shop")
    assert (found["user_id"], found["created"], found["ended"]) == ("anna", "then", "now")
    assert found["failed"] is False
    assert found["dynamic"] == {"cart": "a"}
    assert found["active_step"] is None
    assert found["execution"] == []
    assert [one["hosts"] for one in found["executed"]] == [["web1"], ["web2"]]
    assert found["active_sequence"]["hosts"] == ["db1"]
    assert found["active_sequence"]["steps"] == []
    assert "failed_step" not in found


def test_the_active_sequence_shrinks_from_the_front() -> None:
    found = told(
        RunState.RUNNING,
        **{
            "noop:Ship@web2": JobState.RUNNING,
            "noop:Drain@web2#2": JobState.PENDING,
            "noop:Migrate@db1": JobState.PENDING,
        },
    )
    assert found["ended"] is None
    assert found["failed"] is False
    assert found["active_step"] == SHIP
    active = found["active_sequence"]
    assert (active["hosts"], active["completed_steps"]) == (["web2"], ["noop:Drain"])
    assert active["steps"] == [SHIP, "noop:Drain"]
    assert [one["hosts"] for one in found["execution"]] == [["db1"]]
    assert found["execution"][0]["steps"] == [{"noop:Migrate": {"dynamic": ["cart"]}}]
    assert [one["hosts"] for one in found["executed"]] == [["web1"]]


def test_a_failure_names_its_step_and_what_was_skipped() -> None:
    found = told(
        RunState.FAILED,
        **{
            "noop:Ship@web1": JobState.FAILED,
            "noop:Drain@web1#2": JobState.BLOCKED,
            "noop:Drain@web2": JobState.BLOCKED,
            "noop:Ship@web2": JobState.BLOCKED,
            "noop:Drain@web2#2": JobState.BLOCKED,
            "noop:Migrate@db1": JobState.BLOCKED,
        },
    )
    assert (found["ended"], found["failed"]) == ("now", True)
    assert found["failed_step"] == SHIP
    assert found["failed_sequence"]["hosts"] == ["web1"]
    assert found["failed_sequence"]["completed_steps"] == ["noop:Drain"]
    assert [one["hosts"] for one in found["skipped_sequences"]] == [["web2"], ["db1"]]
    assert found["executed"] == []


def test_a_release_that_was_cancelled_counts_as_failed() -> None:
    found = told(RunState.CANCELLED, **{"noop:Migrate@db1": JobState.CANCELLED})
    assert found["failed"] is True
    assert "failed_step" not in found


def test_a_preflight_step_can_be_what_failed() -> None:
    found = told(
        RunState.FAILED,
        **{"noop:Look@web2": JobState.FAILED, "noop:Drain@web2": JobState.BLOCKED},
    )
    assert found["failed_step"] == "noop:Look"
    assert found["failed_sequence"]["hosts"] == ["web2"]
