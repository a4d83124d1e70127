"""Checks before a release and actions after it are nodes of its plan, and go when they are due."""

from typing import Any

import pytest

from headway.jobs.events import RunRetried, TryEnded
from headway.jobs.outcomes import Ending
from headway.jobs.plan import Plan
from headway.jobs.schedule import Schedule
from headway.jobs.states import JobState
from headway.releases.compiling import CompiledPlaybook, compile_playbook
from headway.releases.steps import Call, StepNode, unmet_in
from headway.releases.surroundings import Surroundings
from headway.releases.surroundings_reading import from_plain
from headway.runtime.launching import retry_keys
from headway.wire.messages import Response
from tests.properties.playbook_plans import no_jobs
from tests.properties.triggers import playbook_with

CHECKS = ["check open", "check quiet"]
ACTIONS = ["action stamp", "action cheer", "action cry"]
PLAIN: dict[str, Any] = {
    "pre_deploy_check": [
        {"name": "open", "command": "ticket", "subcommand": "IsOpen", "expectation": {"data": 1}},
        {
            "name": "quiet",
            "command": "pager",
            "subcommand": "IsQuiet",
            "parameters": {"for": "web", "job": {"timeout": 9, "tries": 2}},
            "expectation": {"status": "failed"},
        },
    ],
    "post_deploy_action": [
        {"name": "stamp", "command": "ticket", "subcommand": "Stamp"},
        {"name": "cheer", "command": "ticket", "subcommand": "Cheer", "when": "completed"},
        {"name": "cry", "command": "ticket", "subcommand": "Cry", "when": "failed"},
    ],
}
AROUND = from_plain(PLAIN, "it")


def compiled(*steps: Any, around: Surroundings = AROUND, **sequence: Any) -> CompiledPlaybook:
    playbook = playbook_with(*steps, **sequence)
    return compile_playbook(playbook, no_jobs, surroundings=around)


def edges(plan: Plan) -> dict[str, list[str]]:
    names = plan.names
    return {name: [names[n] for n in plan.needs[key]] for key, name in enumerate(names)}


# The plan


def test_checks_come_first_one_after_another_and_the_actions_last() -> None:
    plan = compiled("app:Go", preflight=["app:Look"]).plan
    assert edges(plan) == {
        "check open": [],
        "check quiet": ["check open"],
        "app:Look@a": ["check quiet"],
        "app:Look@b": ["check quiet"],
        "app:Go@a": ["app:Look@a", "app:Look@b"],
        "app:Go@b": ["app:Go@a"],
        "action stamp": [],
        "action cheer": ["action stamp"],
        "action cry": ["action cheer"],
    }
    assert [plan.names[key] for key in plan.lasts] == ACTIONS
    assert [plan.rules[key].when for key in plan.lasts] == ["always", "completed", "failed"]


def test_a_picture_shows_the_actions_after_all_the_rest() -> None:
    plan = compiled("app:Go", parallel=2).plan
    follows = {
        plan.names[key]: [plan.names[n] for n in on] for key, on in enumerate(plan.follows())
    }
    assert follows["action stamp"] == ["app:Go@a", "app:Go@b"]
    assert follows["action cheer"] == ["action stamp"]


def test_such_a_plan_is_read_back_as_it_was() -> None:
    plan = compiled("app:Go").plan
    again = Plan.from_json(plan.to_json())
    assert again.to_json() == plan.to_json()
    assert not plan.difference(again)
    assert "action cry: when is 'completed' instead of 'failed'" in plan.difference(
        compiled("app:Go", around=from_plain(_changed("when", "completed"), "it")).plan
    )


def _changed(key: str, value: str) -> dict[str, Any]:
    *others, cry = PLAIN["post_deploy_action"]
    return {**PLAIN, "post_deploy_action": [*others, {**cry, key: value}]}


def test_a_check_and_an_action_say_how_they_are_to_be_treated() -> None:
    plan = compiled("app:Go").plan
    rules = dict(zip(plan.names, plan.rules, strict=True))
    assert (rules["check open"].tries, rules["check quiet"].tries) == (1, 2)
    assert (rules["check open"].timeout_s, rules["check quiet"].timeout_s) == (None, 9)
    assert rules["check open"].on_lost == "rerun"
    assert rules["action stamp"].on_lost == "ask"
    assert not rules["check open"].has_check, "whoever plans asks it nothing"


def test_checks_and_actions_are_for_no_host() -> None:
    found = compiled("app:Go")
    nodes = dict(zip(found.plan.names, found.definitions, strict=True))
    check, action = nodes["check quiet"], nodes["action cry"]
    assert isinstance(check, StepNode)
    assert isinstance(action, StepNode)
    assert (check.part, action.part) == ("check", "action")
    assert check.run.message(check.host, check.group, {"cart": "c"}).to_plain() == {
        "parameters": {"command": "pager", "subcommand": "IsQuiet", "hosts": [], "for": "web"},
        "group": "orchard",
        "dynamic": {"cart": "c"},
        "notify": {},
    }
    assert action.run.message(None, "orchard", {}).parameters["hosts"] == []


def test_a_check_called_like_another_node_has_a_name_of_its_own() -> None:
    one = {"name": "open", "command": "a", "subcommand": "b", "expectation": {"data": 1}}
    around = from_plain({"pre_deploy_check": [one, {**one, "name": "open#2"}]}, "it")
    names = compiled("app:Go", around=around).plan.names
    assert len(set(names)) == len(names)


# What is expected


def answer(status: str = "completed", **more: Any) -> Response:
    return Response.from_plain({"status": status, **more})


@pytest.mark.parametrize(
    ("expected", "given", "flaw"),
    [
        ({"data": {"open": True}}, answer(data={"open": True, "since": 7}), None),
        ({"data": {"open": True}}, answer(data={"open": False}), "data.open is false, expected is"),
        ({"data": {"open": True}}, answer(data={"open": 1}), "data.open is 1, expected is true"),
        ({"data": {"open": True}}, answer(data={}), "data.open is missing, expected is true"),
        ({"data": {"open": True}}, answer(), "data is missing, expected is"),
        ({"data": {"open": True}}, answer(data=[1]), "data is [1], expected is"),
        ({"data": [{"a": 1}]}, answer(data=[{"a": 1, "b": 2}]), None),
        ({"data": [1]}, answer(data=[1, 2]), "data is [1, 2], expected is [1]"),
        ({"note": "x"}, answer(note="x"), None),
        ({"status": "completed"}, answer(), None),
        ({"status": "completed"}, answer("failed", data="it rains"), "it rains"),
        ({"data": 1}, answer("failed", data=1), "1"),
        ({"status": "failed"}, answer("failed"), None),
        ({"status": "failed", "data": 1}, answer("failed", data=2), "data is 2, expected is 1"),
        ({"status": "failed"}, answer(), 'status is "completed", expected is "failed"'),
    ],
)
def test_an_answer_must_hold_all_that_is_expected_and_may_hold_more(
    expected: dict[str, Any], given: Response, flaw: str | None
) -> None:
    found = Call("ticket", "IsOpen", expected=expected).flaw(given)
    if flaw is None:
        assert found is None
    else:
        assert found is not None
        assert flaw in found


def test_long_answers_are_shown_in_part() -> None:
    said = unmet_in({"data": "x" * 10_000}, {"data": 1})
    assert said is not None
    assert len(said) < 300


# The schedule


def carried_out(
    schedule: Schedule, events: list[TryEnded] | None = None, **endings: Ending
) -> list[str]:
    """By name, in what order all went; with _ in place of what no argument may hold."""
    went = []
    while (key := schedule.ready(0.0)) is not None:
        name = schedule.plan.names[key]
        assert schedule.started(key, 0.0) is None
        ending = Ending.PASSED
        if not schedule.is_needless(key):
            went.append(name)
            argument = name.replace(" ", "_").replace(":", "_").replace("@", "_")
            ending = endings.get(argument, Ending.REPAIRED)
        schedule.ended(key, ending, 0.0)
        if events is not None:
            events.append(TryEnded(1, key, 1, ending))
    return went


def stands(schedule: Schedule) -> dict[str, str]:
    return dict(zip(schedule.plan.names, map(str, schedule.states_shown()), strict=True))


def test_a_release_that_was_completed_cheers() -> None:
    schedule = Schedule(compiled("app:Go").plan)
    went = carried_out(schedule)
    assert went == [*CHECKS, "app:Go@a", "app:Go@b", "action stamp", "action cheer"]
    assert stands(schedule)["action cry"] == "passed"
    assert schedule.succeeded


def test_a_release_that_failed_cries() -> None:
    schedule = Schedule(compiled("app:Go").plan)
    went = carried_out(schedule, app_Go_a=Ending.FAILED)
    assert went == [*CHECKS, "app:Go@a", "action stamp", "action cry"]
    assert not schedule.succeeded
    assert stands(schedule)["app:Go@b"] == "blocked"


def test_the_first_check_that_fails_stops_the_release_and_the_actions_run_all_the_same() -> None:
    schedule = Schedule(compiled("app:Go").plan)
    went = carried_out(schedule, check_open=Ending.FAILED)
    assert went == ["check open", "action stamp", "action cry"]
    assert {stands(schedule)[name] for name in ("check quiet", "app:Go@a")} == {"blocked"}


def test_an_action_that_fails_fails_the_release_and_stops_those_after_it() -> None:
    schedule = Schedule(compiled("app:Go").plan)
    went = carried_out(schedule, action_stamp=Ending.FAILED)
    assert went[-1] == "action stamp"
    assert not schedule.succeeded
    assert stands(schedule)["action cheer"] == stands(schedule)["action cry"] == "blocked"


def test_a_cleanup_that_failed_makes_a_release_that_failed() -> None:
    step = {"app:Go": {"job": {"cleanup": "app:Undo"}}}
    schedule = Schedule(compiled(step, hosts=["a"]).plan)
    assert schedule.may_be_needless
    went: list[str] = []
    while (key := schedule.ready(0.0)) is not None:
        schedule.started(key, 0.0)
        if schedule.is_needless(key):
            schedule.ended(key, Ending.PASSED, 0.0)
            continue
        went.append(schedule.plan.names[key])
        failed = went[-1] == "app:Undo@a"
        ending = Ending.FAILED if failed else Ending.REPAIRED
        schedule.ended(key, ending, 0.0, executed=True)
    assert went == [*CHECKS, "app:Go@a", "app:Undo@a", "action stamp", "action cry"]


def test_no_action_begins_while_a_step_is_in_doubt_and_all_do_once_it_is_settled() -> None:
    schedule = Schedule(compiled("app:Go", parallel=2).plan)
    went = carried_out(schedule, app_Go_a=Ending.IN_DOUBT)
    assert went == [*CHECKS, "app:Go@a"]
    schedule.settled(schedule.plan.key_of("app:Go@a"), "failed")
    assert carried_out(schedule) == ["action stamp", "action cry"]


def test_no_action_begins_in_a_release_that_was_cancelled() -> None:
    schedule = Schedule(compiled("app:Go").plan)
    schedule.cancel()
    assert carried_out(schedule) == []
    assert set(stands(schedule).values()) == {"cancelled"}


def test_a_release_that_was_cut_off_among_its_actions_goes_on_with_the_next() -> None:
    plan = compiled("app:Go").plan
    events: list[Any] = []
    carried_out(Schedule(plan), events, app_Go_a=Ending.FAILED)
    for cut in range(len(events) - 3, len(events)):
        taken_up = Schedule.from_journal(plan, events[:cut])
        went = carried_out(taken_up)
        rest = ["action stamp", "action cheer", "action cry"][3 - (len(events) - cut) :]
        assert went == [name for name in rest if name != "action cheer"]
        assert taken_up.is_over


def test_a_plan_without_conditions_is_never_asked_for_them() -> None:
    plan = compiled("app:Go", around=Surroundings()).plan
    assert not Schedule(plan).may_be_needless
    assert Schedule(compiled("app:Go").plan).may_be_needless


# A retry


def test_a_retry_of_a_step_does_the_actions_anew() -> None:
    plan = compiled("app:Go").plan
    events: list[Any] = []
    carried_out(Schedule(plan), events, app_Go_b=Ending.FAILED)
    keys = retry_keys(plan, events, None)
    assert [plan.names[key] for key in keys] == ["app:Go@b", *ACTIONS]
    schedule = Schedule.from_journal(plan, [*events, RunRetried(2, tuple(keys))])
    assert carried_out(schedule) == ["app:Go@b", "action stamp", "action cheer"]
    assert schedule.succeeded


def test_a_retry_of_an_action_goes_on_from_there() -> None:
    plan = compiled("app:Go").plan
    events: list[Any] = []
    carried_out(Schedule(plan), events, action_cheer=Ending.FAILED)
    keys = retry_keys(plan, events, None)
    assert [plan.names[key] for key in keys] == ["action cheer"]
    schedule = Schedule.from_journal(plan, [*events, RunRetried(2, tuple(keys))])
    assert carried_out(schedule) == ["action cheer"]
    assert schedule.states[-1] is JobState.PASSED
