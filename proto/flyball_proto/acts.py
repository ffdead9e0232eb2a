"""What people and services did, for the record: AUDIT, `audit.<service>`."""

from typing import Literal

from pydantic import AwareDatetime, Field

from flyball_proto.events import Wire


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
