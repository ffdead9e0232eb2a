"""Follows applied sources and pipelines, and hands over each pipeline that fits its source."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from flyball_kit.health import Health
from flyball_kit.kv import Kv
from flyball_proto.spec import Pipeline, Source, crosscheck

log = logging.getLogger("flyball.specifications")

SOURCE: Final = "source."
PIPELINE: Final = "pipeline."
"""Keys in the bucket `pipelines`."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """A pipeline and its source that fit each other, with their revisions in KV."""

    pipeline: Pipeline
    source: Source
    pipeline_revision: int
    source_revision: int


class Specifications:
    """All applied ones; start `follow_sources` and `follow_pipelines` as tasks.

    `applied` is awaited whenever a pipeline or its source changed and they fit; one that does not
    fit is told in the log and changes nothing. `gone` is awaited when a pipeline is deleted. Never
    two of them at once, because parts end while others are about to begin.
    """

    def __init__(
        self,
        *,
        applied: Callable[[Fitting], Awaitable[None]],
        gone: Callable[[str], Awaitable[None]],
        health: Health,
    ) -> None:
        self._applied, self._gone = applied, gone
        self._sources: dict[str, tuple[Source, int]] = {}
        self._pipelines: dict[str, tuple[Pipeline, int]] = {}
        self._unread = {"sources", "pipelines"}
        self._changing = asyncio.Lock()
        health.add("records", self._check_records)

    async def follow_sources(self, sources: Kv[Source]) -> None:
        """Take over sources, for ever. A deleted source changes nothing: pipelines go first."""
        changes = sources.watch(SOURCE, synced=lambda: self._unread.discard("sources"))
        async with aclosing(changes):
            async for change in changes:
                if change.value is None:
                    continue
                name = change.value.name
                self._sources[name] = (change.value, change.revision)
                for pipeline, _ in list(self._pipelines.values()):
                    if pipeline.spec.source == name:
                        await self._apply(pipeline.name)

    async def follow_pipelines(self, pipelines: Kv[Pipeline]) -> None:
        """Take over pipelines, for ever."""
        changes = pipelines.watch(PIPELINE, synced=lambda: self._unread.discard("pipelines"))
        async with aclosing(changes):
            async for change in changes:
                name = change.key.removeprefix(PIPELINE)
                if change.value is None:
                    self._pipelines.pop(name, None)
                    async with self._changing:
                        await self._gone(name)
                else:
                    self._pipelines[name] = (change.value, change.revision)
                    await self._apply(name)

    async def _apply(self, name: str) -> None:
        async with self._changing:
            found = self._fitting(name)
            if found is not None:
                await self._applied(found)

    def _fitting(self, name: str) -> Fitting | None:
        """None while the pipeline's source is unknown or does not fit it."""
        if name not in self._pipelines:
            return None
        pipeline, revision = self._pipelines[name]
        if pipeline.spec.source not in self._sources:
            return None
        source, source_revision = self._sources[pipeline.spec.source]
        if mistakes := crosscheck(pipeline, source):
            log.error("%s does not fit %s, what runs stays: %s", name, source.name, mistakes[0])
            return None
        return Fitting(pipeline, source, revision, source_revision)

    def _check_records(self) -> str | None:
        waiting = " and ".join(sorted(self._unread))
        return f"reading {waiting} in the bucket `pipelines`" if waiting else None
