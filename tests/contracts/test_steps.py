"""Steps are carried out alike over every bus: in memory, on a server."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from headway import Job
from headway.adapters.bus_address import parse_bus_url
from headway.adapters.inline import Inline
from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus
from headway.adapters.steps import Steps
from headway.adapters.threads import Threads
from headway.errors import Unavailable
from headway.jobs.compiling import compile_jobs
from headway.jobs.events import OutputWritten, RunEnded, TryEnded
from headway.jobs.outcomes import Ending, Outcome, Phase
from headway.jobs.states import RunState
from headway.ports.bus import Bus, Message
from headway.ports.executor import Late
from headway.runtime import clocks
from headway.runtime.buses import make_bus
from headway.runtime.runner import Runner
from headway.runtime.worker import Worker
from headway.wire import names
from tests.contracts.stepping import (
    DEADLINE_S,
    SOON_S,
    LosesConfirmations,
    Network,
    node,
)

if TYPE_CHECKING:
    from tests.services.rabbitmq import RabbitMQ

NOTIFY = {phase: {"irc": ("#orchard",)} for phase in ("started", "completed", "failed")}


def answers(*statuses: str, **more: Any) -> type[Worker]:
    """A worker that answers so, by subcommand if that is named in ``more``."""

    def process(self: Any, channel: Any, deliver: Any, properties: Any, body: Any, out: Any) -> Any:
        self.ack(deliver)
        subcommand = body["parameters"]["subcommand"]
        final = more.get(subcommand, more.get("final", {}))
        for status in statuses:
            struct = {"status": status, **(final if status != "started" else {})}
            if status == "completed" and "status" in final:
                struct["status"] = final["status"]
            self.send(properties.reply_to, properties.correlation_id, struct, exchange="")

    return type("FrobWorker", (Worker,), {"process": process})


WELL = ("started", "completed")


def failure(outcome: Outcome) -> str:
    assert outcome.failure is not None
    return outcome.failure.message


class StepsContract:
    """Of Steps and Dispatcher, over a bus."""

    @pytest.fixture
    def make_bus(self) -> Callable[[], Bus]:
        raise NotImplementedError

    @pytest.fixture
    def network(self, make_bus: Callable[[], Bus]) -> Iterator[Network]:
        network = Network(make_bus)
        yield network
        network.close()

    # How a step goes

    def test_a_step_that_is_completed_is_repaired_with_its_data(self, network: Network) -> None:
        network.serve(answers(*WELL, final={"data": {"frobbed": 12}}))
        on = network.stage(node())
        on.start()
        assert on.end() == Outcome(Ending.REPAIRED, {"frobbed": 12}, phase=Phase.RUN, executed=True)
        ((key, number, attempt),) = on.intended
        assert (key, number, len(attempt)) == (0, 1, 24)
        assert [claimed[0] for claimed in on.claimed] == [0]
        assert (0, "{'frobbed': 12}") in on.lines

    @pytest.mark.parametrize("place", ["data", "message"])
    def test_a_step_that_failed_says_why_wherever_the_worker_says_it(
        self, network: Network, place: str
    ) -> None:
        network.serve(answers("started", "failed", final={place: "out of order"}))
        on = network.stage(node())
        on.start()
        outcome = on.end()
        assert (outcome.ending, outcome.executed, outcome.final) == (Ending.FAILED, True, False)
        assert failure(outcome) == "out of order"

    def test_a_step_that_fails_without_a_word_has_failed(self, network: Network) -> None:
        network.serve(answers("failed"))
        on = network.stage(node())
        on.start()
        assert failure(on.end()) == "frob:Do failed and did not say why"

    def test_a_first_answer_that_is_the_last_counts_as_both(self, network: Network) -> None:
        network.serve(answers("completed"))
        on = network.stage(node(notify=NOTIFY))
        on.start()
        assert on.end().ending is Ending.REPAIRED
        assert on.notices == [(0, "started", "irc"), (0, "completed", "irc")]

    def test_what_was_expected_has_to_be_in_the_answer(self, network: Network) -> None:
        network.serve(answers(*WELL, final={"data": {"exists": True, "more": [1, {"a": 2}]}}))
        wanted = [
            {"data": {"exists": True}},
            {"data": {"more": [1, {}]}},
            {"data": {"exists": False}},
            {"data": {"exists": 1}},
            {"data": {"more": [1]}},
        ]
        on = network.stage(*[node(expected=one, name=f"n{key}") for key, one in enumerate(wanted)])
        for key in range(len(wanted)):
            on.start(key)
        ended = [on.end(key) for key in range(len(wanted))]
        assert [one.ending is Ending.REPAIRED for one in ended] == [True, True, False, False, False]
        assert "data.exists is true, expected is false" in failure(ended[2])

    # Checks

    def test_a_check_that_passes_ends_the_try_and_nothing_is_done(self, network: Network) -> None:
        network.serve(answers(*WELL, final={"data": "it is"}))
        on = network.stage(node(check="frob:Is", notify=NOTIFY))
        on.start()
        assert on.end() == Outcome(Ending.PASSED, "it is")
        assert (on.intended, on.claimed, on.notices) == ([], [], [])
        assert on.phases == [(Phase.CHECK, True)]

    def test_a_check_that_fails_leads_to_the_step_and_the_recheck(self, network: Network) -> None:
        hand = network.hand()
        on = network.stage(node(check="frob:Is"))
        on.start()
        wanted = []
        for status in ("failed", "completed", "completed"):
            step = hand.next()
            wanted.append(json.loads(step.message.body)["parameters"]["subcommand"])
            assert on.grants(hand, step)
            hand.say(step, "started")
            hand.say(step, status, data="so")
            on.until(lambda: on.ends or not hand.is_idle)
        outcome = on.end()
        assert (outcome.ending, outcome.phase, outcome.executed) == (
            Ending.REPAIRED,
            Phase.RECHECK,
            True,
        )
        assert wanted == ["Is", "Do", "Is"]
        assert on.phases == [(Phase.CHECK, False), (Phase.RUN, True), (Phase.RECHECK, True)]
        assert len(on.intended) == len(on.claimed) == 1

    def test_a_recheck_that_fails_fails_the_try_and_tells_why_the_step_failed(
        self, network: Network
    ) -> None:
        no = {"status": "failed", "data": "it is not"}
        network.serve(answers(*WELL, Is=no, Do={"status": "failed", "data": "no power"}))
        on = network.stage(node(check="frob:Is"))
        on.start()
        outcome = on.end()
        assert (outcome.ending, outcome.executed) == (Ending.FAILED, True)
        assert failure(outcome) == "it is not; frob:Do failed: no power"

    def test_a_failing_step_whose_recheck_passes_is_repaired(self, network: Network) -> None:
        hand = network.hand()
        on = network.stage(node(check="frob:Is", notify=NOTIFY))
        on.start()
        for status in ("failed", "failed", "completed"):
            step = hand.next()
            assert on.grants(hand, step)
            hand.say(step, status)
            on.until(lambda: on.ends or not hand.is_idle)
        assert on.end().ending is Ending.REPAIRED
        assert [notice for _, notice, _ in on.notices] == ["started", "completed"]

    # Sending, and sending again

    @pytest.mark.parametrize("check", [None, "frob:Is"])
    def test_a_step_that_nobody_serves_fails_at_once_and_names_the_key(
        self, network: Network, check: str | None
    ) -> None:
        on = network.stage(node(check=check))
        on.start()
        outcome = on.end()
        assert (outcome.ending, outcome.executed, outcome.final) == (Ending.FAILED, False, False)
        assert "worker.frob" in failure(outcome)

    @pytest.mark.parametrize("arrives", [True, False])
    def test_a_message_that_was_not_confirmed_is_sent_again_and_run_once(
        self, network: Network, arrives: bool
    ) -> None:
        hand = network.hand()
        bus: Any = LosesConfirmations(network.bus(), 2, arrives=arrives)
        on = network.stage(node(), bus=bus)
        on.start()
        on.until(lambda: hand._steps.qsize() == (3 if arrives else 1))
        steps = [hand.next() for _ in range(3 if arrives else 1)]
        assert len({step.message.message_id for step in steps}) == 1
        assert on.grants(hand, steps[0])
        another = network.hand()
        if arrives:  # the copies are denied to others
            assert not on.grants(another, steps[1])
        hand.say(steps[0], "completed")
        assert on.end().ending is Ending.REPAIRED
        assert len(on.claimed) == len(on.intended) == 1

    def test_a_broker_that_stays_away_fails_the_step_when_its_time_is_over(
        self, network: Network
    ) -> None:
        bus: Any = LosesConfirmations(network.bus(), -1, arrives=False)
        on = network.stage(node(timeout_s=0.3), bus=bus)
        on.start()
        outcome = on.end()
        assert (outcome.ending, outcome.executed) == (Ending.FAILED, False)
        assert failure(outcome) == "no worker took frob:Do within 0.3 s"

    def test_a_step_that_is_given_back_is_sent_again_and_run_once(self, network: Network) -> None:
        hand, other = network.hand(), None
        on = network.stage(node())
        on.start()
        step = hand.next()
        assert on.grants(hand, step)
        hand.ask(step, give_back=True)
        on.until(lambda: not hand.is_idle)
        again = hand.next()
        assert again.message.message_id == step.message.message_id
        other = network.hand("other")
        assert on.grants(other, again)
        assert not on.grants(hand, step), "another worker has it"
        other.say(again, "completed")
        assert on.end().ending is Ending.REPAIRED
        assert [worker for _, worker in on.claimed] == [hand.name, other.name]

    def test_a_worker_that_asks_again_is_granted_again_and_written_once(
        self, network: Network
    ) -> None:
        hand = network.hand()
        on = network.stage(node())
        on.start()
        step = hand.next()
        hand.ask(step)
        hand.ask(step)  # before the first was answered
        assert on.grants(hand, step)
        on.until(lambda: hand.is_told)
        assert hand.grant()
        assert on.claimed == [(0, hand.name)]

    # Workers that go away

    @pytest.mark.parametrize(
        ("on_lost", "ending", "final"),
        [("ask", Ending.IN_DOUBT, True), ("fail", Ending.FAILED, True)],
    )
    def test_a_step_whose_worker_goes_away_follows_on_lost(
        self, network: Network, on_lost: str, ending: Ending, final: bool
    ) -> None:
        hand = network.hand()
        on = network.stage(node(on_lost=on_lost))
        on.start()
        assert on.grants(hand, hand.next())
        hand.bus.close()
        outcome = on.end()
        assert (outcome.ending, outcome.final, outcome.executed) == (ending, final, True)
        assert f"its worker {hand.name} went away" in failure(outcome)

    def test_a_step_that_is_rerun_goes_to_another_worker_as_another_attempt(
        self, network: Network
    ) -> None:
        hand = network.hand()
        on = network.stage(node(on_lost="rerun"))
        on.start()
        first = hand.next()
        assert on.grants(hand, first)
        other = network.hand()
        hand.bus.close()
        on.until(lambda: not other.is_idle)
        second = other.next()
        assert second.message.message_id != first.message.message_id
        assert on.grants(other, second)
        other.say(second, "completed")
        outcome = on.end()
        assert (outcome.ending, outcome.executed) == (Ending.REPAIRED, True)
        assert [attempt for _, _, attempt in on.intended] == [
            first.message.message_id,
            second.message.message_id,
        ]

    def test_a_step_that_is_rerun_does_not_end_worker_after_worker(self, network: Network) -> None:
        on = network.stage(node(on_lost="rerun"))
        hands = [network.hand() for _ in range(3)]
        on.start()
        for _ in range(3):
            on.until(lambda: not all(hand.is_idle for hand in hands))
            hand = next(hand for hand in hands if not hand.is_idle)
            assert on.grants(hand, hand.next())
            hands.remove(hand)
            hand.bus.close()
        outcome = on.end()
        assert (outcome.ending, outcome.executed, outcome.final) == (Ending.FAILED, True, False)

    def test_a_step_with_a_check_whose_worker_goes_away_is_asked(self, network: Network) -> None:
        hand, other = network.hand(), network.hand("look")
        on = network.stage(node(check="look:Is"))
        on.start()
        step = other.next()
        assert on.grants(other, step)
        other.say(step, "failed")
        on.until(lambda: not hand.is_idle)
        assert on.grants(hand, hand.next())
        hand.bus.close()
        on.until(lambda: not other.is_idle)
        step = other.next()
        assert on.grants(other, step)
        other.say(step, "completed")
        outcome = on.end()
        assert (outcome.ending, outcome.executed) == (Ending.REPAIRED, True)

    @pytest.mark.parametrize("answered", ["", "failed completed"])
    def test_a_check_whose_worker_goes_away_fails_the_try(
        self, network: Network, answered: str
    ) -> None:
        hand = network.hand()
        on = network.stage(node(check="frob:Is"))
        on.start()
        for status in answered.split():
            step = hand.next()
            assert on.grants(hand, step)
            hand.say(step, status)
            on.until(lambda: not hand.is_idle)
        assert on.grants(hand, hand.next())
        hand.bus.close()
        outcome = on.end()
        assert (outcome.ending, outcome.executed) == (Ending.FAILED, bool(answered))
        assert len(on.intended) == bool(answered)

    def test_a_worker_that_only_lost_its_connection_and_asks_again_is_not_given_up(
        self, network: Network
    ) -> None:
        hand = network.hand()
        on = network.stage(node())
        on.dispatcher._holders._lost_after_s = 2.0
        on.start()
        step = hand.next()
        assert on.grants(hand, step)
        back = network.hand("other")
        back.name = hand.name
        hand.bus.close()
        assert on.grants(back, step)
        back.say(step, "completed")
        assert on.end().ending is Ending.REPAIRED
        assert len(on.claimed) == 1

    # Time

    def test_a_step_that_no_worker_takes_in_time_is_taken_back(self, network: Network) -> None:
        hand = network.hand()
        on = network.stage(node(timeout_s=0.2))
        on.start()
        step = hand.next()
        outcome = on.end()
        assert (outcome.ending, outcome.executed) == (Ending.FAILED, False)
        assert failure(outcome) == "no worker took frob:Do within 0.2 s"
        assert not on.grants(hand, step)

    @pytest.mark.parametrize("claims", [True, False])
    def test_a_step_that_a_worker_has_past_its_time_is_overdue(
        self, network: Network, claims: bool
    ) -> None:
        hand = network.hand()
        on = network.stage(node(timeout_s=0.3))
        on.start()
        step = hand.next()
        if claims:
            assert on.grants(hand, step)
        else:
            hand.say(step, "started", echo=False)
        outcome = on.end()
        assert (outcome.ending, outcome.executed) == (Ending.OVERDUE, True)
        assert failure(outcome) == "frob:Do was not over within 0.3 s"
        hand.say(step, "completed", echo=claims)
        on.until(lambda: on.dispatcher.ignored)
        assert not on.ends

    def test_a_check_that_takes_too_long_fails_the_try(self, network: Network) -> None:
        hand = network.hand()
        on = network.stage(node(check="frob:Is", timeout_s=0.3))
        on.start()
        assert on.grants(hand, hand.next())
        outcome = on.end()
        assert (outcome.ending, outcome.executed) == (Ending.FAILED, False)

    # Answers that count for nothing

    @pytest.mark.parametrize("echo", [True, False])
    def test_an_answer_that_is_repeated_counts_once_also_for_the_steps_that_follow(
        self, network: Network, echo: bool
    ) -> None:
        hand = network.hand()
        steps = 9
        on = network.stage(*[node(name=f"n{key}") for key in range(steps)])
        for key in range(steps):
            on.start(key)
            step = hand.next()
            hand.say(step, "started", echo=echo)
            hand.say(step, "completed", echo=echo, data=key)
            outcome = on.end(key)
            assert (outcome.ending, outcome.result) == (Ending.REPAIRED, key)
            hand.say(step, "completed", echo=echo, data="again")
        on.until(lambda: on.dispatcher.ignored.total() == steps)

    def test_a_late_answer_of_a_step_that_was_given_up_is_not_that_of_the_next(
        self, network: Network
    ) -> None:
        hand = network.hand()
        on = network.stage(node(timeout_s=0.3), *[node(name=f"n{key}") for key in range(1, 7)])
        on.start()
        late = hand.next()
        hand.say(late, "started", echo=False)
        assert on.end().ending is Ending.OVERDUE
        for key in range(1, 7):
            on.start(key)
            step = hand.next()
            assert step.message.reply_to != late.message.reply_to
            hand.say(late, "failed", echo=False)
            hand.say(step, "completed", echo=False)
            assert on.end(key).ending is Ending.REPAIRED

    def test_foreign_and_unreadable_answers_are_counted_and_ignored(self, network: Network) -> None:
        hand = network.hand()
        on = network.stage(node())
        on.start()
        step = hand.next()
        assert on.grants(hand, step)
        hand.say(step, "completed", attempt="f" * 24)
        stranger = network.hand("other")
        stranger.say(step, "completed")
        strange = step._replace(message=step.message._replace(correlation_id="0" * 24))
        hand.say(strange, "completed", echo=False)
        assert step.message.reply_to is not None
        for body in (b"no json", b'{"status": "errored"}', b"[]"):
            message = Message(body, correlation_id=step.message.correlation_id)
            hand.bus.publish(message, step.message.reply_to).wait(DEADLINE_S)
        on.until(lambda: on.dispatcher.ignored.total() == 6)
        on.until(lambda: on.late)
        assert not on.ends
        hand.say(step, "completed", data="mine")
        assert on.end().result == "mine"

    def test_two_steps_under_way_are_told_apart_though_their_worker_names_neither(
        self, network: Network
    ) -> None:
        hand = network.hand()
        on = network.stage(*[node(name=f"n{key}") for key in range(5)])
        steps = []
        for key in range(5):
            on.start(key)
            steps.append(hand.next())
        assert len({step.message.reply_to for step in steps}) == 5
        for key in (3, 1, 4, 0, 2):
            hand.say(steps[key], "started", echo=False)
            hand.say(steps[key], "completed", echo=False, data=key)
            assert on.end(key).result == key

    # Notices

    def test_people_are_told_once_by_the_worker_if_it_does_so(self, network: Network) -> None:
        told = Told(network.bus(), "irc", "mail")
        notify = {"started": {"irc": ("#a",)}, "completed": {"irc": ("#a",), "mail": ("b@c.d",)}}

        def process(self: Any, _: Any, deliver: Any, properties: Any, body: Any, out: Any) -> None:
            run, replies = properties.correlation_id, properties.reply_to
            self.notify("by worker", "started", "started", run)
            self.send(replies, run, {"status": "started"}, exchange="")
            self.notify("by worker", "completed", "completed", run)
            self.send(replies, run, {"status": "completed"}, exchange="")

        network.serve(type("FrobWorker", (Worker,), {"process": process}))
        on = network.stage(node(notify=notify))
        on.start()
        assert on.end().ending is Ending.REPAIRED
        assert told.until(3) == {
            ("irc", "started", "by worker"),
            ("irc", "completed", "by worker"),
            ("mail", "completed", "by worker"),
        }
        assert len(on.notices) == 3

    def test_people_are_told_once_that_it_started_though_the_worker_says_so_late(
        self, network: Network
    ) -> None:
        told = Told(network.bus(), "irc", "mail")

        def process(self: Any, _: Any, deliver: Any, properties: Any, body: Any, out: Any) -> None:
            run, replies = properties.correlation_id, properties.reply_to
            self.send(replies, run, {"status": "started"}, exchange="")
            self.notify("by worker", "started", "started", run)
            self.send(replies, run, {"status": "completed"}, exchange="")

        network.serve(type("FrobWorker", (Worker,), {"process": process}))
        on = network.stage(node(notify=NOTIFY))
        on.start()
        on.end()
        assert told.until(2) == {
            ("irc", "started", "frob:Do@h1 started"),
            ("irc", "completed", "frob:Do@h1 completed"),
        }

    def test_people_are_told_of_a_step_that_ended_without_an_answer(self, network: Network) -> None:
        told = Told(network.bus(), "irc")
        on = network.stage(node(notify=NOTIFY))
        on.start()
        on.end()
        assert told.until(1) == {("irc", "failed", "frob:Do@h1 failed")}

    # Output

    def test_lines_are_those_of_the_step_that_wrote_them_though_others_go_beside(
        self, network: Network
    ) -> None:
        both = threading.Barrier(2)

        def process(self: Any, _: Any, deliver: Any, properties: Any, body: Any, out: Any) -> None:
            both.wait(DEADLINE_S)
            for line in range(20):
                out.info(f"{body['parameters']['subcommand']} {line}")
            both.wait(DEADLINE_S)
            run, replies = properties.correlation_id, properties.reply_to
            self.send(replies, run, {"status": "completed"}, exchange="")

        network.serve(type("FrobWorker", (Worker,), {"process": process}), times=2)
        on = network.stage(node("frob:One"), node("frob:Two"))
        on.start(0)
        on.start(1)
        on.end(0)
        on.end(1)
        wanted = {
            (key, f"{name} {line}") for key, name in enumerate(("One", "Two")) for line in range(20)
        }
        on.until(lambda: wanted <= set(on.lines))

    def test_lines_that_come_after_the_end_are_still_the_steps(self, network: Network) -> None:
        hand = network.hand()
        on = network.stage(node("frob:One"), node("frob:Two"))
        on.start(0)
        step = hand.next()
        hand.say(step, "completed")
        on.end(0)
        on.start(1)
        hand.write(step, "at last\n")
        on.until(lambda: (0, "at last") in on.lines)

    # Stopping

    def test_a_run_that_is_stopped_takes_back_what_no_worker_has_and_lets_the_rest_end(
        self, network: Network
    ) -> None:
        hand = network.hand()
        on = network.stage(node(name="had", notify=NOTIFY), node(name="waits", notify=NOTIFY))
        on.start(0)
        had = hand.next()
        assert on.grants(hand, had)
        on.start(1)
        waits = hand.next()
        on.steps.stop()
        outcome = on.end(1)
        assert (outcome.ending, outcome.executed) == (Ending.FAILED, False)
        assert "the run was stopped" in failure(outcome)
        assert not on.grants(hand, waits)
        hand.say(had, "completed")
        assert on.end(0).ending is Ending.REPAIRED
        assert {key for key, _, _ in on.notices} == {0}

    def test_what_closes_a_chain_is_not_taken_back(self, network: Network) -> None:
        hand = network.hand()
        on = network.stage(node(finally_=True), work={"closings": {0}})
        on.start()
        step = hand.next()
        on.steps.stop()
        assert on.grants(hand, step)
        hand.say(step, "completed")
        assert on.end().ending is Ending.REPAIRED

    def test_a_worker_that_waits_for_its_grant_is_denied_when_the_run_is_given_up(
        self, network: Network
    ) -> None:
        hand, asked = network.hand(), threading.Event()
        on = network.stage(node(), woken=asked.set)
        on.start()
        step = hand.next()
        hand.ask(step)
        assert asked.wait(DEADLINE_S)  # it has come, and nobody has looked
        on.steps.close()
        assert not hand.grant()

    # Last words

    @pytest.mark.parametrize("first", ["line", "answer"])
    def test_the_last_line_of_the_last_step_is_heard_out(
        self, network: Network, first: str
    ) -> None:
        hand = network.hand()
        on = network.stage(node(), closing_s=DEADLINE_S)
        on.start()
        step = hand.next()
        assert on.grants(hand, step)

        def say_the_last() -> None:
            hand.write(step, "frobbed", closes=True)

        if first == "line":
            say_the_last()
            on.until(lambda: on.lines)
        hand.say(step, "completed", closing=True)
        assert on.end().ending is Ending.REPAIRED
        later = threading.Thread(target=say_the_last)
        if first == "answer":
            assert on.lines == []
            later.start()
        assert list(on.steps.hear_out()) == []
        assert on.lines == [(0, "frobbed")]
        if first == "answer":
            later.join(DEADLINE_S)

    def test_a_worker_says_itself_that_its_last_line_follows(self, network: Network) -> None:
        answered, go_on = threading.Event(), threading.Event()

        def process(self: Any, _: Any, deliver: Any, properties: Any, body: Any, out: Any) -> None:
            run, replies = properties.correlation_id, properties.reply_to
            self.send(replies, run, {"status": "completed"}, exchange="")
            answered.set()
            assert go_on.wait(DEADLINE_S)

        network.serve(type("FrobWorker", (Worker,), {"process": process}))
        on = network.stage(node(), closing_s=DEADLINE_S)
        on.start()
        assert on.end().ending is Ending.REPAIRED
        assert answered.wait(DEADLINE_S)
        assert [text[:9] for _, text in on.lines] == ["Starting "]
        go_on.set()
        on.steps.hear_out()
        assert "Finished FrobWorker" in "".join(text for _, text in on.lines)

    @pytest.mark.parametrize("patient", [True, False])
    def test_a_run_tells_the_last_line_of_its_last_step_before_its_end(
        self, network: Network, patient: bool
    ) -> None:
        ended, woken = threading.Event(), threading.Event()
        told: list[Any] = []

        def process(self: Any, _: Any, deliver: Any, properties: Any, body: Any, out: Any) -> None:
            run, replies = properties.correlation_id, properties.reply_to
            self.send(replies, run, {"status": "completed"}, exchange="")
            assert ended.wait(DEADLINE_S)

        def heard(event: Any) -> None:
            told.append(event)
            if isinstance(event, TryEnded) and event.ending is Ending.REPAIRED:
                ended.set()  # the answer has done its work, and only now the last line is said

        network.serve(type("FrobWorker", (Worker,), {"process": process}))
        on = network.stage()
        plan, definitions, _ = compile_jobs(node())
        steps = Steps(
            on.dispatcher, clocks.new_id, clocks.now_us, closing_s=DEADLINE_S, woken=woken.set
        )
        runner = Runner(plan, definitions, steps, listeners=[heard])
        if patient:
            assert runner.run() is RunState.SUCCEEDED
        else:
            runner.open()
            while (state := runner.advance(steps.is_heard_out)) is None:
                assert woken.wait(DEADLINE_S)
                woken.clear()
            runner.close()
            assert state is RunState.SUCCEEDED
        *_, line, end = told
        assert isinstance(line, OutputWritten)
        assert line.text.startswith("Finished FrobWorker")
        assert isinstance(end, RunEnded)

    def test_a_last_line_that_does_not_come_is_waited_for_no_longer_than_the_limit(
        self, network: Network
    ) -> None:
        hand = network.hand()
        on = network.stage(node(), node(), closing_s=SOON_S)
        for key in (0, 1):
            on.start(key)
            step = hand.next()
            assert on.grants(hand, step)
            hand.say(step, "completed", closing=key == 0)
            assert on.end(key).ending is Ending.REPAIRED
        assert list(on.steps.hear_out()) == []
        assert on.lines == []

    def test_what_comes_late_while_last_words_are_heard_is_told(self, network: Network) -> None:
        hand = network.hand()
        on = network.stage(node(), closing_s=DEADLINE_S)
        on.start()
        step = hand.next()
        assert on.grants(hand, step)
        hand.say(step, "completed", closing=True)
        assert on.end().ending is Ending.REPAIRED
        hand.say(step, "failed")
        hand.write(step, "frobbed", closes=True)
        late = [*on.steps.hear_out(), *on.steps.wait(0.0)]
        assert [(one.key, type(one)) for one in late] == [(0, Late)]

    # What has to be written first

    def test_nothing_is_granted_that_could_not_be_written(self, network: Network) -> None:
        def claimed(key: int, number: int, attempt: str, worker: str, address: str) -> None:
            raise Unavailable("the store is away")

        begun = []

        def process(self: Any, _: Any, deliver: Any, properties: Any, body: Any, out: Any) -> None:
            begun.append(properties.correlation_id)
            run, replies = properties.correlation_id, properties.reply_to
            self.send(replies, run, {"status": "completed"}, exchange="")

        network.serve(type("FrobWorker", (Worker,), {"process": process}))
        on = network.stage(node(), work={"claimed": claimed, "run": "1" * 24})
        on.start()
        with pytest.raises(Unavailable):
            on.until(lambda: False)
        on.steps.close()  # which denies it
        after = network.stage(node(), work={"run": "2" * 24})
        after.start()
        assert after.end().ending is Ending.REPAIRED
        assert begun == ["2" * 24]

    def test_nothing_is_sent_that_could_not_be_written(self, network: Network) -> None:
        hand = network.hand()

        def intends(
            key: int, number: int, outcome: Outcome, attempt: str = "", replies: str = ""
        ) -> None:
            raise Unavailable("the store is away")

        on = network.stage(node(), node(check="frob:Is"), work={"intends": intends})
        with pytest.raises(Unavailable):
            on.start(0)
        on.start(1)
        step = hand.next()
        hand.say(step, "failed")
        with pytest.raises(Unavailable):
            on.until(lambda: False)
        assert on.steps.running == 0
        assert hand.is_idle

    def test_answers_are_settled_when_what_follows_is_written_and_not_otherwise(
        self, network: Network
    ) -> None:
        hand = network.hand()
        on = network.stage(node())
        bus = on.dispatcher._bus
        on.start()
        step = hand.next()
        hand.say(step, "completed")
        settled = bus.counts().settled
        on.until(lambda: on.ends)
        assert bus.counts().settled == settled
        on.turn()
        assert bus.counts().settled == settled + 1

    # Asking only

    def test_who_only_asks_sends_nothing_but_checks(self, network: Network) -> None:
        hand, look = network.hand(), network.hand("look")
        nodes = [
            node(notify=NOTIFY),
            node(check="look:Is", name="a", notify=NOTIFY, cleanup="frob:Undo"),
            node(check="look:Is", name="b", notify=NOTIFY),
            node(check="nobody:Is", name="c", notify=NOTIFY),
        ]
        on = network.stage(*nodes, work={"act": False})
        on.start(0)
        assert on.end(0).final
        for key, status, ending in ((1, "failed", Ending.FAILED), (2, "completed", Ending.PASSED)):
            on.start(key)
            step = look.next()
            assert json.loads(step.message.body)["parameters"]["subcommand"] == "Is"
            hand.say(step, status)
            assert on.end(key).ending is ending
        on.start(3)
        assert on.end(3).ending is Ending.FAILED
        with pytest.raises(RuntimeError, match="only its Check"):
            on.steps.cleanup(1, 1, None, None)
        assert on.notices == []
        assert hand.is_idle
        assert on.steps.running == 0

    def test_one_check_is_asked_while_others_wait(self, network: Network) -> None:
        network.serve(answers(*WELL, final={"data": 1}))
        hand = network.hand("other")
        on = network.stage(node(check="frob:Is"), node("other:Do"))
        on.start(1)
        other = hand.next()
        hand.say(other, "completed")
        outcome = on.steps.ask(0)
        assert (outcome.ending, outcome.result) == (Ending.PASSED, 1)
        assert on.end(1).ending is Ending.REPAIRED

    def test_more_checks_are_asked_than_answers_may_be_unsettled(self, network: Network) -> None:
        network.serve(answers("completed"))
        on = network.stage(node(check="frob:Is"))
        unsettled = on.dispatcher._bus.counts()
        for _ in range(30):
            assert on.steps.ask(0).ending is Ending.PASSED
        counts = on.dispatcher._bus.counts()
        taken = counts.delivered - unsettled.delivered
        assert counts.settled - unsettled.settled >= taken - 2

    def test_a_cleanup_is_a_step_and_may_fail(self, network: Network) -> None:
        network.serve(answers(*WELL, Undo={"status": "failed", "data": "stuck"}))
        on = network.stage(node(cleanup="frob:Undo"), node(cleanup="frob:Redo", name="b"))
        failed = on.steps.cleanup(0, 1, None, None)
        assert failed is not None
        assert failed.message == "stuck"
        assert on.steps.cleanup(1, 1, None, None) is None

    # Jobs beside steps

    def test_jobs_go_beside_steps_and_wait_for_a_place_of_their_own(self, network: Network) -> None:
        go = threading.Event()

        class Waits(Job):
            def Check(self, **inputs: Any) -> str:
                assert go.wait(DEADLINE_S)
                return "waited"

        hand = network.hand()
        on = network.stage(Waits, Waits, Waits, node(), inner=Threads(1))
        for key in range(4):
            on.start(key)
        assert on.steps.running == 4
        step = hand.next()
        hand.say(step, "completed")
        assert on.end(3).ending is Ending.REPAIRED
        go.set()
        assert [on.end(key).result for key in range(3)] == ["waited"] * 3
        assert on.steps.running == 0

    def test_a_job_that_runs_in_the_same_thread_holds_up_nothing_for_ever(
        self, network: Network
    ) -> None:
        class Passes(Job):
            def Check(self, **inputs: Any) -> None: ...

        network.serve(answers(*WELL))
        on = network.stage(node(), Passes, inner=Inline())
        on.start(0)
        on.start(1)
        assert on.end(1).ending is Ending.PASSED
        assert on.end(0).ending is Ending.REPAIRED

    def test_a_wait_is_woken_from_another_thread(self, network: Network) -> None:
        on = network.stage(node(), inner=Threads(1))
        network.hand()
        on.start()
        thread = threading.Thread(target=on.steps.wake)
        thread.start()
        assert list(on.steps.wait(DEADLINE_S)) == []
        thread.join()

    def test_many_steps_go_at_once(self, network: Network) -> None:
        count = 60
        network.serve(answers(*WELL), times=4)
        on = network.stage(*[node(name=f"n{key}") for key in range(count)])
        for key in range(count):
            on.start(key)
        on.until(lambda: len(on.ends) == count)
        assert {on.end(key).ending for key in range(count)} == {Ending.REPAIRED}
        assert len(on.claimed) == count
        assert on.steps._clocks == [] or on.steps._left_s(None) is None


class Told:
    """Who hears notices."""

    def __init__(self, bus: Bus, *transports: str) -> None:
        from headway.ports.bus import Binding, Delivery, Exchange, Queue, QueueKind, Settlement

        self._heard: list[tuple[str, str, str]] = []
        self._changed = threading.Condition()

        def take(delivery: Delivery) -> None:
            bus.settle(delivery, Settlement.ACK)
            body = json.loads(delivery.message.body)
            transport = delivery.routing_key.removeprefix(names.notify_key(""))
            with self._changed:
                self._heard.append((transport, body["phase"], body["slug"]))
                self._changed.notify_all()

        bus.declare(Exchange(names.EXCHANGE))
        for transport in transports:
            key = names.notify_key(transport)
            bindings = (Binding(names.EXCHANGE, key),)
            bus.declare(Queue(f"told.{transport}", QueueKind.CLASSIC, bindings))
            bus.consume(f"told.{transport}", take, prefetch=100, inline=True)

    def until(self, count: int) -> set[tuple[str, str, str]]:
        """All that was heard, once it is so many; none was heard twice, or more."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._heard) >= count, DEADLINE_S)
            self._changed.wait_for(lambda: len(self._heard) > count, 0.1)
            assert len(self._heard) == count
            return set(self._heard)


class TestInMemory(StepsContract):
    @pytest.fixture
    def make_bus(self) -> Callable[[], Bus]:
        broker = MemoryBroker("steps")
        return lambda: MemoryBus(broker)


@pytest.mark.services
class TestOnRabbitMQ(StepsContract):
    @pytest.fixture
    def make_bus(self, rabbitmq: "RabbitMQ") -> Callable[[], Bus]:
        address = parse_bus_url(rabbitmq.url)
        return lambda: make_bus(address)
