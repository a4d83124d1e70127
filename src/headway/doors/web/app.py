"""The application: routes, each behind the guard, over a store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headway.doors.web import problems
from headway.doors.web.desk import Desk
from headway.doors.web.document import DESCRIPTION, document_of, problem_response
from headway.doors.web.guard import Guard
from headway.doors.web.routes import ROUTES, Route
from headway.errors import DefinitionError
from headway.ports.store import Store
from headway.releases.rights import Action
from headway.releases.surroundings import NOTHING, Surroundings

PREFIX = "/api/v1"
HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
_EVERYWHERE = (422, 503)  # what every route may answer
_KNOWN = (401, 404, 429)  # and every one that must know who asks


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """What the API is told by whoever serves it."""

    is_loopback: bool  # whether only this machine can reach it
    environments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # to host patterns
    surroundings: Surroundings = NOTHING  # of the releases that are begun here
    # Called when a core has something to do: where one is in this process, it need not look.
    written: Callable[[], object] = lambda: None


class GuardedRoute(APIRoute):
    """A route that knows who asks before it looks at anything else."""

    declared: Route

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            declared = self.declared
            bounded = declared.request(request.scope, request.receive)
            if declared.action is not Action.PUBLIC:
                guard: Guard = request.app.state.guard
                bounded.state.caller = await guard.admitted(bounded)
            await bounded.body()
            return await inner(bounded)

        return handle


def make_app(store_or_opener: Store | Callable[[], Store], settings: ApiSettings) -> FastAPI:
    """The API over a store, or over what opens one; it closes only what it opened itself."""
    app = FastAPI(
        title="Headway",
        version="1",
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.desk = Desk(store_or_opener)
    app.state.guard = Guard(app.state.desk, settings.environments, is_loopback=settings.is_loopback)
    app.state.leaving = asyncio.Event()  # set when the server leaves: streams end
    app.state.streams = 0
    app.state.written = settings.written
    app.state.surroundings = settings.surroundings
    for route in ROUTES:
        add_route(app, route)
    problems.add_handlers(app)
    app.add_middleware(SecurityHeaders)
    require_declared(app.routes)
    app.openapi = lambda: document_of(app)  # type: ignore[method-assign]
    return app


def add_route(app: FastAPI, route: Route) -> None:
    """Put a route behind the guard."""
    declared = type("DeclaredRoute", (GuardedRoute,), {"declared": route})
    answered = (*_EVERYWHERE, *(() if route.action is Action.PUBLIC else _KNOWN), *route.problems)
    if route.action in (Action.EDIT, Action.DEPLOY, Action.STEER, Action.TRACK):
        answered = (*answered, 403)
    if route.method in ("POST", "PUT"):
        answered = (*answered, 400, 413, 415)
    is_public = route.action is Action.PUBLIC
    security: dict[str, Any] = {} if is_public else {"security": [{"token": []}]}
    app.router.add_api_route(
        PREFIX + route.path,
        route.endpoint,
        methods=[route.method],
        status_code=route.status,
        response_model=route.answers,
        responses={status: problem_response(status) for status in sorted(set(answered))},
        openapi_extra={**security, **route.more},
        operation_id=route.endpoint.__name__,
        summary=route.endpoint.__name__.replace("_", " "),
        route_class_override=declared,
    )


def require_declared(routes: list[BaseRoute]) -> None:
    """No route is there that says nothing of who may use it. Raises: DefinitionError."""
    for one in routes:
        if not isinstance(one, GuardedRoute):
            path = getattr(one, "path", one)
            raise DefinitionError(f"the route {path} declares no action: put it into ROUTES")


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    try:
        yield
    finally:
        app.state.leaving.set()
        await asyncio.to_thread(app.state.desk.close)


class SecurityHeaders:
    """Adds to every answer what tells browsers to be careful with it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        await self.app(scope, receive, sent if scope["type"] == "http" else send)
