"""What everything that keeps Celery tasks must do: a contract, for tests."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations, product

import pytest

from headway.ports.tracking import Forgotten, Sought, Tasks
from headway.tracking.heard import DeadLetter
from headway.tracking.results import Result
from headway.tracking.states import CELERYS, TaskState
from headway.tracking.task import JSON, MESSAGE, RECEIVER, Task, merged

# (task id, status, when it was done, what the column holds, traceback)
StoreResult = Callable[[str, str, int | None, bytes | str | None, str | None], None]

SENT = Task(
    "t1", 0, 0, MESSAGE, "export.pdf", "export", "t0", "g1", "[1]", '{"a": 2}', JSON,
    5, 6, "gen1@here", '{"x": 1}', 81, "t0", 100, 101,
)  # fmt: skip
RECEIVED = Task(
    "t1", told_by=RECEIVER, name="export.pdf", received_us=200, worker_us=200, worker="w1"
)
STARTED = Task("t1", started_us=300, worker_us=300, worker="w1")
FAILED = Task("t1", worker_us=400, worker="w2", finality=3, ended_us=400, error="ValueError()")
SUCCEEDED = Task(
    "t1", worker_us=390, worker="w1", finality=4, ended_us=390, runtime_us=90, result="'fine'"
)
REVOKED = Task("t1", revoked_us=350, finality=2, ended_us=350)
NEWS = (SENT, RECEIVED, STARTED, FAILED, SUCCEEDED, REVOKED)
LETTER = DeadLetter("d" * 64, 7, "task", "no id", "export", "{}", "x\\xff", 3)


def sent(id: str, at_us: int, name: str = "export.pdf", queue: str = "export") -> Task:
    return SENT._replace(id=id, sent_us=at_us, heard_us=at_us, name=name, queue=queue, root=id)


def ids(found: object) -> list[str]:
    assert isinstance(found, (list, tuple))
    return [one.task.id for one in found]


class TasksContract:
    """Needs a fixture ``open_another``, which gives what sees the same tasks each time, and
    ``store_result``, which does what a Celery worker does when a task has ended."""

    @pytest.fixture
    def tasks(self, open_another: Callable[[], Tasks]) -> Tasks:
        return open_another()

    def test_a_task_is_kept_as_it_was_heard(
        self, tasks: Tasks, open_another: Callable[[], Tasks]
    ) -> None:
        tasks.record([SENT])
        for seen in (tasks, open_another()):
            assert seen.task("t1") == (SENT, None)
            assert seen.task("t1").state is TaskState.SENT
            assert seen.search() == [(SENT, None)]

    def test_a_task_that_nobody_heard_of_is_unknown(self, tasks: Tasks) -> None:
        assert tasks.task("t9") == (Task("t9"), None)
        assert tasks.task("t9").state is TaskState.UNKNOWN
        assert tasks.search() == []
        assert tasks.family("t9").state is TaskState.UNKNOWN

    def test_in_whatever_order_and_batches_it_is_heard_the_record_is_the_same(
        self, tasks: Tasks
    ) -> None:
        known = Task("t1")
        for news in NEWS:
            known = merged(known, news)
        for number, order in enumerate(permutations(NEWS)):
            if number % 7:
                continue  # a hundred of them will do
            heard = [one._replace(id=f"t{number}") for one in order]
            tasks.record(heard[: number % 5])
            tasks.record(heard[number % 3 :])
            tasks.record(heard)
            assert tasks.task(f"t{number}").task == known._replace(id=f"t{number}")

    def test_many_tasks_and_repetitions_come_in_one_batch(self, tasks: Tasks) -> None:
        batch = [sent(f"{number:04}", number) for number in range(700)]
        tasks.record([*batch, *batch[::-1]])
        tasks.record([*batch[300:], sent("0700", 700)])
        assert ids(tasks.search(limit=2000)) == [f"{number:04}" for number in range(700, -1, -1)]

    def test_several_at_once_lose_nothing_of_what_each_heard(
        self, open_another: Callable[[], Tasks]
    ) -> None:
        def hear(news: Task) -> None:
            mine = open_another()
            for number in range(20):
                mine.record([news._replace(id=f"t{at}") for at in range(number, number + 20)])

        with ThreadPoolExecutor(len(NEWS)) as pool:
            list(pool.map(hear, NEWS))
        known = Task("t7")
        for news in NEWS:
            known = merged(known, news._replace(id="t7"))
        assert open_another().task("t7").task == known
        assert len(open_another().search(limit=100)) == 39

    def test_any_text_is_kept_readable(self, tasks: Tasks) -> None:
        hostile = "a\0b\ud800c\U0001f600\\x00'\";--"
        kept = "a\\x00b\\ud800c\U0001f600\\x00'\";--"
        task = SENT._replace(id=hostile, name=hostile, args=hostile, error=hostile)
        for _ in range(3):
            tasks.record([task, task._replace(started_us=3)])
        found = tasks.task(hostile)
        assert found.task[:5] == (kept, 0, 0, MESSAGE, kept)
        assert ids(tasks.search(Sought(name=hostile))) == [kept]
        assert ids(tasks.search(Sought(name=hostile[:4] + "*"))) == [kept]

    # Asking

    def test_tasks_are_found_by_name_queue_and_time_the_newest_first(self, tasks: Tasks) -> None:
        tasks.record(
            [
                sent("a", 10, "export.pdf", "export"),
                sent("b", 30, "export.pdf.all", "export"),
                sent("c", 20, "export_all", "other"),
                sent("d", 40, "Export.pdf", "export"),
                Task("e", received_us=25),
            ]
        )
        for sought, expected in (
            (Sought(), "dbeca"),
            (Sought(name="export.pdf"), "a"),
            (Sought(name="export.*"), "ba"),
            (Sought(name="export*"), "bca"),
            (Sought(name="*"), "dbca"),
            (Sought(name="export.%"), ""),
            (Sought(name="e_port.pdf"), ""),
            (Sought(queue="export"), "dba"),
            (Sought(queue="export", since_us=30), "db"),
            (Sought(since_us=20), "dbec"),
            (Sought(name="export.*", queue="other"), ""),
        ):
            assert "".join(ids(tasks.search(sought))) == expected, sought

    def test_a_list_is_read_in_pages(self, tasks: Tasks, store_result: StoreResult) -> None:
        tasks.record([sent(f"t{number}", number // 3) for number in range(10)])
        store_result("t1", "SUCCESS", 9, b"1", None)
        found: list[str] = []
        before = None
        while page := tasks.search(Sought(before=before), limit=3):
            found += ids(page)
            before = (page[-1].task.at_us, page[-1].task.id)
        assert found == [f"t{number}" for number in range(9, -1, -1)]

    def test_tasks_are_found_by_where_they_stand(
        self, tasks: Tasks, store_result: StoreResult
    ) -> None:
        for number, news in enumerate(NEWS):
            tasks.record([news._replace(id=f"t{number}")])
        expected = {
            TaskState.SENT: "t0",
            TaskState.RECEIVED: "t1",
            TaskState.STARTED: "t2",
            TaskState.FAILED: "t3",
            TaskState.SUCCEEDED: "t4",
            TaskState.REVOKED: "t5",
        }
        for state in TaskState:
            found = ids(tasks.search(Sought(state=state)))
            assert found == ([expected[state]] if state in expected else []), state
        store_result("t0", "SUCCESS", 500, b"1", None)
        assert ids(tasks.search(Sought(state=TaskState.SUCCEEDED))) in (["t0", "t4"], ["t4", "t0"])
        assert ids(tasks.search(Sought(state=TaskState.SENT))) == []

    def test_a_family_is_found_by_any_of_its_members(self, tasks: Tasks) -> None:
        tasks.record(
            [
                sent("root", 10),
                sent("child", 20)._replace(parent="root", root="root"),
                sent("grandchild", 30)._replace(parent="child", root="root"),
                sent("stranger", 15),
            ]
        )
        for id in ("root", "child", "grandchild"):
            family = tasks.family(id)
            assert family.root == "root"
            assert ids(family.members) == ["root", "child", "grandchild"]
            assert family.is_whole
        assert [ids(of) for of in tasks.family("root").children().values()] == [
            ["root"],
            ["child"],
            ["grandchild"],
        ]
        assert not tasks.family("root", limit=2).is_whole
        assert ids(tasks.family("root", limit=2).members) == ["root", "child"]

    def test_a_family_stands_where_its_unfinished_members_do(
        self, tasks: Tasks, store_result: StoreResult
    ) -> None:
        tasks.record([sent("root", 10), sent("child", 20)._replace(root="root")])
        assert tasks.family("child").state is TaskState.SENT
        store_result("root", "SUCCESS", 30, b"null", None)
        assert tasks.family("root").counts == {TaskState.SENT: 1, TaskState.SUCCEEDED: 1}
        assert not tasks.family("root").is_over
        store_result("child", "FAILURE", 30, b"null", None)
        assert tasks.family("root").state is TaskState.FAILED
        assert tasks.family("root").is_over

    # Results

    def test_a_result_is_shown_with_its_task_whichever_came_first(
        self, tasks: Tasks, store_result: StoreResult
    ) -> None:
        store_result("t1", "SUCCESS", 1_700_000_000_123_456, b'{"pages": 3}', None)
        expected = Result("SUCCESS", 1_700_000_000_123_456, '{"pages": 3}', JSON, None)
        assert tasks.task("t1") == (Task("t1"), expected)
        assert tasks.task("t1").state is TaskState.SUCCEEDED
        tasks.record([SENT])
        assert tasks.task("t1") == (SENT, expected)
        # Lists do not carry what results hold.
        assert tasks.search() == [(SENT, Result("SUCCESS", 1_700_000_000_123_456))]
        assert tasks.family("t1").members == [(SENT, Result("SUCCESS", 1_700_000_000_123_456))]

    def test_a_failed_result_has_its_traceback(
        self, tasks: Tasks, store_result: StoreResult
    ) -> None:
        store_result("t1", "FAILURE", 7_000_000, b'{"exc_type": "E"}', "Traceback …")
        assert tasks.task("t1").result == (
            "FAILURE", 7_000_000, '{"exc_type": "E"}', JSON, "Traceback …"
        )  # fmt: skip

    def test_what_is_pickled_is_never_opened(self, tasks: Tasks, store_result: StoreResult) -> None:
        # Opened, this would end the process.
        store_result("t1", "SUCCESS", 7, b"cposix\n_exit\n(I99\ntR.", None)
        store_result("t2", "SUCCESS", 7, b"\x80\x05K\x01.", None)
        for id, bytes_ in (("t1", 21), ("t2", 5)):
            result = tasks.task(id).result
            assert result is not None
            assert result.value is None
            assert (result.form or "").startswith("not opened")
            assert str(bytes_) in (result.form or "")

    def test_a_large_result_stays_where_it_is(
        self, tasks: Tasks, store_result: StoreResult
    ) -> None:
        store_result("t1", "SUCCESS", 7, b'"' + b"x" * 100_000 + b'"', None)
        result = tasks.task("t1").result
        assert result is not None
        assert (result.value, result.form) == (None, "too large: 100,002 bytes")

    def test_a_state_is_the_same_whether_it_is_looked_at_or_searched_for(
        self, tasks: Tasks, store_result: StoreResult
    ) -> None:
        told = [Task("t"), *NEWS, merged(SENT, STARTED), STARTED._replace(retried_us=310)]
        words = [*CELERYS, "HALFWAY"]
        moments = (None, 250, 305, 1000)
        every = list(product(told, words, moments))
        for number, (_, word, done_us) in enumerate(every):
            store_result(f"t{number}", word, done_us, b"1", None)
        tasks.record([news._replace(id=f"t{at}") for at, (news, _, _) in enumerate(every)])
        seen = {one.task.id: one for one in tasks.search(limit=len(every))}
        assert len(seen) == len(every)
        for state in TaskState:
            found = set(ids(tasks.search(Sought(state=state), limit=len(every))))
            assert found == {id for id, one in seen.items() if one.state is state}, state
        assert all(one.state is tasks.task(id).state for id, one in seen.items())

    # Dead letters

    def test_a_dead_letter_is_kept_once_with_its_reason(self, tasks: Tasks) -> None:
        later = LETTER._replace(digest="e" * 64, at_us=9, body="\0")
        tasks.record([], [LETTER, LETTER])
        tasks.record([SENT], [LETTER._replace(at_us=8), later])
        assert tasks.dead_letters() == [later._replace(body="\\x00"), LETTER]
        assert tasks.dead_letters(limit=1) == [later._replace(body="\\x00")]
        assert tasks.dead_letters(before=9) == [LETTER]

    # Forgetting

    def test_only_what_is_old_is_forgotten(self, tasks: Tasks, store_result: StoreResult) -> None:
        ended = sent("ended", 100)._replace(finality=4, ended_us=300)
        told = [
            *(ended, ended._replace(id="late", ended_us=600), sent("under way", 100)),
            *(sent("stored", 110), sent("stored late", 120), sent("to start", 90)),
        ]
        eta = {"to start": 700}
        tasks.record([one._replace(eta_us=eta.get(one.id)) for one in told], [LETTER])
        store_result("stored", "SUCCESS", 200, b"1", None)
        store_result("stored late", "FAILURE", 900, b"1", None)
        store_result("nobody's", "SUCCESS", 5, b"1", None)
        assert tasks.forget(50, 40) == Forgotten(0, 1)
        assert tasks.forget(500, 90) == Forgotten(2, 0)
        left = {"late", "under way", "stored late", "to start"}
        assert set(ids(tasks.search())) == left
        assert tasks.forget(500, 500) == Forgotten(1, 0)
        assert set(ids(tasks.search())) == left - {"under way"}
        assert tasks.task("stored").result is not None, "results are Celery's"
        assert tasks.forget(2**62, 2**62) == Forgotten(3, 0)

    def test_the_newest_are_kept_however_old(self, tasks: Tasks) -> None:
        told = [sent(f"t{at}", at)._replace(finality=4, ended_us=9) for at in range(5)]
        letters = [LETTER._replace(digest=f"{at}" * 64) for at in range(4)]
        tasks.record(told, letters)
        assert tasks.forget(100, 100, keep=9) == Forgotten(0, 0)
        assert tasks.forget(100, 100, keep=3) == Forgotten(2, 1)
        assert ids(tasks.search()) == ["t4", "t3", "t2"]
        assert tasks.forget(100, 100) == Forgotten(3, 3)

    def test_a_task_that_was_forgotten_and_is_heard_of_again_is_as_new(self, tasks: Tasks) -> None:
        tasks.record([FAILED])
        assert tasks.forget(500, 500) == Forgotten(1, 0)
        assert tasks.task("t1").state is TaskState.UNKNOWN
        tasks.record([SENT])
        assert tasks.task("t1") == (SENT, None)
