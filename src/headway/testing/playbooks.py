"""What every store must do with playbooks: a part of ``StoreContract``."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from headway.errors import Conflict, Rejected
from headway.ports.playbooks import PlaybookRecord, PlaybookText, PlaybookVersion
from headway.ports.store import Store, storable
from headway.releases.playbook import NAME_CHARACTERS

SHOP, BLOG = "0a" * 12, "0b" * 12


def typed(text: str = "group: shop\n", notation: str = "YAML") -> PlaybookText:
    return PlaybookText(text, notation, 1)


class PlaybooksContract:
    """Needs the fixtures ``store`` and ``another`` of ``StoreContract``."""

    @pytest.fixture
    def shop(self, store: Store) -> str:
        """The id of a playbook that was added, shop/Bring out."""
        store.add_playbook(SHOP, "shop", "Bring out", typed(), "me", 5)
        return SHOP

    def test_a_playbook_is_found_as_it_was_added(
        self, store: Store, shop: str, another: Callable[[], Store]
    ) -> None:
        record = PlaybookRecord(shop, "shop", "Bring out", 1, "me", 5)
        for seen in (store, another()):
            for called in (shop, shop[:5], shop[:5].upper(), "0", "shop/Bring out"):
                assert seen.find_playbook(called) == record
            assert seen.playbooks() == [record]
            assert seen.playbook_version(shop, 1) == PlaybookVersion(1, typed(), "me", 5)
            assert seen.playbook_versions(shop) == [PlaybookVersion(1, typed(), "me", 5)]
        assert record.title == "shop/Bring out"

    @pytest.mark.parametrize(
        "called",
        ["", "0", "f", "0aa", "shop", "shop/", "/", "shop/bring out", "%", "_", "\0/", "\ud800"],
    )
    def test_what_names_no_playbook_or_several_is_rejected(self, store: Store, called: str) -> None:
        store.add_playbook(SHOP, "shop", "Bring out", typed(), "me", 5)
        store.add_playbook(BLOG, "blog", "Bring out", typed(), "me", 5)
        with pytest.raises(Rejected):
            store.find_playbook(called)

    def test_a_title_that_two_have_is_rejected_and_their_ids_are_not(self, store: Store) -> None:
        store.add_playbook(SHOP, "a", "b/c", typed(), "me", 5)
        store.add_playbook(BLOG, "a/b", "c", typed(), "me", 5)
        with pytest.raises(Rejected):
            store.find_playbook("a/b/c")
        assert [store.find_playbook(id).group for id in (SHOP, BLOG)] == ["a", "a/b"]

    def test_a_name_belongs_to_one_playbook_of_a_group(self, store: Store, shop: str) -> None:
        with pytest.raises(Conflict):
            store.add_playbook(BLOG, "shop", "Bring out", typed("new"), "you", 6)
        with pytest.raises(Rejected):
            store.find_playbook(BLOG)
        store.add_playbook(BLOG, "shop", "bring out", typed(), "you", 6)
        with pytest.raises(Conflict):
            store.edit_playbook(BLOG, 1, "Bring out", typed("new"), "you", 7)
        assert store.find_playbook(BLOG) == (BLOG, "shop", "bring out", 1, "you", 6, None, None)
        assert len(store.playbook_versions(BLOG)) == 1

    def test_an_id_is_given_to_one_playbook_only(self, store: Store, shop: str) -> None:
        for name in ("Bring out", "Other"):
            with pytest.raises(Conflict):
                store.add_playbook(shop, "shop", name, typed("new"), "you", 6)
        assert [one.typed for one in store.playbook_versions(shop)] == [typed()]

    def test_an_edit_adds_a_version_and_the_older_ones_stay(
        self, store: Store, shop: str, another: Callable[[], Store]
    ) -> None:
        json = PlaybookText('{"group": "shop"}', "JSON", 2)
        assert another().edit_playbook(shop, 1, "Bring it out", json, "you", 7) == 2
        assert store.edit_playbook(shop, 2, "Bring it out", typed("3"), "me", 6) == 3
        assert store.find_playbook("shop/Bring it out") == PlaybookRecord(
            shop, "shop", "Bring it out", 3, "me", 6
        )
        versions = [
            PlaybookVersion(3, typed("3"), "me", 6),
            PlaybookVersion(2, json, "you", 7),
            PlaybookVersion(1, typed(), "me", 5),
        ]
        assert store.playbook_versions(shop) == versions
        assert store.playbook_versions(shop, limit=1, before=3) == versions[1:2]
        assert store.playbook_versions(shop, before=1) == []
        for version in versions:
            assert store.playbook_version(shop, version.number) == version
        with pytest.raises(Rejected):
            store.find_playbook("shop/Bring out")

    @pytest.mark.parametrize("expected", [0, 1, 3, -1])
    def test_an_edit_of_another_version_than_the_newest_is_a_conflict(
        self, store: Store, shop: str, expected: int
    ) -> None:
        store.edit_playbook(shop, 1, "Bring out", typed("2"), "you", 6)
        with pytest.raises(Conflict):
            store.edit_playbook(shop, expected, "Other", typed("3"), "me", 7)
        assert store.find_playbook(shop) == (shop, "shop", "Bring out", 2, "you", 6, None, None)
        assert [one.number for one in store.playbook_versions(shop)] == [2, 1]

    def test_of_two_editors_one_wins(self, another: Callable[[], Store]) -> None:
        stores = [another(), another()]
        stores[0].add_playbook(SHOP, "shop", "Bring out", typed(), "me", 5)
        for expected in range(1, 11):
            together = threading.Barrier(2, timeout=60)

            def edit(
                which: int, expected: int = expected, together: threading.Barrier = together
            ) -> int | None:
                together.wait()
                try:
                    return stores[which].edit_playbook(
                        SHOP, expected, "Bring out", typed(f"{which}"), f"{which}", 6
                    )
                except Conflict:
                    return None

            with ThreadPoolExecutor(2) as pool:
                told = list(pool.map(edit, (0, 1)))
            assert sorted(told, key=str) == [expected + 1, None]
            winner = told.index(expected + 1)
            assert stores[0].playbook_version(SHOP, expected + 1).typed == typed(f"{winner}")

    def test_of_two_that_add_one_name_one_wins(self, another: Callable[[], Store]) -> None:
        stores = [another(), another()]
        for number in range(10):
            together = threading.Barrier(2, timeout=60)

            def add(
                which: int, number: int = number, together: threading.Barrier = together
            ) -> bool:
                together.wait()
                try:
                    id = f"{which}{number}" * 12
                    stores[which].add_playbook(id, "shop", f"{number}", typed(), "me", 5)
                except Conflict:
                    return False
                return True

            with ThreadPoolExecutor(2) as pool:
                assert sorted(pool.map(add, (0, 1))) == [False, True]
        assert len(stores[0].playbooks()) == 10

    def test_a_playbook_that_was_removed_is_read_by_its_id_and_no_longer_changed(
        self, store: Store, shop: str, another: Callable[[], Store]
    ) -> None:
        another().remove_playbook(shop, "you", 9)
        record = PlaybookRecord(shop, "shop", "Bring out", 1, "me", 5, 9, "you")
        assert store.find_playbook(shop) == store.find_playbook(shop[:3]) == record
        assert store.playbook_version(shop, 1).typed == typed()
        assert store.playbooks() == []
        refusals: tuple[Callable[[], object], ...] = (
            lambda: store.find_playbook("shop/Bring out"),
            lambda: store.edit_playbook(shop, 1, "Bring out", typed("2"), "me", 10),
            lambda: store.remove_playbook(shop, "me", 10),
        )
        for refused in refusals:
            with pytest.raises(Rejected):
                refused()
        assert store.find_playbook(shop) == record
        assert len(store.playbook_versions(shop)) == 1

    def test_the_name_of_a_playbook_that_was_removed_is_free_again(
        self, store: Store, shop: str
    ) -> None:
        store.remove_playbook(shop, "me", 9)
        store.add_playbook(BLOG, "shop", "Bring out", typed("new"), "me", 10)
        assert store.find_playbook("shop/Bring out").id == BLOG
        store.remove_playbook(BLOG, "me", 11)
        assert store.find_playbook(shop).removed_us == 9

    def test_playbooks_are_listed_by_group_and_name_and_in_pages(self, store: Store) -> None:
        titles = [
            ("Z", "a"),
            ("a", "Ä"),
            ("a", "Z"),
            ("a", "a"),
            ("b", "a"),
            ("a", "z/"),
            ("a/", ""),
        ]
        for number, (group, name) in enumerate(titles):
            store.add_playbook(f"{number:024x}", group, name, typed(), "me", 5)
        titles.sort()
        assert [(one.group, one.name) for one in store.playbooks()] == titles
        assert [one.name for one in store.playbooks("a")] == ["Z", "a", "z/", "Ä"]
        assert store.playbooks("c") == []
        seen: list[tuple[str, str]] = []
        while page := store.playbooks(limit=2, after=seen[-1] if seen else ("", "")):
            assert len(page) <= 2
            seen += [(one.group, one.name) for one in page]
        assert seen == titles
        assert [one.name for one in store.playbooks("a", 2, ("a", "Z"))] == ["a", "z/"]

    def test_a_playbook_or_version_that_is_not_there_is_rejected(
        self, store: Store, shop: str
    ) -> None:
        asked: tuple[Callable[[], Any], ...] = (
            lambda: store.playbook_version(shop, 0),
            lambda: store.playbook_version(shop, 2),
            lambda: store.playbook_version(shop, 2**70),
            lambda: store.playbook_version(BLOG, 1),
            lambda: store.playbook_version(shop[:6], 1),
            lambda: store.playbook_versions(BLOG),
            lambda: store.edit_playbook(BLOG, 1, "Other", typed(), "me", 6),
            lambda: store.edit_playbook(shop[:6], 1, "Other", typed(), "me", 6),
            lambda: store.remove_playbook(BLOG, "me", 6),
            lambda: store.remove_playbook(shop[:6], "me", 6),
        )
        for ask in asked:
            with pytest.raises(Rejected):
                ask()

    def test_a_name_has_its_limit(self, store: Store, shop: str) -> None:
        longest, longer = "\U0001f680" * NAME_CHARACTERS, "x" * (NAME_CHARACTERS + 1)
        refusals: tuple[Callable[[], object], ...] = (
            lambda: store.add_playbook(BLOG, longer, "name", typed(), "me", 6),
            lambda: store.add_playbook(BLOG, "group", longer, typed(), "me", 6),
            lambda: store.edit_playbook(shop, 1, longer, typed(), "me", 6),
        )
        for refused in refusals:
            with pytest.raises(Rejected):
                refused()
        store.add_playbook(BLOG, longest, longest, typed(), "me", 6)
        assert store.find_playbook(f"{longest}/{longest}").id == BLOG

    def check_that_texts_come_back(self, store: Store, text: str) -> None:
        """``StoreContract`` calls it with every text that is hard to keep."""
        name = text[:NAME_CHARACTERS]
        kept, title = storable(text), (storable(name), storable(name))
        store.add_playbook(SHOP, name, name, typed(text), text, 5)
        store.edit_playbook(SHOP, 1, name, typed(text + "\r\n"), text, 6)
        store.remove_playbook(SHOP, text, 7)
        assert store.find_playbook(SHOP) == (SHOP, *title, 2, kept, 6, 7, kept)
        assert [one.typed.text for one in store.playbook_versions(SHOP)] == [kept + "\r\n", kept]
