"""All open pages: one task shows each new picture on them, rendered once for all of them."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from fastapi import Request

from flyball_gateway.asking import Asking
from flyball_gateway.beside import Reading
from flyball_gateway.identity.access import Person
from flyball_gateway.page import Changed, comparing, flowing, happening, seating
from flyball_gateway.picturing.picture import Loop, Picture
from flyball_kit import clock

log = logging.getLogger("flyball.gateway.page")

MAX_PAGES: Final = 100
"""Open pages; another one is answered with 503."""
EVERY_S: Final = 1.0
AT_LEAST_S: Final = 0.4
"""A page does not change more often."""


@dataclass(frozen=True, slots=True)
class Sections:
    """The parts of the page that are the same for everybody, as HTML."""

    headline: str
    flow: str
    seat: str
    challengers: str
    figures: str
    awaited: str
    verdicts: str
    effect: str
    events: str


class Shown(Protocol):
    """One open page."""

    def show(self) -> None:
        """Bring it up to date."""
        ...


class Pages:
    """What is open now; at most `MAX_PAGES`. A page that is gone is told to `close`."""

    def __init__(
        self,
        picture: Callable[[], Picture],
        asking: Asking,
        who: Callable[[Request], Person | None],
        changed: Changed,
        beside: Reading,
    ) -> None:
        self.picture, self.asking, self.who, self.beside = picture, asking, who, beside
        self._changed = changed
        self._open: dict[int, Shown] = {}
        self._rendered: tuple[Picture, dict[str, Sections]] | None = None

    def has_room(self) -> bool:
        """Whether another page may open."""
        return len(self._open) < MAX_PAGES

    def open(self, page: Shown) -> None:
        """Keep a page up to date from now on."""
        self._open[id(page)] = page

    def close(self, page: Shown) -> None:
        """Forget a page; harmless when it is forgotten."""
        self._open.pop(id(page), None)

    async def show_for_ever(self) -> None:
        """Show each picture on every open page; without one there is nothing to do."""
        while True:
            await asyncio.wait({self._changed.next()}, timeout=EVERY_S)
            for page in list(self._open.values()):
                page.show()
            await clock.sleep(AT_LEAST_S)

    def sections(self, picture: Picture, loop: Loop) -> Sections:
        """The page's parts, made once for each picture and pipeline."""
        if self._rendered is None or self._rendered[0] is not picture:
            self._rendered = (picture, {})
        made = self._rendered[1]
        if loop.name not in made:
            made[loop.name] = Sections(
                headline=seating.headline(loop),
                flow=flowing.flow(picture, loop),
                seat=seating.seat(picture, loop),
                challengers=comparing.challengers(loop),
                figures=comparing.figures(loop),
                awaited=comparing.awaited(loop),
                verdicts=happening.verdicts(loop),
                effect=comparing.effect(loop),
                events=happening.events(picture, loop),
            )
        return made[loop.name]
