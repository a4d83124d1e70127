"""Every route of the API, and everybody who may come there: a table, and nothing beside it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi import FastAPI

from headway.adapters.opening import open_store
from headway.doors.web.app import require_declared
from headway.doors.web.routes import ROUTES
from headway.errors import DefinitionError
from headway.jobs.states import RunState
from headway.testing.kept_workers import noted, presence
from headway.wire.messages import StepUnderWay
from tests.doors.api_client import SHIP, Api, deployed, serving, went_on
from tests.doors.typed import Place

ROLES = {
    # Who comes, with which groups and environments; None: without a token.
    "nobody": None,
    "wrong group": (["bank"], ["*"]),
    "group alone": (["shop"], []),
    "wrong environment": (["shop"], ["other"]),
    "right": (["shop"], ["test"]),
    "everything": (["*"], ["*"]),
}
OPEN = dict.fromkeys(ROLES, 200)
LISTS = {**OPEN, "nobody": 401}
TASKS = {**dict.fromkeys(ROLES, 403), "nobody": 401, "everything": 200}
SHOP = {**LISTS, "wrong group": 404}


def of_group(status: int) -> dict[str, int]:
    return {"nobody": 401, "wrong group": 404} | {
        role: status for role in list(ROLES) if role not in ("nobody", "wrong group")
    }


def of_hosts(status: int) -> dict[str, int]:
    return {**of_group(status), "group alone": 403, "wrong environment": 403}


class Case(NamedTuple):
    """What is sent to a route, and what each role is answered."""

    expected: dict[str, int]
    send: dict[str, Any] = {}


SETTLED = {"job": "noop:Noop@web1.test", "how": "done"}
TYPED = {"content-type": "application/yaml"}
OTHER = SHIP.replace("name: ship", "name: other")
CASES = {
    ("GET", "/health"): Case(OPEN),
    ("GET", "/openapi.json"): Case(OPEN),
    ("GET", "/runs"): Case(LISTS),
    ("GET", "/runs/{run}"): Case(SHOP),
    ("GET", "/runs/{run}/jobs"): Case(SHOP),
    ("GET", "/runs/{run}/jobs/{key}"): Case(SHOP),
    ("GET", "/runs/{run}/events"): Case(SHOP),
    ("GET", "/runs/{run}/output"): Case(SHOP),
    ("GET", "/runs/{run}/plan"): Case(SHOP),
    ("POST", "/runs/{run}/cancel"): Case(of_hosts(202)),
    ("POST", "/runs/{run}/pause"): Case(of_hosts(202)),
    ("POST", "/runs/{run}/resume"): Case(of_hosts(202)),
    ("POST", "/runs/{over}/retry"): Case(of_hosts(202)),
    ("POST", "/runs/{run}/approve"): Case(of_hosts(202), {"json": {"why": "seen"}}),
    ("POST", "/runs/{run}/settle"): Case(of_hosts(202), {"json": SETTLED}),
    ("GET", "/requests/{number}"): Case(SHOP),
    ("GET", "/playbooks"): Case(LISTS),
    ("POST", "/playbooks"): Case(
        {**of_group(201), "wrong group": 403}, {"content": OTHER, "headers": TYPED}
    ),
    ("GET", "/playbooks/{playbook}"): Case(SHOP),
    ("PUT", "/playbooks/{playbook}"): Case(
        of_group(200), {"content": OTHER, "headers": {**TYPED, "if-match": "*"}}
    ),
    ("DELETE", "/playbooks/{playbook}"): Case(of_group(204)),
    ("GET", "/playbooks/{playbook}/versions"): Case(SHOP),
    ("GET", "/playbooks/{playbook}/versions/{version}"): Case(SHOP),
    ("POST", "/playbooks/{playbook}/deployments"): Case(of_hosts(201), {"json": {}}),
    ("GET", "/locks"): Case(LISTS),
    ("GET", "/workers"): Case(LISTS),
    ("GET", "/tasks"): Case(TASKS),
    ("GET", "/tasks/{task}"): Case(TASKS),
    ("GET", "/tasks/{task}/family"): Case(TASKS),
    ("GET", "/dead-letters"): Case(TASKS),
}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    store = open_store(tmp_path / "headway.db")
    with serving(store) as served:
        yield served
    store.close()


def made(api: Api, name: str = "") -> dict[str, Any]:
    """What stands in addresses: of group shop, on hosts of the environment test."""
    playbook = api.playbook(SHIP.replace("name: ship", f"name: ship{name}"))
    with api.client(api.token(f"maker{name}")) as client:
        run, over = deployed(client, playbook), deployed(client, playbook)
        asked = client.post(f"/runs/{run}/cancel").json()["request"]
    went_on(api.store, over, RunState.FAILED)
    return {
        "run": run, "over": over, "key": 0, "number": asked, "playbook": playbook, "version": 1,
        "task": "t1",
    }  # fmt: skip


@pytest.fixture
def places(api: Api) -> dict[str, Any]:
    return made(api)


def come(api: Api, role: str) -> httpx.Client:
    rights = ROLES[role]
    if rights is None:
        return api.client()
    groups, environments = rights
    return api.client(api.token(role, groups=groups, environments=environments))


def test_the_table_names_every_route() -> None:
    named = {(method, path.replace("{over}", "{run}")) for method, path in CASES}
    assert named == {(route.method, route.path) for route in ROUTES}


@pytest.mark.parametrize(("method", "path"), list(CASES), ids=" ".join)
def test_each_role_is_answered_as_the_table_says(api: Api, method: str, path: str) -> None:
    case = CASES[method, path]
    for role, expected in case.expected.items():
        places = made(api, f" for {role}")
        send = {**case.send}
        if "content" in send:
            send["content"] = send["content"].replace("name: other", f"name: by {role}")
        with come(api, role) as client:
            answer = client.request(method, path.format(**places), **send)
        assert answer.status_code == expected, (role, answer.text)
        if expected >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"]


def test_lists_hold_only_what_is_theirs(api: Api, places: dict[str, Any]) -> None:
    api.playbook(SHIP.replace("group: shop", "group: bank"))
    with come(api, "wrong group") as bank, come(api, "right") as shop:
        assert bank.get("/runs").json() == {"runs": [], "next": None}
        assert bank.get("/runs?group=shop").json()["runs"] == []
        assert [one["group"] for one in bank.get("/playbooks").json()["playbooks"]] == ["bank"]
        assert bank.get("/playbooks?group=shop").json()["playbooks"] == []
        assert {one["run"] for one in bank.get("/locks").json()["locks"]} == {None}
        assert len(shop.get("/runs").json()["runs"]) == 2
        assert [one["group"] for one in shop.get("/playbooks").json()["playbooks"]] == ["shop"]
        assert {one["run"] for one in shop.get("/locks").json()["locks"]} == {places["run"]}


def test_whose_runs_workers_work_on_is_told_only_to_those_who_may_see_them(
    api: Api, places: dict[str, Any]
) -> None:
    steps = [StepUnderWay(since_us=1, run=run, attempt="a") for run in (places["run"], "by hand")]
    noted(api.store, presence(doing=steps))
    for role, runs in {
        "wrong group": [None, None],
        "right": [places["run"], None],
        "everything": [places["run"], "by hand"],
    }.items():
        with come(api, role) as client:
            (one,) = client.get("/workers").json()["workers"]
        assert [step["run"] for step in one["doing"]] == runs, role
        assert [step["attempt"] is None for step in one["doing"]] == [run is None for run in runs]


def test_what_one_may_not_see_is_answered_as_what_is_not_there(
    api: Api, places: dict[str, Any]
) -> None:
    with come(api, "wrong group") as client:
        for path in ("/runs/{run}", "/playbooks/{playbook}", "/requests/{number}"):
            hidden = client.get(path.format(**places))
            nothing = {"run": "0" * 24, "playbook": "0" * 24, "number": 4711}
            missing = client.get(path.format(**nothing))
            assert hidden.status_code == missing.status_code == 404
            assert {**hidden.json(), "detail": ""} == {**missing.json(), "detail": ""}


def test_hosts_that_are_not_theirs_are_named(api: Api, places: dict[str, Any]) -> None:
    with come(api, "wrong environment") as client:
        answer = client.post(f"/playbooks/{places['playbook']}/deployments", json={})
    assert "web1.test, web2.test" in answer.json()["detail"]


@pytest.mark.parametrize(
    "elsewhere",
    [
        "execution:\n  - {description: a, hosts: [db.prod], steps: [noop:Look]}",
        "execution:\n  - {description: a, hosts: [db.prod], preflight: [noop:Look],"
        " steps: [noop:Go]}",
    ],
)
def test_every_host_of_the_stored_playbook_counts(api: Api, elsewhere: str) -> None:
    playbook = api.playbook(SHIP.replace("execution:", elsewhere))
    with come(api, "right") as client:
        answer = client.post(f"/playbooks/{playbook}/deployments", json={})
    assert answer.status_code == 403
    assert "(db.prod)" in answer.json()["detail"]


def test_a_run_of_a_playbook_that_headway_run_began_is_its_groups(place: Place) -> None:
    place.write("go.yaml", "{group: shop, name: go, lock: [l], execution: "
                "[{hosts: [web1.test, web2.test], steps: [noop:Go]}]}")  # fmt: skip
    place.type("run", "go.yaml")
    run = place.last_run()
    with closing(open_store(place.directory / ".headway" / "headway.db")) as store:
        launch = store.find(run).launch
        assert (launch.group, launch.locks, launch.hosts) == (
            *("shop", ["l"], ["web1.test", "web2.test"]),
        )
        with serving(store) as api:
            for role, (seen, steered) in {
                "wrong group": (404, 404),
                "group alone": (200, 403),
                "wrong environment": (200, 403),
                "right": (200, 409),  # nobody works on it, and no core would
            }.items():
                with come(api, role) as client:
                    assert client.get(f"/runs/{run}").status_code == seen
                    assert client.post(f"/runs/{run}/retry").status_code == steered


def test_a_route_that_declares_nothing_keeps_the_app_from_starting() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.get("/api/v1/secrets")(lambda: "everything")
    with pytest.raises(DefinitionError, match=r"/api/v1/secrets declares no action"):
        require_declared(app.routes)
