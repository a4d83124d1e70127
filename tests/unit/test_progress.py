"""What is told of a run is a fold over its events."""

from headway.jobs.events import (
    CleanupEnded,
    CleanupIntended,
    Event,
    JobStood,
    Live,
    OutputWritten,
    PhaseEnded,
    RunBegan,
    RunCancelled,
    RunEnded,
    RunIntended,
    RunResumed,
    RunRetried,
    Settled,
    TryEnded,
    TryStarted,
)
from headway.jobs.job import DummyJob, Job, RunonlyJob
from headway.jobs.outcomes import Ending, Failure, Phase
from headway.jobs.plan import Plan, Policy
from headway.jobs.progress import Change, Going, Progress
from headway.jobs.states import JobState, RunState


class Ground(Job):
    TRIES = 2
    RETRY_DELAY = 1.5

    def Check(self) -> None: ...
    def Run(self) -> None: ...


class House(Job):
    DEPS = (Ground,)

    def Check(self) -> None: ...


class Bell(RunonlyJob):
    def Run(self) -> None: ...


class Estate(DummyJob):
    DEPS = (House, Bell)


PLAN = Plan.of(Estate)
GROUND, HOUSE, BELL, ESTATE = range(4)
WET = Failure("ValueError", "the ground is wet")
FAILED = Ending.FAILED


def after(*events: Event | Live) -> Progress:
    progress = Progress(PLAN, [RunBegan(1)])
    for event in events:
        progress.apply(event)
    return progress


def states(progress: Progress, *, living: bool = True) -> list[str]:
    return [str(state) for state in progress.states(living=living)]


def test_at_first_everything_is_pending() -> None:
    progress = after()
    assert states(progress) == ["pending"] * 4
    assert progress.changes == [Change(1, "began")]
    assert progress.counts() == {JobState.PENDING: 4}
    assert progress.waits_for(ESTATE) == [HOUSE, BELL]


def test_a_try_goes_from_phase_to_phase() -> None:
    progress = after(TryStarted(10, GROUND, 1))
    assert progress.going[GROUND] == Going(1, Phase.CHECK, 10, 10)
    progress.apply(PhaseEnded(12, GROUND, 1, Phase.CHECK, WET))
    progress.apply(RunIntended(13, GROUND, 1, WET))
    assert progress.going[GROUND] == Going(1, Phase.RUN, 10, 13, WET)
    progress.apply(PhaseEnded(20, GROUND, 1, Phase.RUN))
    assert progress.going[GROUND] == Going(1, Phase.RECHECK, 10, 20, WET)
    assert states(progress)[GROUND] == "running"
    progress.apply(TryEnded(21, GROUND, 1, Ending.REPAIRED, 10, Phase.RECHECK, executed=True))
    assert not progress.going
    last = progress.last_try(GROUND)
    assert last is not None
    assert (last.ending, last.began_us, last.ended_us, last.reason) == ("repaired", 10, 21, WET)
    assert states(progress) == ["repaired", "pending", "pending", "pending"]


def test_a_beginning_that_is_journalled_late_changes_no_phase() -> None:
    progress = after(RunIntended(13, GROUND, 1, WET), TryStarted(10, GROUND, 1))
    assert progress.going[GROUND] == Going(1, Phase.RUN, 10, 13, WET)


def test_a_run_only_job_begins_with_its_run() -> None:
    assert after(TryStarted(10, BELL, 1)).going[BELL].phase is Phase.RUN


def test_a_job_waits_for_its_next_try_until_its_delay_is_over() -> None:
    ended = TryEnded(1_000_000, GROUND, 1, FAILED, failure=WET)
    progress = after(ended)
    last = progress.last_try(GROUND)
    assert last is not None
    assert last.waits_us == 2_500_000
    assert progress.waiting == [GROUND]
    assert progress.tries_in_lap(GROUND) == 1
    # What the runner says of the wait counts more than the rule: it knows the jitter.
    progress.apply(JobStood(1_000_000, GROUND, 1, JobState.WAITING, 4.0))
    last = progress.last_try(GROUND)
    assert last is not None
    assert last.waits_us == 5_000_000
    progress.apply(TryStarted(5_000_000, GROUND, 2))
    assert progress.waiting == []
    assert states(progress)[GROUND] == "running"


def test_what_needs_a_failed_job_is_blocked_by_it_near_or_far() -> None:
    progress = after(
        TryEnded(2, GROUND, 1, FAILED, failure=WET), TryEnded(3, GROUND, 2, FAILED, failure=WET)
    )
    assert states(progress) == ["failed", "blocked", "pending", "blocked"]
    assert progress.blocked_by(ESTATE) == [GROUND]
    assert progress.blocks(GROUND) == [HOUSE, ESTATE]
    assert progress.failure(GROUND) == WET


def test_blame_is_laid_on_the_jobs_that_failed_themselves() -> None:
    progress = after(
        TryEnded(2, GROUND, 1, FAILED, final=True, failure=WET),
        TryEnded(3, BELL, 1, FAILED, final=True, failure=WET),
    )
    assert progress.blame(5) == {HOUSE: (GROUND,), ESTATE: (GROUND, BELL)}
    assert progress.blame(1)[ESTATE] == (GROUND,)


def test_a_final_failure_leaves_no_try() -> None:
    progress = after(TryEnded(2, GROUND, 1, FAILED, final=True, failure=WET))
    assert states(progress)[GROUND] == "failed"


def test_what_did_not_start_in_a_cancelled_run_is_cancelled() -> None:
    progress = after(TryEnded(2, GROUND, 1, Ending.PASSED), RunCancelled(3, "ada", "wrong site"))
    assert states(progress) == ["passed", "cancelled", "cancelled", "cancelled"]
    assert progress.cancelled
    progress.apply(RunEnded(4, RunState.CANCELLED, {}))
    assert progress.ended is RunState.CANCELLED
    assert progress.changes[1:] == [
        Change(3, "cancelled", "ada", "wrong site"),
        Change(4, "cancelled"),
    ]
    progress.apply(RunResumed(5, "process 7 on here"))
    assert states(progress) == ["passed", "pending", "pending", "pending"]


def test_a_cancelled_run_that_died_before_its_end_stays_cancelled() -> None:
    progress = after(RunCancelled(3), RunResumed(5, "process 7 on here"))
    assert progress.cancelled


def test_what_a_strict_run_did_not_reach_is_cancelled() -> None:
    progress = after(
        TryEnded(2, BELL, 1, FAILED, final=True, failure=WET), RunEnded(3, RunState.FAILED, {})
    )
    assert states(progress, living=False) == ["cancelled", "cancelled", "failed", "blocked"]


def test_nothing_runs_in_a_run_that_nobody_works_on() -> None:
    progress = after(TryStarted(10, GROUND, 1))
    assert states(progress)[GROUND] == "running"
    assert states(progress, living=False)[GROUND] == "pending"


def test_a_try_that_was_cut_off_has_no_ending_and_is_not_counted() -> None:
    progress = after(RunIntended(13, GROUND, 1, WET), RunResumed(50, "process 7 on here"))
    last = progress.last_try(GROUND)
    assert last is not None
    assert (last.ending, last.phase, last.executed) == (None, Phase.RUN, True)
    assert progress.tries_in_lap(GROUND) == 0
    # Asked again under the same number, it is one try.
    progress.apply(TryEnded(60, GROUND, 1, Ending.PASSED, 55))
    (only,) = progress.tries[GROUND]
    assert (only.ending, only.reason) == ("passed", WET)


def test_a_job_in_doubt_stands_as_a_person_says() -> None:
    lost = Failure("Lost", "its process ended while Run was going on")
    in_doubt = TryEnded(9, BELL, 1, Ending.IN_DOUBT, failure=lost, final=True, executed=True)
    progress = after(in_doubt)
    assert progress.in_doubt() == [BELL]
    for how, state in (("done", "repaired"), ("again", "pending"), ("failed", "failed")):
        progress = after(in_doubt, Settled(10, BELL, how, "ada"))
        assert states(progress)[BELL] == state
        assert progress.in_doubt() == []


def test_an_answer_for_a_job_that_is_not_in_doubt_changes_nothing() -> None:
    assert states(after(Settled(10, BELL, "done"))) == ["pending"] * 4


def test_a_retry_counts_tries_anew_in_another_lap() -> None:
    failed = [TryEnded(at, GROUND, at, FAILED, failure=WET) for at in (1, 2)]
    progress = after(*failed, RunEnded(3, RunState.FAILED, {}), RunRetried(4, (GROUND,), "ada"))
    assert progress.lap == 2
    assert progress.tries_in_lap(GROUND) == 0
    assert states(progress) == ["pending"] * 4
    progress.apply(TryEnded(5, GROUND, 3, Ending.PASSED))
    assert [one.lap for one in progress.tries[GROUND]] == [1, 1, 2]


def test_a_plan_that_stops_at_a_failure_blocks_the_rest() -> None:
    plan = Plan.of(Estate, Policy(on_failure="stop"))
    progress = Progress(plan, [TryEnded(2, BELL, 1, FAILED, final=True, failure=WET)])
    assert states(progress) == ["blocked", "blocked", "failed", "blocked"]


def test_cleanups_are_shown_and_counted() -> None:
    progress = after(CleanupIntended(5, GROUND, 1))
    assert progress.going[GROUND].phase is Phase.CLEANUP
    assert states(progress)[GROUND] == "pending"
    progress.apply(CleanupEnded(6, GROUND, 1, WET))
    assert progress.cleanups == {GROUND: WET}
    assert progress.cleaned == 1


def test_the_last_line_a_job_wrote_is_at_hand() -> None:
    progress = after(OutputWritten(5, GROUND, 1, "out", "mopping"))
    assert progress.last_line == {GROUND: "mopping"}


def test_counts_kept_up_as_events_come_are_those_of_the_states() -> None:
    progress = after(
        TryEnded(2, GROUND, 1, FAILED, failure=WET),
        TryEnded(3, GROUND, 2, Ending.REPAIRED),
        TryEnded(4, BELL, 1, Ending.IN_DOUBT),
        Settled(5, BELL, "failed"),
    )
    kept = {state: count for state, count in progress.quick_counts.items() if count}
    assert kept == {JobState.REPAIRED: 1, JobState.FAILED: 1, JobState.PENDING: 2}
