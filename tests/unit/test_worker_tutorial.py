"""The tutorial on writing workers, followed to the letter, in one process."""

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headway.doors.cli.entry import headway_command
from headway.errors import DefinitionError, HeadwayError
from headway.runtime.loading import UnknownTarget
from headway.runtime.worker import Worker
from headway.runtime.worker_targets import load_worker
from headway.wire import names
from tests.unit.megafrobber import FILE, PATH
from tests.unit.serving import REPLIES, Desk, desk, step, typed

KEY = "worker.megafrobber"


@pytest.fixture
def at() -> Iterator[Desk]:
    with desk() as made:
        yield made


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    return typed(tmp_path, PATH, FILE)


@pytest.fixture
def megafrobber(file: Path) -> type[Worker]:
    return load_worker(f"{file}:MegafrobberWorker")


def frobbing(worker_class: type[Worker], result: int) -> type[Worker]:
    """The same worker, whose random number is this one."""
    return type("MegafrobberWorker", (worker_class,), {"_frob": lambda self: result})


def test_the_worker_listens_on_the_queue_dedicated_to_its_kind(
    at: Desk, megafrobber: type[Worker]
) -> None:
    assert at.make(megafrobber).serves == KEY


@pytest.mark.parametrize(
    ("result", "status", "words"), [(8, "completed", "passed"), (7, "failed", "failed")]
)
def test_a_valid_step_is_started_and_then_completed_or_failed(
    at: Desk, megafrobber: type[Worker], result: int, status: str, words: str
) -> None:
    at.listen("notices", "notify.irc")
    frob = at.make(frobbing(megafrobber, result))
    with at.serving(frob):
        at.send(step(notify={status: {"irc": ["#aurora"]}}), key=KEY)
        assert at.reply() == {"status": "started"}
        answer = at.reply()
        notice = json.loads(at.next("notices").message.body)
    assert answer["status"] == status
    assert answer["message"].lower().startswith(f"the frobbing {words}, even") or result == 7
    assert answer["message"].endswith(f"number generated: {result}")
    assert notice == {
        "slug": f"Frobbing {words}",
        "message": answer["message"],
        "phase": status,
        "target": ["#aurora"],
    }
    assert frob._service.returned is (status == "completed")
    assert at.broker.depth(KEY) == 0
    assert at.is_silent("dead-watch")


def test_an_invalid_subcommand_is_rejected_logged_told_and_failed(
    at: Desk, megafrobber: type[Worker]
) -> None:
    at.listen("notices", "notify.irc")
    frob = at.make(megafrobber)
    with at.serving(frob):
        at.send(step("forb", notify={"failed": {"irc": ["#aurora"]}}), key=KEY)
        answer = at.reply()
        assert at.next("notices").routing_key == "notify.irc"
        letter = at.next("dead-watch").message
    assert answer == {"status": "failed", "message": "invalid subcommand requested: forb"}
    assert letter.headers[names.REASON] == "rejected by process"
    assert "ERROR run-1 - Rejecting message, invalid subcommand requested: forb" in at.log.text
    assert frob._service.returned is False
    assert at.connections[0].bus.counts().settled == 1


def test_a_step_without_parameters_fails_and_the_loop_goes_on(
    at: Desk, megafrobber: type[Worker]
) -> None:
    with at.serving(at.make(frobbing(megafrobber, 2))):
        at.send({}, key=KEY)
        assert "missing key: 'parameters'" in at.reply()["data"]
        at.send(step(), key=KEY)
        assert [at.reply()["status"] for _ in range(2)] == ["started", "completed"]


def test_eight_objects_over_500_interleaved_deployments_mix_nothing_up(
    at: Desk, megafrobber: type[Worker]
) -> None:
    met = threading.Barrier(8, timeout=20)

    class MegafrobberWorker(megafrobber):  # type: ignore[misc, valid-type]
        def process(self, channel: Any, deliver: Any, props: Any, body: Any, output: Any) -> Any:
            if body["parameters"]["meet"]:
                met.wait()  # all eight are inside at once
            return super().process(channel, deliver, props, body, output)

        def _frob(self) -> int:
            return int(self.corr_id.removeprefix("run-"))

    connection = at.connection()
    runs = [f"run-{number}" for number in range(500)]
    queues = [f"reply-{number % 5}" for number in range(500)]
    for queue in sorted(set(queues)):
        at.listen(queue)
    workers = [at.make(MegafrobberWorker, mq_config=connection) for _ in range(8)]
    with at.serving(*workers):
        for number, run in enumerate(runs):
            body = step()
            body["parameters"]["meet"] = number < 8
            at.send(body, KEY, correlation_id=run, reply_to=queues[number], message_id=f"a-{run}")
        heard: dict[str, list[tuple[str, str, str]]] = {}
        for queue in queues:
            for _ in range(2):
                message = at.next(queue).message
                answer = json.loads(message.body)
                said = (queue, answer["status"], answer.get("message", ""))
                heard.setdefault(str(message.correlation_id), []).append(said)
                assert message.message_id == f"a-{message.correlation_id}"
    assert sorted(heard) == sorted(runs)
    for number, run in enumerate(runs):
        (first, started, _), (second, status, text) = heard[run]
        assert (first, second) == (queues[number], queues[number])
        assert (started, status) == ("started", "failed" if number % 2 else "completed")
        assert text.endswith(f": {number}")


# In one process: headway step


class Typed:
    """``headway`` with these words, in this process."""

    def __init__(self, *words: str) -> None:
        done = CliRunner().invoke(headway_command, words, standalone_mode=False)
        self.out, self.error = done.stdout, done.exception
        self.code = done.return_value


def test_the_file_runs_in_one_process_without_a_broker(file: Path) -> None:
    ended = set()
    for _ in range(60):
        done = Typed("step", "megafrobber:frob", "--host", "localhost", "--worker", f"{file}")
        assert done.error is None
        ended.add(done.code)
        lines = done.out.splitlines()
        word = "failed" if done.code else "completed"
        assert lines[0].startswith("megafrobber:frob on localhost, sent as ")
        assert lines.index("started") == 3
        assert [line for line in lines if line.startswith(f"notice of {word} to ")]
        assert "  | Finished MegafrobberWorker." in done.out
        assert lines[-1].startswith(f"{word}: ")
        if ended == {0, 1}:
            return
    pytest.fail(f"sixty random numbers, all of them {ended}")


def test_an_invalid_subcommand_ends_the_command_with_1(file: Path) -> None:
    done = Typed("step", "megafrobber:forb", "--worker", f"{file}:MegafrobberWorker")
    assert done.code == 1
    assert done.out.splitlines()[-1] == "failed: invalid subcommand requested: forb"
    assert "started" not in done.out.splitlines()


ECHO = """\
from reworker.worker import Worker

class EchoWorker(Worker):
    dynamic = ("cart",)

    def process(self, channel, basic_deliver, properties, body, output):
        output.info("in hand")
        self.send(properties.reply_to, properties.correlation_id,
                  {"status": "completed", "data": [body, self._config]}, exchange="")
"""


def test_parameters_and_dynamic_values_reach_the_worker(tmp_path: Path) -> None:
    typed(tmp_path, "replugin/echoworker/__init__.py", ECHO)
    (tmp_path / "echo.json").write_text('{"a": 1}')
    words = ["--param", "k=v=w", "--param-json", "n=[1]", "--set", "cart=c", "--host", "web1"]
    target = f"{tmp_path}/replugin/echoworker/__init__.py"
    done = Typed("step", "echo:Any", *words, "--worker", target, "-w", f"{tmp_path}/echo.json")
    assert (done.code, done.error) == (0, None)
    body, config = json.loads(done.out.splitlines()[-1].removeprefix("completed: "))
    assert body["parameters"] == {
        "k": "v=w", "n": [1], "command": "echo", "subcommand": "Any", "hosts": ["web1"],
    }  # fmt: skip
    assert body["dynamic"] == {"cart": "c"}
    assert config == {"a": 1}
    assert "  | in hand" in done.out

    without = Typed("step", "echo:Any", "--worker", target)
    assert without.code == 1
    assert "lacks the dynamic inputs cart" in without.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["megafrobber"], "is no step"),
        (["frobber:frob", "--worker", "FILE"], "MegafrobberWorker serves worker.megafrobber"),
        (["megafrobber:frob"], "Name a worker:  --worker"),
        (["megafrobber:frob", "--bus", "memory://x"], "Name a worker:  --worker"),
        (["megafrobber:frob", "--worker", "FILE:Other"], "it defines MegafrobberWorker"),
        (["megafrobber:frob", "--worker", "nowhere.py"], "there is no worker 'nowhere.py'"),
        (["megafrobber:frob", "--worker", "FILE", "--param", "x"], "write --param name=value"),
        (["megafrobber:frob", "--worker", "FILE", "--param", "hosts=x"], "a step has its own"),
        (["megafrobber:frob", "--worker", "FILE", "--set-json", "x={"], "is not JSON"),
    ],
)
def test_what_was_typed_wrongly_is_named(file: Path, words: list[str], says: str) -> None:
    from headway.doors.cli.exits import Mistyped

    done = Typed("step", *(word.replace("FILE", str(file)) for word in words))
    assert isinstance(done.error, Mistyped)
    assert says in str(done.error)


@pytest.mark.parametrize("more", [[], ["--bus", "memory://here"]])
def test_a_worker_on_the_bus_of_its_own_process_is_refused(file: Path, more: list[str]) -> None:
    done = Typed("worker", str(file), *more)
    assert isinstance(done.error, HeadwayError)
    for instead in ("headway step COMMAND:SUBCOMMAND --worker", "headway up", "--mq"):
        assert instead in str(done.error)


# Finding the class


def test_a_file_may_define_one_worker_or_must_be_asked_for_one(tmp_path: Path) -> None:
    one = typed(tmp_path, "one/a/__init__.py", FILE)
    assert load_worker(str(one)).__name__ == "MegafrobberWorker"
    two = typed(tmp_path, "two/a/__init__.py", f"{FILE}\nclass B(MegafrobberWorker): pass\n")
    with pytest.raises(UnknownTarget, match=r"Say which:\n.*MegafrobberWorker\n.*:B"):
        load_worker(str(two))
    none = typed(tmp_path, "none/a/__init__.py", "x = 1\n")
    with pytest.raises(UnknownTarget, match="defines no worker"):
        load_worker(str(none))
    with pytest.raises(DefinitionError, match="is no worker: derive it"):
        load_worker(f"{none}:x")
    with pytest.raises(UnknownTarget, match="there is no worker"):
        load_worker("no.such:Frob")


def test_replies_go_to_the_queue_of_the_properties_and_nowhere_else(
    at: Desk, megafrobber: type[Worker]
) -> None:
    at.listen("other-replies")
    with at.serving(at.make(megafrobber)):
        at.send(step(reply_to=REPLIES), key=KEY, reply_to="other-replies")
        assert [at.next("other-replies").exchange for _ in range(2)] == ["", ""]
    assert at.is_silent()
