"""What somebody asked of a run, and jobs in doubt: answered once, remembered over deaths."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from headway import Job, RunonlyJob
from headway.jobs.events import RunCancelled, RunEnded, Settled, TryEnded
from headway.jobs.outcomes import Ending
from headway.jobs.states import RunState
from headway.ports.store import Request
from headway.runtime.executors import make
from headway.runtime.launching import Undecided
from headway.runtime.requests import decide
from tests.unit.recorded import Recorded

ran: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


class Announced(RunonlyJob):
    def Run(self) -> None:
        ran.append("Announced")


class Stored(Job):
    DEPS = (Announced,)

    def Check(self) -> None:
        assert "Stored" in ran

    def Run(self) -> None:
        ran.append("Stored")

    def Cleanup(self) -> None:
        ran.append("cleanup Stored")


def in_doubt(directory: Path) -> Recorded:
    """A run whose job Announced was run, and died before that was written."""
    run = Recorded(directory, Stored)
    assert run.begin("before", "repaired", "Announced") is None
    with pytest.raises(Undecided, match="Announced") as raised:
        run.resume()
    assert raised.value.jobs == ("Announced",)
    assert f"headway settle {run.record().id[:12]} Announced --done" in str(raised.value)
    return run


def test_a_job_in_doubt_stops_the_resume_and_gives_the_run_up(tmp_path: Path) -> None:
    with in_doubt(tmp_path) as run:
        assert run.record().state is RunState.IN_DOUBT
        assert run.record().owner is None
        assert run.told(RunEnded)[-1].counts == {"in doubt": 1, "pending": 1}
    assert ran == ["Announced"]


def test_it_stops_every_resume_until_somebody_has_settled_it(tmp_path: Path) -> None:
    with in_doubt(tmp_path) as run:
        with pytest.raises(Undecided):
            run.resume()
        assert len([e for e in run.told(TryEnded) if e.ending is Ending.IN_DOUBT]) == 1
    assert ran == ["Announced"]


@pytest.mark.parametrize(
    ("how", "state", "announced", "runs"),
    [
        ("done", RunState.SUCCEEDED, "repaired", ["Announced", "Stored", "cleanup Stored"]),
        (
            "again",
            RunState.SUCCEEDED,
            "repaired",
            ["Announced", "Announced", "Stored", "cleanup Stored"],
        ),
        ("failed", RunState.FAILED, "failed", ["Announced"]),
    ],
)
def test_settled_it_goes_on_as_the_person_said(
    tmp_path: Path, how: str, state: RunState, announced: str, runs: list[str]
) -> None:
    with in_doubt(tmp_path) as run:
        request = run.settle("Announced", how)
        assert run.resume() is state
        assert run.states()["Announced"] == announced
        assert run.answer(request) == f"Announced is settled: {how}"
    assert ran == runs


@pytest.mark.parametrize("how", ["done", "again", "failed"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_is_kept_over_a_death_while_it_is_written(
    tmp_path: Path, how: str, when: str
) -> None:
    with in_doubt(tmp_path) as run:
        request = run.settle("Announced", how)
        assert run.resume(when, "settled") is None
        run.resume()
        assert [event.how for event in run.told(Settled)] == [how]
        assert run.answer(request) == f"Announced is settled: {how}"


def test_a_job_settled_again_and_lost_again_is_in_doubt_again(tmp_path: Path) -> None:
    with in_doubt(tmp_path) as run:
        run.settle("Announced", "again")
        assert run.resume("before", "repaired", "Announced") is None
        with pytest.raises(Undecided):
            run.resume()
        run.settle("Announced", "done")
        assert run.resume() is RunState.SUCCEEDED
        assert [(e.number, e.ending) for e in run.told(TryEnded) if e.key == 0] == [
            (1, Ending.IN_DOUBT),
            (2, Ending.IN_DOUBT),
        ]
    assert ran == ["Announced", "Announced", "Stored", "cleanup Stored"]


def test_of_two_answers_for_one_job_the_first_counts(tmp_path: Path) -> None:
    with in_doubt(tmp_path) as run:
        first = run.settle("Announced", "done")
        second = run.settle("Announced", "failed")
        assert run.resume() is RunState.SUCCEEDED
        assert run.answer(first) == "Announced is settled: done"
        assert run.answer(second) == "refused: Announced is not in doubt"
        assert len(run.told(Settled)) == 1


def test_a_request_is_answered_once_over_all_lives(tmp_path: Path) -> None:
    with in_doubt(tmp_path) as run:
        run.settle("Announced", "again")
        run.resume("after", "run-intended", "Announced")
        with pytest.raises(Undecided):
            run.resume()
        assert len(run.told(Settled)) == 1, "the old answer says nothing of the new doubt"


def cancelling(run: Recorded) -> Callable[[], None]:
    def cancel() -> None:
        run.ask("cancel", why="enough")

    return cancel


class Waits(Job):
    """Its Run has the run cancelled, as if by somebody else, and goes on until it has heard."""

    DEPS = (Stored,)

    def Check(self) -> None:
        assert "Waits" in ran

    def Run(self) -> None:
        ran.append("Waits")
        asks()
        runs[-1].runner.tick()


asks: Callable[[], None]
runs: list[Recorded] = []


class After(Job):
    DEPS = (Waits,)

    def Check(self) -> None:
        assert "After" in ran

    def Run(self) -> None:
        ran.append("After")


def cancelled(directory: Path) -> Recorded:
    """A plan in the middle of which somebody cancels the run."""
    global asks
    run = Recorded(directory, After)
    asks = cancelling(run)
    runs[:] = [run]
    return run


def test_a_cancelled_run_starts_nothing_more_and_cleans_up(tmp_path: Path) -> None:
    with cancelled(tmp_path) as run:
        assert run.begin() is RunState.CANCELLED
        assert run.states()["Waits"] == "repaired"
        assert [event.why for event in run.told(RunCancelled)] == ["enough"]
    assert ran == ["Announced", "Stored", "Waits", "cleanup Stored"]


@pytest.mark.parametrize(
    ("when", "kind"),
    [("after", "run-cancelled"), ("after", "cleanup-intended"), ("before", "run-ended")],
)
def test_a_cancelled_run_that_is_killed_stays_cancelled(
    tmp_path: Path, when: str, kind: str
) -> None:
    with cancelled(tmp_path) as run:
        run.begin(when, kind)
        while run.resume() is None:
            pass
        assert run.record().state is RunState.CANCELLED
        assert len(run.told(RunCancelled)) == 1
    assert "After" not in ran
    assert ran[-1] == "cleanup Stored"


def test_a_cancelled_run_stays_cancelled_while_a_job_of_it_is_in_doubt(tmp_path: Path) -> None:
    with in_doubt(tmp_path) as run:
        run.ask("cancel")
        with pytest.raises(Undecided):
            run.resume()
        run.settle("Announced", "done")
        assert run.resume() is RunState.CANCELLED
        assert run.states() == {"Announced": "repaired", "Stored": "pending"}
    assert ran == ["Announced"]


def test_a_retry_goes_on_with_a_cancelled_run(tmp_path: Path) -> None:
    with cancelled(tmp_path) as run:
        run.begin()
        assert run.retry() is RunState.SUCCEEDED
    assert ran[-1] == "After"


def test_a_run_that_was_cancelled_while_nobody_worked_on_it_ends_when_it_is_resumed(
    tmp_path: Path,
) -> None:
    with Recorded(tmp_path, Stored) as run:
        run.begin("after", "run-intended", "Stored")
        request = run.ask("cancel")
        assert run.resume() is RunState.CANCELLED
        assert run.answer(request) == "cancelling"
    assert ran == ["Announced", "cleanup Stored"]


def test_a_cancel_that_came_too_late_is_refused_and_spares_the_retry(tmp_path: Path) -> None:
    class Fails(Job):
        TRIES = 1

        def Check(self) -> None:
            assert "mended" in ran

    with Recorded(tmp_path, Fails) as run:
        assert run.begin() is RunState.FAILED
        request = run.ask("cancel")
        ran.append("mended")
        assert run.retry() is RunState.SUCCEEDED
        assert run.answer(request) == "refused: the run is over"


def test_what_was_asked_too_late_is_answered_when_the_run_ends(tmp_path: Path) -> None:
    asked: list[int] = []

    class Last(Job):
        def Check(self) -> None:
            asked.append(run.ask("cancel"))

    with Recorded(tmp_path, Last) as run:
        assert run.begin() is RunState.SUCCEEDED
        assert run.answer(asked[0]) == "refused: the run is over"


@pytest.mark.parametrize(
    ("verb", "args", "answer"),
    [
        ("dance", {}, "does not know the request 'dance'"),
        ("settle", {}, "no job None"),
        ("settle", {"key": 99, "how": "done"}, "no job 99"),
        ("settle", {"key": -1, "how": "done"}, "no job -1"),
        ("settle", {"key": True, "how": "done"}, "no job True"),
        ("settle", {"key": "0", "how": "done"}, "no job '0'"),
        ("settle", {"key": 0, "how": "perhaps"}, "not as 'perhaps'"),
        ("settle", {"key": 1, "how": "done"}, "Stored is not in doubt"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_and_leaves_no_event(
    tmp_path: Path, verb: str, args: dict[str, object], answer: str
) -> None:
    with Recorded(tmp_path, Stored) as run:
        request = Request(1, "run", verb, args, "somebody", 0)
        said, event = decide(request, run.plan, lambda key: key == 0, 1)
    assert answer in said
    assert said.startswith("refused: ")
    assert event is None


def test_requests_that_make_no_sense_do_not_keep_a_run_from_being_resumed(
    tmp_path: Path,
) -> None:
    with Recorded(tmp_path, Stored) as run:
        run.begin("after", "run-intended", "Stored")
        requests = [run.ask("settle", key="x"), run.ask("dance"), run.ask("settle", key=0)]
        assert run.resume() is RunState.SUCCEEDED
        assert all((run.answer(request) or "").startswith("refused") for request in requests)


@pytest.mark.parametrize(("on", "slots"), [("inline", 1), ("threads", 2)])
def test_a_run_that_is_cancelled_while_a_check_is_asked_does_not_go_on_to_its_run(
    tmp_path: Path, on: str, slots: int
) -> None:
    heard = threading.Event()

    class Asked(Job):
        TRIES = 1

        def Check(self) -> None:
            if not ran:
                run.ask("cancel")
                ran.append("Check")
                if on == "inline":
                    run.runner.tick()
                assert heard.wait(10)
            assert "mended" in ran

        def Run(self) -> None:
            ran.append("Run")

    class Above(Job):
        DEPS = (Asked,)

        def Check(self) -> None:
            ran.append("Above")

    def listen(event: object) -> None:
        if isinstance(event, RunCancelled):
            heard.set()

    with Recorded(tmp_path, Above) as run:
        run.executor = lambda: make(on, slots)
        run.listeners.append(listen)
        assert run.begin() is RunState.CANCELLED
        assert ran == ["Check"]
        assert run.told(TryEnded) == [], "what had done nothing does not count"
        ran.append("mended")
        assert run.retry() is RunState.SUCCEEDED
