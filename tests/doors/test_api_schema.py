"""The API against its own OpenAPI document: whatever fits it, and whatever does not."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from headway.adapters.opening import open_store
from headway.doors.web.routes import ROUTES
from headway.jobs.states import RunState
from headway.testing.kept_workers import noted, presence
from headway.testing.tasks import LETTER, NEWS
from headway.wire.messages import StepUnderWay
from tests.doors.api_client import DEADLINE_S, Api, deployed, serving, went_on

EXAMPLES = 15  # of each operation in each mode
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    place = tmp_path_factory.mktemp("api") / "headway.db"
    with closing(open_store(place)) as store, serving(store) as served:
        yield served


@pytest.fixture(scope="module")
def known(api: Api) -> dict[str, Any]:
    """What is there, so that not every id that is tried is unknown."""
    playbook = api.playbook()
    token = api.token()
    with api.client(token) as client:
        run = deployed(client, playbook)
        went_on(api.store, run, RunState.FAILED)
        api.store.tasks.record(NEWS, [LETTER])
        noted(api.store, presence(doing=[StepUnderWay(since_us=1, run=run)]), presence("w2"))
        asked = client.post(f"/runs/{deployed(client, playbook)}/cancel").json()["request"]
    return {
        "token": token,
        "run": run,
        "playbook": playbook,
        "number": asked,
        "key": 0,
        "task": "t1",
    }


@pytest.fixture(scope="module")
def schema(api: Api) -> Any:
    with api.client() as client:
        return schemathesis.openapi.from_dict(client.get("/openapi.json").json())


def cases() -> Iterator[Any]:
    for route in ROUTES:
        for mode in GenerationMode:
            takes_nothing = route.path in ("/health", "/openapi.json")
            if mode is GenerationMode.POSITIVE or not takes_nothing:
                id = f"{route.method} {route.path} {mode.value}"
                yield pytest.param(route.method, route.path, mode, id=id)


@pytest.mark.parametrize(("method", "path", "mode"), [*cases()])
def test_no_request_is_a_server_error_and_every_answer_is_as_documented(
    api: Api, known: dict[str, Any], schema: Any, method: str, path: str, mode: GenerationMode
) -> None:
    strategy = schema[f"/api/v1{path}"][method].as_strategy(generation_mode=mode)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy, is_there=st.booleans())
    def holds(case: Any, is_there: bool) -> None:
        if is_there and method != "DELETE":
            for name in case.path_parameters or {}:
                case.path_parameters[name] = known.get(name, 1)
        token = {"Authorization": f"Bearer {known['token']}"}
        answer = case.call(base_url=api.url, headers=token, timeout=DEADLINE_S)
        case.validate_response(answer, checks=list(CHECKS))

    holds()
