"""Runs that want one lock wait for each other, say so, and can be left."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.doors.typed import Place, begun, ended, told

HOLD = """
    from pathlib import Path
    from reworker.worker import Worker

    class HoldWorker(Worker):
        def process(self, channel, basic_deliver, properties, body, output):
            self.ack(basic_deliver)
            Path("here").write_text("here")
            Path("go").read_text()
            answer = {"status": "completed"}
            self.send(properties.reply_to, properties.correlation_id, answer, exchange="")
"""
LOCKED = """
    group: shop
    name: {name}
    lock: [catalogue, stock]
    execution:
      - hosts: [web1]
        steps: ["{step}"]
"""
HOLDS = ("run", "holds.yaml", "--worker", "hold.py")


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("hold.py", HOLD)
    place.write("holds.yaml", LOCKED.format(name="Holds", step="hold:Step"))
    place.write("waits.yaml", LOCKED.format(name="Waits", step="noop:Step"))
    place.signal("here")
    place.signal("go")
    return place


@contextmanager
def holding(place: Place) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """A run that has the locks and is in its step."""
    with begun(place, *HOLDS) as process:
        (place.directory / "here").read_text()
        yield process, place.last_run()


def holders(place: Place) -> list[tuple[str, str, bool]]:
    found = place.type("locks", "--json").json
    return [(one["tag"], one["run"], one["holds"]) for one in found]


def test_a_run_waits_for_the_locks_of_another_and_says_so(shop: Place) -> None:
    with holding(shop) as (holder, first), begun(shop, "run", "waits.yaml") as waiter:
        said = told(waiter, "it waits for the lock catalogue")
        assert f"which run {first[:12]} of " in said
        told(waiter, "it waits for the lock stock")
        second = shop.last_run()
        assert holders(shop) == [
            ("catalogue", first, True),
            ("catalogue", second, False),
            ("stock", first, True),
            ("stock", second, False),
        ]
        assert [line.split()[:3] for line in shop.type("locks").lines[1:3]] == [
            ["catalogue", "has", "it"],
            ["catalogue", "waits", second[:12]],
        ]
        for words in (["why", second], ["why", second, "noop:Step@web1"], ["show", second]):
            assert (
                f"it waits for the lock catalogue, which run {first[:12]}" in shop.type(*words).out
            )
        (shop.directory / "go").write_text("go")
        assert ended(holder).code == 0
        last = ended(waiter)
    assert last.code == 0
    assert last.lines[0] == "it has its locks and goes on"
    assert "it waits" not in last.out
    assert shop.type("locks").lines == ["no run has a lock"]


def test_who_leaves_while_a_run_waits_gives_its_place_up(shop: Place) -> None:
    with holding(shop) as (holder, first):
        with begun(shop, "run", "waits.yaml") as waiter:
            told(waiter, "it waits for the lock stock")
            waiter.send_signal(signal.SIGINT)
            said = ended(waiter)
        second = shop.last_run()
        assert said.code == 130
        assert f"headway resume {second[:12]}" in said.out
        assert {run for _, run, _ in holders(shop)} == {first}
        assert shop.type("show", second, "--json").json["state"] == "cancelled"
        with begun(shop, "resume", second) as waiter:
            told(waiter, "it waits for the lock stock")
            (shop.directory / "go").write_text("go")
            assert ended(waiter).code == 0
        assert ended(holder).code == 0


def test_a_run_that_waits_for_a_dead_one_says_what_to_type(shop: Place) -> None:
    with holding(shop) as (holder, first), begun(shop, "run", "waits.yaml") as waiter:
        told(waiter, "it waits for the lock stock")
        holder.kill()
        advice = told(waiter, "nobody works on run")
        assert f"headway cancel {first[:12]} ends it" in advice
        assert advice.strip() in [line.strip() for line in shop.type("locks").lines]
        shop.type("cancel", first, "--no-cleanup")
        assert ended(waiter).code == 0


def test_a_run_that_waits_can_be_cancelled_from_elsewhere(shop: Place) -> None:
    with holding(shop) as (holder, first), begun(shop, "run", "waits.yaml") as waiter:
        told(waiter, "it waits for the lock stock")
        second = shop.last_run()
        assert "cancelling" in shop.type("cancel", second, "--why", "a change of mind").out
        assert ended(waiter).code == 3
        assert {run for _, run, _ in holders(shop)} == {first}
        (shop.directory / "go").write_text("go")
        assert ended(holder).code == 0


def test_a_program_is_told_of_locks_in_json_and_the_quiet_only_of_dead_runs(shop: Place) -> None:
    with (
        holding(shop) as (holder, first),
        begun(shop, "run", "waits.yaml", "--json") as waiter,
        begun(shop, "run", "waits.yaml", "-q") as quiet,
    ):
        document = json.loads(told(waiter, "locks-awaited"))
        assert [(one["tag"], one["run"]) for one in document["locks"]] == [
            ("catalogue", first),
            ("stock", first),
        ]
        holder.kill()
        assert json.loads(told(waiter, "locks-awaited"))["locks"][0]["state"] == "interrupted"
        assert quiet.stderr is not None
        assert "it waits for the lock catalogue" in quiet.stderr.readline()
        assert "nobody works on run" in quiet.stderr.readline()
        shop.type("cancel", first, "--no-cleanup")
        assert told(waiter, "locks-taken")
        assert ended(waiter).code == 0
        assert ended(quiet).out == ""
