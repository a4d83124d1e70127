"""The API as a client meets it: runs, playbooks, deployments, and what is wrong with requests."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from headway.adapters.opening import open_store
from headway.doors.web import connections, desk, streams
from headway.doors.web.cursors import cursor_of
from headway.errors import Unavailable
from headway.jobs.events import RunEnded, RunPaused, encode
from headway.jobs.states import RunState
from headway.ports.store import Store
from headway.releases.playbook import Step
from headway.releases.surroundings import Surroundings, Trigger
from headway.runtime import clocks
from headway.testing.kept_workers import noted, presence
from headway.testing.tasks import LETTER, NEWS, sent
from tests.doors.api_client import DEADLINE_S, NOBODYS, SHIP, Api, deployed, serving, went_on
from tests.services.postgres import Postgres

SECRET = "correct-horse-battery"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with closing(open_store(tmp_path / "headway.db")) as store, serving(store) as served:
        yield served


@pytest.fixture
def client(api: Api) -> Iterator[httpx.Client]:
    with api.client(api.token()) as client:
        yield client


def typed(text: str, notation: str = "yaml", **headers: str) -> dict[str, Any]:
    return {"content": text, "headers": {"content-type": f"application/{notation}", **headers}}


# Playbooks


def test_a_playbook_is_kept_as_it_was_typed_and_never_overwritten(client: httpx.Client) -> None:
    added = client.post("/playbooks", **typed(SHIP))
    assert added.status_code == 201
    place = added.headers["location"].removeprefix("/api/v1")
    assert added.headers["etag"] == '"1"'
    assert client.get(place).json() == added.json()

    after = SHIP + "# more\n"
    blind = client.put(place, **typed(after))
    assert blind.status_code == 428
    assert 'If-Match: "1"' in blind.json()["detail"]
    following = typed(after, **{"if-match": '"1"'})
    assert client.put(place, **following).json()["version"] == 2
    late = client.put(place, **following)
    assert late.status_code == 412
    assert "version 2 is the newest" in late.json()["detail"]

    versions = client.get(f"{place}/versions").json()["versions"]
    assert [one["version"] for one in versions] == [2, 1]
    assert client.get(f"{place}/versions/1").json()["text"] == SHIP
    assert client.get(f"{place}/versions/2").json()["text"] == after
    assert client.get(f"{place}/versions/3").status_code == 404

    assert client.delete(place).status_code == 204
    assert client.delete(place).status_code == 409
    assert client.get(place).json()["removed_by"] == "ci"
    assert client.get("/playbooks").json()["playbooks"] == []


def test_a_name_that_is_taken_is_a_conflict(client: httpx.Client) -> None:
    assert client.post("/playbooks", **typed(SHIP)).status_code == 201
    again = client.post("/playbooks", **typed(SHIP))
    assert again.status_code == 409


def test_a_playbook_may_be_json(client: httpx.Client) -> None:
    book = {
        "group": "shop",
        "name": "j",
        "execution": [{"description": "a", "hosts": ["h"], "steps": ["noop:Go"]}],
    }
    added = client.post("/playbooks", json=book).json()
    version = client.get(f"/playbooks/{added['playbook']}/versions/1").json()
    assert (version["notation"], json.loads(version["text"])) == ("JSON", book)


def test_all_that_is_wrong_with_a_playbook_is_said_with_its_place(client: httpx.Client) -> None:
    wrong = SHIP.replace("noop:Noop", "noop.Noop").replace("group: shop", "group: 7")
    answer = client.post("/playbooks", **typed(wrong))
    assert answer.status_code == 422
    errors = answer.json()["errors"]
    assert [one["pointer"] for one in errors] == ["/group", "/execution/0/steps/0"]
    assert errors[0]["line"] == 1
    assert all(one["detail"] for one in errors)


def test_playbooks_are_told_page_by_page_across_groups(api: Api) -> None:
    for group in ("a", "b", "c"):
        for name in ("x", "y"):
            book = SHIP.replace("group: shop", f"group: {group}")
            api.playbook(book.replace("name: ship", f"name: {name}"))
    for groups, expected in ((["*"], 6), (["c", "a"], 4)):
        with api.client(api.token(f"of {groups}", groups=groups)) as client:
            told, params = [], {"limit": "1"}
            while True:
                page = client.get("/playbooks", params=params).json()
                told += [(one["group"], one["name"]) for one in page["playbooks"]]
                if page["next"] is None:
                    break
                params["cursor"] = page["next"]
            assert told == sorted(told)
            assert len(told) == expected


# Deployments


def test_a_deployment_is_stored_for_a_core(api: Api, client: httpx.Client) -> None:
    playbook = api.playbook()
    answer = client.post(f"/playbooks/{playbook}/deployments", json={"inputs": {"cart": "blue"}})
    assert answer.status_code == 201
    told = answer.json()
    assert answer.headers["location"] == f"/api/v1/runs/{told['run']}"
    assert told == {"run": told["run"], "playbook": playbook, "version": 1, "state": "queued"}
    record = api.store.find(told["run"])
    assert record.core
    assert record.launch.group == "shop"
    assert tuple(record.launch.locks) == ("shop",)
    assert tuple(record.launch.hosts) == ("web1.test", "web2.test")
    assert (record.launch.who, record.launch.source) == ("ci", "127.0.0.1")
    assert record.launch.inputs == {"cart": "blue", "password": "env:SHOP_PASSWORD"}
    assert [one.id for one in api.store.core_runs(unowned=True)] == [record.id]


def test_a_literal_secret_is_refused_and_stands_nowhere(
    api: Api, client: httpx.Client, tmp_path: Path
) -> None:
    playbook = api.playbook()
    answer = client.post(
        f"/playbooks/{playbook}/deployments", json={"inputs": {"password": SECRET}}
    )
    assert answer.status_code == 422
    assert "env:NAME or file:PATH" in answer.text
    assert SECRET not in answer.text
    kept = deployed(client, playbook, inputs={"password": "file:/run/secrets/shop"})
    assert client.get(f"/runs/{kept}").json()["inputs"]["password"] == "file:/run/secrets/shop"
    assert not any(SECRET.encode() in one.read_bytes() for one in tmp_path.rglob("*.db*"))


def test_wrong_inputs_are_all_named(api: Api, client: httpx.Client) -> None:
    playbook = api.playbook(SHIP.replace("name: cart, default: demo", "name: count, type: integer"))
    answer = client.post(
        f"/playbooks/{playbook}/deployments", json={"inputs": {"count": "x", "cort": 1}}
    )
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) >= 2


def test_an_older_version_can_be_deployed_and_one_that_is_not_there_cannot(
    api: Api, client: httpx.Client
) -> None:
    playbook = api.playbook()
    record = api.store.find_playbook(playbook)
    text = api.store.playbook_version(playbook, 1).typed
    api.store.edit_playbook(playbook, 1, record.name, text._replace(text=SHIP + "#"), "me", 1)
    run = deployed(client, playbook, version=1)
    assert api.store.find(run).launch.target == f"playbook:{playbook}@1"
    assert api.store.find(deployed(client, playbook)).launch.target.endswith("@2")
    answer = client.post(f"/playbooks/{playbook}/deployments", json={"version": 3})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/version")
    api.store.remove_playbook(playbook, "me", 1)
    assert client.post(f"/playbooks/{playbook}/deployments", json={}).status_code == 409


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.services)])
def test_fifty_that_ask_at_once_with_one_key_begin_one_release(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = str(tmp_path / "headway.db")
    if kind == "postgres":
        url = cast(Postgres, request.getfixturevalue("postgres")).url
    with closing(open_store(url)) as store, serving(store, lambda: open_store(url)) as api:
        path = f"/playbooks/{api.playbook()}/deployments"
        token = api.token()

        def post(number: int) -> httpx.Response:
            with api.client(token, **{"Idempotency-Key": "build-7"}) as client:
                return client.post(path, json={"inputs": {"cart": "blue"}})

        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(post, range(50)))
        assert {one.status_code for one in answers} == {201}
        (run,) = {one.json()["run"] for one in answers}
        assert [one.id for one in store.runs()] == [run]
        assert sum("idempotent-replayed" not in one.headers for one in answers) == 1

        with api.client(token, **{"Idempotency-Key": "build-7"}) as client:
            other = client.post(path, json={"inputs": {"cart": "green"}})
            assert other.status_code == 422
            assert "take a new key" in other.json()["detail"]
        with api.client(api.token("second"), **{"Idempotency-Key": "build-7"}) as client:
            assert client.post(path, json={}).json()["run"] != run


def test_a_repeated_request_is_answered_though_the_playbook_is_gone(
    api: Api, client: httpx.Client
) -> None:
    playbook = api.playbook()
    path, headers = f"/playbooks/{playbook}/deployments", {"Idempotency-Key": "k"}
    first = client.post(path, json={}, headers=headers).json()
    api.store.remove_playbook(playbook, "me", 1)
    again = client.post(path, json={}, headers=headers)
    assert (again.status_code, again.json()) == (201, first)


# Runs


def test_a_run_tells_who_began_it_with_what_and_how_it_came_there(
    api: Api, client: httpx.Client
) -> None:
    run = deployed(client, api.playbook())
    queued = deployed(client, api.store.playbooks()[0].id)
    went_on(api.store, run, RunState.FAILED)
    told = client.get(f"/runs/{run}").json()
    assert (told["who"], told["source"], told["group"]) == ("ci", "127.0.0.1", "shop")
    assert (told["state"], told["jobs"]) == ("failed", 4)
    assert [one["what"] for one in told["changes"]] == ["began", "failed"]
    record = told["record"]
    assert (record["_id"], record["group"], record["failed"]) == (run, "shop", True)
    assert record["playbook_id"] == api.store.playbooks()[0].id
    assert record["dynamic"]["cart"] == "demo"
    assert client.get(f"/runs/{queued}").json()["record"]["ended"] is None


def test_what_surrounds_releases_surrounds_those_that_are_begun_here(tmp_path: Path) -> None:
    trigger = Trigger("say it", "", "Ship", Step("noop", "Say"))
    with (
        closing(open_store(tmp_path / "headway.db")) as store,
        serving(store, surroundings=Surroundings(triggers=(trigger,))) as api,
        api.client(api.token()) as client,
    ):
        run = deployed(client, api.playbook())
        told = client.get(f"/runs/{run}").json()
        assert told["jobs"] == 6
        assert [one["description"] for one in told["record"]["triggers"]] == ["say it"]
        steps = told["record"]["active_sequence"]["steps"]
        assert steps == ["noop:Noop", "noop:Say", {"noop:Ship": {"dynamic": ["cart"]}}]


def test_who_waits_for_a_lock_is_told(api: Api, client: httpx.Client) -> None:
    playbook = api.playbook()
    first, second = deployed(client, playbook), deployed(client, playbook)
    locks = client.get("/locks").json()["locks"]
    assert [(one["tag"], one["run"], one["holds"]) for one in locks] == [
        ("shop", first, True),
        ("shop", second, False),
    ]
    page = client.get("/locks", params={"limit": 1}).json()
    assert [one["run"] for one in page["locks"]] == [first]
    rest = client.get("/locks", params={"cursor": page["next"]}).json()
    assert ([one["run"] for one in rest["locks"]], rest["next"]) == ([second], None)
    assert rest["locks"][0]["holds"] is False
    assert [one["run"] for one in client.get(f"/runs/{second}").json()["waits_for"]] == [first]
    assert client.get(f"/runs/{first}").json()["waits_for"] == []


def test_runs_are_told_page_by_page_each_once(api: Api, client: httpx.Client) -> None:
    playbook = api.playbook()
    begun = [deployed(client, playbook) for _ in range(5)]
    went_on(api.store, begun[0], RunState.SUCCEEDED)
    # As many that began in one microsecond as nobody would expect.
    template = api.store.find(begun[0])
    for number in range(5):
        id = f"{number:024x}"
        api.store.enqueue(id, template.launch, api.store.plan(begun[0]), 4, template.began_us)
        begun.append(id)
    told, params = [], {"limit": "2"}
    while True:
        page = client.get("/runs", params=params).json()
        told += [one["run"] for one in page["runs"]]
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert sorted(told) == sorted(begun)
    over = client.get("/runs", params={"state": "succeeded"}).json()["runs"]
    assert [one["run"] for one in over] == [begun[0]]
    for wrong in ("x", cursor_of("a", 1), cursor_of(1), cursor_of(2**63, 0), cursor_of(1, 10**6)):
        assert client.get("/runs", params={"cursor": wrong}).status_code == 400


def test_jobs_and_their_output_are_told(api: Api, client: httpx.Client) -> None:
    run = deployed(client, api.playbook())
    went_on(api.store, run)
    page = client.get(f"/runs/{run}/jobs", params={"limit": 3}).json()
    assert [one["key"] for one in page["jobs"]] == [0, 1, 2]
    assert page["jobs"][0]["job"] == "noop:Noop@web1.test"
    rest = client.get(f"/runs/{run}/jobs", params={"after": page["next"]}).json()
    assert ([one["key"] for one in rest["jobs"]], rest["next"]) == ([3], None)
    assert client.get(f"/runs/{run}/jobs/0").json()["history"] == []
    assert client.get(f"/runs/{run}/jobs/4").status_code == 404

    lines = client.get(f"/runs/{run}/output", params={"limit": 2}).json()
    assert [one["text"] for one in lines["lines"]] == ["line 0", "line 1"]
    more = client.get(f"/runs/{run}/output", params={"after": lines["next"], "job": 0}).json()
    assert [one["text"] for one in more["lines"]] == ["line 2"]
    assert client.get(f"/runs/{run}/output", params={"job": 1}).json()["lines"] == []
    plan = client.get(f"/runs/{run}/plan").json()
    assert plan["names"][0] == "noop:Noop@web1.test"
    assert plan["needs"][1] == [0]


# What is asked of runs


def test_what_is_asked_is_written_down_and_its_answer_can_be_read(
    api: Api, client: httpx.Client
) -> None:
    run = deployed(client, api.playbook())
    answer = client.post(f"/runs/{run}/cancel", json={"why": "too late"})
    assert answer.status_code == 202
    place = answer.headers["location"].removeprefix("/api/v1")
    asked = client.get(place).json()
    assert (asked["verb"], asked["args"], asked["who"]) == ("cancel", {"why": "too late"}, "ci")
    assert (asked["answer"], asked["refused"]) == (None, False)
    (waiting,) = api.store.open_requests()
    assert (waiting.id, waiting.run) == (asked["request"], run)

    epoch = api.store.take(run, 0, NOBODYS)
    api.store.append(run, epoch, 1, 2, [], answers=[(asked["request"], "refused: not now")])
    assert client.get(place).json()["refused"] is True


def test_a_job_is_named_and_its_key_is_kept(api: Api, client: httpx.Client) -> None:
    run = deployed(client, api.playbook())
    settled = {"job": "noop:Ship@web1.test", "how": "again"}
    assert client.post(f"/runs/{run}/settle", json=settled).status_code == 202
    assert api.store.open_requests()[-1].args == {"key": 1, "how": "again", "why": ""}
    wrong = client.post(f"/runs/{run}/settle", json={**settled, "job": "noop:Ship@web9"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/job")


@pytest.mark.parametrize("verb", ["cancel", "pause", "approve"])
def test_nothing_is_asked_of_a_run_that_is_over(api: Api, client: httpx.Client, verb: str) -> None:
    run = deployed(client, api.playbook())
    assert client.post(f"/runs/{run}/retry").status_code == 409
    went_on(api.store, run, RunState.SUCCEEDED)
    answer = client.post(f"/runs/{run}/{verb}")
    assert answer.status_code == 409
    assert "is over" in answer.json()["detail"]
    assert client.post(f"/runs/{run}/retry").status_code == 202
    anew = {"job": "noop:Ship@web1.test"}
    assert client.post(f"/runs/{run}/retry", json=anew).status_code == 202
    assert api.store.open_requests()[-1].args == {**anew, "why": ""}


# Events


def lines_of(response: httpx.Response) -> Iterator[str]:
    return (line for line in response.iter_lines() if line.startswith(("id: ", "data: ")))


def test_a_stream_goes_on_where_it_broke_off_and_ends_with_the_run(
    api: Api, client: httpx.Client
) -> None:
    run = deployed(client, api.playbook())
    path, accept = f"/runs/{run}/events", {"accept": streams.MEDIA_TYPE}
    with client.stream("GET", path, headers=accept) as response:
        assert response.headers["content-type"].startswith(streams.MEDIA_TYPE)
        lines = lines_of(response)
        assert next(lines) == "id: 1"
        assert json.loads(next(lines).removeprefix("data: "))["event"] == "run-began"
    # The reader left. What happens meanwhile is told when they come again, and once.
    epoch = went_on(api.store, run)
    with client.stream("GET", path, headers={**accept, "last-event-id": "1"}) as response:
        lines = lines_of(response)
        assert next(lines) == "id: 2"
        assert json.loads(next(lines).removeprefix("data: "))["job"] == "noop:Noop@web1.test"
        _end(api.store, run, epoch)
        rest = list(lines)
    assert rest[0] == "id: 3"
    assert json.loads(rest[1].removeprefix("data: "))["state"] == "succeeded"
    assert len(rest) == 2
    over = client.get(path, headers={**accept, "last-event-id": "3"})
    assert over.status_code == 204


def _end(store: Store, run: str, epoch: int) -> None:
    rows = [encode(RunEnded(clocks.now_us(), RunState.SUCCEEDED, {}))]
    store.append(run, epoch, 1, 3, rows, state=RunState.SUCCEEDED)


def test_events_are_told_as_pages_too(api: Api, client: httpx.Client) -> None:
    run = deployed(client, api.playbook())
    went_on(api.store, run, RunState.SUCCEEDED)
    path = f"/runs/{run}/events"
    first = client.get(path, params={"limit": 2}).json()
    assert [one["seq"] for one in first["events"]] == [1, 2]
    assert first["over"] is False
    rest = client.get(path, params={"after": first["next"]}).json()
    assert ([one["event"] for one in rest["events"]], rest["over"]) == (["run-ended"], True)


def test_a_stream_ends_when_its_token_is_revoked(api: Api, client: httpx.Client) -> None:
    run = deployed(client, api.playbook())
    reader = api.token("reader")
    accept = {"accept": streams.MEDIA_TYPE}
    with (
        api.client(reader) as other,
        other.stream("GET", f"/runs/{run}/events", headers=accept) as response,
    ):
        lines = response.iter_lines()
        assert next(lines).startswith("retry:")
        (id,) = [one.id for one in api.store.tokens() if one.name == "reader"]
        api.store.revoke_token(id, clocks.now_us())
        assert [line for line in lines if line.startswith("id:")] == ["id: 1"]


# Who asks


def test_a_token_that_does_not_hold_is_refused_at_once(api: Api) -> None:
    holds = api.token("holds")
    expired = api.token("expired", expires_us=clocks.now_us() - 1)
    for wrong in (expired, holds[:-1], holds + "x", "hw_", "a b", holds.upper()):
        with api.client(wrong) as client:
            answer = client.get("/runs")
            assert answer.status_code == 401, wrong
            assert answer.headers["www-authenticate"].startswith("Bearer")
    with api.client(holds) as client:
        assert client.get("/runs").status_code == 200
        (id,) = [one.id for one in api.store.tokens() if one.name == "holds"]
        api.store.revoke_token(id, clocks.now_us())
        assert client.get("/runs").status_code == 401
    assert holds not in str(api.store.tokens())


def test_one_who_guesses_is_stopped_and_one_who_is_known_is_not(api: Api) -> None:
    with api.client(api.token("known")) as known, api.client("hw_guess") as guesser:
        assert known.get("/runs").status_code == 200
        for _ in range(10):
            assert guesser.get("/runs").status_code == 401
        stopped = guesser.get("/runs")
        assert stopped.status_code == 429
        assert int(stopped.headers["retry-after"]) > 0
        with api.client(api.token("fresh")) as fresh:
            assert fresh.get("/runs").status_code == 429
        assert known.get("/runs").status_code == 200


def test_without_a_token_in_the_store_this_machine_may_do_everything_and_is_told(
    api: Api,
) -> None:
    with api.client() as client:
        health = client.get("/health").json()
        assert (health["status"], health["authentication"]) == ("ok", "none")
        assert "headway token new" in health["detail"]
        run = deployed(client, api.playbook())
        assert api.store.find(run).launch.who == "anybody on this machine"
        for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
            assert client.get("/runs", headers=headers).status_code == 403
        api.token()
        _until(lambda: client.get("/runs").status_code == 401)
        assert client.get("/health").json()["authentication"] == "tokens"


def _until(holds: Callable[[], bool]) -> None:
    deadline = clocks.monotonic() + DEADLINE_S
    pause = threading.Event()
    while clocks.monotonic() < deadline:
        if holds():
            return
        pause.wait(0.05)
    raise AssertionError("it did not come about")


# What is wrong with requests


@pytest.mark.parametrize(
    ("content", "media_type", "status", "said"),
    [
        (b"{", "application/json", 400, "is not JSON"),
        (b'{"inputs": {}, "inputs": {}}', "application/json", 400, "twice"),
        (b'{"inputs": {"a": NaN}}', "application/json", 400, "NaN"),
        (b"[" * 100 + b"]" * 100, "application/json", 400, "nested"),
        (b"\xff", "application/json", 400, "not UTF-8"),
        (b'{"input": {}}', "application/json", 422, "Did you mean inputs?"),
        (b'{"inputs": 7}', "application/json", 422, "/inputs"),
        (b"[]", "application/json", 422, "the body"),
        (b"{}", "text/plain", 415, "Content-Type"),
        (b"{}", "application/x-www-form-urlencoded", 415, "Content-Type"),
        (b"", "application/json", 422, "the body"),
    ],
)
def test_what_is_wrong_with_a_body_is_said(
    api: Api, client: httpx.Client, content: bytes, media_type: str, status: int, said: str
) -> None:
    answer = client.post(
        f"/playbooks/{api.playbook()}/deployments",
        content=content,
        headers={"content-type": media_type},
    )
    assert answer.status_code == status, answer.text
    assert said in answer.text
    assert answer.json()["status"] == status


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 1024):
        yield b" " * 1024


@pytest.mark.parametrize(
    ("path", "media_type", "most"),
    [("/playbooks/{}/deployments", "json", 1 << 20), ("/playbooks", "yaml", 1 << 16)],
)
def test_a_body_that_is_too_large_is_refused_however_it_comes(
    api: Api, client: httpx.Client, path: str, media_type: str, most: int
) -> None:
    path = path.format(api.playbook())
    headers = {"content-type": f"application/{media_type}"}
    for content in (b" " * (most + 1), chunks(most + 2048)):
        try:
            answer = client.post(path, content=content, headers=headers)
        except (httpx.WriteError, httpx.ReadError):
            continue  # refused while it was still being sent
        assert answer.status_code == 413
        assert f"{most:,} bytes" in answer.json()["detail"]


def test_many_who_send_next_to_nothing_hold_up_nobody_and_are_left(
    api: Api, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 2.0)
    place = ("127.0.0.1", int(api.url.rpartition(":")[2]))

    def send(one: socket.socket, text: bytes) -> None:
        with suppress(ConnectionError):  # on a busy machine it may be left already
            one.sendall(text)

    def is_left(one: socket.socket) -> bool:
        try:
            return one.recv(1) == b""
        except ConnectionError:
            return True

    with ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(place, DEADLINE_S)) for _ in range(300)
        ]
        for one in slow:
            send(one, b"GET /api/v1/health HTTP/1.1\r\nX: ")
        assert client.get("/runs").status_code == 200
        send(slow[0], b"y")  # a byte now and then changes nothing
        assert all(is_left(one) for one in slow)
    assert client.get("/runs").status_code == 200


def test_a_compressed_body_is_refused(client: httpx.Client) -> None:
    headers = {"content-type": "application/yaml", "content-encoding": "gzip"}
    assert client.post("/playbooks", content=b"x", headers=headers).status_code == 415


def test_what_is_not_there_is_said_in_the_same_form(client: httpx.Client) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("PATCH", "/runs", 405),
        ("GET", "/runs/%2e%2e", 404),
        ("GET", "/runs/A", 404),
        ("GET", "/runs?limit=201", 422),
        ("GET", "/runs?limit=x", 422),
    ):
        answer = client.request(method, path)
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == "application/problem+json"


def test_answers_are_careful_with_browsers(client: httpx.Client) -> None:
    headers = client.get("/health").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


def test_a_store_that_does_not_answer_is_503_and_is_no_secret(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "headway.db")) as store:
        is_down = threading.Event()

        def opener() -> Store:
            if is_down.is_set():
                raise Unavailable("postgresql://db.internal does not answer")
            return open_store(tmp_path / "headway.db")

        is_down.set()
        with serving(store, opener) as api, api.client(api.token()) as client:
            for path in ("/runs", "/health"):
                answer = client.get(path)
                assert answer.status_code == 503
                assert answer.headers["retry-after"]
                assert "db.internal" not in answer.text
            is_down.clear()
            assert client.get("/runs").status_code == 200


def test_a_store_that_is_slow_keeps_nobody_waiting_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "ANSWER_S", 0.2)
    answered = threading.Event()

    class Slow:
        def tokens(self) -> list[Any]:
            answered.wait(60)
            return []

    with (
        closing(open_store(tmp_path / "headway.db")) as store,
        serving(store, lambda: cast(Store, Slow())) as api,
    ):
        try:
            with api.client() as client:
                answer = client.get("/runs")
            assert answer.status_code == 503
            assert "look, then try again" in answer.json()["detail"]
        finally:
            answered.set()


# Workers


def test_workers_are_told_page_by_page_as_the_core_wrote_them_down(
    api: Api, client: httpx.Client
) -> None:
    noted(api.store, presence("a"), presence("b", "worker.x", pid=7, state="leaving"))
    noted(api.store, presence("c"), presence("gone", state="left"))
    noted(api.store, presence("lost", "worker.y", interval_s=1), seen_s=9.0)
    told, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/workers?limit=2&cursor={cursor}" if cursor else "/workers?limit=2")
        assert page.status_code == 200
        told += page.json()["workers"]
        cursor = page.json()["next"]
    assert [(one["worker"], one["state"]) for one in told] == [
        *(("a", "idle"), ("c", "idle"), ("b", "leaving"), ("lost", "lost")),
    ]
    assert (told[2]["queue"], told[2]["pid"], told[2]["class"]) == ("worker.x", 7, "")


def test_a_run_that_is_paused_says_so(api: Api, client: httpx.Client) -> None:
    playbook = api.playbook()
    runs = [deployed(client, playbook) for _ in range(2)]
    epochs = [went_on(api.store, run) for run in runs]
    seq = sum(1 for _ in api.store.journal(runs[0])) + 1
    api.store.append(runs[0], epochs[0], 1, seq, [encode(RunPaused(1, "anna"))])
    told = {one["run"]: one["paused"] for one in client.get("/runs").json()["runs"]}
    assert told == {runs[0]: True, runs[1]: False}
    assert [client.get(f"/runs/{run}").json()["paused"] for run in runs] == [True, False]


def test_a_release_keeps_which_token_it_was_asked_for_with(api: Api) -> None:
    with api.client(api.token("deployer")) as client:
        run = deployed(client, api.playbook())
    (made,) = (one.id for one in api.store.tokens() if one.name == "deployer")
    assert api.store.find(run).launch.token == made


# Celery tasks


def paged(client: httpx.Client, path: str, what: str, **asked: Any) -> list[Any]:
    """All of a list, two on a page."""
    told: list[Any] = []
    cursor = None
    while True:
        more: dict[str, str] = {} if cursor is None else {"cursor": cursor}
        page = client.get(path, params={"limit": 2, **asked, **more})
        assert page.status_code == 200, page.text
        told += page.json()[what]
        cursor = page.json()["next"]
        if cursor is None:
            return told


def test_tasks_are_searched_by_name_state_queue_and_time_page_by_page(
    api: Api, client: httpx.Client
) -> None:
    api.store.tasks.record(
        [
            *(sent(f"t{n}", 10**15 + 10**6 * (n // 2)) for n in range(5)),  # two in one moment
            sent("failed", 5, "mail.send", "mail")._replace(finality=3, ended_us=9),
        ]
    )

    def found(**asked: Any) -> list[str]:
        return [one["task"] for one in paged(client, "/tasks", "tasks", **asked)]

    assert found() == ["t4", "t3", "t2", "t1", "t0", "failed"]
    assert found(name="mail.*") == found(queue="mail") == found(state="failed") == ["failed"]
    assert found(name="export.pdf", state="sent")[0] == "t4"
    assert found(name="mail") == []
    assert found(since="2001-09-09T01:46:41Z") == ["t4", "t3", "t2"]
    assert found(since="2001-09-09T03:46:41+02:00", until="2001-09-09T01:46:42Z") == ["t3", "t2"]


@pytest.mark.parametrize("asked", ["state=lost", "since=2001-09-09T01:46:41", "since=soon"])
def test_a_search_that_makes_no_sense_is_refused(client: httpx.Client, asked: str) -> None:
    assert client.get(f"/tasks?{asked}").status_code == 422


def test_a_task_that_nobody_has_heard_of_is_unknown(api: Api, client: httpx.Client) -> None:
    assert client.get("/tasks/nobody").json()["state"] == "unknown"
    family = client.get("/tasks/nobody/family").json()
    assert (family["state"], family["members"], family["is_whole"]) == ("unknown", [], True)
    api.store.tasks.record(NEWS)
    told = client.get("/tasks/t1").json()
    assert (told["state"], told["name"], told["args"]) == ("succeeded", "export.pdf", "[1]")


def test_a_family_is_told_with_where_it_stands_as_a_whole(api: Api, client: httpx.Client) -> None:
    root = sent("root", 1)._replace(parent=None)
    children = [
        sent(f"c{n}", 2 + n)._replace(root="root", parent="root", finality=n % 2 * 4)
        for n in range(3)
    ]
    api.store.tasks.record([root, *children])
    first = client.get("/tasks/c1/family?limit=3").json()
    assert (first["root"], first["state"]) == ("root", "sent")
    assert first["counts"] == {"sent": 3, "succeeded": 1}
    assert [one["task"] for one in first["members"]] == ["root", "c0", "c1"]
    second = client.get(f"/tasks/c1/family?limit=3&after={first['next']}").json()
    assert [one["task"] for one in second["members"]] == ["c2"]
    assert (second["counts"], second["next"]) == (first["counts"], None)


def test_dead_letters_are_told_page_by_page_with_their_reasons(
    api: Api, client: httpx.Client
) -> None:
    letters = [LETTER._replace(digest=f"d{n}", at_us=n // 4) for n in range(9)]
    api.store.tasks.record([], letters)
    told = paged(client, "/dead-letters", "letters")
    assert [one["digest"] for one in told] == [one.digest for one in reversed(letters)]
    assert (told[0]["reason"], told[0]["kind"]) == ("no id", "task")


def test_tasks_are_only_for_who_may_see_every_group(api: Api) -> None:
    with api.client(api.token("shop", groups=["shop"])) as client:
        answer = client.get("/tasks")
    assert answer.status_code == 403
    assert "--group '*'" in answer.json()["detail"]
