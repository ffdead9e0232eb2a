"""One open page: its controls, and the sections that show the picture."""

from functools import partial
from typing import Final

from fastapi import Request
from nicegui import context, ui

from flyball_gateway.identity.access import Person, may, who_may
from flyball_gateway.page import happening
from flyball_gateway.page.acting import Acting
from flyball_gateway.page.pages import Pages, Sections
from flyball_gateway.page.reviewing import Reviews
from flyball_gateway.page.waiting import Waiting
from flyball_gateway.picturing.picture import Loop, Picture

_NONE_APPLIED: Final = (
    "<p>No pipeline is applied yet. Apply one, for example the simulated radio network's:</p>"
    "<p><code>flyball apply -f pipelines/ran.yaml</code></p>"
)
_SECTIONS: Final = (
    ("flow", "From metric to action", "wide"),
    ("seat", "The seat", ""),
    ("challengers", "Challengers", ""),
    ("waiting", "Decisions that wait for a person", "wide"),
    ("reviews", "Decisions to look at", "wide"),
    ("figures", "How good each one was", ""),
    ("awaited", "What is awaited", ""),
    ("verdicts", "Verdicts of the last minute", ""),
    ("effect", "What acting changes", ""),
    ("events", "What happened (UTC)", "wide"),
)


class Board:
    """A page of one person, about one pipeline at a time."""

    def __init__(self, pages: Pages, request: Request, person: Person, asked: str) -> None:
        self._pages, self._request, self._person = pages, request, person
        self._client = context.client
        self._name = asked
        who = partial(pages.who, request)
        self._acting = Acting(pages.asking, who, self.show, pages.beside)
        self._html: dict[str, ui.html] = {}
        self._build()
        self.show()
        pages.open(self)
        self._client.on_delete(lambda: pages.close(self))

    def show(self) -> None:
        """Bring the page up to date; a session that ended sees the login page."""
        if self._client.is_deleted:
            self._pages.close(self)
            return
        if self._pages.who(self._request) is None:
            self._pages.close(self)
            with self._client:
                ui.navigate.to("/")
            return
        picture = self._pages.picture()
        names = [loop.name for loop in picture.loops]
        if self._name not in names and names:
            self._name = names[0]
        loop = picture.loop(self._name)
        self._choose(names)
        self._put("alarms", happening.alarms(picture, loop))
        self._grid.set_visibility(loop is not None)
        if loop is None:
            self._put("headline", _NONE_APPLIED)
            self._stop.set_visibility(False)
            self._resume.set_visibility(False)
            return
        self._show_loop(picture, loop, self._pages.sections(picture, loop))

    def _show_loop(self, picture: Picture, loop: Loop, sections: Sections) -> None:
        for name in Sections.__slots__:
            self._put(name, getattr(sections, name))
        self._waiting.show(loop)
        self._reviews.show(loop)
        self._stop.set_visibility(not loop.is_stopped)
        self._resume.set_visibility(loop.is_stopped)
        self._main.classes(
            add="is-stopped" if loop.is_stopped else "",
            remove="" if loop.is_stopped else "is-stopped",
        )
        self._main.classes(
            add="is-stale" if picture.stale_since else "",
            remove="" if picture.stale_since else "is-stale",
        )

    def _put(self, name: str, content: str) -> None:
        element = self._html[name]
        if element.content != content:
            element.set_content(content)

    def _choose(self, names: list[str]) -> None:
        self._select.set_visibility(len(names) > 1)
        if self._select.options != names or self._select.value != self._name:
            self._select.set_options(names, value=self._name if self._name in names else None)

    def _chosen(self) -> None:
        if self._select.value and self._select.value != self._name:
            self._name = str(self._select.value)
            ui.navigate.history.replace(f"/?pipeline={self._name}")
            self.show()

    def _build(self) -> None:
        with ui.element("header").classes("top"):
            ui.html("<h1>Flyball</h1>", sanitize=False)
            self._select = ui.select([], on_change=self._chosen, label="Pipeline").props(
                "dense outlined options-dense"
            )
            ui.element("div").classes("space")
            ui.label(f"{self._person.name} · {self._person.role}").classes("person")
            self._stop = self._control("Stop actions", "stop", "negative")
            self._resume = self._control("Resume actions", "resume", "primary")
        with ui.element("div").classes("board") as self._main:
            self._html["alarms"] = ui.html("", sanitize=False).classes("alarms")
            self._html["headline"] = ui.html("", sanitize=False).classes("headline")
            with ui.element("div").classes("grid") as self._grid:
                for name, title, width in _SECTIONS:
                    self._section(name, title, width)

    def _section(self, name: str, title: str, width: str) -> None:
        props = f'aria-labelledby="title-{name}"'
        with ui.element("section").classes(f"card {width} {name}").props(props):
            ui.html(f'<h2 id="title-{name}">{title}</h2>', sanitize=False)
            if name == "waiting":
                self._waiting = Waiting(self._person, self._acting)
            elif name == "reviews":
                self._reviews = Reviews(self._person, self._acting)
            else:
                self._html[name] = ui.html("", sanitize=False).classes("body")

    def _control(self, title: str, act: str, colour: str) -> ui.button:
        allowed = may(self._person, act)
        button = ui.button(title, color=colour).props("no-caps unelevated").classes(act)
        button.set_enabled(allowed)
        if act == "stop":
            button.on_click(lambda: self._acting.ask_stop(self._name))
        else:
            button.on_click(lambda: self._acting.ask_resume(self._name))
        if not allowed:
            roles = ", ".join(who_may(act))
            button.props(
                f'title="You are {self._person.role}; {roles} may {act}." aria-disabled="true"'
            )
        return button
