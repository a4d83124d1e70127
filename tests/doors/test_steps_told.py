"""Steps are told in words that fit them: what has no check was done, and nobody found it amiss."""

import pytest

from tests.doors.typed import Place

WORKER = """
    from reworker.worker import Worker

    class PoolWorker(Worker):
        def process(self, channel, basic_deliver, properties, body, output):
            self.ack(basic_deliver)
            step = body["parameters"]
            fails = f"{step['subcommand']} {step['hosts'][0]}" in step.get("fails", [])
            answer = {"status": "failed", "data": "it rains"} if fails else {"status": "completed"}
            self.send(properties.reply_to, properties.correlation_id, answer, exchange="")
"""
ROLL = """
    group: orchard
    name: Roll
    execution:
      - hosts: [web1]
        steps:
          - noop:TakeOut
          - pool:Deploy: {job: {check: pool:Is}}
"""
SERVED = ("--worker", "pool.py")


@pytest.fixture
def roll(place: Place) -> Place:
    place.write("pool.py", WORKER)
    place.write("roll.yaml", ROLL.replace("pool:Deploy: {job: {check: pool:Is}}", "pool:Deploy"))
    return place


def test_a_step_without_a_check_is_done_and_not_repaired(roll: Place) -> None:
    said = roll.type("run", "roll.yaml", *SERVED)
    assert said.lines[:2] == ["✓ noop:TakeOut@web1 done", "✓ pool:Deploy@web1 done"]
    assert said.lines[2].startswith("done: all 2 jobs in ")
    shown = roll.type("show")
    assert "  2 done" in shown.lines
    assert shown.lines[-1].split()[:3] == ["✓", "pool:Deploy@web1", "done"]
    assert roll.type("show", "--job", "pool:Deploy@web1").lines[0] == "✓ pool:Deploy@web1  done"
    assert roll.type("why", "pool:Deploy@web1").lines[:2] == [
        "✓ pool:Deploy@web1 is done",
        "  its worker said that it is done",
    ]
    assert "✓  pool:Deploy@web1   done" in roll.type("graph").out
    for fmt in ("svg", "dot", "mermaid"):
        drawn = roll.type("graph", "--format", fmt).out
        assert "done" in drawn
        assert "repaired" not in drawn


def test_programs_are_told_the_state_that_it_has(roll: Place) -> None:
    said = roll.type("run", "roll.yaml", *SERVED, "--json")
    assert '"state": "repaired"' in said.out
    found = roll.type("show", "--json").json
    assert [job["state"] for job in found["jobs"]] == ["repaired"] * 2
    assert found["counts"] == {"repaired": 2}


def test_a_job_that_was_repaired_is_counted_apart_from_steps_that_were_done(place: Place) -> None:
    place.write("made.py", """
        from pathlib import Path
        from headway import Job

        class Made(Job):
            def Check(self): assert Path("made").exists(), "it is not made"
            def Run(self): Path("made").touch()
    """)  # fmt: skip
    place.write("mixed.yaml", """
        group: orchard
        name: Mixed
        execution:
          - {hosts: [web1], steps: [noop:One, {python: "made:Made"}, noop:Two]}
    """)  # fmt: skip
    said = place.type("run", "mixed.yaml")
    assert "✔ Made@web1 repaired" in said.lines
    assert said.lines[3].startswith("done: 1 repaired, 2 done in ")
    said = place.type("run", "mixed.yaml", code=0)
    assert said.lines[-2].startswith("done: 1 passed, 2 done in ")


def test_a_plan_says_once_that_steps_without_a_check_run_every_time(roll: Place) -> None:
    said = roll.type("plan", "roll.yaml", *SERVED, code=2)
    assert said.lines == [
        "~ noop:TakeOut@web1  not checkable",
        "~ pool:Deploy@web1   not checkable",
        "2 not checkable (no Check: they run every time)",
    ]


def test_a_picture_of_a_plan_asks_workers_that_are_named(place: Place) -> None:
    place.write("pool.py", WORKER)
    place.write("roll.yaml", ROLL)
    said = place.type("graph", "roll.yaml", "--plan", code=1)
    assert "nobody serves these commands in this process:\n  pool" in said.err
    said = place.type("graph", "roll.yaml", "--plan", *SERVED)
    assert "✓  pool:Deploy@web1   done" in said.out
    place.type("run", "roll.yaml", *SERVED)
    said = place.type("graph", *SERVED, code=64)
    assert "--worker is for a TARGET" in said.err


def test_why_tells_of_a_next_try_that_did_not_start_what_kept_it(place: Place) -> None:
    place.write("pool.py", WORKER)
    place.write("lanes.yaml", """
        group: orchard
        name: Lanes
        execution:
          - hosts: [web1, web2]
            parallel: 2
            steps:
              - pool:Deploy: {fails: [Deploy web1], job: {tries: 2, retry_delay: 300}}
              - pool:Look: {fails: [Look web2]}
    """)  # fmt: skip
    place.type("run", "lanes.yaml", *SERVED, code=1)
    assert place.type("why", "pool:Deploy@web1").lines[:3] == [
        "✗ pool:Deploy@web1 is failed",
        "  try 1 of 2 failed: it rains",
        "  the next one did not start: the run had stopped, because pool:Look@web2 failed",
    ]
