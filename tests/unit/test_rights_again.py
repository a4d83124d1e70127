"""A release that was queued begins only if whoever asked for it still may have it begun."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from headway.jobs.events import RunEnded, RunIntended
from headway.jobs.states import RunState
from headway.runtime import clocks
from headway.runtime.core import CoreRules
from headway.runtime.deploying import deploy, read_release
from headway.runtime.rights_again import refusal
from headway.runtime.serving_core import CoreService
from headway.runtime.tokens import new_token
from headway.testing.memory import MemoryStore
from headway.testing.sample_runs import launch
from headway.workers.noop import NoopWorker
from tests.unit.test_core import SOON_S, Place, RunningCore, held

TEST = {"test": ("web1", "web2")}


@pytest.fixture
def place() -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(stack)


def token(store: MemoryStore, *environments: str, group: str = "shop", **more: Any) -> str:
    """Its id."""
    return new_token(store, "ci", [group], environments, who="me", **more)[1].id


def asked(place: Place, token: str) -> str:
    release = read_release(place.store, place.store.find_playbook(place.playbook()))
    return deploy(place.store, release, {}, who="ci", token=token).run


@pytest.mark.parametrize(
    ("environments", "known", "why"),
    [
        (["*"], TEST, ""),
        (["test"], TEST, ""),
        (["test"], {"test": ("web1",)}, "have no longer all of its hosts (web2)"),
        (["test"], {"other": ("*",)}, "have no longer all of its hosts (web1, web2)"),
        (["test"], {}, ""),
    ],
)
def test_its_hosts_must_still_be_the_tokens(
    environments: list[str], known: dict[str, tuple[str, ...]], why: str
) -> None:
    store = MemoryStore()
    of = launch(token=token(store, *environments), hosts=["web1", "web2"])
    found = refusal(store, of, known)
    assert found.endswith(why)
    assert bool(found) == bool(why)


def test_its_group_must_be_the_tokens() -> None:
    store = MemoryStore()
    of = launch(token=token(store, "*", group="bank"))
    assert refusal(store, of, {}) == (
        "the token it was asked for with (me) is not for the group 'shop'"
    )


def test_who_needed_no_token_needs_none_now() -> None:
    assert refusal(MemoryStore(), launch(), TEST) == ""


def test_a_token_that_has_expired_was_good_when_it_was_asked() -> None:
    store = MemoryStore()
    of = launch(token=token(store, "*", expires_us=1))
    assert refusal(store, of, {}) == ""


def test_of_a_token_that_was_revoked_meanwhile_nothing_begins_and_the_journal_says_why(
    place: Place,
) -> None:
    place.serve(NoopWorker)
    revoked = token(place.store, "*")
    run = asked(place, revoked)
    place.store.revoke_token(revoked, clocks.now_us())
    place.core()
    assert place.ended(run) is RunState.FAILED
    events = place.events(run)
    assert [one.why for one in events if isinstance(one, RunEnded)] == [
        "the token it was asked for with (ci) was revoked before it began"
    ]
    assert not any(isinstance(one, RunIntended) for one in events)


def test_a_core_knows_the_environments_it_was_told_of(place: Place) -> None:
    place.serve(NoopWorker)
    run = asked(place, token(place.store, "test"))
    rules = CoreRules(look_s=0.01, environments={"test": ("web1",)})
    core = RunningCore(place, CoreService(lambda: place.store, place.bus, rules))
    place.stack.callback(core.stop)
    assert place.ended(run) is RunState.FAILED


def test_what_has_begun_goes_on_whatever_becomes_of_its_token(place: Place) -> None:
    worker = held()
    place.serve(worker)
    good = token(place.store, "*")
    run = asked(place, good)
    first = place.core()
    assert worker.begun.acquire(timeout=SOON_S)
    first.stop()
    place.store.revoke_token(good, clocks.now_us())
    worker.go.set()
    place.core()
    assert place.ended(run) is RunState.SUCCEEDED
