"""What surrounds releases is read, checked and kept."""

from pathlib import Path

import pytest

from headway.adapters.documents import read
from headway.errors import DefinitionError
from headway.jobs.states import RunState
from headway.releases.document import DocumentError
from headway.releases.playbook import Step, StepRules
from headway.releases.surroundings import (
    MOST_STEPS,
    NOTHING,
    PhaseNotice,
    PostDeployAction,
    PreDeployCheck,
    Surroundings,
    Trigger,
    notification_of,
    surrounded,
)
from headway.releases.surroundings_reading import RE_CORE_KEYS, from_plain, surroundings_of
from headway.wire.messages import SLUG_LONGEST
from tests.properties.triggers import playbook_with

# As the release engine's operators wrote it.
ENGINE = """
{"STEP_TRIGGERS": [
   {"DESCRIPTION": "breathe before any restart",
    "WHEN": {"NEXT_COMMAND": "service", "NEXT_SUBCOMMAND": "Restart"},
    "COMMAND": "sleep", "SUBCOMMAND": "seconds", "PARAMETERS": {"seconds": 3}},
   {"DESCRIPTION": "say so", "WHEN": {"NEXT_SUBCOMMAND": "seconds"},
    "COMMAND": "noop", "SUBCOMMAND": "Say", "PARAMETERS": {}}],
 "PRE_DEPLOY_CHECK": [
   {"NAME": "ticket open", "COMMAND": "ticket", "SUBCOMMAND": "IsOpen",
    "PARAMETERS": {"queue": "rel"},
    "EXPECTATION": {"status": "completed", "data": {"open": true}}}],
 "POST_DEPLOY_ACTION": [
   {"NAME": "stamp", "COMMAND": "ticket", "SUBCOMMAND": "Stamp"},
   {"NAME": "cry", "COMMAND": "ticket", "SUBCOMMAND": "Cry", "WHEN": "failed"}],
 "PHASE_NOTIFICATION": {"TABOOT_URL": "https://rel.example.net/%s?q=%20", "TOPIC": "notify.irc",
   "TARGET": ["#aurora"]}}
"""
FOUND = Surroundings(
    (
        Trigger(
            "breathe before any restart",
            "service",
            "Restart",
            Step("sleep", "seconds", {"seconds": 3}),
        ),
        Trigger("say so", "", "seconds", Step("noop", "Say")),
    ),
    (
        PreDeployCheck(
            "ticket open",
            Step("ticket", "IsOpen", {"queue": "rel"}),
            {"status": "completed", "data": {"open": True}},
        ),
    ),
    (
        PostDeployAction("stamp", Step("ticket", "Stamp")),
        PostDeployAction("cry", Step("ticket", "Cry"), "failed"),
    ),
    PhaseNotice("notify.irc", ("#aurora",), "https://rel.example.net/%s?q=%20"),
)


def surroundings(text: str, notation: str = "YAML") -> Surroundings:
    return surroundings_of(read(text.encode(), notation, "it"))


def wrong(text: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        surroundings(text)
    return [line.removeprefix("it:") for line in caught.value.lines()]


def test_what_the_release_engine_was_given_is_understood() -> None:
    assert surroundings(ENGINE, "JSON") == FOUND


def test_keys_may_be_written_small() -> None:
    small = {
        key: key.lower()
        for key in (
            "STEP_TRIGGERS PRE_DEPLOY_CHECK POST_DEPLOY_ACTION PHASE_NOTIFICATION DESCRIPTION"
            " NEXT_COMMAND NEXT_SUBCOMMAND WHEN SUBCOMMAND COMMAND PARAMETERS NAME EXPECTATION"
            " TABOOT_URL TOPIC TARGET"
        ).split()
    }
    text = ENGINE
    for key, low in small.items():
        text = text.replace(f'"{key}"', f'"{low}"')
    assert surroundings(text, "JSON") == FOUND
    assert surroundings(text.replace("taboot_url", "url"), "JSON") == FOUND


def test_there_may_be_nothing_of_a_kind() -> None:
    assert surroundings("{}") == NOTHING == Surroundings()
    assert surroundings("step_triggers: []") == NOTHING


def test_what_was_read_is_kept_as_plain_json_and_read_back() -> None:
    assert from_plain(FOUND.to_plain(), "run 1") == FOUND
    assert NOTHING.to_plain() == {}


def test_what_a_trigger_inserts_is_a_step_with_all_that_a_step_may_say() -> None:
    parameters = {
        "seconds": 3,
        "job_of": "nobody",
        "notify": {"failed": {"email": ["ada@example.org"]}},
        "dynamic": ["cart"],
        "job": {
            "check": {"app:IsUp": {"port": 80}},
            "cleanup": "app:Up",
            "tries": 2,
            "retry_delay": 0,
            "timeout": 5,
            "on_lost": "fail",
        },
    }
    plain = {"description": "it", "when": {"next_command": "app"}, "command": "app"}
    plain |= {"subcommand": "Down", "parameters": parameters}
    found = from_plain({"step_triggers": [plain]}, "it")
    assert found.triggers[0].step == Step(
        "app",
        "Down",
        {"seconds": 3, "job_of": "nobody"},
        {"failed": {"email": ("ada@example.org",)}},
        ("cart",),
        StepRules(Step("app", "IsUp", {"port": 80}), Step("app", "Up"), 2, 0.0, 5.0, "fail"),
    )
    assert found.to_plain()["step_triggers"][0]["parameters"]["job"]["check"] == {
        "app:IsUp": {"port": 80}
    }
    assert from_plain(found.to_plain(), "it") == found


WRONG: dict[str, tuple[str, list[str]]] = {
    "a list": (
        "[]",
        [
            "1:1: surroundings: is a list, not an object. Write an object with step_triggers,"
            " pre_deploy_check, post_deploy_action or phase_notification"
        ],
    ),
    "nothing": ("", ["1:1: surroundings: is empty. Write its keys into it"]),
    "slips in keys": (
        "STEP_TRIGERS: []\nfoo: 1\n",
        [
            "1:1: STEP_TRIGERS: 'STEP_TRIGERS' is no key of surroundings. Did you mean"
            " STEP_TRIGGERS?",
            "2:1: foo: 'foo' is no key of surroundings. It may have STEP_TRIGGERS,"
            " PRE_DEPLOY_CHECK, POST_DEPLOY_ACTION, PHASE_NOTIFICATION",
        ],
    ),
    "an empty trigger": (
        "step_triggers: [{}]",
        [
            f"1:17: step_triggers[0].{key}: is missing. Write {key}: and {says}"
            for key, says in (
                ("description", "what it is for"),
                ("when", "before which steps"),
                ("command", "which workers do it"),
                ("subcommand", "what they are to do"),
            )
        ],
    ),
    "a trigger that is for nothing, and inserts no step": (
        "STEP_TRIGGERS:\n"
        "  - DESCRIPTION: 7\n"
        "    WHEN: {}\n"
        "    COMMAND: service:Restart\n"
        "    SUBCOMMAND: ''\n"
        "    PARAMETERS: {hosts: [a], job: {tires: 2}}\n",
        [
            "2:18: STEP_TRIGGERS[0].DESCRIPTION: is 7, not a text. Put it in quotes",
            "3:11: STEP_TRIGGERS[0].WHEN: is empty. Write NEXT_COMMAND, NEXT_SUBCOMMAND or both",
            "4:14: STEP_TRIGGERS[0].COMMAND: 'service:Restart' is no word of a step. Write letters,"
            " digits, _ and -, without a colon",
            "5:17: STEP_TRIGGERS[0].SUBCOMMAND: is empty. Write a text",
            "6:18: STEP_TRIGGERS[0].PARAMETERS.hosts: would be overwritten: each message has a key"
            " of its own. The sequence's hosts say it: give the parameter another name",
            "6:36: STEP_TRIGGERS[0].PARAMETERS.job.tires: 'tires' is no key of job. Did you mean"
            " tries?",
        ],
    ),
    "when": (
        "step_triggers:\n"
        "  - {description: a, command: b, subcommand: c, when: next}\n"
        "  - {description: a, command: b, subcommand: c, when: {next_comand: d}}\n",
        [
            "2:55: step_triggers[0].when: is 'next', not an object. Write an object with"
            " next_command or next_subcommand",
            "3:56: step_triggers[1].when.next_comand: 'next_comand' is no key of WHEN. Did you"
            " mean next_command?",
        ],
    ),
    "keys of both kinds": (
        "PRE_DEPLOY_CHECK:\n"
        "  - {NAME: a, command: b, SUBCOMMAND: c, expectation: {status: started}}\n",
        [
            "2:15: PRE_DEPLOY_CHECK[0].command: 'command' is no key of a pre-deploy check. Write"
            " COMMAND: its keys are written alike",
            "2:42: PRE_DEPLOY_CHECK[0].expectation: 'expectation' is no key of a pre-deploy check."
            " Write EXPECTATION: its keys are written alike",
            "2:64: PRE_DEPLOY_CHECK[0].EXPECTATION.status: is 'started', not one of completed,"
            " failed. Write one of them",
        ],
    ),
    "checks": (
        "pre_deploy_check:\n"
        "  - {name: a, command: b, subcommand: c}\n"
        "  - {name: a, command: b, subcommand: c, expectation: {}}\n"
        "  - {name: d, command: b, subcommand: c, expectation: yes, parameters: [1]}\n"
        "  - {name: e, command: b, subcommand: c, expectation: {data: 1}, parameters: {job:"
        " {check: a:b}}}\n"
        "  - 7\n",
        [
            "2:5: pre_deploy_check[0].expectation: is missing. Write expectation: and what the"
            " answer must hold",
            "3:12: pre_deploy_check[1].name: 'a' is there already. Give one of the two another",
            "3:55: pre_deploy_check[1].expectation: is empty. Write an object that the answer must"
            " hold, such as {status: completed}",
            "4:55: pre_deploy_check[2].expectation: is 'yes', not an object. Write an object that"
            " the answer must hold, such as {status: completed}",
            "4:72: pre_deploy_check[2].parameters: is a list, not an object. Write an object of"
            " parameters, or nothing",
            "5:85: pre_deploy_check[3].parameters.job.check: 'check' is no key of the job of a"
            " pre-deploy check. It may have tries, retry_delay, timeout, on_lost",
            "6:5: pre_deploy_check[4]: is 7, not an object. Write an object with name, command,"
            " subcommand, parameters or expectation",
        ],
    ),
    "actions": (
        "post_deploy_action:\n"
        "  - {name: a, command: b, subcommand: c, when: complete}\n"
        "  - {name: b, command: b, subcommand: c, expectation: {status: completed}}\n",
        [
            "2:48: post_deploy_action[0].when: is 'complete', not one of always, completed, failed."
            " Did you mean completed?",
            "3:42: post_deploy_action[1].expectation: 'expectation' is no key of a post-deploy"
            " action. It may have name, command, subcommand, parameters, when",
        ],
    ),
    "a notice": (
        "phase_notification: {topic: '', target: [], url: 'https://example.net/%s/%s'}",
        [
            "1:29: phase_notification.topic: is empty. Write a text",
            "1:41: phase_notification.target: is empty. Write a list of texts: whom to tell",
            "1:50: phase_notification.url: has 2 places for the id. Write %s once, where the id is"
            " to stand",
        ],
    ),
    "a notice without anything": (
        "phase_notification: {topic: x}",
        [
            "1:21: phase_notification.target: is missing. Write target: and whom to tell",
            "1:21: phase_notification.url: is missing. Write the address of a page, with %s for the"
            " id",
        ],
    ),
    "two addresses": (
        f"PHASE_NOTIFICATION: {{TOPIC: {'x' * 256}, TARGET: [a], URL: x, TABOOT_URL: '%s'}}",
        [
            "1:29: PHASE_NOTIFICATION.TOPIC: has more than 255 bytes. Write a key such as"
            " notify.irc",
            "1:305: PHASE_NOTIFICATION.URL: has no place for the id. Write %s once, where the id is"
            " to stand",
            "1:320: PHASE_NOTIFICATION.TABOOT_URL: says what url says. Take one of the two out",
        ],
    ),
}


@pytest.mark.parametrize(("text", "lines"), WRONG.values(), ids=WRONG)
def test_everything_that_is_wrong_is_told_at_once(text: str, lines: list[str]) -> None:
    assert wrong(text) == lines


def test_settings_of_the_release_engine_are_told_to_be_taken_out() -> None:
    lines = wrong("\n".join(f"{key}: x" for key in RE_CORE_KEYS) + "\nSTEP_TRIGGERS: []\n")
    assert len(lines) == len(RE_CORE_KEYS)
    assert all("is a setting of re-core" in line for line in lines)


# Triggers


def test_a_trigger_inserts_before_every_match_and_later_ones_see_what_earlier_ones_inserted() -> (
    None
):
    playbook = playbook_with("service:Restart", "noop:Go", "service:Restart", "service:Stop")
    steps = surrounded(playbook, FOUND.triggers).execution[0].steps
    names = [step.name for step in steps]
    breathes = ["noop:Say", "sleep:seconds", "service:Restart"]
    assert names == [*breathes, "noop:Go", *breathes, "service:Stop"]


def test_a_trigger_sees_neither_its_own_insertions_nor_those_of_later_ones() -> None:
    again = Trigger("again", "noop", "", Step("noop", "Again"))
    late = Trigger("late", "late", "", Step("noop", "Go"))
    playbook = playbook_with("noop:Go", "late:It")
    steps = surrounded(playbook, (again, late)).execution[0].steps
    names = [step.name for step in steps]
    assert names == ["noop:Again", "noop:Go", "noop:Go", "late:It"]


def test_nothing_is_inserted_into_preflight_checks_and_cleanups() -> None:
    step = {"app:Go": {"job": {"check": "app:Is", "cleanup": "app:Undo"}}}
    playbook = playbook_with(step, preflight=["app:Go"])
    trigger = Trigger("it", "app", "", Step("noop", "It"))
    found = surrounded(playbook, (trigger,)).execution[0]
    assert [step.name for step in found.steps] == ["noop:It", "app:Go"]
    assert found.steps[1] == playbook.execution[0].steps[0]
    assert found.preflight == playbook.execution[0].preflight


def test_triggers_that_double_each_other_s_steps_are_bounded() -> None:
    trigger = Trigger("twice", "noop", "", Step("noop", "Go"))
    doubled = surrounded(playbook_with("noop:Go"), (trigger,) * 13)
    assert len(doubled.execution[0].steps) == 2**13 < MOST_STEPS
    with pytest.raises(DefinitionError, match=r"trigger 'twice' brings a sequence to 16,384 steps"):
        surrounded(playbook_with("noop:Go"), (trigger,) * 500)


# Notices


@pytest.mark.parametrize(
    ("state", "word", "phase"),
    [
        (RunState.RUNNING, "started", "started"),
        (RunState.SUCCEEDED, "completed", "completed"),
        (RunState.FAILED, "failed", "failed"),
        (RunState.CANCELLED, "cancelled", "failed"),
    ],
)
def test_a_notice_names_the_run_how_it_stands_and_its_page(
    state: RunState, word: str, phase: str
) -> None:
    assert FOUND.phase_notice is not None
    intended = FOUND.phase_notice.of("6b0a9c748094487d8348b349", "Roll " * 20, state, 7)
    assert intended is not None
    assert (intended.notice, intended.topic) == (word, "notify.irc")
    sent = notification_of(intended)
    assert sent.phase == phase
    assert sent.target == ["#aurora"]
    assert sent.message.startswith(f"Release 6b0a9c748094487d8348b349 {word}: Roll ")
    assert sent.message.endswith("https://rel.example.net/6b0a9c748094487d8348b349?q=%20")
    assert sent.slug == sent.message[:SLUG_LONGEST]
    assert len(sent.slug) == 80


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.INTERRUPTED, RunState.IN_DOUBT])
def test_nobody_is_told_of_a_run_that_is_neither_begun_nor_over(state: RunState) -> None:
    assert FOUND.phase_notice is not None
    assert FOUND.phase_notice.of("6b0a", "Roll", state, 7) is None


def test_a_snapshot_that_cannot_be_read_says_whose_it_is() -> None:
    with pytest.raises(DocumentError, match=r"^run 6b0a: surroundings: is a list"):
        from_plain([], "run 6b0a")


def test_a_file_of_another_kind_is_no_file_of_surroundings(tmp_path: Path) -> None:
    from headway.runtime.playbooks import read_surroundings

    with pytest.raises(DefinitionError, match="is no file of surroundings by its name"):
        read_surroundings(tmp_path / "surroundings.toml")
