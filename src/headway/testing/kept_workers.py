"""What every store must do with which workers are there: a part of ``StoreContract``."""

from collections.abc import Callable
from typing import Any

from headway.ports.store import Store
from headway.ports.workers import WorkerRecord
from headway.releases.presences import LONGEST_INTERVAL_S, MISSED
from headway.wire.messages import Presence, StepUnderWay

_EVER = 2**62


def presence(worker: str = "w1", queue: str = "worker.frob", **more: Any) -> Presence:
    known: dict[str, Any] = {"command": "frob", "since_us": 5, "interval_s": 5, "number": 1}
    return Presence(worker=worker, queue=queue, **{**known, **more})


def noted(store: Store, *presences: Presence, seen_s: float = 0.0) -> None:
    store.note_workers([WorkerRecord(one, seen_s) for one in presences])


def there(store: Store) -> list[Presence]:
    return [one.presence for one in store.workers(100)]


class WorkersContract:
    """Needs the fixtures ``store`` and ``another`` of ``StoreContract``."""

    def test_a_worker_is_found_as_it_said_that_it_is_there(
        self, store: Store, another: Callable[[], Store]
    ) -> None:
        step = StepUnderWay(since_us=7, run="r", attempt="a", command="frob", subcommand="Do")
        said = presence(
            bindings=["worker.frob", "x"], kind="F", version="v", host="h", pid=3, doing=[step]
        )
        noted(store, said, seen_s=2.0)
        for seen in (store, another()):
            (one,) = seen.workers(100)
            assert one.presence == said
            assert 2.0 <= one.seen_s < 60

    def test_what_was_said_later_takes_the_place_of_what_was_said_before(
        self, store: Store, another: Callable[[], Store]
    ) -> None:
        noted(store, presence(number=2, state="leaving"))
        noted(another(), presence(number=1), presence(number=2), seen_s=9.0)
        (one,) = store.workers(100)
        assert (one.presence.state, one.seen_s < 9) == ("leaving", True)
        noted(another(), presence(number=3, pid=7))
        assert there(store) == [presence(number=3, pid=7)]
        noted(store, presence(number=0, pid=8))  # who does not count is believed
        assert there(store) == [presence(number=0, pid=8)]

    def test_who_left_is_not_there_and_comes_not_back_by_a_late_message(self, store: Store) -> None:
        noted(store, presence(number=1), presence("w2"))
        noted(store, presence(number=3, state="left"))
        noted(store, presence(number=2))
        assert there(store) == [presence("w2")]

    def test_who_left_is_forgotten_once_no_late_message_is_to_be_expected(
        self, store: Store
    ) -> None:
        noted(store, presence(number=3, state="left"), seen_s=MISSED * 5 + 1.0)
        noted(store, presence("w2", number=1, state="left"))
        assert there(store) == []
        assert store.forget_workers(_EVER) == 0, "w1 is forgotten, and it is too early for w2"

    def test_workers_are_listed_by_queue_and_worker_page_by_page(self, store: Store) -> None:
        said = [presence(w, q) for q in ("a", "b", "ä") for w in ("x", "y")]
        noted(store, *reversed(said))
        assert there(store) == said
        assert [one.presence for one in store.workers(2)] == said[:2]
        assert [one.presence for one in store.workers(3, ("a", "y"))] == said[2:5]
        assert store.workers(3, ("ä", "y")) == []

    def test_only_who_was_lost_long_enough_ago_is_forgotten(self, store: Store) -> None:
        lost_s = MISSED * 5 + 1.0
        noted(store, presence("lost"), seen_s=lost_s)
        noted(store, presence("late"), seen_s=lost_s - 2)
        noted(store, presence("slow", interval_s=10**9), seen_s=MISSED * LONGEST_INTERVAL_S - 60)
        assert store.forget_workers(1) == 0
        assert store.forget_workers(_EVER) == 1
        assert {one.worker for one in there(store)} == {"late", "slow"}

    def test_workers_of_any_text_come_back(self, store: Store) -> None:
        text = "\0 \\ud800 ä {now} :name {from} '%s"
        said = presence(text, text, kind=text, host=text, extra={"more": text})
        noted(store, said, presence(text, text))
        noted(store, said)
        (one,) = there(store)
        assert one.worker == text
        assert store.workers(1, (text, text)) == []

    def test_nothing_heard_is_nothing_noted(self, store: Store) -> None:
        store.note_workers([])
        assert store.workers(1) == []
