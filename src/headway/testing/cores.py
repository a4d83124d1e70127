"""What every store must do with runs of a core and with locks: a part of ``StoreContract``."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, get_args

import pytest

from headway.errors import Conflict, Lost, Rejected
from headway.jobs.outcomes import Ending
from headway.jobs.states import OVER, RunState
from headway.ports.leases import CORE
from headway.ports.store import Line, RunRecord, Store, Write, storable
from headway.releases.playbook import NAME_CHARACTERS
from headway.testing.sample_runs import (
    EVER,
    OTHER,
    RUN,
    ended,
    launch,
    owner,
    passed,
    rows_of,
    run_id,
)

THIRD = run_id(3)
Refusal = Literal["taken", "ended", "there", "a second end", "a second success", "gone"]


def enqueue(store: Store, id: str, *locks: str, **more: Any) -> str:
    return store.enqueue(id, launch(locks=list(locks)), "{}", 3, 1_000_000, **more)


def begin(store: Store, id: str, *locks: str) -> int:
    return store.begin(id, launch(locks=list(locks)), "{}", 3, owner(), 1_000_000)


def queues(store: Store) -> dict[str, list[str]]:
    """Which runs have tickets of each tag, first come first."""
    found: dict[str, list[str]] = {}
    for lock in store.locks():
        found.setdefault(lock.tag, []).append(lock.run)
    return found


def to_take_up(store: Store, *, unowned: bool = True) -> list[str]:
    return [record.id for record in store.core_runs(unowned=unowned)]


class CoresContract:
    """Needs the fixtures ``store``, ``another`` and ``epoch`` of ``StoreContract``."""

    # Runs that wait for a core

    def test_a_run_that_is_enqueued_waits_and_is_nobodys(self, store: Store, another: Any) -> None:
        assert store.enqueue(RUN, launch(), '{"jobs": []}', 3, 1_000_000) == RUN
        for seen in (store, another()):
            record = seen.find(RUN)
            assert record == RunRecord(
                RUN,
                RunState.QUEUED,
                launch(),
                1_000_000,
                None,
                None,
                epoch=0,
                lap=1,
                seen_s=record.seen_s,
                jobs=3,
                core=True,
            )
            assert seen.plan(RUN) == '{"jobs": []}'
            assert [(e.seq, e.row.kind) for e in seen.journal(RUN)] == [(1, "run-began")]
            (waiting,) = seen.core_runs(unowned=True)
            assert waiting == record._replace(seen_s=waiting.seen_s)

    def test_the_token_that_a_run_was_asked_for_with_is_known(
        self, store: Store, another: Any
    ) -> None:
        store.enqueue(RUN, launch(token="t1"), "{}", 3, 1_000_000)
        store.begin(OTHER, launch(token="t2"), "{}", 3, owner(), 1_000_000)
        enqueue(store, THIRD)
        for seen in (store, another()):
            assert seen.find(RUN).launch == launch(token="t1")
            assert [seen.find(id).launch.token for id in (OTHER, THIRD)] == ["t2", ""]

    def test_nobody_writes_to_a_run_that_was_not_taken_up(self, store: Store) -> None:
        enqueue(store, RUN)
        writes: list[Callable[[], object]] = [
            lambda: store.append(RUN, 0, 1, 2, [passed(1)]),
            lambda: store.beat(RUN, 0),
            lambda: store.release(RUN, 0),
        ]
        for write in writes:
            with pytest.raises(Lost):
                write()
        epoch = store.take(RUN, 0, owner())
        store.append(RUN, epoch, 1, 2, [passed(1)])
        record = store.find(RUN)
        assert (epoch, record.state, record.owner) == (1, RunState.RUNNING, owner())

    def test_an_id_in_use_cannot_be_enqueued(self, store: Store, epoch: int) -> None:
        with pytest.raises(Conflict):
            enqueue(store, RUN)
        with pytest.raises(Conflict):
            enqueue(store, RUN, key="a key")
        assert store.find(RUN).owner == owner()

    def test_what_is_asked_for_twice_by_one_key_is_one_run(
        self, store: Store, another: Any
    ) -> None:
        assert enqueue(store, RUN, "a", key="k\0") == RUN
        elsewhere = another()
        assert enqueue(elsewhere, OTHER, "a", key="k\0") == RUN
        assert enqueue(elsewhere, RUN, "a", key="k\0") == RUN
        assert enqueue(elsewhere, OTHER, "a", key="K") == OTHER
        assert enqueue(elsewhere, THIRD) == THIRD
        assert [record.id for record in store.runs()] == [THIRD, OTHER, RUN]
        assert queues(store) == {"a": [RUN, OTHER]}
        assert [store.run_with_key(key) for key in ("k\0", "K", "", "x")] == [
            RUN,
            OTHER,
            None,
            None,
        ]

    def test_of_many_who_ask_by_one_key_at_once_all_get_one_run(
        self, another: Callable[[], Store]
    ) -> None:
        stores = [another() for _ in range(4)]
        together = threading.Barrier(4, timeout=60)

        def ask(number: int) -> str:
            together.wait()
            return enqueue(stores[number], run_id(number), "a", key="key")

        with ThreadPoolExecutor(4) as pool:
            told = set(pool.map(ask, range(4)))
        assert [record.id for record in stores[0].runs()] == list(told)
        assert queues(stores[0]) == {"a": list(told)}

    def test_the_key_of_a_run_that_was_forgotten_is_free(self, store: Store) -> None:
        enqueue(store, RUN, key="key")
        store.append(RUN, store.take(RUN, 0, owner()), 1, 2, [], state=RunState.FAILED)
        assert enqueue(store, OTHER, key="key") == RUN
        store.prune(EVER, 0)
        assert store.run_with_key("key") is None
        assert enqueue(store, OTHER, key="key") == OTHER

    @pytest.mark.parametrize("which", ["group", "tag", "key"])
    def test_what_no_index_could_hold_is_rejected(self, store: Store, which: str) -> None:
        for length in (NAME_CHARACTERS, NAME_CHARACTERS + 1):
            text = "\U0001f680" * length
            given = launch(
                group=text if which == "group" else "", locks=[text] if which == "tag" else []
            )
            key = text if which == "key" else None
            if length == NAME_CHARACTERS:
                store.enqueue(RUN, given, "{}", 1, 1, key=key)
                continue
            with pytest.raises(Rejected, match=f"at most {NAME_CHARACTERS}"):
                store.enqueue(OTHER, given, "{}", 1, 1, key=key)
            if which != "key":
                with pytest.raises(Rejected, match=f"at most {NAME_CHARACTERS}"):
                    store.begin(OTHER, given, "{}", 1, owner(), 1)
        assert [record.id for record in store.runs()] == [RUN]

    def test_a_core_is_told_what_it_may_take_up_in_the_order_it_was_stored(
        self, store: Store, epoch: int
    ) -> None:
        states = [state for state in RunState if state is not RunState.RUNNING]
        for number, state in enumerate(states, 10):
            enqueue(store, run_id(number))
            taken = store.take(run_id(number), 0, owner())
            store.append(run_id(number), taken, 1, 2, [], state=state)
        enqueue(store, OTHER)
        store.take(OTHER, 0, owner())
        enqueue(store, THIRD)
        queued, interrupted = (
            run_id(10 + states.index(state)) for state in (RunState.QUEUED, RunState.INTERRUPTED)
        )
        assert to_take_up(store) == [queued, interrupted, THIRD]
        assert to_take_up(store, unowned=False) == [queued, interrupted, OTHER, THIRD]

    def test_a_run_that_is_released_stands_as_it_stood_for_the_next(
        self, store: Store, another: Any
    ) -> None:
        enqueue(store, RUN, "a")
        epoch = store.take(RUN, 0, owner())
        store.append(RUN, epoch, 1, 2, [passed(1)])
        store.release(RUN, epoch)
        record = store.find(RUN)
        assert (record.state, record.owner, record.ended_us) == (RunState.RUNNING, None, None)
        with pytest.raises(Lost):
            store.append(RUN, epoch, 1, 3, [passed(2)])
        with pytest.raises(Lost):
            store.release(RUN, epoch)
        elsewhere = another()
        assert to_take_up(elsewhere) == [RUN]
        assert queues(elsewhere) == {"a": [RUN]}
        assert elsewhere.take(RUN, epoch, owner(2)) == epoch + 1
        assert to_take_up(elsewhere) == []

    def test_the_lease_of_a_core_speaks_for_its_runs(self, store: Store) -> None:
        enqueue(store, RUN)
        store.take(RUN, 0, owner())
        store.lease(CORE, owner(), 60.0)
        record, lease = store.find(RUN), store.lease_of(CORE)
        assert lease is not None
        assert record.owner == lease.owner
        assert 0 <= record.seen_s <= lease.seen_s + 60

    # Requests

    def test_a_core_sees_what_is_asked_of_its_runs(
        self, store: Store, epoch: int, another: Any
    ) -> None:
        enqueue(store, OTHER)
        enqueue(store, THIRD)
        taken = store.take(OTHER, 0, owner())
        elsewhere = another()
        elsewhere.ask(RUN, "cancel", {}, "me", 1)
        first, second, third = (
            elsewhere.ask(id, "cancel", {"why": id}, "me", 1) for id in (OTHER, THIRD, OTHER)
        )
        found = store.open_requests()
        assert [request.id for request in found] == [first, second, third]
        assert found == [store.request(number) for number in (first, second, third)]
        assert [request.id for request in store.open_requests(first)] == [second, third]
        store.append(OTHER, taken, 1, 2, [], answers=[(first, "yes")], state=RunState.FAILED)
        assert [request.id for request in store.open_requests()] == [second, third]
        assert store.open_requests(third) == []
        store.prune(EVER, 0)
        assert [request.id for request in store.open_requests()] == [second]

    def test_a_request_to_a_run_of_nobody_is_answered_once(
        self, store: Store, another: Any
    ) -> None:
        enqueue(store, RUN)
        number = store.ask(RUN, "pause", {}, "me", 1)
        another().answer(number, "no")
        store.answer(number, "yes")
        store.answer(number + 1, "there is none")
        request = store.request(number)
        assert request is not None
        assert request.answer == "no"
        assert store.open_requests() == []

    def test_who_reads_requests_on_and_on_misses_none(self, another: Any) -> None:
        stores = [another() for _ in range(4)]
        enqueue(stores[0], RUN)

        def write(number: int) -> list[int]:
            return [stores[number].ask(RUN, "cancel", {}, "me", 1) for _ in range(25)]

        seen = [0]
        with ThreadPoolExecutor(3) as pool:
            writers = [pool.submit(write, number) for number in (1, 2, 3)]
            while not all(writer.done() for writer in writers):
                seen += [request.id for request in stores[0].open_requests(seen[-1])]
            asked = [number for writer in writers for number in writer.result()]
        seen += [request.id for request in stores[0].open_requests(seen[-1])]
        assert seen == [0, *sorted(asked)]

    # Lists

    def test_runs_are_listed_by_group_and_state_and_in_pages(self, store: Store) -> None:
        groups = ["shop", "blog", "shop", "", "sh\0p", "shop"]
        for number, group in enumerate(groups, 1):
            store.begin(run_id(number), launch(group=group), "{}", number, owner(), number * 10)
        store.append(run_id(1), 1, 1, 2, [], state=RunState.FAILED)
        store.append(run_id(2), 1, 1, 2, [], state=RunState.SUCCEEDED)

        def listed(limit: int = 20, before: int | None = None, **of: Any) -> list[int]:
            return [record.jobs for record in store.runs(limit, before, **of)]

        assert listed(groups=["shop"]) == [6, 3, 1]
        assert listed(2, groups=["shop"]) == [6, 3]
        assert listed(2, 30, groups=["shop"]) == [1]
        assert listed(groups=["blog", "", "%", "blog"]) == [4, 2]
        assert listed(groups=["sh\0p"]) == [5]
        assert listed(groups=["Shop"]) == listed(groups=[]) == listed(states=[]) == []
        assert listed(states=[RunState.FAILED, RunState.SUCCEEDED]) == [2, 1]
        assert listed(states=[RunState.RUNNING], groups=["shop", "blog"]) == [6, 3]
        assert listed(groups=None, states=None) == [6, 5, 4, 3, 2, 1]

    # Locks

    def test_who_came_first_has_the_lock(self, store: Store, another: Any) -> None:
        begin(store, RUN, "catalogue")
        elsewhere = another()
        enqueue(elsewhere, OTHER, "shop", "catalogue", "shop")
        enqueue(elsewhere, THIRD, "catalogue")
        assert queues(store) == {"catalogue": [RUN, OTHER, THIRD], "shop": [OTHER]}
        assert store.ahead_of(RUN) == []
        assert [(lock.tag, lock.run) for lock in store.ahead_of(OTHER)] == [("catalogue", RUN)]
        assert [lock.run for lock in store.ahead_of(THIRD)] == [RUN, OTHER]
        assert set(store.ahead_of(THIRD)) <= set(store.locks())
        assert to_take_up(store) == []
        with pytest.raises(Rejected):
            store.ahead_of(run_id(9))

    @pytest.mark.parametrize("state", [state for state in RunState if state != "running"])
    def test_a_lock_goes_with_the_end_of_its_run_and_with_nothing_else(
        self, store: Store, state: RunState
    ) -> None:
        epoch = begin(store, RUN, "a", "b")
        enqueue(store, OTHER, "b")
        store.append(RUN, epoch, 1, 2, [passed(1)])
        store.append(RUN, epoch, 1, 3, [], state=RunState.RUNNING)
        assert queues(store) == {"a": [RUN], "b": [RUN, OTHER]}
        store.append(RUN, epoch, 1, 3, [passed(2)], state=state)
        if state in OVER:
            assert queues(store) == {"b": [OTHER]}
            assert to_take_up(store) == [OTHER]
        else:
            assert queues(store) == {"a": [RUN], "b": [RUN, OTHER]}
            assert to_take_up(store) == []

    def test_an_end_that_is_refused_leaves_the_lock(self, store: Store) -> None:
        epoch = begin(store, RUN, "a")
        with pytest.raises(Lost):
            store.append(RUN, epoch, 1, 1, [passed(1)], state=RunState.FAILED)
        assert queues(store) == {"a": [RUN]}

    def test_a_run_that_was_over_and_goes_on_comes_last(self, store: Store) -> None:
        epoch = begin(store, RUN, "a", "b")
        enqueue(store, OTHER, "b", "a")
        store.append(RUN, epoch, 1, 2, [], state=RunState.FAILED)
        epoch = store.take(RUN, epoch, owner(), next_lap=True)
        assert queues(store) == {"a": [OTHER, RUN], "b": [OTHER, RUN]}
        assert {lock.run for lock in store.ahead_of(RUN)} == {OTHER}
        store.append(RUN, epoch, 2, 2, [], state=RunState.CANCELLED)
        epoch = store.take(RUN, epoch, owner())
        assert queues(store)["a"] == [OTHER, RUN]

    @pytest.mark.parametrize("state", [RunState.INTERRUPTED, RunState.IN_DOUBT, RunState.QUEUED])
    def test_a_run_that_was_cut_off_and_goes_on_keeps_its_place(
        self, store: Store, state: RunState
    ) -> None:
        epoch = begin(store, RUN, "a")
        enqueue(store, OTHER, "a")
        before = store.locks()
        store.append(RUN, epoch, 1, 2, [], state=state)
        epoch = store.take(RUN, epoch, owner(2))
        store.release(RUN, epoch)
        store.take(RUN, epoch, owner(3), next_lap=True)
        assert store.locks() == before

    def test_a_taker_who_loses_takes_no_ticket(self, store: Store) -> None:
        epoch = begin(store, RUN, "a")
        store.append(RUN, epoch, 1, 2, [], state=RunState.FAILED)
        with pytest.raises(Lost):
            store.take(RUN, epoch - 1, owner(2), next_lap=True)
        assert store.locks() == []

    def test_runs_that_are_forgotten_leave_no_lock(self, store: Store) -> None:
        epoch = begin(store, RUN, "a")
        begin(store, OTHER, "a")
        store.append(RUN, epoch, 1, 2, [], state=RunState.FAILED)
        assert store.prune(EVER, 0) == 1
        assert queues(store) == {"a": [OTHER]}

    def test_tags_of_any_text_come_back(self, store: Store) -> None:
        tags = ["", " ", "\0", "\ud800", "漢", "A", "a", "%", "{now}", ":run"]
        enqueue(store, RUN, *tags)
        assert [lock.tag for lock in store.locks()] == sorted(map(storable, tags))

    def test_a_ticket_that_was_not_there_never_comes_before_one_that_was(
        self, another: Any
    ) -> None:
        """Else two runs would have one lock: who saw no ticket before its own goes on."""
        stores = [another() for _ in range(4)]

        def write(number: int) -> None:
            for place in range(15):
                tags = ["a", "b"] if place % 2 else ["b", "a"]
                enqueue(stores[number], run_id(number * 100 + place), *tags)

        seen: dict[str, list[str]] = {"a": [], "b": []}
        with ThreadPoolExecutor(3) as pool:
            writers = [pool.submit(write, number) for number in (1, 2, 3)]
            going = True
            while going:
                going = not all(writer.done() for writer in writers)
                for tag, queue in queues(stores[0]).items():
                    assert queue[: len(seen[tag])] == seen[tag]
                    seen[tag] = queue
            for writer in writers:
                writer.result()
        assert seen["a"] == seen["b"]
        assert len(seen["a"]) == 45

    # Many runs at once

    def test_many_runs_are_written_to_at_once(self, store: Store, another: Any) -> None:
        epochs = {run_id(number): begin(store, run_id(number), "a") for number in range(1, 6)}
        numbers = [store.ask(id, "cancel", {}, "me", 1) for id in epochs]
        line = Line(1, 1, 1, "out", "a line")
        writes = [
            Write(id, epoch, 1, 2, [passed(1), passed(2)], lines=[line], answers=[(number, id)])
            for (id, epoch), number in zip(epochs.items(), numbers, strict=True)
        ]
        writes[1] = writes[1]._replace(state=RunState.RUNNING)
        writes[2] = writes[2]._replace(state=RunState.SUCCEEDED, rows=[])
        writes[3] = writes[3]._replace(state=RunState.QUEUED)
        store.append_all(writes)
        seen = another()
        for write, number in zip(writes, numbers, strict=True):
            record = seen.find(write.id)
            assert rows_of(seen, write.id) == write.rows
            assert [one._replace(id=0) for one in seen.output(write.id)] == [line]
            assert seen.request(number).answer == write.id
            assert record.state == (write.state or RunState.RUNNING)
            assert (record.owner is None) == (record.state is not RunState.RUNNING)
        assert queues(seen) == {"a": [run_id(number) for number in (1, 2, 4, 5)]}

    @pytest.mark.parametrize("which", [0, 1, 2])
    @pytest.mark.parametrize("why", get_args(Refusal))
    def test_if_one_run_refuses_nothing_is_written_to_any(
        self, store: Store, which: int, why: Refusal
    ) -> None:
        ids = [run_id(number) for number in range(3)]
        epochs = {id: begin(store, id, "a") for id in ids}
        numbers = [store.ask(id, "cancel", {}, "me", 1) for id in ids]
        writes = [
            Write(
                id,
                epochs[id],
                1,
                2,
                [passed(1)],
                state=RunState.FAILED,
                lines=[Line(1, 1, 1, "out", "never")],
                answers=[(number, "never")],
            )
            for id, number in zip(ids, numbers, strict=True)
        ]
        refuses = ids[which]
        rows: Sequence[Any] = [passed(1)]
        match why:
            case "taken":
                store.take(refuses, epochs[refuses], owner(2))
            case "ended":
                store.append(refuses, epochs[refuses], 1, 2, [], state=RunState.INTERRUPTED)
            case "there":
                store.append(refuses, epochs[refuses], 1, 2, [passed(7)])
            case "a second end":
                rows = [ended(Ending.FAILED, 3, 1), ended(Ending.OVERDUE, 3, 1)]
            case "a second success":
                rows = [passed(3, 1), passed(3, 2)]
            case "gone":
                writes[which] = writes[which]._replace(id=run_id(9))
                refuses = run_id(9)
        writes[which] = writes[which]._replace(rows=rows)
        before = [(store.find(id)._replace(seen_s=0), rows_of(store, id)) for id in ids]
        tickets = store.locks()
        with pytest.raises(Lost) as caught:
            store.append_all(writes)
        assert caught.value.run == refuses
        assert [(store.find(id)._replace(seen_s=0), rows_of(store, id)) for id in ids] == before
        assert [line for id in ids for line in store.output(id)] == []
        assert [request.id for id in ids for request in store.asked(id)] == numbers
        assert store.locks() == tickets

    def test_a_run_is_named_once_in_what_is_written_at_once(self, store: Store, epoch: int) -> None:
        write = Write(RUN, epoch, 1, 2, [passed(1)])
        with pytest.raises(Rejected):
            store.append_all([write, write._replace(first_seq=3, rows=[passed(2)])])
        assert rows_of(store, RUN) == []

    def test_of_two_answers_to_one_request_the_first_stays(self, store: Store, epoch: int) -> None:
        number = store.ask(RUN, "cancel", {}, "me", 1)
        store.append_all([Write(RUN, epoch, 1, 2, [], answers=[(number, "a"), (number, "b")])])
        request = store.request(number)
        assert request is not None
        assert request.answer == "a"

    def test_nothing_may_be_written_at_once(self, store: Store) -> None:
        store.append_all([])

    def test_who_is_refused_a_run_is_told_which(self, store: Store, epoch: int) -> None:
        store.take(RUN, epoch, owner(2))
        for write in (
            lambda: store.append(RUN, epoch, 1, 2, [passed(1)]),
            lambda: store.beat(RUN, epoch),
            lambda: store.take(RUN, epoch, owner(3)),
            lambda: store.release(RUN, epoch),
        ):
            with pytest.raises(Lost) as caught:
                write()
            assert caught.value.run == RUN
