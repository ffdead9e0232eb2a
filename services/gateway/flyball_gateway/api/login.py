"""Logging a browser in with a one-time link, and out."""

from html import escape
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from flyball_gateway.api.entrance import COOKIE, Entrance, roles_of
from flyball_gateway.api.errors import ApiError
from flyball_gateway.api.parts import Parts
from flyball_gateway.identity.access import MAX_SECRET_CHARS, Person
from flyball_gateway.identity.people import BadCodeError

NO_STORE: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Flyball</title>
<meta name="viewport" content="width=device-width">
<style>body{{font:1rem/1.5 system-ui;max-width:36rem;margin:15vh auto;padding:0 1rem;
color-scheme:light dark}}</style><h1>Not logged in</h1><p>{}</p></html>"""


def routes(parts: Parts, entrance: Entrance) -> APIRouter:
    """`/login` and `/v1/logout`."""
    router = APIRouter(tags=["access"])

    @router.get("/login", response_class=RedirectResponse, status_code=303)
    async def log_in(
        request: Request, code: Annotated[str, Query(max_length=MAX_SECRET_CHARS)]
    ) -> Response:
        """Exchange a one-time code for a session's cookie, and go to the page."""
        try:
            secret, record = await parts.people.exchange(code)
        except BadCodeError as error:
            return _refused(request, entrance.failed(request, error.kind, str(error)))
        await parts.recording.note("log in", f"{record.role} {record.name}", by=record.name)
        return _welcome(parts, secret)

    @router.post("/v1/logout", status_code=204, openapi_extra=roles_of("read"))
    async def log_out(request: Request, _: Annotated[Person, entrance.needs("read")]) -> Response:
        """End this session."""
        await parts.people.end("session", request.cookies.get(COOKIE, ""))
        answer = Response(status_code=204)
        answer.delete_cookie(COOKIE)
        return answer

    return router


def _welcome(parts: Parts, secret: str) -> Response:
    answer = RedirectResponse("/", 303, headers=NO_STORE)
    answer.set_cookie(
        COOKIE,
        secret,
        max_age=parts.settings.session_hours * 3600,
        httponly=True,
        samesite="lax",
        secure=parts.settings.is_secure,
    )
    return answer


def _refused(request: Request, error: ApiError) -> Response:
    """A page for people, JSON for programs."""
    if "text/html" not in request.headers.get("accept", ""):
        raise error
    page = PAGE.format(escape(error.message))
    return HTMLResponse(page, error.status, headers={**NO_STORE, **error.headers})
