"""Looks now and then whether a pipeline earned more autonomy, proposes it, and hears who declines."""

import logging
from collections.abc import Callable, Iterable
from typing import Final

from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.kv import Kv
from flyball_proto.autonomy import (
    AutonomyDeclined,
    AutonomyProposed,
    AutonomyRecord,
    AutonomyReply,
    DeclineAutonomy,
)
from flyball_proto.calibrations import Calibration
from flyball_risk.breaking.merits import Merits
from flyball_risk.steering.earning import declined, proposal
from flyball_risk.steering.onrecord import About, OnRecord, RefusedError

log = logging.getLogger("flyball.risk.autonomy")

EVERY_S: Final = 60.0

Facts = tuple[str, Merits, Calibration | None]
"""A pipeline, what it did well in all its partitions, and its calibration."""


class Proposals:
    """`facts` are those of every pipeline of which all partitions are known.

    The record comes first, then the event; killed in between, the event follows with a later look.
    """

    def __init__(
        self,
        records: Kv[AutonomyRecord],
        announcer: Announcer,
        on_record: OnRecord,
        facts: Callable[[], Iterable[Facts]],
    ) -> None:
        self._records, self._announcer = records, announcer
        self._on_record, self._facts = on_record, facts

    async def forever(self) -> None:
        """Look once a minute, for ever."""
        while True:
            await clock.sleep(EVERY_S)
            for facts in tuple(self._facts()):
                try:
                    await self.look(*facts)
                except (PermanentError, TransientError) as error:
                    log.warning("%s: autonomy is looked at later: %s", facts[0], error)

    async def look(self, pipeline: str, merits: Merits, calibration: Calibration | None) -> None:
        """Propose, or take a proposal back, if that is due."""
        last, revision = await self._records.load(pipeline)
        found = proposal(pipeline, merits, calibration, last, clock.utc_now())
        if found is not None:
            await self._records.save(pipeline, found, revision=revision)
        await self._tell(found or last)

    async def decline(self, command: DeclineAutonomy) -> AutonomyReply:
        """Leave the pipeline the autonomy that it has."""

        async def doing() -> tuple[AutonomyReply, str]:
            last, revision = await self._records.load(command.pipeline)
            if last is None or last.state != "proposed":
                raise RefusedError(
                    "not-found",
                    f"nothing is proposed for {command.pipeline}; see flyball autonomy list",
                )
            found = declined(last, command.by, command.why, clock.utc_now())
            await self._records.save(command.pipeline, found, revision=revision)
            await self._tell(found)
            return AutonomyReply(ok=True, proposal=found), ""

        about = About("decline-autonomy", f"pipeline {command.pipeline}", command.by, command.why)
        return await self._on_record.carry(about, doing(), AutonomyReply)

    async def _tell(self, found: AutonomyRecord | None) -> None:
        if found is None or found.state not in ("proposed", "declined"):
            return
        kind = AutonomyProposed if found.state == "proposed" else AutonomyDeclined
        last = await self._announcer.last(kind, found.pipeline)
        if last is None or last.at < found.at:
            event = kind(pipeline=found.pipeline, at=found.at, proposal=found)
            await self._announcer.publish(event, f"{kind.what}.{found.pipeline}.{found.at}")
