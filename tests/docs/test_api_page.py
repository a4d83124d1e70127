"""What the pages on the API tell is what the code has."""

import re

from headway.doors.web import limits, serving
from headway.doors.web.problems import TITLES
from headway.doors.web.routes import ROUTES
from headway.releases import document
from headway.wire import strict_json
from tests.docs.console import REPOSITORY
from tools.api_page import PAGE, page

REFERENCE = (REPOSITORY / "docs/reference/api.md").read_text("utf-8")


def test_the_openapi_document_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it again: python -m tools.api_page"


def test_the_page_tells_every_route_and_the_right_it_takes() -> None:
    told = re.findall(r"^\| `(\w+) (/\S*)` \| (\w+) \|", REFERENCE, re.M)
    assert told == [(route.method, route.path, str(route.action)) for route in ROUTES]


def test_the_page_tells_every_problem() -> None:
    rows = re.findall(r"^\| (\d{3}(?:, \d{3})*) \|", REFERENCE, re.M)
    told = {int(status) for row in rows for status in row.split(", ")}
    assert told == set(TITLES) - {405, 500}


def test_the_page_tells_limits_as_they_are() -> None:
    assert f"`{serving.LISTEN}`" in REFERENCE
    assert f"requests in hand have {limits.LEAVE_S} seconds" in REFERENCE
    assert (strict_json.LIMIT_BYTES, document.LIMIT_BYTES) == (1 << 20, 64 << 10)
    assert (limits.FAILURES, limits.FAILURES_S) == (10, 60.0)
