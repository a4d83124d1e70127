"""DoJobber's manual, section by section (3): types of jobs, and what is told of them."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dojobber
from dojobber import DefinitionError, DummyJob, Job, RunonlyJob
from tests.unit.dojobbing import NEVER, Stage, carried_out, configured


@pytest.fixture
def stage() -> Stage:
    return Stage()


# Job


def test_a_job_may_call_commands_to_create_a_user(tmp_path: Path) -> None:
    # In a file of our own instead of the machine's; what appends to it stands for adduser.
    passwd = tmp_path / "passwd"
    passwd.write_text("root:x:0:0:root:/root:/bin/sh\n")
    adduser = tmp_path / "adduser"
    adduser.write_text(f'#!/bin/sh\necho "$5:x:1000:1000:$4:/home/$5:$2" >>{passwd}\n')
    adduser.chmod(0o700)

    def getpwnam(name: str) -> list[str]:
        for line in passwd.read_text().splitlines():
            if line.split(":")[0] == name:
                return line.split(":")
        raise KeyError(f"getpwnam(): name not found: {name!r}")

    cleaned: list[str] = []

    class CreateUser(Job):
        """An account for the user of the command line."""

        def Check(self, *_: Any, **kwargs: Any) -> None:
            getpwnam(kwargs["username"])

        def Run(self, *_: Any, **kwargs: Any) -> None:
            subprocess.call(
                [adduser, "--shell", "/bin/tcsh", "--gecos", kwargs["gecos"], kwargs["username"]]
            )

        def Cleanup(self) -> None:
            cleaned.append("up")

    dojob = configured(CreateUser)
    dojob.set_args(username="sarah", gecos="Sarah Connor")
    dojob.checknrun()
    assert dojob.success()
    assert getpwnam("sarah")[4:] == ["Sarah Connor", "/home/sarah", "/bin/tcsh"]
    assert cleaned == ["up"]
    dojob.checknrun()
    assert len(passwd.read_text().splitlines()) == 2  # nothing to do


def test_a_job_must_have_a_check(stage: Stage) -> None:
    with pytest.raises(DefinitionError, match="Blind has no Check: give it one"):
        configured(type("Blind", (Job,), {"Run": lambda self: None}))


# DummyJob


def test_a_dummy_job_groups_what_it_needs(stage: Stage) -> None:
    Dependency1, Dependency2 = stage.job("Dependency1", runs=1), stage.job("Dependency2")

    class PlaceHolder(DummyJob):
        DEPS = (Dependency1, Dependency2)

    dojob = carried_out(PlaceHolder)
    assert dojob.nodestatus == {"Dependency1": True, "Dependency2": True, "PlaceHolder": True}


def test_a_dummy_job_above_one_that_failed_does_not_succeed(stage: Stage) -> None:
    dojob = carried_out(stage.dummy("Group", stage.job("Broken", runs=NEVER)), default_tries=1)
    assert dojob.nodestatus == {"Broken": False, "Group": None}


# RunonlyJob


def test_a_runonly_job_runs_every_time(tmp_path: Path, stage: Stage) -> None:
    UserAcceptedTheConsequences = stage.job("UserAcceptedTheConsequences")
    root = tmp_path / "root"
    times: list[str] = []

    class RemoveDangerously(RunonlyJob):
        DEPS = (UserAcceptedTheConsequences,)

        def Run(self, *args: Any, **kwargs: Any) -> None:
            times.append("once more")
            os.system(f"rm -rf '{root}'")

    dojob = configured(RemoveDangerously)
    for _ in range(2):
        root.mkdir()
        dojob.checknrun()
        assert dojob.success()
        assert not root.exists()
    assert times == ["once more", "once more"]


@pytest.mark.parametrize("raised", [ValueError("no"), SystemExit(3)])
def test_a_runonly_job_whose_run_raises_has_failed(raised: BaseException) -> None:
    class Raises(RunonlyJob):
        def Run(self, *args: Any, **kwargs: Any) -> None:
            raise raised

    dojob = carried_out(Raises, default_tries=1)
    assert dojob.nodestatus == {"Raises": False}
    assert dojob.nodeexceptions == {"Raises": raised}


def test_a_runonly_job_is_tried_again(stage: Stage) -> None:
    assert carried_out(stage.runonly("Only", runs=3)).success()
    assert stage.runs["Only"] == 3


def test_a_runonly_job_cannot_succeed_where_nothing_is_done(stage: Stage) -> None:
    dojob = carried_out(stage.runonly("Only"), no_act=True)
    assert stage.said == []
    assert dojob.nodestatus == {"Only": False}


def test_what_run_of_a_runonly_job_returned_is_its_result() -> None:
    class Only(RunonlyJob):
        def Run(self, *args: Any, **kwargs: Any) -> int:
            return 42

    assert carried_out(Only).noderesults == {"Only": 42}


# Runtime Debugging


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""  # standard output is the jobs'
    return captured.err.splitlines()


def test_without_verbose_nothing_is_told(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    carried_out(stage.job("Broken", runs=NEVER))
    assert told(capsys) == []


@pytest.mark.parametrize("options", [{"verbose": True}, {"debug": True}])
def test_verbose_and_debug_are_given_to_configure(
    stage: Stage, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    RootJob = stage.job("RootJob", runs=1)
    dojob = dojobber.DoJobber()
    dojob.configure(RootJob, **options)
    dojob.checknrun()
    lines = [line for line in told(capsys) if line.startswith("RootJob.")]
    assert lines == ["RootJob.check: fail", "RootJob.run: pass", "RootJob.recheck: pass"]


def test_verbose_writes_the_manuals_lines(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    FindTVRemote = stage.job("FindTVRemote", runs=1)
    TurnOnTV = stage.job("TurnOnTV", FindTVRemote, runs=2)
    carried_out(TurnOnTV, verbose=True)
    assert told(capsys) == [
        "FindTVRemote.check: fail",
        "FindTVRemote.run: pass",
        "FindTVRemote.recheck: pass",
        "TurnOnTV.check: fail",
        "TurnOnTV.run: pass",
        'TurnOnTV.recheck: fail "TurnOnTV was run 1 times"',
        "TurnOnTV.check: fail",
        "TurnOnTV.run: pass",
        "TurnOnTV.recheck: pass",
    ]


def test_verbose_tells_a_check_that_passes_and_a_run_that_fails(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    class Root(Job):
        DEPS = (stage.job("Done"), stage.dummy("Group"))

        def Check(self, *args: Any, **kwargs: Any) -> None:
            raise RuntimeError("not so")

        def Run(self, *args: Any, **kwargs: Any) -> None:
            raise RuntimeError("not told")

    carried_out(Root, verbose=True, default_tries=1)
    assert told(capsys) == [
        "Done.check: pass",
        "Group.check: pass",
        "Root.check: fail",
        "Root.run: fail",
        'Root.recheck: fail "not so"',
    ]


def test_verbose_tells_a_runonly_job_as_if_its_check_had_failed(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    carried_out(stage.runonly("Only", runs=2), verbose=True)
    assert told(capsys) == [
        "Only.check: fail",
        "Only.run: fail",
        'Only.recheck: fail "Only was run 1 times"',
        "Only.check: fail",
        "Only.run: pass",
        "Only.recheck: pass",
    ]


def test_verbose_tells_a_message_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    class Root(Job):
        def Check(self, *args: Any, **kwargs: Any) -> None:
            raise RuntimeError('it says "no"\nand again\t%s {}')

        def Run(self, *args: Any, **kwargs: Any) -> None:
            pass

    carried_out(Root, verbose=True, default_tries=1)
    assert capsys.readouterr().err.endswith('Root.recheck: fail "it says "no"\nand again\t%s {}"\n')


def test_verbose_tells_what_is_only_looked_at(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    undone = stage.job("Undone", stage.job("Done"), runs=1)
    carried_out(stage.dummy("Root", undone, stage.runonly("Only")), verbose=True, no_act=True)
    assert told(capsys) == ["Done.check: pass", "Undone.check: fail", "Only.check: fail"]


def test_verbose_tells_a_cleanup_that_fails(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    def cleanup(self: Job) -> None:
        raise RuntimeError("it stays")

    with pytest.raises(RuntimeError, match="it stays"):
        carried_out(stage.job("Root", runs=1, Cleanup=cleanup), verbose=True)
    assert told(capsys)[-1] == 'Root.cleanup: fail "it stays"'


def test_verbose_does_not_tell_a_cleanup_that_goes_well(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    carried_out(stage.job("Root", runs=1, cleans=True), verbose=True)
    assert told(capsys)[-1] == "Root.recheck: pass"


def test_debug_also_shows_the_stack_of_each_failure(capsys: pytest.CaptureFixture[str]) -> None:
    class Root(Job):
        def Check(self, *args: Any, **kwargs: Any) -> None:
            look(self._check_phase)

        def Run(self, *args: Any, **kwargs: Any) -> None:
            raise KeyError("of Run")

    def look(phase: str) -> None:
        raise ValueError(f"of {phase}")

    carried_out(Root, debug=True, default_tries=1)
    lines = told(capsys)
    at = [lines.index(start) for start in ("Root.check: fail", "Root.run: fail")]
    at.append(lines.index('Root.recheck: fail "of recheck"'))
    for start, last in zip(at, ("ValueError: of check", "KeyError: 'of Run'", None), strict=True):
        assert lines[start + 1] == "Traceback (most recent call last):"
        assert last is None or last in lines[start:]
    assert lines[-1] == "ValueError: of recheck"
    assert sum("in look" in line for line in lines) == 2


def test_debug_shows_no_stack_where_nothing_failed(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    carried_out(stage.job("Root"), debug=True)
    assert told(capsys) == ["Root.check: pass"]


# Development Debugging


def test_the_log_level_is_given_when_it_is_made(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    dojob = dojobber.DoJobber(dojobber_loglevel=logging.DEBUG)
    dojob.configure(stage.job("Root", stage.job("Below")))
    lines = told(capsys)
    assert any("Root needs Below" in line for line in lines)
    assert any("Below needs nothing" in line for line in lines)
    dojob.checknrun()
    assert told(capsys) != []


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.CRITICAL, "ERROR"])
def test_what_is_for_debugging_is_not_told_at_higher_levels(
    stage: Stage, level: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    dojob = dojobber.DoJobber(dojobber_loglevel=level)
    dojob.configure(stage.job("Root"))
    dojob.checknrun()
    assert told(capsys) == []


def test_by_default_only_critical_news_is_told(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    carried_out(stage.job("Root"))
    assert told(capsys) == []


def test_a_log_level_is_that_of_one_dojobber(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    talks = dojobber.DoJobber(dojobber_loglevel=logging.DEBUG)
    silent = dojobber.DoJobber()
    silent.configure(stage.job("Silent"))
    assert told(capsys) == []
    talks.configure(stage.job("Talks"))
    assert any("Talks needs nothing" in line for line in told(capsys))


def test_deps_that_are_no_collection_are_told(stage: Stage) -> None:
    root = stage.job("Root")
    root.DEPS = 7  # type: ignore[assignment]
    with pytest.raises(DefinitionError, match=r"Root\.DEPS is 7, which cannot be iterated"):
        dojobber.DoJobber(dojobber_loglevel=logging.DEBUG).configure(root)


def test_the_lines_go_to_what_is_standard_error_when_it_runs() -> None:
    script = """
import dojobber, io, sys
class Root(dojobber.DummyJob): pass
dojob = dojobber.DoJobber()
dojob.configure(Root, verbose=True)
sys.stderr = io.StringIO()
dojob.checknrun()
print(repr(sys.stderr.getvalue()))
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "'Root.check: pass\\n'\n"
    assert ran.stderr == ""
