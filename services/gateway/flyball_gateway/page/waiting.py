"""The list of decisions that wait for a person, each with its two buttons."""

from typing import Literal

from nicegui import ui

from flyball_gateway.identity.access import Person, may, who_may
from flyball_gateway.page import happening, wording
from flyball_gateway.page.acting import Acting
from flyball_gateway.picturing.picture import Loop
from flyball_proto.holds import MAX_BULK, Hold


class Waiting:
    """Rows are made and removed as holds come and go; those that stay keep the focus."""

    def __init__(self, person: Person, acting: Acting) -> None:
        self._acting, self._allowed = acting, may(person, "answer")
        self._rows: dict[str, tuple[ui.element, ui.html]] = {}
        self._note = ui.html("", sanitize=False).classes("note")
        self._loop: Loop | None = None
        with ui.element("div").classes("buttons") as self._all:
            for title, answer in (("Approve all", "approve"), ("Deny all", "deny")):
                button = ui.button(
                    title, color=None, on_click=lambda _, answer=answer: self._ask_all(answer)
                ).props("no-caps outline")
                button.set_enabled(self._allowed)
                button.classes("quiet")
        self._list = ui.element("ul").classes("holds")
        self._refusal = (
            ""
            if self._allowed
            else f"You are {person.role}; {' and '.join(who_may('answer'))} may answer."
        )

    def show(self, loop: Loop) -> None:
        """Bring the list up to date."""
        self._loop = loop
        self._all.set_visibility(1 < loop.open_holds <= MAX_BULK)
        wanted = {hold.id: hold for hold in loop.holds}
        for gone in [found for found in self._rows if found not in wanted]:
            self._rows.pop(gone)[0].delete()
        for hold in loop.holds:
            if hold.id not in self._rows:
                self._rows[hold.id] = self._row(hold)
            content, body = happening.hold(hold, loop.now_ms), self._rows[hold.id][1]
            if body.content != content:
                body.set_content(content)
        note = self._words(loop)
        if self._note.content != note:
            self._note.set_content(note)

    def _ask_all(self, answer: Literal["approve", "deny"]) -> None:
        """As many as the page says now, or none."""
        if self._loop is not None:
            self._acting.ask_many(self._loop.name, self._loop.open_holds, answer)

    def _words(self, loop: Loop) -> str:
        if not loop.open_holds:
            return (
                "<p>None now. A decision whose risk is high waits here; unanswered ones expire and "
                "are not sent.</p>"
            )
        more = loop.open_holds - len(loop.holds)
        hidden = (
            f", the {wording.count(len(loop.holds))} that expire first are shown" if more else ""
        )
        waits = wording.plural(loop.open_holds, "decision waits", "decisions wait")
        return f"<p>{waits}{hidden}. Unanswered ones expire and are not sent. {self._refusal}</p>"

    def _row(self, hold: Hold) -> tuple[ui.element, ui.html]:
        with self._list, ui.element("li") as row:
            body = ui.html("", sanitize=False).classes("hold")
            with ui.element("div").classes("buttons"):
                for title, answer, look in (
                    ("Approve", "approve", "unelevated color=primary"),
                    ("Deny", "deny", "outline"),
                ):
                    name = f"{title} {hold.action} on {hold.element}"
                    button = ui.button(
                        title,
                        color=None,
                        on_click=lambda _, answer=answer: self._acting.ask_answer(hold, answer),
                    ).props(f'no-caps {look} aria-label="{name}"')
                    button.set_enabled(self._allowed)
                    if answer == "deny":
                        button.classes("quiet")
                    if self._refusal:
                        button.props(f'title="{self._refusal}"')
        return row, body
