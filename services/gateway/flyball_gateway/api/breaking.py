"""Routes about pipelines that stepped back by themselves, or earned more autonomy."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from flyball_gateway.api.entrance import Entrance, roles_of
from flyball_gateway.api.looking import pipeline_of
from flyball_gateway.api.parts import Parts
from flyball_gateway.identity.access import Person
from flyball_proto.autonomy import AutonomyRecord
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

    @router.get("/autonomy", openapi_extra=roles_of("read"))
    async def autonomy(_: Annotated[Person, entrance.needs("read")]) -> list[AutonomyRecord]:
        """The newest proposal for every pipeline that ever earned one."""
        return list(await parts.autonomies.all())

    @router.post("/pipelines/{name}/autonomy/accept", openapi_extra=roles_of("apply"))
    async def accept(
        name: str, body: Reason, person: Annotated[Person, entrance.needs("apply")]
    ) -> AutonomyRecord:
        """Apply the pipeline's specification with the autonomy that is proposed."""
        await pipeline_of(parts, name)
        return await parts.asking.accept_autonomy(person, name, body.why)

    @router.post("/pipelines/{name}/autonomy/decline", openapi_extra=roles_of("apply"))
    async def decline(
        name: str, body: Reason, person: Annotated[Person, entrance.needs("apply")]
    ) -> AutonomyRecord:
        """Leave the pipeline the autonomy that it has."""
        await pipeline_of(parts, name)
        return await parts.asking.decline_autonomy(person, name, body.why)

    return router
