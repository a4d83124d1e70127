"""A release with all that surrounds it is carried out, retried and told of."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headway.adapters.opening import open_store
from headway.adapters.sql_store import SqlStore
from headway.jobs.states import RunState
from headway.releases.surroundings_reading import from_plain
from headway.runtime.playbooks import surrounding
from headway.wire.messages import Notification
from tests.faults.surrounded import AROUND, STEPS, Release


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = open_store(tmp_path / "headway.db", check_version=False)
    store.upgrade()
    with closing(store):
        yield store


@pytest.fixture
def release(tmp_path: Path, store: SqlStore) -> Iterator[Release]:
    made = Release(tmp_path, store)
    with closing(made.channel):
        yield made


def test_a_release_asks_inserts_acts_and_tells(release: Release) -> None:
    assert release.live() is RunState.SUCCEEDED
    assert release.world.done == ["IsOpen", *STEPS, "Stamp", "Cheer"]
    assert release.channel.phases == ["started", "completed"]
    assert release.channel.runs == [release.run] * 2
    assert (
        release.channel.notices[0].message
        == f"Release {release.run} started: Roll. https://r/{release.run}"
    )
    assert release.channel.notices[0].target == ["#aurora"]


def test_checks_and_actions_are_sent_no_hosts(release: Release) -> None:
    release.live()
    check, *_, cheer = release.world.bodies
    assert check["parameters"] == {"command": "ticket", "subcommand": "IsOpen", "hosts": []}
    assert cheer["parameters"]["hosts"] == []
    assert check["notify"] == cheer["notify"] == {}
    assert check["group"] == "orchard"


def test_people_are_told_of_the_start_before_anything_is_asked_and_of_the_end_once_it_is_stored(
    release: Release,
) -> None:
    before: list[list[str]] = []
    announce = release.channel.announce

    def told(topic: str, notice: Notification, run: str) -> Any:
        before.append(list(release.world.done))
        return announce(topic, notice, run)

    release.channel.announce = told  # type: ignore[method-assign]
    release.live()
    assert before == [[], ["IsOpen", *STEPS, "Stamp", "Cheer"]]
    assert release.channel.stood == [RunState.RUNNING, RunState.SUCCEEDED]


def test_a_check_that_is_not_answered_as_expected_stops_the_release(release: Release) -> None:
    release.world.is_open = False
    assert release.live() is RunState.FAILED
    assert release.world.done == ["IsOpen", "Stamp", "Cry"]
    assert release.channel.phases == ["started", "failed"]


def test_an_action_that_fails_fails_the_release(release: Release) -> None:
    release.world.fails = "Stamp"
    assert release.live() is RunState.FAILED
    assert release.world.done == ["IsOpen", *STEPS, "Stamp"]
    assert release.channel.phases == ["started", "failed"]


def test_a_retry_acts_anew_and_tells_what_was_not_told(release: Release) -> None:
    release.world.fails = "Go b"
    assert release.live() is RunState.FAILED
    assert release.retry() is RunState.FAILED
    release.world.fails = ""
    assert release.retry() is RunState.SUCCEEDED
    assert release.world.done == [
        *["IsOpen", *STEPS, "Stamp", "Cry"],
        *["Go b", "Stamp", "Cry"],
        *["Go b", "Stamp", "Cheer"],
    ]
    assert release.channel.phases == ["started", "failed", "completed"]
    assert release.told == ["started", "failed", "completed"]


def test_a_release_that_was_cancelled_tells_so_and_acts_when_it_goes_on(release: Release) -> None:
    asked = threading.Event()

    class Asking(list):  # type: ignore[type-arg]
        def append(self, step: str) -> None:
            list.append(self, step)
            if step == "Go a" and not asked.is_set():
                asked.set()
                number = release.store.ask(release.store.find(None).id, "cancel", {}, "ada", 0)
                while (request := release.store.request(number)) is None or not request.answer:
                    pass  # it goes on once that is answered

    release.world.done = Asking()
    assert release.live() is RunState.CANCELLED
    assert release.world.done == ["IsOpen", "Look a", "Go a"]
    assert [one.message.split()[2] for one in release.channel.notices] == ["started:", "cancelled:"]
    assert release.channel.phases == ["started", "failed"]
    assert release.live() is RunState.SUCCEEDED
    assert release.world.done[3:] == ["Look b", "Go b", "Stamp", "Cheer"]
    assert release.told == ["started", "cancelled", "completed"]


def test_what_surrounded_a_run_is_kept_with_it(release: Release) -> None:
    release.live()
    kept = release.record.launch.surroundings
    assert from_plain(kept, "it") == release.loaded.surroundings
    assert json.loads(json.dumps(kept)) == kept
    assert surrounding(release.record) == release.loaded.surroundings


def test_a_notice_that_nobody_hears_is_logged_and_harms_nothing(
    tmp_path: Path, store: SqlStore, caplog: pytest.LogCaptureFixture
) -> None:
    notice = {**AROUND["phase_notification"], "topic": "notify.smoke"}  # type: ignore[dict-item]
    release = Release(tmp_path, store, {**AROUND, "phase_notification": notice})
    with closing(release.channel), caplog.at_level(logging.WARNING, "headway.notices"):
        release.channel.announce = release.channel.send  # type: ignore[method-assign]
        assert release.live() is RunState.SUCCEEDED
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "nobody hears notices to notify.smoke"
    ] * 2


def test_without_a_phase_notification_nobody_is_told(tmp_path: Path, store: SqlStore) -> None:
    around = {key: value for key, value in AROUND.items() if key != "phase_notification"}
    release = Release(tmp_path, store, around)
    with closing(release.channel):
        assert release.live() is RunState.SUCCEEDED
        assert release.told == release.channel.phases == []
