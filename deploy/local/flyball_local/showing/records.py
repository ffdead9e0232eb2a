"""What people list: models, holds and what belongs to them, from the stack's records.

All reads take a connection of the role `operator`.
"""

from typing import Any, Final

from nats.aio.client import Client
from pydantic import ValidationError

from flyball_kit.kv import Kv
from flyball_kit.newest import Stored, newest
from flyball_local.showing.modellist import Models
from flyball_proto import streams
from flyball_proto.autonomy import AutonomyRecord
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelRecord, ModelRefused
from flyball_proto.holds import Hold
from flyball_proto.outcomes import ActionOutcome, AnyRecord, action_outcomes
from flyball_proto.progress import ActionEffect, Standings

MAX_REFUSALS: Final = 1000
"""Reasons of older refusals are not looked for."""

MAX_EVENTS: Final = 1000
"""Events of a pipeline among which a model's own are looked for."""


async def models(client: Client, pipeline: str | None = None) -> Models:
    """Models of one pipeline or of all, newest first."""
    prefix = f"{pipeline}." if pipeline else ""
    found = await Kv[ModelRecord](lambda: client, streams.MODELS, ModelRecord).items(prefix)
    standings = await Kv[Standings](lambda: client, streams.STANDINGS, Standings).items()
    active = await Kv[ActiveModel](lambda: client, streams.DEPLOYMENTS, ActiveModel).items()
    pattern = f"model.{pipeline or '*'}.{ModelRefused.what}"
    refused = await newest(client, streams.EVENTS, [pattern], MAX_REFUSALS)
    records = sorted((r for r, _ in found.values()), key=lambda r: r.admitted_at, reverse=True)
    return Models(
        tuple(records),
        {name: value for name, (value, _) in standings.items()},
        {name: value for name, (value, _) in active.items()},
        {event.digest: event for event in map(_refusal, reversed(refused)) if event},
    )


def _refusal(message: Stored) -> ModelRefused | None:
    try:
        return ModelRefused.model_validate_json(message.data)
    except ValidationError:
        return None  # of another version


async def history(client: Client, pipeline: str, digest: str) -> list[Stored]:
    """The pipeline's newest events that name the model, oldest first."""
    patterns = [f"{domain}.{pipeline}.>" for domain in ("model", "evaluation", "deployment")]
    found = await newest(client, streams.EVENTS, patterns, MAX_EVENTS)
    return [message for message in reversed(found) if digest.encode() in message.data]


async def holds(client: Client, prefix: str = "") -> list[Hold]:
    """Holds under a prefix (`""`, `<pipeline>.`, or a whole id), newest first."""
    found = await Kv[Hold](lambda: client, streams.HOLDS, Hold).items(prefix)
    return sorted((hold for hold, _ in found.values()), key=lambda h: h.opened_at, reverse=True)


async def autonomy(client: Client) -> list[AutonomyRecord]:
    """The newest proposal for every pipeline that ever earned more autonomy, newest first."""
    found = await Kv[AutonomyRecord](lambda: client, streams.AUTONOMY, AutonomyRecord).items()
    return sorted((record for record, _ in found.values()), key=lambda r: r.at, reverse=True)


async def actions_told(client: Client, pipeline: str) -> list[ActionOutcome]:
    """What is known of a pipeline's newest actions that are to be acknowledged, newest first."""
    records: Kv[AnyRecord] = Kv(lambda: client, streams.ACKNOWLEDGED, AnyRecord)
    found = await records.items(f"{pipeline}.")
    return action_outcomes({key: record for key, (record, _) in found.items()})


async def effects(client: Client, pipeline: str) -> tuple[ActionEffect, ...]:
    """What each action of a pipeline changes, as the registry has seen so far."""
    found, _ = await Kv[Standings](lambda: client, streams.STANDINGS, Standings).load(pipeline)
    return found.effect.actions if found else ()


async def known_pipelines(client: Client) -> list[str]:
    """Names of the applied pipelines."""
    found: dict[str, Any] = await Kv[bytes](lambda: client, streams.PIPELINES, bytes).items(
        "pipeline."
    )
    return sorted(key.removeprefix("pipeline.") for key in found)
