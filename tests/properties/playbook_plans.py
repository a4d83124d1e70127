"""Plans as playbooks make them, with much to put away, and the life of one such plan."""

import copy
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from headway.jobs.events import Event, RunCancelled, RunIntended, RunResumed, Settled, TryEnded
from headway.jobs.outcomes import Ending
from headway.jobs.plan import Plan
from headway.jobs.schedule import Schedule
from headway.jobs.standing import FINAL, SUCCEEDED
from headway.jobs.states import JobState
from headway.releases.compiling import CompiledPlaybook, compile_playbook
from headway.releases.document import Document, Located
from headway.releases.reading import playbook_of
from headway.releases.surroundings_reading import from_plain
from headway.runtime.recovery import Stood

ENDINGS = [Ending.PASSED, Ending.REPAIRED, Ending.REPAIRED, Ending.REPAIRED, Ending.FAILED]
RARE = [*ENDINGS, Ending.FAILED, Ending.OVERDUE, Ending.IN_DOUBT]


def no_jobs(ref: str) -> Any:
    raise AssertionError(ref)


def compiled_of(*sequences: dict[str, Any], around: Any = None) -> CompiledPlaybook:
    """``around``: what surrounds it, as plain JSON."""
    plain = {"group": "orchard", "name": "Pick", "execution": list(sequences)}
    playbook = playbook_of(Document("pick.yaml", Located.of(plain)))
    surroundings = from_plain(around or {}, "around")
    return compile_playbook(playbook, no_jobs, surroundings=surroundings)


def plan_of(*sequences: dict[str, Any], around: Any = None) -> Plan:
    return compiled_of(*sequences, around=around).plan


def step(name: str, **job: Any) -> Any:
    return {f"noop:{name}": {"job": job}} if job else f"noop:{name}"


@st.composite
def steps(draw: st.DrawFn, most: int, *, timeouts: bool = False) -> list[Any]:
    found = []
    for number in range(draw(st.integers(1, most))):
        job: dict[str, Any] = {}
        if draw(st.booleans()):
            job["cleanup"] = step(f"Undo{number}")
        if draw(st.booleans()):
            job["check"] = f"noop:Is{number}"
        if draw(st.booleans()):
            job |= {"tries": 2, "retry_delay": draw(st.integers(0, 3))}
        if timeouts and draw(st.booleans()):
            job["timeout"] = draw(st.sampled_from([2, 20]))
        if draw(st.booleans()):
            job["on_lost"] = draw(st.sampled_from(["rerun", "fail", "ask"]))
        found.append(step(f"Do{number}", **job))
    return found


@st.composite
def playbooks(draw: st.DrawFn, *, timeouts: bool = False) -> CompiledPlaybook:
    """One or two sequences over some hosts: lanes, preflight, several cleanups in a chain."""
    sequences = []
    for _ in range(draw(st.integers(1, 2))):
        one: dict[str, Any] = {
            "description": "pick",
            "hosts": [f"h{number}" for number in range(draw(st.integers(1, 3)))],
            "steps": draw(steps(3, timeouts=timeouts)),
            "parallel": draw(st.integers(1, 3)),
        }
        if draw(st.booleans()):
            one["preflight"] = draw(steps(2, timeouts=timeouts))
        sequences.append(one)
    return compiled_of(*sequences, around=draw(around()))


def playbook_plans() -> st.SearchStrategy[Plan]:
    return playbooks().map(lambda compiled: compiled.plan)


@st.composite
def around(draw: st.DrawFn) -> dict[str, Any]:
    """Checks before it and actions after it."""
    checks = [
        {"name": f"c{n}", "command": "noop", "subcommand": "Is", "expectation": {"data": 1}}
        for n in range(draw(st.integers(0, 2)))
    ]
    whens = draw(st.lists(st.sampled_from(["always", "completed", "failed"]), max_size=3))
    actions = [
        {"name": f"a{n}", "command": "noop", "subcommand": "Do", "when": when}
        for n, when in enumerate(whens)
    ]
    return {"pre_deploy_check": checks, "post_deploy_action": actions}


class PlaybookLife:
    """A plan carried out by hand, the journal of it, and what was done in the world meanwhile."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.live = Schedule(plan)
        self.events: list[Event] = []
        self.now = 0
        self.intended: set[int] = set()  # tries under way whose Run began
        # What the world looks like: done, and not put away.
        self.done: set[int] = set()
        self.closers_of: dict[tuple[int, int], list[int]] = {}
        for key, closing in plan.closings.items():
            self.closers_of.setdefault(closing[1:], []).append(key)

    # What can happen

    @property
    def running(self) -> list[int]:
        return [k for k, state in enumerate(self.live.states) if state is JobState.RUNNING]

    @property
    def doubtful(self) -> list[int]:
        return [k for k, state in enumerate(self.live.states) if state is JobState.IN_DOUBT]

    def start(self) -> int | None:
        """What goes next, started; what puts nothing away is over with that."""
        key = self.live.ready(self.now)
        if key is None:
            return None
        self.require_may_start(key)
        assert self.live.started(key, self.now) is None
        if self.live.is_needless(key):
            if key in self.plan.closings:
                assert self.plan.closings[key].of not in self.done, "what was left stays"
            else:
                assert self.plan.rules[key].when != self.went
            self.end(key, Ending.PASSED, executed=False)
        return key

    def intend(self, key: int) -> None:
        """Its Run begins."""
        closing = self.plan.closings.get(key)
        if closing is not None:
            assert closing.of in self.done, "there is something to put away"
        elif not self.plan.stops_at(key):
            assert self.plan.rules[key].when in ("always", self.went)
        self.intended.add(key)
        self.events.append(RunIntended(self.at_us, key, self.live.tries[key] + 1))

    def end(self, key: int, ending: Ending, *, executed: bool, final: bool = False) -> None:
        if key in self.intended and executed:
            self._has_acted(key, succeeded=ending in (Ending.PASSED, Ending.REPAIRED))
        self.intended.discard(key)
        number = self.live.tries[key] + 1
        self.live.ended(key, ending, self.now, final, executed=executed)
        self.events.append(
            TryEnded(self.at_us, key, number, ending, executed=executed, final=final)
        )

    def settle(self, key: int, how: str) -> None:
        if how == "done":
            self._put_away(key)
        self.live.settled(key, how)
        self.events.append(Settled(self.at_us, key, how))

    def cancel(self) -> None:
        self.live.cancel()
        self.events.append(RunCancelled(self.at_us))

    def die(self) -> None:
        """The process ends. Who takes the run up again learns it from the journal."""
        cancelled = self.live.cancelled
        for key in self.intended:
            self._has_acted(key, succeeded=False)
        self.intended.clear()
        self.events.append(RunResumed(self.at_us, "another"))
        self.events += Stood(self.plan, self.events).lost()
        self.live = self.from_journal()
        if cancelled:
            self.live.cancel()

    def _has_acted(self, key: int, *, succeeded: bool) -> None:
        if any(closing.of == key for closing in self.plan.closings.values()):
            self.done.add(key)
        if succeeded:
            self._put_away(key)

    def _put_away(self, key: int) -> None:
        closing = self.plan.closings.get(key)
        if closing is not None:
            self.done.discard(closing.of)

    @property
    def at_us(self) -> int:
        return self.now * 1_000_000

    def from_journal(self) -> Schedule:
        return Schedule.from_journal(self.plan, self.events, now=self.now, at_us=self.at_us)

    # What must be so

    def require_may_start(self, key: int) -> None:
        states, closing = self.live.states, self.plan.closings.get(key)
        assert all(states[need] in SUCCEEDED for need in self.plan.needs[key])
        if not self.plan.stops_at(key):
            self.require_may_come_last()
            return
        if closing is None:
            assert not self.live.cancelled
            assert not any(state in FINAL for state in states), "a failure stopped the plan"
            for other in self.plan.closings.values():
                if other.first <= key <= other.last and states[other.of] is JobState.REPAIRED:
                    assert other.of in self.done, "what it builds on was put away"
            return
        chain = [states[node] for node in range(closing.first, closing.last + 1)]
        assert JobState.RUNNING not in chain, "its chain is going on"
        assert JobState.IN_DOUBT not in chain, "its chain waits for somebody's answer"
        if self.live.cancelled or any(state in FINAL for state in states):
            assert closing.of in self.done
        else:
            assert all(state in SUCCEEDED for state in chain), "its chain is going on"
        for before in self.closers_of[closing[1:]]:
            if before < key:
                assert states[before] is not JobState.RUNNING, "one after another"
                over = states[before] not in (JobState.PENDING, JobState.WAITING)
                assert over or self.plan.closings[before].of not in self.done, "last first"

    def require_may_come_last(self) -> None:
        """All the rest is over, and not for now only."""
        states = self.live.states
        rest = [state for key, state in enumerate(states) if self.plan.stops_at(key)]
        assert not self.live.cancelled
        assert JobState.RUNNING not in states, "one after another, and after all the rest"
        assert JobState.IN_DOUBT not in states, "what is settled may let others start"
        failed = any(state in FINAL for state in rest)
        assert failed or all(state in SUCCEEDED for state in rest), "something is still to come"
        self.require_all_put_away()

    @property
    def went(self) -> str:
        """How all went that does not come last."""
        states = enumerate(self.live.states)
        well = all(state in SUCCEEDED for key, state in states if self.plan.stops_at(key))
        return "completed" if well else "failed"

    def require_all_put_away(self) -> None:
        """Of a run that is over."""
        states = self.live.states
        for key, closing in self.plan.closings.items():
            chain = [states[node] for node in range(closing.first, closing.last + 1)]
            if JobState.IN_DOUBT in chain:
                continue
            assert closing.of not in self.done or states[key] in (*FINAL, JobState.IN_DOUBT), key

    def require_same_from_journal(self) -> None:
        again, expected = self.from_journal(), self._as_if_cut_off()
        if self.live.cancelled:
            again.cancel()
        assert again.states == expected.states
        assert again.tries == expected.tries
        assert again.states_shown() == expected.states_shown()
        assert again.is_over == expected.is_over
        assert again.is_stopped_for_good == expected.is_stopped_for_good
        assert may_start(again, self.now) == may_start(expected, self.now)
        maybe = [*self.plan.closings, *self.plan.lasts]
        needless = [again.is_needless(key) for key in maybe]
        assert needless == [expected.is_needless(key) for key in maybe]

    def _as_if_cut_off(self) -> Schedule:
        """The living schedule, as if the tries under way had never begun."""
        schedule = copied(self.live)
        for key in self.running:
            waits = schedule.tries[key] and key not in self._made_again()
            schedule.withdrawn(key)
            if waits:
                schedule.states[key] = JobState.WAITING
        return schedule

    def _made_again(self) -> set[int]:
        """What was settled so that it starts as if it had not been."""
        last: dict[int, Event] = {}
        for event in self.events:
            if isinstance(event, (Settled, TryEnded)):
                last[event.key] = event
        return {key for key, event in last.items() if isinstance(event, Settled)}


def copied(schedule: Schedule) -> Schedule:
    return copy.deepcopy(schedule, {id(schedule.plan): schedule.plan})


def may_start(schedule: Schedule, now: float) -> set[int]:
    """All that could start now, asked of a copy."""
    schedule = copied(schedule)
    found: set[int] = set()
    while (key := schedule.ready(now)) is not None:
        schedule.started(key, now)
        found.add(key)
    return found


def named(plan: Plan, keys: Sequence[int]) -> list[str]:
    return [plan.names[key] for key in keys]
