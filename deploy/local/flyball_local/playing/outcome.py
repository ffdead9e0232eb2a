"""What became of the models of a pipeline: promotions, rollbacks, and where each model is now."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from nats.aio.client import Client

from flyball_kit.kv import Kv
from flyball_local.prequential import Candidate
from flyball_local.showing.tail import follow
from flyball_proto import streams
from flyball_proto.deployments import DeploymentActivated
from flyball_proto.events import ModelRecord
from flyball_proto.spec import BASELINE


@dataclass(frozen=True, slots=True)
class Outcome:
    """The life of a pipeline's models so far; one entry a model."""

    changes: Mapping[str, int] = field(default_factory=dict)
    models: Sequence[ModelRecord] = ()
    seats: Sequence[str] = ()
    """Trainers that held the seat, in order."""

    @property
    def seat(self) -> str | None:
        """The last learnt trainer that held the seat."""
        return next((name for name in reversed(self.seats) if name != BASELINE), None)

    @property
    def candidates(self) -> list[Candidate]:
        """Models that passed admission."""
        return [
            Candidate(
                m.digest,
                m.trainer,
                m.trained_through_ms,
                {int(p): sequence for p, sequence in m.valid_from.items()},
            )
            for m in self.models
            if m.stage != "refused"
        ]

    def as_json(self) -> dict[str, Any]:
        """Its part of a replay's object."""
        return {
            "promotions": {
                "successions": self.changes.get("succession", 0),
                "refreshes": self.changes.get("refresh", 0),
            },
            "rollbacks": self.changes.get("rollback", 0),
            "models": [
                {
                    "model": m.digest,
                    "trainer": m.trainer,
                    "stage": m.stage,
                    "trained_through": _iso(m.trained_through_ms),
                }
                for m in self.models
            ],
        }


async def last_event(client: Client) -> int:
    """Where EVENTS ends now; role `operator`."""
    return (await client.jetstream().stream_info(streams.EVENTS.name)).state.last_seq


async def outcome(client: Client, pipeline: str, after: int = 0) -> Outcome:
    """What happened to a pipeline's models behind a sequence of EVENTS; role `operator`."""
    records: Kv[ModelRecord] = Kv(lambda: client, streams.MODELS, ModelRecord)
    models = [record for record, _ in (await records.items(f"{pipeline}.")).values()]
    models.sort(key=lambda m: (m.trained_through_ms, m.trainer, m.digest))
    activations = [event async for event in _activations(client, pipeline, after)]
    return Outcome(
        Counter(event.change for event in activations),
        models,
        tuple(event.trainer for event in activations),
    )


async def _activations(
    client: Client, pipeline: str, after: int
) -> AsyncIterator[DeploymentActivated]:
    subject = DeploymentActivated.pattern().replace("*", pipeline)
    info = await client.jetstream().stream_info(streams.EVENTS.name, subjects_filter=subject)
    left = (info.state.subjects or {}).get(subject, 0)
    if not left:
        return
    async with aclosing(follow(client, streams.EVENTS.name, subject, 0)) as found:
        async for message in found:
            left -= 1
            if message.sequence > after:
                yield DeploymentActivated.model_validate_json(message.data)
            if not left:
                return


def _iso(time_ms: int) -> str | None:
    if not time_ms:
        return None
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat().replace("+00:00", "Z")
