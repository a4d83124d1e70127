"""The order of a run with one slot, as plainly as it can be said. Slow, and right by reading it.

The rule. A round holds every job that can start (all it needs has succeeded, and it is neither
finished nor tried in this round), in the order in which a walk through DEPS leaves the jobs. Of
these the first whose delay is over is taken. A job whose delay is not over is passed over and
keeps its place. When none is left to take, the next round begins; when all wait, time goes on to
the end of the earliest delay. A job that becomes able to start joins the round under way. The
delay runs from the end of a try to the start of the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Try:
    """How one try of a job goes."""

    succeeds: bool
    lasts: int = 0
    final: bool = False  # a failure after which no other try is made


@dataclass(frozen=True)
class Example:
    """One job, and all that happens to it if it comes to that."""

    needs: tuple[int, ...] = ()  # places of other jobs, in the order of DEPS
    delay: int = 0
    tries: tuple[Try, ...] = (Try(succeeds=True),)  # as many as it is given


class Start(NamedTuple):
    at: int
    job: int
    number: int


class History(NamedTuple):
    starts: list[Start]
    succeeded: set[int]
    failed: set[int]


def order_of(examples: Sequence[Example], root: int) -> list[int]:
    """The jobs that the root needs, each after those that it needs itself."""
    left: list[int] = []

    def visit(job: int) -> None:
        if job in left:
            return
        for need in examples[job].needs:
            visit(need)
        left.append(job)

    visit(root)
    return left


def run(examples: Sequence[Example], root: int) -> History:
    """What happens, from the first start to the last end."""
    order = order_of(examples, root)
    now = 0
    starts: list[Start] = []
    succeeded: set[int] = set()
    failed: set[int] = set()
    tried_in_round: set[int] = set()
    failures = dict.fromkeys(order, 0)
    may_start_at = dict.fromkeys(order, 0)
    while True:
        able = [
            job
            for job in order
            if job not in succeeded
            and job not in failed
            and all(need in succeeded for need in examples[job].needs)
        ]
        if not able:
            return History(starts, succeeded, failed)
        takeable = [j for j in able if j not in tried_in_round and may_start_at[j] <= now]
        if not takeable:
            tried_in_round = set()
            takeable = [j for j in able if may_start_at[j] <= now]
        if not takeable:
            now = min(may_start_at[j] for j in able)
            continue
        job = takeable[0]
        tried_in_round.add(job)
        this = examples[job].tries[failures[job]]
        starts.append(Start(now, job, failures[job] + 1))
        now += this.lasts
        if this.succeeds:
            succeeded.add(job)
            continue
        failures[job] += 1
        may_start_at[job] = now + examples[job].delay
        if this.final or failures[job] == len(examples[job].tries):
            failed.add(job)
