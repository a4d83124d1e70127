"""What goes wrong around ``process``: the step is answered, settled once, the next one served."""

from collections.abc import Iterator
from typing import Any

import pytest

from headway.runtime import worker_service
from headway.runtime.worker_channel import given
from headway.wire import names
from headway.wire.messages import Claim, Grant
from tests.unit.serving import CLAIMS, Desk, desk, step, worker


@pytest.fixture
def at() -> Iterator[Desk]:
    with desk() as made:
        yield made


def done(self: Any, channel: Any, deliver: Any, props: Any, body: Any, output: Any) -> None:
    self.send(props.reply_to, props.correlation_id, {"status": "completed"}, "")


@pytest.fixture
def fails_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library fails before the first step reaches ``process``."""
    failures = [ArithmeticError("a slip of the library's")]

    def given_or_not(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return given(*arguments)

    monkeypatch.setattr(worker_service, "given", given_or_not)


TOLD = {
    "status": "failed",
    "data": "FrobWorker could not be given the step: ArithmeticError: a slip of the library's",
}


def assert_settled_once_each(at: Desk, number: int) -> None:
    counts = at.connections[0].bus.counts()
    assert (counts.delivered, counts.settled, counts.ignored) == (number, number, 0)
    assert at.broker.depth("worker.frob") == 0
    assert at.is_silent(), "one answer only"


@pytest.mark.usefixtures("fails_once")
def test_what_the_library_fails_at_is_answered_and_kept_and_the_next_step_is_served(
    at: Desk,
) -> None:
    with at.serving(at.make(worker(done))):
        at.send(step())
        assert at.reply() == TOLD
        letter = at.next("dead-watch").message
        assert letter.headers[names.REASON] == TOLD["data"]
        at.send(step(), message_id="attempt-2")
        assert at.reply() == {"status": "completed"}
    assert "ERROR run-1 - the library failed" in at.log.text
    assert_settled_once_each(at, 2)


@pytest.mark.usefixtures("fails_once")
def test_so_it_is_under_a_claim(at: Desk) -> None:
    with at.serving(at.make(worker(done))):
        at.send(step(), headers={names.CLAIMS: CLAIMS})
        asked = at.next("claims").message
        claim = Claim.decode(asked.body)
        grant = Grant(attempt=claim.attempt, worker=claim.worker, granted=True)
        at.bus.publish(asked._replace(body=grant.encode(), reply_to=None), asked.reply_to or "")
        assert at.reply() == TOLD
        at.send(step(), message_id="attempt-2")
        assert at.reply() == {"status": "completed"}
    # The grant itself was the settlement of the first, and a grant beside them is none.
    counts = at.connections[0].bus.counts()
    assert (counts.delivered, counts.settled, counts.ignored) == (3, 2, 0)
    assert at.is_silent("claims"), "what was begun is not given back"


def test_a_class_that_names_its_dynamic_inputs_wrongly_fails_its_steps_and_says_so(
    at: Desk,
) -> None:
    with at.serving(at.make(worker(done, dynamic=7))):
        for _ in range(2):
            at.send(step())
            assert "'int' object is not iterable" in at.reply()["data"]
    assert_settled_once_each(at, 2)


def test_what_fails_after_the_answer_does_not_change_it(
    at: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say_nothing(self: Any, step: Any) -> None:
        raise ArithmeticError("a slip of the library's")

    monkeypatch.setattr(worker_service.WorkerService, "_say_last", say_nothing)
    with at.serving(at.make(worker(done))):
        for _ in range(2):
            at.send(step())
            assert at.reply() == {"status": "completed"}
    assert at.is_silent("dead-watch")
    assert_settled_once_each(at, 2)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit, BaseException])
def test_whatever_process_raises_fails_its_step_only(at: Desk, kind: type[BaseException]) -> None:
    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        if body["parameters"]["subcommand"] == "raise":
            raise kind("enough")
        done(self, channel, deliver, props, body, out)

    with at.serving(at.make(worker(process))):
        at.send(step("raise"))
        assert at.reply()["data"] == f"FrobWorker failed: {kind.__name__}: enough"
        at.send(step())
        assert at.reply() == {"status": "completed"}
    assert_settled_once_each(at, 2)
