"""Bad input gets one clear message that says what is wrong and what to do, and no traceback."""

import pytest

from tests.doors.typed import Place

JOB = "from headway import Job, DummyJob, RunonlyJob\n"

# What is in the file, what is typed, the exit code, and what the message must say.
BAD_FILES = {
    "no job": (
        "x = 1", "run bad.py", 64, ["bad.py defines no job", "derive a class from headway.Job"],
    ),
    "several roots": (
        JOB + "class A(Job):\n def Check(self): pass\nclass B(A): pass\nclass C(A): pass",
        "run bad.py", 64, ["2 jobs that nothing needs", "bad.py:B", "bad.py:C"],
    ),
    "another name": (
        JOB + "class Alpha(Job):\n def Check(self): pass",
        "run bad.py:Beta", 64, ["no job or function 'Beta'", "Alpha"],
    ),
    "a circle": (
        JOB + "class A(Job):\n def Check(self): pass\n"
        "class B(A):\n DEPS = (A,)\nA.DEPS = (B,)\nROOT = B",
        "run bad.py", 1, ["circle", "B -> A -> B"],
    ),
    "DEPS that cannot be iterated": (
        JOB + "class A(Job):\n DEPS = 7\n def Check(self): pass",
        "run bad.py", 1, ["A.DEPS is 7", "tuple or list"],
    ),
    "DEPS without its comma": (
        JOB + "class A(Job):\n def Check(self): pass\nclass B(A):\n DEPS = (A)",
        "run bad.py:B", 1, ["B.DEPS is the class A itself", "DEPS = (A,)"],
    ),
    "DEPS holding no job": (
        JOB + "class A(Job):\n DEPS = ('B',)\n def Check(self): pass",
        "run bad.py", 1, ["A.DEPS holds 'B'", "not a job"],
    ),
    "TRIES below 1": (
        JOB + "class A(Job):\n TRIES = 0\n def Check(self): pass",
        "run bad.py", 1, ["A.TRIES is 0", "1 or more"],
    ),
    "a negative delay": (
        JOB + "class A(Job):\n RETRY_DELAY = -1\n def Check(self): pass",
        "run bad.py", 1, ["A.RETRY_DELAY is -1", "0 or more"],
    ),
    "two jobs of one name": (
        JOB + "class A(Job):\n def Check(self): pass\nclass Root(DummyJob):\n"
        " DEPS = (A, type('A', (A,), {}))",
        "run bad.py:Root", 1, ["two jobs are called 'A'", "rename one"],
    ),
    "a Check that cannot take the arguments": (
        JOB + "class A(Job):\n def Check(self): pass",
        "run bad.py --set colour=red", 1, ["A.Check(self)", "colour=…", "*args, **kwargs"],
    ),
    "an input that is missing": (
        JOB + "class A(Job):\n def Check(self, colour): pass",
        "run bad.py", 1, ["A.Check(self, colour)", "colour"],
    ),
    "no Check": (JOB + "class A(Job):\n pass", "run bad.py", 1, ["A has no Check"]),
    "a file that cannot be loaded": (
        "import nowhere_at_all", "run bad.py", 1, ["bad.py, line 1", "nowhere_at_all"],
    ),
    "a file that is no Python": ("class A(:", "run bad.py", 1, ["bad.py, line 1", "SyntaxError"]),
    "a function that fails": (
        "def plan():\n    raise OSError('the list of guests is gone')",
        "run bad.py", 1, ["plan() of bad.py, line 2 failed: OSError: the list of guests is gone"],
    ),
    "a file that leaves": (
        "import sys\nsys.exit(3)",
        "run bad.py", 1, ["bad.py, line 2 ended the program", "__main__"],
    ),
    "a function that returns nothing": (
        "def plan(**inputs): pass", "run bad.py", 1, ["plan() of bad.py returned None", "root job"],
    ),
    "a function that lacks an input": (
        "def plan(colour): pass", "run bad.py", 1, ["cannot take these inputs", "--set"],
    ),
}  # fmt: skip

GOOD = JOB + "class Alpha(Job):\n    def Check(self, **_): pass\n"

# What is typed where good.py holds a good job.
BAD_WORDS = {
    "run": ["Missing argument 'TARGET'", "Usage: headway run"],
    "run missing.py": ["no file missing.py", "file.py[:Root]"],
    "run good": ["no target 'good'", "Did you mean good.py?"],
    "run no.such.module": ["no module 'no.such.module'"],
    "run release.yaml": ["there is no file release.yaml"],
    "run good.py --set colour": ["--set 'colour'", "--set name=value"],
    "run good.py --set 9=red": ["--set '9=red'"],
    "run good.py --set a=1 --set-json a=2": ["'a' is given twice"],
    "run good.py --set-json n=seven": ["--set-json 'n=seven'", "is not JSON", "--set name=text"],
    "run good.py --set-json n=NaN": ["NaN"],
    "run good.py -j 0": ["-j", "0"],
    "run good.py --on mars": ["--on", "mars", "inline", "threads", "processes"],
    "run good.py --limit disk": ["--limit 'disk'", "TAG=N"],
    "run good.py --db mysql://x:secret@y/z": ["--db: ", "mysql://", "postgresql://"],
    "run good.py --durable maybe": ["--durable", "process", "power"],
    "run good.py --colour": ["No such option", "--colour"],
    "rum good.py": ["no command 'rum'", "Did you mean run"],
    "show zzz --db there.db": ["no run's id begins with 'zzz'", "headway runs"],
    "show --job Beta --db there.db": ["no job called 'Beta'"],
    "prune --older-than soon": ["--older-than 'soon'", "30d"],
    "graph -o picture.svg --set a=b --db there.db": ["--set and --plan are for a TARGET"],
    "graph --on processes --db there.db": ["--on is for a TARGET"],
    "plan good.py -A proj:app": ["-A proj:app is for --on celery"],
    "workers": ["no core leads", "--mq mqconf.json", "headway step COMMAND:SUBCOMMAND --worker"],
    "workers --bus memory:": ["on the bus of one process nobody else can serve", "amqp://"],
    "workers --mq a.json --bus amqp://x": ["give one"],
    "new worker 9lives": ["'9lives' cannot name a worker"],
    "new job 9lives": ["'9lives' cannot name a job"],
}


@pytest.mark.parametrize("case", BAD_FILES)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_bad_file_is_explained(place: Place, case: str, command: str) -> None:
    text, typed, code, parts = BAD_FILES[case]
    place.write("bad.py", text)
    said = place.type(command, *typed.split()[1:], code=code)
    assert said.err.startswith("headway: ")
    for part in parts:
        assert part in said.err
    assert said.out == ""
    assert not (place.directory / ".headway").exists()


@pytest.mark.parametrize("typed", BAD_WORDS)
def test_what_was_mistyped_is_explained(place: Place, typed: str) -> None:
    place.write("good.py", GOOD)
    if "there.db" in typed:
        place.type("run", "good.py", "--db", "there.db")
    said = place.type(*typed.split(), code=64)
    assert said.err.startswith("headway: ")
    for part in BAD_WORDS[typed]:
        assert part in said.err
    assert "secret" not in said.err


def test_an_error_shows_its_chain_when_debugging(place: Place) -> None:
    place.write("bad.py", "import nowhere_to_be_found")
    said = place.type("run", "bad.py", "--debug", code=1)
    assert "Traceback" in said.err
    assert "ModuleNotFoundError" in said.err
    assert said.err.splitlines()[-1].startswith("headway: bad.py, line 1 cannot be loaded")


def test_a_jobs_traceback_is_kept_and_shown_when_debugging(place: Place) -> None:
    place.write("bad.py", JOB + "class A(Job):\n TRIES = 1\n def Check(self): 1 / 0\n")
    said = place.type("run", "bad.py", "--debug", code=1)
    assert "ZeroDivisionError" in said.err
    assert "ZeroDivisionError" in place.type("why", "A").out
    place.type("run", "bad.py", code=1)
    assert "Traceback" not in place.type("why", "A").out


@pytest.mark.parametrize(
    "command", ["show", "logs", "why", "resume", "retry", "cancel", "cleanup", "prune", "graph"]
)
def test_where_no_run_was_made_every_command_says_how_to_make_one(
    place: Place, command: str
) -> None:
    said = place.type(command, code=1)
    assert said.err == (
        f"headway: there is no run yet in {place.directory} or above it:"
        " headway run TARGET makes the first\n"
    )
    assert list(place.directory.iterdir()) == []


def test_a_store_that_cannot_be_used_is_unavailable(place: Place) -> None:
    place.write("good.py", GOOD)
    place.write("file", "")
    said = place.type("run", "good.py", "--db", "file/store.db", code=69)
    assert "file/store.db cannot be used as a store" in said.err
    said = place.type("runs", "--db", "postgresql://ada:secret@127.0.0.1:9/none", code=69)
    assert "127.0.0.1" in said.err
    assert "secret" not in said.err


def test_a_file_that_is_no_store_is_left_alone(place: Place) -> None:
    place.write("letter", "Dear Ada, " * 500)
    said = place.type("runs", "--db", "letter", code=1)
    assert "letter is no store" in said.err
