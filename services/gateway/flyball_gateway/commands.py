"""Carries commands out: records first, then events."""

import logging
from collections.abc import Mapping

from flyball_gateway.applying import Plan, key_of, plan
from flyball_gateway.awaited.views import Views
from flyball_gateway.status import statuses
from flyball_gateway.store import Specs
from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.errors import PermanentError, TransientError
from flyball_proto.commands import Applied, Apply, ApplyReply, StatusReply
from flyball_proto.events import PipelineApplied
from flyball_proto.spec import Catalogue, Pipeline, feature_digest

log = logging.getLogger("flyball.gateway.commands")

RETRY_S = 5.0
UNKNOWN = "unknown: the gateway ended before it could tell"


class Commands:
    """What can be asked of the gateway over NATS."""

    def __init__(self, specs: Specs, announcer: Announcer, views: Views) -> None:
        self._specs, self._views, self._announcer = specs, views, announcer

    async def apply(self, command: Apply) -> ApplyReply:
        """Bring a specification into force; nothing changes unless all of it is valid.

        Killed in between, the same command again does the rest: sources are saved before the
        pipelines that need them, and an unchanged object keeps its revision.
        """
        known = await self._specs.known()
        planned = plan(command.objects, known)
        if not isinstance(planned, Plan):
            return ApplyReply(ok=False, error=planned)
        revisions, applied = dict(known.revisions), []
        for step in planned.steps:
            revisions[step.key] = revision = await self._specs.save(step)
            value = step.value
            applied.append(
                Applied(kind=value.kind, name=value.name, revision=revision, changed=step.changed)
            )
        for pipeline in planned.announced:
            await self._announce(pipeline, planned.after, revisions, command.by)
        return ApplyReply(ok=True, applied=tuple(applied))

    async def status(self) -> StatusReply:
        """Every applied pipeline, and what it waits for."""
        known = await self._specs.known()
        active = await self._specs.active()
        around = await self._views.around(known.catalogue.sources)
        return StatusReply(ok=True, pipelines=statuses(known, active, around))

    async def announce_untold(self) -> None:
        """Once after a start: tell of what was saved and never announced."""
        while True:
            try:
                await self._announce_untold()
            except (PermanentError, TransientError) as error:
                log.warning("what was applied is announced later: %s", error)
                await clock.sleep(RETRY_S)
            else:
                return

    async def _announce_untold(self) -> None:
        known = await self._specs.known()
        for name, pipeline in known.catalogue.pipelines.items():
            last = await self._announcer.last(PipelineApplied, name)
            if last is None or last.revision < known.revisions[key_of(pipeline)]:
                await self._announce(pipeline, known.catalogue, known.revisions, UNKNOWN)

    async def _announce(
        self, pipeline: Pipeline, catalogue: Catalogue, revisions: Mapping[str, int], by: str
    ) -> None:
        source = catalogue.source_of(pipeline)
        own, of_source = revisions[key_of(pipeline)], revisions[key_of(source)]
        event = PipelineApplied(
            pipeline=pipeline.name,
            at=clock.utc_now(),
            revision=own,
            source=source.name,
            source_revision=of_source,
            feature_digest=feature_digest(pipeline, source),
            by=by,
        )
        await self._announcer.publish(event, f"applied.{pipeline.name}.{own}.{of_source}")
