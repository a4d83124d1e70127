"""headway playbook add, list, show, edit and remove, and runs of what they store."""

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.doors.screen import Terminal
from tests.doors.typed import DEADLINE_S, HEADWAY, Place

HELLO = """\
# as a person typed it: ä, a tab\there, and blanks at the end  \r
group: aurora
name: Say hello
execution:
  - hosts: [localhost]
    steps: [noop:Hello]


"""
BYE = HELLO.replace("noop:Hello", "noop:Bye")
WRONG = HELLO.replace("noop:Hello", "noop.Hello").replace("hosts", "host")


@pytest.fixture
def hello(place: Place) -> str:
    """The id of aurora/Say hello, which was stored from hello.yaml."""
    put(place, "hello.yaml", HELLO)
    return place.type("playbook", "add", "hello.yaml").out.strip()


def put(place: Place, name: str, text: str) -> str:
    (place.directory / name).write_bytes(text.encode())
    return name


def shown(place: Place, *words: str) -> bytes:
    """What ``headway playbook show`` prints, byte by byte."""
    done = subprocess.run(
        [HEADWAY, "playbook", "show", *words],
        cwd=place.directory,
        env=place.environment,
        capture_output=True,
        check=True,
    )
    return done.stdout


def test_a_playbook_is_kept_as_it_was_typed(place: Place, hello: str) -> None:
    assert re.fullmatch("[0-9a-f]{24}", hello)
    (place.directory / "hello.yaml").unlink()
    for called in (hello, hello[:12], hello[:9].upper(), "aurora/Say hello"):
        assert shown(place, called) == HELLO.encode()
    (listed,) = place.type("playbook", "list", "--json").json
    assert {key: listed[key] for key in ("playbook", "group", "name", "version")} == {
        "playbook": hello,
        "group": "aurora",
        "name": "Say hello",
        "version": 1,
    }
    assert re.match(
        f"{hello[:12]}  1  .*  aurora  Say hello$", place.type("playbook", "list").lines[1]
    )


def test_a_wrong_playbook_is_not_stored_and_all_its_faults_are_told(place: Place) -> None:
    put(place, "wrong.yaml", WRONG)
    said = place.type("playbook", "add", "wrong.yaml", code=1)
    assert said.err.splitlines() == [
        "headway: wrong.yaml:5:5: execution[0].host: 'host' is no key of a sequence. Did you mean"
        " hosts?",
        "wrong.yaml:6:13: execution[0].steps[0]: 'noop.Hello' is no step. Write noop:Hello",
    ]
    assert "holds no playbook" in place.type("playbook", "list").out
    for name, why in (("none.yaml", "No such file"), (".", "is no playbook by its name")):
        assert why in place.type("playbook", "add", name, code=64).err


def test_the_same_name_again_is_an_error_that_says_how_to_edit(place: Place, hello: str) -> None:
    put(place, "bye.yaml", BYE)
    said = place.type("playbook", "add", "bye.yaml", code=1)
    assert f"headway playbook edit {hello} FILE" in said.err
    assert shown(place, hello) == HELLO.encode()
    place.type("playbook", "edit", hello, "bye.yaml")
    assert shown(place, hello) == BYE.encode()


def test_playbooks_are_listed_by_group_and_name(place: Place, hello: str) -> None:
    for group, name in (("blog", "B"), ("aurora", "Another"), ("blog", "A")):
        text = HELLO.replace("aurora", group).replace("Say hello", name)
        place.type("playbook", "add", put(place, "one.yaml", text))
    titles = [line.split()[5:] for line in place.type("playbook", "list").lines[1:]]
    assert titles == [
        ["aurora", "Another"],
        ["aurora", "Say", "hello"],
        ["blog", "A"],
        ["blog", "B"],
    ]
    of_blog = place.type("playbook", "list", "--group", "blog", "--json").json
    assert [one["name"] for one in of_blog] == ["A", "B"]
    assert (
        "holds no playbook of group none" in place.type("playbook", "list", "--group", "none").out
    )


def test_an_edit_makes_a_version_and_the_older_ones_can_be_shown(place: Place, hello: str) -> None:
    json = '{"group":"aurora","name":"Bye","execution":[{"hosts":["h"],"steps":["noop:Bye"]}]}'
    said = place.type("playbook", "edit", "aurora/Say hello", put(place, "bye.json", json))
    assert said.out == "aurora/Bye has version 2 now; it was called Say hello\n"
    said = place.type("playbook", "edit", hello, "bye.json")
    assert said.out == "nothing was changed: version 2 says the same\n"
    assert shown(place, hello) == json.encode()
    assert shown(place, hello, "--version", "1") == HELLO.encode()
    assert "newest is 2" in place.type("playbook", "show", hello, "--version", "3", code=64).err
    lines = place.type("playbook", "show", hello, "--versions").lines
    assert [(line.split()[0], line.split()[-1]) for line in lines] == [
        ("VERSION", "NOTATION"),
        ("2", "JSON"),
        ("1", "YAML"),
    ]
    told = place.type("playbook", "show", "aurora/Bye", "--version", "1", "--json").json
    assert (told["playbook"], told["version"], told["removed_at"]) == (hello, 2, None)
    assert (told["document"]["version"], told["document"]["text"]) == (1, HELLO)
    assert [(one["version"], one["notation"]) for one in told["versions"]] == [
        (2, "JSON"),
        (1, "YAML"),
    ]


def test_an_edit_that_expects_another_version_changes_nothing(place: Place, hello: str) -> None:
    put(place, "bye.yaml", BYE)
    place.type("playbook", "edit", hello, "bye.yaml", "--expect", "1")
    put(place, "again.yaml", BYE.replace("Bye", "Again"))
    said = place.type("playbook", "edit", hello, "again.yaml", "--expect", "1", code=1)
    assert "has version 2, typed by" in said.err
    assert shown(place, hello) == BYE.encode()


def test_a_playbook_never_becomes_another_groups(place: Place, hello: str) -> None:
    put(place, "taken.yaml", WRONG.replace("aurora", "blog"))
    said = place.type("playbook", "edit", hello, "taken.yaml", code=1)
    assert len(said.err.splitlines()) == 3
    assert said.err.startswith(
        "headway: taken.yaml:2:8: group: is 'blog', and this playbook is of group 'aurora'. Write"
    )
    assert "1 " in place.type("playbook", "show", hello, "--versions").lines[1]


def test_what_was_removed_is_listed_no_more_and_can_still_be_shown(
    place: Place, hello: str
) -> None:
    said = place.type("playbook", "remove", "aurora/Say hello")
    assert f"headway playbook show {hello}" in said.out
    assert place.type("playbook", "list", "--json").json == []
    said = place.type("playbook", "show", hello)
    assert "was removed by" in said.err
    assert shown(place, hello) == HELLO.encode()
    for command in ("remove", "edit"):
        assert "was removed by" in place.type("playbook", command, hello, code=1).err
    assert "has no playbook" in place.type("playbook", "show", "aurora/Say hello", code=64).err
    again = place.type("playbook", "add", "hello.yaml").out.strip()
    assert again != hello
    assert shown(place, "aurora/Say hello") == HELLO.encode()


@pytest.mark.parametrize("command", ["list", "show", "edit", "remove"])
def test_where_nothing_is_stored_every_command_says_how_to_begin(
    place: Place, command: str
) -> None:
    words = [] if command == "list" else ["aurora/Say hello"]
    said = place.type("playbook", command, *words, code=1)
    assert said.err == (
        f"headway: there is no playbook yet in {place.directory} or above it:"
        " headway playbook add FILE makes the first\n"
    )
    assert list(place.directory.iterdir()) == []


def test_a_terminal_is_shown_nothing_that_steers_it(place: Place) -> None:
    text = HELLO.replace("ä", "\u202e turned round")
    id = place.type("playbook", "add", put(place, "turned.yaml", text)).out.strip()
    assert shown(place, id) == text.encode()
    with Terminal(place, "playbook", "show", id) as terminal:
        assert terminal.ended() == 0
        assert "\\u202e turned round" in terminal.screen.text
        assert "\u202e" not in terminal.raw


# Editors


def editor(place: Place, *texts: str | None, code: int = 0) -> dict[str, str]:
    """The environment of a person whose editor writes the first of the texts at first, then the
    second, …, and None for nothing."""
    (place.directory / "texts").mkdir()
    for number, text in enumerate(texts):
        if text is not None:
            put(place, f"texts/{number}", text)
    script = place.directory / "an editor.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "texts = Path(__file__).parent / 'texts'\n"
        "opened = texts / 'opened'\n"
        "number = opened.read_text().count('\\n') if opened.exists() else 0\n"
        "with opened.open('a') as note:\n"
        "    note.write(sys.argv[-1] + '\\n')\n"
        "(texts / 'first').write_bytes(Path(sys.argv[-1]).read_bytes())\n"
        "if (texts / str(number)).exists():\n"
        "    Path(sys.argv[-1]).write_bytes((texts / str(number)).read_bytes())\n"
        f"sys.exit({code})\n"
    )
    (place.directory / "tmp").mkdir()
    return {
        "VISUAL": f"{sys.executable} {shlex.quote(str(script))} --wait",
        "EDITOR": "false",
        "TMPDIR": str(place.directory / "tmp"),
    }


def drafts(place: Place) -> list[Path]:
    return [path for path in (place.directory / "tmp").rglob("*") if path.is_file()]


def test_a_playbook_is_edited_in_the_persons_own_editor(place: Place, hello: str) -> None:
    said = place.type("playbook", "edit", hello[:8], env=editor(place, BYE))
    assert said.out == "aurora/Say hello has version 2 now\n"
    assert (place.directory / "texts/first").read_bytes() == HELLO.encode()
    assert (place.directory / "texts/opened").read_text().endswith(".yaml\n")
    assert shown(place, hello) == BYE.encode()
    assert list((place.directory / "tmp").iterdir()) == []


def test_an_editor_that_changes_nothing_makes_no_version(place: Place, hello: str) -> None:
    said = place.type("playbook", "edit", hello, env=editor(place, None))
    assert said.out == "nothing was changed: version 1 stays the newest\n"
    assert list((place.directory / "tmp").iterdir()) == []


def test_a_wrong_document_is_kept_in_a_file_that_is_named(place: Place, hello: str) -> None:
    said = place.type("playbook", "edit", hello, env=editor(place, WRONG), code=1)
    assert "Did you mean hosts?" in said.err
    (draft,) = drafts(place)
    assert said.err.splitlines()[-1].endswith(f"headway playbook edit {hello} {draft}")
    assert draft.read_bytes() == WRONG.encode()
    assert draft.parent.stat().st_mode & 0o777 == 0o700
    draft.write_bytes(BYE.encode())
    place.type("playbook", "edit", hello, str(draft))
    assert shown(place, hello) == BYE.encode()


def wait_until_it_reads_keys(pid: int) -> None:
    """A Ctrl-C that comes before is noticed only with the next key."""
    give_up_at = time.monotonic() + DEADLINE_S
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        assert time.monotonic() < give_up_at


def test_at_a_terminal_a_wrong_document_is_offered_again(place: Place, hello: str) -> None:
    at_home = Place(place.directory, **editor(place, WRONG, BYE))
    with Terminal(at_home, "playbook", "edit", hello, columns=200) as terminal:
        terminal.until(lambda screen: "Edit it again?" in screen.text)
        assert "Did you mean hosts?" in terminal.screen.text
        terminal.type("y\r")
        assert terminal.ended() == 0
    first, second = (place.directory / "texts/opened").read_text().splitlines()
    assert first == second
    assert shown(place, hello) == BYE.encode()
    assert drafts(place) == []


@pytest.mark.parametrize("answer", ["n\r", "\x03", "\x04"], ids=["no", "Ctrl-C", "Ctrl-D"])
def test_a_person_who_has_had_enough_loses_nothing(place: Place, hello: str, answer: str) -> None:
    at_home = Place(place.directory, **editor(place, WRONG))
    with Terminal(at_home, "playbook", "edit", hello, columns=200) as terminal:
        terminal.until(lambda screen: "Edit it again?" in screen.text)
        wait_until_it_reads_keys(terminal.process.pid)
        terminal.type(answer)
        assert terminal.ended() == 1
        (draft,) = drafts(place)
        assert str(draft) in terminal.screen.text.replace("\n", "")
    assert draft.read_bytes() == WRONG.encode()


def test_of_two_editors_the_later_one_is_told_and_loses_nothing(place: Place, hello: str) -> None:
    put(place, "bye.yaml", BYE)
    mine = editor(place, BYE.replace("Bye", "Mine"))
    script = place.directory / "an editor.py"
    other = [str(HEADWAY), "playbook", "edit", hello, "bye.yaml"]
    script.write_text(
        f"import subprocess\nsubprocess.run({other!r}, check=True)\n" + script.read_text()
    )
    said = place.type("playbook", "edit", hello, env=mine, code=1)
    assert "has version 2, typed by" in said.err
    (draft,) = drafts(place)
    assert str(draft) in said.err
    assert draft.read_bytes() == BYE.replace("Bye", "Mine").encode()
    assert shown(place, hello) == BYE.encode()


def test_an_editor_that_fails_stores_nothing(place: Place, hello: str) -> None:
    said = place.type("playbook", "edit", hello, env=editor(place, BYE, code=3), code=1)
    assert "ended with 3: nothing was stored" in said.err
    (draft,) = drafts(place)
    assert str(draft) in said.err
    assert shown(place, hello) == HELLO.encode()


def test_no_editor_is_opened_where_another_version_is_expected(place: Place, hello: str) -> None:
    said = place.type("playbook", "edit", hello, "--expect", "2", env=editor(place, BYE), code=1)
    assert "has version 1, not 2" in said.err
    assert not (place.directory / "texts/opened").exists()


def test_an_editor_that_is_not_there_is_a_slip_of_the_command(place: Place, hello: str) -> None:
    for env, why in (
        ({}, "say in $VISUAL or $EDITOR"),
        ({"EDITOR": "no-such-editor -x"}, "no-such-editor cannot be started"),
        ({"EDITOR": "'half"}, "is no command"),
    ):
        assert why in place.type("playbook", "edit", hello, env=env, code=64).err


# Runs


def test_a_run_keeps_the_version_that_it_began_with(place: Place, hello: str) -> None:
    assert "noop:Hello@localhost done" in place.type("run", f"playbook:{hello[:8]}").out
    run = place.type("show", "--json").json
    assert (run["target"], run["root"]) == (f"playbook:{hello}@1", "Say hello")
    place.type("playbook", "edit", hello, put(place, "bye.yaml", BYE))
    assert "noop:Bye@localhost done" in place.type("run", "playbook:aurora/Say hello").out
    assert place.last_run() != run["run"]
    assert "noop:Hello@localhost" in place.type("run", f"playbook:{hello}@1").out
    place.type("playbook", "remove", hello)
    place.type("retry", run["run"], "--from", "noop:Hello@localhost")
    assert place.type("show", run["run"], "--json").json["lap"] == 2


def test_a_stored_playbook_is_planned_and_drawn(place: Place, hello: str) -> None:
    assert "noop:Hello@localhost" in place.type("plan", f"playbook:{hello}", code=2).out
    assert "noop:Hello@localhost" in place.type("graph", "playbook:aurora/Say hello").out
    assert place.type("runs", "--json").json == []


@pytest.mark.parametrize("command", ["run", "plan", "graph"])
def test_a_target_that_names_no_stored_playbook_is_a_slip_of_the_command(
    place: Place, hello: str, command: str
) -> None:
    for target, why in (
        ("playbook:", "names no playbook"),
        ("playbook:nobody/nothing", "has no playbook 'nobody/nothing'"),
        (f"playbook:{hello}@2", "has no version 2: its newest is 1"),
        (f"playbook:{hello}@0", "has no version 0"),
    ):
        assert why in place.type(command, target, code=64).err
    place.type("playbook", "remove", hello)
    assert "was removed by" in place.type(command, f"playbook:{hello}", code=64).err


def test_a_playbook_of_a_newer_format_is_refused_with_a_sentence(place: Place, hello: str) -> None:
    from headway.adapters.opening import open_store
    from headway.ports.playbooks import PlaybookText

    store = open_store(place.directory / ".headway/headway.db")
    store.edit_playbook(hello, 1, "Say hello", PlaybookText("?!", "YAML", 99), "me", 1)
    store.close()
    said = place.type("run", f"playbook:{hello}", code=1)
    assert "was stored by a newer Headway (format 99 of playbooks, this one knows 1)" in said.err
    assert shown(place, hello) == b"?!"


def test_playbooks_are_completed(place: Place, hello: str) -> None:
    asked = {
        "_HEADWAY_COMPLETE": "bash_complete",
        "COMP_WORDS": "headway playbook show ",
        "COMP_CWORD": "3",
    }
    assert place.type(env=asked).lines == [f"plain,{hello[:12]}"]
