"""Reads what DORA's measures are made of."""

from collections.abc import Callable, Iterable
from typing import Final

from nats.aio.client import Client
from pydantic import ValidationError

from flyball_gateway.dora import dora
from flyball_gateway.store import Specs
from flyball_kit import clock
from flyball_kit.newest import MAX_LIMIT, Stored, newest
from flyball_proto import streams
from flyball_proto.commands import Dora, DoraReply, Failure
from flyball_proto.deployments import DeploymentActivated, PersonAsked
from flyball_proto.events import Event, ModelTrained, PipelineApplied
from flyball_proto.judgements import Degraded, Refreshed, Superior

KINDS: Final[dict[tuple[str, str], type[Event]]] = {
    (kind.domain, kind.what): kind
    for kind in (
        PipelineApplied,
        ModelTrained,
        DeploymentActivated,
        PersonAsked,
        Superior,
        Refreshed,
        Degraded,
    )
}


class Delivering:
    """Answers how well the loop delivers; looks at a pipeline's newest 10 000 such events."""

    def __init__(self, client: Callable[[], Client], specs: Specs) -> None:
        self._client, self._specs = client, specs

    async def answer(self, pipeline: str) -> DoraReply:
        """The measures of an applied pipeline, or that there is none of that name.

        Raises:
            TransientError: The broker does not answer.
        """
        known = (await self._specs.known()).catalogue.pipelines
        if pipeline not in known:
            names = ", ".join(sorted(known)) or "none"
            return DoraReply(
                ok=False,
                error=Failure(
                    kind="not-found", message=f"no pipeline {pipeline} is applied; found: {names}"
                ),
            )
        return DoraReply(ok=True, dora=await self.measure(pipeline))

    async def measure(self, pipeline: str) -> Dora:
        """The measures by what is stored of a pipeline.

        Raises:
            TransientError: The broker does not answer.
        """
        patterns = [f"{domain}.{pipeline}.{what}" for domain, what in KINDS]
        found = await newest(self._client(), streams.EVENTS, patterns, MAX_LIMIT)
        return dora(pipeline, list(_events(reversed(found))), now=clock.utc_now())


def _events(found: Iterable[Stored]) -> Iterable[Event]:
    for message in found:
        domain, _, what = message.subject.split(".", 2)
        try:
            yield KINDS[domain, what].model_validate_json(message.data)
        except ValidationError:
            continue  # of another version
