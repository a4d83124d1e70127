"""The OpenAPI document: docs/reference/api.json is made of it (``python -m tools.api_page``)."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from headway.doors.web import problems
from headway.doors.web.models import ProblemDocument

DESCRIPTION = """\
Playbooks, releases and their state. What is asked here is written to the store, and a core does \
it. Send a token with each request: `Authorization: Bearer hw_…`. Every error is a document of \
RFC 9457, whose `detail` says what to do."""
_SCHEMAS = "#/components/schemas/{model}"


def document_of(app: FastAPI) -> dict[str, Any]:
    """Made once; the same whenever it is asked for."""
    if app.openapi_schema is None:
        app.openapi_schema = _made(app)
    return app.openapi_schema


def _made(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
    )
    parts = made.setdefault("components", {})
    schema = ProblemDocument.model_json_schema(ref_template=_SCHEMAS)
    parts["schemas"] = dict(sorted({**parts["schemas"], "ProblemDocument": schema}.items()))
    parts["securitySchemes"] = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "What `headway token new` printed. As long as there is none, and the"
            " API listens on loopback only, none is needed.",
        }
    }
    return made


def problem_response(status: int) -> dict[str, Any]:
    """How a problem stands in the document."""
    return {
        "description": problems.TITLES[status],
        "content": {
            problems.MEDIA_TYPE: {"schema": {"$ref": _SCHEMAS.format(model="ProblemDocument")}}
        },
    }
