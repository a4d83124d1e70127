"""Every route of the API: its address, what right it takes, and what answers.

What answers is in two parts: here, what comes over HTTP; in the modules beside, what is done with
the store, by a thread of the desk.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple, cast

from fastapi import Body, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime

import headway
from headway.doors.web import asking, models, playbooks, runs, streams, tasks, workers
from headway.doors.web.bodies import YAML, BoundedRequest, PlaybookRequest
from headway.doors.web.desk import Desk
from headway.doors.web.guard import Caller, Guard
from headway.doors.web.limits import EVENTS, MOST, STREAMS
from headway.doors.web.playbooks import Typed
from headway.doors.web.problems import unavailable
from headway.jobs.states import JobState, RunState
from headway.ports.leases import CORE
from headway.ports.store import Store
from headway.releases.rights import Action
from headway.runtime.ownership import LEASE_S
from headway.tracking.states import TaskState

SEQ_MOST = 2**62

RunId = Annotated[str, Path(pattern="^[0-9a-f]{1,64}$", description="A run's id, all of it.")]
PlaybookId = Annotated[str, Path(pattern="^[0-9a-f]{1,64}$", description="Its id, all of it.")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="How many at most.")]
After = Annotated[int, Query(ge=0, le=SEQ_MOST, description="What follows this place.")]
Cursor = Annotated[
    str | None, Query(max_length=2_000, description="What the page before said as next.")
]
Group = Annotated[str | None, Query(max_length=200, description="Only those of this group.")]
TaskId = Annotated[
    str, Path(min_length=1, max_length=1_000, description="A task's id, as Celery has it.")
]
Moment = Annotated[AwareDatetime | None, Query(description="ISO 8601 with its offset from UTC.")]
IfMatch = Annotated[str | None, Header(max_length=40, description='A version: "3", or *.')]


class Route(NamedTuple):
    """One address and what may be done there."""

    method: str
    path: str  # below /api/v1
    endpoint: Callable[..., Any]
    action: Action
    answers: Any  # the model; None for no content
    status: int = 200
    request: type[BoundedRequest] = BoundedRequest
    more: Mapping[str, Any] = {}  # for the OpenAPI document
    problems: tuple[int, ...] = ()  # that it may answer, beside those of every route


def desk_of(request: Request) -> Desk:
    return cast(Desk, request.app.state.desk)


def guard_of(request: Request) -> Guard:
    return cast(Guard, request.app.state.guard)


def caller_of(request: Request) -> Caller:
    return cast(Caller, request.state.caller)


async def health(request: Request) -> dict[str, Any]:
    """Whether the API and its store answer, and whether a core is there."""
    is_open = await guard_of(request).is_open()
    core = await desk_of(request).call(_core)
    detail = (
        "There is no token yet: everybody on this machine may do everything."
        " headway token new NAME --group GROUP makes the first."
        if is_open
        else "Every request needs a token."
    )
    return {
        "status": "ok",
        "version": headway.__version__,
        "authentication": "none" if is_open else "tokens",
        "detail": detail,
        "core": core,
    }


def _core(store: Store) -> str:
    lease = store.lease_of(CORE)
    return "alive" if lease is not None and lease.seen_s < LEASE_S else "none"


async def openapi(request: Request) -> JSONResponse:
    """This API, as OpenAPI has it."""
    return JSONResponse(request.app.openapi())


async def list_runs(
    request: Request,
    limit: Limit = 50,
    cursor: Cursor = None,
    group: Group = None,
    state: Annotated[list[RunState], Query(max_length=10, description="Only in these.")] = [],  # noqa: B006
) -> dict[str, Any]:
    """The newest runs, newest first."""
    page = runs.Page(limit, cursor, group, tuple(state))
    return await desk_of(request).call(runs.run_page, caller_of(request), page)


async def show_run(request: Request, run: RunId) -> dict[str, Any]:
    """How a run stands, who began it with what, and how it came there."""
    return await desk_of(request).call(runs.run_in_full, caller_of(request), run)


async def list_jobs(
    request: Request,
    run: RunId,
    after: Annotated[int, Query(ge=-1, le=SEQ_MOST, description="What follows this key.")] = -1,
    limit: Limit = 100,
    state: Annotated[list[JobState], Query(max_length=10, description="Only in these.")] = [],  # noqa: B006
) -> dict[str, Any]:
    """The jobs of a run, in the order of their keys."""
    return await desk_of(request).call(
        runs.job_page, caller_of(request), run, after, limit, tuple(state)
    )


async def show_job(
    request: Request, run: RunId, key: Annotated[int, Path(ge=0, le=SEQ_MOST)]
) -> dict[str, Any]:
    """One job of a run, with all its tries."""
    return await desk_of(request).call(runs.job_in_full, caller_of(request), run, key)


async def list_events(
    request: Request,
    run: RunId,
    after: After = 0,
    limit: Limit = 100,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=SEQ_MOST, description="As after, of a stream that broke off.")
    ] = None,
) -> Any:
    """What happened in a run: a page of JSON, or with `Accept: text/event-stream` all of it as it
    happens, until the run is over. A stream of what is over and wholly told is 204."""
    after = after if last_event_id is None else last_event_id
    desk, caller = desk_of(request), caller_of(request)
    if streams.MEDIA_TYPE not in request.headers.get("accept", ""):
        return await desk.call(runs.event_page, caller, run, after, limit)
    return await _stream(request, run, after)


async def _stream(request: Request, run: str, after: int) -> Response:
    desk, caller, state = desk_of(request), caller_of(request), request.app.state
    first = await desk.call(runs.event_page, caller, run, after, 1)
    if first["over"]:
        return Response(status_code=204)
    if state.streams >= STREAMS:
        raise unavailable(f"{STREAMS} streams are open, which is the most: try again")
    plan = await desk.call(runs.plan_of, run)

    def counted(more: int) -> None:
        state.streams += more

    async def page_after(place: int) -> dict[str, Any]:
        return await desk.call(runs.event_page, caller, run, place, EVENTS, plan)

    guard = guard_of(request)
    chunks = streams.told(page_after, after, lambda: guard.admitted(request), state.leaving)
    return streams.EventStream(chunks, counted)


async def list_output(
    request: Request,
    run: RunId,
    after: After = 0,
    limit: Limit = 100,
    job: Annotated[
        int | None, Query(ge=-1, le=SEQ_MOST, description="Only this job's, by its key.")
    ] = None,
) -> dict[str, Any]:
    """What the jobs of a run wrote, line by line."""
    return await desk_of(request).call(runs.line_page, caller_of(request), run, job, after, limit)


async def show_plan(request: Request, run: RunId) -> Any:
    """A run's plan: its jobs by key, and what each needs."""
    return await desk_of(request).call(runs.plan_document, caller_of(request), run)


async def cancel_run(request: Request, run: RunId, body: models.Reason | None = None) -> Any:
    """Ask that a run be stopped: nothing new starts, Cleanups run."""
    return await _asked(request, run, "cancel", body or models.Reason())


async def pause_run(request: Request, run: RunId, body: models.Reason | None = None) -> Any:
    """Ask that nothing new be started in a run until it is resumed."""
    return await _asked(request, run, "pause", body or models.Reason())


async def resume_run(request: Request, run: RunId, body: models.Reason | None = None) -> Any:
    """Ask that a run go on that was paused or cut off."""
    return await _asked(request, run, "resume", body or models.Reason())


async def retry_run(request: Request, run: RunId, body: models.Retry | None = None) -> Any:
    """Ask that what failed in a run that is over be tried again."""
    return await _asked(request, run, "retry", body or models.Retry())


async def approve_run(request: Request, run: RunId, body: models.Approval | None = None) -> Any:
    """Answer at a gate, where a run waits: approve or reject."""
    return await _asked(request, run, "approve", body or models.Approval())


async def settle_run(request: Request, run: RunId, body: models.Settlement) -> Any:
    """Answer for a job in doubt: whose Run began, and whose end nobody saw."""
    return await _asked(request, run, "settle", body)


async def _asked(request: Request, run: str, verb: str, body: models.Sent) -> JSONResponse:
    args = body.model_dump(by_alias=True)
    asked = await desk_of(request).call(asking.ask, caller_of(request), run, verb, args)
    request.app.state.written()
    place = f"/api/v1/requests/{asked['request']}"
    return JSONResponse(asked, 202, {"Location": place})


async def show_request(
    request: Request, number: Annotated[int, Path(ge=1, le=SEQ_MOST)]
) -> dict[str, Any]:
    """Something that was asked of a run, and what was answered."""
    return await desk_of(request).call(asking.request_document, caller_of(request), number)


async def list_playbooks(
    request: Request, limit: Limit = 50, cursor: Cursor = None, group: Group = None
) -> dict[str, Any]:
    """The stored playbooks, by group and name."""
    return await desk_of(request).call(
        playbooks.playbook_page, caller_of(request), limit, cursor, group
    )


async def add_playbook(request: Request) -> JSONResponse:
    """Check a playbook, sent exactly as it was typed, and store it as version 1."""
    typed = await _typed(request)
    told = await desk_of(request).call(playbooks.added, caller_of(request), typed)
    return _playbook(told, 201, {"Location": f"/api/v1/playbooks/{told['playbook']}"})


async def show_playbook(request: Request, playbook: PlaybookId) -> JSONResponse:
    """A stored playbook as it stands. Its ETag is its version."""
    return _playbook(
        await desk_of(request).call(playbooks.playbook_document, caller_of(request), playbook)
    )


async def edit_playbook(
    request: Request, playbook: PlaybookId, if_match: IfMatch = None
) -> JSONResponse:
    """Store the next version of a playbook, which is to follow the one that If-Match names."""
    typed = await _typed(request)
    return _playbook(
        await desk_of(request).call(playbooks.edited, caller_of(request), playbook, typed, if_match)
    )


async def remove_playbook(
    request: Request, playbook: PlaybookId, if_match: IfMatch = None
) -> Response:
    """Remove a playbook: it can be read by its id, and no longer begun."""
    await desk_of(request).call(playbooks.removed, caller_of(request), playbook, if_match)
    return Response(status_code=204)


async def list_versions(
    request: Request,
    playbook: PlaybookId,
    limit: Limit = 50,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> dict[str, Any]:
    """The versions of a playbook, newest first."""
    return await desk_of(request).call(
        playbooks.version_page, caller_of(request), playbook, limit, before
    )


async def show_version(
    request: Request,
    playbook: PlaybookId,
    version: Annotated[int, Path(ge=1, le=2**31 - 1)],
) -> dict[str, Any]:
    """One version of a playbook, with its text."""
    return await desk_of(request).call(
        playbooks.version_in_full, caller_of(request), playbook, version
    )


async def deploy_playbook(
    request: Request,
    playbook: PlaybookId,
    order: Annotated[models.Order, Body()],
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern="^[!-~]+$",
            description="Any text of yours: sent again with it, the request begins nothing twice.",
        ),
    ] = None,
) -> JSONResponse:
    """Begin a release of a playbook. It is stored when this answers; a core carries it out."""
    told = await desk_of(request).call(
        playbooks.deployed,
        caller_of(request),
        playbook,
        order.inputs,
        order.version,
        idempotency_key,
        request.app.state.surroundings,
    )
    request.app.state.written()
    headers = {"Location": f"/api/v1/runs/{told['run']}"}
    if not told.pop("is_new"):
        headers["Idempotent-Replayed"] = "true"
    return JSONResponse(told, 201, headers)


async def list_locks(request: Request, limit: Limit = 100, cursor: Cursor = None) -> dict[str, Any]:
    """Who holds which lock, and who waits for it: by tag, first come first."""
    return await desk_of(request).call(runs.lock_page, caller_of(request), limit, cursor)


async def list_workers(
    request: Request, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Which workers are there, as the core wrote it down: by the queues they serve."""
    return await desk_of(request).call(workers.worker_page, caller_of(request), limit, cursor)


async def list_tasks(
    request: Request,
    name: Annotated[
        str | None, Query(max_length=1_000, description="A name, or its beginning and a star.")
    ] = None,
    state: Annotated[TaskState | None, Query(description="Only in this.")] = None,
    queue: Annotated[str | None, Query(max_length=1_000, description="Sent to this.")] = None,
    since: Moment = None,
    until: Moment = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """The newest Celery tasks that the monitor has heard of, newest first."""
    wanted = tasks.Wanted(name, state, queue, since, until)
    return await desk_of(request).call(tasks.task_page, caller_of(request), wanted, limit, cursor)


async def show_task(request: Request, task: TaskId) -> dict[str, Any]:
    """One Celery task with its result. The state of one that nobody has heard of is unknown."""
    return await desk_of(request).call(tasks.task_in_full, caller_of(request), task)


async def show_family(
    request: Request, task: TaskId, after: After = 0, limit: Limit = 100
) -> dict[str, Any]:
    """Where the family of a Celery task stands, by the id of any member: the task at its root and
    all that were sent because of it."""
    return await desk_of(request).call(tasks.family_page, caller_of(request), task, after, limit)


async def list_dead_letters(
    request: Request, limit: Limit = 50, cursor: Cursor = None
) -> dict[str, Any]:
    """Messages of which the monitor could make no task, newest first."""
    return await desk_of(request).call(tasks.letter_page, caller_of(request), limit, cursor)


async def _typed(request: Request) -> Typed:
    assert isinstance(request, PlaybookRequest)
    return Typed(await request.body(), request.notation)


def _playbook(
    told: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(told, status, {"ETag": f'"{told["version"]}"', **(headers or {})})


_DOCUMENT = {
    "requestBody": {
        "required": True,
        "description": "The playbook, exactly as it was typed.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            **{media_type: {"schema": {"type": "string"}} for media_type in YAML[:1]},
        },
    }
}
_STREAM = {
    "responses": {
        "200": {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        "204": {"description": "The run is over and all of it was told."},
    }
}

_RUN = "/runs/{run}"
_PLAYBOOK = "/playbooks/{playbook}"
_TASK = "/tasks/{task}"
# fmt: off
ROUTES: tuple[Route, ...] = (
    Route("GET", "/health", health, Action.PUBLIC, models.Health),
    Route("GET", "/openapi.json", openapi, Action.PUBLIC, dict[str, Any]),
    Route("GET", "/runs", list_runs, Action.LOOK, models.RunPage, problems=(400,)),
    Route("GET", _RUN, show_run, Action.READ, models.RunInFull),
    Route("GET", _RUN + "/jobs", list_jobs, Action.READ, models.JobPage),
    Route("GET", _RUN + "/jobs/{key}", show_job, Action.READ, models.JobWithHistory),
    Route("GET", _RUN + "/events", list_events, Action.READ, models.EventPage, more=_STREAM),
    Route("GET", _RUN + "/output", list_output, Action.READ, models.LinePage),
    Route("GET", _RUN + "/plan", show_plan, Action.READ, models.PlanDocument),
    Route("POST", _RUN + "/cancel", cancel_run, Action.STEER, models.Asked, 202, problems=(409,)),
    Route("POST", _RUN + "/pause", pause_run, Action.STEER, models.Asked, 202, problems=(409,)),
    Route("POST", _RUN + "/resume", resume_run, Action.STEER, models.Asked, 202, problems=(409,)),
    Route("POST", _RUN + "/retry", retry_run, Action.STEER, models.Asked, 202, problems=(409,)),
    Route("POST", _RUN + "/approve", approve_run, Action.STEER, models.Asked, 202, problems=(409,)),
    Route("POST", _RUN + "/settle", settle_run, Action.STEER, models.Asked, 202, problems=(409,)),
    Route("GET", "/requests/{number}", show_request, Action.READ, models.RequestDocument),
    Route("GET", "/playbooks", list_playbooks, Action.LOOK, models.PlaybookPage, problems=(400,)),
    Route("POST", "/playbooks", add_playbook, Action.EDIT, models.Playbook, 201, PlaybookRequest, _DOCUMENT, (409,)),  # noqa: E501
    Route("GET", _PLAYBOOK, show_playbook, Action.READ, models.Playbook),
    Route("PUT", _PLAYBOOK, edit_playbook, Action.EDIT, models.Playbook, 200, PlaybookRequest, _DOCUMENT, (409, 412, 428)),  # noqa: E501
    Route("DELETE", _PLAYBOOK, remove_playbook, Action.EDIT, None, 204, problems=(400, 409, 412)),
    Route("GET", _PLAYBOOK + "/versions", list_versions, Action.READ, models.VersionPage),
    Route("GET", _PLAYBOOK + "/versions/{version}", show_version, Action.READ, models.VersionInFull),  # noqa: E501
    Route("POST", _PLAYBOOK + "/deployments", deploy_playbook, Action.DEPLOY, models.Deployed, 201, problems=(409,)),  # noqa: E501
    Route("GET", "/locks", list_locks, Action.LOOK, models.LockPage, problems=(400,)),
    Route("GET", "/workers", list_workers, Action.LOOK, models.WorkerPage, problems=(400,)),
    Route("GET", "/tasks", list_tasks, Action.TRACK, models.TaskPage, problems=(400,)),
    Route("GET", _TASK, show_task, Action.TRACK, models.Task),
    Route("GET", _TASK + "/family", show_family, Action.TRACK, models.Family),
    Route("GET", "/dead-letters", list_dead_letters, Action.TRACK, models.LetterPage, problems=(400,)),  # noqa: E501
)
# fmt: on
