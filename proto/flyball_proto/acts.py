"""What people and services did, for the record: AUDIT, `audit.<service>`."""

from typing import Literal

from pydantic import AwareDatetime, Field

from flyball_proto.chains import Checkpoint, Gap, Link, Place, act_hash
from flyball_proto.events import Wire

CHECKPOINT = "checkpoint"
"""The verb of an act that carries one."""


class Act(Wire):
    """One act of a service: who asked for what, why, and what came of it."""

    version: Literal[1] = 1
    service: str
    at: AwareDatetime
    verb: str = Field(description="Imperative, e.g. `apply`, `approve`, `stop`.")
    object: str = Field(description="What it was done to, e.g. `pipeline congestion`.")
    by: str = Field(description="Who asked; the service itself when nobody did.")
    why: str = ""
    outcome: Literal["done", "refused", "failed"]
    detail: str = Field(default="", description="What was found, when it was not done.")
    checkpoint: Checkpoint | None = Field(
        default=None, description="With verb `checkpoint`: how far the service's chains reached."
    )
    gap: Gap | None = Field(
        default=None, description="With verb `give-way`: what the archive goes without."
    )
    link: Link | None = Field(
        default=None, description="Its place in the chain; None = from before there was one."
    )

    def behind(self, place: Place) -> "Act":
        """This act, chained behind the one at `place`."""
        bare = Link(number=place.number + 1, previous=place.hash, hash="")
        act = self.model_copy(update={"link": bare})
        found = act_hash(act.model_dump(mode="json"))
        return act.model_copy(update={"link": bare.model_copy(update={"hash": found})})

    def says_same(self, other: "Act") -> bool:
        """Whether both say the same, whenever and wherever in the chain."""
        own = {"at", "link"}
        return self.model_dump(exclude=own) == other.model_dump(exclude=own)
