"""What all parts of a specification share."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from flyball_proto.spec.names import ObjectName

API_VERSION = "flyball/v1"

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A finite number; a quoted one is refused."""

Share = Annotated[Number, Field(ge=0, le=1)]
"""A number between 0 and 1."""

Count = Annotated[int, Field(strict=True, ge=1)]
"""A whole number from 1."""

Flag = Annotated[bool, Field(strict=True)]
"""`true` or `false`."""


class SpecModel(BaseModel):
    """Base of every part: immutable, and an unknown field is an error.

    Fields that hold a duration are named `<name>_ms` in code and `<name>` in the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class Metadata(SpecModel):
    """Who an object is."""

    name: ObjectName = Field(description="Unique among objects of its kind; used in subjects.")


class Document(SpecModel):
    """What every document of a file starts with."""

    api_version: Literal["flyball/v1"] = Field(alias="apiVersion", description="Always flyball/v1.")
    kind: str = Field(description="Source or Pipeline.")
    metadata: Metadata = Field(description="The object's name.")

    @property
    def name(self) -> str:
        """`metadata.name`."""
        return self.metadata.name


def wrong(valid: str, *, found: str = "", next_step: str = "") -> PydanticCustomError:
    """A mistake that a validator found, in the three parts that its reader needs."""
    return PydanticCustomError(
        "spec", "{valid}", {"valid": valid, "found": found, "next_step": next_step}
    )


def shorthand(field: str) -> BeforeValidator:
    """Let a bare value stand for `{field: value}`."""

    def expand(value: object) -> object:
        return value if isinstance(value, Mapping | SpecModel) else {field: value}

    return BeforeValidator(expand)


def repeated(names: list[str]) -> str | None:
    """The first name that occurs twice."""
    return next((name for i, name in enumerate(names) if name in names[:i]), None)
