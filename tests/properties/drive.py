"""Drives a Schedule on a simulated clock, through examples that say how every try goes."""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from headway.jobs.compiling import compile_jobs
from headway.jobs.events import TryEnded
from headway.jobs.job import Job
from headway.jobs.outcomes import Ending
from headway.jobs.plan import Plan, Policy
from headway.jobs.schedule import Schedule
from tests.properties.one_slot import Example, Try

DRAW_TRIES = st.builds(
    Try,
    succeeds=st.booleans(),
    lasts=st.integers(0, 5),
    final=st.sampled_from([False, False, False, True]),
)


@st.composite
def examples(draw: st.DrawFn, most: int = 10) -> list[Example]:
    """Jobs in a list; each needs some of those before it, in any order. The last is the root.

    It needs, near or far, all the others.
    """
    found: list[Example] = []
    needed: set[int] = set()
    count = draw(st.integers(1, most))
    for place in range(count):
        needs = draw(st.lists(st.integers(0, place - 1), unique=True)) if place else []
        if place == count - 1:
            loose = set(range(place)) - needed - set(needs)
            needs = draw(st.permutations([*needs, *sorted(loose)]))
        needed.update(needs)
        tries = draw(st.lists(DRAW_TRIES, min_size=1, max_size=4))
        found.append(Example(tuple(needs), draw(st.integers(0, 6)), tuple(tries)))
    return found


def plan_of(examples: Sequence[Example], policy: Policy | None = None) -> tuple[Plan, list[int]]:
    """The plan compiled from classes made for the examples, and by key the example's place."""
    classes: list[type[Job]] = []
    for place, example in enumerate(examples):
        classes.append(
            type(
                f"Job{place}",
                (Job,),
                {
                    "DEPS": [classes[need] for need in example.needs],
                    "TRIES": len(example.tries),
                    "RETRY_DELAY": example.delay,
                    "Check": lambda self: None,
                },
            )
        )
    plan, definitions, _ = compile_jobs(classes[-1], policy)
    return plan, [classes.index(definition) for definition in definitions]


class Went(NamedTuple):
    """A try that went."""

    began: float
    ended: float
    key: int
    number: int
    ending: Ending


Endings = Callable[[int, int], tuple[Ending, int, bool]]  # of key, number: how, lasting, final


def endings_of(examples: Sequence[Example], places: Sequence[int]) -> Endings:
    """How tries end, by key and number, as the examples say."""

    def ending(key: int, number: int) -> tuple[Ending, int, bool]:
        this = examples[places[key]].tries[number - 1]
        return (Ending.PASSED if this.succeeds else Ending.FAILED), this.lasts, this.final

    return ending


def drive(
    schedule: Schedule,
    ending: Endings,
    slots: int = 1,
    *,
    now: float = 0.0,
    filled: Callable[[float, int], Any] = lambda now, running: None,
    ended: Callable[[TryEnded], Any] = lambda event: None,
) -> list[Went]:
    """Go through a whole run; every try, by its end (with one slot: by its start, too).

    ``filled`` is called with the time and the number of tries under way when nothing more was
    ready, ``ended`` after each end (times in microseconds, as a journal has them).
    """
    went: list[Went] = []
    running: list[tuple[float, float, int]] = []
    while True:
        while len(running) < slots and (key := schedule.ready(now)) is not None:
            assert schedule.started(key, now) is None
            running.append((now + ending(key, schedule.tries[key] + 1)[1], now, key))
        filled(now, len(running))
        if not running and schedule.is_over:
            return went
        wake_at = schedule.wake_at if len(running) < slots else None
        first = min(running, default=None)
        if first is None or (wake_at is not None and wake_at < first[0]):
            assert wake_at is not None, "nothing runs, nothing waits, and it is not over"
            assert wake_at > now, "it said to ask again at a time that has come"
            now = wake_at
            continue
        running.remove(first)
        now, began, key = first
        number = schedule.tries[key] + 1
        how, _, final = ending(key, number)
        schedule.ended(key, how, now, final)
        went.append(Went(began, now, key, number, how))
        ended(TryEnded(int(now * 1e6), key, number, how, final=final))


def calls_made(work: Callable[[], Any]) -> int:
    """How many calls, of Python and of C functions, a piece of work makes: its cost, clockless."""
    import sys

    count = 0

    def on_event(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    before = sys.getprofile()
    sys.setprofile(on_event)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def shuffled(count: int, seed: int = 1) -> list[int]:
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)
    return numbers
