"""What a person does on the page: asks why, asks the service, shows what came of it."""

from collections.abc import Awaitable, Callable
from html import escape
from typing import Final, Literal

from nicegui import ui

from flyball_gateway.asking import Asking
from flyball_gateway.beside import Reading
from flyball_gateway.identity.access import Person
from flyball_gateway.page import happening
from flyball_kit.errors import PermanentError, TransientError
from flyball_proto.commands import AnswerHolds
from flyball_proto.holds import MAX_WHY_CHARS, Hold, ReasonCode
from flyball_proto.reviews import Judgement, Review

CODES: Final[dict[ReasonCode, str]] = {
    "agree": "I agree",
    "wrong-prediction": "The prediction is wrong",
    "wrong-action": "Another action is needed",
    "bad-timing": "Not now",
    "maintenance": "Maintenance",
    "data-quality": "The data are bad",
    "policy": "Against policy",
    "other": "Other",
}
"""Reason codes, as people read them."""

Ask = Callable[[Person, str], Awaitable[str]]
"""Carries an act out, with the reason given; returns what came of it, in words."""


class Acting:
    """One dialog for every act of a page. `who` is asked again at each act."""

    def __init__(
        self,
        asking: Asking,
        who: Callable[[], Person | None],
        done: Callable[[], None],
        beside: Reading,
    ) -> None:
        self._asking, self._who, self._done, self._read = asking, who, done, beside
        self._ask: Ask | None = None
        with (
            ui.dialog().props('aria-labelledby="dialog-title"') as self._dialog,
            ui.element("div").classes("dialog"),
        ):
            self._title = ui.html("", sanitize=False)
            self._why = (
                ui.input("Why", validation={"Say why, it is recorded": _is_given})
                .props(f'outlined autofocus maxlength={MAX_WHY_CHARS} aria-label="Why"')
                .without_auto_validation()
            )
            self._why.on("keydown.enter", self._confirm)
            self._code = ui.select(CODES, value="other", label="Reason").props(
                'outlined dense options-dense aria-label="Reason"'
            )
            self._beside = ui.html("", sanitize=False).classes("beside")
            self._trouble = ui.html("", sanitize=False).props('role="alert"')
            with ui.element("div").classes("buttons"):
                self._confirming = ui.button("", on_click=self._confirm).props("no-caps unelevated")
                ui.button("Cancel", color=None, on_click=self._dialog.close).props(
                    "no-caps flat"
                ).classes("quiet")

    async def ask_answer(self, hold: Hold, answer: Literal["approve", "deny"]) -> None:
        """Ask why a decision is approved or denied, and show what stands beside it."""

        async def ask(person: Person, why: str) -> str:
            found = await self._asking.answer(person, hold.id, answer, why, self._code.value)
            sent = {
                "open": "approved by you; another person must agree, too",
                "approved": "approved; it goes out unless a stop, a cool-down or a budget forbids",
                "denied": "denied; it is not sent",
            }
            outcome = sent.get(found.state, found.state)
            return f"{found.action} on {found.element} is {outcome}."

        title = f"{answer.capitalize()} {hold.action} on {hold.element}?"
        words = "The action goes to the element." if answer == "approve" else "Nothing is sent."
        self._open(title, words, answer.capitalize(), ask, coded=True)
        await self._show_beside(hold)

    def ask_many(self, pipeline: str, count: int, answer: Literal["approve", "deny"]) -> None:
        """Ask why all decisions of a pipeline that wait are approved or denied."""

        async def ask(person: Person, why: str) -> str:
            command = AnswerHolds(
                pipeline=pipeline,
                expected=count,
                answer=answer,
                by=person.name,
                why=why,
                code=self._code.value,
            )
            found = await self._asking.answer_many(person, command)
            left = f"; {len(found.refused)} were refused and still wait" if found.refused else ""
            return f"{found.ended} of {count} were answered{left}."

        words = (
            f"Each of the {count} is judged by itself; what takes two people is left out. When not "
            "exactly so many wait, nothing is done."
        )
        verb = answer.capitalize()
        self._open(f"{verb} all {count} of {pipeline}?", words, verb, ask, coded=True)

    def ask_review(self, review: Review, answer: Judgement) -> None:
        """Ask why a person finds a decision right or wrong."""

        async def ask(person: Person, why: str) -> str:
            await self._asking.review(person, review.id, answer, why)
            return f"{review.action} on {review.element}: {answer}."

        words = "It is kept on record and changes no decision."
        title = f"{review.action} on {review.element} was {answer}?"
        self._open(title, words, answer.capitalize(), ask)

    def ask_stop(self, pipeline: str) -> None:
        """Ask why a pipeline is stopped."""

        async def ask(person: Person, why: str) -> str:
            await self._asking.stop(person, pipeline, why)
            return f"{pipeline} is stopped. No action goes out until a person resumes it."

        words = "No action goes out from now on. Decisions are still made and judged."
        self._open(f"Stop all actions of {pipeline}?", words, "Stop actions", ask, "negative")

    def ask_resume(self, pipeline: str) -> None:
        """Ask why a stopped pipeline may act again."""

        async def ask(person: Person, why: str) -> str:
            await self._asking.resume(person, pipeline, why)
            return f"{pipeline} acts again, from the next decision on."

        words = "Actions go out again from the next decision on. What was stopped is not sent."
        self._open(f"Resume actions of {pipeline}?", words, "Resume actions", ask)

    async def _show_beside(self, hold: Hold) -> None:
        """A dialog that opened meanwhile for something else stays as it is."""
        mine = self._ask
        try:
            found = happening.beside(await self._read(hold))
        except (PermanentError, TransientError) as error:
            found = (
                f'<p class="note">What stands beside it cannot be read: {escape(str(error))}</p>'
            )
        if self._ask is mine:
            self._beside.set_content(found)

    def _open(
        self,
        title: str,
        words: str,
        confirm: str,
        ask: Ask,
        colour: str = "primary",
        *,
        coded: bool = False,
    ) -> None:
        self._ask = ask
        self._code.set_value("other")
        self._code.set_visibility(coded)
        self._beside.set_content("")
        self._title.set_content(f'<h2 id="dialog-title">{escape(title)}</h2><p>{words}</p>')
        self._trouble.set_content("")
        self._why.set_value("")
        self._why.error = None
        self._confirming.set_text(confirm)
        self._confirming.props(f"color={colour}")
        self._confirming.set_enabled(True)
        self._dialog.open()

    async def _confirm(self) -> None:
        if self._ask is None or not self._confirming.enabled or not self._why.validate():
            return
        person = self._who()
        if person is None:
            self._trouble.set_content("<p>Your session has ended; log in again.</p>")
            return
        self._confirming.set_enabled(False)
        try:
            outcome = await self._ask(person, str(self._why.value).strip())
        except (PermanentError, TransientError) as error:
            self._trouble.set_content(f"<p>✕ {escape(str(error))}</p>")
        else:
            self._ask = None
            self._dialog.close()
            ui.notify(outcome, position="top", timeout=6000, attrs={"role": "status"})
        finally:
            self._confirming.set_enabled(True)
        self._done()


def _is_given(why: str) -> bool:
    return bool(why and why.strip())
