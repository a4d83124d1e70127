"""A release that is paused starts nothing new, over every restart of its core, until it goes on."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from headway.jobs.events import RunCancelled, RunPaused, RunUnpaused, TryEnded
from headway.jobs.states import RunState
from headway.runtime import clocks
from tests.unit.test_core import SOON_S, HeldWorker, Place, held, until


@pytest.fixture
def place() -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(stack)


def asked(place: Place, run: str, verb: str, **args: Any) -> str:
    number = place.store.ask(run, verb, args, "anna", clocks.now_us())

    def answer() -> str | None:
        request = place.store.request(number)
        assert request is not None
        return request.answer

    until(lambda: answer() is not None)
    return str(answer())


def ends(place: Place, run: str) -> int:
    return sum(isinstance(event, TryEnded) for event in place.events(run))


def paused(place: Place) -> tuple[str, type[HeldWorker]]:
    """A release that was paused in its first step, which has ended since."""
    worker = held()
    place.serve(worker)
    run = place.deploy(place.playbook())
    place.core()
    assert worker.begun.acquire(timeout=SOON_S)
    assert asked(place, run, "pause", why="lunch") == "paused: what runs ends, nothing new starts"
    worker.go.set()
    until(lambda: ends(place, run) == 1)
    return run, worker


def nothing_starts(place: Place, run: str, worker: type[HeldWorker]) -> bool:
    """Whether a core that has looked, and answered since, has begun nothing."""
    assert asked(place, run, "pause") == "it is paused already"
    return place.state(run) is RunState.RUNNING and len(worker.steps) == 1


def test_what_runs_ends_and_nothing_starts_until_it_goes_on(place: Place) -> None:
    run, worker = paused(place)
    assert nothing_starts(place, run, worker)
    assert asked(place, run, "resume") == "it goes on"
    assert place.ended(run) is RunState.SUCCEEDED
    told = [e for e in place.events(run) if isinstance(e, (RunPaused, RunUnpaused))]
    assert [(type(e), e.who, e.why) for e in told] == [
        (RunPaused, "anna", "lunch"),
        (RunUnpaused, "anna", ""),
    ]


def test_it_stays_paused_in_the_next_core(place: Place) -> None:
    worker = held()
    worker.go.set()
    place.serve(worker)
    run = place.deploy(place.playbook())
    place.store.ask(run, "pause", {}, "anna", clocks.now_us())
    first = place.core()
    until(lambda: any(isinstance(event, RunPaused) for event in place.events(run)))
    first.stop()
    begun = len(worker.steps)
    place.core()
    assert asked(place, run, "pause") == "it is paused already"
    assert len(worker.steps) == begun
    assert asked(place, run, "resume") == "it goes on"
    assert place.ended(run) is RunState.SUCCEEDED
    assert len(worker.steps) == 4


def test_a_paused_release_is_ended_by_a_cancel(place: Place) -> None:
    run, worker = paused(place)
    assert asked(place, run, "cancel") == "cancelling"
    assert place.ended(run) is RunState.CANCELLED
    assert len(worker.steps) == 1
    assert any(isinstance(event, RunCancelled) for event in place.events(run))


def test_to_go_on_with_what_is_not_paused_changes_nothing(place: Place) -> None:
    worker = held()
    place.serve(worker)
    run = place.deploy(place.playbook())
    place.core()
    assert worker.begun.acquire(timeout=SOON_S)
    assert asked(place, run, "resume") == "refused: the run goes on already"
    worker.go.set()
    assert place.ended(run) is RunState.SUCCEEDED
    assert not any(isinstance(event, RunUnpaused) for event in place.events(run))
