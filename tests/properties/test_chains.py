"""What steps leave is put away, once and in its time, however the run of a playbook goes."""

import os
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headway.jobs.events import RunRetried
from headway.jobs.outcomes import Ending
from headway.jobs.plan import Plan
from headway.jobs.schedule import Schedule
from headway.jobs.standing import SUCCEEDED
from headway.jobs.states import JobState
from headway.runtime.launching import retry_keys, undone
from tests.properties.drive import calls_made
from tests.properties.playbook_plans import (
    ENDINGS,
    RARE,
    PlaybookLife,
    named,
    plan_of,
    playbook_plans,
    step,
)

EXAMPLES = 3_000 if os.environ.get("HEADWAY_FULL") else 100
MOST_MOVES = 400  # more than any of these plans can need


def move(life: PlaybookLife, data: st.DataObject, slots: int) -> bool:
    """Something happens; whether there was anything left to happen."""
    running, doubtful = life.running, life.doubtful
    moves = ["end"] * (3 * bool(running)) + ["settle"] * bool(doubtful)
    moves += ["start"] * (3 * (len(running) < slots)) + ["wait"] * (life.live.wake_at is not None)
    moves += ["intend"] * bool(set(running) - life.intended)
    moves += ["cancel"] * (not life.live.cancelled) + ["die", "withdraw"][: 1 + bool(running)]
    what = data.draw(st.sampled_from(moves))
    if what == "start":
        life.start()
    elif what == "intend":
        life.intend(data.draw(st.sampled_from(sorted(set(running) - life.intended))))
    elif what == "end":
        end(life, data.draw(st.sampled_from(running)), data, RARE)
    elif what == "settle":
        how = data.draw(st.sampled_from(["done", "again", "failed"]))
        life.settle(data.draw(st.sampled_from(doubtful)), how)
    elif what == "cancel":
        life.cancel()
    elif what == "withdraw":
        keys = sorted(set(running) - life.intended - set(life.plan.closings))
        if keys and life.live.cancelled:
            life.live.withdrawn(keys[0])
    elif what == "die":
        life.die()
    elif what == "wait":
        assert life.live.wake_at is not None
        life.now = max(life.now, int(life.live.wake_at))
    return True


def end(life: PlaybookLife, key: int, data: st.DataObject, endings: list[Ending]) -> None:
    ending = data.draw(st.sampled_from(endings))
    acts = ending in (Ending.REPAIRED, Ending.IN_DOUBT)
    if key in life.plan.closings and ending is Ending.PASSED:
        ending, acts = Ending.REPAIRED, True  # it has no check
    acts = acts or (ending in FAILING and data.draw(st.booleans()))
    if acts and key not in life.intended:
        life.intend(key)
    life.end(key, ending, executed=acts, final=ending is Ending.FAILED and data.draw(st.booleans()))


FAILING = (Ending.FAILED, Ending.OVERDUE)


def finish(life: PlaybookLife, data: st.DataObject, slots: int) -> None:
    """Whatever is left, without more disturbance than failures; it has to end."""
    for _ in range(MOST_MOVES):
        if life.live.is_over:
            return
        if len(life.running) < slots and life.start() is not None:
            continue
        if life.running:
            end(life, life.running[0], data, ENDINGS)
        else:
            assert life.live.wake_at is not None, "nothing runs, nothing waits, and it is not over"
            assert life.live.wake_at > life.now, "it said to ask again at a time that has come"
            life.now = int(life.live.wake_at)
    raise AssertionError("it does not end")


@settings(max_examples=EXAMPLES)
@given(playbook_plans(), st.integers(1, 4), st.data())
def test_what_a_step_left_is_put_away_once_when_its_chain_is_over_whatever_happens(
    plan: Plan, slots: int, data: st.DataObject
) -> None:
    life = PlaybookLife(plan)
    for _ in range(data.draw(st.integers(0, 2))):
        for _ in range(data.draw(st.integers(0, 25))):
            move(life, data, slots)
            if data.draw(st.booleans()):
                life.require_same_from_journal()
        finish(life, data, slots)
        life.require_all_put_away()
        life.require_same_from_journal()
        retry(life, data)
    finish(life, data, slots)
    life.require_all_put_away()


def retry(life: PlaybookLife, data: st.DataObject) -> None:
    """As ``headway retry`` and ``headway retry --from JOB`` do."""
    from_job = None
    if data.draw(st.booleans()):
        startable = [
            key
            for key in range(len(life.plan))
            if all(life.live.states[need] in SUCCEEDED for need in life.plan.needs[key])
        ]
        from_job = life.plan.names[data.draw(st.sampled_from(startable))]
    keys = retry_keys(life.plan, life.events, from_job)
    life.events.append(RunRetried(life.at_us, tuple(keys)))
    life.live = life.from_journal()


@settings(max_examples=EXAMPLES)
@given(playbook_plans(), st.integers(1, 4), st.data())
def test_a_run_that_is_taken_up_after_it_was_cancelled_builds_on_nothing_that_was_put_away(
    plan: Plan, slots: int, data: st.DataObject
) -> None:
    life = PlaybookLife(plan)
    for _ in range(data.draw(st.integers(0, 12))):
        move(life, data, slots)
    life.cancel()
    finish(life, data, slots)
    life.require_all_put_away()
    taken_up = life.from_journal()  # a change of mind
    if not taken_up.is_stopped_for_good and undone(plan, taken_up.states):
        keys = retry_keys(plan, life.events, None)
        life.events.append(RunRetried(life.at_us, tuple(keys)))
        taken_up = life.from_journal()
    life.live = taken_up
    finish(life, data, slots)
    life.require_all_put_away()


# Examples


def rolling(hosts: int = 2, **more: Any) -> Plan:
    """Out of rotation, deploy, and back: two things to put away on each host."""
    return plan_of(
        {
            "description": "pick",
            "hosts": [f"h{number}" for number in range(hosts)],
            "steps": [
                step("Out", cleanup="noop:In"),
                step("Mount", cleanup="noop:Unmount"),
                "noop:Deploy",
            ],
            **more,
        }
    )


def went(life: PlaybookLife, *fails: str, how: Ending = Ending.FAILED) -> list[str]:
    """What was carried out, in order."""
    found: list[str] = []
    while not life.live.is_over:
        key = life.start()
        assert key is not None
        if life.live.states[key] is not JobState.RUNNING:
            continue
        name = life.plan.names[key]
        found.append(name.removeprefix("noop:"))
        life.intend(key)
        life.end(key, how if name in fails else Ending.REPAIRED, executed=True)
    return found


def test_each_host_is_put_back_last_first_before_the_next_one_begins() -> None:
    assert went(PlaybookLife(rolling())) == [
        "Out@h0", "Mount@h0", "Deploy@h0", "Unmount@h0", "In@h0",
        "Out@h1", "Mount@h1", "Deploy@h1", "Unmount@h1", "In@h1",
    ]  # fmt: skip


def test_a_host_whose_deploy_fails_is_put_back_and_no_other_begins() -> None:
    life = PlaybookLife(rolling())
    assert went(life, "noop:Deploy@h0") == [
        "Out@h0", "Mount@h0", "Deploy@h0", "Unmount@h0", "In@h0",
    ]  # fmt: skip
    shown = life.live.states_shown()
    assert shown[5:] == [JobState.BLOCKED] * 5


def test_a_step_that_did_not_run_is_not_put_away() -> None:
    life = PlaybookLife(rolling())
    assert went(life, "noop:Mount@h0") == ["Out@h0", "Mount@h0", "Unmount@h0", "In@h0"]
    life = PlaybookLife(rolling())
    assert life.start() == 0
    life.end(0, Ending.FAILED, executed=False)  # nobody serves it
    assert life.live.is_over
    assert set(life.live.states_shown()[1:]) == {JobState.BLOCKED}


def test_a_cleanup_that_fails_keeps_no_other_from_running_and_stops_the_plan() -> None:
    life = PlaybookLife(rolling())
    assert went(life, "noop:Unmount@h0") == [
        "Out@h0", "Mount@h0", "Deploy@h0", "Unmount@h0", "In@h0",
    ]  # fmt: skip
    assert not life.live.succeeded


def test_a_step_that_was_done_before_leaves_nothing_to_put_away() -> None:
    plan = plan_of(
        {
            "description": "pick",
            "hosts": ["h0", "h1"],
            "steps": [step("Out", check="noop:IsOut", cleanup="noop:In")],
        }
    )
    life = PlaybookLife(plan)
    assert life.start() == 0
    life.end(0, Ending.PASSED, executed=False)
    assert life.start() == 1  # it passes at once
    assert life.live.states[1] is JobState.PASSED
    assert life.start() == 2


def test_a_step_whose_run_was_cut_off_is_put_away_although_its_check_passes_then() -> None:
    plan = plan_of(
        {
            "description": "pick",
            "hosts": ["h0"],
            "steps": [step("Out", check="noop:IsOut", cleanup="noop:In")],
        }
    )
    life = PlaybookLife(plan)
    life.start()
    life.intend(0)
    life.die()
    assert life.start() == 0
    life.end(0, Ending.PASSED, executed=False)
    assert went(life) == ["In@h0"]


def test_a_step_that_passes_its_check_at_the_second_try_ran_at_the_first() -> None:
    out = step("Out", check="noop:IsOut", cleanup="noop:In", tries=2, retry_delay=0)
    life = PlaybookLife(plan_of({"description": "pick", "hosts": ["h0"], "steps": [out]}))
    life.start()
    life.intend(0)
    life.end(0, Ending.FAILED, executed=True)
    life.start()
    life.end(0, Ending.PASSED, executed=False)
    assert went(life) == ["In@h0"]


def test_cleanups_go_on_where_they_were_cut_off() -> None:
    life = PlaybookLife(rolling(1))
    for ending in [*[Ending.REPAIRED] * 2, Ending.FAILED, Ending.REPAIRED]:
        key = life.start()
        assert key is not None
        life.intend(key)
        life.end(key, ending, executed=True)
    life.die()  # Unmount has ended, In has not begun
    assert went(life) == ["In@h0"]


def test_a_step_in_doubt_keeps_its_chain_open_and_no_other_is_put_away_by_it() -> None:
    plan = rolling(2, parallel=2)
    life = PlaybookLife(plan)
    out = [plan.key_of(f"noop:Out@h{host}") for host in range(2)]
    assert {life.start(), life.start()} == set(out)
    for key in out:
        life.intend(key)
    life.end(out[1], Ending.REPAIRED, executed=True)
    life.end(out[0], Ending.IN_DOUBT, executed=True)
    assert life.live.is_over
    assert life.start() is None
    life.settle(out[0], "failed")
    assert sorted(went(life)) == ["In@h0", "In@h1"]


def test_a_doubt_that_is_settled_as_done_lets_both_lanes_go_on() -> None:
    plan = rolling(2, parallel=2)
    life = PlaybookLife(plan)
    assert went(life, "noop:Mount@h0", how=Ending.IN_DOUBT)[-1] == "Mount@h0"
    life.settle(plan.key_of("noop:Mount@h0"), "done")
    assert sorted(went(life))[-2:] == ["Unmount@h0", "Unmount@h1"]
    assert life.live.succeeded


def test_to_retry_from_the_middle_of_a_chain_is_to_begin_where_it_was_put_away() -> None:
    life = PlaybookLife(rolling())
    went(life)
    keys = retry_keys(life.plan, life.events, "noop:Deploy@h1")
    assert named(life.plan, keys) == [
        "noop:Out@h1", "noop:Mount@h1", "noop:Deploy@h1", "noop:Unmount@h1", "noop:In@h1",
    ]  # fmt: skip


def test_nodes_that_come_last_wait_for_what_a_settled_doubt_lets_go_on() -> None:
    from headway.jobs.job import Rules
    from headway.jobs.plan import Policy

    rules = [Rules(tries=1), Rules(tries=1), Rules(tries=1, finally_=True)]
    names = ["a", "b", "last"]
    schedule = Schedule(Plan(names, names, [(), (), ()], rules, Policy(on_failure="stop")))
    schedule.started(0, 0.0) if schedule.ready(0.0) == 0 else None
    schedule.ended(0, Ending.IN_DOUBT, 0.0)
    schedule.settled(0, "done")
    assert schedule.ready(0.0) == 1
    schedule.started(1, 0.0)
    assert schedule.ready(0.0) is None


def test_what_puts_away_and_waits_for_a_place_is_kept_when_the_plan_is_stopped() -> None:
    from headway.jobs.job import Rules
    from headway.jobs.plan import Closing, Policy

    tagged = Rules(tries=1, tags=("one",))
    rules = [Rules(tries=1), tagged, tagged, tagged._replace(finally_=True)]
    names = ["out", "long", "longer", "in"]
    policy = Policy(on_failure="stop", limits={"one": 1})
    schedule = Schedule(Plan(names, names, [(), (), (), ()], rules, policy, {3: Closing(0, 0, 0)}))
    for key in (0, 1):
        assert schedule.ready(0.0) == key
        schedule.started(key, 0.0)
    schedule.ended(0, Ending.REPAIRED, 0.0, executed=True)
    assert schedule.ready(0.0) is None  # "longer" and "in" wait for the place that "long" has
    schedule.ended(1, Ending.FAILED, 0.0)
    assert schedule.ready(0.0) == 3
    schedule.started(3, 0.0)
    schedule.ended(3, Ending.REPAIRED, 0.0, executed=True)
    assert schedule.is_over


# Cost, in calls and not in time


def cost(hosts: int, *, stops: bool, **more: Any) -> int:
    """Calls made from the making of a schedule to the end of its run."""
    steps = [step(f"Do{n}", cleanup=f"noop:Undo{n}") for n in range(3)]
    part: dict[str, Any] = {"steps": ["noop:End"], **more}
    part.setdefault("preflight", steps)
    names = [f"h{number}" for number in range(hosts)]
    plan = plan_of({"description": "pick", "hosts": names, **part})

    def run() -> None:
        schedule = Schedule(plan)
        running: list[int] = []
        ended = 0
        while not schedule.is_over:
            while (key := schedule.ready(0.0)) is not None:
                schedule.started(key, 0.0)
                running.append(key)
            key = running.pop()
            ended += 1
            fails = stops and (ended == hosts or key in plan.closings)
            schedule.ended(key, Ending.FAILED if fails else Ending.REPAIRED, 0.0, executed=True)

    return calls_made(run)


def test_a_run_costs_as_much_for_each_host_of_two_thousand_as_of_two_hundred() -> None:
    for more in ({}, {"steps": [step("Do", cleanup="noop:Undo")], "parallel": 50}):
        for stops in (False, True):
            few, many = (cost(hosts, stops=stops, **more) for hosts in (200, 2000))
            assert many < 12 * few


def test_a_long_chain_costs_as_much_a_step_as_a_short_one() -> None:
    def of(count: int) -> int:
        steps = [step(f"Do{n}", cleanup=f"noop:Undo{n}") for n in range(count)]
        return cost(1, stops=False, steps=steps, preflight=["noop:Begin"])

    few, many = of(40), of(400)
    assert many < 12 * few
