"""The OpenAPI document without a running service, for the references in `docs/`."""

from typing import Any

from flyball_gateway import serving
from flyball_gateway.api.building import build_api
from flyball_gateway.api.entrance import Entrance
from flyball_gateway.settings import Settings
from flyball_kit import connect


def document() -> dict[str, Any]:
    """What `/v1/openapi.json` says; connects to nothing."""
    settings = Settings(nats_url="nats://127.0.0.1:4222")
    parts = serving.parts_of(connect.broker(settings, serving.SERVICE), settings)
    return build_api(parts, Entrance(parts.people, parts.asking)).openapi()
