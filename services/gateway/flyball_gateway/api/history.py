"""Routes that say what happened: elements, deployments, decisions, verdicts, audit."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from flyball_gateway.api.entrance import Entrance, roles_of
from flyball_gateway.api.errors import ApiError
from flyball_gateway.api.looking import pipeline_of
from flyball_gateway.api.parts import Parts
from flyball_gateway.identity.access import Person
from flyball_gateway.records.decided import Found, Place
from flyball_gateway.records.reading import Stored
from flyball_gateway.records.rows import MAX_ROWS, DecisionRow, ElementRow, VerdictRow
from flyball_proto import streams
from flyball_proto.columns import Verdict
from flyball_proto.commands import Dora
from flyball_proto.outcomes import ActionOutcome, action_outcomes

MAX_EVENTS = 200
Limit = Annotated[int, Query(ge=1, le=MAX_ROWS, description="At most so many.")]
EventLimit = Annotated[int, Query(ge=1, le=MAX_EVENTS, description="At most so many.")]
Before = Annotated[
    str | None, Query(pattern=r"^\d{1,18}(\.\d{1,9})?$", description="From the last answer.")
]
BeforeEvent = Annotated[int | None, Query(ge=1, description="Only those before this sequence.")]
Element = Annotated[str | None, Query(max_length=128, description="Of this element alone.")]


class StoredEvent(BaseModel):
    """One stored event or act."""

    sequence: int = Field(description="In its stream; give the last one as `before=` for more.")
    subject: str
    body: Any


def routes(parts: Parts, entrance: Entrance) -> APIRouter:
    """What anybody who may read can look up; the audit, those who manage or apply."""
    router = APIRouter(prefix="/v1", tags=["history"])
    reader = entrance.needs("read")
    read: dict[str, Any] = {"openapi_extra": roles_of("read")}

    @router.get("/pipelines/{name}/elements", **read)
    async def elements(
        name: str, _: Annotated[Person, reader], limit: Limit = 100
    ) -> list[ElementRow]:
        """Elements seen lately, as they were last decided on."""
        await pipeline_of(parts, name)
        return await parts.decided.elements(name, limit=limit)

    @router.get("/pipelines/{name}/outcomes", **read)
    async def outcomes(
        name: str,
        _: Annotated[Person, reader],
        limit: Limit = 100,
        state: Literal["awaited", "applied", "rejected", "failed", "overdue", "all"] = "all",
    ) -> list[ActionOutcome]:
        """What elements said about actions whose specification asks them to, the newest first."""
        await pipeline_of(parts, name)
        records = await parts.acknowledged.items(f"{name}.")
        found = action_outcomes({key: record for key, (record, _) in records.items()})
        return [one for one in found if state in ("all", one.state)][:limit]

    @router.get("/pipelines/{name}/decisions", **read)
    async def decisions(
        name: str,
        _: Annotated[Person, reader],
        limit: Limit = 100,
        element: Element = None,
        before: Before = None,
    ) -> Found[DecisionRow]:
        """What the models said, the newest first."""
        await pipeline_of(parts, name)
        place = Place.parse(before) if before else None
        return await parts.decided.decisions(name, limit=limit, element=element, before=place)

    @router.get("/pipelines/{name}/verdicts", **read)
    async def verdicts(
        name: str,
        _: Annotated[Person, reader],
        limit: Limit = 100,
        element: Element = None,
        verdict: Annotated[str | None, Query(description="E.g. `clear`, `hold`.")] = None,
        before: Before = None,
    ) -> Found[VerdictRow]:
        """What risk judged, the newest first."""
        await pipeline_of(parts, name)
        wanted, place = _verdict(verdict), Place.parse(before) if before else None
        return await parts.decided.verdicts(
            name, limit=limit, element=element, verdict=wanted, before=place
        )

    _add_events(router, parts, entrance)
    return router


def _add_events(router: APIRouter, parts: Parts, entrance: Entrance) -> None:
    @router.get("/pipelines/{name}/deployments", openapi_extra=roles_of("read"))
    async def deployments(
        name: str,
        _: Annotated[Person, entrance.needs("read")],
        limit: EventLimit = 50,
        before: BeforeEvent = None,
    ) -> list[StoredEvent]:
        """Who answered since when and why, the newest first."""
        await pipeline_of(parts, name)
        found = await parts.reading.newest(
            streams.EVENTS, f"deployment.{name}.>", limit=limit, before=before
        )
        return [_event(stored) for stored in reversed(found)]

    @router.get("/pipelines/{name}/dora", openapi_extra=roles_of("read"))
    async def dora(name: str, _: Annotated[Person, entrance.needs("read")]) -> Dora:
        """How well the loop delivers: DORA's measures of its deployments."""
        await pipeline_of(parts, name)
        return await parts.delivering.measure(name)

    @router.get("/audit", openapi_extra=roles_of("apply"))
    async def audit(
        _: Annotated[Person, entrance.needs("apply")],
        limit: EventLimit = 100,
        before: BeforeEvent = None,
    ) -> list[StoredEvent]:
        """Who asked for what, why, and what came of it: the newest first."""
        found = await parts.reading.newest(streams.AUDIT, "audit.>", limit=limit, before=before)
        return [_event(stored) for stored in reversed(found)]


def _event(stored: Stored) -> StoredEvent:
    try:
        body = json.loads(stored.data)
    except ValueError:
        body = stored.data.decode(errors="replace")
    return StoredEvent(sequence=stored.sequence, subject=stored.subject, body=body)


def _verdict(name: str | None) -> Verdict | None:
    if name is None:
        return None
    known = {verdict.name.lower(): verdict for verdict in Verdict}
    if name.lower() not in known:
        raise ApiError(
            422,
            "invalid-request",
            f"verdict={name[:32]}: found no such verdict; valid: {', '.join(known)}",
        )
    return known[name.lower()]
