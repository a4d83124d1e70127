"""A test whose server is missing is skipped at home, and fails where servers were promised."""

import pytest

from tests.conftest import RequireService


@pytest.fixture(params=[None, "1"], ids=["at home", "where servers were promised"])
def promised(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param is None:
        monkeypatch.delenv("HEADWAY_REQUIRE_SERVICES", raising=False)
    else:
        monkeypatch.setenv("HEADWAY_REQUIRE_SERVICES", request.param)
    return request.param is not None


def test_a_server_that_was_found_lets_the_test_go_on(
    require_service: RequireService, promised: bool
) -> None:
    require_service("wheel of fortune", True, "buy one")


def test_a_missing_server_is_named_with_the_way_to_get_it(
    require_service: RequireService, promised: bool
) -> None:
    outcome = pytest.fail.Exception if promised else pytest.skip.Exception
    with pytest.raises(outcome) as caught:
        require_service("wheel of fortune", False, "buy one")
    assert str(caught.value) == "missing service: wheel of fortune (buy one)"
