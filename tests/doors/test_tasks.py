"""headway monitor and headway tasks, as they are typed. No broker but the one of a process."""

import time
from contextlib import closing
from pathlib import Path

import pytest

from headway.adapters.opening import open_tasks
from headway.testing.tasks import LETTER, NEWS, SENT, sent
from headway.tracking.task import Task, merged
from tests.doors.typed import Place

WEEK_US = 7 * 86_400 * 1_000_000


@pytest.fixture
def tracked(place: Place) -> Place:
    """A place whose store has a family of three, a task that ended, and a dead letter."""
    with closing(open_tasks(place.directory / ".headway" / "headway.db")) as tasks:
        tasks.record(
            [
                sent("root", 10, "export.fan"),
                sent("child", 20, "export.pdf")._replace(parent="root", root="root"),
                sent("other", 30, "export.pdf")._replace(parent="root", root="root"),
                Task("child", finality=4, ended_us=25, result="'fine'", worker="w1", worker_us=25),
                Task("other", finality=3, ended_us=35, error="ValueError('no such page')"),
            ],
            [LETTER],
        )
    return place


def test_tasks_are_listed_the_newest_first(tracked: Place) -> None:
    lines = tracked.type("tasks").lines
    assert lines[0].split() == ["TASK", "STATE", "SENT", "TOOK", "NAME", "QUEUE"]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["other", "failed"],
        ["child", "succeeded"],
        ["root", "sent"],
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--name", "export.pdf"], ["other", "child"]),
        (["--name", "export.*", "--limit", "1"], ["other"]),
        (["--state", "FAILURE"], ["other"]),
        (["--state", "succeeded"], ["child"]),
        (["--queue", "nowhere"], []),
        (["--since", "30d"], []),
        (["--until", "30d", "--limit", "2"], ["other", "child"]),
        (["--since", "9999w", "--until", "2000w"], ["other", "child", "root"]),
        (["--until", "9999w"], []),
    ],
)
def test_tasks_are_searched(tracked: Place, words: list[str], expected: list[str]) -> None:
    said = tracked.type("tasks", *words, "--json")
    assert [one["task"] for one in said.json] == expected
    shown = tracked.type("tasks", *words)
    assert all(id in shown.out for id in expected)
    assert expected or "holds no such task" in shown.out


def test_a_task_is_shown_with_its_family(tracked: Place) -> None:
    said = tracked.type("tasks", "child").out
    assert "task child: succeeded" in said
    for words in ("name", "export.pdf", "worker", "w1", "'fine'", "family of root: sent"):
        assert words in said
    assert "1 sent, 1 failed, 1 succeeded" in said
    tree = said.splitlines()[-3:]
    assert [line.split()[2] for line in tree] == ["root", "child", "other"]
    assert [len(line) - len(line.lstrip()) for line in tree] == [2, 4, 4]


def test_what_is_known_of_a_task_is_told_to_programs(tracked: Place) -> None:
    found = tracked.type("tasks", "other", "--json").json
    assert found["state"] == "failed"
    assert found["error"] == "ValueError('no such page')"
    assert (found["args"], found["arguments"]) == ("[1]", "json")
    assert found["ended_at"] == "1970-01-01T00:00:00.000035+00:00"
    assert found["family"]["state"] == "sent"
    assert found["family"]["counts"] == {"sent": 1, "failed": 1, "succeeded": 1}
    assert [one["task"] for one in found["family"]["members"]] == ["root", "child", "other"]


def test_a_task_that_nobody_has_heard_of_is_unknown_and_not_pending(tracked: Place) -> None:
    said = tracked.type("tasks", "nobody").out
    assert "task nobody: unknown" in said
    assert "Nobody has heard of it" in said
    assert tracked.type("tasks", "nobody", "--json").json["state"] == "unknown"


def test_dead_letters_are_listed_with_their_reasons(tracked: Place) -> None:
    assert "no id" in tracked.type("tasks", "--dead").out
    (letter,) = tracked.type("tasks", "--dead", "--json").json
    assert (letter["reason"], letter["kind"], letter["body_bytes"]) == ("no id", "task", 3)


def test_old_tasks_and_letters_are_forgotten_with_old_runs(tracked: Place) -> None:
    said = tracked.type("prune", "--keep", "9").out
    assert said.startswith("forgot 0 runs of ")
    said = tracked.type("prune", "--older-than", "30d").out
    assert said.startswith("forgot 0 runs, 3 tasks and 1 dead letter of ")
    assert "holds no task yet" in tracked.type("tasks").out


def test_a_task_that_may_be_under_way_is_not_forgotten_soon(place: Place) -> None:
    now_us = time.time_ns() // 1000
    with closing(open_tasks(place.directory / ".headway" / "headway.db")) as tasks:
        begun = SENT._replace(eta_us=None, sent_us=now_us - 7200 * 10**6, heard_us=None)
        tasks.record([begun, begun._replace(id="done", finality=4, ended_us=now_us - 7100 * 10**6)])
    assert "1 task of" in place.type("prune", "--older-than", "1h").out
    assert [one["task"] for one in place.type("tasks", "--json").json] == ["t1"]


def test_text_of_tasks_does_no_harm_to_a_terminal(place: Place) -> None:
    with closing(open_tasks(place.directory / ".headway" / "headway.db")) as tasks:
        tasks.record([SENT._replace(id="t1", name="\x1b[2J", args="\x07", error="a\nb")])
    for words in (["tasks"], ["tasks", "t1"]):
        assert "\x1b" not in place.type(*words).out
        assert "\x07" not in place.type(*words).out


def test_an_empty_store_says_what_fills_it(place: Place) -> None:
    assert "headway monitor -A" in place.type("tasks", code=1).err
    with closing(open_tasks(place.directory / ".headway" / "headway.db")):
        pass
    assert "headway monitor -A" in place.type("tasks").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tasks", "--state", "lost"], "there are unknown, sent"),
        (["tasks", "--since", "soon"], "write a number and m, h, d or w"),
        (["tasks", "--since", ""], "write a number and m, h, d or w"),
        (["tasks", "--limit", "99999999999999999999"], "is not in the range"),
        (["runs", "--limit", "99999999999999999999"], "is not in the range"),
        (["prune", "--keep", "99999999999999999999"], "is not in the range"),
        (["tasks", "--name", "*.pdf"], "a star stands at the end"),
        (["tasks", ""], "the ID is empty"),
        (["tasks", "child", "--dead"], "leave the ID out"),
        (["tasks", "child", "--name", "export.pdf"], "it says nothing beside an ID"),
        (["tasks", "--dead", "--state", "failed"], "it says nothing beside --dead"),
        (["monitor"], "where are the tasks? Give -A"),
        (["monitor", "-A", "proj", "--broker", "amqp://"], "where are the tasks?"),
        (["monitor", "-A", "no_such_module:app"], "there is no Celery app 'no_such_module:app'"),
        (["monitor", "-A", "./proj.py"], "that is no name of a module"),
        (["monitor", "-A", "json:loads"], "that is a function"),
        (["monitor", "--broker", "localhost"], "a broker's URL begins with"),
        (["monitor", "--broker", "amqp://a:b@[::1/shop"], "the bus's URL cannot be read"),
        (["monitor", "--broker", "nonsense://"], "Celery knows no broker"),
    ],
)
def test_what_is_mistyped_is_told(tracked: Place, words: list[str], said: str) -> None:
    assert said in tracked.type(*words, code=64).err


def test_an_age_beyond_all_measure_is_no_error(tracked: Place) -> None:
    found = tracked.type("tasks", "--since", "99999999w", "--json").json
    assert [one["task"] for one in found] == ["other", "child", "root"]
    assert "forgot 0 runs of" in tracked.type("prune", "--older-than", "99999999w").out


def test_an_app_whose_module_fails_is_the_modules_fault(place: Place) -> None:
    place.write("broken.py", "raise ZeroDivisionError('of its own')")
    said = place.type("monitor", "-A", "broken:app", code=64).err
    assert "'broken:app' cannot be imported: ZeroDivisionError: of its own" in said
    assert "python -c 'import broken' shows where" in said


def test_a_broker_that_is_typed_wins_over_celerys_variables(
    place: Place,
) -> None:
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL"):
        place.environment[name] = "amqp://a:b@127.0.0.1:1//"
    with place.begin("monitor", "--broker", "memory://") as monitor:
        assert monitor.stderr is not None
        line = monitor.stderr.readline()
        monitor.terminate()
        assert "hears every task" in line
        assert monitor.wait(60) == 0


def test_everybodys_password_is_refused_beyond_this_machine(place: Place) -> None:
    said = place.type("monitor", "--broker", "amqp://guest:guest@broker.example.org//", code=1)
    assert "as guest" in said.err


def test_a_task_that_ended_after_it_was_revoked_says_so(place: Place) -> None:
    known = Task("t1")
    for news in NEWS:
        known = merged(known, news)
    with closing(open_tasks(place.directory / ".headway" / "headway.db")) as tasks:
        tasks.record([known])
    assert "task t1: succeeded after it was revoked" in place.type("tasks", "t1").out


def test_an_app_of_the_directory_is_found(place: Place, tmp_path: Path) -> None:
    """By a broker that is away: that is told, and tried again until told to stop."""
    place.write(
        "proj.py",
        """
        from celery import Celery
        app = Celery("proj", broker="amqp://a:b@127.0.0.1:1//")
        """,
    )
    with place.begin("monitor", "-A", "proj:app") as monitor:
        assert monitor.stderr is not None
        line = monitor.stderr.readline()
        monitor.terminate()
        assert "cannot be reached" in line
        assert monitor.wait(60) == 0
