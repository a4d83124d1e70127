"""shell: the commands of its configuration, as it says, and no others."""

import json
import os
import select
import sys
from pathlib import Path
from typing import Any

import pytest

from headway.errors import DefinitionError
from headway.runtime import clocks
from headway.wire import names
from headway.workers.shell import LINES_A_STEP, TAIL
from tests.unit.serving import DEADLINE_S, desk
from tests.unit.stock import answered, config_file, lines, made, refusal, send, serving

# Prints, as JSON, what it was given.
TELL = "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]))"


def python(program: str, *words: str, **more: Any) -> dict[str, Any]:
    """A command's definition that runs a Python program."""
    return {"argv": [sys.executable, "-ISc", program, *words], **more}


def shell(**commands: Any) -> dict[str, Any]:
    return {"commands": commands}


def told(answer: Any) -> Any:
    assert answer["status"] == "completed", answer
    return json.loads(answer["data"]["stdout"])


def test_a_listed_command_runs_and_the_answer_has_its_code_and_output(tmp_path: Path) -> None:
    program = "import sys; print('one'); print('two', file=sys.stderr)"
    with serving("shell", tmp_path, shell(Say=python(program))) as at:
        answer = answered(at, "shell:Say")
        assert answer == {
            "status": "completed",
            "data": {"code": 0, "stdout": "one\n", "stderr": "two\n"},
        }


def test_its_lines_go_to_the_output_as_they_come(tmp_path: Path) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    program = f"print('begun', flush=True); open({str(go)!r}).read(); print('done')"
    with serving("shell", tmp_path, shell(Say=python(program))) as at:
        send(at, "shell:Say")
        assert at.reply() == {"status": "started"}
        said = [at.output()["message"] for _ in range(2)]
        assert said[1] == "begun"  # and the command still waits
        go.write_text("")
        assert at.reply()["status"] == "completed"
        assert at.output()["message"] == "done"


def test_only_listed_commands_run(tmp_path: Path) -> None:
    with serving("shell", tmp_path, shell(Say=python(TELL), Do=python(TELL))) as at:
        why = refusal(at, "shell:Other")
    assert why == "there is no command 'Other': the configuration lists Do, Say"


@pytest.mark.parametrize(
    "value",
    ["a b", "$(id)", "`id`", "; id", "a;b", "*", "~", "a\\b", "'", '"', "%s", "{x}", "{{", "é", ""],
)
def test_what_a_step_gives_stays_one_word(value: str, tmp_path: Path) -> None:
    command = python(TELL, "{text}", "--text={text}", parameters={"text": {"pattern": ".*"}})
    with serving("shell", tmp_path, shell(Tell=command)) as at:
        argv, _, _ = told(answered(at, "shell:Tell", {"text": value}))
    assert argv == [value, f"--text={value}"]


def test_the_items_of_a_list_are_a_word_each(tmp_path: Path) -> None:
    parameters = {"paths": {"pattern": ".*", "list": True}}
    command = python(TELL, "--", "{paths...}", "end", parameters=parameters)
    with serving("shell", tmp_path, shell(Tell=command)) as at:
        argv, _, _ = told(answered(at, "shell:Tell", {"paths": ["a b", "", 7]}))
        assert argv == ["--", "a b", "", "7", "end"]
        argv, _, _ = told(answered(at, "shell:Tell", {"paths": []}))
        assert argv == ["--", "end"]


def test_a_default_stands_where_a_step_gives_nothing(tmp_path: Path) -> None:
    command = python(TELL, "{a}", parameters={"a": {"pattern": "[a-z]+", "default": "usual"}})
    with serving("shell", tmp_path, shell(Tell=command)) as at:
        assert told(answered(at, "shell:Tell"))[0] == ["usual"]
        assert told(answered(at, "shell:Tell", {"a": "other"}))[0] == ["other"]


def test_host_is_the_host_of_the_step_and_braces_are_doubled(tmp_path: Path) -> None:
    command = python(TELL, "{host}", "{{host}}")
    with serving("shell", tmp_path, shell(Tell=command)) as at:
        assert told(answered(at, "shell:Tell"))[0] == ["web-1", "{host}"]
        why = refusal(at, "shell:Tell", {"hosts": []})
        assert why == "the step's 'hosts' is []: it must name one host"
        assert "it must name one host" in refusal(at, "shell:Tell", {"hosts": ["-oProxyCommand=x"]})


def test_a_dynamic_parameter_is_taken_from_the_dynamic_values_only(tmp_path: Path) -> None:
    command = python(TELL, "{v}", parameters={"v": {"pattern": "[0-9.]+", "dynamic": True}})
    with serving("shell", tmp_path, shell(Tell=command)) as at:
        assert told(answered(at, "shell:Tell", dynamic={"v": "1.2", "w": 3}))[0] == ["1.2"]
        assert refusal(at, "shell:Tell") == "shell:Tell lacks the dynamic value 'v'"
        assert "has no parameter 'v'" in refusal(at, "shell:Tell", {"v": "1"}, dynamic={"v": "1"})


@pytest.mark.parametrize(
    ("rule", "value", "why"),
    [
        ({"pattern": "[a-z]+"}, "a1", "must match [a-z]+"),
        ({"pattern": "[a-z]+"}, "a\n", "holds a control character"),
        ({"pattern": "(?s:.*)"}, "a\0b", "holds a control character"),
        ({"pattern": ".*"}, "-x", "begins with -"),
        ({"pattern": ".*"}, "x" * 256, "has 256 characters: at most 255"),
        ({"pattern": ".*", "longest": 3}, "abcd", "has 4 characters: at most 3"),
        ({"choices": ["on", "off"]}, "of", "must be one of on, off"),
        ({"pattern": ".*"}, None, "must be a text or a whole number"),
        ({"pattern": ".*"}, 1.5, "must be a text or a whole number"),
        ({"pattern": ".*"}, True, "must be a text or a whole number"),
        ({"pattern": ".*"}, ["a"], "must be a text or a whole number"),
        ({"pattern": ".*"}, {"a": 1}, "must be a text or a whole number"),
        ({"pattern": "[0-9]+"}, -5, "begins with -"),
    ],
)
def test_what_does_not_fit_a_parameter_is_refused_before_anything_runs(
    rule: Any, value: Any, why: str, tmp_path: Path
) -> None:
    command = python(TELL, "{text}", parameters={"text": rule})
    with serving("shell", tmp_path, shell(Tell=command)) as at:
        assert refusal(at, "shell:Tell", {"text": value}).startswith("'text' of shell:Tell " + why)


@pytest.mark.parametrize("value", ["a", None, {"a": 1}, ["a"] * 101])
def test_what_is_no_list_of_items_is_refused_where_one_is_wanted(
    value: Any, tmp_path: Path
) -> None:
    parameters = {"paths": {"pattern": ".*", "list": True}}
    command = python(TELL, "{paths...}", parameters=parameters)
    with serving("shell", tmp_path, shell(Tell=command)) as at:
        why = refusal(at, "shell:Tell", {"paths": value})
    assert why == "'paths' of shell:Tell must be a list of at most 100 items"


def test_a_parameter_may_begin_with_a_dash_where_that_is_said(tmp_path: Path) -> None:
    command = python(TELL, "{n}", parameters={"n": {"pattern": "-?[0-9]+", "dash": True}})
    with serving("shell", tmp_path, shell(Tell=command)) as at:
        assert told(answered(at, "shell:Tell", {"n": -5}))[0] == ["-5"]


def test_missing_and_unknown_parameters_are_named(tmp_path: Path) -> None:
    command = python(TELL, "{a}", parameters={"a": {"pattern": ".*"}})
    with serving("shell", tmp_path, shell(Tell=command, Bare=python(TELL))) as at:
        assert refusal(at, "shell:Tell") == "shell:Tell lacks the parameter 'a'"
        why = refusal(at, "shell:Tell", {"a": "", "b": 1})
        assert why == "shell:Tell has no parameter 'b': it takes a"
        assert refusal(at, "shell:Bare", {"b": 1}).endswith("it takes none")


def test_the_environment_is_small_and_the_directory_is_the_configured_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_WORKER", "x")
    command = python(TELL, cwd=str(tmp_path), environment={"COLOUR": "blå"})
    with serving("shell", tmp_path, shell(Tell=command)) as at:
        _, cwd, environment = told(answered(at, "shell:Tell"))
    assert cwd == str(tmp_path)
    assert set(environment) - {"LC_CTYPE"} == {"PATH", "LANG", "COLOUR"}
    assert environment["COLOUR"] == "blå"


def test_what_a_command_makes_is_for_its_user_alone(tmp_path: Path) -> None:
    made_file = tmp_path / "made"
    command = python(f"open({str(made_file)!r}, 'w')")
    with serving("shell", tmp_path, shell(Make=command)) as at:
        assert answered(at, "shell:Make")["status"] == "completed"
    assert made_file.stat().st_mode & 0o777 == 0o600


def test_a_code_that_is_not_accepted_fails_the_step_and_is_told(tmp_path: Path) -> None:
    program = "import sys; print('no room', file=sys.stderr); sys.exit(3)"
    commands = shell(Try=python(program), Bear=python(program, exit_codes=[0, 3]))
    with serving("shell", tmp_path, commands) as at:
        answer = answered(at, "shell:Try")
        assert answer["status"] == "failed"
        assert answer["data"] == "Try ended with code 3: no room"
        assert answer["stderr"] == "no room\n"
        assert answered(at, "shell:Bear")["data"]["code"] == 3


def test_a_command_killed_by_a_signal_has_failed(tmp_path: Path) -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with serving("shell", tmp_path, shell(Die=python(program, exit_codes=[0, 9]))) as at:
        assert answered(at, "shell:Die")["data"] == "Die was ended by SIGKILL"


# The command and a child of it tell their ids, and wait for ever.
ENDLESS = """
import os, signal
child = os.fork()
if child:
    print(os.getpid(), child, flush=True)
while True:
    signal.pause()
"""


STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + ENDLESS


def is_gone(pid: int) -> bool:
    """Whether a process has ended; waits for that."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    found = select.select([watch], [], [], DEADLINE_S)[0]
    os.close(watch)
    return bool(found)


def pids(answer: Any) -> list[int]:
    return [int(word) for word in answer["stdout"].split()]


def test_at_its_timeout_a_command_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    with serving("shell", tmp_path, shell(Hang=python(STUBBORN, timeout_s=0.5))) as at:
        answer = answered(at, "shell:Hang")
    assert answer["data"] == "Hang was ended: it took longer than 0.5 s"
    assert len(pids(answer)) == 2
    assert all(is_gone(pid) for pid in pids(answer))


def test_at_the_deadline_of_the_step_too(tmp_path: Path) -> None:
    headers = {names.DEADLINE: clocks.now_us() + 500_000}
    with serving("shell", tmp_path, shell(Hang=python(ENDLESS))) as at:
        answer = answered(at, "shell:Hang", headers=headers)
    assert answer["data"] == "Hang was ended: the step's deadline is over"
    assert all(is_gone(pid) for pid in pids(answer))


def test_and_when_the_worker_leaves(tmp_path: Path) -> None:
    with desk() as at:
        config = config_file(tmp_path, shell(Hang=python(ENDLESS)))
        with at.serving(made(at, "shell", config, finish_s=0.1)):
            send(at, "shell:Hang")
            assert at.reply() == {"status": "started"}
            while " " not in (line := at.output()["message"]) or line.startswith("Starting"):
                pass
        answer = at.reply()
    assert answer["data"] == "Hang was ended: the worker is being stopped"
    assert pids(answer) == [int(word) for word in line.split()]
    assert all(is_gone(pid) for pid in pids(answer))


def test_output_is_bounded_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    program = f"for n in range({LINES_A_STEP} + 5): print(n)"
    with serving("shell", tmp_path, shell(Flood=python(program))) as at:
        send(at, "shell:Flood")
        assert at.reply() == {"status": "started"}
        found: list[str] = []
        while "(lines not sent: 5)" not in found[-1:]:  # each in its time, not all in one
            said = at.output()
            found += [said["message"]] if said["level"] != "debug" else []
        answer = at.reply()
    assert len(found) == LINES_A_STEP + 1
    assert len(answer["data"]["stdout"]) == TAIL


def test_output_that_is_no_text_is_shown_all_the_same(tmp_path: Path) -> None:
    program = r"import sys; sys.stdout.buffer.write(b'\xff\xfe\x00\n')"
    with serving("shell", tmp_path, shell(Raw=python(program))) as at:
        assert answered(at, "shell:Raw")["status"] == "completed"
        assert lines(at) == ["��\0"]


def test_a_command_waits_for_no_input(tmp_path: Path) -> None:
    with serving("shell", tmp_path, shell(Ask=python("print(repr(input()))"))) as at:
        assert "EOFError" in answered(at, "shell:Ask")["data"]


def test_a_program_that_has_gone_since_fails_the_step(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    with serving("shell", tmp_path, shell(Go={"argv": [str(program)]})) as at:
        program.unlink()
        assert answered(at, "shell:Go")["data"].startswith("Go cannot be run: ")


# Its configuration


OK = sys.executable


@pytest.mark.parametrize(
    ("commands", "says"),
    [
        ({}, "'commands' of the configuration"),
        ({"Go": []}, "'Go' of 'commands'"),
        ({"Go": {}}, "lacks 'argv'"),
        ({"Go!": {"argv": [OK]}}, "is no name of a command"),
        ({"Go": {"argv": []}}, "the path, from the root, of a program"),
        ({"Go": {"argv": "ls -l"}}, "a list of words"),
        ({"Go": {"argv": ["ls"]}}, "the path, from the root, of a program"),
        ({"Go": {"argv": ["/no/such/program"]}}, "that can be run here"),
        ({"Go": {"argv": [OK, "a\0b"]}}, "without the character NUL"),
        ({"Go": {"argv": [OK, "{a}"]}}, "there is no such parameter; declare it"),
        ({"Go": {"argv": [OK, "{"]}}, "write {{ or }} for a brace"),
        ({"Go": {"argv": [OK], "parameters": {"a": {"pattern": "x"}}}}, "has no place for"),
        ({"Go": {"argv": [OK, "{a}"], "parameters": {"a": {}}}}, "lacks 'pattern' or 'choices'"),
        (
            {"Go": {"argv": [OK, "{a}"], "parameters": {"a": {"pattern": "["}}}},
            "regular expression",
        ),
        ({"Go": {"argv": [OK, "{a...}"], "parameters": {"a": {"pattern": "x"}}}}, "a list is"),
        (
            {"Go": {"argv": [OK, "x{a...}"], "parameters": {"a": {"pattern": "x", "list": True}}}},
            "a list is written {a...}, a word of its own",
        ),
        (
            {"Go": {"argv": [OK, "{a}"], "parameters": {"a": {"pattern": "x", "list": True}}}},
            "a list is written",
        ),
        (
            {"Go": {"argv": [OK, "{a}"], "parameters": {"a": {"pattern": "x", "default": "y"}}}},
            "'default' of 'a' of 'parameters' of 'Go'",
        ),
        ({"Go": {"argv": [OK], "parameters": {"host": {"pattern": "x"}}}}, "none of host"),
        ({"Go": {"argv": [OK], "parameters": {"hosts": {"pattern": "x"}}}}, "none of host"),
        ({"Go": {"argv": [OK], "cwd": "/no/such/directory"}}, "the path of a directory"),
        ({"Go": {"argv": [OK], "timeout_s": 0}}, "a number from 0.1 to 86400 seconds"),
        ({"Go": {"argv": [OK], "exit_codes": [256]}}, "whole numbers from 0 to 255"),
        ({"Go": {"argv": [OK], "environment": {"A B": "x"}}}, "letters, digits and _ only"),
        ({"Go": {"argv": [OK], "environment": {"A": 1}}}, "'A' of 'environment'"),
        ({"Go": {"argv": [OK], "shell": True}}, "has a key 'shell'"),
    ],
)
def test_a_wrong_configuration_is_said_before_anything_is_connected(
    commands: Any, says: str, tmp_path: Path
) -> None:
    file = config_file(tmp_path, {"commands": commands})
    with desk() as at:
        connection = at.connection()
        with pytest.raises(DefinitionError) as caught:
            made(at, "shell", file, mq_config=connection)
        assert says in str(caught.value)
        assert str(file) in str(caught.value)
        assert not connection.bus.is_open
