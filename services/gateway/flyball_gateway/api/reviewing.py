"""Routes about decisions that people look at afterwards."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from flyball_gateway.api.entrance import Entrance, roles_of
from flyball_gateway.api.errors import ApiError
from flyball_gateway.api.holding import is_key
from flyball_gateway.api.looking import pipeline_of
from flyball_gateway.api.parts import Parts
from flyball_gateway.identity.access import Person
from flyball_gateway.records.rows import MAX_ROWS
from flyball_kit.kv import Kv
from flyball_proto import streams
from flyball_proto.holds import MAX_WHY_CHARS
from flyball_proto.reviews import Judgement, Review, ReviewSummary


class Finding(BaseModel):
    """Whether the proposed action was right, or would have been."""

    answer: Judgement
    why: str = Field(default="", max_length=MAX_WHY_CHARS)


def routes(parts: Parts, entrance: Entrance) -> APIRouter:
    """Those who read see them, those who may answer holds answer them."""
    router = APIRouter(prefix="/v1", tags=["reviews"])
    reader = entrance.needs("read")
    read: dict[str, Any] = {"openapi_extra": roles_of("read")}
    records: Kv[Review] = Kv(parts.client, streams.REVIEWS, Review)

    @router.get("/reviews", **read)
    async def reviews(
        _: Annotated[Person, reader],
        state: Literal["open", "answered", "expired", "all"] = "open",
        pipeline: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 100,
    ) -> list[Review]:
        """Decisions drawn at random for people to look at, newest first. Nothing waits for them."""
        prefix = "" if pipeline is None else f"{(await pipeline_of(parts, pipeline)).name}."
        found = [review for review, _ in (await records.items(prefix)).values()]
        found = [review for review in found if state in ("all", review.state)]
        found.sort(key=lambda review: (review.opened_at, review.id), reverse=True)
        return found[:limit]

    @router.get("/reviews/summary", **read)
    async def summary(
        _: Annotated[Person, reader], pipeline: Annotated[str, Query(max_length=64)]
    ) -> ReviewSummary:
        """How many proposals people called wrong, and how well people and labels agree."""
        await pipeline_of(parts, pipeline)
        return await parts.asking.review_summary(pipeline)

    @router.get("/reviews/{review}", **read)
    async def one_review(review: str, _: Annotated[Person, reader]) -> Review:
        """One of them."""
        found, _revision = await records.load(review) if is_key(review) else (None, 0)
        if found is None:
            raise ApiError(404, "not-found", f"review {review[:100]}: found none; see /v1/reviews")
        return found

    @router.post("/reviews/{review}/answer", openapi_extra=roles_of("answer"))
    async def answer(
        review: str, body: Finding, person: Annotated[Person, entrance.needs("answer")]
    ) -> Review:
        """Say whether the proposed action was right. It changes no decision."""
        return await parts.asking.review(person, review, body.answer, body.why)

    return router
