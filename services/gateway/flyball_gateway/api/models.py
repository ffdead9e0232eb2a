"""Routes about models: what each is, where it stands, how good it is."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from flyball_gateway.api.entrance import Entrance, roles_of
from flyball_gateway.api.errors import ApiError
from flyball_gateway.api.looking import pipeline_of
from flyball_gateway.api.parts import Parts
from flyball_gateway.identity.access import Person
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelRecord
from flyball_proto.progress import ColumnFigures, Comparison, Standings


class ModelState(BaseModel):
    """A model, where it stands, and how good it is."""

    record: ModelRecord
    place: str | None = Field(description="`active`, `canary`, `anchor`, `baseline`; or none.")
    figures: list[ColumnFigures] = Field(description="Of its trainer and of its place.")
    comparison: Comparison | None = Field(description="Of its trainer against the seat.")


def routes(parts: Parts, entrance: Entrance) -> APIRouter:
    """What anybody who may read can look at."""
    router = APIRouter(prefix="/v1", tags=["state"])
    reader = entrance.needs("read")
    read: dict[str, Any] = {"openapi_extra": roles_of("read")}

    @router.get("/pipelines/{name}/models", **read)
    async def models(name: str, _: Annotated[Person, reader]) -> list[ModelState]:
        """Every model of a pipeline, the newest first."""
        await pipeline_of(parts, name)
        found = [record for record, _ in (await parts.models.items(f"{name}.")).values()]
        found.sort(key=lambda record: record.admitted_at, reverse=True)
        return await _states(parts, name, found)

    @router.get("/pipelines/{name}/models/{digest}", **read)
    async def model(name: str, digest: str, _: Annotated[Person, reader]) -> ModelState:
        """One model, by its digest or the beginning of it."""
        await pipeline_of(parts, name)
        found = {r.digest: r for r, _ in (await parts.models.items(f"{name}.")).values()}
        record = _meant(name, digest, found)
        return (await _states(parts, name, [record]))[0]

    return router


async def _states(parts: Parts, pipeline: str, records: Sequence[ModelRecord]) -> list[ModelState]:
    pointer, _ = await parts.pointers.load(pipeline)
    standings, _ = await parts.standings.load(pipeline)
    return [_model(record, pointer, standings) for record in records]


def _meant(pipeline: str, digest: str, found: dict[str, ModelRecord]) -> ModelRecord:
    meant = [known for known in found if known.startswith(digest)] if digest else []
    if len(meant) == 1:
        return found[meant[0]]
    if not meant:
        raise ApiError(
            404,
            "not-found",
            f"model {digest[:64]}: found none of {pipeline}; see /v1/pipelines/{pipeline}/models",
        )
    shown = ", ".join(sorted(meant)[:10])
    raise ApiError(409, "ambiguous", f"model {digest[:64]}: found {shown}; give more of the digest")


def _model(
    record: ModelRecord, pointer: ActiveModel | None, standings: Standings | None
) -> ModelState:
    place = _place(record.digest, pointer)
    columns = {record.trainer, place}
    comparisons = standings.comparisons if standings else ()
    return ModelState(
        record=record,
        place=place,
        figures=[f for f in standings.figures if f.column in columns] if standings else [],
        comparison=next((c for c in comparisons if c.trainer == record.trainer), None),
    )


def _place(digest: str, pointer: ActiveModel | None) -> str | None:
    if pointer is None:
        return None
    places = {
        "active": pointer.digest,
        "canary": pointer.canary.digest if pointer.canary else None,
        "anchor": pointer.anchored.digest,
        "baseline": pointer.baseline.digest if pointer.baseline else None,
    }
    return next((place for place, held in places.items() if held == digest), None)
