"""A world of jobs without code: an executor whose outcomes come from what was done in it before."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headway.jobs.job import Rules
from headway.jobs.outcomes import PASSED, Ending, Failure, Outcome, Phase
from headway.jobs.plan import Plan
from headway.jobs.shared import Changes
from headway.ports.executor import Ended, Late, Work

NOT_YET = Failure("NotYet", "not yet")


class Nature(NamedTuple):
    """What a job is like."""

    runs_needed: int  # how often its Run must have been executed until it is done
    opaque: bool = False  # puts what JSON cannot carry into the shared storage


@dataclass
class World:
    """What outlives every process."""

    natures: list[Nature]
    executed: Counter[int] = field(default_factory=Counter)  # by key: how often Run was
    cleaned: list[tuple[int, int]] = field(default_factory=list)
    succeeded: set[int] = field(default_factory=set)  # success committed: kept by the test

    def is_done(self, key: int) -> bool:
        return self.executed[key] >= self.natures[key].runs_needed


class Simulated:
    """Carries out tries in a World, step by step, in an order that a seed decides."""

    def __init__(
        self, world: World, plan: Plan, slots: int, seed: int, interrupt_at: int = 0
    ) -> None:
        """``interrupt_at``: the step at which Ctrl-C is pressed; 0 for never."""
        self.blocks = slots == 1
        self._steps_left = interrupt_at
        self._slots = slots
        self._world = world
        self._plan = plan
        self._chance = random.Random(seed)
        self._going: dict[int, tuple[int, Iterator[Outcome | None]]] = {}
        self._work: Work

    @property
    def free(self) -> int:
        return self._slots - len(self._going)

    @property
    def running(self) -> int:
        return len(self._going)

    def open(self, work: Work) -> None:
        self._work = work

    def start(self, key: int, number: int) -> Outcome | None:
        steps = self._steps(key, number)
        if not self.blocks:
            self._going[key] = number, steps
            return None
        while (outcome := self._step(steps)) is None:
            pass
        return outcome

    def wait(self, timeout_s: float | None) -> Iterable[Ended | Late]:
        while self._going:
            key = self._chance.choice(sorted(self._going))
            number, steps = self._going[key]
            try:
                outcome = self._step(steps)
            except KeyboardInterrupt:
                raise
            except BaseException:
                del self._going[key]  # its Run was not to be
                raise
            if outcome is not None:
                del self._going[key]
                return [Ended(key, number, outcome)]
        return ()

    def ask(self, key: int) -> Outcome:
        assert self._world.is_done(key), "only what succeeded is asked again"
        self._fill(key)
        return PASSED._replace(shared=self._work.shared.changes())

    def cleanup(self, key: int, number: int, job: Any, storage: Changes | None) -> Failure | None:
        assert storage is not None
        assert storage.set["key"] == key
        self._world.cleaned.append((key, number))
        return None

    def hear_out(self) -> Iterable[Late]:
        return ()

    def stop(self) -> None: ...

    def wake(self) -> None: ...

    def close(self) -> None: ...

    def _step(self, steps: Iterator[Outcome | None]) -> Outcome | None:
        self._steps_left -= 1
        if self._steps_left == 0:
            raise KeyboardInterrupt
        return next(steps)

    def _steps(self, key: int, number: int) -> Iterator[Outcome | None]:
        """A try: None where others may go on, its outcome at last."""
        rules: Rules = self._plan.rules[key]
        world, shared = self._world, self._work.shared
        for need in self._plan.needs[key]:
            if not self._plan.rules[need].has_check:
                continue  # settled as done, it has nothing that could fill the storage again
            assert shared[f"of {need}"] is not None, "what the others left is there"
        if rules.has_check and world.is_done(key):
            self._fill(key)
            yield Outcome(Ending.PASSED, shared=shared.changes())
            return
        yield None
        storage = Changes({"key": key})
        so_far = Outcome(Ending.IN_DOUBT, None, NOT_YET, Phase.RUN, True, storage=storage)
        self._work.intends(key, number, so_far)
        yield None
        assert key not in world.succeeded, "no success is executed again"
        world.executed[key] += 1
        yield None
        done = world.is_done(key)
        if done:
            self._fill(key)
        yield Outcome(
            Ending.REPAIRED if done else Ending.FAILED,
            None,
            None if done else NOT_YET,
            Phase.RECHECK if rules.has_check else Phase.RUN,
            True,
            shared=shared.changes(),
            storage=Changes({"key": key, "number": number}),
        )

    def _fill(self, key: int) -> None:
        if not self._plan.rules[key].has_check:
            return
        opaque = self._world.natures[key].opaque
        self._work.shared[f"of {key}"] = object() if opaque else [key]
