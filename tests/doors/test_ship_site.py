"""The example site is released, changed, broken and taken down by the command line."""

import fcntl
import os
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from examples.ship_site.layout import Site
from tests.doors.shipping import DEADLINE_S, Machine, free_port, machine


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path) as made:
        yield made


def test_a_plan_says_what_would_be_built_and_changes_nothing(here: Machine) -> None:
    plan = here.plan(code=2)
    assert "has not been built" in plan
    assert "+ reading_list/site.py" in plan
    assert not here.site.place.exists()


def test_a_run_releases_the_site_and_the_site_outlives_it(here: Machine) -> None:
    here.ship()
    health = here.site.health()
    assert health == {"status": "ok", "version": here.site.current.resolve().name, "schema": 2}
    here.add_book("Persuasion")
    with urllib.request.urlopen(here.site.url, timeout=5) as page:
        assert b"Persuasion" in page.read()


def test_what_runs_is_the_environments_python_with_the_releases_code(here: Machine) -> None:
    here.ship()
    (pid,) = here.processes()
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    version = here.site.current.resolve().name
    assert words[0] == os.fsencode(here.site.python(version))
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert b"PYTHONPATH=" + os.fsencode(here.site.release(version)) in variables


def test_a_second_run_has_nothing_to_do_and_touches_no_file(here: Machine) -> None:
    here.ship()
    before = here.times()
    assert "nothing to do" in here.ship()
    assert here.times() == before
    here.plan(code=0)
    assert here.times() == before


def test_a_changed_page_is_shipped_without_a_new_environment_or_schema(here: Machine) -> None:
    here.ship()
    here.add_book("Persuasion")
    first, before = here.state(), here.times()
    here.change("page.py", "Nothing yet.", "Nothing at all yet.")
    assert "~ reading_list/page.py" in here.plan(code=2)

    here.ship()

    second = here.state()
    assert second["health"]["version"] != first["health"]["version"]
    assert second["processes"] == 1
    same = ("environments", "database", "backups")
    assert [second[part] for part in same] == [first[part] for part in same]
    after = here.times()
    untouched = [path for path in before if "/environments/" in path or "/data" in path]
    assert {path: after[path] for path in untouched} == {path: before[path] for path in untouched}


def test_a_migration_keeps_what_visitors_wrote_and_a_copy_of_it(here: Machine) -> None:
    here.ship()
    here.add_book("Persuasion")
    old = here.state()["database"]
    here.add_migration()
    here.ship()
    new = here.state()
    assert new["health"]["schema"] == 3
    assert "Persuasion" in str(new["database"])
    assert new["backups"] == {"schema-2.db": old}


def test_a_database_that_a_killed_migration_left_empty_is_not_copied(here: Machine) -> None:
    here.site.database.parent.mkdir(parents=True)
    here.site.database.touch()
    here.ship()
    assert here.state()["backups"] == {}
    assert here.site.health()["schema"] == 2


def test_other_requirements_get_an_environment_of_their_own(here: Machine) -> None:
    here.ship()
    first = here.state()["environments"]
    requirements = here.source / "requirements.txt"
    requirements.write_text(f"{requirements.read_text()}# Still nothing.\n")
    here.ship()
    assert len(here.state()["environments"]) == len(first) + 1


def test_visitors_are_served_throughout_but_for_the_switch(here: Machine) -> None:
    here.ship()
    old = here.site.health()["version"]
    here.change("page.py", "Nothing yet.", "Nothing at all yet.")
    here.add_migration()
    answers, over = [], threading.Event()

    def visit() -> None:
        while not over.is_set():
            try:
                answers.append(here.site.health()["version"])
            except OSError as error:
                answers.append(str(error) if "answers" in str(error) else "nobody")

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        here.ship()
    finally:
        over.set()
        visitor.join()

    seen = [answer for answer, _ in groupby(answers)]
    new = here.site.health()["version"]
    assert seen in ([old, "nobody", new], [old, new])


def test_three_releases_are_kept_and_what_they_need(here: Machine) -> None:
    versions = []
    for number in range(5):
        requirements = here.source / "requirements.txt"
        requirements.write_text(f"# Nothing, {number}.\n")
        here.ship()
        versions.append(here.site.health()["version"])
    kept = here.state()
    assert sorted(kept["releases"]) == sorted(versions[-3:])
    assert len(kept["artefacts"]) == len(kept["environments"]) == 3


def test_a_version_that_is_not_well_fails_the_run_and_going_back_is_a_run(here: Machine) -> None:
    here.ship()
    good = here.site.health()["version"]
    here.change("database.py", 'PRAGMA user_version").fetch', 'SELECT none").fetch')
    printed = here.ship(code=1)
    assert "answers 500" in printed
    assert "no such column: none" in printed
    assert "answers 500" in here.headway("why", "Healthy")
    assert here.site.release(good).is_dir()

    here.change("database.py", 'SELECT none").fetch', 'PRAGMA user_version").fetch')
    here.ship()
    assert here.site.health()["version"] == good


def test_a_version_that_dies_at_once_is_shown_with_its_last_words(here: Machine) -> None:
    here.change("site.py", "import json", "import jason")
    printed = here.ship(code=1)
    assert "No module named 'jason'" in printed
    assert "Healthy" in here.headway("show")
    assert here.processes() == []


def test_a_port_that_somebody_else_uses_stops_the_run_before_it_does_anything(
    here: Machine,
) -> None:
    with socket.create_server(("127.0.0.1", here.site.port)):
        printed = here.ship(code=1)
    assert f"port {here.site.port} cannot be used" in printed
    assert "--set port=" in printed
    assert not here.site.place.exists()


def test_files_changed_in_a_release_are_put_right(here: Machine) -> None:
    here.ship()
    before = here.state()
    (here.site.current / "reading_list" / "page.py").write_text("nonsense")
    here.ship()
    assert here.state() == before


def test_a_site_that_was_killed_is_started_again(here: Machine) -> None:
    here.ship()
    (pid,) = here.processes()
    os.kill(pid, 9)
    here.ship()
    assert here.processes() not in ([], [pid])


def test_one_that_comes_to_serve_too_late_gives_way(here: Machine) -> None:
    here.ship()
    site, serving = here.site, here.processes()
    version = site.current.resolve().name
    options = ("--port", str(site.port), "--place", site.place / "serving.json")
    late = subprocess.Popen(
        site.program(version, "serve", site.database, *options),
        env=site.surroundings(version),
        stderr=subprocess.PIPE,
        text=True,
    )
    while late.pid not in here.processes() and late.poll() is None:
        pass  # its words can be read a moment after it has begun
    assert here.state()["processes"] == 1
    assert here.processes() == serving
    assert "another process serves already" in late.communicate(timeout=DEADLINE_S)[1]


def test_what_a_dead_process_said_is_not_taken_for_the_words_of_the_next(tmp_path: Path) -> None:
    site = Site(tmp_path, free_port())
    said = tmp_path / "serving.json"
    said.write_text('{"pid": 1, "port": 1, "version": "old"}\n')
    site.stop()
    with said.open("a") as next_one:
        fcntl.flock(next_one, fcntl.LOCK_EX)
        assert site.serving() is None
        next_one.write('{"pid": 2, "port": 2, "version": "new"}\n')
        next_one.flush()
        assert site.serving() == (2, 2, "new")


def test_the_site_moves_to_another_port(here: Machine) -> None:
    here.ship()
    old_port = here.site.port
    here.site = Site(here.site.place, free_port())
    here.ship()
    assert here.site.health()["status"] == "ok"
    assert len(here.processes()) == 1
    with pytest.raises(OSError, match="does not answer"):
        Site(here.site.place, old_port).health()


def test_the_site_is_taken_down_and_keeps_what_it_knows(here: Machine) -> None:
    here.ship()
    here.add_book("Persuasion")
    here.take_down()
    assert here.processes() == []
    assert "nothing to do" in here.take_down()
    here.ship()
    assert "Persuasion" in str(here.state()["database"])


def test_a_run_resumed_after_the_source_was_changed_ships_what_it_began_with(
    here: Machine,
) -> None:
    assert here.doomed("start python -m reading_list migrate books.db", *here.shipping)
    began_with = os.listdir(here.site.place / "releases")
    here.change("page.py", "Nothing yet.", "Nothing at all yet.")
    here.headway("resume")
    assert [here.site.health()["version"]] == began_with


def test_a_port_that_is_none_is_refused_in_one_line(here: Machine) -> None:
    printed = here.headway("run", here.target, "--set", "port=http", code=None)
    assert printed.count("\n") == 1
    assert "port must be a number from 1 to 65535, not 'http'" in printed
