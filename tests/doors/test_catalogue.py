"""Playbooks with workers of one's own: alone, and on RabbitMQ with PostgreSQL, the same."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.console import free_ports
from tests.doors.catalogue import SERVED, Library, journal_of, library
from tests.doors.typed import HEADWAY
from tests.services.postgres import Postgres
from tests.services.rabbitmq import RabbitMQ
from tests.services.worker_process import worker_process

WORKERS = (
    ("noop",),
    ("sleep",),
    ("httprequest", "-w", "httprequest.json"),
    ("service.py", "--concurrency", "4"),
    ("ticket.py",),
)


@pytest.fixture
def port() -> str:
    return free_ports(1)[0]


@pytest.fixture
def here(tmp_path: Path, port: str) -> Iterator[Library]:
    with library(tmp_path / "here", port) as made:
        made.prepare()
        yield made


def test_the_playbooks_do_what_they_say(here: Library) -> None:
    roll, stop_here, maintenance, stocktaking, order = here.releases
    before = here.pids()
    here.carry_out(roll, *SERVED)
    after = here.pids()
    assert {host for host in before if before[host] != after[host]} == {
        "cat-a.example.net",
        "cat-b.example.net",
    }
    assert here.ticket("T-77") == "closed"
    jobs = here.type("show", "--json").json["jobs"]
    assert [job["job"].partition("@")[0] for job in jobs] == [
        *["noop:Announce", "service:Restart", "sleep:Seconds", "httprequest:Get"] * 2,
        "ticket:Close",
    ]
    ends = [job["ended_at"] for job in jobs]
    assert ends == sorted(ends)

    here.carry_out(stop_here)
    states = {job["job"]: job["state"] for job in here.type("show", "--json").json["jobs"]}
    assert states == {
        "noop:Fine@localhost": "repaired",
        "noop:Fail@localhost": "failed",
        "noop:Never@localhost": "blocked",
    }

    here.carry_out(maintenance, *SERVED)
    again = here.pids()
    assert again.keys() == after.keys()
    assert not set(again.values()) & set(after.values())  # all were stopped, and started

    here.carry_out(stocktaking, *SERVED)
    for host in ("cat-a.example.net", "cat-b.example.net"):
        assert (here.fleet / host / "shelves").read_text() == "poetry\nmaps\n"
    plan = ("plan", stocktaking.playbook, *stocktaking.inputs, *SERVED)
    assert "4 done, 2 not checkable" in here.type(*plan, code=2).out

    here.carry_out(order, *SERVED)
    assert here.ticket("T-78") == "closed"
    for words in (["show", "--json"], ["logs"], ["why", "noop:Order@localhost"]):
        assert "s3cr3t" not in here.type(*words).out
    assert b"s3cr3t" not in (here.directory / ".headway" / "headway.db").read_bytes()


@pytest.mark.services
def test_a_run_writes_the_same_down_in_one_process_and_on_rabbitmq_with_postgresql(
    here: Library, rabbitmq: RabbitMQ, postgres: Postgres, tmp_path: Path, port: str
) -> None:
    own = str(here.directory / ".headway" / "headway.db")
    with ExitStack() as stack:
        there = stack.enter_context(library(tmp_path / "there", port))
        there.prepare()
        serving = [
            stack.enter_context(
                worker_process(
                    HEADWAY, "worker", *words, "--bus", rabbitmq.url, cwd=there.directory
                )
            )
            for words in WORKERS
        ]
        for worker in serving:
            worker.wait_for("serving")
        for alone, far in zip(here.releases, there.releases, strict=True):
            here.carry_out(alone, *SERVED)
            there.carry_out(far, "--bus", rabbitmq.url, "--db", postgres.url)
            journals = [journal_of(db, serial=far.serial) for db in (own, postgres.url)]
            assert journals[0] == journals[1], far.playbook
        assert there.ticket("T-77") == there.ticket("T-78") == "closed"
        assert not (there.directory / ".headway").exists()
