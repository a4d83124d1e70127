"""Runs are listed, shown, explained and followed; what jobs wrote does a terminal no harm."""

import json
import subprocess
from contextlib import closing

import pytest

from headway.adapters.opening import open_store
from headway.testing.kept_workers import noted, presence
from tests.doors.typed import HEADWAY, Place, ended

ESTATE = """
    from headway import DummyJob, Job

    class Ground(Job):
        TRIES = 2
        RETRY_DELAY = 0
        def Check(self): raise ValueError("the ground is wet")
        def Run(self):
            self.output.warning("mopping")
            self.run(["printf", "a\\\\nb\\\\n"])

    class House(Job):
        DEPS = (Ground,)
        def Check(self): pass

    class Roof(House):
        DEPS = (House,)

    class Fence(Job):
        painted = False
        def Check(self): assert Fence.painted, "bare wood"
        def Run(self): Fence.painted = True

    class Estate(DummyJob):
        DEPS = (Roof, Fence)
"""


@pytest.fixture
def estate(place: Place) -> Place:
    place.write("estate.py", ESTATE)
    place.type("run", "estate.py:Estate", code=1)
    return place


def test_runs_are_listed_newest_first(two_jobs: Place) -> None:
    for _ in range(3):
        two_jobs.type("run", "hello.py")
    found = two_jobs.type("runs", "--json").json
    assert [run["state"] for run in found] == ["succeeded"] * 3
    assert found == sorted(found, key=lambda run: run["began_at"], reverse=True)
    assert {run["target"] for run in found} == {"hello.py"}
    said = two_jobs.type("runs", "--limit", "2")
    assert said.lines[0].split() == ["RUN", "STATE", "BEGAN", "TOOK", "JOBS", "WHO", "TARGET"]
    assert [line.split()[0] for line in said.lines[1:]] == [run["run"][:12] for run in found[:2]]


def test_show_tells_each_job_with_its_state_tries_and_reason(estate: Place) -> None:
    said = estate.type("show")
    assert said.lines[0] == f"run {estate.last_run()[:12]}  estate.py:Estate  failed"
    table = {
        line.split()[1]: " ".join(line.split())
        for line in said.lines
        if line.startswith(("✗", "✔", "⊘"))
    }
    assert table["Ground"].startswith("✗ Ground failed 2 tries")
    assert table["Ground"].endswith("the ground is wet")
    assert table["House"] == "⊘ House blocked by Ground"
    assert table["Estate"] == "⊘ Estate blocked by Ground"
    assert table["Fence"].startswith("✔ Fence repaired")


def test_show_tells_one_job_with_all_its_tries(estate: Place) -> None:
    said = estate.type("show", "--job", "Ground")
    assert said.lines[0].split() == ["✗", "Ground", "failed"]
    assert said.out.count("recheck failed: the ground is wet") == 2
    found = estate.type("show", "--job", "Ground", "--json").json["jobs"][0]
    assert found["tries"] == 2
    assert [one["ending"] for one in found["history"]] == ["failed", "failed"]
    assert found["history"][0]["reason"] == {"type": "ValueError", "message": "the ground is wet"}
    assert found["history"][0]["executed"] is True


def test_a_run_is_named_by_any_unique_prefix(estate: Place) -> None:
    run = estate.last_run()
    assert estate.type("show", run[:9], "--json").json["run"] == run
    assert estate.type("show", run.upper()[:14], "--json").json["run"] == run


@pytest.mark.parametrize(
    ("job", "parts"),
    [
        ("Ground", ["all of its 2 tries failed", "recheck after Run said: the ground is wet",
                    "it wrote last:", "mopping", "headway retry"]),
        ("House", ["it needs Ground, which is failed: the ground is wet"]),
        ("Estate", ["it needs Ground (through Roof and House), which is failed"]),
        ("Fence", ["its Check said: bare wood", "then its Check passed"]),
    ],
)  # fmt: skip
def test_why_says_in_words_why_a_job_stands_where_it_stands(
    estate: Place, job: str, parts: list[str]
) -> None:
    said = estate.type("why", job)
    for part in parts:
        assert part in said.out
    assert estate.type("why", estate.last_run()[:10], job).out == said.out


def test_why_without_a_job_tells_of_every_job_in_trouble(estate: Place) -> None:
    assert "Ground is failed" in estate.type("why").out
    assert "House" not in estate.type("why", estate.last_run()[:12]).out
    found = estate.type("why", "House", "--json").json
    assert found["blocked_by"] == ["Ground"]
    assert found["because"] == ["it needs Ground, which is failed: the ground is wet"]


def test_a_job_whose_name_is_nearly_right_is_suggested(estate: Place) -> None:
    said = estate.type("why", "Hous", code=64)
    assert "Did you mean House" in said.err


def test_logs_show_what_was_written_with_its_job(estate: Place) -> None:
    said = estate.type("logs")
    assert said.lines == ["Ground | mopping", "Ground | a", "Ground | b"] * 2
    assert estate.type("logs", "--job", "Ground").lines == ["mopping", "a", "b"] * 2
    assert estate.type("logs", "--job", "Fence").out == ""
    first = json.loads(estate.type("logs", "--json").lines[1])
    assert (first["job"], first["try"], first["stream"], first["text"]) == ("Ground", 1, "out", "a")


def test_lines_that_were_lost_are_a_counted_gap(place: Place) -> None:
    place.write(
        "talk.py",
        """
        from headway import RunonlyJob
        class Talk(RunonlyJob):
            def Run(self):
                for n in range(12_000): self.output.info("%d", n)
        """,
    )
    place.type("run", "talk.py", "-q")
    said = place.type("logs")
    lost = [line for line in said.lines if line.endswith("more, not kept)")]
    assert sum(int(line.split("(")[1].split()[0]) for line in lost) + len(said.lines) - len(
        lost
    ) == (12_000)
    assert lost


def test_logs_follow_a_run_until_it_is_over(place: Place) -> None:
    place.write(
        "slow.py",
        """
        from pathlib import Path
        from headway import RunonlyJob
        class Slow(RunonlyJob):
            def Run(self):
                self.output.info("one")
                Path("here").write_text("here")
                Path("go").read_text()
                self.output.info("two")
        """,
    )
    here, go = place.signal("here"), place.signal("go")
    run = place.begin("run", "slow.py")
    here.read_text()
    follower = place.begin("logs", "-f")
    assert follower.stdout is not None
    assert follower.stdout.readline() == "Slow | one\n"
    go.write_text("go")
    assert ended(follower).out == "Slow | two\n"
    assert ended(run).code == 0


HARMFUL = """
    from headway import Job
    def colour(text): return chr(27) + "[31m" + text + chr(27) + "[2J" + chr(7) + chr(0x202E)
    class Evil(Job):
        TRIES = 1
        def Check(self, **_): raise Exception(colour("fail"))
        def Run(self, **_): self.output.info(colour("out"))
    Evil.__name__ = colour("Evil")
    ROOT = Evil
"""


@pytest.mark.parametrize(
    "words", ["run evil.py -v", "plan evil.py", "show", "why", "runs", "graph", "retry"]
)
def test_nothing_a_job_says_steers_the_terminal(place: Place, words: str) -> None:
    place.write("evil.py", HARMFUL)
    place.type("run", "evil.py", "-q", "--set", "a=\x1b]0;x\x07", code=1)
    said = place.type(*words.split(), code=None)
    for character in "\x1b\x07\u202e":
        assert character not in said.out
    if words == "show":
        assert "\\x1b[31mEvil" in said.out


def test_what_is_written_to_a_file_is_written_as_it_was(place: Place) -> None:
    place.write("evil.py", HARMFUL)
    place.type("run", "evil.py", "-q", code=1)
    assert "\x1b[31mout" in place.type("logs", "--job", "\x1b[31mEvil\x1b[2J\x07\u202e").out


def test_a_reader_that_leaves_early_is_no_error(two_jobs: Place) -> None:
    for _ in range(3):
        two_jobs.type("run", "hello.py")
    for typed in (
        "runs | head -1",
        "show --json | true",
        "logs | true",
        "--help | true",
        "runs >&-",
    ):
        done = subprocess.run(
            ["sh", "-c", f"{HEADWAY} {typed}"],
            cwd=two_jobs.directory,
            env=two_jobs.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""


def test_a_run_goes_on_when_nobody_reads_any_more(place: Place) -> None:
    place.write(
        "many.py",
        """
        from pathlib import Path
        from headway import DummyJob, Job
        class One(Job):
            def Check(self): assert Path(self.NAME).exists()
            def Run(self): Path(self.NAME).touch()
        class All(DummyJob):
            DEPS = [type(f"One{n}", (One,), {"NAME": f"one{n}"}) for n in range(50)]
        """,
    )
    done = subprocess.run(
        ["sh", "-c", f"{HEADWAY} run many.py:All -v 2>&1 | true"],
        cwd=place.directory,
        env=place.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    (run,) = place.type("runs", "--json").json
    assert run["state"] == "succeeded"
    assert (place.directory / "one49").exists()


def test_old_runs_are_forgotten_but_for_the_newest(two_jobs: Place) -> None:
    for _ in range(4):
        two_jobs.type("run", "hello.py")
    assert "forgot 0 runs" in two_jobs.type("prune").out
    assert "forgot 3 runs" in two_jobs.type("prune", "--keep", "1").out
    assert len(two_jobs.type("runs", "--json").json) == 1
    assert "forgot 0 runs" in two_jobs.type("prune", "--older-than", "1h").out


def test_workers_are_forgotten_with_old_runs_once_they_are_lost(two_jobs: Place) -> None:
    two_jobs.type("run", "hello.py")
    with closing(open_store(two_jobs.directory / ".headway" / "headway.db")) as store:
        noted(store, presence("lost"), seen_s=7200.0)
        noted(store, presence("there"))
    assert "forgot 0 runs of" in two_jobs.type("prune", "--older-than", "3h").out
    assert "forgot 0 runs and 1 worker of" in two_jobs.type("prune", "--older-than", "1h").out
    assert "forgot 1 run of" in two_jobs.type("prune", "--keep", "0").out


def test_the_store_says_when_there_is_nothing_to_upgrade(two_jobs: Place) -> None:
    two_jobs.type("run", "hello.py")
    assert "has the newest schema already" in two_jobs.type("db", "upgrade").out


def test_pictures_are_drawn_of_targets_and_runs(estate: Place) -> None:
    assert "House" in estate.type("graph", "estate.py:Estate").out
    assert "blocked" in estate.type("graph").out
    assert estate.type("graph", "--format", "dot").out.startswith("digraph")
    assert estate.type("graph", "--format", "mermaid").out.startswith("---")
    for name in ("run.svg", "run.png", "run.dot", "run.mmd"):
        assert f"drew 5 jobs into {name}" in estate.type("graph", "-o", name).out
    assert (estate.directory / "run.svg").read_bytes().startswith(b"<?xml")
    assert (estate.directory / "run.png").read_bytes().startswith(b"\x89PNG")
    assert "cannot be written" in estate.type("graph", "-o", "no/where.svg", code=1).err
