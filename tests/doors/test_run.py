"""headway run and headway plan: what is done, what is said, and the code at the end."""

import json

import pytest

from tests.doors.typed import Place

FAILING = """
    from headway import DummyJob, Job

    class Ground(Job):
        TRIES = 2
        RETRY_DELAY = 0
        def Check(self): raise ValueError("the ground is wet")
        def Run(self): self.output.warning("mopping")

    class House(Job):
        DEPS = (Ground,)
        def Check(self): pass

    class Fence(Job):
        def Check(self): pass

    class Estate(DummyJob):
        DEPS = (House, Fence)
"""


def test_a_plan_says_what_would_happen_and_why(two_jobs: Place) -> None:
    said = two_jobs.type("plan", "hello.py", code=2)
    assert said.lines == [
        "→ Folder   will run       there is no folder notes",
        "… Welcome  unknown        until Folder",
        "1 will run, 1 unknown",
    ]


def test_a_run_repairs_what_is_missing_and_says_where_the_record_is(two_jobs: Place) -> None:
    said = two_jobs.type("run", "hello.py")
    assert said.lines[:2] == ["✔ Folder repaired", "✔ Welcome repaired"]
    assert said.lines[2].startswith("done: 2 repaired in ")
    store = two_jobs.directory / ".headway" / "headway.db"
    assert said.lines[3] == f"run {two_jobs.last_run()[:12]} is recorded in {store}"
    assert (two_jobs.directory / "notes/welcome.txt").read_text() == "Hello!"
    assert (two_jobs.directory / ".headway/.gitignore").read_text() == "*\n"


def test_a_second_run_and_a_second_plan_find_nothing_to_do(two_jobs: Place) -> None:
    two_jobs.type("run", "hello.py")
    assert (
        two_jobs.type("run", "hello.py").lines[0].startswith("nothing to do: all 2 jobs are done")
    )
    plan = two_jobs.type("plan", "hello.py")
    assert plan.lines[-1] == "nothing to do: all 2 jobs are done"


def test_a_run_only_job_is_always_something_to_do(place: Place) -> None:
    place.write(
        "ring.py",
        """
        from headway import RunonlyJob
        class Ring(RunonlyJob):
            def Run(self): pass
        """,
    )
    assert "not checkable" in place.type("plan", "ring.py", code=2).out
    for _ in range(2):
        assert "nothing to do" not in place.type("run", "ring.py").out


def test_a_failure_is_told_with_what_it_blocks_and_what_to_type_next(place: Place) -> None:
    place.write("estate.py", FAILING)
    said = place.type("run", "estate.py", code=1)
    short = place.last_run()[:12]
    assert said.lines[:2] == [
        "◷ Ground failed try 1 of 2, again in 0 s: the ground is wet",
        "✗ Ground failed after 2 tries: the ground is wet",
    ]
    assert said.lines[2].startswith("failed: 1 passed, 1 failed, 2 blocked in ")
    assert said.lines[3:7] == [
        "  Ground failed after 2 tries: the ground is wet",
        "    blocks House and Estate",
        f"  headway why {short} Ground  says more",
        f"  headway retry {short}       tries again what failed",
    ]


def test_verbose_tells_each_phase_on_standard_error_and_output_on_standard_output(
    place: Place,
) -> None:
    place.write("estate.py", FAILING)
    said = place.type("run", "estate.py", "-v", code=1)
    assert said.err.splitlines()[:3] == [
        "Ground.check: fail",
        "Ground.run: pass",
        'Ground.recheck: fail "the ground is wet"',
    ]
    assert "Ground | mopping" in said.lines
    assert "✓ Fence passed" in said.lines


def test_quiet_says_nothing_if_all_goes_well(two_jobs: Place) -> None:
    assert two_jobs.type("run", "hello.py", "-q") == (0, "", "")
    two_jobs.write("bad.py", FAILING)
    assert two_jobs.type("run", "bad.py", "-q", code=1).lines[0].startswith("failed: ")


def test_json_tells_each_event_and_sums_up(place: Place) -> None:
    place.write("estate.py", FAILING)
    said = place.type("run", "estate.py", "--json", code=1)
    events = [json.loads(line) for line in said.lines]
    ground = [event["event"] for event in events if event.get("job") == "Ground"]
    assert ground[:4] == ["try-started", "phase-ended", "run-intended", "output-written"]
    summary = events[-1]
    assert summary.pop("run") == place.last_run()
    assert summary.pop("store").endswith("headway.db")
    assert summary == {
        "event": "summary",
        "state": "failed",
        "counts": {"passed": 1, "failed": 1, "blocked": 2},
        "nothing_to_do": False,
        "exit": 1,
    }


def test_inputs_reach_check_and_run(place: Place) -> None:
    place.write(
        "paint.py",
        """
        from pathlib import Path
        from headway import Job
        class Paint(Job):
            def Check(self, colour, coats):
                assert Path("wall").read_text() == colour * coats
            def Run(self, colour, coats):
                Path("wall").write_text(colour * coats)
        """,
    )
    words = ("paint.py", "--set", "colour=red", "--set-json", "coats=2")
    assert place.type("plan", *words, code=2).lines[0].startswith("→ Paint")
    place.type("run", *words)
    assert (place.directory / "wall").read_text() == "redred"
    assert place.type("runs", "--json").json[0]["inputs"] == {"colour": "red", "coats": 2}


def test_a_target_may_be_a_function_of_the_inputs(place: Place) -> None:
    place.write(
        "guests.py",
        """
        from headway import DummyJob, Job
        class Invite(Job):
            def Check(self, **inputs): pass
        def plan(who):
            jobs = [type(f"Invite {name}", (Invite,), {}) for name in who.split(",")]
            return type("Party", (DummyJob,), {"DEPS": jobs})
        """,
    )
    said = place.type("plan", "guests.py", "--set", "who=Ada,Grace")
    assert [line.split("  ")[0] for line in said.lines[:-1]] == [
        "✓ Invite Ada", "✓ Invite Grace", "✓ Party"
    ]  # fmt: skip


def test_a_plan_shows_a_jobs_diff_and_marks_a_check_that_looks_broken(place: Place) -> None:
    place.write(
        "twice.py",
        """
        from headway import DummyJob, Job
        class Config(Job):
            def Check(self): raise Exception("the config is old")
            def Run(self): pass
            def Diff(self): return "-port 80\\n+port 8080"
        class Slip(Job):
            def Check(self): colour
            def Run(self): pass
        class Both(DummyJob):
            DEPS = (Config, Slip)
        """,
    )
    said = place.type("plan", "twice.py", code=2)
    assert said.lines[:4] == [
        "→ Config  will run       the config is old",
        "    -port 80",
        "    +port 8080",
        "→ Slip    will run       looks broken: name 'colour' is not defined",
    ]
    assert place.type("plan", "twice.py", "--strict", code=1).lines == said.lines
    for on in ("threads", "processes"):
        assert place.type("plan", "twice.py", "--on", on, code=2).lines == said.lines
    found = place.type("plan", "twice.py", "--json", code=2).json
    assert found["counts"] == {"will run": 2, "unknown": 1}
    assert [job["looks_broken"] for job in found["jobs"]] == [False, True, False]


def test_a_strict_run_stops_at_a_check_that_looks_broken(place: Place) -> None:
    place.write(
        "slip.py",
        """
        from pathlib import Path
        from headway import Job
        class Slip(Job):
            def Check(self): colour
            def Run(self): Path("ran").touch()
        class Next(Job):
            DEPS = (Slip,)
            def Check(self): pass
        """,
    )
    said = place.type("run", "slip.py", "--strict", code=1)
    assert "NameError" in said.out
    assert "looks broken" in said.out
    assert not (place.directory / "ran").exists()
    place.type("run", "slip.py", "--default-tries", "1", code=1)
    assert (place.directory / "ran").exists()


def test_a_big_plan_is_summarised_unless_all_of_it_is_asked_for(place: Place) -> None:
    place.write(
        "many.py",
        """
        from headway import DummyJob, Job
        class Done(Job):
            def Check(self, **_): pass
        class Missing(Job):
            def Check(self, **_): raise Exception("missing")
            def Run(self, **_): pass
        jobs = [type(f"Done{n}", (Done,), {}) for n in range(60)]
        class All(DummyJob):
            DEPS = [*jobs, Missing]
        """,
    )
    said = place.type("plan", "many.py:All", code=2)
    assert said.lines == [
        "→ Missing  will run       missing",
        "60 done, 1 will run, 1 unknown (-v lists them all)",
    ]
    assert len(place.type("plan", "many.py:All", "-v", code=2).lines) == 63


EVERYTHING_IS_TRACED = """
    from pathlib import Path
    from headway import Job, RunonlyJob

    def trace(what):
        with Path("trace").open("a") as file:
            print(what, file=file)

    class Wall(Job):
        def Check(self):
            trace("Check")
            raise Exception("no wall")
        def Run(self): trace("Run")
        def Cleanup(self): trace("Cleanup")

    class Bell(RunonlyJob):
        DEPS = ()
        def Run(self): trace("Run")
        def Cleanup(self): trace("Cleanup")

    class Server(Job):
        def Check(self):
            self.start(["touch", "started"])
        def Run(self): trace("Run")

    class House(Job):
        DEPS = (Wall, Bell, Server)
        def Check(self): trace("Check of what needs something")
        def Run(self): trace("Run")
"""


@pytest.mark.parametrize("words", [("plan",), ("graph", "--plan")])
def test_no_run_and_no_cleanup_is_reached_by_a_plan(place: Place, words: tuple[str, ...]) -> None:
    place.write("house.py", EVERYTHING_IS_TRACED)
    place.type(*words, "house.py", code=None)
    assert (place.directory / "trace").read_text() == "Check\n"
    assert not (place.directory / "started").exists()
    assert not (place.directory / ".headway").exists()


@pytest.mark.parametrize(
    "words", [("-j", "3"), ("-j", "2", "--on", "threads"), ("--on", "inline"), ("-j", "9",)]
)  # fmt: skip
def test_jobs_run_where_they_are_told_to(two_jobs: Place, words: tuple[str, ...]) -> None:
    two_jobs.type("run", "hello.py", *words)
    assert (two_jobs.directory / "notes/welcome.txt").exists()


def test_the_last_cleanup_comes_first_and_no_cleanup_leaves_it_out(place: Place) -> None:
    place.write(
        "tent.py",
        """
        from pathlib import Path
        from headway import Job
        done = set()
        class Ground(Job):
            def Check(self): assert type(self).__name__ in done
            def Run(self): done.add(type(self).__name__)
            def Cleanup(self):
                with Path("cleaned").open("a") as file: file.write(type(self).__name__ + " ")
        class Tent(Ground):
            DEPS = (Ground,)
        """,
    )
    cleaned = place.directory / "cleaned"
    place.type("run", "tent.py:Tent")
    assert cleaned.read_text() == "Tent Ground "
    cleaned.unlink()
    place.type("run", "tent.py:Tent", "--no-cleanup")
    assert not cleaned.exists()
    assert "2 Cleanups" in place.type("cleanup").out
    assert cleaned.read_text() == "Tent Ground "
    assert "nothing to clean up" in place.type("cleanup").out
    assert place.type("runs", "--json").json[0]["state"] == "succeeded"


def test_a_cleanup_that_fails_spoils_the_run(place: Place) -> None:
    place.write(
        "tent.py",
        """
        from headway import Job
        class Tent(Job):
            up = False
            def Check(self): assert Tent.up
            def Run(self): Tent.up = True
            def Cleanup(self): raise OSError("the pegs are stuck")
        """,
    )
    said = place.type("run", "tent.py", code=1)
    assert "✗ Cleanup of Tent failed: the pegs are stuck" in said.lines
    assert "failed: 1 repaired" in said.out
