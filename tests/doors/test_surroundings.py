"""What surrounds releases, as headway.toml and the command line say it."""

import json
from typing import Any

import pytest

from tests.doors.typed import Place

TICKET = """
    import json
    from pathlib import Path
    from reworker.worker import Worker

    class TicketWorker(Worker):
        def process(self, channel, basic_deliver, properties, body, output):
            self.ack(basic_deliver)
            step = body["parameters"]
            with Path("sent").open("a") as sent:
                sent.write(" ".join([step["subcommand"], *step["hosts"]]) + "\\n")
            is_open = Path("open").exists()
            fails = step["subcommand"] == "Deploy" and Path("broken").exists()
            answer = {"status": "failed" if fails else "completed", "data": {"open": is_open}}
            self.send(properties.reply_to, properties.correlation_id, answer, exchange="")
"""
ROLL = """
    group: orchard
    name: Roll
    execution:
      - {hosts: [web1, web2], steps: [ticket:Deploy]}
"""
AROUND = """
    step_triggers:
      - description: say it before it is done
        when: {next_subcommand: Deploy}
        command: ticket
        subcommand: Say
    pre_deploy_check:
      - {name: ticket open, command: ticket, subcommand: IsOpen, expectation: {data: {open: true}}}
    post_deploy_action:
      - {name: stamp, command: ticket, subcommand: Stamp}
      - {name: cry, command: ticket, subcommand: Cry, when: failed}
    phase_notification: {topic: notify.irc, target: ["#aurora"], url: "https://rel.example.net/%s"}
"""
TRIGGERS = {
    "STEP_TRIGGERS": [
        {
            "DESCRIPTION": "breathe",
            "WHEN": {"NEXT_COMMAND": "ticket"},
            "COMMAND": "noop",
            "SUBCOMMAND": "Breathe",
            "PARAMETERS": {},
        }
    ]
}
SERVED = ("--worker", "ticket.py")
STEPS = ["Say web1", "Deploy web1", "Say web2", "Deploy web2"]


@pytest.fixture
def roll(place: Place) -> Place:
    place.write("ticket.py", TICKET)
    place.write("roll.yaml", ROLL)
    place.write("around.yaml", AROUND)
    place.write("triggers.json", json.dumps(TRIGGERS))
    place.write("open", "")
    return place


@pytest.fixture
def configured(roll: Place) -> Place:
    roll.write("headway.toml", '[release]\nsurroundings = "around.yaml"\n')
    return roll


def sent(place: Place) -> list[str]:
    try:
        return (place.directory / "sent").read_text().splitlines()
    except FileNotFoundError:
        return []


def names(said: Any) -> list[str]:
    return [job["job"] for job in said.json["jobs"]]


def test_every_release_is_surrounded_as_headway_toml_says(configured: Place) -> None:
    said = configured.type("run", "roll.yaml", *SERVED)
    assert sent(configured) == ["IsOpen", *STEPS, "Stamp"]
    run = configured.type("show", "--json").json["run"]
    page = f"https://rel.example.net/{run}"
    assert said.lines[0] == f"notice to #aurora (notify.irc): Release {run} started: Roll. {page}"
    assert f"notice to #aurora (notify.irc): Release {run} completed: Roll. {page}" in said.lines
    assert "nobody hears notices to notify.irc" in said.err


def test_a_file_that_headway_toml_names_stands_beside_it(configured: Place) -> None:
    (configured.directory / "deep").mkdir()
    for name in ("roll.yaml", "ticket.py", "open"):
        (configured.directory / name).rename(configured.directory / "deep" / name)
    configured.type("run", "roll.yaml", *SERVED, cwd="deep")
    assert (configured.directory / "deep/sent").read_text().splitlines()[0] == "IsOpen"


def test_a_ticket_that_is_not_open_stops_the_release_before_its_first_step(
    configured: Place,
) -> None:
    (configured.directory / "open").unlink()
    said = configured.type("run", "roll.yaml", *SERVED, code=1)
    assert (
        "✗ check ticket open failed: ticket:IsOpen was not answered as expected: data.open is"
        " false, expected is true" in said.lines
    )
    assert sent(configured) == ["IsOpen", "Stamp", "Cry"]
    configured.write("open", "")
    configured.type("retry")
    assert sent(configured)[3:] == ["IsOpen", *STEPS, "Stamp"]


def test_why_tells_of_an_action_that_was_not_needed_what_it_is_for(configured: Place) -> None:
    configured.type("run", "roll.yaml", *SERVED)
    assert configured.type("why", "action cry").lines[:2] == [
        "✓ action cry is passed",
        "  it is for a release that failed, and this one was completed",
    ]


def test_triggers_alone_are_named_on_the_command_line(roll: Place) -> None:
    said = roll.type("run", "roll.yaml", "--triggers", "triggers.json", *SERVED, "--json")
    assert "phase-notice-intended" not in said.out
    assert names(roll.type("show", "--json")) == [
        "noop:Breathe@web1", "ticket:Deploy@web1", "noop:Breathe@web2", "ticket:Deploy@web2",
    ]  # fmt: skip


def test_triggers_that_are_named_take_the_place_of_the_others_and_the_rest_stays(
    configured: Place,
) -> None:
    said = configured.type("plan", "roll.yaml", "--triggers", "triggers.json", "--json", code=2)
    assert names(said) == [
        "check ticket open",
        *("noop:Breathe@web1", "ticket:Deploy@web1", "noop:Breathe@web2", "ticket:Deploy@web2"),
        *("action stamp", "action cry"),
    ]
    configured.write("headway.toml", '[release]\nsurroundings = "around.yaml"\ntriggers = "triggers.json"\n')  # fmt: skip  # noqa: E501
    assert names(configured.type("plan", "roll.yaml", "--json", code=2)) == names(said)


def test_surroundings_that_are_named_go_before_those_of_headway_toml(configured: Place) -> None:
    configured.write("bare.yaml", "{}")
    said = configured.type("plan", "roll.yaml", "--surroundings", "bare.yaml", "--json", code=2)
    assert names(said) == ["ticket:Deploy@web1", "ticket:Deploy@web2"]


def test_a_plan_sends_nothing_to_checks_and_actions(configured: Place) -> None:
    said = configured.type("plan", "roll.yaml", code=2)  # whose worker is not even here
    assert sent(configured) == []
    assert said.lines[0] == (
        "~ check ticket open   not checkable  it is asked when the release begins"
    )
    assert said.lines[-3:-1] == [
        "~ action stamp        not checkable  it is done when the release is over",
        "~ action cry          not checkable  it is done when the release is over, if it failed",
    ]


def test_a_picture_shows_what_surrounds_a_release(configured: Place) -> None:
    said = configured.type("graph", "roll.yaml", "--format", "dot")
    assert "check ticket open" in said.out
    assert "action cry" in said.out
    drawn = configured.type("graph", "roll.yaml", "--plan", *SERVED, "--format", "mermaid")
    assert "not checkable" in drawn.out
    assert sent(configured) == []


def test_resume_and_retry_keep_to_what_surrounded_the_run_when_it_began(configured: Place) -> None:
    configured.write("broken", "")
    configured.type("run", "roll.yaml", *SERVED, code=1)
    assert sent(configured) == ["IsOpen", "Say web1", "Deploy web1", "Stamp", "Cry"]
    (configured.directory / "broken").unlink()
    (configured.directory / "around.yaml").write_text("no: more")
    configured.type("retry")
    assert sent(configured)[5:] == ["Deploy web1", "Say web2", "Deploy web2", "Stamp"]
    said = configured.type("run", "roll.yaml", *SERVED, code=1)
    assert "around.yaml:1:1: no: 'no' is no key of surroundings" in said.err


def test_a_stored_playbook_is_surrounded_too(configured: Place) -> None:
    configured.type("playbook", "add", "roll.yaml")
    configured.type("run", "playbook:orchard/Roll", *SERVED)
    assert sent(configured) == ["IsOpen", *STEPS, "Stamp"]


def test_what_checks_and_triggers_need_must_be_given(roll: Place) -> None:
    around = {"post_deploy_action": [{
        "name": "stamp", "command": "ticket", "subcommand": "Stamp",
        "parameters": {"dynamic": ["ticket_id"]},
    }]}  # fmt: skip
    roll.write("around.yaml", json.dumps(around))
    said = roll.type("run", "roll.yaml", "--surroundings", "around.yaml", *SERVED, code=1)
    assert "input 'ticket_id'" in said.err
    assert sent(roll) == []


def test_jobs_are_surrounded_by_nothing(configured: Place) -> None:
    configured.write("one.py", """
        from headway import RunonlyJob

        class One(RunonlyJob):
            def Run(self): ...
    """)  # fmt: skip
    configured.type("run", "one.py")
    assert names(configured.type("show", "--json")) == ["One"]
    said = configured.type("run", "one.py", "--triggers", "triggers.json", code=64)
    assert "--triggers is for a playbook, and one.py is none" in said.err


@pytest.mark.parametrize(
    ("toml", "why"),
    [
        ('[release]\nsurrounding = "a"\n', "'release.surrounding', which means nothing"),
        ("[release]\nsurroundings = 7\n", "release.surroundings to 7"),
        ('release = "around.yaml"\n', "write [release] and below it surroundings and triggers"),
        ('[release]\nsurroundings = "none.yaml"\n', "there is no file"),
        ('[release]\ntriggers = "around.yaml"\n', "holds more than triggers"),
        ("[relase]\n", "it may set db, durable, bus, release and environments"),
    ],
)
def test_what_headway_toml_says_wrongly_is_told(roll: Place, toml: str, why: str) -> None:
    roll.write("headway.toml", toml)
    said = roll.type("plan", "roll.yaml", *SERVED, code=64)
    assert why in said.err


def test_a_run_has_its_plan_and_takes_no_surroundings(configured: Place) -> None:
    configured.type("run", "roll.yaml", *SERVED)
    said = configured.type("graph", "--triggers", "triggers.json", code=64)
    assert "--triggers is for a TARGET" in said.err
