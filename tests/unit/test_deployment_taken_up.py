"""What the next core makes of a deployment that was under way, and a core of what comes late.

Each was found by ``tests/properties/test_deployment_model.py``, or on the way to it.
"""

from typing import Any

import pytest

from headway.errors import Unavailable
from headway.jobs.events import TryEnded
from headway.jobs.outcomes import Ending
from headway.jobs.states import RunState
from headway.releases.claims import Standing
from tests.properties.deployment_world import Hand, World
from tests.properties.playbook_plans import compiled_of, step

RUN = "a" * 24


def world_of(*steps: Any, hosts: int = 1, seed: int = 0) -> World:
    """A core that has sent what comes first; hosts side by side."""
    sequence = {
        "description": "pick",
        "hosts": [f"h{number}" for number in range(hosts)],
        "steps": list(steps),
        "parallel": hosts,
    }
    world = World(compiled_of(sequence), seed, [RUN])
    world.live()
    return world


def holder(world: World) -> Hand:
    """All that is offered is begun; who has one of these."""
    world.begin_all()
    return next(hand for hand in world.hands if hand.holds)


def ends(world: World) -> list[TryEnded]:
    return list(world.store.committed[RUN].ends.values())


def state(world: World) -> RunState:
    return world.store.find(RUN).state


def end_of(world: World) -> RunState:
    """Where the run stands once it is over, though nobody answers any more."""
    world.to_the_end()
    return state(world)


@pytest.mark.parametrize("death", ["heard", "decided", "written"])
def test_what_was_given_back_is_offered_again_by_the_next_core(death: str) -> None:
    world = world_of("noop:Do")
    holder(world).give_back(0)
    world.die_when(death)
    world.calm()
    world.require_nothing_stuck()
    world.time.now_s += 1.1
    holder(world)
    world.work("completed")
    assert end_of(world) is RunState.SUCCEEDED


@pytest.mark.parametrize("death", ["heard", "decided", "written"])
def test_the_answer_to_a_step_is_known_to_the_next_core(death: str) -> None:
    world = world_of("noop:Do")
    holder(world).say(0, "completed")
    world.die_when(death)
    world.calm()
    assert end_of(world) is RunState.SUCCEEDED


@pytest.mark.parametrize("death", ["heard", "decided"])
def test_an_answer_that_is_delivered_again_is_kept_until_its_end_is_written(death: str) -> None:
    world = world_of("noop:Do")
    holder(world).say(0, "completed")
    world.network(1000)
    world.broker.cut()
    world.die_when(death)
    world.calm()
    assert end_of(world) is RunState.SUCCEEDED


def test_a_step_that_is_over_itself_is_not_waited_for_by_the_next_core() -> None:
    world = world_of(step("Do", check="noop:Is", timeout=60))
    for status in ("failed", "failed"):  # the Check; the step, which decides nothing
        holder(world).say(0, status)
        world.calm()
    world.die_when("written")
    holder(world).say(0, "failed")
    world.calm()
    (end,) = ends(world)
    assert (end.ending, end.executed) == (Ending.FAILED, True)
    assert end.failure is not None
    assert "noop:Is failed" in end.failure.message
    assert "; noop:Do failed: " in end.failure.message, "which is known though a core died"


def test_the_next_core_waits_for_what_is_under_way_in_a_cancelled_run() -> None:
    world = world_of(step("Do", cleanup="noop:Undo"), "noop:More")
    hand = holder(world)
    world.ask(0, "cancel", {})
    world.die_when("written")
    world.calm()
    assert state(world) is RunState.RUNNING
    hand.say(0, "completed")
    world.calm()
    assert [end.ending for end in ends(world)] == [Ending.REPAIRED]
    world.work("completed")
    assert len(ends(world)) == 2, "it is put away"
    assert end_of(world) is RunState.CANCELLED


def test_the_next_core_waits_for_what_is_under_way_beside_a_failure() -> None:
    world = world_of(step("Do", cleanup="noop:Undo"), hosts=2)
    world.begin_all()
    first = next(hand for hand in world.hands if hand.holds)
    first.say(0, "failed")
    world.die_when("written")
    world.begin_all()
    undone = [sent.key for sent in world.sent.values() if sent.key % 2]
    assert len(undone) == 1, "only what is over is put away"
    world.work("completed")
    world.work("completed")
    assert end_of(world) is RunState.FAILED
    assert len(ends(world)) == 4


def test_what_nobody_had_is_taken_back_when_a_cancelled_run_is_taken_up() -> None:
    world = world_of("noop:Do")
    world.calm()
    world.ask(0, "cancel", {})
    world.commit()
    world.die()
    world.live()
    world.calm()
    (end,) = ends(world)
    assert not end.executed
    assert end_of(world) is RunState.CANCELLED


def test_who_claims_while_no_core_is_there_is_granted_when_all_is_adopted() -> None:
    world = world_of("noop:Do")
    world.calm()
    world.die()
    for hand in world.hands:
        hand.claim(0)
    world.live(turns=100)
    world.calm()
    assert [hand.holds != {} for hand in world.hands].count(True) == 1
    world.require_nothing_stuck()


def unclaimed(world: World) -> None:
    """A worker that claims nothing has the step, and the next core takes that up."""
    world.calm()
    having = next(place for place, hand in enumerate(world.hands) if hand.inbox)
    world.answer_unclaimed(having, 0, "started", echoes=False, named=False)
    world.calm()
    world.die_when("written")
    world.calm()


def test_what_a_worker_has_that_claims_nothing_is_not_taken_back_by_the_next_core() -> None:
    world = world_of("noop:Do")
    unclaimed(world)
    world.ask(0, "cancel", {})
    world.calm()
    assert state(world) is RunState.RUNNING
    assert ends(world) == []


def test_what_a_worker_has_that_claims_nothing_is_overdue_and_not_tried_beside_it() -> None:
    world = world_of(step("Do", tries=2, timeout=5))
    unclaimed(world)
    world.to_the_end()
    assert [end.ending for end in ends(world)] == [Ending.OVERDUE]


def test_what_is_given_back_in_a_cancelled_run_is_offered_to_nobody() -> None:
    world = world_of("noop:Do")
    hand = holder(world)
    world.ask(0, "cancel", {})
    world.calm()
    hand.give_back(0)
    world.calm()
    (end,) = ends(world)
    assert not end.executed
    assert end_of(world) is RunState.CANCELLED


def test_what_was_not_sent_yet_when_a_run_is_cancelled_is_not_sent() -> None:
    world = world_of("noop:Do", "noop:More")
    holder(world).say(0, "completed")
    world.network(1000)
    world.advance()  # the next step is to be sent, once that is written
    assert world.life is not None
    number = world.store.ask(RUN, "cancel", {}, "somebody", 0)
    request = world.store.request(number)
    assert request is not None
    world.life.deployments[RUN].asked(request)
    world.commit()
    world.calm()
    assert [sent.key for sent in world.sent.values()] == [0]
    assert end_of(world) is RunState.CANCELLED


def test_a_step_whose_worker_is_lost_is_not_rerun_in_a_cancelled_run_and_has_an_end() -> None:
    world = world_of(step("Do", on_lost="rerun", cleanup="noop:Undo"))
    world.begin_all()
    world.ask(0, "cancel", {})
    world.calm()
    for place in range(2):
        world.replace(place)
    for _ in range(4):
        world.time.now_s += 20.0
        world.look()
        world.calm()
    assert [(end.key, end.ending) for end in ends(world)] == [(0, Ending.FAILED)]
    world.work("completed")
    assert end_of(world) is RunState.CANCELLED
    assert ends(world)[-1].key == 1, "it is put away, as it may have been done"


def test_an_action_after_it_that_nobody_has_is_taken_back_in_a_cancelled_run() -> None:
    sequence = {"description": "pick", "hosts": ["h0"], "steps": ["noop:Do"]}
    action = {"name": "tell", "command": "noop", "subcommand": "Tell"}
    around = {"post_deploy_action": [action]}
    world = World(compiled_of(sequence, around=around), 0, [RUN])
    world.live()
    world.work("completed")
    assert [sent.key for sent in world.sent.values()] == [0, 1]
    world.ask(0, "cancel", {})
    world.begin_all()
    assert not any(hand.holds for hand in world.hands)
    assert end_of(world) is RunState.CANCELLED


def test_what_a_worker_holds_is_its_own_though_another_is_offered_it_again() -> None:
    world = world_of("noop:Do")
    hand = holder(world)
    (attempt,) = hand.holds
    assert world.life is not None
    world.life.dispatcher.offer_again(attempt)
    world.begin_all()
    known = world.life.dispatcher._claims.attempts[attempt]
    assert (known.standing, known.worker) == (Standing.GRANTED, hand.name)


def test_a_last_line_that_never_comes_does_not_keep_a_core_busy() -> None:
    world = world_of("noop:Do", hosts=2)
    world.begin_all()
    (first, mine), (other, _) = [(hand, held) for hand in world.hands for held in hand.holds]
    world.replace(world.hands.index(other))
    world.notice_lost()
    assert [end.ending for end in ends(world)] == [Ending.IN_DOUBT]
    first.answer(mine, "completed", "lost")
    world.calm()
    assert state(world) is RunState.RUNNING, "the last line is waited for"
    world.settle(0, 0, "again")
    world.calm()
    world.time.now_s += 10.0
    world.calm()
    assert world.life is not None
    wake_at = world.life.deployments[RUN].wake_at
    assert wake_at is not None
    assert wake_at > world.time.now_s


def test_a_step_that_somebody_has_is_not_sent_again_though_its_confirmation_was_lost() -> None:
    sequence = {"description": "pick", "hosts": ["h0"], "steps": ["noop:Do"]}
    world = World(compiled_of(sequence), 0, [RUN])
    world.refusals.append(Unavailable("it arrived"))
    world.live()
    world.begin_all()
    for hand in world.hands:
        hand.bus.close()
    world.time.now_s += 1.1
    world.calm()
    assert world.broker.depth("worker.noop") == 0


def test_what_is_asked_of_a_run_does_not_keep_a_core_from_its_clocks() -> None:
    world = world_of(step("Do", timeout=5))
    holder(world)
    world.time.now_s += 5.0
    world.ask(0, "cancel", {})
    world.advance()
    world.commit()
    assert [end.ending for end in ends(world)] == [Ending.OVERDUE]


def test_a_core_is_not_kept_busy_by_a_retry_for_which_there_is_no_room() -> None:
    world = world_of(step("Do", tries=2, retry_delay=1))
    holder(world).say(0, "failed")
    world.calm()
    assert world.life is not None
    deployment: Any = world.life.deployments[RUN]
    assert deployment.wake_at == world.time.now_s + 1
    deployment._steps.slots = 0
    assert deployment.wake_at is None
