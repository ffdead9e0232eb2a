"""Serves the Loop page with NiceGUI, all of it from this process: nothing is loaded from outside."""

import importlib.resources
from collections.abc import Callable
from typing import Final

import nicegui
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from nicegui import core, ui

from flyball_gateway.asking import Asking
from flyball_gateway.beside import Reading
from flyball_gateway.identity.access import Person
from flyball_gateway.page import Changed
from flyball_gateway.page.board import Board
from flyball_gateway.page.guard import Guard
from flyball_gateway.page.pages import Pages
from flyball_gateway.picturing.picture import Picture

RECONNECT_S: Final = 5.0
HISTORY: Final = 100
"""Messages kept for a browser whose connection broke."""


def serve(
    app: FastAPI,
    picture: Callable[[], Picture],
    asking: Asking,
    who: Callable[[Request], Person | None],
    changed: Changed,
    beside: Reading,
) -> None:
    """See `page.mount`. NiceGUI is one for the process, so the last call of this counts."""
    pages = _SERVED["pages"] = Pages(picture, asking, who, changed, beside)
    _begin_afresh()

    @ui.page("/", title="Flyball", dark=None, language="en-US")
    def loop(request: Request, pipeline: str = "") -> None:
        if (person := who(request)) is not None:  # else the guard has answered already
            Board(pages, request, person, pipeline)

    ui.run_with(
        app,
        title="Flyball",
        favicon=_ICON,
        dark=None,
        tailwind=False,
        binding_refresh_interval=None,
        reconnect_timeout=RECONNECT_S,
        message_history_length=HISTORY,
        show_welcome_message=False,
    )
    core.sio.eio.cors_allowed_origins = None  # the page's own origin and no other
    app.add_middleware(Guard, who=who, has_room=pages.has_room)


def _begin_afresh() -> None:
    """Forget what an earlier server of this process has left behind."""
    nicegui.app.middleware_stack = None
    nicegui.app.user_middleware.clear()
    style = importlib.resources.files(__package__).joinpath("style.css").read_text()
    nicegui.Client.shared_head_html = f"<style>{style}</style>"


async def _show() -> None:
    await _SERVED["pages"].show_for_ever()


async def _not_found(request: Request, _: Exception) -> Response:
    """NiceGUI would build a page, with a state on the server, for every wrong address."""
    return JSONResponse({"detail": f"{request.url.path}: there is nothing here"}, 404)


_ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><g fill="none" stroke="#1f5fbf" '
    'stroke-width="2.5"><path d="M16 4v24M16 7 7 17m9-10 9 10M8 21l8 4 8-4"/></g>'
    '<circle cx="6.5" cy="18.500" r="4" fill="#1f5fbf"/><circle cx="25.5" cy="18.5" r="4" '
    'fill="#1f5fbf"/></svg>'
)
"""A flyball governor."""

_SERVED: Final[dict[str, Pages]] = {}
nicegui.app.on_startup(_show)
nicegui.app.add_exception_handler(404, _not_found)
