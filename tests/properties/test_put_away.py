"""Chains of steps with cleanups, on any hosts, whichever fail: cut off anywhere, they go on."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headway.jobs.events import TryEnded
from headway.jobs.job import Job
from headway.jobs.outcomes import Ending
from headway.jobs.plan import Plan
from headway.jobs.schedule import Schedule
from headway.releases.compiling import compile_playbook
from headway.releases.document import Document, Located
from headway.releases.reading import playbook_of
from tests.properties.drive import drive


def no_job(ref: str) -> type[Job]:
    raise LookupError(ref)


def plan_of(hosts: int, cleanups: list[bool], parallel: int) -> Plan:
    steps: list[Any] = [
        {f"app:Do{n}": {"job": {"cleanup": f"app:Undo{n}"}}} if cleaned else f"app:Do{n}"
        for n, cleaned in enumerate(cleanups)
    ]
    names = [f"web{number}" for number in range(hosts)]
    sequence = {"hosts": names, "steps": steps, "parallel": parallel}
    plain = {"group": "g", "name": "n", "execution": [sequence]}
    playbook = playbook_of(Document("any.yaml", Located.of(plain)))
    return compile_playbook(playbook, no_job).plan


PLANS = st.builds(
    plan_of,
    st.integers(1, 4),
    st.lists(st.booleans(), min_size=1, max_size=4),
    st.integers(1, 3),
)


@given(PLANS, st.data())
def test_a_release_that_was_cut_off_after_any_end_goes_on_as_if_it_had_not_been(
    plan: Plan, data: st.DataObject
) -> None:
    failing = data.draw(st.sets(st.integers(0, len(plan) - 1), max_size=2), "failing")

    def ending(key: int, number: int) -> tuple[Ending, int, bool]:
        return Ending.FAILED if key in failing else Ending.REPAIRED, 1, False

    journal: list[TryEnded] = []
    whole = Schedule(plan)
    went = drive(whole, ending, ended=journal.append)
    cut = data.draw(st.integers(0, len(journal)), "cut after")
    again = Schedule.from_journal(plan, journal[:cut], at_us=10**9)
    more = drive(again, ending)
    assert [one.key for one in went] == [e.key for e in journal[:cut]] + [one.key for one in more]
    assert again.states == whole.states
