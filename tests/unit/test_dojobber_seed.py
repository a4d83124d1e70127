"""DoJobber's manual, section by section (1): jobs, arguments, storage, Cleanup, jobs on the fly.

Each claim of the manual is a test, and each of its snippets runs: its sketches are completed,
and what would do harm on this machine is replaced by something like it that does none. The
sections on retries, job types and logging go on in test_dojobber_retries.py and
test_dojobber_types.py; what the manual leaves open is in test_dojobber_surface.py.
"""

import argparse
import ast
import http.server
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

import dojobber
from dojobber import DummyJob, Job
from tests.unit.dojobbing import NEVER, Stage, carried_out, configured

CPUINFO = Path("/proc/cpuinfo")

# Which test holds which of the manual's snippets, in its order.
SNIPPETS = {
    "Job Structure: FriendsArrive": "test_a_job_is_a_class_with_deps_check_and_run",
    "Job Arguments: set_args": "test_set_args_gives_arguments_to_check_and_run",
    "Job Arguments: accept both": "test_set_args_gives_arguments_to_check_and_run",
    "Job Arguments: argparse": "test_what_argparse_found_can_be_given_as_it_is",
    "Job Arguments: by name": "test_what_argparse_found_can_be_given_as_it_is",
    "Local Job Storage: UselessExample": "test_what_check_looked_up_run_may_use",
    "Global Job Storage: CountCPUs": "test_what_one_job_counts_another_may_use",
    "Cleanup: cleanup=False": "test_with_cleanup_off_cleanups_run_when_asked_for",
    "Creating Jobs Dynamically: SendInvite": "test_jobs_can_be_made_on_the_fly",
    "Creating Jobs Dynamically: InviteFriends": "test_jobs_can_be_made_on_the_fly",
    "Retry Logic: a loop of one's own": "test_a_loop_of_ones_own_asks_every_check_again",
    "TRIES: Foo and Bar": "test_tries_are_the_classs_own_or_the_default",
    "RETRY_DELAY: Foo and Bar": "test_a_delay_is_the_classs_own_or_the_default",
    "Delay minimization: the output": "test_the_manuals_retries_are_interleaved_as_it_prints_them",
    "Job: CreateUser": "test_a_job_may_call_commands_to_create_a_user",
    "DummyJob: PlaceHolder": "test_a_dummy_job_groups_what_it_needs",
    "RunonlyJob: RemoveDangerously": "test_a_runonly_job_runs_every_time",
    "Runtime Debugging: verbose and debug": "test_verbose_and_debug_are_given_to_configure",
    "Runtime Debugging: the output": "test_verbose_writes_the_manuals_lines",
    "Development Debugging: dojobber_loglevel": "test_the_log_level_is_given_when_it_is_made",
}


def test_each_snippet_of_the_manual_is_held_by_a_test_there_is() -> None:
    here = Path(__file__).parent
    names = {
        node.name
        for path in here.glob("test_dojobber_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert set(SNIPPETS.values()) <= names
    assert len(SNIPPETS) == 20


@pytest.fixture
def stage() -> Stage:
    return Stage()


# DoJobber: what it is for


def test_a_job_starts_when_all_it_needs_has_succeeded_up_to_the_root(stage: Stage) -> None:
    bottom = stage.job("Bottom", runs=1)
    left, right = stage.job("Left", bottom), stage.job("Right", bottom)
    dojob = carried_out(stage.job("Root", left, right))
    assert stage.said == [
        "Bottom.check", "Bottom.run", "Bottom.recheck", "Left.check", "Right.check", "Root.check",
    ]  # fmt: skip
    assert dojob.success()


def test_where_a_job_fails_for_good_what_needs_it_does_not_start_and_the_rest_goes_on(
    stage: Stage,
) -> None:
    broken = stage.job("Broken", runs=NEVER)
    above = stage.job("Above", broken)
    beside = stage.job("Beside")
    dojob = carried_out(stage.job("Root", above, beside), default_tries=1)
    assert stage.said == ["Broken.check", "Broken.run", "Broken.recheck", "Beside.check"]
    assert dojob.nodestatus == {"Broken": False, "Above": None, "Beside": True, "Root": None}


def test_a_script_that_is_run_again_comes_closer_to_the_end_each_time(stage: Stage) -> None:
    first = stage.job("First", runs=1)
    second = stage.job("Second", first, runs=2)
    root = stage.job("Root", second, runs=1)
    assert not carried_out(root, default_tries=1).success()
    assert carried_out(root, default_tries=1).success()
    stage.said.clear()
    assert carried_out(root, default_tries=1).success()
    assert stage.said == ["First.check", "Second.check", "Root.check"]  # nothing to do


# Job Structure


def test_a_job_is_a_class_with_deps_check_and_run() -> None:
    arrived: list[str] = []

    class InviteFriends(DummyJob):
        pass

    class FriendsArrive(Job):
        DEPS = (InviteFriends,)

        def Check(self, *dummy_args: Any, **dummy_kwargs: Any) -> None:
            if not arrived:
                raise RuntimeError("nobody is here yet")

        def Run(self, *dummy_args: Any, **dummy_kwargs: Any) -> None:
            arrived.append("a friend")

    dojob = dojobber.DoJobber()
    dojob.configure(FriendsArrive)
    dojob.checknrun()
    assert dojob.success()
    assert arrived == ["a friend"]
    assert dojob.nodestatus == {"InviteFriends": True, "FriendsArrive": True}


# DEPS


def test_the_graph_is_made_from_deps(stage: Stage) -> None:
    one, two = stage.job("One"), stage.job("Two")
    root = stage.job("Root", two, one)
    carried_out(root)
    assert stage.said == ["Two.check", "One.check", "Root.check"]


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_deps_are_a_list_a_tuple_or_a_set(stage: Stage, kind: Any) -> None:
    root = stage.job("Root")
    root.DEPS = kind([stage.job("One")])
    assert carried_out(root).nodestatus == {"One": True, "Root": True}


def test_a_class_that_is_reached_twice_is_one_job(stage: Stage) -> None:
    shared = stage.job("Shared")
    carried_out(stage.job("Root", stage.job("Left", shared), stage.job("Right", shared)))
    assert stage.said.count("Shared.check") == 1


# Check


def test_a_check_that_raises_nothing_passes_whatever_it_returns() -> None:
    class Falsehood(Job):
        def Check(self, *args: Any, **kwargs: Any) -> bool:
            return False

    dojob = carried_out(Falsehood)
    assert dojob.success()
    assert dojob.noderesults == {"Falsehood": False}


def test_a_job_whose_check_passes_is_not_run(stage: Stage) -> None:
    carried_out(stage.job("Done"))
    assert stage.said == ["Done.check"]


# Run


def test_run_follows_a_check_that_failed(stage: Stage) -> None:
    carried_out(stage.job("Undone", runs=1))
    assert stage.said == ["Undone.check", "Undone.run", "Undone.recheck"]


@pytest.mark.parametrize(
    "ends_with",
    [None, False, ValueError("no"), SystemExit(3), SystemExit(), GeneratorExit()],
    ids=["None", "False", "an exception", "exit 3", "exit", "another way out"],
)
def test_what_run_returns_or_raises_or_that_it_exits_decides_nothing(ends_with: Any) -> None:
    done: list[str] = []

    class Acts(Job):
        def Check(self, *args: Any, **kwargs: Any) -> None:
            if not done:
                raise RuntimeError("not done")

        def Run(self, *args: Any, **kwargs: Any) -> Any:
            done.append("it")
            if isinstance(ends_with, BaseException):
                raise ends_with
            return ends_with

    dojob = carried_out(Acts)
    assert dojob.success()
    assert dojob.nodeexceptions == {}


# Recheck


def test_recheck_is_check_once_more_and_decides(stage: Stage) -> None:
    dojob = carried_out(stage.job("Hopeless", runs=NEVER), default_tries=1)
    assert stage.said == ["Hopeless.check", "Hopeless.run", "Hopeless.recheck"]
    assert not dojob.success()
    assert str(dojob.nodeexceptions["Hopeless"]) == "Hopeless was run 1 times"


def test_a_recheck_that_passes_lets_go_what_needs_the_job(stage: Stage) -> None:
    dojob = carried_out(stage.job("Root", stage.job("Undone", runs=1)))
    assert stage.said[-1] == "Root.check"
    assert dojob.success()


# Job Features: Job Arguments


def test_set_args_gives_arguments_to_check_and_run() -> None:
    seen: list[Any] = []

    class RootJob(Job):
        def Check(self, *args: Any, **kwargs: Any) -> None:
            seen.append((self._check_phase, args, kwargs))
            if len(seen) < 3:
                raise RuntimeError("not yet")

        def Run(self, *args: Any, **kwargs: Any) -> None:
            seen.append(("run", args, kwargs))

    dojob = dojobber.DoJobber()
    dojob.configure(RootJob)
    dojob.set_args("arg1", "arg2", foo="foo", bar="bar")
    dojob.checknrun()
    given = (("arg1", "arg2"), {"foo": "foo", "bar": "bar"})
    assert seen == [("check", *given), ("run", *given), ("recheck", *given)]


def test_arguments_set_again_take_the_place_of_the_first() -> None:
    seen: list[Any] = []

    class RootJob(Job):
        def Check(self, *args: Any, **kwargs: Any) -> None:
            seen.append((args, kwargs))

    dojob = configured(RootJob)
    dojob.set_args(1, one=1)
    dojob.set_args(2)
    dojob.checknrun()
    assert seen == [((2,), {})]


def test_without_arguments_check_and_run_are_called_with_none() -> None:
    class Plain(Job):
        def Check(self) -> None:
            pass

        def Run(self) -> None:
            pass

    assert carried_out(Plain).success()


@pytest.mark.parametrize(("movie", "succeeds"), [("Zardoz", False), ("Alien", True)])
def test_what_argparse_found_can_be_given_as_it_is(movie: str, succeeds: bool) -> None:
    class RootJob(Job):
        TRIES = 1

        def Check(self, *args: Any, **kwargs: Any) -> None:
            if kwargs["movie"] == "Zardoz":
                raise ValueError("Really?")

        def Run(self, *args: Any, **kwargs: Any) -> None:
            pass

    myparser = argparse.ArgumentParser()
    myparser.add_argument("--movie", dest="movie", help="Movie to watch.")
    args = myparser.parse_args(["--movie", movie])
    dojob = dojobber.DoJobber()
    dojob.configure(RootJob)
    dojob.set_args(**args.__dict__)
    dojob.checknrun()
    assert dojob.success() == succeeds


# Local Job Storage


def test_what_check_looked_up_run_may_use(tmp_path: Path) -> None:
    calls: list[str] = []
    written = tmp_path / "written"
    command = [sys.executable, "-c", f"import sys; open({str(written)!r}, 'a').write(sys.argv[1])"]

    class UselessExample(Job):
        def Check(self, *dummy_args: Any, **dummy_kwargs: Any) -> None:
            if not self.storage.get("sql_username"):
                calls.append("an expensive API call")
                self.storage["sql_username"] = "sarah"
            if not written.exists():
                raise RuntimeError("not written")

        def Run(self, *dummy_args: Any, **kwargs: Any) -> None:
            subprocess.call([*command, self.storage["sql_username"]])

    assert carried_out(UselessExample).success()
    assert written.read_text() == "sarah"
    assert calls == ["an expensive API call"]


def test_a_jobs_storage_is_not_there_for_other_jobs() -> None:
    seen: list[dict[str, Any]] = []

    class One(Job):
        def Check(self, *args: Any, **kwargs: Any) -> None:
            self.storage["mine"] = 1

    class Two(Job):
        DEPS = (One,)

        def Check(self, *args: Any, **kwargs: Any) -> None:
            seen.append(dict(self.storage))

    carried_out(Two)
    assert seen == [{}]


# Global Job Storage


@pytest.mark.skipif(not CPUINFO.exists(), reason="this system tells of its CPUs elsewhere")
def test_what_one_job_counts_another_may_use() -> None:
    set_for: list[int] = []

    class CountCPUs(Job):
        def Check(self, *dummy_args: Any, **dummy_kwargs: Any) -> None:
            self.global_storage["num_cpus"] = len(
                [x for x in CPUINFO.read_text().splitlines() if "processor" in x]
            )

    class FixFanSpeed(Job):
        DEPS = (CountCPUs,)

        def Check(self, *args: Any, **kwargs: Any) -> None:
            for cpu in range(self.global_storage["num_cpus"]):
                if cpu not in set_for:
                    raise RuntimeError(f"the fan of CPU {cpu} runs as it likes")

        def Run(self, *args: Any, **kwargs: Any) -> None:
            set_for.extend(range(self.global_storage["num_cpus"]))

    assert carried_out(FixFanSpeed).success()
    assert set_for


def test_a_global_name_that_is_used_twice_is_one_and_the_same() -> None:
    class One(Job):
        def Check(self, *args: Any, **kwargs: Any) -> None:
            self.global_storage["name"] = "one"

    class Two(Job):
        DEPS = (One,)

        def Check(self, *args: Any, **kwargs: Any) -> Any:
            self.global_storage["name"] += " and two"
            return self.global_storage["name"]

    assert carried_out(Two).noderesults["Two"] == "one and two"


# Cleanup


def test_cleanups_run_after_all_the_rest_last_first_and_of_jobs_that_ran_only(
    stage: Stage,
) -> None:
    first = stage.job("First", runs=1, cleans=True)
    done = stage.job("Done", first, cleans=True)
    second = stage.job("Second", done, runs=1, cleans=True)
    third = stage.job("Third", second, runs=1)
    carried_out(third)
    assert stage.said[-1:] == ["First.cleanup"]
    assert [one for one in stage.said if "cleanup" in one] == ["Second.cleanup", "First.cleanup"]
    assert stage.said.index("Second.cleanup") > stage.said.index("Third.recheck")


def test_cleanups_run_of_jobs_that_failed_too(stage: Stage) -> None:
    carried_out(stage.job("Broken", runs=NEVER, cleans=True), default_tries=1)
    assert stage.said[-1] == "Broken.cleanup"


@pytest.mark.parametrize("given_to", ["DoJobber", "configure"])
def test_with_cleanup_off_cleanups_run_when_asked_for(stage: Stage, given_to: str) -> None:
    RootJob = stage.job("RootJob", stage.job("Below", runs=1, cleans=True), runs=1, cleans=True)
    off: dict[str, Any] = {"cleanup": False}
    dojob = dojobber.DoJobber(**(off if given_to == "DoJobber" else {}))
    dojob.configure(RootJob, **(off if given_to == "configure" else {}))
    dojob.checknrun()
    assert stage.said[-1] == "RootJob.recheck"
    dojob.cleanup()
    assert stage.said[-2:] == ["RootJob.cleanup", "Below.cleanup"]


# Creating Jobs Dynamically


@pytest.fixture
def api() -> Iterator[SimpleNamespace]:
    """A small server that remembers who was invited."""
    invited: set[str] = set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200 if self._who() in invited else 404)

        def do_POST(self) -> None:
            invited.add(self._who())
            self._answer(201)

        def _who(self) -> str:
            return urllib.parse.unquote(self.path.rsplit("/", 1)[1])

        def _answer(self, code: int) -> None:
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", invited=invited)
        server.shutdown()
        thread.join()


def test_jobs_can_be_made_on_the_fly(api: SimpleNamespace) -> None:
    class SendInvite(Job):
        EMAIL: ClassVar[str]
        NAME: ClassVar[str]

        def Check(self, *args: Any, **kwargs: Any) -> None:
            try:
                with urllib.request.urlopen(f"{api.url}/invited/{self.EMAIL}") as r:
                    assert r.status == 200
            except urllib.error.HTTPError as error:
                error.close()
                raise

        def Run(self, *args: Any, **kwargs: Any) -> None:
            request = urllib.request.Request(f"{api.url}/invite/{self.EMAIL}", method="POST")
            urllib.request.urlopen(request).close()

    class InviteFriends(DummyJob):
        DEPS: ClassVar[list[type[Job]]] = []

    def invite_friends(people: list[dict[str, str]]) -> None:
        for person in people:
            job: Any = type("Invite {}".format(person["name"]), (SendInvite,), {})
            job.EMAIL = person["email"]
            job.NAME = person["name"]
            InviteFriends.DEPS.append(job)

    def main() -> dojobber.DoJobber:
        invite_friends(
            [
                {"name": "Wendell Bagg", "email": "bagg@example.com"},
                {"name": "Lawyer Cat", "email": "lawyercat@example.com"},
            ]
        )
        return carried_out(InviteFriends)

    assert main().nodestatus == {
        "Invite Wendell Bagg": True,
        "Invite Lawyer Cat": True,
        "InviteFriends": True,
    }
    assert api.invited == {"bagg@example.com", "lawyercat@example.com"}


def test_jobs_added_after_configure_are_there_when_it_is_configured_again(stage: Stage) -> None:
    root = stage.job("Root")
    root.DEPS = []
    dojob = configured(root)
    root.DEPS.append(stage.job("Late"))
    dojob.configure(root)
    dojob.checknrun()
    assert dojob.nodestatus == {"Late": True, "Root": True}
