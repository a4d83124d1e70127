"""From documents to playbooks, or to everything that is wrong with them."""

import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from headway.adapters.documents import read
from headway.releases.document import Document, DocumentError, Located
from headway.releases.inputs import REQUIRED, Input
from headway.releases.playbook import HostSequence, Playbook, Step, StepRules
from headway.releases.reading import playbook_of


def playbook(text: str, notation: str = "YAML") -> Playbook:
    return playbook_of(read(dedent(text).encode(), notation, "it"))


def step(text: str) -> Step:
    whole = f"{{group: g, name: n, execution: [{{hosts: [h], steps: [{text}]}}]}}"
    return playbook(whole).execution[0].steps[0]


def test_all_that_a_playbook_can_say() -> None:
    assert playbook(
        """
        group: aurora
        name: Roll the catalogue
        lock: [catalogue, "web"]
        inputs:
          - cart
          - {name: size, type: integer, default: 3, choices: [1, 3]}
          - {name: key, secret: true, default: env:KEY}
        execution:
          - description: both web nodes
            hosts: [cat-a, cat-b]
            parallel: 2
            preflight: ["disk:Room"]
            steps:
              - no-op:announce
              - service:Restart:
                  service: catalogued
                  ports: {"8080": [1, null]}
                  notify:
                    failed: {email: [oncall@example.net], irc: ["#a", "#b"]}
                    started: {}
                  dynamic: [cart, ticket, cart]
                  job:
                    check: service:Runs
                    cleanup: {service:Start: {service: catalogued, dynamic: [hand]}}
                    tries: 3
                    retry_delay: 0
                    timeout: 30
                    on_lost: rerun
          - hosts: [localhost]
            steps: [{python: ship.jobs:Outer.Health}, noop:Done: , noop:Done: {}]
        """
    ) == Playbook(
        group="aurora",
        name="Roll the catalogue",
        lock=("catalogue", "web"),
        inputs=(
            Input("cart", "text", REQUIRED),
            Input("size", "integer", 3, choices=(1, 3)),
            Input("key", "text", "env:KEY", secret=True),
        ),
        execution=(
            HostSequence(
                description="both web nodes",
                hosts=("cat-a", "cat-b"),
                parallel=2,
                preflight=(Step("disk", "Room"),),
                steps=(
                    Step("no-op", "announce"),
                    Step(
                        "service",
                        "Restart",
                        {"service": "catalogued", "ports": {"8080": [1, None]}},
                        {
                            "failed": {"email": ("oncall@example.net",), "irc": ("#a", "#b")},
                            "started": {},
                        },
                        ("cart", "ticket"),
                        StepRules(
                            check=Step("service", "Runs"),
                            cleanup=Step(
                                "service", "Start", {"service": "catalogued"}, dynamic=("hand",)
                            ),
                            tries=3,
                            retry_delay_s=0.0,
                            timeout_s=30.0,
                            on_lost="rerun",
                        ),
                    ),
                ),
            ),
            HostSequence(
                description="",
                hosts=("localhost",),
                steps=(
                    Step("python", "Health", python="ship.jobs:Outer.Health"),
                    Step("noop", "Done"),
                    Step("noop", "Done"),
                ),
            ),
        ),
    )


def test_a_playbook_in_json_is_the_same_playbook() -> None:
    json = (
        '{"group": "g", "name": "n", "execution": [{"hosts": ["h"], "steps":'
        ' ["noop:Hello", {"sleep:Seconds": {"seconds": 1.5}}]}]}'
    )
    yaml = """
        group: g
        name: n
        execution:
          - hosts: [h]
            steps:
              - noop:Hello
              - sleep:Seconds: {seconds: 1.5}
        """
    assert playbook(json, "JSON") == playbook(yaml)


def test_the_inputs_that_steps_name_are_listed_once() -> None:
    held = playbook(
        """
        group: g
        name: n
        execution:
          - hosts: [h]
            preflight: [a:B: {dynamic: [one, two]}]
            steps:
              - a:B:
                  dynamic: [two, three]
                  job: {check: {a:C: {dynamic: [four]}}, cleanup: {a:D: {dynamic: [one, five]}}}
        """
    )
    assert held.dynamic == ("one", "two", "three", "four", "five")


def test_a_value_that_was_read_elsewhere_is_checked_too() -> None:
    plain: dict[str, Any] = {
        "group": "g",
        "name": "n",
        "execution": [{"hosts": ["h"], "steps": []}],
    }
    with pytest.raises(DocumentError) as caught:
        playbook_of(Document("the request", Located.of(plain)))
    assert caught.value.lines() == [
        "the request: execution[0].steps: is empty. Write at least one step"
    ]
    plain["execution"][0]["steps"] = ["a:B"]
    assert playbook_of(Document("the request", Located.of(plain))).execution[0].hosts == ("h",)


@pytest.mark.parametrize(
    "value",
    ["5", "~", "text", "[check]", "{name: x}", "{tries: 3, other: 1}", "{check: 'a:B', url: x}"],
)
def test_what_does_not_look_like_rules_is_a_parameter_called_job(value: str) -> None:
    taken = step(f"{{a:B: {{job: {value}}}}}")
    assert taken.rules == StepRules()
    assert "job" in taken.parameters


def test_an_empty_job_has_no_rules() -> None:
    taken = step("{a:B: {job: {}}}")
    assert (taken.parameters, taken.rules) == ({}, StepRules())


def test_problems_of_reading_and_of_checking_are_told_together_in_their_order() -> None:
    with pytest.raises(DocumentError) as caught:
        playbook("group: 5\nname: a\nname: b\nexecution: [!x {hosts: [.nan]}]")
    assert [line.partition(" ")[0] for line in caught.value.lines()] == [
        "it:1:8:",
        "it:3:1:",
        "it:4:13:",
        "it:4:13:",
        "it:4:25:",
    ]


WRONG = Path(__file__).with_name("wrong_playbooks.txt").read_text("utf-8")
CASES = re.findall(r"^== (.+)\n((?s:.+?))\n((?:-> .+\n)+)", WRONG, re.M)


def test_the_file_of_wrong_playbooks_is_read_to_its_end() -> None:
    assert len(CASES) == WRONG.count("\n== ") > 50


@pytest.mark.parametrize(
    ("text", "lines"),
    [pytest.param(text, lines, id=title) for title, text, lines in CASES],
)
def test_everything_that_is_wrong_is_told_at_once(text: str, lines: str) -> None:
    with pytest.raises(DocumentError) as caught:
        playbook(text)
    said = "".join(f"-> {line.removeprefix('it:')}\n" for line in caught.value.lines())
    assert said == lines


def test_no_value_of_a_secret_is_told() -> None:
    secrets = [lines for title, _, lines in CASES if "secret" in title]
    assert len(secrets) == 2
    for lines in secrets:
        assert "hunter2" not in lines
        assert "'yes'" not in lines
