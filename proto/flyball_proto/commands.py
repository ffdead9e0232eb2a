"""Commands: requests on `cmd.<service>.<verb>` whose reply says what was done or exactly why not."""

from pydantic import Field

from flyball_proto.events import Wire


class Failure(Wire):
    """Why a command was not carried out."""

    kind: str = Field(description="Stable word, e.g. `invalid-spec`, `not-found`, `conflict`.")
    message: str = Field(description="What was found, what would be valid, the next step.")


class Reply(Wire):
    """Base of every reply: `ok`, or `error` says why not."""

    ok: bool
    error: Failure | None = None


class Apply(Wire):
    """`cmd.gateway.apply`: bring a specification into force."""

    objects: tuple[dict[str, object], ...] = Field(
        min_length=1, description="Source and Pipeline documents, as in the YAML file."
    )
    by: str = Field(min_length=1, description="Who asks.")


class Applied(Wire):
    """One object's outcome."""

    kind: str
    name: str
    revision: int
    changed: bool


class ApplyReply(Reply):
    """What was applied; an unchanged object keeps its revision."""

    applied: tuple[Applied, ...] = ()


class StatusRequest(Wire):
    """`cmd.gateway.status`: what is running."""


class PipelineStatus(Wire):
    """One pipeline as the gateway sees it."""

    pipeline: str
    source: str
    feature_digest: str
    revision: int
    model: str | None = None
    trainer: str | None = None
    epoch: int | None = None
    anchor: str | None = Field(default=None, description="Digest that a rollback would lead to.")
    canary: str | None = Field(default=None, description="Digest that answers for a share.")
    canary_percent: int | None = Field(default=None, description="Of the elements, by hash.")
    frozen: bool = Field(default=False, description="Nothing moves until a person decides.")
    outcome: str | None = Field(
        default=None, description="What became of the last judgement, in words."
    )


class StatusReply(Reply):
    """Every applied pipeline."""

    pipelines: tuple[PipelineStatus, ...] = ()
