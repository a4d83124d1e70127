"""A run that waits for a core, or for a lock, is shown and explained, and can be given up."""

from contextlib import closing

import pytest

from headway.adapters.opening import open_store
from headway.jobs.plan import Plan
from headway.jobs.states import RunState
from headway.ports.leases import CORE
from headway.runtime import ownership
from headway.testing.stores import launch, run_id
from tests.doors.typed import Place

FIRST, SECOND = run_id(1), run_id(2)


@pytest.fixture
def queued(two_jobs: Place) -> Place:
    """A place with two runs that want one lock, of which none was taken up."""
    two_jobs.type("run", "hello.py")
    with closing(open_store(two_jobs.directory / ".headway/headway.db")) as store:
        plan = store.plan(store.find(None).id)
        for number, id in enumerate((FIRST, SECOND), 1):
            given = launch(target="playbook:ab@1", locks=["catalogue"], inputs={})
            jobs = len(Plan.from_json(plan))
            store.enqueue(id, given, plan, jobs, 4_000_000_000_000_000 + number)
    return two_jobs


def test_a_queued_run_is_listed_and_shown(queued: Place) -> None:
    assert [run["state"] for run in queued.type("runs", "--json").json] == [
        *("queued", "queued", "succeeded")
    ]
    first, second = queued.type("show", FIRST), queued.type("show", SECOND)
    assert first.lines[0].endswith("queued")
    assert "  it waits for a core to take it up (headway core)" in first.lines
    assert f"  it waits for the lock catalogue, which run {FIRST[:12]} of me has" in second.lines
    assert "took" not in first.out


def test_why_says_what_a_queued_run_waits_for(queued: Place) -> None:
    said = queued.type("why", SECOND)
    assert said.lines == [
        f"no job of run {SECOND[:12]} is in trouble: it is queued",
        f"  it waits for the lock catalogue, which run {FIRST[:12]} of me has",
    ]
    said = queued.type("why", FIRST, "Welcome")
    assert "  it waits for a core to take it up (headway core)" in said.lines
    assert "resume" not in said.out


def test_a_queued_run_is_a_cores_to_take_up(queued: Place) -> None:
    for verb in ("resume", "retry"):
        said = queued.type(verb, FIRST, code=1)
        assert f"run {FIRST[:12]} is queued" in said.err
        assert f"headway cancel {FIRST[:12]} gives it up" in said.err.replace("\n", " ")


def test_a_queued_run_can_be_cancelled_and_the_next_has_the_lock(queued: Place) -> None:
    said = queued.type("cancel", FIRST, "--why", "a change of mind")
    assert said.lines == [f"run {FIRST[:12]} is cancelled, before its turn came"]
    assert queued.type("show", FIRST, "--json").json["state"] == "cancelled"
    assert "waits for a core" in queued.type("show", SECOND).out


def test_the_doctor_tells_runs_that_wait_in_vain(queued: Place) -> None:
    warned = queued.type("doctor", "--json").json["findings"]
    said = [one["says"] for one in warned if one["grade"] == "warning"]
    assert sum("is queued, and no core is there" in text for text in said) == 2
    with closing(open_store(queued.directory / ".headway/headway.db")) as store:
        store.lease(CORE, ownership.this_process(), 60.0)
        assert store.find(FIRST).state is RunState.QUEUED
    found = queued.type("doctor", "--json").json["findings"]
    assert not any("no core is there" in one["says"] for one in found)
    assert any("a core is there: process" in one["says"] for one in found)
