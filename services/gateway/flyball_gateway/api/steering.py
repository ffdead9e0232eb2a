"""Routes that change something: specifications, stop and resume, and metrics coming in."""

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import BaseModel

from flyball_gateway.api.entrance import Entrance, roles_of
from flyball_gateway.api.errors import ApiError
from flyball_gateway.api.holding import Why
from flyball_gateway.api.looking import pipeline_of, unknown
from flyball_gateway.api.parts import Parts
from flyball_gateway.identity.access import Person
from flyball_gateway.incoming import Accepted, publish
from flyball_kit import specyaml
from flyball_proto.commands import Applied
from flyball_proto.holds import MAX_WHY_CHARS, Stop
from flyball_proto.spec import Catalogue, SpecError, as_document
from flyball_proto.streams import MAX_REPORT_BYTES

KEY_PATTERN: Final = r"^[\x21-\x7e]{1,128}$"
REPORT: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "example": {
                    "element": "cell-1",
                    "time_ms": 1767225600000,
                    "values": {"load": 0.7},
                },
            }
        },
    }
}
SPECIFICATION: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "object"}},
        },
    }
}


class Valid(BaseModel):
    """A specification without mistakes."""

    sources: list[str]
    pipelines: list[str]


def routes(parts: Parts, entrance: Entrance) -> APIRouter:
    """What needs more than reading."""
    router = APIRouter(prefix="/v1", tags=["steering"])
    WhyQuery = Annotated[str, Query(max_length=MAX_WHY_CHARS)]  # noqa: N806 - a type

    @router.post("/specifications/validate", openapi_extra=roles_of("read") | SPECIFICATION)
    async def validate(request: Request, _: Annotated[Person, entrance.needs("read")]) -> Valid:
        """Check a specification, YAML or JSON; every mistake with its line and field."""
        found = await _specification(parts, request)
        return Valid(sources=sorted(found.sources), pipelines=sorted(found.pipelines))

    @router.post("/specifications", openapi_extra=roles_of("apply") | SPECIFICATION)
    async def apply(
        request: Request,
        person: Annotated[Person, entrance.needs("apply")],
        why: WhyQuery = "",
    ) -> list[Applied]:
        """Bring a specification into force; nothing changes unless all of it is valid."""
        found = await _specification(parts, request)
        documents = [as_document(value) for value in found.objects]
        return list((await parts.asking.apply(person, documents, why)).applied)

    @router.post("/pipelines/{name}/stop", openapi_extra=roles_of("stop"))
    async def stop(name: str, body: Why, person: Annotated[Person, entrance.needs("stop")]) -> Stop:
        """Stop a pipeline: no action of it goes out after the answer."""
        await pipeline_of(parts, name)
        return await parts.asking.stop(person, name, body.why)

    @router.post("/pipelines/{name}/resume", openapi_extra=roles_of("resume"))
    async def resume(
        name: str, body: Why, person: Annotated[Person, entrance.needs("resume")]
    ) -> Stop:
        """Let a stopped pipeline act again, from the next decision on."""
        await pipeline_of(parts, name)
        return await parts.asking.resume(person, name, body.why)

    @router.post(
        "/metrics/{source}/{element}",
        status_code=202,
        openapi_extra=roles_of("publish") | REPORT,
    )
    async def metrics(
        request: Request,
        source: Annotated[str, Path(max_length=64)],
        element: Annotated[str, Path(max_length=128)],
        person: Annotated[Person, entrance.needs("publish")],
        key: Annotated[
            str | None,
            Header(
                alias="Idempotency-Key",
                pattern=KEY_PATTERN,
                description="The same key again within two minutes is one report.",
            ),
        ] = None,
    ) -> Accepted:
        """Take a report of an element in; the answer comes once it is stored."""
        known = parts.sources.names
        if source not in known:
            unknown("source", source, known)
        body = await _body(request, MAX_REPORT_BYTES, "report")
        kind = request.headers.get("content-type")
        accepted = await publish(
            parts.client(), person, source, element, body, content_type=kind, key=key
        )
        await parts.recording.published(person, source)
        return accepted

    return router


async def _specification(parts: Parts, request: Request) -> Catalogue:
    data = await _body(request, specyaml.MAX_BYTES, "specification")
    try:
        text = data.decode()
        known = (await parts.specs.known()).catalogue
        return await asyncio.to_thread(specyaml.load_text, text, "body", known)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        found = f"body:{line}: found bytes that are no UTF-8; valid: UTF-8 text"
        raise ApiError(422, "invalid-spec", found) from error
    except SpecError as error:
        raise ApiError(422, "invalid-spec", str(error)) from error


async def _body(request: Request, most: int, what: str) -> bytes:
    """The request's body; reading ends as soon as it is too large."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise ApiError(
                413, "too-large", f"{what}: found more than {most} bytes, which is the most"
            )
    return bytes(data)
