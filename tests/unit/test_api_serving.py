"""Where the API listens, and whom it would let in there."""

import socket
from collections.abc import Iterator

import pytest

from headway.doors.web.serving import Listener, is_loopback, listen, require_tokens
from headway.errors import Refused, Rejected, Unavailable
from headway.runtime import clocks
from headway.runtime.tokens import new_token
from headway.testing.memory import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def exposed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """One that says that others can reach it; nobody does."""
    listener = listen("127.0.0.1:0")
    listener.is_loopback = False
    yield listener
    listener.close()


@pytest.mark.parametrize(
    ("address", "is_so"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("192.168.1.7", False),
        ("", False),
    ],
)
def test_only_this_machine_reaches_a_loopback_address(address: str, is_so: bool) -> None:
    assert is_loopback(address) is is_so


def test_a_port_of_0_takes_any_that_is_free() -> None:
    listener = listen("localhost:0")
    assert listener.is_loopback
    assert listener.port > 0
    assert listener.url == f"http://localhost:{listener.port}"
    listener.close()


@pytest.mark.parametrize("place", ["8320", "127.0.0.1", ":8320", "a:b", "h:99999", "::1:80", ""])
def test_what_is_no_place_is_explained(place: str) -> None:
    with pytest.raises(Rejected, match="write HOST:PORT"):
        listen(place)


def test_a_place_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Unavailable, match=place):
            listen(place)


def test_nobody_is_let_in_from_elsewhere_without_a_token(
    store: MemoryStore, exposed: Listener
) -> None:
    with pytest.raises(Refused, match="headway token new"):
        require_tokens(store, exposed)
    new_token(store, "old", ["*"], [], who="me", expires_us=clocks.now_us() - 1)
    _, token = new_token(store, "gone", ["*"], [], who="me")
    store.revoke_token(token.id, clocks.now_us())
    with pytest.raises(Refused, match="no token that holds"):
        require_tokens(store, exposed)
    new_token(store, "ci", ["*"], [], who="me")
    assert require_tokens(store, exposed) is True


def test_on_this_machine_no_token_is_needed_and_that_is_known(store: MemoryStore) -> None:
    listener = listen("127.0.0.1:0")
    assert require_tokens(store, listener) is False
    listener.close()
