"""Routes about pipelines that stepped back by themselves."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from flyball_gateway.api.entrance import Entrance, roles_of
from flyball_gateway.api.looking import pipeline_of
from flyball_gateway.api.parts import Parts
from flyball_gateway.identity.access import Person
from flyball_proto.holds import MAX_WHY_CHARS


class Reason(BaseModel):
    """Why a person does it; it goes on record."""

    why: str = Field(min_length=1, max_length=MAX_WHY_CHARS)


class Changed(BaseModel):
    """Whether that changed anything."""

    changed: bool


def routes(parts: Parts, entrance: Entrance) -> APIRouter:
    """Who may resume a stopped pipeline may close its breaker."""
    router = APIRouter(prefix="/v1", tags=["steering"])

    @router.post("/pipelines/{name}/reset-breaker", openapi_extra=roles_of("resume"))
    async def reset_breaker(
        name: str, body: Reason, person: Annotated[Person, entrance.needs("resume")]
    ) -> Changed:
        """Close a pipeline's breaker: it acts again, and what is usual is learnt anew."""
        await pipeline_of(parts, name)
        return Changed(changed=await parts.asking.reset_breaker(person, name, body.why))

    return router
