"""``headway doctor`` with nothing installed: what it says, and how it ends."""

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headway.adapters.opening import open_store
from headway.ports.store import Launch
from headway.runtime import clocks, ownership
from headway.runtime.limits import LIMITS, shown, value_of
from tests.doors.typed import Place

HOUR_US = 3600 * 10**6


def findings(place: Place, *words: str, code: int = 0) -> list[dict[str, Any]]:
    document = place.type("doctor", "--json", *words, code=code).json
    assert document["exit"] == code
    found: list[dict[str, Any]] = document["findings"]
    return found


def said(found: list[dict[str, Any]], grade: str) -> str:
    return "\n".join(one["says"] for one in found if one["grade"] == grade)


def begin_run(place: Place, began_us: int, *, alive: bool = True) -> str:
    """A run in the store, owned by this process, or by one that is dead."""
    owner = ownership.this_process()
    if not alive:
        owner = owner._replace(started="another")
    launch = Launch("ship.py", "Root", {}, ".", {}, [], "somebody", "0", "3")
    run = clocks.new_id()
    with closing(open_store(place.directory / ".headway/headway.db")) as store:
        store.begin(run, launch, "{}", 1, owner, began_us)
    return run


def test_where_nothing_is_yet_there_is_no_problem_and_nothing_is_made(place: Place) -> None:
    told = place.type("doctor")
    assert "the first run makes" in told.out
    assert told.lines[-1] == "nothing to do"
    assert list(place.directory.iterdir()) == []


WITHOUT = """
import sys
for name in ("pika", "psycopg", "yaml", "rich"):
    sys.modules[name] = None
from headway.doors.cli.entry import entered
sys.exit(entered(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((), 0, "nothing to do"),
        (("--bus", "amqp://a:b@127.0.0.1:1"), 1, "pip install 'headway[rabbitmq]'"),
        (("--db", "postgresql://a@127.0.0.1:1/b"), 1, "pip install 'headway[postgres]'"),
    ],
    ids=["embedded", "RabbitMQ", "PostgreSQL"],
)
def test_it_needs_nothing_that_is_not_asked_for(
    place: Place, words: tuple[str, ...], code: int, told: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "doctor", *words],
        cwd=place.directory, env=place.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, "")
    assert told in done.stdout


def test_it_says_every_limit_in_force_as_the_code_has_it(place: Place) -> None:
    told = place.type("doctor").out.partition("limits in force")[2]
    for limit in LIMITS:
        if limit.where.startswith(("adapters.rabbitmq.", "adapters.postgres.")):
            continue  # nobody uses them here
        value = shown(limit, value_of(limit))
        assert f"{value}  {limit.says.replace('`', '')[:20]}" in told


def test_lines_fit_a_terminal_of_80_columns(two_jobs: Place) -> None:
    two_jobs.type("run", "hello.py")
    told = two_jobs.type("doctor", env={"COLUMNS": "80"})
    assert [line for line in told.lines if len(line) > 80 and "/" not in line] == []


def test_a_store_that_is_well(two_jobs: Place) -> None:
    two_jobs.type("run", "hello.py")
    found = findings(two_jobs)
    assert "SQLite's quick check finds nothing wrong" in said(found, "ok")
    assert "journal mode WAL" in said(found, "ok")
    assert "only with --durable power" in said(found, "ok")
    assert "no run is under way" in said(found, "ok")
    assert said(found, "warning") == ""


def test_what_a_commit_survives_is_what_was_chosen(two_jobs: Place) -> None:
    two_jobs.type("run", "hello.py")
    found = findings(two_jobs, "--durable", "power")
    assert "survive the process and a loss of power" in said(found, "ok")


def test_who_works_on_a_run_is_told(place: Place) -> None:
    run = begin_run(place, clocks.now_us())
    assert f"run {run[:12]} (ship.py) is under way: process {os.getpid()}" in said(
        findings(place), "ok"
    )


def test_a_run_without_a_living_owner_is_a_warning_with_the_line_to_type(place: Place) -> None:
    run = begin_run(place, clocks.now_us(), alive=False)
    (warning,) = [one for one in findings(place) if one["grade"] == "warning"]
    assert "lives no more" in warning["says"]
    assert warning["commands"] == [f"headway resume {run[:12]}"]


def test_a_run_from_the_future_tells_of_a_wrong_clock(place: Place) -> None:
    begin_run(place, clocks.now_us() + HOUR_US)
    assert "a clock is wrong" in said(findings(place), "warning")


def test_a_damaged_store_is_a_problem(two_jobs: Place) -> None:
    two_jobs.type("run", "hello.py")
    file = two_jobs.directory / ".headway/headway.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((size,),) = connection.execute("PRAGMA page_size")
    content = bytearray(file.read_bytes())
    content[size : 3 * size] = os.urandom(2 * size)
    file.write_bytes(content)
    assert "damaged" in said(findings(two_jobs, code=1), "problem")


def test_a_store_that_others_may_write_is_a_problem(two_jobs: Place) -> None:
    two_jobs.type("run", "hello.py")
    file = two_jobs.directory / ".headway/headway.db"
    file.chmod(0o666)
    (problem,) = [one for one in findings(two_jobs, code=1) if one["grade"] == "problem"]
    assert "what resume executes" in problem["says"]
    assert problem["commands"] == [f"chmod go-w {file} {file.parent}"]


def test_a_store_of_an_older_schema_is_a_problem_and_stays_as_it_is(two_jobs: Place) -> None:
    two_jobs.type("run", "hello.py")
    file = two_jobs.directory / ".headway/headway.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE meta SET version = -1")  # older than any that there was
        connection.commit()
        found = findings(two_jobs, code=1)
        assert "it has schema -1, this Headway needs" in said(found, "problem")
        assert connection.execute("SELECT version FROM meta").fetchone() == (-1,)


def test_a_store_of_a_newer_headway_is_a_problem(two_jobs: Place) -> None:
    two_jobs.type("run", "hello.py")
    with closing(sqlite3.connect(two_jobs.directory / ".headway/headway.db")) as connection:
        connection.execute("UPDATE meta SET version = 99, oldest_reader = 99")
        connection.commit()
    assert "newer Headway" in said(findings(two_jobs, code=1), "problem")


def test_what_is_no_store_is_a_problem(place: Place) -> None:
    place.write("notes.txt", "These are a few notes, and no database at all.\n" * 50)
    found = findings(place, "--db", "notes.txt", code=1)
    assert "no store of Headway's" in said(found, "problem")


def test_a_store_that_was_named_and_is_not_there_is_a_warning(place: Place) -> None:
    found = findings(place, "--db", "stroe.db")
    assert "there is no stroe.db yet" in said(found, "warning")
    assert not (place.directory / "stroe.db").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="everything may be written by root")
def test_a_place_where_no_store_can_be_made_is_a_problem(place: Place) -> None:
    place.directory.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert "may not be written" in said(findings(place, code=1), "problem")


def test_a_server_that_does_not_answer_ends_it_with_69(place: Place) -> None:
    """Nobody listens at port 1."""
    for words in (
        ("--db", "postgresql://nobody@127.0.0.1:1/none"),
        ("--bus", "amqp://nobody:x@127.0.0.1:1"),
    ):
        found = findings(place, *words, code=69)
        assert "127.0.0.1" in said(found, "problem")


def test_guest_beyond_this_machine_is_a_problem(place: Place) -> None:
    found = findings(place, "--bus", "amqp://guest:guest@mq.example.org", code=1)
    assert "whose password everybody knows" in said(found, "problem")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--bus amqp://a:b@c --mq mq.json", "give one"),
        ("--bus http://example.org", "amqp://"),
        ("--mq nowhere.json", "nowhere.json cannot be read"),
        ("--mq mq.json", "lacks user, password"),
        ("--for worker:frob", "name one with --bus or --mq"),
        ("--bus amqp://a:b@127.0.0.1:1 --for worker", "worker:COMMAND"),
        ("--bus amqp://a:b@127.0.0.1:1 --for king", "worker:COMMAND"),
        ("--db mysql://x:secret@y/z", "--db: "),
        ("--durable maybe", "power"),
    ],
)
def test_what_is_mistyped_is_told(place: Place, words: str, told: str) -> None:
    place.write("mq.json", '{"server": "localhost", "vhost": "/"}')
    ended = place.type("doctor", *words.split(), code=64)
    assert told in ended.err
    assert "secret" not in ended.err
    assert ended.out == ""


def test_a_password_is_shown_nowhere(place: Place) -> None:
    url = "amqp://frob:very-secret@127.0.0.1:1"
    for words in (("doctor", "--bus", url), ("doctor", "--json", "--bus", url)):
        told = place.type(*words, code=69)
        assert "very-secret" not in told.out + told.err


def test_not_a_byte_of_a_store_is_changed(two_jobs: Place) -> None:
    two_jobs.type("run", "hello.py")
    file: Path = two_jobs.directory / ".headway/headway.db"
    before = file.read_bytes()
    two_jobs.type("doctor")
    assert file.read_bytes() == before
