"""What every store must do with tokens: a part of ``StoreContract``."""

from collections.abc import Callable
from typing import Any

import pytest

from headway.errors import Conflict, Rejected
from headway.ports.store import Store, storable
from headway.ports.tokens import EVERY, Token
from headway.releases.playbook import NAME_CHARACTERS


def token(id: str = "t1", **changes: Any) -> Token:
    given = Token(id, "ci", f"digest of {id}", ("shop", "blog"), (EVERY,), "me", 5, 70)
    return given._replace(**changes)


class TokensContract:
    """Needs the fixtures ``store`` and ``another`` of ``StoreContract``."""

    def test_a_token_is_found_by_its_digest_as_it_was_added(
        self, store: Store, another: Callable[[], Store]
    ) -> None:
        store.add_token(token())
        store.add_token(token("t2", groups=(), environments=("a", "b"), expires_us=None))
        for seen in (store, another()):
            assert seen.token("digest of t1") == token()
            assert seen.token("digest of t2") == token(
                "t2", groups=(), environments=("a", "b"), expires_us=None
            )
            assert seen.token_with_id("t1") == token()
            assert seen.token_with_id("digest of t1") is seen.token_with_id("") is None
            assert seen.token("t1") is seen.token("") is seen.token("Digest of t1") is None

    def test_an_id_and_a_digest_belong_to_one_token(self, store: Store) -> None:
        store.add_token(token())
        for second in (token(digest="other"), token("t2", digest="digest of t1")):
            with pytest.raises(Conflict):
                store.add_token(second)
        assert store.tokens() == [token()]

    def test_tokens_are_listed_oldest_first(self, store: Store) -> None:
        made = [token("b", at_us=7), token("c", at_us=1), token("a", at_us=7)]
        for one in made:
            store.add_token(one)
        assert store.tokens() == [made[1], made[2], made[0]]

    def test_a_token_that_was_revoked_is_still_found_and_says_so(
        self, store: Store, another: Callable[[], Store]
    ) -> None:
        store.add_token(token())
        store.add_token(token("t2"))
        another().revoke_token("t1", 9)
        store.revoke_token("t1", 12)
        assert store.token("digest of t1") == token(revoked_us=9)
        assert store.tokens() == [token(revoked_us=9), token("t2")]
        with pytest.raises(Rejected):
            store.revoke_token("t3", 9)

    def test_a_token_of_any_text_comes_back(self, store: Store) -> None:
        text = "\0 \ud800 ä {now} :name '"
        kept = storable(text)
        store.add_token(token(text, name=text, digest=text, groups=(text,), who=text))
        assert store.token(text) == token(kept, name=kept, digest=kept, groups=(text,), who=kept)
        store.revoke_token(text, 9)
        assert store.tokens()[0].revoked_us == 9
        long = "x" * (NAME_CHARACTERS + 1)
        for other in (token(long, digest="x"), token("t9", name=long), token("t9", digest=long)):
            with pytest.raises(Rejected):
                store.add_token(other)
