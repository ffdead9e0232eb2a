"""Routes that say how things are: health, sources, pipelines."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from flyball_gateway.api.entrance import Entrance, roles_of
from flyball_gateway.api.errors import ApiError
from flyball_gateway.api.parts import Parts
from flyball_gateway.identity.access import Person
from flyball_proto.commands import PipelineStatus
from flyball_proto.progress import Pulse
from flyball_proto.spec import Pipeline, as_document


class ServiceHealth(BaseModel):
    """One process of a service, as it told of itself."""

    ago_s: float = Field(description="Seconds since it was heard.")
    pulse: Pulse


class Health(BaseModel):
    """How everything is."""

    ok: bool
    missing: list[str] = Field(description="Services that were not heard for five seconds.")
    services: list[ServiceHealth]


class Ready(BaseModel):
    """Whether the gateway may be asked."""

    ready: bool
    reasons: list[str]


class SourceState(BaseModel):
    """A source as it is in force."""

    name: str
    revision: int
    pipelines: list[str] = Field(description="That read it.")
    document: dict[str, Any] = Field(description="The specification, as one would apply it.")


class PipelineState(BaseModel):
    """A pipeline as it is in force."""

    status: PipelineStatus
    document: dict[str, Any] = Field(description="The specification, as one would apply it.")


def routes(parts: Parts, entrance: Entrance) -> APIRouter:
    """What anybody who may read can look at."""
    router = APIRouter(prefix="/v1", tags=["state"])
    reader = entrance.needs("read")
    read: dict[str, Any] = {"openapi_extra": roles_of("read")}

    @router.get("/ready", responses={503: {"model": Ready}})
    async def ready(response: Response) -> Ready:
        """Whether the gateway may be asked; needs no login."""
        found = reasons(parts)
        response.status_code = 503 if found else 200
        return Ready(ready=not found, reasons=found)

    @router.get("/health", responses={503: {"model": Health}}, **read)
    async def health(_: Annotated[Person, reader], response: Response) -> Health:
        """The last pulse of every service; 503 when one is missing or does not live."""
        heard, missing = parts.pulses.now(), parts.pulses.missing(parts.settings.expected)
        ok = not missing and all(h.pulse.live for h in heard)
        response.status_code = 200 if ok else 503
        services = [ServiceHealth(ago_s=round(h.ago_s, 3), pulse=h.pulse) for h in heard]
        return Health(ok=ok, missing=missing, services=services)

    @router.get("/me", **read)
    async def me(person: Annotated[Person, reader]) -> dict[str, str]:
        """Who one is here."""
        return {"name": person.name, "role": person.role}

    _add_sources(router, parts, reader)

    @router.get("/pipelines", **read)
    async def pipelines(_: Annotated[Person, reader]) -> list[PipelineStatus]:
        """Every pipeline, and what happens next in it."""
        return list((await parts.commands.status()).pipelines)

    @router.get("/pipelines/{name}", **read)
    async def pipeline(name: str, _: Annotated[Person, reader]) -> PipelineState:
        """One pipeline, and what happens next in it."""
        found = await pipeline_of(parts, name)
        states = {state.pipeline: state for state in (await parts.commands.status()).pipelines}
        status = states.get(name) or unknown("pipeline", name, states)
        return PipelineState(status=status, document=as_document(found))

    return router


def _add_sources(router: APIRouter, parts: Parts, reader: Any) -> None:
    @router.get("/sources", openapi_extra=roles_of("read"))
    async def sources(_: Annotated[Person, reader]) -> list[SourceState]:
        """Every source."""
        return await _sources(parts)

    @router.get("/sources/{name}", openapi_extra=roles_of("read"))
    async def source(name: str, _: Annotated[Person, reader]) -> SourceState:
        """One source."""
        found = {state.name: state for state in await _sources(parts)}
        return found.get(name) or unknown("source", name, found)


def reasons(parts: Parts) -> list[str]:
    """Why the gateway may not be asked yet."""
    broker = None if parts.client().is_connected else "NATS is away"
    return [
        reason
        for reason in (broker, parts.people.check(), parts.sources.check())
        if reason is not None
    ]


def unknown(kind: str, name: str, known: Any) -> Any:
    """Raises: there is none of that name; those there are."""
    valid = ", ".join(sorted(known)[:20]) or "none is applied yet (flyball apply)"
    raise ApiError(404, "not-found", f"{kind} {name[:64]}: found none; there are: {valid}")


async def pipeline_of(parts: Parts, name: str) -> Pipeline:
    """An applied pipeline.

    Raises:
        ApiError: there is none of that name.
    """
    known = (await parts.specs.known()).catalogue.pipelines
    found: Pipeline = known.get(name) or unknown("pipeline", name, known)
    return found


async def _sources(parts: Parts) -> list[SourceState]:
    known = await parts.specs.known()
    pipelines = known.catalogue.pipelines.values()
    return [
        SourceState(
            name=name,
            revision=known.revisions[f"source.{name}"],
            pipelines=sorted(p.name for p in pipelines if p.spec.source == name),
            document=as_document(source),
        )
        for name, source in sorted(known.catalogue.sources.items())
    ]
