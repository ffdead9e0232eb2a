"""What stands beside a hold, as people see it."""

from collections.abc import Awaitable, Callable

from nats.aio.client import Client
from pydantic import BaseModel, Field

from flyball_gateway.store import Specs
from flyball_kit.kv import Kv
from flyball_proto import streams
from flyball_proto.beside import named_features
from flyball_proto.holds import Hold, HoldContext, Nearby


class Beside(BaseModel):
    """What a person needs to see beside a hold."""

    features: dict[str, float | None] = Field(description="By name; null = missing.")
    signals: dict[str, float]
    neighbours: list[Nearby]
    history: list[str]


Reading = Callable[[Hold], Awaitable[Beside | None]]
"""Gives what stands beside a hold, or None."""


class Contexts:
    """Reads what is recorded, with the names of the pipeline's features."""

    def __init__(self, client: Callable[[], Client], specs: Specs) -> None:
        self._records: Kv[HoldContext] = Kv(client, streams.CONTEXTS, HoldContext)
        self._specs = specs

    async def of(self, hold: Hold) -> Beside | None:
        """What stands beside a hold; None when nothing is recorded.

        Raises:
            TransientError: the broker does not answer.
        """
        context, _ = await self._records.load(hold.id)
        if context is None:
            return None
        known = (await self._specs.known()).catalogue
        pipeline = known.pipelines.get(hold.pipeline)
        source = known.sources.get(pipeline.spec.source) if pipeline else None
        return Beside(
            features=named_features(context, pipeline, source),
            signals=dict(context.signals),
            neighbours=list(context.neighbours),
            history=list(context.history),
        )
