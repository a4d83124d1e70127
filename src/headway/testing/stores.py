"""What every store must do, as tests: run them on a store of your own.

    class TestMyStore(StoreContract):
        @pytest.fixture
        def open_another(self) -> Callable[[], Store]:
            return lambda: MyStore(...)

Needs pytest. Call ``pytest.register_assert_rewrite("headway.testing.stores", …)`` before the import
to be shown what an assertion compared; "headway.testing" has parts of it in "cores", "leases",
"playbooks", "tokens" and "kept_workers".
"""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from headway.errors import Conflict, Rejected
from headway.jobs.events import (
    Event,
    Row,
    RunCancelled,
    RunEnded,
    RunPaused,
    RunResumed,
    RunRetried,
    RunUnpaused,
    TryEnded,
    decode,
    encode,
)
from headway.jobs.outcomes import Ending, Failure
from headway.jobs.shared import Changes
from headway.jobs.states import RunState
from headway.ports.store import NO_JOB, Line, Owner, RunRecord, Store, storable
from headway.testing.cores import CoresContract
from headway.testing.kept_workers import WorkersContract
from headway.testing.leases import LeasesContract
from headway.testing.playbooks import PlaybooksContract
from headway.testing.sample_runs import EVER as EVER
from headway.testing.sample_runs import OTHER as OTHER
from headway.testing.sample_runs import RUN as RUN
from headway.testing.sample_runs import ended as ended
from headway.testing.sample_runs import launch as launch
from headway.testing.sample_runs import owner as owner
from headway.testing.sample_runs import passed as passed
from headway.testing.sample_runs import rows_of as rows_of
from headway.testing.sample_runs import run_id as run_id
from headway.testing.tokens import TokensContract
from headway.tracking.task import Task

# Text as the world has it. What no database holds comes back escaped, everything else as it was.
HOSTILE = (
    "",
    " ",
    "NUL \0 in the midst",
    "a lone surrogate \ud800, and a byte that is no UTF-8: \udcff",
    "".join(map(chr, range(1, 32))) + "\x7f\x85\u2028",
    "\r\n\t\\N\\.\\x00'\";--%s%(a)s:id{now}$1?",
    "\\.\n",
    "e\u0301 ß 漢字 \U0001f680 \u202e right to left \ufeff\ufffe\uffff",
    "x" * 2**20,
    "\U0001f680" * 1000,
)

PAUSE = RunPaused(1)


class StoreContract(
    PlaybooksContract, CoresContract, LeasesContract, TokensContract, WorkersContract
):
    """One store, and as many more as a test opens on the same place."""

    @pytest.fixture
    def open_another(self) -> Callable[[], Store]:
        """Opens the store that is tested: each call gives a connection of its own to it."""
        raise NotImplementedError

    @pytest.fixture
    def another(self, open_another: Callable[[], Store]) -> Iterator[Callable[[], Store]]:
        opened: list[Store] = []

        def open_one() -> Store:
            opened.append(open_another())
            return opened[-1]

        yield open_one
        for store in opened:
            store.close()

    @pytest.fixture
    def store(self, another: Callable[[], Store]) -> Store:
        return another()

    @pytest.fixture
    def epoch(self, store: Store) -> int:
        """Of the run RUN, begun."""
        return store.begin(RUN, launch(), "{}", 3, owner(), 1_000_000)

    def test_tasks_are_kept_beside_runs(self, store: Store, another: Any) -> None:
        store.tasks.record([Task("t1", sent_us=5)])
        assert [one.task.id for one in another().tasks.search()] == ["t1"]

    # Runs that are paused

    @pytest.mark.parametrize(
        ("after", "paused"),
        [
            ((PAUSE,), True),
            ((PAUSE, RunUnpaused(2)), False),
            ((PAUSE, RunUnpaused(2), PAUSE), True),
            ((PAUSE, RunCancelled(2)), False),
            ((RunCancelled(2), PAUSE), False),
            ((PAUSE, RunEnded(2, RunState.INTERRUPTED, {}), RunResumed(3, "me")), True),
            ((PAUSE, RunEnded(2, RunState.FAILED, {})), False),
            ((RunCancelled(2), RunRetried(3, (0, 1)), PAUSE), True),
            ((PAUSE, RunRetried(3, (0, 1))), False),
            (
                (RunCancelled(2), RunEnded(3, RunState.CANCELLED, {}), RunResumed(4, "me"), PAUSE),
                True,
            ),
            ((), False),
        ],
    )
    def test_whether_a_run_is_paused_follows_from_its_journal(
        self, store: Store, another: Any, epoch: int, after: tuple[Event, ...], paused: bool
    ) -> None:
        store.append(RUN, epoch, 1, 2, [passed(1), *map(encode, after), passed(2)])
        store.begin(OTHER, launch(), "{}", 3, owner(), 1)
        assert another().paused([OTHER, RUN]) == (frozenset((RUN,)) if paused else frozenset())
        assert store.paused([OTHER]) == store.paused([]) == store.paused(["f" * 24]) == frozenset()

    # Runs

    def test_a_run_is_found_as_it_was_begun(self, store: Store, another: Any) -> None:
        assert store.begin(RUN, launch(), '{"jobs": []}', 3, owner(), 1_000_000) == 1
        for seen in (store, another()):
            record = seen.find(RUN)
            # JSON carries the launch, whose sequences are then lists.
            assert record == RunRecord(
                RUN,
                RunState.RUNNING,
                launch(),
                1_000_000,
                None,
                owner(),
                epoch=1,
                lap=1,
                seen_s=record.seen_s,
                jobs=3,
            )
            assert 0 <= record.seen_s < 60
            assert seen.plan(RUN) == '{"jobs": []}'
            assert [(e.seq, e.row.kind) for e in seen.journal(RUN)] == [(1, "run-began")]

    def test_an_id_is_given_to_one_run_only(self, store: Store, epoch: int) -> None:
        with pytest.raises(Conflict):
            store.begin(RUN, launch(), "[]", 9, owner(9), 9)
        assert store.find(RUN).owner == owner()
        assert store.plan(RUN) == "{}"
        assert rows_of(store, RUN) == []

    @pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
    def test_a_launch_and_a_plan_of_any_text_come_back(self, store: Store, text: str) -> None:
        plan = json.dumps({text: [text]})
        stored = launch(target=text, inputs={text: text}, who=text)
        store.begin(RUN, stored, plan, 1, Owner(text, 1, text, text), 1)
        record = store.find(RUN)
        assert record.launch == stored
        assert store.plan(RUN) == plan
        assert record.owner == Owner(storable(text), 1, storable(text), storable(text))

    def test_a_run_that_is_not_there_is_rejected(self, store: Store, epoch: int) -> None:
        for ask in (
            lambda: store.plan(OTHER),
            lambda: list(store.journal(OTHER)),
            lambda: store.output(OTHER),
            lambda: store.asked(OTHER),
            lambda: store.ask(OTHER, "cancel", {}, "me", 1),
            lambda: store.add_output(OTHER, [Line(1, 1, 1, "out", "never")]),
            lambda: store.find(OTHER),
        ):
            with pytest.raises(Rejected):
                ask()

    def test_a_run_that_is_not_there_cannot_be_written_to(self, store: Store) -> None:
        for write in (
            lambda: store.append(RUN, 1, 1, 2, [passed(1)]),
            lambda: store.beat(RUN, 1),
            lambda: store.take(RUN, 1, owner()),
        ):
            with pytest.raises(Conflict):
                write()

    def test_the_last_run_is_the_one_that_began_last(self, store: Store) -> None:
        with pytest.raises(Rejected):
            store.find(None)
        for number, at_us in ((5, 50), (7, 70), (6, 60)):
            store.begin(run_id(number), launch(), "{}", 1, owner(), at_us)
        assert store.find(None).id == run_id(7)

    def test_any_prefix_of_one_runs_id_will_do(self, store: Store) -> None:
        ids = ["ab" + "0" * 22, "ac" + "f" * 22, "f" * 24, "0" * 24]
        for id in ids:
            store.begin(id, launch(), "{}", 1, owner(), 1)
        assert [store.find(id).id for id in ids] == ids
        assert store.find("ab").id == ids[0]
        assert store.find("AC").id == ids[1]
        assert store.find("f").id == ids[2]
        for wrong in ("a", "", "abc", "g", "0" * 25):
            with pytest.raises(Rejected):
                store.find(wrong)

    @pytest.mark.parametrize(
        "prefix", ["%", "_", "\0", "'", "\ud800", "\uff41", "1 OR 1=1", "é", " "]
    )
    def test_what_is_no_prefix_of_an_id_finds_nothing(
        self, store: Store, epoch: int, prefix: str
    ) -> None:
        with pytest.raises(Rejected):
            store.find(prefix)

    def test_the_newest_runs_come_first_and_in_pages(self, store: Store) -> None:
        for number in range(1, 8):
            store.begin(run_id(number), launch(), "{}", number, owner(), number * 10)
        assert [record.jobs for record in store.runs(3)] == [7, 6, 5]
        assert [record.jobs for record in store.runs(3, before_us=50)] == [4, 3, 2]
        assert [record.jobs for record in store.runs(before_us=20)] == [1]
        assert store.runs(before_us=10) == []

    # The journal

    def test_what_is_written_is_read_in_order_from_any_place(
        self, store: Store, epoch: int, another: Any
    ) -> None:
        rows = [passed(key) for key in range(5)]
        store.append(RUN, epoch, 1, 2, rows[:2])
        store.append(RUN, epoch, 1, 4, rows[2:])
        assert rows_of(another(), RUN) == rows
        assert [entry.seq for entry in store.journal(RUN)] == [1, 2, 3, 4, 5, 6]
        assert [entry.seq for entry in store.journal(RUN, after=4)] == [5, 6]
        assert list(store.journal(RUN, after=6)) == []

    def test_rows_may_be_written_as_plain_tuples(self, store: Store, epoch: int) -> None:
        store.append(RUN, epoch, 1, 2, [("passed", 5, 1, 1, None)])
        (row,) = rows_of(store, RUN)
        assert (row.kind, row.at_us, row.key, row.number, row.body) == ("passed", 5, 1, 1, None)

    def test_a_journal_of_twelve_thousand_events_is_read_whole(
        self, store: Store, epoch: int
    ) -> None:
        rows = [passed(key) for key in range(12_000)]
        for start in range(0, 12_000, 1_000):
            store.append(RUN, epoch, 1, start + 2, rows[start : start + 1_000])
        assert rows_of(store, RUN) == rows
        assert sum(1 for _ in store.journal(RUN, after=5_001)) == 7_000

    @pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
    def test_an_event_of_any_text_comes_back(self, store: Store, epoch: int, text: str) -> None:
        event = TryEnded(
            5,
            2,
            1,
            Ending.FAILED,
            failure=Failure("Error", text or "nothing"),
            shared=Changes({text: [text, 1e308, -(2**70), None]}, (text,), {text: "socket"}),
        )
        store.append(RUN, epoch, 1, 2, [encode(event)])
        (row,) = rows_of(store, RUN)
        assert decode(row) == event

    def test_a_place_in_the_journal_is_filled_once(self, store: Store, epoch: int) -> None:
        store.append(RUN, epoch, 1, 2, [passed(1)])
        with pytest.raises(Conflict):
            store.append(RUN, epoch, 1, 2, [passed(2)])
        assert rows_of(store, RUN) == [passed(1)]

    @pytest.mark.parametrize("second", list(Ending))
    def test_a_try_ends_once(self, store: Store, epoch: int, second: Ending) -> None:
        store.append(RUN, epoch, 1, 2, [ended(Ending.FAILED, 1, 1)])
        with pytest.raises(Conflict):
            store.append(RUN, epoch, 1, 3, [passed(2), ended(second, 1, 1)])
        assert rows_of(store, RUN) == [ended(Ending.FAILED, 1, 1)]
        store.append(RUN, epoch, 1, 3, [ended(second, 1, 2)])

    @pytest.mark.parametrize("first", [Ending.PASSED, Ending.REPAIRED])
    @pytest.mark.parametrize("second", [Ending.PASSED, Ending.REPAIRED])
    def test_a_job_succeeds_once_a_lap(
        self, store: Store, epoch: int, first: Ending, second: Ending
    ) -> None:
        with pytest.raises(Conflict):
            store.append(RUN, epoch, 1, 2, [ended(first, 1, 1), ended(second, 1, 2)])
        store.append(RUN, epoch, 1, 2, [ended(first, 1, 1)])
        with pytest.raises(Conflict):
            store.append(RUN, epoch, 1, 3, [ended(second, 1, 2)])
        store.append(RUN, epoch, 2, 3, [ended(second, 1, 2)])
        assert rows_of(store, RUN) == [ended(first, 1, 1), ended(second, 1, 2)]

    def test_runs_do_not_share_their_ends(self, store: Store, epoch: int) -> None:
        other = store.begin(OTHER, launch(), "{}", 1, owner(), 2)
        store.append(RUN, epoch, 1, 2, [passed(1)])
        store.append(OTHER, other, 1, 2, [passed(1)])
        assert rows_of(store, OTHER) == [passed(1)]

    # Ownership

    def test_who_no_longer_owns_a_run_writes_nothing(
        self, store: Store, epoch: int, another: Any
    ) -> None:
        number = store.ask(RUN, "cancel", {}, "me", 1)
        thief = another()
        assert thief.take(RUN, epoch, owner(2)) == epoch + 1
        line = Line(1, 1, 1, "out", "a line")
        with pytest.raises(Conflict):
            store.append(
                RUN,
                epoch,
                1,
                2,
                [passed(1)],
                state=RunState.FAILED,
                lines=[line],
                answers=[(number, "yes")],
            )
        with pytest.raises(Conflict):
            store.beat(RUN, epoch)
        assert rows_of(store, RUN) == []
        assert store.output(RUN) == []
        assert [request.id for request in store.asked(RUN)] == [number]
        record = store.find(RUN)
        assert (record.state, record.owner) == (RunState.RUNNING, owner(2))
        thief.append(RUN, epoch + 1, 1, 2, [passed(1)])
        thief.beat(RUN, epoch + 1)

    def test_of_two_takers_one_wins(self, another: Any) -> None:
        stores = [another(), another()]
        epoch = stores[0].begin(RUN, launch(), "{}", 1, owner(), 1)
        for _ in range(10):
            together = threading.Barrier(2, timeout=60)

            def take(
                which: int, epoch: int = epoch, together: threading.Barrier = together
            ) -> int | None:
                together.wait()
                try:
                    return int(stores[which].take(RUN, epoch, owner(which)))
                except Conflict:
                    return None

            with ThreadPoolExecutor(2) as pool:
                taken = list(pool.map(take, (0, 1)))
            assert sorted(taken, key=str) == [epoch + 1, None]
            assert stores[0].find(RUN).owner == owner(taken.index(epoch + 1))
            epoch += 1

    def test_a_retry_is_a_new_lap_and_a_resume_is_not(self, store: Store, epoch: int) -> None:
        epoch = store.take(RUN, epoch, owner())
        assert store.find(RUN).lap == 1
        epoch = store.take(RUN, epoch, owner(), next_lap=True)
        assert (store.find(RUN).lap, store.find(RUN).epoch, epoch) == (2, 3, 3)

    @pytest.mark.parametrize("state", [state for state in RunState if state != "running"])
    def test_a_run_that_stands_has_no_owner_until_it_is_taken_up(
        self, store: Store, epoch: int, state: RunState
    ) -> None:
        store.append(RUN, epoch, 1, 2, [passed(1)], state=state)
        record = store.find(RUN)
        assert (record.state, record.owner, record.epoch) == (state, None, epoch)
        if state is RunState.QUEUED:
            assert record.ended_us is None
        else:
            assert record.ended_us is not None
            assert record.ended_us > 1_000_000
        with pytest.raises(Conflict):
            store.append(RUN, epoch, 1, 3, [passed(2)])
        with pytest.raises(Conflict):
            store.beat(RUN, epoch)
        epoch = store.take(RUN, epoch, owner(2))
        record = store.find(RUN)
        assert (record.state, record.owner, record.ended_us) == (
            RunState.RUNNING,
            owner(2),
            None,
        )
        store.append(RUN, epoch, 1, 3, [passed(2)])

    def test_an_owner_that_stays_keeps_its_run(self, store: Store, epoch: int) -> None:
        store.append(RUN, epoch, 1, 2, [], state=RunState.RUNNING)
        store.append(RUN, epoch, 1, 2, [])
        assert store.find(RUN).owner == owner()
        assert store.find(RUN).ended_us is None

    # Requests

    def test_requests_wait_for_one_answer_oldest_first(
        self, store: Store, epoch: int, another: Any
    ) -> None:
        asker = another()
        args = {"key": 3, "why": "ä\0\ud800", "": [None, 1.5]}
        first = asker.ask(RUN, "settle", args, "me", 7)
        second = asker.ask(RUN, "cancel", {}, "you", 8)
        assert [tuple(request) for request in store.asked(RUN)] == [
            (first, RUN, "settle", args, "me", 7, None),
            (second, RUN, "cancel", {}, "you", 8, None),
        ]
        store.append(RUN, epoch, 1, 2, [], answers=[(first, "done")])
        assert [request.id for request in store.asked(RUN)] == [second]
        store.append(RUN, epoch, 1, 2, [], answers=[(first, "again"), (second, "too")])
        assert [asker.request(number).answer for number in (first, second)] == ["done", "too"]
        assert store.asked(RUN) == []
        assert store.request(second + 1) is None

    def test_only_the_owner_of_a_run_answers_for_it(self, store: Store, epoch: int) -> None:
        other = store.begin(OTHER, launch(), "{}", 1, owner(), 2)
        number = store.ask(RUN, "cancel", {}, "me", 1)
        assert store.asked(OTHER) == []
        store.append(OTHER, other, 1, 2, [], answers=[(number, "no")])
        assert [request.id for request in store.asked(RUN)] == [number]

    @pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
    def test_a_request_of_any_text_comes_back(self, store: Store, epoch: int, text: str) -> None:
        number = store.ask(RUN, text, {text: text}, text, 1)
        store.append(RUN, epoch, 1, 2, [], answers=[(number, text)])
        request = store.request(number)
        kept = storable(text)
        assert request == (number, RUN, kept, {text: text}, kept, 1, kept)

    # Output

    def test_output_is_read_in_order_by_job_and_from_any_place(
        self, store: Store, epoch: int, another: Any
    ) -> None:
        lines = [Line(n % 2, 1, n, "err" if n % 3 else "out", f"line {n}") for n in range(10)]
        store.append(RUN, epoch, 1, 2, [], lines=lines[:4])
        store.append(RUN, epoch, 1, 2, [], lines=lines[4:])
        reader = another()
        found = reader.output(RUN)
        assert [line._replace(id=0) for line in found] == lines
        ids = [line.id for line in found]
        assert ids == sorted(set(ids))
        assert [line.at_us for line in reader.output(RUN, key=1)] == [1, 3, 5, 7, 9]
        assert [line.at_us for line in reader.output(RUN, after=ids[6])] == [7, 8, 9]
        assert [line.at_us for line in reader.output(RUN, limit=2)] == [0, 1]
        assert [line.at_us for line in reader.output(RUN, 0, ids[3], 2)] == [4, 6]
        assert reader.output(RUN, key=7) == []

    def test_what_was_lost_is_counted_in_its_place(self, store: Store, epoch: int) -> None:
        lines = [Line(1, 1, 1, "out", "a"), Line(1, 1, 2, "lost", "", 41)]
        store.append(RUN, epoch, 1, 2, [], lines=lines)
        assert [(line.text, line.lost) for line in store.output(RUN)] == [("a", 0), ("", 41)]

    def test_lines_of_any_text_come_back(self, store: Store, epoch: int) -> None:
        lines = [Line(1, 1, 1, storable(text)[:20], text) for text in HOSTILE]
        store.append(RUN, epoch, 1, 2, [], lines=lines)
        assert [line.text for line in store.output(RUN)] == [storable(text) for text in HOSTILE]

    def test_output_goes_with_the_rows_or_not_at_all(self, store: Store, epoch: int) -> None:
        store.append(RUN, epoch, 1, 2, [passed(1)])
        with pytest.raises(Conflict):
            store.append(RUN, epoch, 1, 3, [passed(1, 2)], lines=[Line(1, 1, 1, "out", "never")])
        assert store.output(RUN) == []

    def test_output_can_be_added_by_who_owns_nothing(
        self, store: Store, epoch: int, another: Any
    ) -> None:
        elsewhere = another()
        lines = [Line(NO_JOB, 0, n, "info", f"line {n}") for n in range(3)]
        elsewhere.add_output(RUN, lines[:2])
        store.append(RUN, epoch, 1, 2, [], state=RunState.SUCCEEDED)
        elsewhere.add_output(RUN, [])
        elsewhere.add_output(RUN, lines[2:])
        assert [line._replace(id=0) for line in store.output(RUN)] == lines
        record = store.find(RUN)
        assert (record.state, record.epoch, record.owner) == (RunState.SUCCEEDED, epoch, None)

    # Playbooks: see PlaybooksContract

    @pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
    def test_a_playbook_of_any_text_comes_back(self, store: Store, text: str) -> None:
        self.check_that_texts_come_back(store, text)

    # Forgetting

    def test_prune_keeps_what_lives_what_is_unfinished_and_the_newest(
        self, store: Store, another: Any
    ) -> None:
        states = [RunState.SUCCEEDED, *RunState, RunState.FAILED, RunState.SUCCEEDED]
        for number, state in enumerate(states):
            id = run_id(number)
            epoch = store.begin(id, launch(), "{}", 1, owner(), number)
            store.append(
                id,
                epoch,
                1,
                2,
                [passed(1)],
                state=state,
                lines=[Line(1, 1, 1, "out", "a line")],
            )
        number = store.ask(run_id(0), "cancel", {}, "me", 1)
        assert store.prune(0, 0) == 0
        assert store.prune(EVER, 2) == 4
        kept = [states[int(record.id[:8], 16)] for record in another().runs()]
        assert kept == [
            RunState.SUCCEEDED,
            RunState.FAILED,
            RunState.IN_DOUBT,
            RunState.INTERRUPTED,
            RunState.RUNNING,
            RunState.QUEUED,
        ]
        for ask in (
            lambda: store.find(run_id(0)),
            lambda: list(store.journal(run_id(0))),
            lambda: store.output(run_id(0)),
        ):
            with pytest.raises(Rejected):
                ask()
        assert store.request(number) is None
        assert rows_of(store, run_id(2)) == [passed(1)]
        assert store.prune(EVER, 2) == 0
        assert store.prune(EVER, 0) == 2

    def test_a_run_that_was_pruned_cannot_be_taken_up(self, store: Store, epoch: int) -> None:
        store.append(RUN, epoch, 1, 2, [], state=RunState.SUCCEEDED)
        assert store.prune(EVER, 0) == 1
        with pytest.raises(Conflict):
            store.take(RUN, epoch, owner())

    def test_what_is_begun_after_a_prune_is_not_taken_for_what_was(
        self, store: Store, epoch: int, another: Any
    ) -> None:
        store.append(RUN, epoch, 1, 2, [passed(1)], state=RunState.SUCCEEDED)
        reader = another()
        assert rows_of(reader, RUN) == [passed(1)]
        request = reader.ask(RUN, "cancel", {}, "me", 1)
        store.prune(EVER, 0)
        store.begin(OTHER, launch(), "{}", 1, owner(), 1)
        again = store.ask(OTHER, "cancel", {}, "me", 1)
        assert again != request
        assert self._journal_of_gone(reader) == []
        with pytest.raises(Rejected):
            reader.ask(RUN, "cancel", {}, "me", 1)

    def _journal_of_gone(self, reader: Store) -> Sequence[Row]:
        try:
            return rows_of(reader, RUN)
        except Rejected:
            return []

    def test_many_events_and_lines_are_forgotten_too(self, store: Store, epoch: int) -> None:
        lines = [Line(1, 1, 1, "out", "a line")] * 6_000
        rows = [passed(key) for key in range(11_000)]
        store.append(RUN, epoch, 1, 2, rows, lines=lines, state=RunState.SUCCEEDED)
        assert store.prune(EVER, 0) == 1
        assert store.runs() == []

    # Many at once

    def test_threads_share_one_store(self, store: Store) -> None:
        def work(number: int) -> list[Row]:
            id = run_id(number)
            epoch = store.begin(id, launch(), "{}", 1, owner(), number)
            for key in range(50):
                store.append(id, epoch, 1, key + 2, [passed(key)])
                store.beat(id, epoch)
                store.asked(id)
            return rows_of(store, id)

        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(work, range(1, 5)):
                assert found == [passed(key) for key in range(50)]

    def test_connections_write_to_their_own_runs_at_once(self, another: Any) -> None:
        stores = [another() for _ in range(4)]

        def work(number: int) -> int:
            store, id = stores[number], run_id(number)
            epoch = store.begin(id, launch(), "{}", 1, owner(), number)
            for key in range(50):
                store.append(id, epoch, 1, key + 2, [passed(key)])
            return len(rows_of(store, id))

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(work, range(4))) == [50] * 4

    def test_a_store_may_be_closed_twice(self, store: Store) -> None:
        store.close()
        store.close()
