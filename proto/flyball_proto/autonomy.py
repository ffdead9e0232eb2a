"""Proposals that a pipeline gets more autonomy: KV `autonomy`, key `<pipeline>`, events, commands.

Nothing changes by a proposal. A person accepts it, which applies the specification with the new
`risk.autonomy`, or declines it.
"""

from typing import Literal

from pydantic import AwareDatetime, Field

from flyball_proto.commands import Reply
from flyball_proto.events import Event, Wire
from flyball_proto.holds import MAX_WHY_CHARS

Autonomy = Literal["advisory", "supervised", "autonomous"]


class AutonomyRecord(Wire):
    """The newest proposal for a pipeline; written by risk alone, by compare-and-set.

    `accepted`: the specification says so now, whoever changed it. `withdrawn`: what it stood on is
    no longer so, or the specification says something else.
    """

    version: Literal[1] = 1
    pipeline: str
    state: Literal["proposed", "accepted", "declined", "withdrawn"] = "proposed"
    now: Autonomy = Field(description="As the specification said.")
    proposed: Autonomy
    evidence: tuple[str, ...] = Field(description="What it stands on, a sentence each.")
    since_ms: int = Field(description="Event time from which the evidence is.")
    event_ms: int = Field(description="Event time up to which it is.")
    at: AwareDatetime
    by: str = Field(default="", description="Who declined it.")
    why: str = ""
    until_ms: int = Field(
        default=0, description="Declined: event time before which it is not proposed again."
    )


class AutonomyProposed(Event):
    """A pipeline earned a proposal for more autonomy; a person decides."""

    domain, what = "risk", "autonomy-proposed"
    proposal: AutonomyRecord


class AutonomyDeclined(Event):
    """A person declined; it is not proposed again for as long as the evidence took."""

    domain, what = "risk", "autonomy-declined"
    proposal: AutonomyRecord


class DeclineAutonomy(Wire):
    """`cmd.risk.decline-autonomy`: leave a pipeline the autonomy that it has."""

    pipeline: str = Field(min_length=1)
    by: str = Field(min_length=1)
    why: str = Field(min_length=1, max_length=MAX_WHY_CHARS)


class AcceptAutonomy(Wire):
    """`cmd.gateway.accept-autonomy`: apply a pipeline's specification with the proposed autonomy."""

    pipeline: str = Field(min_length=1)
    by: str = Field(min_length=1)
    why: str = Field(min_length=1, max_length=MAX_WHY_CHARS)


class AutonomyReply(Reply):
    """The proposal, as it stood when it was answered or stands now."""

    proposal: AutonomyRecord | None = None
