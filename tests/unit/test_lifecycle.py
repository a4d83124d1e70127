"""A real worker goes every way that the table of its life has, and does what stands there."""

from collections.abc import Sequence
from typing import Any

import pytest

from headway.adapters.memory_bus import MemoryBus
from headway.adapters.publications import Publication
from headway.jobs.schedule import Ignored
from headway.ports.bus import Delivery, Exchange, Message, Queue, Settlement
from headway.runtime.worker import Worker
from headway.wire import names
from headway.wire.lifecycle import TRANSITIONS, Deed, State, Transition, paths, transitions_from
from headway.wire.messages import Claim, Grant, Response
from tests.unit.serving import CLAIMS, REPLIES, Desk, desk, step

PATHS = {" > ".join(one.event for one in path): path for path in paths()}
SETTLED = {
    Settlement.ACK: Deed.ACK,
    Settlement.REJECT: Deed.REJECT,
    Settlement.REQUEUE: Deed.REQUEUE,
}
NOWHERE = "nowhere"  # a queue that there is not
SENT_BY_PROCESS = "by process"  # marks what the author sends, which is not the library's deed


class Watched(MemoryBus):
    """Notes what its owner does."""

    deeds: list[Deed]

    def declare(self, *parts: Exchange | Queue) -> Any:
        if any(part.name.startswith("worker.") for part in parts):
            self.deeds.append(Deed.DECLARE)
        return super().declare(*parts)

    def publish(self, message: Message, routing_key: str, exchange: str = "") -> Publication:
        deed = _deed(message, routing_key)
        if deed is not None:
            self.deeds.append(deed)
        return super().publish(message, routing_key, exchange)

    def settle(self, delivery: Delivery, settlement: Settlement) -> Ignored | None:
        if delivery.queue.startswith("worker."):
            self.deeds.append(SETTLED[settlement])
        return super().settle(delivery, settlement)

    def close(self, timeout_s: float = 5.0) -> None:
        self.deeds.append(Deed.CLOSE)
        super().close(timeout_s)


def _deed(message: Message, routing_key: str) -> Deed | None:
    if routing_key in (CLAIMS, NOWHERE):
        return Deed.GIVE_BACK if Claim.decode(message.body).give_back else Deed.CLAIM
    if routing_key == names.DEAD:
        return Deed.BURY
    if routing_key == REPLIES and Response.decode(message.body).data != SENT_BY_PROCESS:
        return Deed.FAIL
    return None


class FrobWorker(Worker):
    """Ends as it is told to."""

    dynamic = ("cart",)
    ending = ""

    def process(self, channel: Any, deliver: Any, properties: Any, body: Any, output: Any) -> None:
        match self.ending:
            case "process answers":
                answer = {"status": "completed", "data": SENT_BY_PROCESS}
                self.send(properties.reply_to, properties.correlation_id, answer, exchange="")
            case "process raises":
                raise RuntimeError("it broke")
            case "process ends without an answer":
                pass
            case "process wants it delivered again":
                FrobWorker.ending = "process answers"  # the second time
                self.reject(deliver, requeue=True)
            case _:
                raise AssertionError(f"nobody knows how to bring about {self.ending!r}")


def provoked(at: Desk, worker: Worker, path: Sequence[Transition]) -> None:
    """Bring about what happens on the path."""
    events = [one.event for one in path]
    FrobWorker.ending = events[-1]
    granting = NOWHERE if "nobody is there to grant it" in events else CLAIMS
    claims = {names.CLAIMS: granting} if "it asks for a claim" in events else {}
    body: Any = step(dynamic={} if "dynamic inputs are missing" in events else {"cart": "demo"})
    if "it cannot be read" in events:
        body = b"not JSON"
    at.send(body, headers=claims)
    if claims and granting == CLAIMS:
        asked = at.next(CLAIMS).message
        if "told to leave" in events:
            worker.stop()
            return
        claim = Claim.decode(asked.body)
        grant = Grant(
            attempt=claim.attempt, worker=claim.worker, granted="granted" in events, reason="no"
        )
        assert asked.reply_to is not None
        at.bus.publish(Message(grant.encode(), names.JSON), asked.reply_to)


@pytest.mark.parametrize("name", PATHS)
def test_a_worker_does_what_the_table_says(name: str) -> None:
    path = PATHS[name]
    with desk() as at:
        buses: list[Watched] = []

        def make_bus() -> Watched:
            bus = Watched(at.broker)
            bus.deeds = []
            buses.append(bus)
            return bus

        at._make_bus = make_bus
        connection = at.connection(no_granter_s=0.0)
        worker = at.make(FrobWorker, mq_config=connection)
        (bus,) = buses
        started = list(bus.deeds)
        with at.serving(worker):
            bus.deeds.clear()
            provoked(at, worker, path)
            if path[-1].after is State.LISTENING:
                has_listened_again(at, path)
        connection.close()
        did = list(bus.deeds)
    assert started == [Deed.DECLARE]
    assert did == [deed for one in whole(path) for deed in one.deeds]


def whole(path: Sequence[Transition]) -> Sequence[Transition]:
    """The path up to the worker's leaving."""
    if path[-1].after is State.LEAVING:
        return path
    if Deed.REQUEUE in path[-1].deeds:  # it comes again, and is then answered
        path = [*path, *PATHS["a step is delivered > it asks for no claim > process answers"]]
    left = [one for one in transitions_from(State.LISTENING) if one.after is State.LEAVING]
    return [*path, *left]


def has_listened_again(at: Desk, path: Sequence[Transition]) -> None:
    """Wait for the last that can be heard of the step."""
    deeds = [deed for one in whole(path) for deed in one.deeds]
    if Deed.FAIL in deeds or path[-1].event == "process answers" or Deed.REQUEUE in deeds:
        at.next(REPLIES)
    if Deed.BURY in deeds:
        at.next("dead-watch")
    if Deed.GIVE_BACK in deeds:
        at.next(CLAIMS)


def test_every_state_is_reached_and_left() -> None:
    reached = {one.after for one in TRANSITIONS}
    left = {one.state for one in TRANSITIONS}
    assert reached | {State.STARTING} == left | {State.LEAVING} == set(State)


def test_what_happens_in_a_state_is_told_apart() -> None:
    seen = [(one.state, one.event) for one in TRANSITIONS]
    assert len(set(seen)) == len(seen)
