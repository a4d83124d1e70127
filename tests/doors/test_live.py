"""On a terminal a run is shown live: what runs, what waits, what ended."""

import json
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.doors.screen import Screen, Terminal
from tests.doors.typed import Place

HELD = """
    import subprocess
    from pathlib import Path
    from headway import DummyJob, Job

    class Flaky(Job):
        RETRY_DELAY = 500
        def Check(self): raise Exception("remote batteries are dead")
        def Run(self): pass

    class Held(Job):
        done = False
        def Check(self): assert Held.done, "not held"
        def Run(self):
            print("printed by the job")
            subprocess.run(["echo", "written by its command"])
            self.output.info("holding \\x1b[2J on")
            Path("here").write_text("here")
            Path("go").read_text()
            Held.done = True

    class Quick(Job):
        done = False
        def Check(self): assert Quick.done, "not quick"
        def Run(self): Quick.done = True

    class Three(DummyJob):
        DEPS = (Flaky, Held, Quick)
"""


@pytest.fixture
def held(place: Place) -> Place:
    place.write("held.py", HELD)
    place.signal("here")
    place.signal("go")
    return place


def below(screen: Screen) -> list[str]:
    """The lines under the cursor: the view."""
    return [line for line in screen.lines[screen.row + 1 :] if line]


def shows(*patterns: str) -> Callable[[Screen], bool]:
    """Whether the view has these lines and no more."""

    def seen(screen: Screen) -> bool:
        lines = below(screen)
        return len(lines) == len(patterns) and all(map(re.match, patterns, lines))

    return seen


@pytest.mark.parametrize("rows", [24, 8])
def test_what_runs_and_what_waits_is_shown_below_what_ended(held: Place, rows: int) -> None:
    with Terminal(held, "run", "held.py", "-j", "2", rows=rows) as terminal:
        (held.directory / "here").read_text()
        terminal.until(
            shows(
                r"▶ Held  run [\d.]+ s  holding \\x1b\[2J on",
                r"◷ Flaky  try 2 of 3 in 8 min \d+ s, waits since [\d.]+ s  remote batteries",
                r"1 of 4 done, 1 running, 1 waiting – [\d.]+ s",
            )
        )
        shown = terminal.screen.text
        assert "✔ Quick repaired" in shown
        # What the job itself let out stands above, whole.
        assert "\nprinted by the job\n" in f"\n{shown}"
        assert "\nwritten by its command\n" in f"\n{shown}"
        terminal.process.terminate()
        (held.directory / "go").write_text("go")
        assert terminal.ended() == 143
        assert "▶ Held" not in terminal.screen.text
        assert "interrupted: " in terminal.screen.text
        assert "\x1b[2J" not in terminal.raw


def test_what_a_job_prints_is_not_mixed_with_the_view(place: Place) -> None:
    place.write(
        "talk.py",
        """
        import sys
        from pathlib import Path
        from headway import RunonlyJob
        class Talk(RunonlyJob):
            def Run(self):
                Path("here").write_text("here")
                Path("go").read_text()
                for n in range(30): print("line", n)
                print("and an error", file=sys.stderr)
        """,
    )
    place.signal("here")
    place.signal("go")
    with Terminal(place, "run", "talk.py", rows=12) as terminal:
        (place.directory / "here").read_text()
        terminal.until(shows("▶ Talk  run", "0 of 1 done, 1 running"))
        (place.directory / "go").write_text("go")
        assert terminal.ended() == 0
        lines = terminal.screen.text.splitlines()
        assert lines[:32] == [*(f"line {n}" for n in range(30)), "and an error", "✓ Talk done"]


def test_ctrl_c_stops_the_run_and_leaves_the_terminal_in_order(held: Place) -> None:
    with Terminal(held, "run", "held.py:Held") as terminal:
        (held.directory / "here").read_text()
        terminal.until(lambda screen: "▶ Held" in screen.text)
        terminal.type("\x03")
        assert terminal.ended() == 130
        shown = terminal.screen.text
        assert "▶ Held" not in shown
        assert "stopping: what runs is asked to end" in shown
        assert "headway resume" in shown
        assert below(terminal.screen) == []


def test_a_run_that_ends_well_leaves_only_what_happened(held: Place) -> None:
    with Terminal(held, "run", "held.py:Held") as terminal:
        (held.directory / "here").read_text()
        terminal.until(lambda screen: "0 of 1 done, 1 running" in screen.text)
        (held.directory / "go").write_text("go")
        assert terminal.ended() == 0
        lines = terminal.screen.text.splitlines()
        assert lines[:3] == ["printed by the job", "written by its command", "✔ Held repaired"]
        assert lines[3].startswith("done: 1 repaired in ")
        assert lines[4].startswith(f"run {held.last_run()[:12]} is recorded in ")
        assert "▶" not in terminal.screen.text


def test_a_prompt_that_a_job_writes_stays_where_the_answer_is_typed(place: Place) -> None:
    place.write(
        "ask.py",
        """
        from headway import RunonlyJob
        class Ask(RunonlyJob):
            def Run(self):
                self.output.info("heard %s", input("Which colour? "))
        """,
    )
    with Terminal(place, "run", "ask.py") as terminal:
        terminal.until(shows("▶ Ask  run", "0 of 1 done, 1 running"))
        assert terminal.screen.lines[terminal.screen.row].rstrip() == "Which colour?"
        assert terminal.screen.column == len("Which colour? ")
        terminal.type("red\n")
        assert terminal.ended() == 0
    assert place.type("logs", "--job", "Ask").out == "heard red\n"


@pytest.mark.parametrize(
    ("environment", "words"),
    [({"TERM": "dumb"}, []), ({}, ["--plain"])],
)
def test_plain_lines_where_no_live_view_can_or_should_be(
    held: Place, environment: dict[str, str], words: list[str]
) -> None:
    held.environment.update(environment)
    with Terminal(held, "run", "held.py:Quick", *words) as terminal:
        assert terminal.ended() == 0
        assert terminal.screen.text.startswith("✔ Quick repaired")
        assert "\x1b7" not in terminal.raw


def test_colours_are_used_unless_they_are_unwanted(held: Place) -> None:
    for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        held.environment.update(environment)
        for words in (["run", "held.py:Quick"], ["show"], ["plan", "held.py:Quick"]):
            with Terminal(held, *words) as terminal:
                terminal.ended()
                assert ("\x1b[1;32m" in terminal.raw or "\x1b[1;34m" in terminal.raw) is coloured


def test_a_run_that_nobody_watches_imports_no_live_view(held: Place) -> None:
    program = (
        "import sys, json, io\nfrom headway.doors.cli.entry import entered\n"
        "out, sys.stdout = sys.stdout, io.StringIO()\n"
        "code = entered(['run', 'held.py:Quick'])\n"
        "print(json.dumps([code, sorted(sys.modules)]), file=out)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=held.directory,
        env=held.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    code, modules = json.loads(done.stdout)
    assert code == 0
    assert [name for name in ("rich", "logging", "graphlay", "psycopg") if name in modules] == []
