"""One pipeline's model in this process: what is wanted, what is in force, and the way between.

A wanted model is loaded and warmed beside the one in force, which answers until it is replaced
between two messages. What cannot be loaded changes nothing and is tried again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from flyball_inference.fold import Seat
from flyball_inference.propose import Rules, compile_rules
from flyball_inference.session import Session
from flyball_inference.store import Bundles
from flyball_kit import clock
from flyball_kit.errors import PermanentError, TransientError
from flyball_proto.columns import Model
from flyball_proto.deployments import ActiveModel
from flyball_proto.spec import Pipeline

log = logging.getLogger("flyball.inference.desk")

ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class Flip:
    """A model came into force; told to everybody after the fact."""

    pointer: ActiveModel
    load_ms: float


class Desk:
    """Call `specify` and `want` when the records change; `run` does the rest until cancelled.

    `seated` is awaited after each flip, and again until it succeeds.
    """

    def __init__(
        self,
        pipeline: str,
        *,
        bundles: Bundles,
        seated: Callable[[Flip], Awaitable[None]],
        retry_s: float,
    ) -> None:
        self.pipeline = pipeline
        self.trouble: str | None = None
        """Why the wanted model is not in force, None when it is."""
        self._bundles, self._seated, self._retry_s = bundles, seated, retry_s
        self._seat: Seat | None = None
        self._rules: tuple[Rules, int] | None = None
        self._wanted: ActiveModel | None = None
        self._untold: Flip | None = None
        self._changed = asyncio.Event()

    @property
    def seat(self) -> Seat:
        """Who answers now; only after the first flip."""
        if self._seat is None:
            raise PermanentError(f"pipeline {self.pipeline}: no model is in force yet")
        return self._seat

    def specify(self, pipeline: Pipeline, revision: int) -> None:
        """The pipeline's record changed; its rules hold from the next output on."""
        self._rules = (compile_rules(pipeline.spec.decisions), revision)
        if self._seat is not None:
            self._seat = replace(self._seat, rules=self._rules[0], rules_revision=revision)
        self._changed.set()

    def want(self, pointer: ActiveModel) -> None:
        """The active pointer moved. An older epoch than the one known is ignored."""
        if self._wanted is None or pointer.epoch > self._wanted.epoch:
            self._wanted = pointer
            self._changed.set()

    def waits_for(self) -> str | None:
        """What is missing before this pipeline gets decisions, None when nothing is."""
        if self._seat is not None:
            return None
        if self._rules is None:
            return f"pipeline {self.pipeline}: waits for its specification"
        if self._wanted is None:
            return f"pipeline {self.pipeline}: waits for an active model"
        return self.trouble or f"pipeline {self.pipeline}: loads {self._wanted.digest[:12]}"

    async def run(self) -> None:
        """Bring what is wanted into force, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._has_work:
                try:
                    await self._settle()
                except (PermanentError, TransientError) as error:
                    self._complain(str(error))
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), self._retry_s)
                    self._changed.clear()

    @property
    def _has_work(self) -> bool:
        if self._wanted is None or self._rules is None:
            return False
        return self._epoch != self._wanted.epoch or self._untold is not None

    @property
    def _epoch(self) -> int:
        return self._seat.model.epoch if self._seat is not None else 0

    async def _settle(self) -> None:
        if self._wanted is not None and self._epoch != self._wanted.epoch:
            self._untold = await self._flip(self._wanted)
        if self._untold is not None:
            await self._seated(self._untold)
            self._untold = None
        self.trouble = None

    async def _flip(self, pointer: ActiveModel) -> Flip:
        began_s = clock.monotonic_s()
        if self._seat is not None and self._seat.feature_digest != pointer.feature_digest:
            raise PermanentError(
                f"pipeline {self.pipeline}: the active pointer (epoch {pointer.epoch}) names a "
                f"model of features {pointer.feature_digest[:8]}, those read here are "
                f"{self._seat.feature_digest[:8]}; the model in force stays"
            )
        bundle = await self._bundles.load(self.pipeline, pointer)
        manifest = bundle.manifest
        session = await asyncio.to_thread(
            Session,
            bundle.onnx,
            input_name=manifest.input_name,
            output_name=manifest.output_name,
            width=len(manifest.features),
        )
        await self._bundles.keep(self.pipeline, bundle)
        rules, revision = self._rules or (Rules(), 0)
        self._seat = Seat(
            Model(pointer.digest, pointer.epoch, ACTIVE, pointer.trainer),
            pointer.feature_digest,
            len(manifest.features),
            session.run,
            rules,
            revision,
        )
        return Flip(pointer, (clock.monotonic_s() - began_s) * 1000)

    def _complain(self, reason: str) -> None:
        if reason != self.trouble:
            log.warning(
                "pipeline %s: %s; tried again every %g s", self.pipeline, reason, self._retry_s
            )
        self.trouble = reason
