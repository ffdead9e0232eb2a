"""The gateway's records: specifications, written by compare-and-set, and active pointers, read."""

from flyball_gateway.applying import Known, Step
from flyball_kit.kv import Kv
from flyball_proto.deployments import ActiveModel
from flyball_proto.spec import Catalogue, Pipeline, Source


class Specs:
    """KV `pipelines`: nobody else writes it."""

    def __init__(
        self, pipelines: Kv[Pipeline], sources: Kv[Source], pointers: Kv[ActiveModel]
    ) -> None:
        self._pipelines, self._sources, self._pointers = pipelines, sources, pointers

    async def known(self) -> Known:
        """Everything that is applied."""
        sources = await self._sources.items("source.")
        pipelines = await self._pipelines.items("pipeline.")
        revisions = {key: revision for key, (_, revision) in (sources | pipelines).items()}
        catalogue = Catalogue(
            {source.name: source for source, _ in sources.values()},
            {pipeline.name: pipeline for pipeline, _ in pipelines.values()},
        )
        return Known(catalogue, revisions)

    async def save(self, step: Step) -> int:
        """Carry one step out; returns the record's revision, the old one when nothing changes.

        Raises:
            LostRaceError: somebody else applied the object since `known`.
        """
        if not step.changed:
            return step.revision
        if isinstance(step.value, Source):
            return await self._sources.save(step.key, step.value, revision=step.revision)
        return await self._pipelines.save(step.key, step.value, revision=step.revision)

    async def active(self) -> dict[str, ActiveModel]:
        """Active pointers by pipeline."""
        return {name: pointer for name, (pointer, _) in (await self._pointers.items()).items()}
