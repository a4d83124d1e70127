"""What goes wrong, as RFC 9457 has it: a kind, a status, and a sentence that says what to do."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from headway.errors import (
    Conflict,
    DefinitionError,
    HeadwayError,
    Rejected,
    Unavailable,
)
from headway.releases.document import DocumentError
from headway.releases.document import Problem as Flaw
from headway.releases.inputs import WrongInputs

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2  # what a client is told to wait when the store does not answer
MOST_ERRORS = 100  # told of one request

log = logging.getLogger("headway.web")

TITLES = {
    400: "Malformed",
    401: "Who are you?",
    403: "Not allowed",
    404: "Not found",
    405: "Not that method",
    408: "Too slow",
    409: "Conflict",
    412: "Changed meanwhile",
    413: "Too large",
    415: "Not that media type",
    422: "Wrong content",
    428: "Say which version",
    429: "Too many failures",
    500: "A bug in Headway",
    503: "Try again",
}


class Problem(HTTPException):
    """A request that gets no other answer than what is wrong with it."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.errors = errors


def answer_of(problem: Problem) -> JSONResponse:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES.get(problem.status_code, "Problem"),
        "status": problem.status_code,
        "detail": problem.detail,
    }
    if problem.errors:
        body["errors"] = list(problem.errors)[:MOST_ERRORS]
    return JSONResponse(body, problem.status_code, problem.headers, MEDIA_TYPE)


def unavailable(detail: str) -> Problem:
    return Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def problem_of(error: HeadwayError) -> Problem:
    """What a client is told of an error that nobody on the way there knew more of.

    Where the store is, and how it fails, is not for clients: that is logged.
    """
    if isinstance(error, DocumentError):
        return wrong_document(error)
    if isinstance(error, WrongInputs):
        detail = "the inputs are not what the playbook needs: see errors"
        return Problem(422, detail, errors=[{"detail": one} for one in error.problems])
    if isinstance(error, Conflict):
        return Problem(409, str(error))
    if isinstance(error, (DefinitionError, Rejected)):
        return Problem(422, str(error))
    log.warning("the store: %s", _one_line(error))
    if isinstance(error, Unavailable):
        return unavailable(
            "the store does not answer; what was asked may have been done: look, then try again"
        )
    return unavailable("the store cannot be used as it is: who looks after Headway finds the log")


def wrong_document(error: DocumentError) -> Problem:
    """A playbook with all that is wrong with it."""
    return Problem(
        422,
        "the playbook is written wrongly: see errors",
        errors=[
            {
                "pointer": pointer_of(flaw.field),
                "detail": f"{flaw.what}. {flaw.remedy}",
                **_place(flaw),
            }
            for flaw in error.problems
        ],
    )


def _place(flaw: Flaw) -> dict[str, int]:
    return {"line": flaw.at.line, "column": flaw.at.column} if flaw.at.line else {}


def pointer_of(field: str) -> str:
    """The JSON pointer of a field: ``execution[0].steps[2]`` is ``/execution/0/steps/2``."""
    parts: list[str] = []
    rest = "" if field == "playbook" else field
    while rest:
        if rest.startswith("["):
            inside, _, rest = rest[1:].partition("]")
            parts.append(inside.strip("'\""))
        else:
            rest = rest.removeprefix(".")
            ends = [at for at in (rest.find("."), rest.find("[")) if at >= 0]
            end = min(ends, default=len(rest))
            parts.append(rest[:end])
            rest = rest[end:]
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in parts)


def add_handlers(app: FastAPI) -> None:
    """Have every error answered in this form."""
    app.add_exception_handler(HTTPException, _answered)
    app.add_exception_handler(RequestValidationError, _refused)
    app.add_exception_handler(HeadwayError, _failed)
    app.add_exception_handler(Exception, _broken)


async def _answered(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, Problem):
        return answer_of(error)
    assert isinstance(error, HTTPException)
    said = {
        404: f"there is no {request.url.path[:200]}: /api/v1/openapi.json says what there is",
        405: f"{request.method[:20]} is not for this address: see the header Allow",
    }
    detail = said.get(error.status_code, str(error.detail))
    return answer_of(Problem(error.status_code, detail, headers=error.headers))


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    if any(one["loc"][0] == "path" for one in error.errors()):
        return answer_of(Problem(404, "there is nothing by that id: ids are told by the lists"))
    errors = [_told(one, request) for one in error.errors()]
    return answer_of(Problem(422, "; ".join(one["detail"] for one in errors[:3]), errors=errors))


def _told(one: Mapping[str, Any], request: Request) -> dict[str, Any]:
    place, *path = one["loc"]
    if place != "body":
        name = str(path[0]) if path else ""
        return {"in": str(place), "name": name, "detail": f"{name}: {one['msg']}"}
    pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
    return {"pointer": pointer, "detail": f"{pointer or 'the body'}: {one['msg']}"}


async def _failed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HeadwayError)
    return answer_of(problem_of(error))


async def _broken(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer_of(Problem(500, "this is a bug in Headway; its log says more"))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:1_000]
