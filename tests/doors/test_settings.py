"""Which store a command works with: defaults < headway.toml < environment < arguments."""

from pathlib import Path

import pytest

from headway.doors.cli.exits import Mistyped
from headway.doors.cli.settings import Settings, environments_settled, found_upwards, settled
from headway.errors import Refused
from tests.doors.typed import Place


def test_without_a_word_the_store_is_in_the_working_directory(tmp_path: Path) -> None:
    assert settled({}, {}, tmp_path) == Settings(
        str(tmp_path / ".headway/headway.db"), "", "process"
    )


def test_a_store_above_is_found(tmp_path: Path) -> None:
    store = tmp_path / ".headway" / "headway.db"
    store.parent.mkdir()
    store.touch()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert settled({}, {}, below).db == str(store)


def test_each_source_outdoes_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "headway.toml").write_text('db = "file.db"\ndurable = "power"\n')
    below = tmp_path / "below"
    below.mkdir()
    from_file = settled({}, {}, below)
    assert from_file == Settings(str(tmp_path / "file.db"), str(tmp_path / "headway.toml"), "power")
    environment = {"HEADWAY_DB": "there.db", "HEADWAY_DURABLE": "process"}
    assert settled({}, environment, below) == Settings("there.db", "HEADWAY_DB", "process")
    arguments = {"db": "here.db", "durable": "power"}
    assert settled(arguments, environment, below) == Settings("here.db", "--db", "power")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("db = 7", "must be a text in quotes"),
        ("bd = 'x'", "sets 'bd', which means nothing"),
        ("db = ", "cannot be read"),
        ("durable = 'maybe'", "it is process or power"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "headway.toml").write_text(text)
    with pytest.raises(Mistyped, match=part) as caught:
        settled({}, {}, tmp_path)
    assert str(tmp_path / "headway.toml") in str(caught.value)


def test_another_users_store_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "headway.toml").touch()
    monkeypatch.setattr("os.geteuid", lambda: (tmp_path / "headway.toml").stat().st_uid + 1)
    with pytest.raises(Refused, match="another user"):
        found_upwards(Path("headway.toml"), tmp_path)
    # Who names a store needs none to be found.
    assert settled({"db": "x", "durable": "power"}, {}, tmp_path).db == "x"


def test_a_password_is_not_shown() -> None:
    settings = Settings("postgresql://ada:secret@host/db", "--db", "process")
    assert "secret" not in repr(settings)
    assert "ada" in repr(settings)


def test_all_commands_meet_at_the_store_that_is_named(two_jobs: Place) -> None:
    two_jobs.type("run", "hello.py", "--db", "far/away.db")
    assert not (two_jobs.directory / ".headway").exists()
    assert len(two_jobs.type("runs", "--json", env={"HEADWAY_DB": "far/away.db"}).json) == 1
    two_jobs.write("headway.toml", 'db = "far/away.db"\n')
    two_jobs.write("below/keep", "")
    assert len(two_jobs.type("runs", "--json", cwd="below").json) == 1
    two_jobs.type("show", cwd="below", env={"HEADWAY_DB": "nowhere.db"}, code=1)


def test_a_run_from_a_directory_below_uses_the_store_above(two_jobs: Place) -> None:
    two_jobs.type("run", "hello.py")
    two_jobs.write("below/keep", "")
    two_jobs.type("run", "../hello.py", cwd="below")
    assert not (two_jobs.directory / "below/.headway").exists()
    assert len(two_jobs.type("runs", "--json").json) == 2


def test_power_safe_runs_say_so_to_the_database(two_jobs: Place) -> None:
    two_jobs.type("run", "hello.py", "--durable", "power")
    said = two_jobs.type("run", "hello.py", env={"HEADWAY_DURABLE": "sometimes"}, code=64)
    assert "HEADWAY_DURABLE" in said.err


@pytest.mark.parametrize("said_by", ["environment", "file"])
def test_the_bus_may_be_named_by_its_environment_or_its_file(place: Place, said_by: str) -> None:
    url = "amqp://frob:secret@localhost:1/frob"
    env = {"HEADWAY_BUS": url} if said_by == "environment" else {}
    if said_by == "file":
        place.write("headway.toml", f'bus = "{url}"\n')
    said = place.type("doctor", env=env, code=69)
    assert "localhost:1" in said.out
    assert "secret" not in said.out + said.err


def test_environments_are_read_from_the_nearest_file(tmp_path: Path) -> None:
    assert environments_settled(tmp_path) == {}
    (tmp_path / "headway.toml").write_text('bus = "amqp://mq"\n[environments]\ntest = ["*.test"]\n')
    below = tmp_path / "below"
    below.mkdir()
    assert environments_settled(below) == {"test": ("*.test",)}
    assert settled({}, {}, below).db_from == ""


def test_wrong_environments_are_explained(tmp_path: Path) -> None:
    (tmp_path / "headway.toml").write_text('environments = ["test"]\n')
    with pytest.raises(Mistyped, match=r"headway\.toml: environments is"):
        environments_settled(tmp_path)
    assert settled({}, {}, tmp_path).db_from == ""
