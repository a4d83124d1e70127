"""Which job may go now. Told outcomes, it answers; it runs nothing and knows no clock.

The rules, which all runners share:

* A job may start once everything it needs succeeded.
* A *round* holds every job that may start and is not finished, in the plan's order, first tries
  and retries alike. The first of the round whose delay is over goes next. One that still waits
  is passed over and keeps its place. A round ends when each job was tried or passed over. A job
  that becomes startable joins the round that is under way.
* The delay runs from the end of a try to the start of the next.
* A tag with a limit lets that many of its jobs run at once.
* When a job failed for good, a plan that stops on failure starts nothing more; any other goes on
  with what can still be reached. A job in doubt stops such a plan until it is settled.
* While it is paused nothing starts, whatever it is; what runs may end. To cancel it ends that.
* Nodes marked ``finally_`` start when all the rest is over and nothing is in doubt; those that
  put away what another left (``Plan.closings``) when its chain is, in a cancelled run, too. Some
  turn out to be needless: nothing was left, or all the rest went otherwise than they are for
  (``Rules.when``). They come to their turn, and nothing is done for them.

States of a node:

    PENDING --started--> RUNNING --ended--> PASSED | REPAIRED | FAILED | OVERDUE | IN_DOUBT
                            ^                  |
                            |               WAITING (a try failed, tries are left)
                            +---- started -----+
    IN_DOUBT --settled--> REPAIRED | FAILED | PENDING (its try counts no more)
    RUNNING --withdrawn--> PENDING (its try does not count)

BLOCKED and CANCELLED are derived when asked for: see ``states_shown``. All other news is Ignored.

Cost: O(jobs + needs) for a whole run, O(log jobs) a decision, no recursion.
"""

from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from headway.jobs.chains import Acted, Chains
from headway.jobs.events import Event
from headway.jobs.job import ALWAYS, Rules
from headway.jobs.outcomes import Ending
from headway.jobs.plan import Plan
from headway.jobs.standing import (
    FINAL,
    LOST,
    SETTLED,
    STATE_OF,
    SUCCEEDED,
    Standing,
    states_shown,
    when_stopped,
)
from headway.jobs.states import JobState

LONGEST_BACKOFF_S = 3600.0
_PENDING, _RUNNING, _WAITING = JobState.PENDING, JobState.RUNNING, JobState.WAITING
_PASSED, _REPAIRED = Ending.PASSED, Ending.REPAIRED


class Ignored(NamedTuple):
    """News that came late, twice or from elsewhere; it changed nothing."""

    reason: str


class Schedule:
    """The machine that says which job of a plan may go now."""

    def __init__(
        self,
        plan: Plan,
        chance: Callable[[], float] = lambda: 0.0,
        *,
        states: Sequence[JobState] | None = None,
        tries: Sequence[int] | None = None,
        due: dict[int, float] | None = None,
        only: Iterable[int] | None = None,
        acted: Acted | None = None,
        paused: bool = False,
        going: Iterable[int] = (),
    ) -> None:
        """Start anew, or from where a run stood.

        ``chance``: numbers from 0 up to 1, for jitter. ``states``, ``tries``, ``due`` (key to
        the time before which its next try does not start): where the jobs stand.
        ``only``: the keys to be brought about; the others are left pending. ``acted``: what is
        to be put away. ``going``: keys of which a try is under way.
        """
        self.plan = plan
        self.states: list[JobState] = list(states) if states else [_PENDING] * len(plan)
        self.tries: list[int] = list(tries) if tries else [0] * len(plan)  # ended, not cut off
        self.waits_until: dict[int, float] = dict(due or {})
        self.running = 0
        self._in_use: dict[str, int] = {}
        for key in going:
            self._goes_on(key)
        self.cancelled = False
        self.paused = paused
        # Whether ``is_needless`` may be so of any node.
        self.may_be_needless = bool(plan.closings) or any(r.when != ALWAYS for r in plan.rules)
        self._chance = chance
        self._only = None if only is None else frozenset(only)
        self._dependents = plan.dependents()
        self._limits = dict(plan.policy.limits)
        self._parked: dict[str, list[int]] = {}  # by the tag whose limit is reached: heaps
        self._stops = plan.policy.on_failure == "stop"
        self._stopped = self._stops and self._has_lost()
        self._for_good = self._stopped and self._has_lost(FINAL)  # a doubt may be settled yet
        self._round = 1
        self._due: list[int] = []  # heap: this round's, delay over
        self._next: list[int] = []  # next round's, delay over
        self._late: list[tuple[float, int, int]] = []  # heap: (time, key, first round)
        self._missing = self._count_missing()
        self._acted = Acted(plan.closings) if acted is None else acted
        self._chains = Chains(plan, self.states, self._acted) if plan.closings else None
        finals = [key for key, rules in enumerate(plan.rules) if rules.finally_]
        self._finally = [key for key in finals if key not in plan.closings]
        # Those that wait for the end of all the rest, or of a chain, besides what they need.
        untouched = (_PENDING, _WAITING)
        self._held_back = {key for key in finals if self.states[key] in untouched}
        for key in self._held_back:
            self._missing[key] += 1
        self._fill(anew=states is None and only is None)
        self._open_finally()

    @classmethod
    def from_journal(
        cls,
        plan: Plan,
        events: Iterable[Event],
        chance: Callable[[], float] = lambda: 0.0,
        *,
        now: float = 0.0,
        at_us: int = 0,
        going: Iterable[int] = (),
    ) -> "Schedule":
        """Where a run stood when it was cut off.

        A try whose end was never written is not counted; its job is asked again, under the same
        number, but those in ``going``, which are under way still. ``now`` (the schedule's clock)
        and ``at_us`` (the journal's) are one moment.
        """
        standing = Standing(plan)
        for event in events:
            standing.apply(event)
        due: dict[int, float] = {}
        for key, ended_us in standing.ended_us.items():
            # The clock may have been set meanwhile: nothing waits longer than its delay.
            waited_s = max(0.0, (at_us - ended_us) / 1e6)
            delay_s = _delay_s(plan.rules[key], standing.tries[key], chance)
            due[key] = now + max(0.0, delay_s - waited_s)
        return cls(
            plan,
            chance,
            states=standing.states,
            tries=standing.tries,
            due=due,
            acted=standing.acted,
            paused=standing.paused,
            going=going,
        )

    def ready(self, now: float) -> int | None:
        """The job that may start now and comes first, or None."""
        if self.paused:
            return None
        late = self._late
        while late and late[0][0] <= now:
            _, key, first_round = heappop(late)
            if first_round <= self._round:
                heappush(self._due, key)
            else:
                self._next.append(key)
        while True:
            due = self._due
            while due:
                key = due[0]
                if not self._limits or (tag := self._full_tag(key)) is None:
                    return key
                heappop(due)
                self._park(key, tag)
            self._round += 1
            if not self._next:
                return None
            self._due, self._next = self._next, []
            heapify(self._due)

    @property
    def wake_at(self) -> float | None:
        """When to ask again, if nothing ends before."""
        return self._late[0][0] if self._late and not self.paused else None

    @property
    def is_over(self) -> bool:
        """Whether nothing runs and nothing will start any more."""
        return not (self.running or self._due or self._next or self._late or self._parked)

    @property
    def succeeded(self) -> bool:
        """Whether every job that was asked for succeeded."""
        wanted = range(len(self.states)) if self._only is None else self._only
        states = self.states
        return all([states[key] in SUCCEEDED for key in wanted])

    def started(self, key: int, now: float) -> Ignored | None:
        """A try of the job that ``ready`` has just named has begun."""
        if not self._due or self._due[0] != key:
            return self._foreign(key, "was started out of turn")
        heappop(self._due)
        if self._chains is not None:
            self._chains.moved(key, self.states[key], _RUNNING)
        self.states[key] = _RUNNING
        self.running += 1
        if self._limits:
            for tag in self.plan.rules[key].tags:
                self._in_use[tag] = self._in_use.get(tag, 0) + 1
        return None

    def ended(
        self,
        key: int,
        ending: Ending,
        now: float,
        final: bool = False,
        *,
        executed: bool = False,
    ) -> JobState | Ignored:
        """A try has ended so; where the job stands now.

        ``final``: do not try it again. ``executed``: whether it did anything.
        """
        try:
            running = self.states[key] is _RUNNING
        except IndexError:
            running = False
        if not running:
            return self._foreign(key, "ended")
        self.running -= 1
        self.tries[key] += 1
        if self._limits:
            self._release(key)
        if self._chains is not None:
            self._acted.ended(key, ending, executed=executed)
        if ending is _PASSED or ending is _REPAIRED:
            # Not looked up in STATE_OF: an enum's hash is worked out in Python.
            return self._succeed(key, JobState.PASSED if ending is _PASSED else JobState.REPAIRED)
        rules = self.plan.rules[key]
        if ending is Ending.FAILED and not final and self.tries[key] < rules.tries:
            state = self._stands(key, _WAITING)
            due = self.waits_until[key] = now + _delay_s(rules, self.tries[key], self._chance)
            if self._stopped and self._is_barred(key):
                state = when_stopped(state, cancelled=self.cancelled)
            else:
                heappush(self._late, (due, key, self._round + 1))
        else:
            state = self._stands(key, STATE_OF.get(ending, JobState.FAILED))
            if self._stops and state in LOST and self.plan.stops_at(key):
                self._stop(for_good=state in FINAL)
        self._open_finally(key)
        return state

    def withdrawn(self, key: int) -> Ignored | None:
        """A try that had begun is not to be: it had done nothing, and does not count."""
        if not 0 <= key < len(self.states) or self.states[key] is not _RUNNING:
            return self._foreign(key, "was withdrawn")
        self.running -= 1
        self._stands(key, _PENDING)
        if self._limits:
            self._release(key)
        self._startable(key)
        self._open_finally(key)
        return None

    def settled(self, key: int, how: str) -> JobState | Ignored:
        """A person answered for a job in doubt: 'done', 'again' or 'failed'."""
        state = SETTLED.get(how)
        if not 0 <= key < len(self.states) or self.states[key] is not JobState.IN_DOUBT:
            return self._foreign(key, "was settled")
        if state is None:
            return Ignored(f"{self.plan.names[key]} was settled as {how!r}, which means nothing")
        self._stands(key, state)
        if state is _PENDING:
            self.tries[key] -= 1  # as if it had not been
        elif state in SUCCEEDED:
            self._acted.put_away(key)
        if self._stopped and not self.cancelled and not self._has_lost():
            self._stopped = False
            self._fill()
        elif state is _PENDING:
            self._startable(key)
        if state in SUCCEEDED:
            self._count(key)
        elif state in FINAL and self._stops and self.plan.stops_at(key):
            self._stop(for_good=True)
        self._open_finally(key)
        return state

    def cancel(self) -> None:
        """Start nothing more; what runs may still end."""
        self.cancelled, self.paused = True, False
        self._stop(for_good=True)
        self._open_finally()

    def pause(self) -> Ignored | None:
        """Start nothing until told otherwise; what runs may end."""
        if self.cancelled:
            return Ignored("the run was paused while it is cancelled")
        self.paused = True
        return None

    def unpause(self) -> None:
        """Go on where it was paused."""
        self.paused = False

    @property
    def is_stopped_for_good(self) -> bool:
        """Whether nothing starts any more but what puts away, and what comes last."""
        return self._for_good

    def is_needless(self, key: int) -> bool:
        """Whether the node would put away what nobody left, or is for another end of the rest."""
        closing = self.plan.closings.get(key)
        if closing is not None:
            return closing.of not in self._acted.keys
        when = self.plan.rules[key].when
        return when != ALWAYS and (when == "completed") is not self._rest_succeeded()

    def states_shown(self) -> list[JobState]:
        """By key, where each job stands, told for a reader."""
        return states_shown(
            self.plan,
            self.states,
            self._acted,
            cancelled=self.cancelled,
            stopped=self._stopped,
        )

    def _rest_succeeded(self) -> bool:
        """Whether all did that does not come last."""
        stops_at = self.plan.stops_at
        return all(s in SUCCEEDED or not stops_at(key) for key, s in enumerate(self.states))

    def _goes_on(self, key: int) -> None:
        self.states[key] = _RUNNING
        self.running += 1
        for tag in self.plan.rules[key].tags:
            self._in_use[tag] = self._in_use.get(tag, 0) + 1

    def _foreign(self, key: int, what: str) -> Ignored:
        if not 0 <= key < len(self.states):
            return Ignored(f"job {key} {what}: there is none in this plan")
        return Ignored(f"{self.plan.names[key]} {what} while it is {self.states[key]}")

    def _has_lost(self, among: Sequence[JobState] = LOST) -> bool:
        stops_at = self.plan.stops_at
        return any(s in among and stops_at(key) for key, s in enumerate(self.states))

    def _is_barred(self, key: int) -> bool:
        """Whether it does not start in a schedule that was stopped."""
        if key in self.plan.closings:
            return self._for_good and self.is_needless(key)
        return self.cancelled or not self.plan.rules[key].finally_

    def _fill(self, *, anew: bool = False) -> None:
        """Gather what may start. ``anew``: nothing has been started yet, and all is wanted."""
        self._due, self._next, self._late, self._parked = [], [], [], {}
        free = [key for key, missing in enumerate(self._missing) if not missing]
        if anew:
            self._due = free  # in order, and so a heap
            return
        for key in free:
            self._startable(key)

    def _stands(self, key: int, state: JobState) -> JobState:
        if self._chains is not None:
            self._chains.moved(key, self.states[key], state)
        self.states[key] = state
        return state

    def _succeed(self, key: int, state: JobState) -> JobState:
        if self._chains is not None:
            self._chains.moved(key, self.states[key], state)
        self.states[key] = state
        self._count(key)
        if self._finally or self._chains is not None:
            self._open_finally(key)
        return state

    def _count(self, key: int) -> None:
        """A job succeeded: what needed it alone may start."""
        dependents = self._dependents[key]
        if dependents is not None:
            missing = self._missing
            for dependent in dependents:
                missing[dependent] -= 1
                if not missing[dependent]:
                    self._startable(dependent)

    def _count_missing(self) -> list[int]:
        """By key: how many of what it needs have not succeeded."""
        missing = list(map(len, self.plan.needs))
        for key, state in enumerate(self.states):
            if state is not _PENDING and state in SUCCEEDED:
                for dependent in self._dependents[key] or ():
                    missing[dependent] -= 1
        return missing

    def _startable(self, key: int) -> None:
        if self.states[key] is not _PENDING and self.states[key] is not _WAITING:
            return
        if self._only is not None and key not in self._only:
            return
        if self._stopped and self._is_barred(key):
            return
        due = self.waits_until.get(key) if self.waits_until else None
        if due is None:
            heappush(self._due, key)
        else:
            heappush(self._late, (due, key, self._round))

    def _stop(self, *, for_good: bool) -> None:
        """Nothing new starts, but what puts away, and unless cancelled what comes last."""
        is_new = for_good and not self._for_good
        self._for_good = self._for_good or for_good
        if not self._stopped or is_new or self.cancelled:
            self._stopped = True
            barred = self._is_barred
            self._due = [key for key in self._due if not barred(key)]
            self._next = [key for key in self._next if not barred(key)]
            self._late = [entry for entry in self._late if not barred(entry[1])]
            # Who was let forward in place of one that was put aside may be barred now: ask anew.
            for keys in self._parked.values():
                self._due += [key for key in keys if not barred(key)]
            self._parked = {}
            heapify(self._due)
            heapify(self._late)
        if is_new and self._chains is not None:
            self._let_go(self._chains.all_next(for_good=True))

    def _open_finally(self, ended: int | None = None) -> None:
        """Let go what puts away what a chain left, if that is over, and the finally-nodes, if all
        the rest is.

        ``ended``: the node that moved, if it is only one.
        """
        if self._chains is not None:
            for_good = self._for_good
            if ended is None:
                self._let_go(self._chains.all_next(for_good=for_good))
            elif (key := self._chains.next(ended, for_good=for_good)) is not None:
                self._let_go([key])
        if not self._finally or not self.is_over or self.cancelled:
            return
        if JobState.IN_DOUBT in self.states:
            return  # what is settled may let others start
        nodes, self._finally = self._finally, []
        self._let_go(nodes)

    def _let_go(self, keys: Iterable[int]) -> None:
        """Nodes marked to come last may start, if all that they need succeeded."""
        for key in self._held_back.intersection(keys):
            self._held_back.remove(key)
            self._missing[key] -= 1
            if not self._missing[key]:
                self._startable(key)

    def _full_tag(self, key: int) -> str | None:
        for tag in self.plan.rules[key].tags:
            limit = self._limits.get(tag)
            if limit is not None and self._in_use.get(tag, 0) >= limit:
                return tag
        return None

    def _park(self, key: int, full: str) -> None:
        """Put aside a job until a tag of it has room."""
        heappush(self._parked.setdefault(full, []), key)
        for tag in self.plan.rules[key].tags:
            if tag != full:
                self._admit(tag)  # the place that this job could not take

    def _release(self, key: int) -> None:
        for tag in self.plan.rules[key].tags:
            self._in_use[tag] -= 1
            self._admit(tag)

    def _admit(self, tag: str) -> None:
        """Let one job that was put aside for a tag come forward, if there is room.

        One for each place that falls free: to let all come would cost the square of their number.
        """
        parked = self._parked.get(tag)
        if parked and self._in_use.get(tag, 0) < self._limits[tag]:
            heappush(self._due, heappop(parked))
            if not parked:
                del self._parked[tag]


def _delay_s(rules: Rules, failed_tries: int, chance: Callable[[], float]) -> float:
    """Fixed, or doubled with each failed try and up to half as much again, by chance."""
    delay_s = rules.retry_delay_s
    if rules.backoff == "fixed":
        return delay_s
    grown_s: float = min(delay_s * 2.0 ** min(failed_tries - 1, 60), LONGEST_BACKOFF_S)
    return max(delay_s, grown_s) * (1 + chance() / 2)
