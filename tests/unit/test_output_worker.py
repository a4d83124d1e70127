"""output: what steps say, kept in files and in the store, and nothing said of it on the bus."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from headway.adapters.lines import LONGEST_LINE
from headway.adapters.opening import open_store
from headway.errors import DefinitionError, Unavailable
from headway.jobs.compiling import compile_jobs
from headway.jobs.job import DummyJob
from headway.ports.bus import QueueKind
from headway.ports.store import NO_JOB, Launch, Owner
from headway.runtime import clocks
from headway.wire import names
from headway.workers import kept_output
from headway.workers.kept_output import Counted, OutputFiles
from headway.workers.redaction import REDACTED, TOO_LONG
from tests.unit.serving import Desk, desk
from tests.unit.stock import RUN, config_file, made, serving

OTHER = "f" * 24


def say(at: Desk, text: Any, run: str | None = RUN, **more: Any) -> None:
    at.send({"message": text}, names.OUTPUT, correlation_id=run, reply_to=names.LOG, **more)


def settle(at: Desk) -> None:
    """Everything said before has been worked on: what is no output is put aside, in its turn."""
    say(at, 7)
    at.next("dead-watch")


def files(directory: Path) -> dict[str, str]:
    return {one.name: one.read_text("utf-8") for one in directory.glob("*") if one.is_file()}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    directory = tmp_path / "kept"
    directory.mkdir()
    return directory


def test_each_run_has_a_file_of_its_lines(tmp_path: Path, kept: Path) -> None:
    with serving("output", tmp_path, {"output_dir": str(kept)}) as at:
        say(at, "one")
        say(at, "two\n")
        say(at, "another's", OTHER)
        say(at, "three\nfour")
        settle(at)
    assert files(kept) == {
        f"{RUN}.log": "one\ntwo\nthree\nfour\n",
        f"{OTHER}.log": "another's\n",
    }


def test_files_are_utf_8_and_raw_and_for_their_owner_alone(tmp_path: Path, kept: Path) -> None:
    text = "Blåbær 🫐 <b>&amp;</b> C:\\new\ttab \x1b[31m"
    with serving("output", tmp_path, {"output_dir": str(kept)}) as at:
        say(at, text)
        settle(at)
    file = kept / f"{RUN}.log"
    assert file.read_bytes() == f"{text}\n".encode()
    assert file.stat().st_mode & 0o777 == 0o600


def test_files_go_on_where_they_ended(tmp_path: Path, kept: Path) -> None:
    for text in ("one", "two"):
        with serving("output", tmp_path, {"output_dir": str(kept)}) as at:
            say(at, text)
            settle(at)
    assert files(kept) == {f"{RUN}.log": "one\ntwo\n"}


HOSTILE = [
    "../escaped", "/etc/passwd", "", "None", "run-1", RUN.upper(), RUN + "0", RUN[:-1], f"{RUN}\n",
    f"../{RUN}"[:24], "%2e%2e%2f" + RUN[:15], "\uff10" * 24, f"{RUN[:-2]}/.", "\u2215" * 24,
]  # fmt: skip


@pytest.mark.parametrize("run", [None, *HOSTILE], ids=repr)
def test_what_is_no_run_id_names_no_file(run: str | None, tmp_path: Path, kept: Path) -> None:
    with serving("output", tmp_path, {"output_dir": str(kept)}) as at:
        before = sorted(tmp_path.rglob("*"))
        say(at, "text", run)
        at.next("dead-watch")
        assert sorted(tmp_path.rglob("*")) == before
        assert "its correlation id is no run's" in at.log.text


def test_nothing_is_written_through_a_link_or_into_what_is_no_file(
    tmp_path: Path, kept: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("as it was")
    (kept / f"{RUN}.log").symlink_to(outside)
    os.mkfifo(kept / f"{OTHER}.log")
    with serving("output", tmp_path, {"output_dir": str(kept)}) as at:
        say(at, "text")
        say(at, "text", OTHER)
        settle(at)
        assert "output is not kept" in at.log.text
    assert outside.read_text() == "as it was"
    assert stat.S_ISFIFO((kept / f"{OTHER}.log").stat().st_mode)


def test_a_line_that_matches_a_redaction_is_hidden_and_its_neighbours_are_not(
    tmp_path: Path, kept: Path
) -> None:
    config = {"output_dir": str(kept), "redactions": ["password=", "(?i)^token:", "<&>"]}
    with serving("output", tmp_path, config) as at:
        say(at, "login\nuser=a password=s3cret\ndone\nTOKEN: x\nno token: y\na <&> b")
        settle(at)
    assert files(kept)[f"{RUN}.log"].splitlines() == [
        "login", REDACTED, "done", REDACTED, "no token: y", REDACTED,
    ]  # fmt: skip


def test_a_line_too_long_to_be_searched_is_hidden_and_without_redactions_cut(
    tmp_path: Path, kept: Path
) -> None:
    text = f"short\n{'x' * (LONGEST_LINE + 1)}"
    with serving("output", tmp_path, {"output_dir": str(kept), "redactions": ["secret"]}) as at:
        say(at, text)
        settle(at)
    assert files(kept)[f"{RUN}.log"] == f"short\n{TOO_LONG}\n"
    with serving("output", tmp_path, {"output_dir": str(kept)}) as at:
        say(at, text, OTHER)
        settle(at)
    assert files(kept)[f"{OTHER}.log"] == f"short\n{'x' * LONGEST_LINE} … (cut)\n"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "lacks 'output_dir'"),
        ({"output_dir": "/no/such/directory"}, "make the directory first"),
        ({"output_dir": 7}, "'output_dir' of the configuration"),
        ({"output_dir": "{kept}", "redactions": "x"}, "a list of regular expressions"),
        ({"output_dir": "{kept}", "redactions": ["("]}, "'(', which is no regular expression"),
        ({"output_dir": "{kept}", "redactions": [".*"]}, "matches every line"),
        ({"output_dir": "{kept}", "run_bytes": 0}, "a whole number from 1000"),
        ({"store": "ftp://x"}, "'store' of the configuration"),
        ({"output_dir": "{kept}", "speling": 1}, "has a key 'speling'"),
    ],
)
def test_a_wrong_configuration_is_said_at_the_start(
    config: dict[str, Any], says: str, tmp_path: Path, kept: Path
) -> None:
    filled = {key: str(kept) if value == "{kept}" else value for key, value in config.items()}
    with desk() as at, pytest.raises(DefinitionError) as caught:
        made(at, "output", config_file(tmp_path, filled))
    assert says in str(caught.value)


@pytest.mark.parametrize("level", ["DEBUG", "INFO", 0])
def test_it_says_nothing_of_itself_whatever_the_level(
    level: Any, tmp_path: Path, kept: Path
) -> None:
    with serving("output", tmp_path, {"output_dir": str(kept), "OUTPUT_LEVEL": level}) as at:
        for number in range(20):
            say(at, f"{number}")
            assert at.output() == {"message": f"{number}"}  # what was said, and nothing else
        settle(at)
        at.next("output-watch")  # what settle said
        assert at.is_silent("output-watch")
    assert len(files(kept)[f"{RUN}.log"].splitlines()) == 20


def test_it_answers_nobody_and_steps_do_not_reach_it(tmp_path: Path, kept: Path) -> None:
    with desk() as at:
        worker = made(at, "output", config_file(tmp_path, {"output_dir": str(kept)}))
        queue = worker._consumed_queue()
        assert queue.name == "worker.output"
        assert [binding.key for binding in queue.bindings] == ["output"]
        assert queue.kind is QueueKind.CLASSIC
        with at.serving(worker):
            say(at, "one")
            settle(at)
        assert at.is_silent()


def test_a_configuration_may_name_its_queue_and_more_keys(tmp_path: Path, kept: Path) -> None:
    config = {"output_dir": str(kept), "queue": "archive", "bindings": ["output.more"]}
    with desk() as at:
        queue = made(at, "output", config_file(tmp_path, config))._consumed_queue()
    assert queue.name == "worker.archive"
    assert [binding.key for binding in queue.bindings] == ["output", "output.more"]


@pytest.mark.parametrize(
    "body", [b"\xff", b"[1]", b"{}", b'{"message": 1}', b'{"message": "\\ud800"}']
)
def test_what_is_no_output_is_put_aside(body: bytes, tmp_path: Path, kept: Path) -> None:
    with serving("output", tmp_path, {"output_dir": str(kept)}) as at:
        at.send(body, names.OUTPUT, correlation_id=RUN, reply_to=names.LOG)
        assert at.next("dead-watch").message.body == body
    assert files(kept) == {}


# Files


def test_a_bounded_number_of_files_is_open(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_output, "OPEN_FILES", 3)
    keeper = OutputFiles(str(kept))
    runs = [f"{number:024x}" for number in range(10)]
    for text in ("one", "two"):
        for run in runs:
            keeper.keep(run, "info", [text])
            assert keeper.open_files <= 3
    keeper.close()
    assert files(kept) == {f"{run}.log": "one\ntwo\n" for run in runs}


def test_a_file_that_is_taken_away_is_made_anew(kept: Path) -> None:
    keeper = OutputFiles(str(kept))
    keeper.keep(RUN, "info", ["one"])
    (kept / f"{RUN}.log").unlink()
    keeper.keep(RUN, "info", ["two"])
    keeper.close()
    assert files(kept) == {f"{RUN}.log": "two\n"}


def test_the_file_of_one_run_has_a_limit_which_is_told_once(tmp_path: Path, kept: Path) -> None:
    config = {"output_dir": str(kept), "run_bytes": 1_000}
    with serving("output", tmp_path, config) as at:
        for _ in range(10):
            say(at, "x" * 299)
        say(at, "another's", OTHER)
        settle(at)
        assert at.log.text.count("has reached its limit of 1000 bytes") == 1
    assert len(files(kept)[f"{RUN}.log"]) == 900
    assert files(kept)[f"{OTHER}.log"] == "another's\n"


def test_a_full_disk_loses_whole_lines_which_are_counted_where_lines_go_on(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    keeper = Counted(OutputFiles(str(kept)), "files", said.append)
    keeper.keep(RUN, "info", ["one"])
    real = os.write

    def half(file: int, data: Any) -> int:
        """The disk has room for a byte more."""
        monkeypatch.setattr(os, "write", full)
        return real(file, bytes(data[:1]))

    def full(file: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    keeper.keep(RUN, "info", ["two", "three"])
    keeper.keep(RUN, "info", ["four"])
    monkeypatch.setattr(os, "write", real)
    keeper.keep(RUN, "info", ["five"])
    keeper.keep(RUN, "info", ["six"])
    keeper.close()
    assert files(kept)[f"{RUN}.log"] == "one\n(lines not kept here: 3)\nfive\nsix\n"
    assert keeper.lost == 3
    assert len(said) == 2  # once when it began, once when it was over
    assert "No space left on device" in said[0]


def test_of_how_many_runs_losses_are_remembered_is_bounded(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_output, "RUNS_COUNTED", 2)
    files_ = OutputFiles(str(kept), run_bytes=50)
    keeper = Counted(files_, "files", lambda text: None)
    runs = [f"{number:024x}" for number in range(3)]
    for run in runs:
        keeper.keep(run, "info", ["x" * 60])
    for run in runs:
        keeper.keep(run, "info", ["on"])
    keeper.close()
    told = "(lines not kept here: 1)\non\n"
    assert files(kept) == {f"{runs[0]}.log": "on\n", f"{runs[1]}.log": told, f"{runs[2]}.log": told}


def test_a_closed_keeper_takes_nothing_and_can_be_closed_again(kept: Path) -> None:
    keeper = OutputFiles(str(kept))
    keeper.close()
    keeper.close()
    with pytest.raises(Unavailable):
        keeper.keep(RUN, "info", ["one"])


# The store


def begun(path: Path) -> None:
    plan, _, _ = compile_jobs(type("Nothing", (DummyJob,), {}), None)
    store = open_store(path)
    launch = Launch("x", "x", {}, "/", {}, [], "me", "0", "3.11")
    store.begin(RUN, launch, plan.to_json(), 1, Owner("h", 1, "s", "b"), clocks.now_us())
    store.close()


def test_the_store_keeps_lines_of_its_runs_and_others_are_let_go(tmp_path: Path) -> None:
    path = tmp_path / "headway.db"
    begun(path)
    config = {"store": str(path), "redactions": ["secret"]}
    with serving("output", tmp_path, config) as at:
        at.send(
            {"message": "one\ntwo secret", "level": "warning"},
            names.OUTPUT, correlation_id=RUN, reply_to=names.LOG,
        )  # fmt: skip
        say(at, "nobody's", OTHER)
        say(at, "three")
        settle(at)
        assert "WARNING output is not kept" not in at.log.text
    store = open_store(path)
    assert [(line.key, line.stream, line.text) for line in store.output(RUN)] == [
        (NO_JOB, "warning", "one"),
        (NO_JOB, "warning", REDACTED),
        (NO_JOB, "info", "three"),
    ]
    store.close()


def test_files_and_store_can_both_be_had(tmp_path: Path, kept: Path) -> None:
    path = tmp_path / "headway.db"
    begun(path)
    with serving("output", tmp_path, {"store": str(path), "output_dir": str(kept)}) as at:
        say(at, "one")
        settle(at)
    store = open_store(path)
    assert [line.text for line in store.output(RUN)] == ["one"]
    store.close()
    assert files(kept) == {f"{RUN}.log": "one\n"}
