"""Puts on record what people asked for and what came of it, also when it was refused or failed."""

import logging
from collections.abc import Awaitable
from typing import Literal, NamedTuple, TypeVar

from flyball_kit.acts import Acts
from flyball_kit.errors import PermanentError, TransientError
from flyball_proto.commands import Failure, Reply

log = logging.getLogger("flyball.risk.people")

R = TypeVar("R", bound=Reply)


class RefusedError(PermanentError):
    """Something that was asked for is not done; `kind` says in one word why."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class About(NamedTuple):
    """What is asked for, of what, by whom and why."""

    verb: str
    of: str
    by: str
    why: str


class OnRecord:
    """Carries out and records; one record an act."""

    def __init__(self, acts: Acts) -> None:
        self._acts = acts

    async def carry(self, about: About, doing: Awaitable[tuple[R, str]], reply: type[R]) -> R:
        """The reply of `doing`, whose second half is the record's detail; a refusal as a reply."""
        try:
            done, detail = await doing
        except RefusedError as refused:
            await self.note(about, "refused", str(refused))
            return reply(ok=False, error=Failure(kind=refused.kind, message=str(refused)))
        except TransientError as error:
            await self.note(about, "failed", str(error))
            raise
        await self.note(about, "done", detail)
        return done

    async def note(
        self, about: About, outcome: Literal["done", "refused", "failed"], detail: str
    ) -> None:
        """What is done is done: an act that cannot be recorded now is told in the log."""
        try:
            await self._acts.record(
                about.verb, about.of, by=about.by, why=about.why, outcome=outcome, detail=detail
            )
        except TransientError:
            log.exception("%s %s by %s (%s) is not in AUDIT", *about[:3], outcome)
