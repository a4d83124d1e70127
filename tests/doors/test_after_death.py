"""A run that was cut off goes on: killed, interrupted, terminated, cancelled, in doubt."""

import os
import signal
import subprocess

import pytest

from tests.doors.typed import Place, ended

# Each job that is told to wait says "here" through one FIFO and waits for "go" at another.
HELD = """
    from pathlib import Path
    from headway import Job, RunonlyJob

    def wait():
        Path("here").write_text("here")
        Path("go").read_text()

    def trace(what):
        with Path("trace").open("a") as file:
            print(what, file=file)

    class Before(Job):
        def Check(self): assert Path("before").exists(), "not yet before"
        def Run(self):
            trace("Before")
            Path("before").touch()
        def Cleanup(self): trace("clean Before")

    class Held(Job):
        DEPS = (Before,)
        def Check(self): assert Path("held").exists(), "not yet held"
        def Run(self):
            self.output.info("holding")
            wait()
            trace("Held")
            Path("held").touch()

    class Send(RunonlyJob):
        DEPS = (Before,)
        def Run(self):
            wait()
            trace("Send")

    class After(Job):
        DEPS = (Held,)
        def Check(self): assert Path("after").exists(), "not yet after"
        def Run(self):
            trace("After")
            Path("after").touch()

    class Sent(After):
        DEPS = (Send,)
"""


class Held(Place):
    """A place where jobs wait for the test, and the test for them."""

    def hold(self, *words: str, **more: object) -> "subprocess.Popen[str]":
        """Type a command and return when a job of it waits."""
        process = self.begin(*words, **more)
        assert (self.directory / "here").read_text() == "here"
        return process

    def let_go(self) -> None:
        """Wait for a job to come to the same place, and let it go on."""
        assert (self.directory / "here").read_text() == "here"
        (self.directory / "go").write_text("go")

    def resume_and_let_go(self, *words: str) -> tuple[int, str]:
        process = self.begin("resume", *words)
        self.let_go()
        said = ended(process)
        return said.code, said.out

    @property
    def trace(self) -> list[str]:
        file = self.directory / "trace"
        return file.read_text().splitlines() if file.exists() else []

    def states(self) -> dict[str, str]:
        return {job["job"]: job["state"] for job in self.type("show", "--json").json["jobs"]}


@pytest.fixture
def held(place: Place) -> Held:
    found = Held(place.directory)
    found.write("held.py", HELD)
    found.signal("here")
    found.signal("go")
    return found


def test_a_killed_run_is_interrupted_and_goes_on_where_it_stood(held: Held) -> None:
    process = held.hold("run", "held.py:After")
    process.kill()
    ended(process)
    shown = held.type("show").out
    assert "interrupted" in shown
    assert "cut off in its run" in shown
    code, out = held.resume_and_let_go()
    assert code == 0, out
    assert f"run {held.last_run()[:12]} of held.py:After goes on" in out
    assert held.trace == ["Before", "Held", "After", "clean Before"]
    assert set(held.states().values()) == {"repaired"}
    said = held.type("resume", code=1)
    assert "it succeeded" in said.err


def test_a_source_that_changed_meanwhile_is_named(held: Held) -> None:
    process = held.hold("run", "held.py:After")
    process.kill()
    ended(process)
    held.write("held.py", HELD.replace('trace("After")', 'trace("After, anew")'))
    code, out = held.resume_and_let_go()
    assert code == 0
    assert "changed since then: the code of After; Checks decide" in out
    assert "After, anew" in held.trace


def test_a_plan_that_changed_meanwhile_stops_the_resume_with_the_difference(held: Held) -> None:
    process = held.hold("run", "held.py:After")
    process.kill()
    ended(process)
    held.write("held.py", HELD.replace("DEPS = (Held,)", "DEPS = (Held, Before)"))
    said = held.type("resume", code=1)
    assert "After needs Held, Before instead of Held" in said.err
    assert "interrupted" in held.type("runs").out


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
@pytest.mark.parametrize("words", [(), ("-j", "2")])
def test_a_signal_stops_a_run_that_can_go_on_later(
    held: Held, number: signal.Signals, code: int, words: tuple[str, ...]
) -> None:
    process = held.hold("run", "held.py:After", *words)
    process.send_signal(number)
    if words:
        (held.directory / "go").write_text("go")  # a thread cannot be stopped: it ends by itself
    said = ended(process)
    assert said.code == code, said
    assert "stopping: what runs is asked to end" in said.err
    assert said.out.splitlines()[-3].startswith("interrupted: ")
    assert f"headway resume {held.last_run()[:12]}" in said.out
    assert "clean Before" in held.trace
    assert "Traceback" not in said.err
    if words:
        held.type("resume")
    else:
        assert held.resume_and_let_go()[0] == 0
    states = held.states()
    if words:
        # Its Run was over by itself; whether its Recheck still came before the end is chance. If
        # not, the resume asked its Check, which passes.
        assert states.pop("Held") in ("repaired", "passed")
    assert set(states.values()) == {"repaired"}


def test_a_second_signal_leaves_at_once(held: Held) -> None:
    process = held.hold("run", "held.py:After", "-j", "2")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "stopping" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    said = ended(process)
    assert said.code == 130
    assert "left at once" in said.err
    assert held.resume_and_let_go()[0] == 0


def test_what_the_shell_ignores_stays_ignored(held: Held) -> None:
    process = held.hold(
        "run",
        "held.py:After",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    process.send_signal(signal.SIGHUP)
    (held.directory / "go").write_text("go")
    assert ended(process).code == 0


def test_a_run_that_is_being_worked_on_is_nobody_elses(held: Held) -> None:
    process = held.hold("run", "held.py:After")
    short = held.last_run()[:12]
    for command in ("resume", "retry", "cleanup"):
        said = held.type(command, code=1)
        assert f"run {short} is being worked on by process {process.pid} on {os.uname()[1]}" in (
            said.err
        )
        assert f"headway cancel {short}" in said.err
    assert f"worked on by process {process.pid}" in held.type("show").out
    assert held.type("show", "--json").json["state"] == "running"
    assert "its try 1 has been in run for" in held.type("why", "Held").out
    (held.directory / "go").write_text("go")
    assert ended(process).code == 0


def test_a_run_is_cancelled_from_elsewhere(held: Held) -> None:
    process = held.hold("run", "held.py:After")
    said = held.type("cancel", "--why", "wrong site")
    assert f"run {held.last_run()[:12]}: cancelling" in said.out
    (held.directory / "go").write_text("go")
    assert ended(process).code == 3
    assert held.states() == {"Before": "repaired", "Held": "repaired", "After": "cancelled"}
    assert held.trace == ["Before", "Held", "clean Before"]
    assert "wrong site" in held.type("why", "After").out
    assert "over already" in held.type("cancel", code=1).err
    held.type("resume")
    assert held.states()["After"] == "repaired"


def test_cancelling_a_run_whose_owner_died_cleans_up_and_ends_it(held: Held) -> None:
    process = held.hold("run", "held.py:After")
    process.kill()
    ended(process)
    held.type("cancel")
    assert held.trace == ["Before", "clean Before"]
    assert held.type("runs", "--json").json[0]["state"] == "cancelled"


def test_a_run_whose_code_is_gone_can_still_be_ended(held: Held) -> None:
    process = held.hold("run", "held.py:After")
    process.kill()
    ended(process)
    (held.directory / "held.py").unlink()
    said = held.type("cancel", code=1)
    assert f"headway cancel {held.last_run()[:12]} --no-cleanup" in said.err
    held.type("cancel", "--no-cleanup")
    assert held.type("runs", "--json").json[0]["state"] == "cancelled"


def test_a_run_only_job_in_doubt_waits_for_a_persons_answer(held: Held) -> None:
    process = held.hold("run", "held.py:Sent")
    process.kill()
    ended(process)
    said = held.type("resume", code=4)
    settle = f"headway settle {held.last_run()[:12]} Send --done (or --again, or --failed)"
    assert settle in said.err
    assert held.states()["Send"] == "in doubt"
    assert settle in held.type("why", "Send").out
    assert held.type("resume", code=4).err == said.err
    found = held.type("resume", "--json", code=4).json
    assert (found["state"], found["in_doubt"], found["exit"]) == ("in doubt", ["Send"], 4)
    assert "say how" in held.type("settle", "Send", code=64).err
    assert "Before is not in doubt" in held.type("settle", "Before", "--done", code=1).err
    said = held.type("settle", "Send", "--done", "--why", "it is in the outbox")
    assert "headway resume" in said.out
    held.type("resume")
    assert held.trace == ["Before", "After", "clean Before"]
    assert "it is in the outbox" in held.type("why", "Send").out


@pytest.mark.parametrize(("answer", "code"), [("--again", 0), ("--failed", 1)])
def test_the_answer_decides_how_a_job_in_doubt_goes_on(held: Held, answer: str, code: int) -> None:
    process = held.hold("run", "held.py:Sent")
    process.kill()
    ended(process)
    held.type("settle", held.last_run()[:10], "Send", answer)
    if answer == "--again":
        assert held.resume_and_let_go()[0] == code
        assert "Send" in held.trace
    else:
        held.type("resume", code=code)
        assert held.states() == {"Before": "repaired", "Send": "failed", "Sent": "blocked"}


def test_retry_tries_again_what_failed_and_nothing_else(place: Place) -> None:
    place.write(
        "shop.py",
        """
        from pathlib import Path
        from headway import Job
        class Shop(Job):
            def Check(self):
                with Path("asked").open("a") as file: file.write("Shop ")
        class Sale(Job):
            DEPS = (Shop,)
            TRIES = 1
            def Check(self): assert Path("customers").exists(), "nobody came"
        class Profit(Job):
            DEPS = (Sale,)
            def Check(self): pass
        """,
    )
    place.type("run", "shop.py", code=1)
    assert "it failed" in place.type("resume", code=1).err
    place.type("retry", code=1)
    place.write("customers", "")
    said = place.type("retry")
    assert said.lines[1].startswith("nothing to do") or said.lines[1].startswith("done")
    assert (place.directory / "asked").read_text() == "Shop "
    assert "nothing failed" in place.type("retry", code=1).err
    place.type("retry", "--from", "Shop")
    assert (place.directory / "asked").read_text() == "Shop Shop "
    tries = place.type("show", "--job", "Sale", "--json").json["jobs"][0]["history"]
    assert [one["ending"] for one in tries] == ["failed", "failed", "passed", "passed"]
    assert [one["try"] for one in tries] == [1, 2, 3, 4]


def test_a_job_is_not_done_anew_before_what_it_needs(place: Place) -> None:
    place.write(
        "shop.py",
        """
        from headway import Job
        class Shop(Job):
            TRIES = 1
            def Check(self): raise Exception("closed")
        class Sale(Job):
            DEPS = (Shop,)
            def Check(self): pass
        """,
    )
    place.type("run", "shop.py", code=1)
    said = place.type("retry", "--from", "Sale", code=1)
    assert "Sale needs Shop, which is failed" in said.err
