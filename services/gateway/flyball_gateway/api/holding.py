"""Routes about decisions that wait for a person."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from flyball_gateway.api.entrance import Entrance, roles_of
from flyball_gateway.api.errors import ApiError
from flyball_gateway.api.looking import pipeline_of
from flyball_gateway.api.parts import Parts
from flyball_gateway.identity.access import Person
from flyball_gateway.records.rows import MAX_ROWS
from flyball_proto.holds import MAX_WHY_CHARS, Hold


class Why(BaseModel):
    """Why a person does it; it goes on record."""

    why: str = Field(default="", max_length=MAX_WHY_CHARS)


def routes(parts: Parts, entrance: Entrance) -> APIRouter:
    """Those who read see them, those who may answer them do."""
    router = APIRouter(prefix="/v1", tags=["holds"])
    reader = entrance.needs("read")
    read: dict[str, Any] = {"openapi_extra": roles_of("read")}

    @router.get("/holds", **read)
    async def holds(
        _: Annotated[Person, reader],
        state: Literal["open", "approved", "denied", "expired", "all"] = "open",
        pipeline: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 100,
    ) -> list[Hold]:
        """Decisions that wait or waited for a person: the open ones that expire first, first."""
        prefix = "" if pipeline is None else f"{(await pipeline_of(parts, pipeline)).name}."
        found = [hold for hold, _ in (await parts.holds.items(prefix)).values()]
        found = [hold for hold in found if state in ("all", hold.state)]
        found.sort(key=lambda hold: (hold.state != "open", hold.expires_ms, hold.id))
        return found[:limit]

    @router.get("/holds/{hold}", **read)
    async def one_hold(hold: str, _: Annotated[Person, reader]) -> Hold:
        """One of them."""
        found, _revision = await parts.holds.load(hold) if _is_key(hold) else (None, 0)
        if found is None:
            raise ApiError(404, "not-found", f"hold {hold[:100]}: found none; see /v1/holds")
        return found

    @router.post("/holds/{hold}/approve", openapi_extra=roles_of("answer"))
    async def approve(
        hold: str, body: Why, person: Annotated[Person, entrance.needs("answer")]
    ) -> Hold:
        """Let a decision that waits be carried out."""
        return await parts.asking.answer(person, hold, "approve", body.why)

    @router.post("/holds/{hold}/deny", openapi_extra=roles_of("answer"))
    async def deny(
        hold: str, body: Why, person: Annotated[Person, entrance.needs("answer")]
    ) -> Hold:
        """End a decision that waits, without carrying it out."""
        return await parts.asking.answer(person, hold, "deny", body.why)

    return router


def _is_key(hold: str) -> bool:
    return len(hold) <= 200 and all(hold.split(".")) and not set(hold) & set("*> \t\r\n")
