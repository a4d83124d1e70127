"""A deployment under arbitrary, late, repeated and missing replies, and a core that may die.

What must be so is asserted where it happens: in the journal as it is committed, in what the core
sends and grants, and in what workers begin (``deployment_journal``, ``deployment_world``).
"""

import os
from typing import Any

from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from headway.errors import Rejected, Unavailable
from tests.properties.deployment_world import Death, World
from tests.properties.playbook_plans import playbooks

FULL, PLANTED = bool(os.environ.get("HEADWAY_FULL")), bool(os.environ.get("HEADWAY_PLANTED"))
EXAMPLES = 1_000 if FULL or PLANTED else 100
# A bug that was planted on purpose is to be found, not to be understood.
PHASES = [Phase.generate] if PLANTED else list(Phase)
RUNS = ["a" * 24, "b" * 24]
WHICH = st.integers(0, 9)
HANDS = st.integers(0, 1)
FINALS = st.sampled_from(["completed", "completed", "completed", "failed"])
STATUSES = st.sampled_from(["started", "completed", "failed"])
DEATHS = st.sampled_from(["", "", "", "heard", "decided", "written"])
NOT_NOW = (Unavailable("it did not arrive"), Unavailable("it arrived"), Rejected("nobody is there"))


class DeploymentMachine(RuleBasedStateMachine):
    @initialize(compiled=playbooks(timeouts=True), seed=st.integers(0, 999), runs=st.integers(1, 2))
    def begin(self, compiled: Any, seed: int, runs: int) -> None:
        self.world = World(compiled, seed, RUNS[:runs], note)
        self.world.live()

    # All goes well

    @rule(status=FINALS, rounds=st.integers(1, 3), death=DEATHS)
    def everybody_works(self, status: str, rounds: int, death: str) -> None:
        self.world.live()
        for _ in range(rounds):
            self.world.work(status, death)

    @rule(death=DEATHS)
    def everybody_begins(self, death: str) -> None:
        self.world.live()
        self.world.begin_all(death)

    @rule()
    def all_is_calm(self) -> None:
        self.world.calm()
        self.world.require_nothing_stuck()

    # The core and the network, bit by bit

    @rule(turns=st.integers(1, 20))
    def network(self, turns: int) -> None:
        self.world.network(turns)

    @rule()
    def advance(self) -> None:
        self.world.advance()

    @rule()
    def commit(self) -> None:
        self.world.commit()

    @rule(turns=st.sampled_from([0, 0, 1, 5, 50]))
    def core_begins(self, turns: int) -> None:
        self.world.live(turns)

    @rule()
    def core_dies(self) -> None:
        self.world.die()

    @rule(acts=st.integers(0, 5))
    def core_will_die(self, acts: int) -> None:
        if self.world.life is not None:
            self.world.life.acts_left = acts

    @rule(when=st.sampled_from(["before", "after"]), dies=st.booleans())
    def store_will_fail(self, when: str, dies: bool) -> None:
        self.world.store.fault = when, Death() if dies else Unavailable("the store is away")

    @rule(errors=st.lists(st.sampled_from(NOT_NOW), min_size=1, max_size=3))
    def broker_will_refuse(self, errors: list[Any]) -> None:
        self.world.refusals += errors

    @rule()
    def connections_are_cut(self) -> None:
        self.world.broker.cut()

    @rule(seconds=st.sampled_from([0.3, 1.1, 2.5, 6.0, 16.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.time.now_s += seconds
        self.world.look()

    # Workers

    @rule(hand=HANDS, which=WHICH, death=DEATHS)
    def claims(self, hand: int, which: int, death: str) -> None:
        self.world.hands[hand].claim(which)
        self.world.die_when(death)

    @rule(hand=HANDS)
    def asks_again(self, hand: int) -> None:
        self.world.hands[hand].ask_again()

    @rule(hand=HANDS, which=WHICH, status=STATUSES, death=DEATHS)
    def says(self, hand: int, which: int, status: str, death: str) -> None:
        self.world.hands[hand].say(which, status)
        self.world.die_when(death)

    @rule(hand=HANDS, which=WHICH, death=DEATHS)
    def gives_back(self, hand: int, which: int, death: str) -> None:
        self.world.hands[hand].give_back(which)
        self.world.die_when(death)

    @rule(hand=HANDS, is_noticed=st.booleans())
    def worker_dies(self, hand: int, is_noticed: bool) -> None:
        self.world.replace(hand)
        if is_noticed:
            self.world.notice_lost()

    # Whoever does not keep to the protocol

    @rule(hand=HANDS, which=WHICH, status=STATUSES, echoes=st.booleans(), name=st.booleans())
    def answers_unasked(self, hand: int, which: int, status: str, echoes: bool, name: bool) -> None:
        """A worker that claims nothing: it has a step, and says how it goes."""
        self.world.answer_unclaimed(hand, which, status, echoes=echoes, named=name)

    @rule(which=WHICH, status=STATUSES, worker=st.sampled_from(["", "ghost", "anna"]))
    def stray_answer(self, which: int, status: str, worker: str) -> None:
        self.world.stray_answer(which, status, worker)

    @rule(which=WHICH, give_back=st.booleans(), worker=st.sampled_from(["ghost", "ben"]))
    def stray_claim(self, which: int, give_back: bool, worker: str) -> None:
        self.world.stray_claim(which, "ghost" if give_back else worker, give_back=give_back)

    # Persons

    @rule(run=HANDS)
    def cancel(self, run: int) -> None:
        self.world.ask(run, "cancel", {})

    @rule(run=HANDS, which=WHICH, how=st.sampled_from(["done", "again", "failed"]))
    def settle(self, run: int, which: int, how: str) -> None:
        self.world.settle(run, which, how)

    @rule(run=HANDS)
    def retry(self, run: int) -> None:
        self.world.ask(run, "retry", {})

    def teardown(self) -> None:
        if hasattr(self, "world") and self.world.is_sound:
            self.world.to_the_end()


TestDeployment = DeploymentMachine.TestCase
TestDeployment.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    phases=PHASES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
