"""The example of two workers and five playbooks in a place of its own; what a run wrote down."""

import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from headway.adapters.opening import open_store
from headway.jobs.events import TryStarted, decode
from headway.jobs.plan import Plan
from tests.docs.console import LEFT_BY_USERS, PORTS, REPOSITORY, use_ports
from tests.doors.typed import Place

EXAMPLE = REPOSITORY / "examples" / "catalogue"
SERVED = (
    "--worker", "service.py", "--worker", "ticket.py", "--worker", "httprequest=httprequest.json",
)  # fmt: skip
PREPARED = """
    group: library
    name: Before all the others
    inputs: [ticket_id]
    execution:
      - hosts: [cat-a.example.net, cat-b.example.net, cat-c.example.net, cat-d.example.net]
        parallel: 4
        steps: [{service:Start: {service: catalogued}}]
      - {hosts: [localhost], steps: [ticket:Open]}
    """
# What differs from run to run: moments, attempts, who did it.
DIFFERS = ("at_us", "began_us", "attempt", "worker", "address", "replies", "owner")


class Release(NamedTuple):
    """A playbook and what it is given."""

    playbook: str
    inputs: tuple[str, ...] = ()
    code: int = 0
    serial: bool = True  # one step after another


class Library(Place):
    """A user in the directory of the example, where tickets and little machines are."""

    def __init__(self, directory: Path, port: str) -> None:
        super().__init__(directory, LIBRARY_ACCOUNT="s3cr3t")
        shutil.copytree(EXAMPLE, directory, dirs_exist_ok=True, ignore=LEFT_BY_USERS)
        use_ports(directory, dict.fromkeys(PORTS, port))
        self.fleet = directory / "little-fleet"
        url = f"http://127.0.0.1:{port}/health"
        ticket = ("--set", "ticket_id=T-77")
        order = ("--set", "ticket_id=T-78", "--set", "copies=5", "--set", "binding=cloth")
        self.releases = (
            Release("roll.yaml", ("--set", f"url={url}", *ticket)),
            Release("stop_here.yaml", code=1),
            Release("maintenance.yaml", serial=False),
            Release("stocktaking.yaml", ("--set-json", 'shelves=["poetry","maps"]')),
            Release("order.yaml", order),
        )

    def prepare(self) -> None:
        """A ticket, and a service on each of the four machines."""
        self.write("prepare.yaml", PREPARED)
        self.type("run", "prepare.yaml", "--set", "ticket_id=T-77", *SERVED, "--db", "before.db")

    def carry_out(self, release: Release, *options: str) -> None:
        self.type("run", release.playbook, *release.inputs, *options, code=release.code)

    def pids(self) -> dict[str, int]:
        """By host, the process of its service, where it lives: then it holds its file."""
        found = {}
        for file in self.fleet.glob("*/*.pid"):
            with file.open() as opened:
                try:
                    fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found[file.parent.name] = int(opened.read())
        return found

    def ticket(self, name: str) -> str:
        return (self.fleet / "tickets" / name).read_text().strip()

    def end(self) -> None:
        for pid in self.pids().values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


@contextmanager
def library(directory: Path, port: str) -> Iterator[Library]:
    """Its processes do not outlive the block. Several may share a port."""
    made = Library(directory, port)
    try:
        yield made
    finally:
        made.end()


def journal_of(db: str, *, serial: bool) -> list[tuple[str, ...]]:
    """The last run's journal but for what differs; one that is not serial, job by job.

    Without tries that began: that is written of those which last, as the clock has it.
    """
    with closing(open_store(db)) as store:
        run = store.find(None)
        names = Plan.from_json(store.plan(run.id)).names
        events = [decode(entry.row) for entry in store.journal(run.id)]
    found = [_written(event, names) for event in events if not isinstance(event, TryStarted)]
    return found if serial else sorted(found, key=lambda row: row[0])


def _written(event: Any, names: Any) -> tuple[str, ...]:
    blank = {name: None for name in DIFFERS if name in event._fields}
    return (names[event.key] if "key" in event._fields else "", repr(event._replace(**blank)))
