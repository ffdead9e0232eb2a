"""The FastAPI application: the routes, the errors, and a page that describes them."""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from starlette.routing import Match, Route

from flyball_gateway.api import (
    breaking,
    errors,
    events,
    history,
    holding,
    login,
    looking,
    models,
    reviewing,
    steering,
)
from flyball_gateway.api.describing import page
from flyball_gateway.api.entrance import COOKIE, Entrance
from flyball_gateway.api.parts import Parts
from flyball_gateway.identity.access import ACTS, RIGHTS

DESCRIPTION: Final = (
    "See and steer the loop. Send `Authorization: Bearer <token>` (flyball users token), or log a "
    "browser in with a one-time link (flyball users invite)."
)
METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
SECURITY: Final[dict[str, Any]] = {
    "token": {"type": "http", "scheme": "bearer"},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}


def build_api(parts: Parts, entrance: Entrance) -> FastAPI:
    """The application without the page; no I/O."""
    app = FastAPI(
        title="Flyball",
        version="1",
        description=DESCRIPTION,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses={"4XX": {"model": errors.Problem}, "5XX": {"model": errors.Problem}},
    )
    modules = (looking, models, history, holding, reviewing, steering, breaking, events, login)
    routers = [module.routes(parts, entrance) for module in modules]
    for router in routers:
        app.include_router(router)
    errors.install(app)
    _describe(app)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """The routes, as a page that loads nothing."""
        return HTMLResponse(page(app.openapi()))

    @app.api_route("/v1/{path:path}", methods=METHODS, include_in_schema=False)
    async def unknown(request: Request) -> Response:
        """Whatever is no route, before the page takes it."""
        return _unknown(routers, request)

    return app


def _unknown(routers: Sequence[APIRouter], request: Request) -> Response:
    methods = sorted(
        method
        for router in routers
        for route in router.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is Match.PARTIAL
        for method in route.methods or ()
    )
    asked = f"{request.method} {request.url.path[:200]}"
    if methods:
        allow = ", ".join(methods)
        found = f"{asked}: valid: {allow}"
        return errors.answer(405, "method-not-allowed", found, {"Allow": allow})
    return errors.answer(404, "not-found", f"{asked}: found no such route; see /docs")


def _describe(app: FastAPI) -> None:
    """Say in the document how one comes in, and who may do what."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = made()
            document.setdefault("components", {})["securitySchemes"] = SECURITY
            document["security"] = [{name: []} for name in SECURITY]
            document["x-flyball-rights"] = {
                role: [act for act in ACTS if act in acts] for role, acts in RIGHTS.items()
            }
        return made()

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI's documentation does it
