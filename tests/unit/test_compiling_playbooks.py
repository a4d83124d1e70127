"""A playbook becomes a plan of plain edges."""

from typing import Any

import pytest

from headway import DummyJob, Job
from headway.errors import DefinitionError
from headway.jobs.plan import Closing, Plan
from headway.releases.compiling import CompiledPlaybook, HostedJob, compile_playbook
from headway.releases.document import Document, Located
from headway.releases.reading import playbook_of
from headway.releases.steps import StepNode


class Folder(Job):
    def Check(self, **inputs: Any) -> None: ...

    def Run(self, **inputs: Any) -> None: ...


class Warmed(Job):
    DEPS = (Folder,)
    TRIES = 2

    def Check(self, **inputs: Any) -> None: ...

    def Run(self, **inputs: Any) -> None: ...


JOBS = {"warming:Warmed": Warmed, "warming:Folder": Folder}


def compiled(*sequences: dict[str, Any]) -> CompiledPlaybook:
    plain = {"group": "orchard", "name": "Pick", "execution": list(sequences)}
    return compile_playbook(playbook_of(Document("pick.yaml", Located.of(plain))), JOBS.__getitem__)


def sequence(hosts: str, *steps: Any, **more: Any) -> dict[str, Any]:
    return {"description": "pick", "hosts": hosts.split(), "steps": list(steps), **more}


def edges(plan: Plan) -> dict[str, list[str]]:
    names = plan.names
    return {name: [names[n] for n in plan.needs[key]] for key, name in enumerate(names)}


def test_hosts_go_one_after_another_and_so_do_sequences() -> None:
    plan = compiled(sequence("a b", "noop:One", "noop:Two"), sequence("c", "noop:One")).plan
    assert edges(plan) == {
        "noop:One@a": [],
        "noop:Two@a": ["noop:One@a"],
        "noop:One@b": ["noop:Two@a"],
        "noop:Two@b": ["noop:One@b"],
        "noop:One@c": ["noop:Two@b"],
    }


def test_hosts_are_dealt_to_lanes_in_their_order() -> None:
    plan = compiled(sequence("a b c d e", "noop:Go", parallel=2), sequence("z", "noop:End")).plan
    assert edges(plan) == {
        "noop:Go@a": [],
        "noop:Go@b": [],
        "noop:Go@c": ["noop:Go@a"],
        "noop:Go@d": ["noop:Go@b"],
        "noop:Go@e": ["noop:Go@c"],
        "noop:End@z": ["noop:Go@e", "noop:Go@d"],
    }


def test_preflight_is_done_on_all_hosts_at_once_before_the_first_chain() -> None:
    look = ["noop:Look", "noop:See"]
    plan = compiled(sequence("a b", "noop:Go", preflight=look)).plan
    assert edges(plan) == {
        "noop:Look@a": [],
        "noop:See@a": ["noop:Look@a"],
        "noop:Look@b": [],
        "noop:See@b": ["noop:Look@b"],
        "noop:Go@a": ["noop:See@a", "noop:See@b"],
        "noop:Go@b": ["noop:Go@a"],
    }


def test_steps_of_one_name_on_one_host_are_counted() -> None:
    plan = compiled(sequence("a", "noop:Go", "noop:Go", "noop:Go")).plan
    assert plan.names == ["noop:Go@a", "noop:Go@a#2", "noop:Go@a#3"]


def test_what_puts_away_follows_its_chain_last_first_and_comes_before_the_next_host() -> None:
    plan = compiled(
        sequence(
            "a b",
            {"pool:Out": {"job": {"cleanup": "pool:In"}}},
            {"app:Stop": {"job": {"cleanup": "app:Start"}}},
            "app:Deploy",
        )
    ).plan
    names = ["pool:Out@a", "app:Stop@a", "app:Deploy@a", "app:Start@a", "pool:In@a"]
    assert plan.names[:5] == names
    assert plan.closings == {
        3: Closing(1, 0, 2),
        4: Closing(0, 0, 2),
        8: Closing(6, 5, 7),
        9: Closing(5, 5, 7),
    }
    assert plan.needs[5] == (2, 3, 4)
    assert all(plan.rules[key].finally_ for key in plan.closings)
    assert all(plan.rules[key].on_lost == "rerun" for key in plan.closings)


def test_a_plan_with_what_puts_away_is_read_back_as_it_was() -> None:
    plan = compiled(sequence("a", {"pool:Out": {"job": {"cleanup": "pool:In"}}}, "app:Deploy")).plan
    again = Plan.from_json(plan.to_json())
    assert again.closings == plan.closings
    assert again.to_json() == plan.to_json()
    assert not plan.difference(again)


def test_the_policy_is_that_of_releases() -> None:
    policy = compiled(sequence("a", "noop:Go")).plan.policy
    assert (policy.default_tries, policy.on_failure) == (1, "stop")


def test_a_step_says_how_it_is_to_be_treated() -> None:
    job = {"check": "app:IsUp", "tries": 3, "retry_delay": 2, "timeout": 9, "on_lost": "fail"}
    found = compiled(sequence("a", {"app:Deploy": {"build": 7, "job": job}}, "noop:Go"))
    rules = found.plan.rules
    assert rules[0]._replace(tags=()) == rules[0]
    assert (rules[0].tries, rules[0].retry_delay_s, rules[0].timeout_s) == (3, 2, 9)
    assert (rules[0].on_lost, rules[0].has_check) == ("fail", True)
    assert (rules[1].tries, rules[1].on_lost, rules[1].has_check) == (1, "ask", False)
    step = found.definitions[0]
    assert isinstance(step, StepNode)
    assert step.check is not None
    assert step.check.name == "app:IsUp"
    assert step.run.parameters == {"build": 7}


def test_a_message_has_the_four_keys_and_one_host() -> None:
    telling = {"failed": {"mail": ["ada@example.org"]}}
    found = compiled(sequence("a b", {"app:Deploy": {"build": 7, "notify": telling}}))
    message = found.definitions[1].run.message("b", "orchard", {"cart": "c"})
    assert message.to_plain() == {
        "parameters": {"command": "app", "subcommand": "Deploy", "hosts": ["b"], "build": 7},
        "group": "orchard",
        "dynamic": {"cart": "c"},
        "notify": telling,
    }


def test_a_python_job_is_a_step_of_each_host_and_what_it_needs_is_done_once() -> None:
    found = compiled(sequence("a b", "noop:Go", {"python": "warming:Warmed"}))
    assert edges(found.plan) == {
        "noop:Go@a": [],
        "Folder": ["noop:Go@a"],
        "Warmed@a": ["noop:Go@a", "Folder"],
        "noop:Go@b": ["Warmed@a"],
        "Warmed@b": ["noop:Go@b", "Folder"],
    }
    hosted = found.definitions[4]
    assert isinstance(hosted, HostedJob)
    assert hosted().host == "b"
    assert found.plan.rules[1].tries == 1
    assert found.plan.rules[2].tries == 2


def test_two_jobs_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = type("Folder", (Job,), {"Check": Folder.Check, "__module__": "elsewhere"})
    monkeypatch.setitem(JOBS, "more:Other", type("Other", (DummyJob,), {"DEPS": (other,)}))
    steps = [{"python": "warming:Warmed"}, {"python": "more:Other"}]
    with pytest.raises(DefinitionError, match="two jobs are called 'Folder'"):
        compiled(sequence("a", *steps))
