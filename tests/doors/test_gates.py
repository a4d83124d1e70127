"""Gates at the command line, in one process: shown, answered, and waited at again after a death."""

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.doors.typed import DEADLINE_S, Place, ended

GATED = """
    group: shop
    name: Gated
    execution:
      - hosts: [web1]
        steps:
          - noop:First
          - gate:Approve: {message: "Does web1 look well?"}
          - noop:Second
"""
NOTE = "waits for an answer since"


@pytest.fixture
def gated(place: Place) -> Place:
    place.write("gated.yaml", GATED)
    return place


@pytest.fixture
def begun(gated: Place) -> "Iterator[subprocess.Popen[str]]":
    """A run that waits at its gate."""
    with ExitStack() as stack:
        process = stack.enter_context(gated.begin("run", "gated.yaml", "--plain"))
        stack.callback(process.kill)
        until_it_waits(gated)
        yield process


def until_it_waits(place: Place) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while NOTE not in place.type("show", code=None).out:
        assert time.monotonic() < deadline, "it came to no gate"
        threading.Event().wait(0.1)


def test_a_plan_says_that_a_person_is_asked(gated: Place) -> None:
    said = gated.type("plan", "gated.yaml", code=2)
    assert "gate:Approve@web1  not checkable  a person is asked when it comes to this" in said.out


def test_a_gate_is_checked_with_its_playbook(gated: Place) -> None:
    gated.type("playbook", "check", "gated.yaml")


def test_a_gate_is_shown_while_it_waits_and_approved(
    gated: Place, begun: "subprocess.Popen[str]"
) -> None:
    why = gated.type("why", "gate:Approve@web1").lines
    assert why[0].endswith("gate:Approve@web1 is running")
    assert NOTE in why[1]
    assert ": headway approve " in why[1]
    assert why[2] == "  it asks: Does web1 look well?"
    assert NOTE in gated.type("why").out
    answer = gated.type("approve", "--why", "it does", "--json").json
    assert answer["answer"] == "gate:Approve@web1 is approved"
    said = ended(begun)
    assert said.code == 0
    assert "waits for an answer (headway approve): Does web1 look well?" in said.out
    assert "✓ gate:Approve@web1 done" in said.out
    assert "approved it" in (because := gated.type("why", "gate:Approve@web1").out)
    assert because.rstrip().endswith(": it does")


def test_a_gate_that_is_rejected_stops_the_release(
    gated: Place, begun: "subprocess.Popen[str]"
) -> None:
    run = gated.last_run()
    gated.type("approve", run, "gate:Approve@web1", "--reject", "--why", "it smells")
    said = ended(begun)
    assert said.code == 1
    assert "rejected it: it smells" in said.out
    assert "noop:Second@web1" not in said.out.split("blocks")[0]


def test_a_killed_run_waits_again_and_takes_the_answer_it_was_given_meanwhile(
    gated: Place, begun: "subprocess.Popen[str]"
) -> None:
    begun.send_signal(signal.SIGKILL)
    begun.wait(DEADLINE_S)
    assert NOTE in gated.type("show").out
    said = gated.type("approve")
    assert "gate:Approve@web1 is approved, once the run goes on (headway resume" in said.out
    assert "✓ noop:Second@web1 done" in gated.type("resume").out


def test_a_run_stopped_at_its_gate_says_how_to_go_on(
    gated: Place, begun: "subprocess.Popen[str]"
) -> None:
    begun.send_signal(signal.SIGINT)
    said = ended(begun)
    assert said.code == 130
    run = gated.last_run()[:12]
    assert f"headway approve {run}" in said.out
    assert f"headway resume {run}" in said.out


def test_where_nobody_waits_nothing_is_approved(gated: Place) -> None:
    gated.write("free.yaml", GATED.replace("gate:Approve: {message", "noop:X: {text"))
    gated.type("run", "free.yaml")
    assert "is over: it is succeeded" in gated.type("approve", code=1).err


def test_a_paused_run_starts_nothing_until_it_is_told_to_go_on(
    gated: Place, begun: "subprocess.Popen[str]"
) -> None:
    said = gated.type("pause", "--why", "lunch")
    assert "paused: what runs ends, nothing new starts; headway resume" in said.out
    shown = gated.type("show").lines
    assert shown[0].endswith("running, paused")
    assert "  running, paused  " in gated.type("runs").lines[1]
    assert gated.type("runs", "--json").json[0]["paused"] is True
    assert any("it is paused by" in line and "(lunch): headway resume" in line for line in shown)
    gated.type("approve")
    assert "it is paused by" in gated.type("why", "noop:Second@web1").out
    assert "it goes on" in gated.type("resume").out
    said = ended(begun)
    assert said.code == 0
    assert gated.type("runs", "--json").json[0]["paused"] is False
    assert said.out.index("told to go on by") < said.out.index("✓ noop:Second@web1 done")


def test_a_paused_run_that_was_killed_goes_on_when_it_is_resumed(
    gated: Place, begun: "subprocess.Popen[str]"
) -> None:
    gated.type("pause")
    gated.type("approve")
    begun.send_signal(signal.SIGKILL)
    begun.wait(DEADLINE_S)
    assert gated.type("show").lines[0].endswith("interrupted, paused")
    assert "✓ noop:Second@web1 done" in gated.type("resume").out
