"""Tokens: made, told once, and looked at again."""

import re

import pytest

from headway.errors import Rejected
from headway.runtime import clocks
from headway.runtime.tokens import called, digest_of, found, is_valid, new_token
from headway.testing.memory import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_a_token_is_kept_as_a_digest_only(store: MemoryStore) -> None:
    text, token = new_token(store, "ci", ["shop"], ["test"], who="me")
    assert re.fullmatch(r"hw_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", text)
    assert text.split("_")[1] == token.id
    assert token.digest == digest_of(text)
    assert text not in repr(store.tokens())
    again, _ = new_token(store, "other", ["shop"], [], who="me")
    assert again != text


def test_it_is_found_by_its_text_while_it_holds(store: MemoryStore) -> None:
    text, token = new_token(store, "ci", ["shop"], ["test"], who="me")
    assert found(store, text) == token
    assert found(store, text[:-1] + ("a" if text[-1] != "a" else "b")) is None
    assert found(store, "") is None
    assert found(store, token.digest) is None
    store.revoke_token(token.id, clocks.now_us())
    assert found(store, text) is None


def test_one_that_has_expired_holds_no_longer(store: MemoryStore) -> None:
    text, _ = new_token(store, "ci", [], [], who="me", expires_us=clocks.now_us() - 1)
    assert found(store, text) is None
    later, token = new_token(store, "ci", [], [], who="me", expires_us=clocks.now_us() + 10**9)
    assert found(store, later) == token


def test_names_are_of_one_token_that_holds(store: MemoryStore) -> None:
    _, first = new_token(store, "ci", [], [], who="me")
    with pytest.raises(Rejected, match=f"headway token revoke {first.id}"):
        new_token(store, "ci", [], [], who="me")
    store.revoke_token(first.id, clocks.now_us())
    _, second = new_token(store, "ci", [], [], who="me")
    assert called(store, "ci") == second
    assert not is_valid(called(store, first.id))
    with pytest.raises(Rejected, match="headway token list"):
        called(store, "nobody")
