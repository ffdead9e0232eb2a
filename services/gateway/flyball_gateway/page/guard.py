"""Answers at the page's address for those who may not see it, before a page is built."""

from collections.abc import Callable
from typing import Final

from fastapi import Request
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flyball_gateway.identity.access import Person

POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' "
    "'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self' ws: wss:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""Vue compiles its templates in the browser, which needs `unsafe-eval`. `ws:`: some browsers do not
count a socket to the page's own address as `self`."""

HEADERS: Final = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}

_PLAIN: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Flyball</title><style>
:root{color-scheme:light dark}body{font:16px/1.6 system-ui,sans-serif;max-width:38rem;margin:12vh auto;
padding:0 1.25rem}h1{font-size:1.4rem}code{display:inline-block;padding:.15rem .4rem;border-radius:4px;
background:rgba(127,127,127,.16)}</style></head><body><h1>Flyball</h1>%s</body></html>"""

_LOGIN: Final = """<p>You are not logged in, or your session has ended.</p>
<p>Whoever runs the stack has a login link: <code>flyball up</code> prints one when it is ready. For
another person, or a new one, say who and with which role:</p>
<p><code>flyball users invite NAME --role viewer</code></p>
<p>The link works once, within ten minutes. Roles: viewer, operator, approver, engineer, admin.</p>"""

_FULL: Final = """<p>Too many pages are open at this gateway. Close one, here or elsewhere, and load
this page again.</p>"""


class Guard:
    """Lets a browser with a session through to the page; says to others how to get one."""

    def __init__(
        self,
        app: ASGIApp,
        who: Callable[[Request], Person | None],
        has_room: Callable[[], bool],
    ) -> None:
        self._app, self._who, self._has_room = app, who, has_room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer."""
        if scope["type"] != "http" or scope["path"] != "/":
            await self._app(scope, receive, send)
        elif self._who(Request(scope)) is None:
            await HTMLResponse(_PLAIN % _LOGIN, 401, HEADERS)(scope, receive, send)
        elif not self._has_room():
            await HTMLResponse(_PLAIN % _FULL, 503, HEADERS)(scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name.encode() for name in HEADERS}
            kept = [pair for pair in message["headers"] if pair[0].lower() not in own]
            added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message = {**message, "headers": kept + added}
        await send(message)

    return sending
