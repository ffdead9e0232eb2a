"""The list of decisions for people to look at, each with three buttons. Nothing waits for it."""

from typing import Final

from nicegui import ui

from flyball_gateway.identity.access import Person, may
from flyball_gateway.page import happening, wording
from flyball_gateway.page.acting import Acting
from flyball_gateway.picturing.picture import Loop
from flyball_proto.reviews import Judgement, Review

BUTTONS: Final[tuple[tuple[str, Judgement], ...]] = (
    ("Right", "right"),
    ("Wrong", "wrong"),
    ("Unsure", "unsure"),
)


class Reviews:
    """Rows are made and removed as reviews come and go; those that stay keep the focus."""

    def __init__(self, person: Person, acting: Acting) -> None:
        self._acting, self._allowed = acting, may(person, "answer")
        self._rows: dict[str, ui.element] = {}
        self._note = ui.html("", sanitize=False).classes("note")
        self._list = ui.element("ul").classes("holds")

    def show(self, loop: Loop) -> None:
        """Bring the list up to date."""
        wanted = {review.id: review for review in loop.reviews}
        for gone in [found for found in self._rows if found not in wanted]:
            self._rows.pop(gone).delete()
        for review in loop.reviews:
            if review.id not in self._rows:
                self._rows[review.id] = self._row(review)
        note = self._words(loop)
        if self._note.content != note:
            self._note.set_content(note)

    def _words(self, loop: Loop) -> str:
        if not loop.open_reviews:
            return "<p>None now. A small share of decisions is drawn at random.</p>"
        drawn = wording.plural(loop.open_reviews, "decision was drawn", "decisions were drawn")
        newest = f", the {len(loop.reviews)} newest are shown"
        more = newest if loop.open_reviews > len(loop.reviews) else ""
        return (
            f"<p>{drawn} at random{more}. Was the proposed action right, or would it have been? "
            "Nothing waits for it.</p>"
        )

    def _row(self, review: Review) -> ui.element:
        with self._list, ui.element("li") as row:
            ui.html(happening.review(review), sanitize=False).classes("hold")
            with ui.element("div").classes("buttons"):
                for title, answer in BUTTONS:
                    name = f"{title}: {review.action} on {review.element}"
                    button = ui.button(
                        title,
                        color=None,
                        on_click=lambda _, answer=answer: self._acting.ask_review(review, answer),
                    ).props(f'no-caps outline aria-label="{name}"')
                    button.set_enabled(self._allowed)
                    button.classes("quiet")
        return row
