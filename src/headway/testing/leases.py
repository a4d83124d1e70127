"""What every store must do with leases: a part of ``StoreContract``."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from headway.errors import Conflict, Rejected
from headway.ports.leases import CORE
from headway.ports.store import Owner, Store, storable
from headway.releases.playbook import NAME_CHARACTERS
from headway.testing.sample_runs import owner

LONG_S = 3600.0
OVER_S = 0.0  # a lease this long is over as soon as it is taken


class LeasesContract:
    """Needs the fixtures ``store`` and ``another`` of ``StoreContract``."""

    def test_a_lease_has_one_holder(self, store: Store, another: Callable[[], Store]) -> None:
        assert store.lease_of(CORE) is None
        assert store.lease(CORE, owner(1), LONG_S) == 1
        elsewhere = another()
        with pytest.raises(Conflict, match="process 1 on here"):
            elsewhere.lease(CORE, owner(2), LONG_S)
        record = elsewhere.lease_of(CORE)
        assert record is not None
        assert (record.owner, record.epoch) == (owner(1), 1)
        assert 0 <= record.seen_s < 60
        store.renew(CORE, 1)
        assert elsewhere.lease("other", owner(2), LONG_S) == 1

    def test_who_holds_a_lease_may_take_it_anew(self, store: Store) -> None:
        store.lease(CORE, owner(1), LONG_S)
        assert store.lease(CORE, owner(1), LONG_S) == 2
        with pytest.raises(Conflict):
            store.renew(CORE, 1)
        store.renew(CORE, 2)

    @pytest.mark.parametrize(
        "other",
        [
            owner(1)._replace(host="other"),
            owner(1)._replace(started="other"),
            owner(1)._replace(boot="other"),
        ],
        ids=["host", "start", "boot"],
    )
    def test_another_process_by_the_same_number_is_another(
        self, store: Store, other: Owner
    ) -> None:
        store.lease(CORE, owner(1), LONG_S)
        with pytest.raises(Conflict):
            store.lease(CORE, other, LONG_S)

    def test_a_lease_that_was_not_renewed_in_time_goes_to_who_asks(self, store: Store) -> None:
        store.lease(CORE, owner(1), LONG_S)
        assert store.lease(CORE, owner(2), OVER_S) == 2
        with pytest.raises(Conflict, match="process 2 on here"):
            store.renew(CORE, 1)
        store.leave(CORE, 1)
        record = store.lease_of(CORE)
        assert record is not None
        assert (record.owner, record.epoch) == (owner(2), 2)

    def test_a_lease_that_was_given_up_goes_to_who_asks(self, store: Store) -> None:
        store.lease(CORE, owner(1), LONG_S)
        store.leave(CORE, 1)
        assert store.lease_of(CORE) is None
        with pytest.raises(Conflict):
            store.renew(CORE, 1)
        store.leave(CORE, 1)
        assert store.lease(CORE, owner(2), LONG_S) == 2

    def test_a_lease_that_nobody_took_is_neither_renewed_nor_left(self, store: Store) -> None:
        with pytest.raises(Conflict):
            store.renew(CORE, 1)
        store.leave(CORE, 1)
        assert store.lease(CORE, owner(1), LONG_S) == 1

    def test_of_many_who_want_a_lease_at_once_one_gets_it(
        self, another: Callable[[], Store]
    ) -> None:
        stores = [another() for _ in range(4)]
        together = threading.Barrier(4, timeout=60)

        def want(number: int) -> int | None:
            together.wait()
            try:
                return stores[number].lease(CORE, owner(number), LONG_S)
            except Conflict:
                return None

        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(want, range(4)))
        assert sorted(got, key=str) == [1, None, None, None]
        record = stores[0].lease_of(CORE)
        assert record is not None
        assert record.owner == owner(got.index(1))

    def test_names_and_holders_of_any_text_come_back(self, store: Store) -> None:
        text = "\0 \ud800 ä {now} :name"
        store.lease(text, Owner(text, 1, text, text), LONG_S)
        assert store.lease(text, Owner(text, 1, text, text), LONG_S) == 2
        store.renew(text, 2)
        record, kept = store.lease_of(text), storable(text)
        assert record is not None
        assert record.owner == Owner(kept, 1, kept, kept)
        store.leave(text, 2)
        assert store.lease_of(text) is None
        with pytest.raises(Rejected):
            store.lease("x" * (NAME_CHARACTERS + 1), owner(1), LONG_S)
