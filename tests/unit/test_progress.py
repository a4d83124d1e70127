"""What a reader is told of a run, out of its journal in whatever order it was written."""

from headway import Job
from headway.jobs.events import Event, RunBegan, RunIntended, RunResumed, TryStarted
from headway.jobs.outcomes import Phase
from headway.jobs.plan import Plan
from headway.jobs.progress import Progress


class Slow(Job):
    def Check(self) -> None: ...
    def Run(self) -> None: ...


def test_the_start_of_a_try_that_is_told_late_does_not_take_it_back_to_its_check() -> None:
    events: list[Event] = [RunBegan(1), RunIntended(5, 0, 1), TryStarted(3, 0, 1)]
    progress = Progress(Plan.of(Slow), events)
    assert (progress.going[0].phase, progress.going[0].began_us) == (Phase.RUN, 3)
    progress.apply(RunResumed(9, "somebody"))
    last = progress.last_try(0)
    assert last is not None
    assert (last.phase, last.executed) == (Phase.RUN, True)
