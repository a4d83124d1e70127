"""Who may take a run up, and with which plan."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headway import Job
from headway.adapters.inline import Inline
from headway.adapters.opening import open_store
from headway.adapters.sql_store import SqlStore
from headway.errors import Conflict, DefinitionError
from headway.jobs.events import TryEnded, decode
from headway.jobs.states import JobState, RunState
from headway.ports.store import Launch, Owner, RunRecord
from headway.runtime import launching, ownership
from headway.runtime.keeper import Keeper
from headway.runtime.runner import Runner
from headway.runtime.targets import load
from tests.unit.recorded import Recorded

LAUNCH = Launch("f.py", "Root", {}, "/", {}, (), "me", "0", "3.11")


def record(**more: Any) -> RunRecord:
    owner = ownership.this_process()
    known = {"id": "0" * 24, "state": RunState.RUNNING, "launch": LAUNCH, "began_us": 1}
    known |= {"ended_us": None, "owner": owner, "epoch": 1, "lap": 1, "seen_s": 0.0, "jobs": 1}
    return RunRecord(**{**known, **more})


# Owners


def test_a_run_with_a_living_owner_is_not_taken_up_and_the_owner_is_named() -> None:
    with pytest.raises(Conflict, match=f"process {os.getpid()} on {socket.gethostname()}"):
        launching.require_unowned(record(seen_s=1e6))


@pytest.mark.parametrize(
    "other",
    [{"started": "1"}, {"boot": "another boot"}, {"pid": 2**22 + 1}],
    ids=["its id was used again", "the system was started anew", "no such process"],
)
def test_an_owner_of_this_host_is_dead_when_its_process_is(other: dict[str, Any]) -> None:
    owner = ownership.this_process()._replace(**other)
    dead = record(owner=owner)
    launching.require_unowned(dead)
    assert ownership.state_now(dead) is RunState.INTERRUPTED


def test_a_process_that_ended_and_was_not_waited_for_owns_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert ownership.process_started(child.pid) == ""


def test_an_owner_that_was_stopped_for_a_while_is_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        os.kill(child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        started = ownership.process_started(child.pid)
        owner = ownership.this_process()._replace(pid=child.pid, started=started)
        with pytest.raises(Conflict, match=f"process {child.pid}"):
            launching.require_unowned(record(owner=owner, seen_s=1e6))
        child.kill()


def test_an_owner_of_another_host_lives_as_long_as_it_is_heard_of() -> None:
    owner = Owner("elsewhere", os.getpid(), "1", "another boot")
    with pytest.raises(Conflict, match="on elsewhere"):
        launching.require_unowned(record(owner=owner, seen_s=9.0))
    silent = record(owner=owner, seen_s=ownership.LEASE_S)
    launching.require_unowned(silent)
    assert ownership.state_now(silent) is RunState.INTERRUPTED


class Steps(Job):
    taken: bool = False

    def Check(self) -> None:
        assert self.taken

    def Run(self) -> None:
        while_it_runs()
        type(self).taken = True


def while_it_runs() -> None:
    """Replaced by tests."""


class Next(Job):
    DEPS = (Steps,)

    def Check(self) -> None:
        raise AssertionError("nothing is to be started any more")


def take_away(run: Recorded) -> int:
    """What another host does that has not heard of the owner for too long."""
    record = run.record()
    return run.store.take(record.id, record.epoch, Owner("elsewhere", 1, "1", "a boot"))


def test_an_owner_whose_run_was_taken_writes_nothing_more_and_starts_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Steps, "taken", False)
    with Recorded(tmp_path, Next) as run:
        monkeypatch.setitem(globals(), "while_it_runs", lambda: take_away(run))
        with pytest.raises(Conflict, match="process 1 on elsewhere owns it now"):
            run.begin()
        assert run.told(TryEnded) == []


def test_an_outcome_that_could_not_be_written_is_not_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Steps, "taken", False)
    with Recorded(tmp_path, Next) as run:
        monkeypatch.setitem(globals(), "while_it_runs", lambda: take_away(run))
        with pytest.raises(Conflict):
            run.begin()
        assert run.runner.schedule.states == [JobState.RUNNING, JobState.PENDING]


def test_an_owner_whose_run_was_taken_ends_its_commands_and_its_keeper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    class Long(Job):
        def Check(self) -> None:
            assert seen

        def Run(self) -> None:
            take_away(run)
            run.runner._journal.wrote(0, 1, "out", "a line to be written")  # type: ignore[union-attr]
            with Keeper(run.runner.tick) as keeper:
                keeper._thread.join(10)
                seen.append(self.stopping)

    with Recorded(tmp_path, Long) as run, pytest.raises(Conflict):
        run.begin()
    assert seen == [True]


def test_of_two_that_resume_at_once_one_is_told_that_the_other_was_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Steps, "taken", False)
    with Recorded(tmp_path, Steps) as run:
        run.begin("after", "run-intended")
        seen = run.record()._replace(owner=None)

        def make() -> Runner:
            return launching.take_up(run.store, seen, run.loaded, Inline(), run.options)

        first = make()
        with pytest.raises(Conflict, match=f"process {os.getpid()}"):
            make()
        assert first.run() is RunState.SUCCEEDED


# Plans and sources

TARGET = """
from headway import Job

class Below(Job):
    def Check(self, **inputs):
        raise LookupError("never")
    def Run(self, **inputs):
        pass

class Top(Job):
    DEPS = (Below,)
    def Check(self, **inputs):
        pass
"""

FUNCTION = """
from headway import DummyJob, Job

def plan(servers, **inputs):
    jobs = [
        type(f"Server{n}", (Job,), {"Check": lambda self, **inputs: None})
        for n in range(int(servers))
    ]
    return type("All", (DummyJob,), {"DEPS": jobs})
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = open_store(tmp_path / "headway.db", check_version=False)
    store.upgrade()
    yield store
    store.close()


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A target in a directory of its own, which is the working directory."""
    directory = tmp_path / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    file = directory / "target.py"
    file.write_text(TARGET)
    return file


def begun(store: SqlStore, target: str = "target.py", **inputs: str) -> RunRecord:
    """A run that was stored and whose process then died."""
    launching.begin(store, load(target, inputs), Inline(), launching.Options())
    return store.find(None)._replace(owner=None)


def test_a_run_is_taken_up_with_the_target_it_was_begun_with_from_anywhere(
    store: SqlStore, target: Path, tmp_path: Path
) -> None:
    run = begun(store)
    os.chdir(tmp_path)
    loaded, changed = launching.reload(store, run)
    assert (loaded.plan.names, changed) == (["Below", "Top"], [])
    assert Path.cwd() == target.parent


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("class Top", "class Roof", "Roof is new"),
        ("    DEPS = (Below,)", "    DEPS = ()", "Below is gone"),
        ("class Below(Job):", "class Below(Job):\n    TRIES = 7", "Below: tries is 7 instead of 3"),
        ("class Top(Job):", "class Top(Job):\n    ON_LOST = 'fail'", "Top: on_lost is 'fail'"),
    ],
)
def test_a_plan_that_is_no_longer_the_same_is_not_taken_up_and_the_difference_is_told(
    store: SqlStore, target: Path, old: str, new: str, difference: str
) -> None:
    run = begun(store)
    text = target.read_text().replace(old, new)
    target.write_text(text if "is gone" not in difference else text + "\nROOT = Top\n")
    with pytest.raises(DefinitionError, match=r"no longer that of run") as raised:
        launching.reload(store, run)
    assert difference in str(raised.value)
    assert store.find(run.id).epoch == run.epoch, "nothing was taken"


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ('"never"', '"not yet"', ["Below"]),
        ("        pass\n\nclass", "        self.n = 1\n\nclass", ["Below"]),
        ("class Below", "# a remark\nclass Below", []),
    ],
)
def test_jobs_whose_code_was_changed_are_named(
    store: SqlStore, target: Path, old: str, new: str, changed: list[str]
) -> None:
    run = begun(store)
    assert old in target.read_text()
    target.write_text(target.read_text().replace(old, new))
    assert launching.reload(store, run)[1] == changed


def test_a_plan_that_a_function_makes_is_made_with_the_inputs_of_the_run(
    store: SqlStore, target: Path
) -> None:
    target.write_text(FUNCTION)
    run = begun(store, servers="3")
    loaded, changed = launching.reload(store, run)
    assert loaded.plan.names == ["Server0", "Server1", "Server2", "All"]
    assert changed == []
    assert launching.take_up(store, run, loaded, Inline(), launching.Options()).run() == "succeeded"


def test_a_function_that_makes_another_plan_now_is_told_with_the_difference(
    store: SqlStore, target: Path
) -> None:
    target.write_text(FUNCTION)
    run = begun(store, servers="3")
    target.write_text(FUNCTION.replace("range(int(servers))", "range(int(servers) - 1)"))
    with pytest.raises(DefinitionError, match="Server2 is gone"):
        launching.reload(store, run)


def test_a_run_whose_directory_is_gone_says_so(store: SqlStore, target: Path) -> None:
    run = begun(store)
    target.unlink()
    os.chdir("/")
    shutil.rmtree(target.parent)
    with pytest.raises(DefinitionError, match="which is gone"):
        launching.reload(store, run)


def test_a_run_whose_target_is_gone_says_so(store: SqlStore, target: Path) -> None:
    run = begun(store)
    target.unlink()
    with pytest.raises(DefinitionError, match=r"no file target\.py"):
        launching.reload(store, run)


def test_every_life_of_a_run_is_in_its_journal(store: SqlStore, target: Path) -> None:
    target.write_text(FUNCTION)
    run = begun(store, servers="1")
    loaded, _ = launching.reload(store, run)
    launching.take_up(store, run, loaded, Inline(), launching.Options()).run()
    kinds = [entry.row.kind for entry in store.journal(run.id)]
    assert kinds == ["run-began", "run-resumed", "passed", "passed", "run-ended"]
    resumed = decode(list(store.journal(run.id))[1].row)
    assert f"process {os.getpid()}" in str(resumed)
