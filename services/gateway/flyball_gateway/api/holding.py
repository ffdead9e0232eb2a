"""Routes about decisions that wait for a person."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from flyball_gateway.api.entrance import Entrance, roles_of
from flyball_gateway.api.errors import ApiError
from flyball_gateway.api.looking import pipeline_of
from flyball_gateway.api.parts import Parts
from flyball_gateway.beside import Beside, Contexts
from flyball_gateway.identity.access import Person
from flyball_gateway.records.rows import MAX_ROWS
from flyball_proto.beside import HoldCounts, counted
from flyball_proto.commands import AnswerHolds, HoldsReply, NotAnswered
from flyball_proto.holds import MAX_BULK, MAX_WHY_CHARS, Hold, ReasonCode


class Why(BaseModel):
    """Why a person does it; it goes on record."""

    why: str = Field(default="", max_length=MAX_WHY_CHARS)


class Reason(Why):
    """Why a person answers so, in words and as a code that is counted."""

    code: ReasonCode = "other"


class ManyAnswer(Reason):
    """One answer to many open holds; see `cmd.risk.answer-holds`."""

    answer: Literal["approve", "deny"]
    expected: int = Field(ge=1, le=MAX_BULK, description="How many open ones are meant.")
    holds: tuple[str, ...] = Field(default=(), max_length=MAX_BULK)
    pipeline: str | None = Field(default=None, min_length=1, max_length=64)
    element: str | None = Field(default=None, min_length=1, max_length=128)
    action: str | None = Field(default=None, min_length=1, max_length=64)
    labels: dict[str, str] = Field(default={}, max_length=8)
    older_than_s: float | None = Field(default=None, ge=0)


class Answered(BaseModel):
    """What became of many holds."""

    ended: int
    states: dict[str, str] = Field(description="Hold to its state now.")
    refused: list[NotAnswered]


class HoldShown(Hold):
    """A hold, and what stands beside it."""

    context: Beside | None = Field(default=None, description="null = none is recorded.")


def routes(parts: Parts, entrance: Entrance) -> APIRouter:
    """Those who read see them, those who may answer them do."""
    router = APIRouter(prefix="/v1", tags=["holds"])
    reader = entrance.needs("read")
    read: dict[str, Any] = {"openapi_extra": roles_of("read")}
    contexts = Contexts(parts.client, parts.specs)

    async def recorded(pipeline: str | None) -> list[Hold]:
        prefix = "" if pipeline is None else f"{(await pipeline_of(parts, pipeline)).name}."
        return [hold for hold, _ in (await parts.holds.items(prefix)).values()]

    @router.get("/holds", **read)
    async def holds(
        _: Annotated[Person, reader],
        state: Literal["open", "approved", "denied", "expired", "all"] = "open",
        pipeline: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 100,
    ) -> list[Hold]:
        """Decisions that wait or waited for a person: the open ones that expire first, first."""
        found = [hold for hold in await recorded(pipeline) if state in ("all", hold.state)]
        found.sort(key=lambda hold: (hold.state != "open", hold.expires_ms, hold.id))
        return found[:limit]

    @router.get("/holds/summary", **read)
    async def summary(
        _: Annotated[Person, reader],
        pipeline: Annotated[str | None, Query(max_length=64)] = None,
    ) -> HoldCounts:
        """How many there are, by state, action and reason code of the answer."""
        return counted(await recorded(pipeline))

    @router.get("/holds/{hold}", **read)
    async def one_hold(hold: str, _: Annotated[Person, reader]) -> HoldShown:
        """One of them, with what stands beside it."""
        found, _revision = await parts.holds.load(hold) if is_key(hold) else (None, 0)
        if found is None:
            raise ApiError(404, "not-found", f"hold {hold[:100]}: found none; see /v1/holds")
        return HoldShown(**found.model_dump(), context=await contexts.of(found))

    _add_answers(router, parts, entrance)
    return router


def _add_answers(router: APIRouter, parts: Parts, entrance: Entrance) -> None:
    answers: dict[str, Any] = {"openapi_extra": roles_of("answer")}

    @router.post("/holds/answer", **answers)
    async def many(
        body: ManyAnswer, person: Annotated[Person, entrance.needs("answer")]
    ) -> Answered:
        """Answer many decisions that wait; none, when there are not as many as expected."""
        command = AnswerHolds(**body.model_dump(), by=person.name)
        reply: HoldsReply = await parts.asking.answer_many(person, command)
        return Answered(ended=reply.ended, states=reply.states, refused=list(reply.refused))

    @router.post("/holds/{hold}/approve", **answers)
    async def approve(
        hold: str, body: Reason, person: Annotated[Person, entrance.needs("answer")]
    ) -> Hold:
        """Let a decision that waits be carried out; one that takes two goes on waiting."""
        return await parts.asking.answer(person, hold, "approve", body.why, body.code)

    @router.post("/holds/{hold}/deny", **answers)
    async def deny(
        hold: str, body: Reason, person: Annotated[Person, entrance.needs("answer")]
    ) -> Hold:
        """End a decision that waits, without carrying it out."""
        return await parts.asking.answer(person, hold, "deny", body.why, body.code)


def is_key(name: str) -> bool:
    """Whether a text can name a record."""
    return len(name) <= 200 and all(name.split(".")) and not set(name) & set("*> \t\r\n")
