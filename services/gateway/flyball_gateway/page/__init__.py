"""The Loop page: what a pipeline is doing, why its last change happened, and what waits for people."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable

    from fastapi import FastAPI, Request

    from flyball_gateway.asking import Asking
    from flyball_gateway.beside import Reading
    from flyball_gateway.identity.access import Person
    from flyball_gateway.picturing.picture import Picture


class Changed(Protocol):
    """Says when there is another picture."""

    def next(self) -> "Future[None]":
        """Done when there is another one."""
        ...


def mount(
    app: "FastAPI",
    picture: "Callable[[], Picture]",
    asking: "Asking",
    who: "Callable[[Request], Person | None]",
    changed: Changed,
    beside: "Reading",
) -> None:
    """Serve the page at `/` and what it needs under `/_nicegui`; call it after all other routes.

    NiceGUI is imported here and not before: it takes more than a second. `who` is asked at every
    opening, act and picture, so that a session that ended sees nothing more.
    """
    from flyball_gateway.page.serving import serve  # noqa: PLC0415 - as said above

    serve(app, picture, asking, who, changed, beside)
