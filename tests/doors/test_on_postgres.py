"""The command line on a store in PostgreSQL: the same, by a URL."""

from pathlib import Path

import pytest

from tests.doors.test_after_death import HELD, Held
from tests.doors.typed import ended
from tests.services.postgres import Postgres

pytestmark = pytest.mark.services


@pytest.fixture
def held(postgres: Postgres, tmp_path: Path) -> Held:
    """A place whose headway.toml names a database."""
    found = Held(tmp_path)
    found.write("headway.toml", f'db = "{postgres.url}"\n')
    found.write("held.py", HELD)
    found.signal("here")
    found.signal("go")
    return found


def test_a_killed_run_goes_on(held: Held) -> None:
    process = held.hold("run", "held.py:After")
    assert "is being worked on by" in held.type("resume", code=1).err
    process.kill()
    ended(process)
    assert "interrupted" in held.type("runs").out
    code, out = held.resume_and_let_go()
    assert code == 0, out
    assert "is recorded in postgresql://" in out
    assert held.trace == ["Before", "Held", "After", "clean Before"]
    assert held.type("logs").lines == ["Held | holding"] * 2
    assert not (held.directory / ".headway").exists()


def test_a_run_is_cancelled_and_settled_from_elsewhere(held: Held) -> None:
    process = held.hold("run", "held.py:Sent")
    process.kill()
    ended(process)
    held.type("resume", code=4)
    held.type("settle", "Send", "--again")
    process = held.hold("resume")
    held.type("cancel")
    (held.directory / "go").write_text("go")
    assert ended(process).code == 3
    assert held.states()["Sent"] == "cancelled"


def test_a_server_that_is_gone_is_unavailable(held: Held, postgres: Postgres) -> None:
    held.type("run", "held.py:Before")
    postgres.kill()
    said = held.type("runs", code=69)
    assert said.err.startswith("headway: ")
    postgres.restart()
    assert held.type("runs", "--json").json[0]["state"] == "succeeded"
